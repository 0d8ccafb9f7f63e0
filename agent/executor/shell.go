//go:build unix

package executor

import (
	"bufio"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/signalbox-ci/signalbox"
	"golang.org/x/sys/unix"
)

//go:embed shell.bash
var prelude []byte

// treeVariable marks the processes of one job: children inherit it.
const treeVariable = "SIGNALBOX_JOB_TREE"

// Shell runs commands in one login bash on a pseudo terminal, so that directory, variables, functions and background
// processes live from one command to the next. When the shell exits, the next command gets a new one on the same
// terminal with the same exported variables.
//
// bash reads its own input from a pipe that only it holds; commands find the terminal as their standard input. Each
// command text is a file that bash reads with "." and each result comes back through a FIFO in the private directory,
// never through the terminal.
type Shell struct {
	opts   ShellOptions
	term   *terminal
	out    output
	fifo   *os.File
	tree   *tree
	log    *slog.Logger
	env    []string
	reads  sync.WaitGroup // goroutines that end when the terminal and the FIFO are closed
	seq    int
	result chan result
	flags  string // the x and v of $-, switched off between commands
	live   *process
	export []signalbox.EnvVar
	files  []injected

	stopOnce  sync.Once
	stopped   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// process is one bash.
type process struct {
	cmd    *exec.Cmd
	input  *os.File
	ended  chan struct{} // closed when it was waited for
	status int           // valid then
}

// result is what bash reports at the end of a command.
type result struct {
	seq    int
	status int
	flags  string
}

// NewShell returns an executor for one job. Nothing happens before Start.
func NewShell(opts ShellOptions) (Executor, error) {
	opts.defaults()
	if !filepath.IsAbs(opts.Dir) {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the directory of a job must be an absolute path, not %q", opts.Dir)
	}
	if opts.Workspace != "" && !filepath.IsAbs(opts.Workspace) {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the workspace of a job must be an absolute path, not %q", opts.Workspace)
	}
	return &Shell{opts: opts, log: opts.Logger, result: make(chan result), stopped: make(chan struct{})}, nil
}

// Start makes the private directory and the terminal and starts the first shell.
func (s *Shell) Start(ctx context.Context, _ Block) error {
	if err := os.MkdirAll(filepath.Dir(s.opts.Dir), 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of the job: %w", err)
	}
	if err := os.Mkdir(s.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of the job: %w", err)
	}
	if s.opts.Workspace != "" {
		if err := os.MkdirAll(s.opts.Workspace, 0o700); err != nil {
			return fmt.Errorf("cannot make the workspace of the job: %w", err)
		}
	}
	if err := os.WriteFile(s.path("shell.bash"), prelude, 0o600); err != nil {
		return fmt.Errorf("cannot write into the directory of the job: %w", err)
	}
	if err := unix.Mkfifo(s.path("result"), 0o600); err != nil {
		return fmt.Errorf("cannot make a FIFO in the directory of the job: %w", err)
	}
	// Open for reading and writing: it never ends, and neither side ever waits for the other to open it.
	fifo, err := os.OpenFile(s.path("result"), os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("cannot open a FIFO in the directory of the job: %w", err)
	}
	s.fifo = fifo
	if s.term, err = openTerminal(s.opts.Rows, s.opts.Cols); err != nil {
		return err
	}
	s.reads.Go(s.term.read)
	s.reads.Go(s.readResults)

	mark := rand.Text()
	s.tree = newTree(mark)
	base := s.opts.Env
	if base == nil {
		base = os.Environ()
	}
	for _, e := range base {
		// The agent's own settings may hold its registration token, which is none of the job's business.
		if !strings.HasPrefix(e, "SIGNALBOX_") && !strings.HasPrefix(e, "SEMAPHORE_AGENT_TOKEN=") {
			s.env = append(s.env, e)
		}
	}
	s.env = append(s.env, treeVariable+"="+mark)
	return s.startShell(ctx)
}

func (s *Shell) path(name string) string { return filepath.Join(s.opts.Dir, name) }

// readResults passes on lines of the FIFO until it is closed.
func (s *Shell) readResults() {
	defer close(s.result)
	lines := bufio.NewScanner(s.fifo)
	for lines.Scan() {
		var r result
		if n, _ := fmt.Sscan(lines.Text(), &r.seq, &r.status, &r.flags); n == 3 {
			s.result <- r
		}
	}
}

// startShell starts a bash on the terminal, reads the login files and makes all variables exported so far known to it.
func (s *Shell) startShell(ctx context.Context) error {
	if err := s.term.restore(); err != nil {
		return err
	}
	input, feed, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	defer input.Close()
	// A new descriptor for each shell: some systems revoke the old one when a session ends.
	tty, err := os.OpenFile(s.term.slave.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		feed.Close()
		return fmt.Errorf("cannot open the terminal: %w", err)
	}
	defer tty.Close()
	cmd := exec.Command("bash", "--login", "--noprofile", "--noediting", "-i")
	cmd.Env = s.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if err := s.tree.start(cmd); err != nil {
		feed.Close()
		return fmt.Errorf("cannot start bash: %w", err)
	}
	p := &process{cmd: cmd, input: feed, ended: make(chan struct{})}
	s.live = p
	s.reads.Go(func() {
		err := cmd.Wait()
		p.status = exitStatus(cmd.ProcessState, err)
		shells.remove(cmd.Process.Pid)
		close(p.ended)
	})

	// What the login files print is not part of the job's log, but the end of it explains a shell that does not start.
	var said []byte
	first := fmt.Sprintf("__sb_dir=%s __sb_tty=%s __sb_start=%s; builtin . \"$__sb_dir/shell.bash\" <\"$__sb_tty\"",
		quote(s.opts.Dir), quote(s.term.slave.Name()), quote(s.opts.Workspace))
	status, err := s.run(ctx, first, func(b []byte) error {
		said = append(said, b...)
		said = said[max(0, len(said)-1000):]
		return nil
	})
	if err != nil {
		return err
	}
	if s.live == nil || status != 0 {
		return fmt.Errorf("the login shell ended with exit code %d while it read /etc/profile and ~/.bash_profile: %s",
			status, strings.TrimSpace(strings.ToValidUTF8(string(said), "\uFFFD")))
	}
	if len(s.export) == 0 {
		return nil
	}
	_, err = s.source(ctx, exportText(s.export), nil)
	return err
}

// Run executes one command.
func (s *Shell) Run(ctx context.Context, text string, emit Emit) (int, error) {
	if err := s.ready(ctx); err != nil {
		return 1, err
	}
	if s.flags != "" {
		text = "set -" + s.flags + "; " + text
	}
	status, err := s.source(ctx, text, emit)
	if err == nil && s.live == nil && status == 0 {
		err = emit([]byte("The command ended the shell. The next one starts in a new shell: directory, functions and variables that were not exported by the job are gone.\n"))
	}
	return status, err
}

// ready makes sure that a shell is there.
func (s *Shell) ready(ctx context.Context) error {
	select {
	case <-s.stopped:
		return ErrStopped
	default:
	}
	if err := ctx.Err(); err != nil {
		s.Stop()
		return ErrStopped
	}
	if s.live == nil {
		return s.startShell(ctx)
	}
	select {
	case <-s.live.ended: // killed between two commands
		s.dropShell()
		return s.startShell(ctx)
	default:
		return nil
	}
}

func (s *Shell) dropShell() {
	s.live.input.Close()
	s.live, s.flags = nil, ""
}

// source runs text as the contents of a file that is read by the shell.
func (s *Shell) source(ctx context.Context, text string, emit Emit) (int, error) {
	if err := os.WriteFile(s.path("command"), []byte(text+"\n"), 0o600); err != nil {
		return 1, fmt.Errorf("cannot write the command into the directory of the job: %w", err)
	}
	return s.run(ctx, `builtin . "$__sb_dir/command" <"$__sb_tty"`, emit)
}

// run lets the shell read one line and waits until the command is over and all of its output was emitted.
//
// The result comes through the FIFO, or the shell ends. Then the agent itself writes a random mark into the terminal.
// A terminal is a queue and one write of this length is not interrupted by others, so everything that was written
// before the result was reported comes out before the mark: when the mark comes out, the output is complete.
// Nothing waits for a time to pass, and no command can know the mark.
func (s *Shell) run(ctx context.Context, line string, emit Emit) (int, error) {
	s.seq++
	if err := s.term.restore(); err != nil {
		return 1, err
	}
	s.out.begin(emit)
	p := s.live
	// The report is on the line of the command, so that no prompt is printed in between; but some errors (an
	// interrupt, an unset variable under set -u) make bash forget the rest of the line, hence the second report.
	report := fmt.Sprintf(`{ __sb_status=$? __sb_flags=$-; set +xv; [ "${__sb_seq-}" = %[1]d ] || { __sb_seq=%[1]d; builtin printf '%%s %%s %%s\n' %[1]d "$__sb_status" "$__sb_flags" >"$__sb_dir/result" || builtin exit 125; AGENT_CMD_RESULT=$__sb_status PS1= PS2=; }; } >/dev/null 2>&1`, s.seq)
	if _, err := fmt.Fprintf(p.input, "%s; %s\n%s\n", line, report, report); err != nil && !errors.Is(err, unix.EPIPE) {
		return 1, fmt.Errorf("cannot talk to the shell: %w", err)
	}
	s.term.offerEnd()

	var (
		status   = 1
		over     bool
		marked   = make(chan error, 1)
		ended    = (<-chan struct{})(p.ended)
		stopped  = (<-chan struct{})(s.stopped)
		canceled = ctx.Done()
		killed   chan struct{}
		quiet    = time.NewTimer(time.Hour)
		input    = time.NewTicker(50 * time.Millisecond)
		waiting  bool // for quiet
		lost     bool // the mark cannot be written, the end of the stream is the end
	)
	defer quiet.Stop()
	defer input.Stop()
	finish := func(code int) {
		if over {
			return
		}
		over, status = true, code
		mark := []byte(rand.Text())
		s.out.await(mark)
		go func() { _, err := s.term.slave.Write(mark); marked <- err }() // in the background: it waits while the terminal is full
	}
	for {
		select {
		case b, ok := <-s.term.data:
			if !ok {
				return 1, errors.New("the terminal of the job was closed")
			}
			if s.out.write(b) {
				s.out.finish()
				if killed != nil {
					<-killed
					return 1, ErrStopped
				}
				return status, s.out.err
			}
			if !waiting {
				waiting = true
				quiet.Reset(s.opts.Coalesce)
			}
			if lost {
				quiet.Reset(s.opts.Coalesce)
			}
		case <-quiet.C:
			waiting = false
			if lost {
				s.out.finish()
				if killed != nil {
					<-killed
					return 1, ErrStopped
				}
				return status, s.out.err
			}
			s.out.flush()
		case err := <-marked:
			if err != nil { // some systems revoke a terminal when its session ends; what was written still comes out
				s.log.Warn("the end of a command's output cannot be marked; waiting for silence instead", "error", err)
				lost = true
				quiet.Reset(s.opts.Coalesce)
			}
		case r, ok := <-s.result:
			if ok && r.seq == s.seq && !over {
				s.flags = keep(r.flags, "xv")
				finish(r.status)
			}
		case <-ended:
			ended = nil
			s.dropShell()
			finish(p.status)
		case <-input.C:
			if !over {
				s.term.offerEnd()
			}
		case <-canceled:
			canceled = nil
			s.Stop()
		case <-stopped:
			stopped = nil
			killed = make(chan struct{})
			go func() { defer close(killed); s.terminate(p) }()
		}
	}
}
