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
	mark []byte

	mu    sync.Mutex
	known map[member]bool
	sids  map[int]bool
	since uint64
}

func newTree(mark string) *tree {
	t := &tree{
		mark:  []byte("\x00" + treeVariable + "=" + mark + "\x00"),
		known: map[member]bool{}, sids: map[int]bool{},
	}
	return t
}

// start starts a shell of this job.
func (t *tree) start(cmd *exec.Cmd) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := shells.start(cmd); err != nil {
		return err
	}
	if s, ok := readStat(cmd.Process.Pid); ok {
		t.known[member{s.pid, s.start}] = true
		t.sids[s.sid] = true
		if t.since == 0 {
			t.since = s.start
		}
	}
	return nil
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
	for _, s := range all {
		m := member{s.pid, s.start}
		if t.known[m] {
			continue
		}
		if t.sids[s.sid] || t.carriesMark(m) || adopted(s, self, mySession) {
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

// adopted tells whether a process was given to us when its parent ended: a child of this process in a session that is
// not ours. Shells are such children too, but they are known. The mark of another job would be found by that job.
func adopted(s stat, self, mySession int) bool {
	if !adopting.Load() || s.ppid != self || s.sid == mySession || shells.has(s.pid) {
		return false
	}
	env, _ := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/environ")
	return !bytes.Contains(env, []byte(treeVariable+"="))
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
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
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
