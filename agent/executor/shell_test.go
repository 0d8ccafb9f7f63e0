//go:build unix

package executor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"golang.org/x/sys/unix"
)

// begin starts a shell for one job; it is closed at the end of the test.
func begin(t *testing.T, change func(*ShellOptions)) *Shell {
	t.Helper()
	opts := ShellOptions{Dir: filepath.Join(t.TempDir(), "jobs", "one"), Grace: 5 * time.Second}
	if change != nil {
		change(&opts)
	}
	e, err := NewShell(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(opts.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory of the job is still there: %v", err)
		}
	})
	if err := e.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return e.(*Shell)
}

// do runs one command and returns its output.
func do(t *testing.T, s *Shell, text string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	code, err := s.Run(ctx, text, func(b []byte) error { out.Write(b); return nil })
	if err != nil {
		t.Fatalf("%q: %v (output %q)", text, err, out.String())
	}
	return out.String(), code
}

type step struct {
	text string
	out  string // "~" in front: only has to be part of the output
	code int
}

func TestCommands(t *testing.T) {
	const gone = "The command ended the shell. The next one starts in a new shell: directory, functions and variables that were not exported by the job are gone.\n"
	tests := map[string][]step{
		"plain":                   {{"echo Hello World", "Hello World\n", 0}, {"printf 'no newline'", "no newline", 0}, {"true", "", 0}},
		"several lines":           {{"for i in 1 2; do\n  echo \"line $i\"\ndone\ncat <<EOF\n<b>&\nEOF", "line 1\nline 2\n<b>&\n", 0}},
		"no line end":             {{"cat <<EOF\nx\nEOF", "x\n", 0}, {"echo a # comment", "a\n", 0}, {"", "", 0}},
		"status of a list":        {{"false; true", "", 0}, {"false | true", "", 0}, {"(exit 300)", "", 44}, {"return 7", "", 7}},
		"signals":                 {{"sh -c 'kill -TERM $$'", "~Terminated", 143}, {"sh -c 'kill -INT $$'; echo no", "~", 130}, {"echo yes", "yes\n", 0}},
		"unknown command":         {{"echhhho Hello", "bash: echhhho: command not found\n", 127}},
		"syntax error":            {{"if then", "~syntax error", 2}, {"echo 'open", "~unexpected EOF", 2}, {"echo on", "on\n", 0}},
		"state stays":             {{"cd /; X=kept; f() { echo in $1; }; alias ll='echo aliased'", "", 0}, {"pwd; echo $X; f 1\nll", "/\nkept\nin 1\naliased\n", 0}},
		"status is not inherited": {{"false", "", 1}, {"echo $? $AGENT_CMD_RESULT", "0 1\n", 0}},
		"exit":                    {{"X=1; exit 3", "", 3}, {"echo \"X=$X\"", "X=\n", 0}},
		"exit 0":                  {{"exit 0", gone, 0}, {"echo on", "on\n", 0}},
		"exit trap":               {{"trap 'echo bye' EXIT; exit 4", "bye\n", 4}},
		"set -e":                  {{"set -e; false; echo no", "", 1}, {"echo on", "on\n", 0}},
		"set -e later":            {{"set -e", "", 0}, {"echo a; (exit 9); echo b", "a\n", 9}, {"echo on", "on\n", 0}},
		"set -eo pipefail":        {{"set -eo pipefail; false | true", "", 1}},
		"set -u":                  {{"set -u; echo $nope; echo no", "~unbound variable", 1}, {"echo on", "on\n", 0}},
		"set -x":                  {{"set -x", "", 0}, {"echo a", "++ echo a\na\n", 0}, {"set +x", "++ set +x\n", 0}, {"echo b", "b\n", 0}},
		"set -v":                  {{"set -v", "", 0}, {"echo a", "~a\n", 0}},
		"killed shell":            {{"echo a; kill -9 $$", "a\n", 137}, {"echo on", "on\n", 0}},
		"replaced shell":          {{"exec sh -c 'echo new; exit 5'", "new\n", 5}, {"echo on", "on\n", 0}},
		"input ends":              {{"cat; echo $?", "0\n", 0}, {"read x; echo $?", "1\n", 0}, {"read -r -s -p pass: x || echo none", "pass:none\n", 0}},
		"nested shells":           {{"bash --norc; echo $?", "~0\n", 0}, {"sh; echo $?", "~0\n", 0}},
		"input is gone for good":  {{"exec </dev/null", "", 0}, {"cat; echo on", "on\n", 0}},
		"a terminal":              {{"test -t 0 && test -t 1 && test -t 2 && stty size", "24 80\n", 0}, {"case $- in *i*) echo interactive;; esac; shopt -q login_shell && echo login", "interactive\nlogin\n", 0}},
		"terminal settings":       {{"stty echo raw", "", 0}, {"echo a; stty -a | grep -c -- ' -echo '", "a\n1\n", 0}},
		"a cooked terminal":       {{"stty sane; sleep 0.3; printf 'a\\nb\\r\\n'", "a\nb\r\n", 0}, {"printf 'c\\n'", "c\n", 0}},
		"bytes":                   {{`printf 'a\001b\000c\n'`, "a\x01b\x00c\n", 0}, {`printf '\x96\x96'`, "\x96\x96", 0}, {`printf '\xe7\x89'`, "\xe7\x89", 0}},
		"line ends":               {{`printf 'dos\r\nline\r\n10%%\r50%%\r100%%\n\r'`, "dos\r\nline\r\n10%\r50%\r100%\n\r", 0}, {"true", "", 0}},
		"venv":                    {{"PS1='(venv) '", "", 0}, {"echo a", "a\n", 0}},
		"readonly prompt":         {{"readonly PS1 PS2", "", 0}, {"echo a", "a\n", 0}, {"echo b", "b\n", 0}},
		"break outside":           {{"break; echo on", "~on\n", 0}, {"continue; echo on", "~on\n", 0}},
		"descriptors":             {{"exec 9>/dev/null 3>&1", "", 0}, {"echo a >&3; echo b >&9", "a\n", 0}},
		"history is not kept":     {{"echo \"[$HISTFILE]\"; echo 'bang!'", "[]\nbang!\n", 0}},
		"IFS and noclobber":       {{"IFS=0123456789; set -fC", "", 0}, {"echo a", "a\n", 0}},
		"posix mode":              {{"set -o posix", "", 0}, {"echo a", "a\n", 0}},
		"output of the past":      {{"(sleep 0.3; echo late) & echo now", "now\n", 0}, {"sleep 1", "~late", 0}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, nil)
			for _, st := range steps {
				out, code := do(t, s, st.text)
				want, part := strings.CutPrefix(st.out, "~")
				if code != st.code || (out != want && !(part && strings.Contains(out, want))) {
					t.Errorf("%q: got %q and %d, want %q and %d", st.text, out, code, st.out, st.code)
				}
			}
		})
	}
}

