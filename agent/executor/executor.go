// Package executor runs the commands of one job in the place where they belong: today a login shell on a terminal of
// this machine. It knows nothing of servers, payloads or log events; it takes command texts and gives back exact
// output and exit codes. The agent and the local runner use it through the small interface Executor, which later
// executors (containers, PowerShell) implement too.
package executor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// ErrStopped is returned by Run and Export once Stop was called.
var ErrStopped = errors.New("the job was stopped")

// Executor is one place in which the commands of one job run. Start comes first and Close last; Run, Export and Inject
// are called one after the other. Stop may be called at any time, from any goroutine and more than once.
type Executor interface {
	// Start prepares the place. What takes long or can fail for reasons of the job is logged as blocks of its own; log is
	// nil where nobody wants them. The error is a sentence for the job's log, a *Failure when more is known.
	Start(ctx context.Context, log Block) error
	// Run executes text as one command and returns its exit code. Every byte that the command and its children wrote
	// before it ended has been given to emit when Run returns. An error means that the executor itself is broken or,
	// ErrStopped, that the job was stopped; the exit code is then 1.
	Run(ctx context.Context, text string, emit Emit) (int, error)
	// Export makes variables visible to all later commands, also after the shell was replaced.
	Export(ctx context.Context, vars []signalbox.EnvVar, emit Emit) (int, error)
	// Inject writes one file. It tells emit what it does and why it failed and returns an exit code.
	Inject(f File, emit Emit) (int, error)
	// Stop ends what runs: SIGTERM to every process of the job, the grace period, SIGKILL.
	Stop()
	// Close ends all processes of the job, removes everything that Start, Export and Inject wrote and returns when
	// they are gone.
	Close() error
}

// Emit takes a piece of output, at most MaxChunk bytes, that ends neither inside a UTF-8 sequence (unless the command
// itself ended there) nor between \r and \n. The slice is only valid during the call. While it blocks, so does the
// command that writes: nothing is buffered without limit.
type Emit func(chunk []byte) error

// Block logs one directive around what run prints and returns the exit code.
type Block func(directive string, run func(Emit) (int, error)) int

// Failure is why a place for a job could not be made.
type Failure struct {
	Reason  signalbox.Reason // image_pull, agent_error, ...
	Message string           // a sentence
	Logged  bool             // a block of the job's log says it already
	Err     error
}

func (f *Failure) Error() string { return f.Message }
func (f *Failure) Unwrap() error { return f.Err }

// MaxChunk is the longest piece given to Emit.
const MaxChunk = 16 << 10

// File is a file that a job wants to find. Path is absolute, begins with ~ or is relative to the home directory; Mode
// is an octal string such as "0600".
type File struct {
	Path    string
	Mode    string
	Content []byte
}

// ShellOptions configures NewShell.
type ShellOptions struct {
	Dir       string        // private directory of this job, must not exist; made with mode 0700, removed by Close
	Workspace string        // "": commands start in the home directory; else in this directory, which is made and removed by Close
	User      *User         // whom the commands run as; nil is the user of this process
	Tools     Tools         // what stands in for programs that are not installed
	Env       []string      // environment of the shell as NAME=value; nil is the environment of this process
	Grace     time.Duration // between SIGTERM and SIGKILL; 0 is 10 s
	Coalesce  time.Duration // how long output waits for more; 0 is 100 ms
	Rows      uint16        // window size, 0 is 24
	Cols      uint16        // window size, 0 is 80
	Logger    *slog.Logger  // nil discards
}

// Tools is the program whose commands artifact, spc and when stand in for programs of these names that a machine does not
// have. The zero value is none.
type Tools struct {
	Program string // absolute path
	CAFile  string // what it trusts beside the system's certificates
}

// User is somebody else than the user of this process, which must be root then.
type User struct {
	Name   string
	Home   string
	UID    uint32
	GID    uint32
	Groups []uint32
}

func (o *ShellOptions) defaults() {
	if o.Grace <= 0 {
		o.Grace = 10 * time.Second
	}
	if o.Coalesce <= 0 {
		o.Coalesce = 100 * time.Millisecond
	}
	if o.Rows == 0 {
		o.Rows = 24
	}
	if o.Cols == 0 {
		o.Cols = 80
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}
