//go:build unix

package executor

import (
	"bufio"
	"bytes"
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

	"github.com/signalbox-ci/signalbox"
	"golang.org/x/sys/unix"
)

//go:embed shell.bash
var prelude []byte

//go:embed toolbox.bash
var toolbox []byte

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
	session
	opts    ShellOptions
	term    *terminal
	fifo    *os.File
	tree    *tree
	log     *slog.Logger
	env     []string
	reads   sync.WaitGroup // goroutines that end when the terminal and the FIFO are closed
	results chan result
	files   []injected
	left    leftover

	closeOnce sync.Once
	closeErr  error
}

// process is one bash of a Shell.
type process struct {
	shell *Shell
	cmd   *exec.Cmd
	input *os.File
	over  chan struct{} // closed when it was waited for
	code  int           // valid then
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
	s := &Shell{opts: opts, log: opts.Logger, results: make(chan result)}
	s.session = newSession(s.open, opts.Coalesce, opts.Logger)
	return s, nil
}

// Start makes the private directory and the terminal and starts the first shell.
func (s *Shell) Start(ctx context.Context, _ Block) error {
	mark := rand.Text()
	s.tree = newTree(mark)
	if err := s.makeDir(mark); err != nil {
		return err
	}
	if err := unix.Mkfifo(s.path("result"), 0o600); err != nil {
		return fmt.Errorf("cannot make a FIFO in the directory of the job: %w", err)
	}
	if err := s.give(s.path("result")); err != nil {
		return err
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
	if err := s.give(s.term.slave.Name()); err != nil {
		return err
	}
	s.env = append(s.environment(), treeVariable+"="+mark)
	return s.begin(ctx)
}

// makeDir makes the private directory. What is needed to clean up after a crash lies there before the first process
// starts. Another user may enter the directory but change nothing in it except the contents of what is given to them.
func (s *Shell) makeDir(mark string) error {
	mode := os.FileMode(0o700)
	if s.opts.User != nil {
		mode = 0o711
	}
	if err := os.MkdirAll(filepath.Dir(s.opts.Dir), mode); err != nil {
		return fmt.Errorf("cannot make the directory of the job: %w", err)
	}
	if err := os.Mkdir(s.opts.Dir, mode); err != nil {
		return fmt.Errorf("cannot make the directory of the job: %w", err)
	}
	s.left = leftover{Mark: mark, Workspace: s.opts.Workspace, Group: s.tree.confine("signalbox-" + mark)}
	if s.opts.User != nil {
		s.left.User = s.opts.User.Name
	}
	if err := s.left.save(s.opts.Dir); err != nil {
		return fmt.Errorf("cannot write into the directory of the job: %w", err)
	}
	if s.opts.Workspace != "" {
		if err := os.MkdirAll(filepath.Dir(s.opts.Workspace), 0o755); err != nil {
			return fmt.Errorf("cannot make the workspace of the job: %w", err)
		}
		if err := os.Mkdir(s.opts.Workspace, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("cannot make the workspace of the job: %w", err)
		}
		if err := s.give(s.opts.Workspace); err != nil {
			return err
		}
	}
	text := bytes.Clone(prelude)
	if t := s.opts.Tools; t.Program != "" {
		text = fmt.Appendf(text, "__sb_program=%s __sb_ca=%s\n", quote(t.Program), quote(t.CAFile))
	}
	return s.write("shell.bash", append(text, toolbox...))
}

// write replaces a file in the private directory that the commands' user may read.
func (s *Shell) write(name string, content []byte) error {
	if err := overwrite(s.path(name), content); err != nil {
		return fmt.Errorf("cannot write into the directory of the job: %w", err)
	}
	return s.give(s.path(name))
}

// overwrite cuts the file off after the new content and not before it: a file that was empty for a moment is one that
// ext4 sends to the disk when it is closed, and this happens for every command.
func overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	return errors.Join(err, f.Close())
}

// give makes the commands' user the owner of something.
func (s *Shell) give(path string) error {
	if s.opts.User == nil {
		return nil
	}
	if err := os.Lchown(path, int(s.opts.User.UID), int(s.opts.User.GID)); err != nil {
		return fmt.Errorf("cannot give %s to the user %s: %w", path, s.opts.User.Name, err)
	}
	return nil
}

