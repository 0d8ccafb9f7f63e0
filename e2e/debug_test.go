//go:build unix

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const debugPipeline = `version: v1.0
name: Debug
agent: {machine: {type: s1-debug}}
blocks:
  - name: Build
    dependencies: []
    task:
      env_vars: [{name: GREETING, value: "it's me"}]
      epilogue: {always: {commands: ["echo bye"]}}
      jobs: [{name: one, commands: ["echo hello", "exit 3"]}]
`

// TestDebugSession is a person who looks into a failed job: start, enter, stop.
func TestDebugSession(t *testing.T) {
	home, tmp := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home) // before the agent starts
	t.Setenv("TMPDIR", tmp)
	w := newWorld(t, "")
	w.startAgents("s1-debug", 1)
	bare, _ := w.repository("demo", debugPipeline)
	w.run("project", "create", "demo", "--git", bare)
	out, _, code := w.try("--output", "json", "workflow", "start", "demo", "--follow")
	var d description
	decode(t, out, &d)
	if code != 10 || len(d.Blocks) != 1 {
		t.Fatalf("exit code %d, %s", code, out)
	}
	of := d.Blocks[0].Jobs[0].ID

	session := start(t, "--data", w.data(), "job", "debug", of, "--duration", "30m")
	w.until("the session is open", func() bool { return strings.Contains(session.out.String(), "Ctrl-C ends the session") })
	text := session.out.String()
	host, _ := os.Hostname()
	for _, want := range []string{"Agent   s1-debug-agent-1", "Host    " + host} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	id := regexp.MustCompile(`Debug session (\S+) for job`).FindStringSubmatch(text)[1]
	glob := filepath.Join(tmp, ".env-"+id+"-*")
	var file string
	w.until("the environment file is there", func() bool {
		if !strings.Contains(w.run("job", "logs", id), "sleep 1800") {
			return false
		}
		found, _ := filepath.Glob(glob)
		if len(found) == 1 {
			file = found[0]
		}
		return len(found) == 1
	})
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%s: %v, %v", file, info, err)
	}
	cmd := exec.Command("bash", "-c", `source "$1"; echo "$GREETING $SEMAPHORE_JOB_TYPE $SEMAPHORE_JOB_ID"; cat ~/commands`, "bash", file)
	if got, err := cmd.Output(); err != nil || string(got) != "it's me debug_job "+id+"\necho hello\nexit 3\necho bye\n" {
		t.Errorf("%q, %v", got, err)
	}
	if log := w.run("job", "logs", id); !strings.Contains(log, "source "+file) || strings.Contains(log, "it's me") {
		t.Errorf("log:\n%s", log)
	}

	// Ctrl-C in the command ends the session.
	if err := session.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-session.done
	if code := session.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(session.out.String(), "The session was stopped") {
		t.Errorf("exit code %d\n%s", code, session.out)
	}
	w.until("the files are gone", func() bool {
		_, one := os.Stat(file)
		_, two := os.Stat(filepath.Join(home, "commands"))
		return errors.Is(one, os.ErrNotExist) && errors.Is(two, os.ErrNotExist)
	})

	// Time runs out by itself; the agent is free for it again.
	var opened struct{ ID, Agent, Host string }
	first, _, code := w.try("--output", "json", "job", "debug", of, "--duration", "2s")
	if err := json.Unmarshal([]byte(first), &opened); err != nil || code != 0 || opened.Agent != "s1-debug-agent-1" || opened.Host != host {
		t.Errorf("exit code %d: %s, %v", code, first, err)
	}
	if show := w.run("job", "show", opened.ID); !strings.Contains(show, "STOPPED") || !strings.Contains(show, "timeout") {
		t.Errorf("after its time:\n%s", show)
	}

	w.run("project", "set", "demo", "--debug", "tag")
	if _, errs, code := w.try("job", "debug", of); code != 3 || !strings.Contains(errs, "default branch of this project") {
		t.Errorf("against the project's rules: exit code %d\n%s", code, errs)
	}
	w.run("project", "set", "demo", "--debug", "default")
	if out := w.run("job", "debug", of, "--detach"); strings.Contains(out, "Ctrl-C") || !strings.Contains(out, "The session is open") {
		t.Errorf("%s", out)
	}
	if _, errs, code := w.try("job", "debug", "00000000-0000-7000-8000-000000000000"); code != 2 {
		t.Errorf("no such job: exit code %d\n%s", code, errs)
	}
}
