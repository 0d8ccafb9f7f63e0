package executor

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// link is one bash and the terminal that its commands see, however they are reached: a process of this machine, or one
// in a container.
type link interface {
	// hello is the first line for bash: it sets __sb_dir, a folder where only bash and the agent write, and __sb_tty, the
	// terminal, and reads shell.bash.
	hello() string
	// script makes text, the commands of a job, known to bash as a file and returns the line that reads it.
	script(text string) (line string, err error)
	// send gives lines to bash's own input, which no command can read.
	send(lines string) error
	// results are the lines that bash writes into __sb_dir/result.
	results() <-chan result
	// data is what comes out of the terminal. A piece is valid until the next is received. It is closed when nothing
	// can come any more.
	data() <-chan []byte
	// restore sets the terminal to what every command may expect.
	restore() error
	// offerEnd lets a command that reads from the terminal find the end of file. It is called again and again.
	offerEnd()
	// addsCR tells whether the terminal puts \r before \n just now.
	addsCR() bool
	// mark writes b into the terminal, behind everything that was written before, and then sends what came of it.
	mark(b []byte) <-chan error
	// ended is closed when bash is gone; then status is its exit code.
	ended() <-chan struct{}
	status() int
	// drop is called when bash is gone or no longer wanted.
	drop()
	// terminate ends all processes of the job and returns when they are gone.
	terminate()
}

// result is what bash reports at the end of a command.
type result struct {
	seq    int
	status int
	flags  string
}

// parseResult reads one line of __sb_dir/result.
func parseResult(line string) (r result, ok bool) {
	n, _ := fmt.Sscan(line, &r.seq, &r.status, &r.flags)
	return r, n == 3
}

// session gives commands to one bash after the other: when bash ends, the next command gets a new one with the same
// exported variables.
//
// A command's exit code comes through a channel of its own (results), or bash ends. Then a random mark is written into
// the terminal. A terminal is a queue, so everything that was written before the result was reported comes out before the
// mark: when the mark comes out, the output is complete. Nothing waits for a time to pass, and no command can know
// the mark.
type session struct {
	open     func(context.Context) (link, error) // starts a bash
	coalesce time.Duration
	log      *slog.Logger

	out    output
	link   link // nil when there is no bash
	seq    int
	flags  string // the x and v of $-, switched off between commands
	export []signalbox.EnvVar

	stopOnce sync.Once
	stopped  chan struct{}
}

func newSession(open func(context.Context) (link, error), coalesce time.Duration, log *slog.Logger) session {
	return session{open: open, coalesce: coalesce, log: log, stopped: make(chan struct{})}
}

// Stop asks for the end of everything that runs. A Run in progress does the work and returns ErrStopped when the
// processes are gone; without one, Close does it.
func (s *session) Stop() { s.stopOnce.Do(func() { close(s.stopped) }) }

// begin starts a bash and makes all variables exported so far known to it.
func (s *session) begin(ctx context.Context) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	s.link = l
	// What the login files print is not part of the job's log, but the end of it explains a shell that does not start.
	var said []byte
	status, err := s.run(ctx, l.hello(), func(b []byte) error {
		said = append(said, b...)
		said = said[max(0, len(said)-1000):]
		return nil
	})
	if err != nil {
		return err
	}
	if s.link == nil || status != 0 {
		return fmt.Errorf("the shell ended with exit code %d while it read its startup files (/etc/profile, ~/.bash_profile): %s",
			status, strings.TrimSpace(strings.ToValidUTF8(string(said), "\uFFFD")))
	}
	if len(s.export) == 0 {
		return nil
	}
	_, err = s.source(ctx, exportText(s.export), nil)
	return err
}

// Run executes one command.
func (s *session) Run(ctx context.Context, text string, emit Emit) (int, error) {
	if err := s.ready(ctx); err != nil {
		return 1, err
	}
	if s.flags != "" {
		text = "set -" + s.flags + "; " + text
	}
	status, err := s.source(ctx, text, emit)
	if err == nil && s.link == nil && status == 0 {
		err = emit([]byte("The command ended the shell. The next one starts in a new shell: directory, functions and variables that were not exported by the job are gone.\n"))
	}
	return status, err
}

// ready makes sure that a bash is there.
func (s *session) ready(ctx context.Context) error {
	select {
	case <-s.stopped:
		return ErrStopped
	default:
	}
	if err := ctx.Err(); err != nil {
		s.Stop()
		return ErrStopped
	}
	if s.link == nil {
		return s.begin(ctx)
	}
	select {
	case <-s.link.ended(): // killed between two commands
		s.dropLink()
		return s.begin(ctx)
	default:
		return nil
	}
}

func (s *session) dropLink() {
	s.link.drop()
	s.link, s.flags = nil, ""
}

// source runs text as the contents of a file that is read by bash.
func (s *session) source(ctx context.Context, text string, emit Emit) (int, error) {
	line, err := s.link.script(text)
	if err != nil {
		return 1, err
	}
	return s.run(ctx, line, emit)
}

