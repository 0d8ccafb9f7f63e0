//go:build unix && !linux

package executor

import (
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// AdoptOrphans does nothing: this system has no such thing.
func AdoptOrphans() error { return nil }

// member is one process.
type member struct {
	pid int
}

// tree finds the processes of one job: the shells, their descendants, and the process groups of both. A process that
// was found once stays a member while it lives.
type tree struct {
	shells []int // all there were

	mu     sync.Mutex
	known  map[int]bool
	groups map[int]bool
}

func newTree(string) *tree { return &tree{known: map[int]bool{}, groups: map[int]bool{}} }

// confine does nothing: this system has no cgroups.
func (t *tree) confine(string) string { return "" }

func (t *tree) adopt(string) {}

func (t *tree) end() {}

// start starts a shell of this job.
func (t *tree) start(command func() *exec.Cmd) (*exec.Cmd, error) {
	cmd := command()
	if err := shells.start(cmd); err != nil {
		return nil, err
	}
	t.shells = append(t.shells, cmd.Process.Pid)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[cmd.Process.Pid], t.groups[cmd.Process.Pid] = true, true
	return cmd, nil
}

// members lists the living processes of the job, except one.
func (t *tree) members(except int) []member {
	t.mu.Lock()
	defer t.mu.Unlock()
	table, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,pgid=,stat=").Output()
	if err != nil {
		return nil
	}
	type row struct {
		pid, ppid, pgid int
		zombie          bool
	}
	var all []row
	alive := map[int]bool{}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		var r row
		r.pid, _ = strconv.Atoi(f[0])
		r.ppid, _ = strconv.Atoi(f[1])
		r.pgid, _ = strconv.Atoi(f[2])
		r.zombie = strings.HasPrefix(f[3], "Z")
		all = append(all, r)
		alive[r.pid] = true
	}
	for pid := range t.known {
		if !alive[pid] {
			delete(t.known, pid) // the number may be used again
		}
	}
	for changed := true; changed; {
		changed = false
		for _, r := range all {
			if !t.known[r.pid] && (t.known[r.ppid] || t.groups[r.pgid]) {
				t.known[r.pid], t.groups[r.pgid], changed = true, true, true
			}
		}
	}
	var out []member
	for _, r := range all {
		if t.known[r.pid] && r.pid != except && !r.zombie {
			out = append(out, member{r.pid})
		}
	}
	return out
}