func TestBigOutputIsExactAndBounded(t *testing.T) {
	s := begin(t, nil)
	if _, code := do(t, s, "head -c 50000000 /dev/zero | tr '\\0' x"); code != 0 {
		t.Fatal(code)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	total, longest := 0, 0
	code, err := s.Run(t.Context(), "head -c 50000000 /dev/zero | tr '\\0' x; echo; seq 1 300000", func(b []byte) error {
		total += len(b)
		longest = max(longest, len(b))
		return nil
	})
	runtime.ReadMemStats(&after)
	seq := 0
	for i := 1; i <= 300000; i++ {
		seq += len(strconv.Itoa(i)) + 1
	}
	if err != nil || code != 0 || total != 50000001+seq || longest > MaxChunk {
		t.Errorf("code %d, error %v, %d bytes instead of %d, longest chunk %d", code, err, total, 50000001+seq, longest)
	}
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestOutputIsCompleteAtTheEndOfEveryCommand(t *testing.T) {
	s := begin(t, nil)
	for i := range 200 {
		want := strings.Repeat(strconv.Itoa(i)+"\n", i)
		if out, _ := do(t, s, "for ((i = 0; i < "+strconv.Itoa(i)+"; i++)); do echo "+strconv.Itoa(i)+"; done"); out != want {
			t.Fatalf("command %d: %d bytes instead of %d", i, len(out), len(want))
		}
	}
}

func TestOutputComesWhileTheCommandRuns(t *testing.T) {
	s := begin(t, nil)
	fifo := filepath.Join(t.TempDir(), "go")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	_, err := s.Run(t.Context(), "printf 'half\\r'; read x <"+fifo+"; echo $x", func(b []byte) error {
		if out.Len() == 0 {
			if string(b) != "half" {
				t.Errorf("first %q", b)
			}
			// The command goes on only because its output was seen.
			if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
				t.Error(err)
			}
		}
		out.Write(b)
		return nil
	})
	if err != nil || out.String() != "half\rgo\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestExportSurvivesANewShell(t *testing.T) {
	s := begin(t, nil)
	vars := []signalbox.EnvVar{{Name: "A", Value: "it's"}, {Name: "D", Value: "$PATH:/x"}, {Name: "N", Value: "two\nlines"}, {Name: "E", Value: ""}}
	if code, err := s.Export(t.Context(), vars, nil); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	want := "it's/$PATH:/x/two\nlines//set\n"
	for _, text := range []string{"exit 3", "true", "kill -9 $$"} {
		if out, _ := do(t, s, `echo "$A/$D/$N/$E/${E+set}"`); out != want {
			t.Errorf("before %q: %q", text, out)
		}
		do(t, s, text)
	}
	for _, bad := range []signalbox.EnvVar{{Name: "a-b"}, {Name: ""}, {Name: "X", Value: "\x00"}} {
		var out strings.Builder
		code, err := s.Export(t.Context(), []signalbox.EnvVar{bad}, func(b []byte) error { out.Write(b); return nil })
		if code != 1 || err != nil || !strings.HasPrefix(out.String(), "Cannot export") {
			t.Errorf("%+v: %d %v %q", bad, code, err, out.String())
		}
	}
}

func TestInject(t *testing.T) {
	home := t.TempDir()
	old := filepath.Join(home, "old")
	if err := os.WriteFile(old, []byte("mine"), 0o640); err != nil {
		t.Fatal(err)
	}
	e, err := NewShell(ShellOptions{Dir: filepath.Join(t.TempDir(), "j"), Env: append(os.Environ(), "HOME="+home)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	abs := filepath.Join(t.TempDir(), "abs")
	for _, tt := range []struct {
		f    File
		code int
		out  string
	}{
		{File{"a/b.txt", "0644", []byte("x")}, 0, "Injecting " + home + "/a/b.txt with file mode 0644\n"},
		{File{"~/.key", "0600", []byte("k")}, 0, "Injecting " + home + "/.key with file mode 0600\n"},
		{File{abs, "0755", nil}, 0, "Injecting " + abs + " with file mode 0755\n"},
		{File{"old", "0600", []byte("theirs")}, 0, "Injecting " + old + " with file mode 0600\n"},
		{File{"m", "obviously broken", nil}, 1, "Injecting " + home + "/m with file mode obviously broken\nbad file permission 'obviously broken'\n"},
		{File{".key/x", "0600", nil}, 1, "Injecting " + home + "/.key/x with file mode 0600\nFailed to create directory '" + home + "/.key': mkdir " + home + "/.key: not a directory\n"},
	} {
		var out strings.Builder
		code, err := e.Inject(tt.f, func(b []byte) error { out.Write(b); return nil })
		if code != tt.code || err != nil || out.String() != tt.out {
			t.Errorf("%s: %d %v %q", tt.f.Path, code, err, out.String())
		}
	}
	if out, _ := do(t, e.(*Shell), "cat ~/a/b.txt ~/.key ~/old; stat -c %a ~/.key "+abs); out != "xktheirs600\n755\n" {
		t.Errorf("%q", out)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{filepath.Join(home, "a/b.txt"), filepath.Join(home, ".key"), abs} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if b, err := os.ReadFile(old); string(b) != "mine" {
		t.Errorf("%q %v", b, err)
	}
}

// TestNothingSurvivesTheJob covers the ways in which a process leaves its shell.
func TestNothingSurvivesTheJob(t *testing.T) {
	for name, text := range map[string]string{
		"background":           "sleep 1000 & echo $!",
		"nohup":                "nohup sleep 1000 >/dev/null 2>&1 & echo $!",
		"setsid":               "setsid sleep 1000 >/dev/null 2>&1 & sleep 0.2; pgrep -n -f 'sleep 1000'",
		"disowned":             "(sleep 1000 & echo $!)",
		"ignores hang-up":      "sh -c 'trap \"\" HUP; sleep 1000 & echo $!; wait' & sleep 0.3",
		"daemon":               "setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'; sleep 0.3",
		"daemon, cleared":      "env -i setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'; sleep 0.3",
		"of a shell that left": "sleep 1000 & echo $!; exit 3",
		"ignores SIGTERM":      "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done' & sleep 0.3",
	} {
		t.Run(name, func(t *testing.T) {
			s := begin(t, func(o *ShellOptions) { o.Grace = 300 * time.Millisecond })
			out, _ := do(t, s, text)
			pid := 0
			for _, f := range strings.Fields(out) {
				if n, err := strconv.Atoi(strings.Trim(f, "[]")); err == nil && n > 10 {
					pid = n
				}
			}
			if pid == 0 || unix.Kill(pid, 0) != nil {
				t.Fatalf("no process was started: %q", out)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
				t.Errorf("process %d survived: %v", pid, err)
			}
		})
	}
}

func TestStop(t *testing.T) {
	s := begin(t, nil)
	var out strings.Builder
	text := `trap 'echo shell leaves' EXIT
sh -c 'trap "echo cleaned up; exit 1" TERM; echo ready; while :; do sleep 0.05; done'
echo never`
	code, err := s.Run(t.Context(), text, func(b []byte) error {
		out.Write(b)
		if strings.Contains(out.String(), "ready") {
			s.Stop()
			s.Stop()
		}
		return nil
	})
	if code != 1 || !errors.Is(err, ErrStopped) {
		t.Errorf("code %d, error %v", code, err)
	}
	if got := out.String(); !strings.Contains(got, "cleaned up\n") || !strings.Contains(got, "shell leaves\n") || strings.Contains(got, "never") {
		t.Errorf("%q", got)
	}
	if _, err := s.Run(t.Context(), "echo no", nil); !errors.Is(err, ErrStopped) {
		t.Errorf("after the stop: %v", err)
	}
}

func TestStopKillsWhatIgnoresIt(t *testing.T) {
	s := begin(t, func(o *ShellOptions) { o.Grace = 200 * time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Run(ctx, "trap '' TERM HUP INT; echo ready; while :; do sleep 0.05; done", func([]byte) error { cancel(); return nil })
	if !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

func TestLoginFilesAndWorkspace(t *testing.T) {
	home, work := t.TempDir(), filepath.Join(t.TempDir(), "work")
	profile := "export FROM_PROFILE=yes; checksum() { echo mine; }; cat; echo noise; cd /; PROMPT_COMMAND='true'\n"
	if err := os.WriteFile(filepath.Join(home, ".bash_profile"), []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	s := begin(t, func(o *ShellOptions) {
		o.Env = append(os.Environ(), "HOME="+home, "SIGNALBOX_TOKEN=secret")
		o.Workspace = work
	})
	if out, _ := do(t, s, "echo $FROM_PROFILE; checksum x; pwd; echo \"[$SIGNALBOX_TOKEN]\""); out != "yes\nmine\n"+work+"\n[]\n" {
		t.Errorf("%q", out)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(work); err == nil {
		t.Error("the workspace is still there")
	}
}

func TestBrokenLoginFile(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".bash_profile"), []byte("echo because; exit 6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := NewShell(ShellOptions{Dir: filepath.Join(t.TempDir(), "j"), Env: append(os.Environ(), "HOME="+home)})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Start(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "exit code 6") || !strings.Contains(err.Error(), "because") {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// Jobs of one process do not touch each other's processes, whatever orphans they make.
func TestJobsDoNotEndEachOther(t *testing.T) {
	s := begin(t, nil)
	others := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(others)
		for i := 0; ctx.Err() == nil; i++ {
			e, err := NewShell(ShellOptions{Dir: filepath.Join(s.opts.Dir, "other"+strconv.Itoa(i))})
			if err == nil {
				err = errors.Join(e.Start(context.WithoutCancel(ctx), nil), e.Close())
			}
			if err != nil {
				others <- err
				return
			}
		}
	}()
	out, code := do(t, s, "for i in {1..400}; do (true & sh -c 'true & exit' & true); done 2>/dev/null; echo whole")
	cancel()
	for err := range others {
		t.Error(err)
	}
	if code != 0 || !strings.HasSuffix(out, "whole\n") {
		t.Errorf("%d %q", code, out)
	}
}

// The agent's settings may hold its registration token, and those of its service manager are for it alone.
func TestSettingsOfTheAgentStayOutOfJobs(t *testing.T) {
	for _, name := range []string{"SEMAPHORE_AGENT_TOKEN", "SIGNALBOX_AGENT_TOKEN", "SIGNALBOX_ANYTHING", "NOTIFY_SOCKET", "WATCHDOG_USEC"} {
		t.Setenv(name, "of-the-agent")
	}
	t.Setenv("OF_THE_MACHINE", "kept")
	out, code := do(t, begin(t, nil), "env | grep -c of-the-agent; echo $OF_THE_MACHINE")
	if out != "0\nkept\n" || code != 0 {
		t.Errorf("%d %q", code, out)
	}
}
