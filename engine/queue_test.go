package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "spec", "testdata", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// push starts a workflow of a branch or, with a tag's name, of a tag.
func (w *world) push(branch, tag, yaml string) *signalbox.Pipeline {
	w.Helper()
	w.n++
	var p *signalbox.Pipeline
	w.write(func(tx *store.Tx) error {
		wf := &signalbox.Workflow{ProjectID: w.p.ID, Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch, TriggeredBy: signalbox.TriggeredByHook, RequestToken: signalbox.NewID()}
		if tag != "" {
			wf.Ref, wf.RefType, wf.BranchName, wf.Label = "refs/tags/"+tag, "tag", "refs/tags/"+tag, tag
		}
		wf, _, err := tx.CreateWorkflow(wf, "test")
		if err != nil {
			return err
		}
		src := Source{File: "p.yml", YAML: []byte(yaml)}
		src.Build.DefaultBranch = "master"
		p, err = w.eng.Create(tx, wf, src, "test")
		return err
	})
	return p
}

// TestAutoCancel is example 06 with its stated outcomes.
func TestAutoCancel(t *testing.T) {
	yaml := example(t, "06-queue-autocancel.yml")
	look := func(w *world, p *signalbox.Pipeline) string {
		p = w.pipeline(p.ID)
		return string(p.State) + " " + string(p.Result) + "/" + string(p.Reason)
	}
	t.Run("what runs is stopped on dev", func(t *testing.T) {
		w := newWorld(t)
		a := w.agent("one-agent", false)
		one := w.push("dev", "", yaml)
		at := w.offer(a)
		w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
		two := w.push("dev", "", yaml)
		if look(w, one) != "done stopped/strategy" || look(w, two) != "running /" {
			t.Errorf("P1 %s, P2 %s", look(w, one), look(w, two))
		}
		if at = w.attempt(at.ID); at.StopRequestedAt.IsZero() {
			t.Error("the agent is not told")
		}
		if p := w.pipeline(one.ID); p.TerminatedBy != "pipeline:"+two.ID {
			t.Errorf("stopped by %s", p.TerminatedBy)
		}
	})
	t.Run("what waits is canceled on master", func(t *testing.T) {
		w := newWorld(t)
		a := w.agent("one-agent", false)
		one, two, three := w.push("master", "", yaml), w.push("master", "", yaml), w.push("master", "", yaml)
		if look(w, one) != "running /" || look(w, two) != "done canceled/strategy" || look(w, three) != "queuing /" {
			t.Errorf("M1 %s, M2 %s, M3 %s", look(w, one), look(w, two), look(w, three))
		}
		w.run(a, signalbox.JobPassed)
		if look(w, one) != "done passed/" || look(w, three) != "running /" {
			t.Errorf("then M1 %s, M3 %s", look(w, one), look(w, three))
		}
		if j := w.jobsOf(three.ID)["test"]; j.Priority != 80 {
			t.Errorf("priority %d", j.Priority)
		}
	})
	t.Run("a queue of the organization holds other projects", func(t *testing.T) {
		w := newWorld(t)
		w.push("master", "", yaml)
		other := &signalbox.Project{Name: "other", GitURL: "/srv/git/team/other.git", PipelineFile: "p.yml"}
		w.write(func(tx *store.Tx) error { return tx.CreateProject(other, "test") })
		w.p = other
		if p := w.push("master", "", yaml); look(w, p) != "queuing /" {
			t.Errorf("the other project's: %s", look(w, p))
		}
	})
	t.Run("tags run at once", func(t *testing.T) {
		w := newWorld(t)
		one, two := w.push("", "v1", yaml), w.push("", "v2", yaml)
		if look(w, one) != "running /" || look(w, two) != "running /" {
			t.Errorf("%s, %s", look(w, one), look(w, two))
		}
	})
}

// TestFailFast is example 05 on both branches.
func TestFailFast(t *testing.T) {
	yaml := example(t, "05-fail-fast.yml")
	for branch, want := range map[string]string{
		"dev":    "done failed/test | A done failed/test | B done stopped/fast_failing | C done canceled/fast_failing",
		"master": "running | A done failed/test | B running | C done canceled/fast_failing",
	} {
		w := newWorld(t)
		p := w.push(branch, "", yaml)
		byName := map[string]*signalbox.Attempt{}
		for _, name := range []string{"first-agent", "second-agent", "third-agent"} {
			at := w.offer(w.agent(name, false))
			w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
			byName[w.job(at.JobID).Name] = at
		}
		w.write(func(tx *store.Tx) error {
			return w.eng.Finish(tx, byName["bad"].ID, signalbox.JobFailed, signalbox.ReasonTest, "", "test")
		})
		s := State{Pipeline: w.pipeline(p.ID)}
		w.write(func(tx *store.Tx) (err error) { s.Blocks, err = tx.Blocks(p.ID); return err })
		if got := picture(s); got != want {
			t.Errorf("%s: %s", branch, got)
		}
		if j := w.job(byName["slow"].JobID); j.Result != signalbox.JobStopped || j.Reason != signalbox.ReasonFastFailing {
			t.Errorf("%s: slow is %s %s", branch, j.Result, j.Reason)
		}
		if branch == "master" {
			w.write(func(tx *store.Tx) error {
				return w.eng.Finish(tx, byName["long"].ID, signalbox.JobPassed, "", "", "test")
			})
			if p = w.pipeline(p.ID); p.Result != signalbox.ResultFailed || p.Reason != signalbox.ReasonTest {
				t.Errorf("master ends as %s/%s", p.Result, p.Reason)
			}
		}
	}
}

