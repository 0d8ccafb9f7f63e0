//go:build unix

package executor

import (
	"os/exec"
	"sync"
)

// shells are the bashes of all jobs of this process. They are waited for by their own goroutines, so nothing that
// looks for orphans may touch them. Which children a process has is a fact of the process, hence one list for all.
var shells = shellList{pids: map[int]bool{}}

type shellList struct {
	mu   sync.Mutex
	pids map[int]bool
}

// start starts cmd; nobody sees the new process before it is in the list.
func (l *shellList) start(cmd *exec.Cmd) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	l.pids[cmd.Process.Pid] = true
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
