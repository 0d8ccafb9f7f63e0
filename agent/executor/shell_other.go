//go:build !unix

package executor

import (
	"log/slog"
	"os"

	"github.com/signalbox-ci/signalbox"
)

// NewShell is not there on this system: a job's commands run in a bash on a pseudo terminal.
func NewShell(ShellOptions) (Executor, error) {
	return nil, signalbox.Errorf(signalbox.CodeInvalid, "this agent cannot run jobs on this operating system yet: it needs a Unix with bash")
}

// AdoptOrphans does nothing here.
func AdoptOrphans() error { return nil }

// CleanUp removes the private directory of a job whose executor was killed.
func CleanUp(dir string, _ *slog.Logger) error { return os.RemoveAll(dir) }

// LookupUser fails: this system has no way to run jobs as another user.
func LookupUser(string) (*User, error) {
	return nil, signalbox.Errorf(signalbox.CodeInvalid, "Jobs cannot be run as another user on this operating system.")
}