// TestAfterPipeline is example 07's report, which sees how the pipeline ended.
func TestAfterPipeline(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.push("dev", "", example(t, "07-prologue-epilogue-merge.yml"))
	w.run(a, signalbox.JobPassed)
	w.run(a, signalbox.JobFailed)
	if p = w.pipeline(p.ID); p.State != signalbox.PipelineDone || p.Result != signalbox.ResultFailed {
		t.Fatalf("%s %s", p.State, p.Result)
	}
	at := w.offer(a)
	if at == nil {
		t.Fatal("after_pipeline has no job")
	}
	j, env := w.job(at.JobID), w.env(at.JobID)
	for name, want := range map[string]string{
		"SEMAPHORE_PIPELINE_RESULT": "failed", "SEMAPHORE_PIPELINE_RESULT_REASON": "test", "SEMAPHORE_BLOCK_NAME": "Nameless block 1", "SEMAPHORE_JOB_NAME": "report",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if env["SEMAPHORE_PIPELINE_DONE_AT"] == "" || env["SEMAPHORE_PIPELINE_TOTAL_DURATION"] == "" || j.Priority != 45 || len(j.Spec.Secrets) > 0 {
		t.Errorf("priority %d, %v", j.Priority, env)
	}
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	if open := w.openPipelines(); len(open) != 1 {
		t.Errorf("a start would resume %v", open)
	}
	w.write(func(tx *store.Tx) error {
		return w.eng.Finish(tx, at.ID, signalbox.JobFailed, signalbox.ReasonTest, "", "test")
	})
	if p = w.pipeline(p.ID); p.Result != signalbox.ResultFailed || len(w.openPipelines()) != 0 {
		t.Errorf("%s, open %v", p.Result, w.openPipelines())
	}
}

func (w *world) openPipelines() (ids []string) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { ids, err = tx.OpenPipelines(); return err })
	return ids
}

// TestAfterAPipelineThatNeverRan has variables for it all the same.
func TestAfterAPipelineThatNeverRan(t *testing.T) {
	w := newWorld(t)
	yaml := example(t, "07-prologue-epilogue-merge.yml")
	w.push("dev", "", yaml)
	p := w.push("dev", "", yaml)
	w.write(func(tx *store.Tx) error { return w.eng.StopPipeline(tx, p.ID, "user:ann", signalbox.ReasonUser) })
	env := w.env(w.jobsOf(p.ID)["report"].ID)
	if env["SEMAPHORE_PIPELINE_RESULT"] != "canceled" || env["SEMAPHORE_PIPELINE_RUNNING_DURATION"] != "0" || env["SEMAPHORE_PIPELINE_STARTED_AT"] != "" {
		t.Errorf("%v", env)
	}
}

// TestTimeLimits lets the clock of the store run on.
func TestTimeLimits(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.push("dev", "", `version: v1.0
agent: {machine: {type: s1-linux}}
execution_time_limit: {hours: 2}
blocks:
  - {name: A, execution_time_limit: {minutes: 30}, task: {jobs: [{name: a, execution_time_limit: {minutes: 10}, commands: [x]}]}}
  - {name: B, task: {jobs: [{name: b, commands: [x]}]}}
`)
	at := w.offer(a)
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	j := w.job(at.JobID)
	if j.TimeLimit.Minutes() != 10 {
		t.Errorf("limit %v", j.TimeLimit)
	}
	end := func(after int) {
		w.write(func(tx *store.Tx) error {
			tx.Now = j.StartedAt.Add(minutes(after, 0))
			return w.eng.EndOverdue(tx, Actor)
		})
	}
	end(9)
	if j = w.job(at.JobID); j.State != signalbox.JobRunning {
		t.Fatalf("after 9 minutes it is %s", j.State)
	}
	end(10)
	if j = w.job(at.JobID); j.Result != signalbox.JobStopped || j.Reason != signalbox.ReasonTimeout {
		t.Errorf("after 10 minutes it is %s %s", j.Result, j.Reason)
	}
	if p = w.pipeline(p.ID); p.Result != signalbox.ResultStopped || p.Reason != signalbox.ReasonTimeout {
		t.Errorf("pipeline %s/%s", p.Result, p.Reason)
	}
}

func TestMachineRules(t *testing.T) {
	w := newWorld(t)
	w.write(func(tx *store.Tx) error {
		return tx.SetMachineRules([]*signalbox.MachineRule{
			{Machine: "a1-*", Image: "*", AgentType: "s1-mac"},
			{Machine: "e1-standard-?", Image: "ubuntu*", AgentType: "s1-linux"},
		}, "test")
	})
	yaml := func(machine string) string {
		return "version: v1.0\nagent: {machine: " + machine + "}\nblocks: [{task: {jobs: [{name: j, commands: [x]}]}}]\n"
	}
	p := w.push("a", "", yaml("{type: e1-standard-2, os_image: ubuntu2204}"))
	if j := w.jobsOf(p.ID)["j"]; j.AgentType != "s1-linux" || j.State != signalbox.JobQueued || j.Spec.MachineType != "e1-standard-2" {
		t.Errorf("%+v", j)
	}
	for machine, want := range map[string]string{
		"{type: e1-standard-2, os_image: debian}": `machine map e1-standard-2 AGENT-TYPE`,
		"{type: a1-big}":     `no agent type "s1-mac"`,
		"{type: s1-unknown}": `no agent type "s1-unknown"`,
	} {
		p := w.push("b", "", yaml(machine))
		if j := w.jobsOf(p.ID)["j"]; j.State != signalbox.JobFinished || j.Reason != signalbox.ReasonStartFailed || !strings.Contains(j.FailureReason, want) {
			t.Errorf("%s: %s, %q", machine, j.State, j.FailureReason)
		}
	}
}
