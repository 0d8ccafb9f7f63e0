//go:build unix

package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

// groups starts each process in a group of its own, as far as this system has what a job object is.
type groups struct {
	mu     sync.Mutex
	pids   []int
	killed bool
}

func (g *groups) start(program, env []string, dir string, out *os.File) (func() int, error) {
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := shells.start(cmd); err != nil {
		return nil, err
	}
	g.pids = append(g.pids, cmd.Process.Pid)
	if g.killed {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return func() int { _ = cmd.Wait(); shells.remove(cmd.Process.Pid); return cmd.ProcessState.ExitCode() }, nil
}

func (g *groups) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = true
	for _, pid := range g.pids {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

func (g *groups) close() error { return nil }

// bashInstead runs what stands in the script's try block as bash, and keeps the promises of the rest: the state is
// written however the block ends. What PowerShell itself makes of a script is not tested by it.
const bashInstead = `
dump=$(sed -n "s/.*WriteAllText('\([^']*\)'.*/\1/p" "$0")
trap 'code=$?; { printf "%s\0" "$PWD"; env -0; printf signalbox-state-ends; } >"$dump"; exit $code' EXIT
eval "$(sed -n '/^try {$/,/^} finally {$/p' "$0" | sed '1d;$d')"
`

func newTestPowerShell(t *testing.T) (*PowerShell, ShellOptions) {
	o := ShellOptions{Dir: filepath.Join(t.TempDir(), "deep", "job"), Workspace: filepath.Join(t.TempDir(), "ws"), Env: []string{"PATH=" + os.Getenv("PATH"), "SEMAPHORE_AGENT_TOKEN=secret", "SIGNALBOX_X=1"}}
	p := newPowerShell(o, []string{"bash", "-c", bashInstead}, &groups{})
	if err := p.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for _, d := range []string{o.Dir, o.Workspace} {
			if _, err := os.Stat(d); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left", d)
			}
		}
	})
	return p, o
}