// run lets bash read one line and waits until the command is over and all of its output was emitted.
func (s *session) run(ctx context.Context, line string, emit Emit) (int, error) {
	s.seq++
	l := s.link
	if err := l.restore(); err != nil {
		return 1, err
	}
	s.out.begin(emit)
	// The report is on the line of the command, so that no prompt is printed in between; but some errors (an
	// interrupt, an unset variable under set -u) make bash forget the rest of the line, hence the second report.
	report := fmt.Sprintf(`{ __sb_status=$? __sb_flags=$-; set +xv; [ "${__sb_seq-}" = %[1]d ] || { __sb_seq=%[1]d; builtin printf '%%s %%s %%s\n' %[1]d "$__sb_status" "$__sb_flags" >"$__sb_dir/result" || builtin exit 125; AGENT_CMD_RESULT=$__sb_status PS1= PS2=; }; } >/dev/null 2>&1`, s.seq)
	if err := l.send(line + "; " + report + "\n" + report + "\n"); err != nil {
		return 1, fmt.Errorf("cannot talk to the shell: %w", err)
	}
	l.offerEnd()

	var (
		status   = 1
		over     bool
		marked   <-chan error
		data     = l.data()
		results  = l.results()
		ended    = l.ended()
		stopped  = (<-chan struct{})(s.stopped)
		canceled = ctx.Done()
		killed   chan struct{}
		quiet    = time.NewTimer(time.Hour)
		input    = time.NewTicker(50 * time.Millisecond)
		waiting  bool      // for quiet
		flushed  time.Time // when output was last given away
		lost     bool      // the mark cannot be written: silence is the end
	)
	defer quiet.Stop()
	defer input.Stop()
	finish := func(code int) {
		if over {
			return
		}
		over, status = true, code
		if data != nil {
			mark := []byte(rand.Text())
			s.out.await(mark)
			marked = l.mark(mark)
		}
	}
	for {
		if over && data == nil { // nothing can come any more
			break
		}
		select {
		case b, ok := <-data:
			if !ok {
				data = nil
				continue
			}
			s.out.cooked = l.addsCR()
			if s.out.write(b) {
				data = nil
				continue
			}
			if !waiting || lost {
				waiting = true
				// A line after silence is shown at once; a stream of them is collected.
				quiet.Reset(max(s.coalesce/20, s.coalesce-time.Since(flushed)))
			}
		case <-quiet.C:
			waiting = false
			if lost {
				data = nil
				continue
			}
			s.out.flush()
			flushed = time.Now()
		case err := <-marked:
			marked = nil
			if err != nil { // some systems revoke a terminal when its session ends; what was written still comes out
				s.log.Warn("the end of a command's output cannot be marked; waiting for silence instead", "error", err)
				lost = true
				quiet.Reset(s.coalesce)
			}
		case r, ok := <-results:
			if !ok {
				results = nil
			} else if r.seq == s.seq && !over {
				s.flags = keep(r.flags, "xv")
				finish(r.status)
			}
		case <-ended:
			ended = nil
			status := l.status()
			s.dropLink()
			finish(status)
		case <-input.C:
			if !over {
				l.offerEnd()
			}
		case <-canceled:
			canceled = nil
			s.Stop()
		case <-stopped:
			stopped = nil
			killed = make(chan struct{})
			go func() { defer close(killed); l.terminate() }()
		}
	}
	s.out.finish()
	if killed != nil {
		<-killed
		return 1, ErrStopped
	}
	return status, s.out.err
}

// terminate ends the job's processes while no Run takes what comes out of the terminal. l is the bash that lives, or the
// last one.
func (s *session) terminate(l link) {
	done := make(chan struct{})
	go func() { defer close(done); l.terminate() }()
	for data, results := l.data(), l.results(); ; {
		select {
		case _, ok := <-data: // processes that say good-bye must not wait for a reader
			if !ok {
				data = nil
			}
		case _, ok := <-results:
			if !ok {
				results = nil
			}
		case <-done:
			if s.link != nil {
				s.dropLink()
			}
			return
		}
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Export makes vars visible to the commands that follow. The first variable that cannot be exported is named to emit,
// and the exit code is 1.
func (s *session) Export(ctx context.Context, vars []signalbox.EnvVar, emit Emit) (int, error) {
	if problem := checkVariables(vars); problem != "" {
		return 1, emit([]byte(problem + "\n"))
	}
	s.export = append(s.export, vars...)
	if err := s.ready(ctx); err != nil {
		return 1, err
	}
	return s.source(ctx, exportText(vars), emit)
}

// checkVariables says in a sentence which variable cannot be exported and why, "" when all can.
func checkVariables(vars []signalbox.EnvVar) string {
	for _, v := range vars {
		switch {
		case !variableName.MatchString(v.Name):
			return fmt.Sprintf("Cannot export %q: a name is letters, digits and underscores and does not begin with a digit.", v.Name)
		case strings.ContainsRune(v.Value, 0):
			return fmt.Sprintf("Cannot export %q: its value holds a NUL byte, which no environment can.", v.Name)
		}
	}
	return ""
}

func exportText(vars []signalbox.EnvVar) string {
	var b strings.Builder
	for _, v := range vars {
		b.WriteString("builtin export " + v.Name + "=" + quote(v.Value) + "\n")
	}
	return b.String()
}

// quote makes one word of any text for bash.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// keep returns the letters of s that are in set.
func keep(s, set string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(set, r) {
			return r
		}
		return -1
	}, s)
}
