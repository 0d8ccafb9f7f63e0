package agent

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

func commands(lines ...string) []agentapi.Command {
	var out []agentapi.Command
	for _, l := range lines {
		out = append(out, agentapi.Command{Directive: l})
	}
	return out
}

// runJob runs a payload without a server.
func runJob(t *testing.T, p agentapi.JobPayload, o JobOptions) (signalbox.JobResult, []string) {
	t.Helper()
	o.Shell.Dir = filepath.Join(t.TempDir(), "job")
	var events []agentapi.Event
	result, err := RunJob(t.Context(), &p, o, func(e agentapi.Event) error { events = append(events, e); return nil })
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(o.Shell.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of the job: %v", err)
	}
	return result, short(events)
}

func TestJobs(t *testing.T) {
	t.Parallel()
	const export, result = "$ Exporting environment variables", "Exporting SEMAPHORE_JOB_RESULT\n"
	for name, tt := range map[string]struct {
		p      agentapi.JobPayload
		o      JobOptions
		result signalbox.JobResult
		log    []string
	}{
		"containers": {
			p:      agentapi.JobPayload{Executor: "dockercompose", Commands: commands("echo never"), EpilogueAlways: commands("echo never")},
			result: signalbox.JobFailed,
			log: []string{
				"job_started", "$ Preparing the job",
				"The job is to run in containers, but it names none. Give the agent in the pipeline file at least one container with a name and an image.\n",
				"= 1", "job_finished failed",
			},
		},
		"an executor from the future": {
			p: agentapi.JobPayload{Executor: "teleport"}, result: signalbox.JobFailed,
			log: []string{"job_started", "$ Preparing the job", "This agent does not know the executor \"teleport\"; it knows \"shell\" and \"dockercompose\".\n", "= 1", "job_finished failed"},
		},
		"passed by the job itself": {
			p:      agentapi.JobPayload{Commands: commands("SEMAPHORE_JOB_RESULT=passed; return 130", "echo never"), EpilogueAlways: commands("echo never")},
			result: signalbox.JobPassed,
			log: []string{
				"job_started", export, "= 0", "$ Injecting Files", "= 0", "$ SEMAPHORE_JOB_RESULT=passed; return 130", "= 130",
				"$ Checking job result", "SEMAPHORE_JOB_RESULT=passed - stopping job and marking it as passed", "= 0", "job_finished passed",
			},
		},
		"stopped by the job itself": {
			p:      agentapi.JobPayload{Commands: commands("export SEMAPHORE_JOB_RESULT=huh; (exit 130)")},
			result: signalbox.JobStopped,
			log: []string{
				"job_started", export, "= 0", "$ Injecting Files", "= 0", "$ export SEMAPHORE_JOB_RESULT=huh; (exit 130)", "= 130",
				"$ Checking job result", "SEMAPHORE_JOB_RESULT is set to 'huh' - stopping job and marking it as stopped", "= 0", "job_finished stopped",
			},
		},
		"files that are not base64": {
			p:      agentapi.JobPayload{Files: []agentapi.File{{Path: "x", Content: "?", Mode: "0600"}}, Commands: commands("echo never")},
			result: signalbox.JobFailed,
			log: []string{
				"job_started", export, "= 0", "$ Injecting Files", "Failed to decode the content of the file 'x': it did not arrive as base64.\n", "= 1",
				export, result, "= 0", "job_finished failed",
			},
		},
		"a name that cannot be exported": {
			p:      agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "a b", Value: ""}}, Commands: commands("echo never")},
			result: signalbox.JobFailed,
			log: []string{
				"job_started", export, "Exporting a b\nCannot export \"a b\": a name is letters, digits and underscores and does not begin with a digit.\n", "= 1",
				export, result, "= 0", "job_finished failed",
			},
		},
		"variables of the agent win": {
			p: agentapi.JobPayload{
				EnvVars:  []agentapi.EnvVar{{Name: "B", Value: "MQ=="}, {Name: "A", Value: "MQ=="}, {Name: "A", Value: "Mg=="}},
				Commands: commands("echo $A $B $SEMAPHORE_JOB_RESULT"), EpilogueOnPass: commands("exit 7", "echo never"), EpilogueOnFail: commands("echo never"),
			},
			o:      JobOptions{EnvVars: []signalbox.EnvVar{{Name: "B", Value: "mine"}}},
			result: signalbox.JobPassed,
			log: []string{
				"job_started", export, "Exporting A\nExporting B\n", "= 0", "$ Injecting Files", "= 0", "$ echo $A $B $SEMAPHORE_JOB_RESULT", "2 mine\n", "= 0",
				export, result, "= 0", "$ exit 7", "= 7", "job_finished passed",
			},
		},
		"epilogues after exit": {
			p: agentapi.JobPayload{
				EnvVars: []agentapi.EnvVar{{Name: "A", Value: "MQ=="}}, Commands: commands("set -e; false", "echo never"),
				EpilogueAlways: commands("echo $A $SEMAPHORE_JOB_RESULT; exit 2", "echo never"), EpilogueOnFail: commands("echo $A $SEMAPHORE_JOB_RESULT"),
			},
			result: signalbox.JobFailed,
			log: []string{
				"job_started", export, "Exporting A\n", "= 0", "$ Injecting Files", "= 0", "$ set -e; false", "= 1", export, result, "= 0",
				"$ echo $A $SEMAPHORE_JOB_RESULT; exit 2", "1 failed\n", "= 2", "$ echo $A $SEMAPHORE_JOB_RESULT", "1 failed\n", "= 0", "job_finished failed",
			},
		},
		"bytes": {
			p: agentapi.JobPayload{Commands: commands(`printf 'a\001\000\x96é'`)}, result: signalbox.JobPassed,
			log: jobLog("passed", `$ printf 'a\001\000\x96é'`, "a\x01\x00\x96é", "= 0"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, log := runJob(t, tt.p, tt.o)
			if result != tt.result {
				t.Errorf("result %s, want %s", result, tt.result)
			}
			if d := cmp.Diff(tt.log, log); d != "" {
				t.Errorf("log (-want +got):\n%s", d)
			}
		})
	}
}