// environment is what the shell starts with. The agent's own settings may hold its registration token, which is none of
// the job's business.
func (s *Shell) environment() []string {
	base := s.opts.Env
	if base == nil {
		base = os.Environ()
	}
	var out []string
	for _, e := range base {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case strings.HasPrefix(name, "SIGNALBOX_"), name == "SEMAPHORE_AGENT_TOKEN", name == "NOTIFY_SOCKET", name == "WATCHDOG_USEC", name == "WATCHDOG_PID":
		case s.opts.User != nil && (strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "SUDO_") || name == "MAIL" || name == "SSH_AUTH_SOCK"):
		default:
			out = append(out, e)
		}
	}
	if u := s.opts.User; u != nil {
		out = append(out, "HOME="+u.Home, "USER="+u.Name, "LOGNAME="+u.Name)
	}
	return out
}

func (s *Shell) path(name string) string { return filepath.Join(s.opts.Dir, name) }

// readResults passes on lines of the FIFO until it is closed.
func (s *Shell) readResults() {
	defer close(s.results)
	lines := bufio.NewScanner(s.fifo)
	for lines.Scan() {
		if r, ok := parseResult(lines.Text()); ok {
			s.results <- r
		}
	}
}

// open starts a bash on the terminal.
func (s *Shell) open(context.Context) (link, error) {
	if err := s.term.restore(); err != nil {
		return nil, err
	}
	input, feed, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	defer input.Close()
	// A new descriptor for each shell: some systems revoke the old one when a session ends.
	tty, err := os.OpenFile(s.term.slave.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		feed.Close()
		return nil, fmt.Errorf("cannot open the terminal: %w", err)
	}
	defer tty.Close()
	cmd, err := s.tree.start(func() *exec.Cmd {
		cmd := exec.Command("bash", "--login", "--noprofile", "--noediting", "-i")
		cmd.Env = s.env
		cmd.Stdin, cmd.Stdout, cmd.Stderr = input, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
		s.become(cmd)
		return cmd
	})
	if err != nil {
		feed.Close()
		return nil, fmt.Errorf("cannot start bash: %w", err)
	}
	p := &process{shell: s, cmd: cmd, input: feed, over: make(chan struct{})}
	s.reads.Go(func() {
		err := cmd.Wait()
		p.code = exitStatus(cmd.ProcessState, err)
		shells.remove(cmd.Process.Pid)
		close(p.over)
	})
	return p, nil
}

// become makes cmd run as the commands' user.
func (s *Shell) become(cmd *exec.Cmd) {
	u := s.opts.User
	if u == nil {
		return
	}
	cmd.Dir = "/" // the agent's own folder may be closed to them
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

func (p *process) hello() string {
	s := p.shell
	return fmt.Sprintf("__sb_dir=%s __sb_tty=%s __sb_start=%s; builtin . \"$__sb_dir/shell.bash\" <\"$__sb_tty\"",
		quote(s.opts.Dir), quote(s.term.slave.Name()), quote(s.opts.Workspace))
}

func (p *process) script(text string) (string, error) {
	if err := p.shell.write("command", []byte(text+"\n")); err != nil {
		return "", err
	}
	return `builtin . "$__sb_dir/command" <"$__sb_tty"`, nil
}

func (p *process) send(lines string) error {
	// A bash that is gone already is told by ended.
	if _, err := p.input.WriteString(lines); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	return nil
}

func (p *process) results() <-chan result { return p.shell.results }
func (p *process) data() <-chan []byte    { return p.shell.term.data }
func (p *process) restore() error         { return p.shell.term.restore() }
func (p *process) offerEnd()              { p.shell.term.offerEnd() }
func (p *process) addsCR() bool           { return p.shell.term.addsCR() }

// mark writes in the background: it waits while the terminal is full.
func (p *process) mark(b []byte) <-chan error {
	done := make(chan error, 1)
	go func() { _, err := p.shell.term.slave.Write(b); done <- err }()
	return done
}

func (p *process) ended() <-chan struct{} { return p.over }
func (p *process) status() int            { return p.code }
func (p *process) drop()                  { p.input.Close() }
func (p *process) terminate()             { p.shell.terminateTree(p) }
