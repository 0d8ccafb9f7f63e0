package executor

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// adopting is whether AdoptOrphans was called, which changes the whole process.
var adopting atomic.Bool

// AdoptOrphans makes this process the parent of every process of a job whose own parent ended, so that even one that
// left its session and cleared its environment is found at the end of the job. It is for programs like the agent that
// have no other children in sessions of their own.
func AdoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of orphans: %w", err)
	}
	adopting.Store(true)
	return nil
}

// member is one process, also when its number is used again later.
type member struct {
	pid   int
	start uint64
}

// tree finds the processes of one job: the shells, whatever descends from them, whatever is in a session of one of
// them, and whatever carries the mark of the job in its environment. A process that was found once stays a member.
type tree struct {
	mark  []byte
	group *cgroup // nil where none can be made

	shells []int // all there were

	mu    sync.Mutex
	known map[member]bool
	sids  map[int]bool
	since uint64
}

func newTree(mark string) *tree {
	return &tree{
		mark:  []byte("\x00" + treeVariable + "=" + mark + "\x00"),
		known: map[member]bool{}, sids: map[int]bool{},
	}
}

// confine makes a cgroup for the job, where that is allowed, and returns where it is.
func (t *tree) confine(name string) string {
	if t.group = newCgroup(name); t.group == nil {
		return ""
	}
	return t.group.path
}

// adopt takes over the cgroup of an earlier process.
func (t *tree) adopt(path string) {
	if path != "" {
		t.group = &cgroup{path}
	}
}

// end kills whatever is left, and removes the cgroup.
func (t *tree) end() { t.group.end() }

// start starts a shell of this job. command makes it, more than once when that is needed.
func (t *tree) start(command func() *exec.Cmd) (*exec.Cmd, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	cmd, err := t.startInGroup(command)
	if err != nil {
		return nil, err
	}
	t.shells = append(t.shells, cmd.Process.Pid)
	if s, ok := readStat(cmd.Process.Pid); ok {
		t.known[member{s.pid, s.start}] = true
		t.sids[s.sid] = true
		if t.since == 0 {
			t.since = s.start
		}
	}
	return cmd, nil
}

// startInGroup falls back to no group when the kernel cannot start a process in one.
func (t *tree) startInGroup(command func() *exec.Cmd) (*exec.Cmd, error) {
	if t.group != nil {
		if dir, err := t.group.open(); err == nil {
			cmd := command()
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
			err = shells.start(cmd)
			dir.Close()
			if err == nil {
				return cmd, nil
			}
		}
		t.group.end()
		t.group = nil
	}
	cmd := command()
	return cmd, shells.start(cmd)
}

// members lists the living processes of the job, except one.
func (t *tree) members(except int) []member {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	self, mySession := os.Getpid(), 0
	if s, ok := readStat(self); ok {
		mySession = s.sid
	}
	var all []stat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		if s, ok := readStat(pid); ok && s.start >= t.since {
			all = append(all, s)
		}
	}
	inGroup := map[int]bool{}
	for _, pid := range t.group.pids() {
		inGroup[pid] = true
	}
	for _, s := range all {
		m := member{s.pid, s.start}
		if t.known[m] {
			continue
		}
		switch {
		case inGroup[s.pid] || t.sids[s.sid] || t.carriesMark(m):
			t.add(m, s.sid, mySession)
		case !orphan(s, self, mySession):
		case s.zombie:
			_, _ = unix.Wait4(s.pid, nil, unix.WNOHANG, nil)
		case nobodys(s.pid):
			t.add(m, s.sid, mySession)
		}
	}
	for changed := true; changed; { // children of members are members
		changed = false
		for _, s := range all {
			m := member{s.pid, s.start}
			if !t.known[m] && t.knownPID(s.ppid, all) {
				t.add(m, s.sid, mySession)
				changed = true
			}
		}
	}
	var out []member
	for _, s := range all {
		m := member{s.pid, s.start}
		if !t.known[m] || s.pid == except {
			continue
		}
		if s.zombie {
			if s.ppid == self && !shells.has(s.pid) {
				_, _ = unix.Wait4(s.pid, nil, unix.WNOHANG, nil)
			}
			continue
		}
		out = append(out, m)
	}
	return out
}

func (t *tree) add(m member, sid, mySession int) {
	t.known[m] = true
	if sid != mySession && sid != 0 {
		t.sids[sid] = true
	}
}

func (t *tree) knownPID(pid int, all []stat) bool {
	for _, s := range all {
		if s.pid == pid {
			return t.known[member{s.pid, s.start}]
		}
	}
	return false
}

// orphan tells whether a process was given to us when its parent ended, and is in a session that no job began.
func orphan(s stat, self, mySession int) bool {
	return adopting.Load() && s.ppid == self && s.sid != mySession && !shells.has(s.pid) && !shells.owned(s.sid)
}

// nobodys tells whether a process carries the mark of no job at all, because it cleared its environment. In the middle
// of an exec an environment looks empty too, so one that does is looked at again.
func nobodys(pid int) bool {
	for range 3 {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil || bytes.Contains(env, []byte(treeVariable+"=")) {
			return false
		}
		if len(env) > 0 {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	return true
}

func (t *tree) carriesMark(m member) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(m.pid) + "/environ")
	if err != nil {
		return false // ended, or another user's
	}
	return bytes.Contains(append([]byte{0}, env...), t.mark)
}

// stat is what /proc/PID/stat tells.
type stat struct {
	pid, ppid, sid int
	zombie         bool
	start          uint64
}

func readStat(pid int) (stat, bool) {
	// Without the os package, because this is read for every process of the machine. A line is shorter than 1 KB.
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return stat{}, false
	}
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
	unix.Close(fd)
	if err != nil {
		return stat{}, false
	}
	b := buf[:n]
	// The second field is a name in parentheses that may hold anything.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return stat{}, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return stat{}, false
	}
	s := stat{pid: pid, zombie: f[0] == "Z" || f[0] == "X"}
	s.ppid, _ = strconv.Atoi(f[1])
	s.sid, _ = strconv.Atoi(f[3])
	s.start, _ = strconv.ParseUint(f[19], 10, 64)
	return s, true
}
