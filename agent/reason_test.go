package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// broken breaks off when told to run this text.
type broken struct {
	executor.Executor
	at string
}

func (b broken) Run(ctx context.Context, text string, emit executor.Emit) (int, error) {
	if text == b.at {
		return 1, errors.New("the terminal is gone")
	}
	return b.Executor.Run(ctx, text, emit)
}

func TestReason(t *testing.T) {
	t.Parallel()
	breaking := func(at string) NewExecutor {
		return func(p *agentapi.JobPayload, o executor.ShellOptions) (executor.Executor, error) {
			e, err := DefaultExecutor(p, o)
			return broken{e, at}, err
		}
	}
	pulling := func(*agentapi.JobPayload, executor.ShellOptions) (executor.Executor, error) {
		return nil, fmt.Errorf("prepare the containers: %w", &executor.Failure{Reason: signalbox.ReasonImagePull, Message: "There is no image debian:99."})
	}
	full := errors.New("no space left on device")
	for name, tt := range map[string]struct {
		p    agentapi.JobPayload
		o    JobOptions
		sink error
		stop bool
		want signalbox.Reason
	}{
		"passed":                     {p: agentapi.JobPayload{Commands: commands("true")}},
		"a command failed":           {p: agentapi.JobPayload{Commands: commands("false")}},
		"no such executor":           {p: agentapi.JobPayload{Executor: "teleport"}, want: signalbox.ReasonAgentError},
		"an image is missing":        {o: JobOptions{NewExecutor: pulling}, want: signalbox.ReasonImagePull},
		"a value that is not base64": {p: agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "A", Value: "?"}}}, want: signalbox.ReasonAgentError},
		"a file that is not base64":  {p: agentapi.JobPayload{Files: []agentapi.File{{Path: "x", Content: "?", Mode: "0600"}}}, want: signalbox.ReasonAgentError},
		"a hook of the machine":      {o: JobOptions{Hooks: Hooks{PreJob: "/nowhere", FailOnPreJob: true}}, want: signalbox.ReasonAgentError},
		"a hook that may fail":       {p: agentapi.JobPayload{Commands: commands("false")}, o: JobOptions{Hooks: Hooks{PreJob: "/nowhere"}}},
		"the shell broke":            {p: agentapi.JobPayload{Commands: commands("b")}, o: JobOptions{NewExecutor: breaking("b")}, want: signalbox.ReasonAgentError},
		"the shell broke after a test failed": {
			p: agentapi.JobPayload{Commands: commands("false"), EpilogueAlways: commands("b")}, o: JobOptions{NewExecutor: breaking("b")},
		},
		"the shell broke after all passed": {
			p: agentapi.JobPayload{Commands: commands("true"), EpilogueAlways: commands("b")}, o: JobOptions{NewExecutor: breaking("b")},
		},
		"the log cannot be written": {p: agentapi.JobPayload{Commands: commands("true")}, sink: full, want: signalbox.ReasonAgentError},
		"stopped before it began":   {p: agentapi.JobPayload{Commands: commands("true")}, stop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.o.Shell.Dir = filepath.Join(t.TempDir(), "job")
			j := NewJob(&tt.p, tt.o)
			if tt.stop {
				j.Stop()
			}
			if _, err := j.Run(t.Context(), Sink(func(agentapi.Event) error { return tt.sink })); !errors.Is(err, tt.sink) {
				t.Error(err)
			}
			if got := j.Reason(); got != tt.want {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}
