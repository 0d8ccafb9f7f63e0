//go:build unix && !linux

package executor

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
	inputUTF8  = 0
)
