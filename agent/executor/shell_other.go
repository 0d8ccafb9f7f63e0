//go:build !unix

package executor

import "github.com/signalbox-ci/signalbox"

// NewShell is not there on this system: a job's commands run in a bash on a pseudo terminal.
func NewShell(ShellOptions) (Executor, error) {
	return nil, signalbox.Errorf(signalbox.CodeInvalid, "this agent cannot run jobs on this operating system yet: it needs a Unix with bash")
}

// AdoptOrphans does nothing here.
func AdoptOrphans() error { return nil }
