//go:build unix

package executor

import (
	"errors"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// Close ends the processes of the job and removes its files. A second call returns the first one's error.
func (s *Shell) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Shell) close() error {
	var errs []error
	if s.tree != nil {
		var l link = &process{shell: s} // no shell lives, but others may
		if s.link != nil {
			l = s.link
		}
		s.session.terminate(l)
		s.tree.end()
	}
	if s.term != nil {
		errs = append(errs, s.term.close())
	}
	if s.fifo != nil {
		errs = append(errs, s.fifo.Close())
	}
	// The readers may be about to hand something over.
	if s.term != nil {
		go func() {
			for range s.term.data {
			}
		}()
		go func() {
			for range s.results {
			}
		}()
	}
	s.reads.Wait()
	if s.tree != nil {
		shells.forget(s.tree.shells)
	}
	errs = append(errs, undoAll(s.files, s.opts.User))
	if s.opts.Workspace != "" {
		errs = append(errs, removeAll(s.opts.Workspace))
	}
	errs = append(errs, removeAll(s.opts.Dir))
	return errors.Join(errs...)
}

// terminateTree ends all processes of the job. The shell is halted first, because otherwise it would go on with the next
// line of its text when the program it waits for dies of SIGTERM. When the others are gone, or the grace period is
// over, it is continued with SIGHUP pending: it runs its EXIT trap and ends before it reads on. What is left is killed.
func (s *Shell) terminateTree(p *process) {
	deadline := time.Now().Add(s.opts.Grace)
	shell := 0
	if p.cmd != nil && !p.hasEnded() {
		shell = p.cmd.Process.Pid
		_ = p.cmd.Process.Signal(unix.SIGSTOP)
	}
	told := map[member]bool{}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := s.tree.members(shell)
		for _, m := range left {
			if !told[m] { // also those that were started meanwhile
				told[m] = true
				_ = unix.Kill(m.pid, unix.SIGTERM)
				_ = unix.Kill(m.pid, unix.SIGCONT)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(pause)
	}
	if shell != 0 {
		_ = p.cmd.Process.Signal(unix.SIGHUP)
		_ = p.cmd.Process.Signal(unix.SIGCONT)
		last := time.NewTimer(max(time.Until(deadline), min(s.opts.Grace, time.Second)))
		select {
		case <-p.over:
		case <-last.C:
			_ = p.cmd.Process.Kill()
			<-p.over
		}
		last.Stop()
	}
	s.kill()
}

// kill sends SIGKILL until nothing is left, or what is left cannot be killed by us.
func (s *Shell) kill() {
	deadline := time.Now().Add(10 * time.Second)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := s.tree.members(0)
		if len(left) == 0 {
			return
		}
		for _, m := range left {
			_ = unix.Kill(m.pid, unix.SIGKILL)
		}
		if time.Now().After(deadline) {
			s.log.Error("processes of a finished job cannot be killed", "pids", pids(left))
			return
		}
		time.Sleep(pause)
	}
}

func pids(ms []member) []int {
	var out []int
	for _, m := range ms {
		out = append(out, m.pid)
	}
	return out
}

func (p *process) hasEnded() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// exitStatus is the code as a shell would report it.
func exitStatus(state *os.ProcessState, err error) int {
	if state == nil {
		return 1
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1
	}
	if ws, ok := state.Sys().(interface {
		Signaled() bool
		Signal() unix.Signal
	}); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
