package agent

import (
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

func encoded(pairs ...string) (out []agentapi.EnvVar) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, agentapi.EnvVar{Name: pairs[i], Value: base64.StdEncoding.EncodeToString([]byte(pairs[i+1]))})
	}
	return out
}

func TestDebugSession(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	odd := "it's\n\"$HOME\" `id` \\ ü"
	p := &agentapi.JobPayload{
		JobID: signalbox.NewID(), Commands: commands("sleep 300"), EnvVars: encoded("SEMAPHORE_JOB_TYPE", "debug_job", "ODD", odd, "SECRET", "hush-hush"),
	}
	dir := filepath.Join(t.TempDir(), "jobs", "one")
	o := JobOptions{EnvVars: []signalbox.EnvVar{{Name: "HOST_VAR", Value: "of the host"}}, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }}
	o.Shell.Dir = dir
	job := NewJob(p, o)
	var text strings.Builder
	waits := make(chan struct{})
	type end struct {
		result signalbox.JobResult
		err    error
	}
	done := make(chan end, 1)
	go func() {
		r, err := job.Run(t.Context(), Sink(func(e agentapi.Event) error {
			text.WriteString(e.Output)
			if e.Event == agentapi.EventCmdStarted && e.Directive == "sleep 300" {
				close(waits)
			}
			return nil
		}))
		done <- end{r, err}
	}()
	select {
	case <-waits:
	case e := <-done:
		t.Fatalf("ended at once: %+v\n%s", e, &text)
	}
	m := regexp.MustCompile(`(?m)^  source (\S+)$`).FindStringSubmatch(text.String())
	if m == nil || filepath.Dir(m[1]) != tmp || !strings.HasPrefix(filepath.Base(m[1]), ".env-"+p.JobID+"-") {
		t.Fatalf("the log names no file in %s:\n%s", tmp, &text)
	}
	path := m[1]
	for _, want := range []string{"Host       ", "User       ", "Ends       at 2023-11-14 22:18:20 UTC", "\n  ssh ", "\n  cd ", "/commands\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), "hush") {
		t.Error("the log has a value of a variable")
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	cmd := exec.Command("bash", "-c", "source "+path+"; printf '%s|%s' \"$ODD\" \"$HOST_VAR\"")
	cmd.Env = []string{"HOME=/nowhere"}
	if out, err := cmd.Output(); err != nil || string(out) != odd+"|of the host" {
		t.Errorf("the file gives %q, %v", out, err)
	}
	stopped := time.Now()
	job.Stop()
	if e := <-done; e.result != signalbox.JobStopped || e.err != nil {
		t.Errorf("%+v", e)
	}
	if d := time.Since(stopped); d > 5*time.Second {
		t.Errorf("stopping took %s", d)
	}
	for _, p := range []string{path, dir + debugNote} {
		if _, err := os.Stat(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", p, err)
		}
	}
}

func TestOtherJobsWriteNoEnvironment(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	_, log := runJob(t, agentapi.JobPayload{Commands: commands("ls -a " + tmp), EnvVars: encoded("SEMAPHORE_JOB_TYPE", "pipeline_job")}, JobOptions{})
	if all := strings.Join(log, "\n"); strings.Contains(all, ".env") || strings.Contains(all, directiveDebug) {
		t.Error(all)
	}
}

func TestDebugWithoutRoom(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "nowhere"))
	o := JobOptions{}
	o.Shell.Dir = filepath.Join(t.TempDir(), "job")
	j := NewJob(&agentapi.JobPayload{Commands: commands("echo never"), EnvVars: encoded("SEMAPHORE_JOB_TYPE", "debug_job")}, o)
	var text strings.Builder
	result, err := j.Run(t.Context(), Sink(func(e agentapi.Event) error { text.WriteString(e.Directive + e.Output); return nil }))
	if result != signalbox.JobFailed || err != nil || j.Reason() != signalbox.ReasonAgentError || strings.Contains(text.String(), "never") ||
		!strings.Contains(text.String(), "cannot be written") {
		t.Errorf("%s %v %s\n%s", result, err, j.Reason(), &text)
	}
}

func TestEnvironmentsOfAKilledProcessAreRemoved(t *testing.T) {
	jobs, tmp := t.TempDir(), t.TempDir()
	write := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left, other := write(filepath.Join(tmp, ".env-1"), "export A=1"), write(filepath.Join(tmp, "precious"), "x")
	write(filepath.Join(jobs, "a"+debugNote), left)
	write(filepath.Join(jobs, "b"+debugNote), other)
	write(filepath.Join(jobs, "c"+debugNote), filepath.Join(tmp, ".env-gone"))
	if err := removeLeftEnvironments(jobs); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file that is none of ours: %v", err)
	}
}

func TestEnvironmentTextForPowerShell(t *testing.T) {
	got := environmentText("windows", []signalbox.EnvVar{{Name: "A", Value: "it's $x"}, {Name: "B", Value: ""}})
	if want := "$env:A = 'it''s $x'\n$env:B = ''\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
