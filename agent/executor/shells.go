//go:build unix

package executor

import (
	"os/exec"
	"sync"
)

// shells are the bashes of all jobs of this process. They are waited for by their own goroutines, so nothing that
// looks for orphans may touch them. Which children a process has is a fact of the process, hence one list for all.
var shells = shellList{pids: map[int]bool{}, sessions: map[int]bool{}}

type shellList struct {
	mu       sync.Mutex
	pids     map[int]bool // not waited for yet
	sessions map[int]bool // that belong to a job which is not closed yet
}

// start starts cmd; nobody sees the new process before it is in the list.
func (l *shellList) start(cmd *exec.Cmd) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	l.pids[cmd.Process.Pid], l.sessions[cmd.Process.Pid] = true, true
	return nil
}

func (l *shellList) has(pid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pids[pid]
}

func (l *shellList) remove(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pids, pid)
}

// owned tells whether a session was begun by a shell of some job.
func (l *shellList) owned(session int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[session]
}

// forget says that the job of these shells is over.
func (l *shellList) forget(pids []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pid := range pids {
		delete(l.sessions, pid)
	}
}
