package executor

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/signalbox-ci/signalbox"
)

// powerShellProgram runs a script file that follows. -File, because only then the script's exit code is that of the process.
var powerShellProgram = []string{"powershell", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"}

// NewShell returns an executor for one job: on this system, one that runs each command in a PowerShell.
func NewShell(opts ShellOptions) (Executor, error) {
	if !filepath.IsAbs(opts.Dir) {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the directory of a job must be an absolute path, not %q", opts.Dir)
	}
	jobs, err := newJobObject()
	if err != nil {
		return nil, signalbox.Errorf(signalbox.CodeInternal, "a place for the processes of a job cannot be made: %w", err)
	}
	return newPowerShell(opts, powerShellProgram, jobs), nil
}

// Hook is the command that runs the owner's script at path, and how the log shows it. A script runs in the session, so
// there is no difference between running and sourcing it.
func Hook(path string, _ bool) (text, shown string) { return "& " + powerShellQuote(path), path }

// PrintVariable is the command that prints a variable, and nothing else.
func PrintVariable(name string) string {
	return "[Console]::Out.Write([Environment]::GetEnvironmentVariable(" + powerShellQuote(name) + "))"
}

// AdoptOrphans does nothing here: a job object holds all processes of a job.
func AdoptOrphans() error { return nil }

// CleanUp removes the private directory of a job whose executor was killed. Its processes died with its job object.
func CleanUp(dir string, _ *slog.Logger) error { return os.RemoveAll(dir) }

// LookupUser fails: this system has no way to run jobs as another user.
func LookupUser(string) (*User, error) {
	return nil, signalbox.Errorf(signalbox.CodeInvalid, "Jobs cannot be run as another user on this operating system.")
}