func TestPowerShellCarriesStateFromCommandToCommand(t *testing.T) {
	p, o := newTestPowerShell(t)
	file := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(file, []byte("before"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, out string
		code      int
	}{
		{"pwd", o.Workspace + "\n", 0},
		{"mkdir sub; cd sub; export A='x\ny' B=", "", 0},
		{`pwd; echo "$A-$B-$SEMAPHORE_AGENT_TOKEN-$SIGNALBOX_X"`, o.Workspace + "/sub\nx\ny---\n", 0},
		{"exit 3", "", 3},
		{"export C=1; false", "", 1},
		{"echo $C; echo err >&2", "1\nerr\n", 0}, // also what a failing command leaves
		{"kill -9 $$", "", -1},
		{"echo $A | head -1", "x y\n", 0},
		{`printf 'a\r\n\x00\xff'`, "a\r\n\x00\xff", 0},
	} {
		var out bytes.Buffer
		code, err := p.Run(t.Context(), c.text, func(b []byte) error { out.Write(b); return nil })
		if code != c.code || err != nil || out.String() != c.out {
			t.Errorf("%q: %d, %v, %q; want %d, %q", c.text, code, err, out.String(), c.code, c.out)
		}
	}
	var said bytes.Buffer
	emit := func(b []byte) error { said.Write(b); return nil }
	if code, err := p.Export(t.Context(), []signalbox.EnvVar{{Name: "A", Value: "$HOME `x` \"q\""}}, emit); code != 0 || err != nil {
		t.Error(code, err)
	}
	if code, _ := p.Run(t.Context(), `printf %s "$A"`, emit); code != 0 || said.String() != "$HOME `x` \"q\"" {
		t.Errorf("exported: %q", said.String())
	}
	for _, v := range []signalbox.EnvVar{{Name: ""}, {Name: "A=B"}, {Name: "A", Value: "\x00"}} {
		if code, err := p.Export(t.Context(), []signalbox.EnvVar{v}, emit); code != 1 || err != nil {
			t.Errorf("%q was exported: %d, %v", v, code, err)
		}
	}
	if code, err := p.Inject(File{Path: file, Mode: "0600", Content: []byte("now")}, emit); code != 0 || err != nil {
		t.Error(code, err)
	}
	if code, _ := p.Inject(File{Path: file, Mode: "rw", Content: nil}, emit); code != 1 {
		t.Error("a bad mode passed")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "now" {
		t.Errorf("injected: %q, %v", b, err)
	}
	t.Cleanup(func() { // runs before the cleanup that closes, so it closes first
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(file)
		b, rerr := os.ReadFile(file)
		if err != nil || rerr != nil || string(b) != "before" || info.Mode().Perm() != 0o640 {
			t.Errorf("the file from before is %q, %v, %v, %v", b, info, err, rerr)
		}
	})
}

// Every byte of a command is emitted when Run returns, in pieces that cut no character, also while a process in the
// background still holds the pipe; that one's later output belongs to the next command.
func TestPowerShellOutputIsComplete(t *testing.T) {
	p, _ := newTestPowerShell(t)
	var want bytes.Buffer
	for i := range 60000 {
		fmt.Fprintf(&want, "zeile %d äöü\n", i)
	}
	var out bytes.Buffer
	biggest := 0
	code, err := p.Run(t.Context(), `(sleep 0.3; echo late; sleep 60) & i=0; while ((i<60000)); do echo "zeile $i äöü"; ((i+=1)); done; true`, func(b []byte) error {
		biggest = max(biggest, len(b))
		out.Write(b)
		return nil
	})
	got := strings.ReplaceAll(out.String(), "late\n", "")
	if code != 0 || err != nil || got != want.String() || biggest > MaxChunk {
		t.Errorf("%d, %v, %d bytes of %d, pieces of %d", code, err, len(got), want.Len(), biggest)
	}
	if _, err := p.Run(t.Context(), "sleep 0.5", func(b []byte) error { out.Write(b); return nil }); err != nil || !strings.Contains(out.String(), "late\n") {
		t.Errorf("what a process in the background wrote is lost: %v", err)
	}
}

func TestPowerShellStops(t *testing.T) {
	p, _ := newTestPowerShell(t)
	begun := make(chan struct{})
	go func() { <-begun; p.Stop(); p.Stop() }()
	begin := time.Now()
	code, err := p.Run(t.Context(), "echo begun; sleep 60 & sleep 60", func([]byte) error { close(begun); return nil })
	if code == 0 || !errors.Is(err, ErrStopped) || time.Since(begin) > 10*time.Second {
		t.Errorf("%d, %v after %v", code, err, time.Since(begin))
	}
	if code, err := p.Run(t.Context(), "echo more", func([]byte) error { t.Error("it ran"); return nil }); code != 1 || !errors.Is(err, ErrStopped) {
		t.Errorf("after the stop: %d, %v", code, err)
	}

	q, _ := newTestPowerShell(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := q.Run(ctx, "sleep 60", func([]byte) error { return nil }); !errors.Is(err, ErrStopped) {
		t.Errorf("after the context ended: %v", err)
	}
}

func TestPowerShellScript(t *testing.T) {
	s := powerShellScript("Write-Output 'é'", `C:\it's $HOME`)
	if !strings.HasPrefix(s, "\xef\xbb\xbf$ErrorActionPreference = 'Stop'\n") {
		t.Errorf("it begins with %q", s[:40])
	}
	for _, part := range []string{"\ntry {\nWrite-Output 'é'\n} finally {\n", `WriteAllText('C:\it''s $HOME', `, "\nexit $global:LASTEXITCODE\n"} {
		if !strings.Contains(s, part) {
			t.Errorf("it lacks %q:\n%s", part, s)
		}
	}
	for in, want := range map[string]string{"": "''", "a": "'a'", "it's": "'it''s'", "$x `n \"": "'$x `n \"'", "‘x’": "'‘‘x’’'", "a\nb": "'a\nb'"} {
		if got := powerShellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseState(t *testing.T) {
	dir, env, ok := parseState("C:\\work\x00=C:=C:\\work\x00A=1\x00B=x=y\nz\x00EMPTY=\x00broken\x00" + stateEnd)
	want := []signalbox.EnvVar{{Name: "=C:", Value: `C:\work`}, {Name: "A", Value: "1"}, {Name: "B", Value: "x=y\nz"}, {Name: "EMPTY"}}
	if d := cmp.Diff(want, env); d != "" || dir != `C:\work` || !ok {
		t.Errorf("%s %v\n%s", dir, ok, d)
	}
	for _, bad := range []string{"", "x", stateEnd, "C:\\\x00A=1\x00", "C:\\\x00A=1\x00" + stateEnd[:5], "\x00A=1\x00" + stateEnd} {
		if _, _, ok := parseState(bad); ok {
			t.Errorf("%q passed for a whole state", bad)
		}
	}
}

func TestPowerShellNamesIgnoreCase(t *testing.T) {
	p := newPowerShell(ShellOptions{}, nil, nil)
	p.foldCase = true
	p.set("Path", "1")
	p.set("PATH", "2")
	if d := cmp.Diff([]signalbox.EnvVar{{Name: "Path", Value: "2"}}, p.env); d != "" {
		t.Error(d)
	}
	p.foldCase = false
	p.set("PATH", "3")
	if len(p.env) != 2 {
		t.Errorf("%v", p.env)
	}
}
