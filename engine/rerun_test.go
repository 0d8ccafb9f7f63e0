package engine

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const threeBlocks = `version: v1.0
name: Three
agent: {machine: {type: s1-linux}}
blocks:
  - name: A
    dependencies: []
    task: {jobs: [{name: a, commands: ["true"]}]}
  - name: S
    dependencies: []
    skip: {when: true}
    task: {jobs: [{name: s, commands: ["true"]}]}
  - name: B
    dependencies: [A, S]
    task: {jobs: [{name: b, commands: ["true"]}, {name: c, commands: ["true"]}]}
  - name: D
    dependencies: [B]
    task: {jobs: [{name: d, commands: ["true"]}]}
`

func (w *world) jobsOf(id string) map[string]*signalbox.Job {
	w.Helper()
	out := map[string]*signalbox.Job{}
	w.write(func(tx *store.Tx) error {
		all, err := tx.JobsOf(id)
		for _, j := range all {
			out[j.Name] = j
		}
		return err
	})
	return out
}

func (w *world) rerun(id, token string) *signalbox.Pipeline {
	w.Helper()
	var p *signalbox.Pipeline
	w.write(func(tx *store.Tx) (err error) { p, err = w.eng.Rerun(tx, id, token, "ann", "user:ann"); return err })
	return w.pipeline(p.ID)
}

func TestRerun(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(threeBlocks)
	err := w.st.Write(t.Context(), func(tx *store.Tx) error { _, err := w.eng.Rerun(tx, first.ID, "x", "ann", "user:ann"); return err })
	if err == nil || !strings.Contains(err.Error(), "Only pipelines which are in done state can be partial rebuilt.") {
		t.Errorf("while it runs: %v", err)
	}
	w.run(a, signalbox.JobPassed) // a
	w.run(a, signalbox.JobPassed) // b
	w.run(a, signalbox.JobFailed) // c
	if first = w.pipeline(first.ID); first.Result != signalbox.ResultFailed {
		t.Fatalf("%s %s", first.State, first.Result)
	}
	old := w.jobsOf(first.ID)

	p := w.rerun(first.ID, "one")
	if p.ID != w.rerun(first.ID, "one").ID {
		t.Error("the same request made two pipelines")
	}
	if p.WorkflowID != first.WorkflowID || p.ArtefactID != first.ArtefactID || p.Origin.RerunOf != first.ID || p.Origin.RerunBy != "ann" || p.State != signalbox.PipelineRunning {
		t.Errorf("%+v", p)
	}
	jobs := w.jobsOf(p.ID)
	for _, name := range []string{"a", "b"} {
		if j := jobs[name]; j == nil || !j.Copied || j.OriginalID != old[name].ID || j.State != signalbox.JobFinished || !j.StartedAt.Equal(old[name].StartedAt) {
			t.Errorf("%s is not a copy: %+v", name, j)
		}
	}
	if c := jobs["c"]; c == nil || c.Copied || c.State != signalbox.JobQueued || c.OriginalID != old["c"].ID {
		t.Fatalf("c: %+v", c)
	}
	env := w.env(jobs["c"].ID)
	if env["SEMAPHORE_PIPELINE_RERUN"] != "true" || env["SEMAPHORE_JOB_RERUN"] != "true" || env["SEMAPHORE_JOB_ORIGINAL_ID"] != old["c"].ID || env["SEMAPHORE_PIPELINE_0_ARTEFACT_ID"] != first.ArtefactID {
		t.Errorf("%v", env)
	}
	w.run(a, signalbox.JobFailed) // c again

	// A repeat of a repeat still names the jobs that really ran.
	p = w.rerun(p.ID, "two")
	jobs = w.jobsOf(p.ID)
	if jobs["a"].OriginalID != old["a"].ID || jobs["b"].OriginalID != old["b"].ID {
		t.Errorf("a is a copy of %s and b of %s", jobs["a"].OriginalID, jobs["b"].OriginalID)
	}
	w.run(a, signalbox.JobPassed) // c
	w.run(a, signalbox.JobPassed) // d
	if p = w.pipeline(p.ID); p.Result != signalbox.ResultPassed {
		t.Fatalf("%s %s/%s", p.State, p.Result, p.Reason)
	}
	err = w.st.Write(t.Context(), func(tx *store.Tx) error { _, err := w.eng.Rerun(tx, p.ID, "x", "ann", "user:ann"); return err })
	if err == nil || !strings.Contains(err.Error(), "Pipelines which passed can not be partial rebuilt.") {
		t.Errorf("of a passed one: %v", err)
	}
}

func TestRerunOfWholeBlocks(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(strings.Replace(threeBlocks, "name: Three\n", "name: Three\npartial_rerun: block\n", 1))
	w.run(a, signalbox.JobPassed)
	w.run(a, signalbox.JobPassed)
	w.run(a, signalbox.JobFailed)
	jobs := w.jobsOf(w.rerun(first.ID, "one").ID)
	if !jobs["a"].Copied || jobs["b"].Copied || jobs["c"].Copied || jobs["b"].OriginalID != "" {
		t.Errorf("a %+v\nb %+v\nc %+v", jobs["a"], jobs["b"], jobs["c"])
	}
}

