package engine

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func (w *world) debug(of string, limit time.Duration) *signalbox.Job {
	w.Helper()
	var d *signalbox.Job
	w.write(func(tx *store.Tx) error {
		j, err := tx.Job(of)
		if err != nil {
			return err
		}
		d, err = w.eng.Debug(tx, j, limit, "user:ann")
		return err
	})
	return d
}

const twoJobs = `version: v1.0
name: Two
agent: {machine: {type: s1-linux}}
blocks:
  - name: A
    task: {jobs: [{name: a, commands: ["true"]}, {name: b, commands: ["true"]}]}
`

func (w *world) history(id string) (out []string) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events("job", id)
		out = nil
		for _, e := range events {
			out = append(out, e.Actor+" "+e.Reason)
		}
		return err
	})
	return out
}

func TestDebugSpec(t *testing.T) {
	got := DebugSpec(signalbox.JobSpec{
		MachineType: "s1-linux", OSImage: "img", EnvVars: []signalbox.EnvVar{{Name: "A", Value: "1"}},
		Commands: []string{"checkout", "make \\\n  test\n"}, EpilogueAlways: []string{"echo always"}, EpilogueOnPass: []string{"echo pass"},
		EpilogueOnFail: []string{"echo fail"}, Files: []signalbox.File{{Path: "secret", Content: []byte("x"), Mode: "0600"}},
	}, 90*time.Second)
	want := signalbox.JobSpec{
		MachineType: "s1-linux", OSImage: "img", EnvVars: []signalbox.EnvVar{{Name: "A", Value: "1"}}, Commands: []string{"sleep 90"},
		Files: []signalbox.File{{Path: "commands", Mode: "0644", Content: []byte("checkout\nmake \\\n  test\necho always\necho pass\necho fail\n")}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestADebugJobChangesNothingElse(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.start(twoJobs)
	failed := w.run(a, signalbox.JobFailed)
	d := w.debug(failed.JobID, time.Hour)
	if d.State != signalbox.JobQueued || d.AgentType != "s1-linux" || d.Name != "Debug Session for Job "+failed.JobID || d.TimeLimit != time.Hour || d.Priority >= 0 {
		t.Errorf("%+v", d)
	}
	// The other job of the pipeline goes first, though it was queued earlier only by chance: debug jobs are last.
	next := w.offer(a)
	if next.JobID == d.ID {
		t.Fatal("the debug job was not the last in the queue")
	}
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, next.ID, "test"); return err })
	w.write(func(tx *store.Tx) error { return w.eng.Finish(tx, next.ID, signalbox.JobPassed, "", "", "test") })
	p = w.pipeline(p.ID)
	if p.State != signalbox.PipelineDone || p.Result != signalbox.ResultFailed {
		t.Fatalf("with a debug job open the pipeline is %s %s", p.State, p.Result)
	}
	version := p.Version
	at := w.offer(a)
	if at == nil || at.JobID != d.ID {
		t.Fatalf("offered %+v", at)
	}
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	var env []signalbox.EnvVar
	w.write(func(tx *store.Tx) error {
		j, err := tx.Job(d.ID)
		if err != nil {
			return err
		}
		c := JobContext{Job: j, Project: w.p}
		if c.Pipeline, err = tx.Pipeline(j.PipelineID); err != nil {
			return err
		}
		if c.Block, err = tx.Block(j.BlockID); err != nil {
			return err
		}
		if c.Workflow, err = tx.Workflow(j.WorkflowID); err != nil {
			return err
		}
		env = JobEnv(c)
		return nil
	})
	for _, want := range []signalbox.EnvVar{{Name: "SEMAPHORE_JOB_TYPE", Value: "debug_job"}, {Name: "SEMAPHORE_PIPELINE_ID", Value: p.ID}, {Name: "SEMAPHORE_JOB_ID", Value: d.ID}} {
		if !slices.Contains(env, want) {
			t.Errorf("%s is not %q", want.Name, want.Value)
		}
	}
	w.write(func(tx *store.Tx) error { return w.eng.StopJob(tx, d.ID, "user:bob", signalbox.ReasonUser) })
	w.write(func(tx *store.Tx) error {
		return w.eng.Finish(tx, at.ID, signalbox.JobStopped, signalbox.ReasonUser, "", "test")
	})
	if p = w.pipeline(p.ID); p.Version != version || p.Result != signalbox.ResultFailed {
		t.Errorf("the pipeline became %s, version %d (was %d)", p.Result, p.Version, version)
	}
	if j := w.job(failed.JobID); j.Result != signalbox.JobFailed {
		t.Errorf("the original became %s", j.Result)
	}
	if got := w.history(failed.JobID); !slices.Contains(got, "user:ann debug session started") || !slices.Contains(got, "user:bob debug session ended") {
		t.Errorf("history of the original: %q", got)
	}
	if got := w.history(d.ID); got[0] != "user:ann queued" || got[len(got)-1] != "user:bob stopped: user" {
		t.Errorf("history of the debug job: %q", got)
	}
	if ag := w.agentRow(a.ID); ag.AttemptID != "" {
		t.Error("the agent is not free")
	}
}

func TestStoppingAPipelineLeavesItsDebugJobs(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.start(twoJobs)
	d := w.debug(w.run(a, signalbox.JobFailed).JobID, time.Hour)
	w.write(func(tx *store.Tx) error { return w.eng.StopPipeline(tx, p.ID, "user:ann", signalbox.ReasonUser) })
	if j := w.job(d.ID); j.State != signalbox.JobQueued {
		t.Errorf("the debug job is %s %s", j.State, j.Result)
	}
}

func TestADebugJobThatIsLostFailsAsOthersDo(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	w.start(twoJobs)
	d := w.debug(w.run(a, signalbox.JobFailed).JobID, time.Hour)
	w.run(a, signalbox.JobPassed)
	at := w.offer(a)
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	w.write(func(tx *store.Tx) error {
		return w.eng.Finish(tx, at.ID, signalbox.JobFailed, signalbox.ReasonAgentLost, "silent", "dispatch")
	})
	if j := w.job(d.ID); j.Result != signalbox.JobFailed || j.Reason != signalbox.ReasonAgentLost || j.FailureReason != "silent" {
		t.Errorf("%+v", j)
	}
}

func TestDebugIsRefused(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	w.start(twoJobs)
	of := w.run(a, signalbox.JobFailed).JobID
	d := w.debug(of, time.Hour)
	for what, c := range map[string]struct {
		job   string
		limit time.Duration
		says  string
	}{
		"no time":         {of, 0, "24 hours"},
		"less than none":  {of, -time.Second, "24 hours"},
		"too long":        {of, MaxDebugTime + time.Second, "24 hours"},
		"a debug session": {d.ID, time.Hour, of},
	} {
		err := w.st.Write(context.Background(), func(tx *store.Tx) error {
			j, err := tx.Job(c.job)
			if err != nil {
				return err
			}
			_, err = w.eng.Debug(tx, j, c.limit, "user:ann")
			return err
		})
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	j := w.job(of)
	j.AgentType = "s1-gone"
	err := w.st.Write(context.Background(), func(tx *store.Tx) error { _, err := w.eng.Debug(tx, j, time.Hour, "user:ann"); return err })
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "s1-gone") {
		t.Errorf("an agent type that is gone: %v", err)
	}
}
