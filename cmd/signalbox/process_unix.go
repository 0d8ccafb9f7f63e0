//go:build unix

package main

import (
	"os"
	"syscall"
)

// hideToken takes a token out of the command line, which every user of the machine can read: the process becomes the
// same program again, under its process id, with the token in its environment. It returns when there is nothing to hide.
func hideToken(args []string) error {
	rest, token, found := tokenArgument(args[1:])
	if !found {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv("SEMAPHORE_AGENT_TOKEN", token); err != nil {
		return err
	}
	return syscall.Exec(self, append(args[:1:1], rest...), os.Environ())
}