func TestRerunOfAStoppedPipeline(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(threeBlocks)
	w.run(a, signalbox.JobPassed)
	w.write(func(tx *store.Tx) error { return w.eng.StopPipeline(tx, first.ID, "user:ann", signalbox.ReasonUser) })
	p := w.rerun(first.ID, "one")
	jobs := w.jobsOf(p.ID)
	if p.State != signalbox.PipelineRunning || !jobs["a"].Copied || jobs["b"].Copied {
		t.Errorf("%s, b %+v", p.State, jobs["b"])
	}
}

func TestRerunOfOneJob(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(strings.Replace(threeBlocks, `{name: c, commands: ["true"]}`, `{name: c, commands: ["true"]}, {name: e, commands: ["true"]}`, 1))
	w.run(a, signalbox.JobPassed) // a
	w.run(a, signalbox.JobPassed) // b
	w.run(a, signalbox.JobFailed) // c
	w.run(a, signalbox.JobFailed) // e
	one := func(id, token string) *signalbox.Pipeline {
		t.Helper()
		var p *signalbox.Pipeline
		w.write(func(tx *store.Tx) (err error) { p, err = w.eng.RerunJob(tx, id, token, "ann", "user:ann"); return err })
		return w.pipeline(p.ID)
	}
	old := w.jobsOf(first.ID)
	p := one(old["c"].ID, "t")
	if one(old["c"].ID, "t").ID != p.ID {
		t.Error("the same request made two pipelines")
	}
	jobs := w.jobsOf(p.ID)
	if jobs["c"].State != signalbox.JobQueued || jobs["c"].OriginalID != old["c"].ID || !jobs["e"].Copied || jobs["e"].Result != signalbox.JobFailed || jobs["e"].Reason != signalbox.ReasonTest {
		t.Errorf("c %+v\ne %+v", jobs["c"], jobs["e"])
	}
	w.run(a, signalbox.JobPassed) // c
	if p = w.pipeline(p.ID); p.State != signalbox.PipelineDone || p.Result != signalbox.ResultFailed {
		t.Errorf("with e as it was: %s %s", p.State, p.Result)
	}
	// The other one too: then the block passes and what it held up runs.
	p = one(w.jobsOf(p.ID)["e"].ID, "t")
	w.run(a, signalbox.JobPassed) // e
	w.run(a, signalbox.JobPassed) // d
	if p = w.pipeline(p.ID); p.Result != signalbox.ResultPassed {
		t.Errorf("%s %s/%s", p.State, p.Result, p.Reason)
	}
	// A job of a pipeline that passed may be repeated too, alone.
	again := one(w.jobsOf(p.ID)["b"].ID, "t")
	jobs = w.jobsOf(again.ID)
	if jobs["b"].Copied || !jobs["a"].Copied || !jobs["d"].Copied || again.State != signalbox.PipelineRunning {
		t.Errorf("%s: a %v, b %v, d %v", again.State, jobs["a"].Copied, jobs["b"].Copied, jobs["d"].Copied)
	}
	err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := w.eng.RerunJob(tx, jobs["b"].ID, "t", "ann", "user:ann")
		return err
	})
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("while it runs: %v", err)
	}
}

func TestRetry(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.start(strings.Replace(twoBlocks, `name: a, commands: ["true"]`, `name: a, commands: ["true"], retry: {on: [agent_lost], limit: 2}`, 1))
	lose := func(reason signalbox.Reason) *signalbox.Attempt {
		t.Helper()
		at := w.offer(a)
		if at == nil {
			t.Fatal("nothing is queued")
		}
		w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
		w.write(func(tx *store.Tx) error {
			return w.eng.Finish(tx, at.ID, signalbox.JobFailed, reason, "silent", "test")
		})
		return at
	}
	for i := 1; i <= 2; i++ {
		at := lose(signalbox.ReasonAgentLost)
		if j := w.job(at.JobID); j.State != signalbox.JobQueued || j.Retries != i || !j.StartedAt.IsZero() {
			t.Fatalf("after loss %d the job is %s with %d retries", i, j.State, j.Retries)
		}
	}
	at := lose(signalbox.ReasonAgentLost)
	if j := w.job(at.JobID); j.State != signalbox.JobFinished || j.Reason != signalbox.ReasonAgentLost || j.AttemptN != 3 {
		t.Errorf("after the last loss: %s %s, attempt %d", j.State, j.Reason, j.AttemptN)
	}
	if p = w.pipeline(p.ID); p.Reason != signalbox.ReasonAgentLost {
		t.Errorf("pipeline %s/%s", p.Result, p.Reason)
	}
	// Neither another reason, nor a test, nor a job without the word is run again.
	w.start(strings.Replace(twoBlocks, `name: a, commands: ["true"]`, `name: a, commands: ["true"], retry: {on: [agent_lost]}`, 1))
	if j := w.job(lose(signalbox.ReasonInterrupted).JobID); j.State != signalbox.JobFinished {
		t.Errorf("interrupted: %s", j.State)
	}
	w.start(strings.Replace(twoBlocks, `name: a, commands: ["true"]`, `name: a, commands: ["true"], retry: {on: [agent_lost]}`, 1))
	if j := w.job(lose(signalbox.ReasonTest).JobID); j.State != signalbox.JobFinished {
		t.Errorf("a test: %s", j.State)
	}
	w.start(twoBlocks)
	if j := w.job(lose(signalbox.ReasonAgentLost).JobID); j.State != signalbox.JobFinished {
		t.Errorf("without retry: %s", j.State)
	}
}
