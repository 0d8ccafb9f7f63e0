package executor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// spawner starts processes that can be ended together with everything that they have started.
type spawner interface {
	// start starts a program whose output goes to out, and returns what waits for it and gives its exit code.
	start(program, env []string, dir string, out *os.File) (wait func() int, err error)
	// kill ends every process; those that are started afterwards are ended too.
	kill()
	close() error
}

// PowerShell runs each command in a PowerShell of its own. Directory and environment are carried from one to the next:
// the script of a command ends by writing both into a file. Functions and other variables are not kept.
//
// All processes write into one pipe. When a command has ended, a random mark is written behind its output, so that the
// output is complete when the mark comes out, whatever processes in the background still hold the pipe.
type PowerShell struct {
	opts     ShellOptions
	program  []string
	spawn    spawner
	foldCase bool // names of variables are the same in upper and lower case

	write, read *os.File
	data        chan []byte
	free        chan struct{} // the last piece of data was used
	reading     sync.WaitGroup
	out         output

	dir      string
	env      []signalbox.EnvVar
	files    []replaced
	stopOnce sync.Once
	stopped  chan struct{}

	closeOnce sync.Once
	closeErr  error
}

// replaced is a file that Close takes away, or puts back as it was.
type replaced struct {
	path    string
	existed bool
	content []byte
	mode    os.FileMode
}

