package executor

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCleanUpAfterAKill: from the private directory alone, another process ends all processes of a job, also those that
// left their session and cleared their environment, and puts injected files back.
func TestCleanUpAfterAKill(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	opts := ShellOptions{Dir: filepath.Join(base, "jobs", "one"), Workspace: filepath.Join(base, "work")}
	e, err := NewShell(opts)
	if err != nil {
		t.Fatal(err)
	}
	s := e.(*Shell)
	if err := s.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	old, fresh := filepath.Join(base, "old"), filepath.Join(base, "fresh")
	if err := os.WriteFile(old, []byte("before"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, fresh} {
		if code, err := s.Inject(File{Path: path, Mode: "0600", Content: []byte("secret")}, func([]byte) error { return nil }); code != 0 || err != nil {
			t.Fatal(code, err)
		}
	}
	hidden := "sleep 1000 & setsid sleep 1000 & "
	if s.tree.group != nil { // only then is such a process found by somebody who is not its parent
		hidden += "(env -i setsid sleep 1000 &) ; "
	}
	out, code := do(t, s, hidden+"sleep 0.2; echo $$; ps -A -o pid=,args= | awk '$2 == \"sleep\" && $3 == 1000 {print $1}'")
	if code != 0 {
		t.Fatal(out)
	}
	var mine []int
	for _, f := range strings.Fields(out) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			continue // the shell's notices about background jobs
		}
		if _, known := inTree(s, pid); known {
			mine = append(mine, pid)
		}
	}
	if len(mine) < 3 {
		t.Fatalf("%v in %q", mine, out)
	}
	if err := CleanUp(opts.Dir, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, pid := range mine {
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			if st, ok := readStat(pid); !ok || st.zombie {
				break
			}
			if time.Now().After(end) {
				t.Errorf("process %d lives", pid)
				break
			}
		}
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Stat(old); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	for _, path := range []string{fresh, opts.Dir, opts.Workspace} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	_ = s.Close() // what is left in this process; the files are gone already
}

func inTree(s *Shell, pid int) (member, bool) {
	for _, m := range s.tree.members(0) {
		if m.pid == pid {
			return m, true
		}
	}
	return member{}, false
}
