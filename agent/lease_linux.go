package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// machineTime is how long ago the machine was started, the time in which it was suspended included. Nobody can set that clock.
func machineTime(at time.Time) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Duration(at.UnixNano())
	}
	return time.Duration(t.Nano())
}