func TestStopBeforeRun(t *testing.T) {
	p := agentapi.JobPayload{Commands: commands("echo never")}
	j := NewJob(&p, JobOptions{Shell: executor.ShellOptions{Dir: filepath.Join(t.TempDir(), "job")}})
	j.Stop()
	j.Stop()
	var events []agentapi.Event
	result, err := j.Run(t.Context(), Sink(func(e agentapi.Event) error { events = append(events, e); return nil }))
	if d := cmp.Diff([]string{"job_started", "job_finished stopped"}, short(events)); result != signalbox.JobStopped || err != nil || d != "" {
		t.Error(result, err, d)
	}
}

func TestBrokenSinkEndsTheJob(t *testing.T) {
	p := agentapi.JobPayload{Commands: commands("yes")}
	full := errors.New("disk full")
	n := 0
	_, err := RunJob(t.Context(), &p, JobOptions{Shell: executor.ShellOptions{Dir: filepath.Join(t.TempDir(), "job")}}, func(e agentapi.Event) error {
		if e.Event == agentapi.EventCmdOutput {
			if n++; n > 10 {
				return full
			}
		}
		return nil
	})
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestInvalidBytesAreReplacedOneByOne(t *testing.T) {
	p := agentapi.JobPayload{Commands: commands(`printf '\x96\x96'`)}
	var got []agentapi.Event
	if _, err := RunJob(t.Context(), &p, JobOptions{Shell: executor.ShellOptions{Dir: filepath.Join(t.TempDir(), "job")}}, func(e agentapi.Event) error {
		if e.Event == agentapi.EventCmdOutput && !strings.HasPrefix(e.Output, "Exporting") {
			got = append(got, e)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Output != "\uFFFD\uFFFD" || got[0].OutputB64 != base64.StdEncoding.EncodeToString([]byte("\x96\x96")) {
		t.Errorf("%+v", got)
	}
}

// Nothing of a job runs before it is noted that it may have run.
func TestNothingRunsBeforeTheJobIsReady(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "ran")
	var o JobOptions
	o.Ready = func() error {
		if _, err := os.Stat(mark); err == nil {
			t.Error("a command ran before the job was ready")
		}
		return errors.New("no room on the disk")
	}
	var finished signalbox.JobResult
	o.Finished = func(r signalbox.JobResult, reason signalbox.Reason) {
		finished = r
		if reason != signalbox.ReasonAgentError {
			t.Errorf("reason %q", reason)
		}
	}
	result, log := runJob(t, agentapi.JobPayload{Commands: commands("touch " + mark)}, o)
	if result != signalbox.JobFailed || finished != signalbox.JobFailed {
		t.Errorf("%s, finished %q", result, finished)
	}
	if got := strings.Join(log, "\n"); !strings.Contains(got, "no room on the disk") {
		t.Errorf("the log does not say why:\n%s", got)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command ran")
	}
}
