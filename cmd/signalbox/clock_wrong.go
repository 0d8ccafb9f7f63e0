//go:build wrongclock

package main

import (
	"os"
	"time"
)

// The clock of a build with the tag wrongclock is off by what SIGNALBOX_WRONG_CLOCK says, as in -20h.
func init() {
	if off, err := time.ParseDuration(os.Getenv("SIGNALBOX_WRONG_CLOCK")); err == nil {
		now = func() time.Time { return time.Now().Add(off) }
	}
}
