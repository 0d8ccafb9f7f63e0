//go:build unix

package agent

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile opens path and locks it until it is closed or the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			return nil, errLocked
		}
		return nil, err
	}
	return f, nil
}

// processExists tells whether there is a process of this id.
func processExists(pid int) bool {
	return pid > 0 && unix.Kill(pid, 0) != unix.ESRCH
}
