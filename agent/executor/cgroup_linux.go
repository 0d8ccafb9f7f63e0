package executor

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup holds all processes of one job, whatever they do to their session, parents and environment. Where this process
// may not make one, the other ways of finding processes have to do.
type cgroup struct{ path string }

// newCgroup makes a group below the one of this process; nil when that is not possible here.
func newCgroup(name string) *cgroup {
	parent := ownCgroup()
	if parent == "" {
		return nil
	}
	c := &cgroup{filepath.Join(parent, name)}
	if err := os.Mkdir(c.path, 0o755); err != nil {
		return nil
	}
	return c
}

// ownCgroup is the folder of this process's group in the unified hierarchy, "" without one.
func ownCgroup() string {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer mounts.Close()
	root, at := "", ""
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		f := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(f) > 4 {
			root, at = f[3], f[4]
			break
		}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || at == "" {
		return ""
	}
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			rel, err := filepath.Rel(root, path)
			if err != nil || strings.HasPrefix(rel, "..") {
				return ""
			}
			return filepath.Join(at, rel)
		}
	}
	return ""
}

// pids lists the processes in the group and in those below it, which jobs may make.
func (c *cgroup) pids() []int {
	if c == nil {
		return nil
	}
	var out []int
	_ = filepath.WalkDir(c.path, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		b, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				out = append(out, pid)
			}
		}
		return nil
	})
	return out
}

// end kills what is in the group and removes it.
func (c *cgroup) end() {
	if c == nil {
		return
	}
	for pause := time.Millisecond; pause < time.Second; pause *= 2 {
		if c.remove() == nil {
			return
		}
		if os.WriteFile(filepath.Join(c.path, "cgroup.kill"), []byte("1"), 0) != nil { // an older kernel
			for _, pid := range c.pids() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		time.Sleep(pause)
	}
}

func (c *cgroup) remove() error {
	var dirs []string
	_ = filepath.WalkDir(c.path, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var err error
	for i := len(dirs) - 1; i >= 0; i-- {
		err = unix.Rmdir(dirs[i])
	}
	return err
}

func (c *cgroup) open() (*os.File, error) { return os.Open(c.path) }