func newPowerShell(opts ShellOptions, program []string, spawn spawner) *PowerShell {
	opts.defaults()
	return &PowerShell{
		opts: opts, program: program, spawn: spawn, foldCase: runtime.GOOS == "windows",
		data: make(chan []byte), free: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// Start makes the private directory, the workspace and the pipe.
func (p *PowerShell) Start(context.Context, Block) error {
	if p.opts.User != nil {
		return errors.New("jobs cannot be run as another user with PowerShell")
	}
	if err := os.MkdirAll(filepath.Dir(p.opts.Dir), 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of the job: %w", err)
	}
	if err := os.Mkdir(p.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of the job: %w", err)
	}
	var err error
	if p.opts.Workspace != "" {
		if err := os.MkdirAll(p.opts.Workspace, 0o700); err != nil {
			return fmt.Errorf("cannot make the workspace of the job: %w", err)
		}
		p.dir = p.opts.Workspace
	} else if p.dir, err = os.Getwd(); err != nil {
		return fmt.Errorf("cannot find the directory of the job: %w", err)
	}
	base := p.opts.Env
	if base == nil {
		base = os.Environ()
	}
	for _, e := range base {
		if name, value, ok := cutVariable(e); ok && !strings.HasPrefix(name, "SIGNALBOX_") && !strings.EqualFold(name, "SEMAPHORE_AGENT_TOKEN") {
			p.set(name, value)
		}
	}
	if p.read, p.write, err = os.Pipe(); err != nil {
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	p.reading.Go(p.pump)
	return nil
}

// pump passes on what comes out of the pipe, one piece at a time: while nobody takes it, the writers wait.
func (p *PowerShell) pump() {
	defer close(p.data)
	buf := make([]byte, 64<<10)
	for {
		n, err := p.read.Read(buf)
		if n > 0 {
			p.data <- buf[:n]
			<-p.free
		}
		if err != nil {
			return
		}
	}
}

// Run executes text as one script.
func (p *PowerShell) Run(ctx context.Context, text string, emit Emit) (int, error) {
	if p.isStopped() {
		return 1, ErrStopped
	}
	script, dump := filepath.Join(p.opts.Dir, "command.ps1"), filepath.Join(p.opts.Dir, "state")
	_ = os.Remove(dump)
	if err := os.WriteFile(script, []byte(powerShellScript(text, dump)), 0o600); err != nil {
		return 1, fmt.Errorf("cannot write into the directory of the job: %w", err)
	}
	wait, err := p.spawn.start(append(slices.Clone(p.program), script), p.environ(), p.dir, p.write)
	if err != nil {
		return 1, fmt.Errorf("cannot start PowerShell: %w", err)
	}
	code, err := p.follow(ctx, wait, emit)
	if p.isStopped() {
		return max(code, 1), ErrStopped
	}
	if err != nil {
		return code, err
	}
	// A script that was killed or does not parse leaves nothing, and the state from before stays.
	if b, rerr := os.ReadFile(dump); rerr == nil {
		if dir, env, ok := parseState(string(b)); ok {
			p.dir, p.env = dir, env
		}
	}
	return code, nil
}

// follow emits the output of a process until it has ended and everything that it wrote was emitted.
func (p *PowerShell) follow(ctx context.Context, wait func() int, emit Emit) (int, error) {
	defer context.AfterFunc(ctx, p.Stop)()
	mark := []byte("\x00" + rand.Text() + rand.Text() + "\x00")
	ended := make(chan int, 1)
	go func() { ended <- wait() }()
	p.out.begin(emit)
	pause := time.NewTimer(p.opts.Coalesce)
	defer pause.Stop()
	code, marked := 1, make(chan error, 1)
	for {
		select {
		case b, ok := <-p.data:
			if !ok {
				return code, errors.New("the pipe of the job is broken")
			}
			done := p.out.write(b)
			p.free <- struct{}{}
			if done {
				p.out.finish()
				return code, p.out.err
			}
			pause.Reset(p.opts.Coalesce)
		case <-pause.C:
			p.out.flush()
		case code = <-ended:
			p.out.await(mark)
			// Beside this loop, which makes room in a full pipe.
			go func() { _, err := p.write.Write(mark); marked <- err }()
		case err := <-marked:
			if err != nil {
				return code, fmt.Errorf("the pipe of the job is broken: %w", err)
			}
		}
	}
}

// Export makes variables visible to all later commands.
func (p *PowerShell) Export(_ context.Context, vars []signalbox.EnvVar, emit Emit) (int, error) {
	for _, v := range vars {
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") {
			return 1, emit([]byte(fmt.Sprintf("Cannot export %q: a name is not empty and holds neither = nor NUL.\n", v.Name)))
		}
		if strings.ContainsRune(v.Value, 0) {
			return 1, emit([]byte(fmt.Sprintf("Cannot export %q: its value holds a NUL byte, which no environment can.\n", v.Name)))
		}
	}
	for _, v := range vars {
		p.set(v.Name, v.Value)
	}
	if p.isStopped() {
		return 1, ErrStopped
	}
	return 0, nil
}

// Inject writes one file for the job. It stays until Close.
func (p *PowerShell) Inject(f File, emit Emit) (int, error) {
	path := f.Path
	if !filepath.IsAbs(path) {
		home, err := os.UserHomeDir()
		if err != nil {
			return 1, err
		}
		path = filepath.Join(home, strings.TrimPrefix(path, "~"))
	}
	if err := emit([]byte(fmt.Sprintf("Injecting %s with file mode %s\n", path, f.Mode))); err != nil {
		return 1, err
	}
	if problem := p.inject(path, f); problem != "" {
		return 1, emit([]byte(problem + "\n"))
	}
	return 0, nil
}

func (p *PowerShell) inject(path string, f File) (problem string) {
	mode, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || mode > 0o7777 {
		return fmt.Sprintf("bad file permission '%s'", f.Mode)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Sprintf("Failed to create directory '%s': %v", filepath.Dir(path), err)
	}
	if !slices.ContainsFunc(p.files, func(r replaced) bool { return r.path == path }) {
		r := replaced{path: path}
		if info, err := os.Stat(path); err == nil {
			if !info.Mode().IsRegular() {
				return fmt.Sprintf("Failed to create destination path '%s': it is not a file", path)
			}
			if r.content, err = os.ReadFile(path); err != nil {
				return fmt.Sprintf("Failed to keep a copy of '%s': %v", path, err)
			}
			r.existed, r.mode = true, info.Mode().Perm()
		}
		p.files = append(p.files, r)
	}
	if err := os.WriteFile(path, f.Content, 0o600); err != nil {
		return fmt.Sprintf("Failed to create destination path '%s': %v", path, err)
	}
	if err := os.Chmod(path, os.FileMode(mode&0o777)); err != nil {
		return fmt.Sprintf("Failed to set file mode '%s' for '%s': %v", f.Mode, path, err)
	}
	return ""
}

// Stop ends all processes of the job at once: this system has no signal that asks them to end.
func (p *PowerShell) Stop() {
	p.stopOnce.Do(func() { close(p.stopped) })
	p.spawn.kill()
}

func (p *PowerShell) isStopped() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// Close ends all processes and removes what was written for the job.
func (p *PowerShell) Close() error {
	p.closeOnce.Do(func() { p.closeErr = p.close() })
	return p.closeErr
}

func (p *PowerShell) close() error {
	p.spawn.kill()
	errs := []error{p.spawn.close()}
	if p.write != nil {
		errs = append(errs, p.write.Close()) // the last one that can write: the pipe ends
		for range p.data {
			p.free <- struct{}{}
		}
		p.reading.Wait()
		errs = append(errs, p.read.Close())
	}
	for _, r := range p.files {
		if r.existed {
			errs = append(errs, os.WriteFile(r.path, r.content, r.mode), os.Chmod(r.path, r.mode))
		} else if err := os.Remove(r.path); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if p.opts.Workspace != "" {
		errs = append(errs, os.RemoveAll(p.opts.Workspace))
	}
	errs = append(errs, os.RemoveAll(p.opts.Dir))
	err := errors.Join(errs...)
	p.opts.Logger.Log(context.Background(), slog.LevelDebug, "the job's place is cleared", "error", err)
	return err
}

// set sets a variable; the spelling of its name is that of the first time.
func (p *PowerShell) set(name, value string) {
	for i, v := range p.env {
		if v.Name == name || p.foldCase && strings.EqualFold(v.Name, name) {
			p.env[i].Value = value
			return
		}
	}
	p.env = append(p.env, signalbox.EnvVar{Name: name, Value: value})
}

func (p *PowerShell) environ() []string {
	out := make([]string, 0, len(p.env))
	for _, v := range p.env {
		out = append(out, v.Name+"="+v.Value)
	}
	return out
}
