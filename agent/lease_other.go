//go:build !linux

package agent

import "time"

// machineTime is the wall clock's, which knows of the time in which the machine was suspended. Setting it forward ends a lease
// too early, setting it back does nothing.
func machineTime(at time.Time) time.Duration { return time.Duration(at.UnixNano()) }
