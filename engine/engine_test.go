package engine

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/store/storetest"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type world struct {
	*testing.T
	st  *store.Store
	eng *Engine
	p   *signalbox.Project
	n   int
}

func newWorld(t *testing.T) *world {
	o := store.Options{Dir: storetest.Folder(t)}
	if os.Getenv(onPostgres) != "" {
		o = store.Options{URL: storetest.PostgresURL(t)}
	}
	st, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return worldOn(t, st)
}

func worldOn(t *testing.T, st *store.Store) *world {
	w := &world{T: t, st: st, eng: New(Options{Store: st}), p: &signalbox.Project{Name: "demo", GitURL: "/srv/git/team/demo.git", PipelineFile: "p.yml"}}
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateAgentType(&signalbox.AgentType{Name: "s1-linux"}, "test"); err != nil {
			return err
		}
		return tx.CreateProject(w.p, "test")
	})
	return w
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.st.Write(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) start(yaml string) *signalbox.Pipeline {
	w.Helper()
	w.n++
	var p *signalbox.Pipeline
	w.write(func(tx *store.Tx) error {
		wf, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: w.p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main",
			CommitSHA: strings.Repeat("a", 40), TriggeredBy: signalbox.TriggeredByHook, RequestToken: strings.Repeat("t", w.n),
		}, "test")
		if err != nil {
			return err
		}
		p, err = w.eng.Create(tx, wf, Source{File: "p.yml", YAML: []byte(yaml)}, "test")
		return err
	})
	return p
}

func (w *world) agent(name string, single bool) *signalbox.Agent {
	w.Helper()
	a := &signalbox.Agent{Name: name, State: signalbox.AgentRegistered, SingleJob: single}
	w.write(func(tx *store.Tx) error {
		typ, err := tx.AgentType("s1-linux")
		if err != nil {
			return err
		}
		a.AgentTypeID, a.AgentType = typ.ID, typ.Name
		return tx.CreateAgent(a, "hash-"+name)
	})
	return a
}

// offer gives the next queued job to an agent.
func (w *world) offer(a *signalbox.Agent) *signalbox.Attempt {
	w.Helper()
	var at *signalbox.Attempt
	w.write(func(tx *store.Tx) error {
		ag, err := tx.LockAgent(a.ID)
		if err != nil {
			return err
		}
		jobs, err := tx.ClaimJobs("s1-linux", 1)
		if err != nil || len(jobs) == 0 {
			return err
		}
		at, err = Offer(tx, jobs[0], ag, "test")
		return err
	})
	return at
}

func (w *world) run(a *signalbox.Agent, result signalbox.JobResult) *signalbox.Attempt {
	w.Helper()
	at := w.offer(a)
	if at == nil {
		w.Fatal("no job to offer")
	}
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	reason := signalbox.ReasonNone
	if result == signalbox.JobFailed {
		reason = signalbox.ReasonTest
	}
	w.write(func(tx *store.Tx) error { return w.eng.Finish(tx, at.ID, result, reason, "", "test") })
	return at
}

func (w *world) pipeline(id string) (p *signalbox.Pipeline) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { p, err = tx.Pipeline(id); return err })
	return p
}

func (w *world) job(id string) (j *signalbox.Job) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { j, err = tx.Job(id); return err })
	return j
}

func (w *world) attempt(id string) (a *signalbox.Attempt) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { a, err = tx.Attempt(id); return err })
	return a
}

func (w *world) agentRow(id string) (a *signalbox.Agent) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { a, err = tx.Agent(id); return err })
	return a
}

const twoBlocks = `version: v1.0
name: Two
agent: {machine: {type: s1-linux}}
blocks:
  - name: A
    task: {jobs: [{name: a, commands: ["true"]}]}
  - name: B
    task: {jobs: [{name: b, commands: ["true"]}]}
`

func TestPipelinePasses(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.start(twoBlocks)
	if p.State != signalbox.PipelineRunning || p.Name != "Two" {
		t.Fatalf("started as %s %q", p.State, p.Name)
	}
	w.run(a, signalbox.JobPassed)
	w.run(a, signalbox.JobPassed)
	if p = w.pipeline(p.ID); p.State != signalbox.PipelineDone || p.Result != signalbox.ResultPassed || p.DoneAt.IsZero() {
		t.Fatalf("ended as %+v", p)
	}
	if ag := w.agentRow(a.ID); ag.AttemptID != "" || ag.JobID != "" {
		t.Errorf("the agent still has attempt %q", ag.AttemptID)
	}
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events("pipeline", p.ID)
		var words []string
		for _, e := range events {
			words = append(words, e.Reason)
		}
		if got, want := strings.Join(words, ", "), "created, pending, running, passed"; got != want {
			t.Errorf("history of the pipeline: %s, want %s", got, want)
		}
		return err
	})
}

func TestMalformedPipelineSaysWhere(t *testing.T) {
	w := newWorld(t)
	p := w.start("version: v1.0\nblocks: []\n")
	if p.State != signalbox.PipelineDone || p.Result != signalbox.ResultFailed || p.Reason != signalbox.ReasonMalformed {
		t.Fatalf("%+v", p)
	}
	if !strings.Contains(p.ErrorDescription, "p.yml:") || !strings.Contains(p.ErrorDescription, "agent") {
		t.Errorf("the description does not say what and where: %q", p.ErrorDescription)
	}
}

func TestSecondPipelineOfABranchWaits(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	one, two := w.start(twoBlocks), w.start(twoBlocks)
	if two.State != signalbox.PipelineQueuing {
		t.Fatalf("the second is %s", two.State)
	}
	w.run(a, signalbox.JobPassed)
	w.run(a, signalbox.JobFailed)
	if one = w.pipeline(one.ID); one.Result != signalbox.ResultFailed || one.Reason != signalbox.ReasonTest {
		t.Fatalf("the first ended as %s/%s", one.Result, one.Reason)
	}
	if two = w.pipeline(two.ID); two.State != signalbox.PipelineRunning {
		t.Fatalf("the second is %s after the first ended", two.State)
	}
}

func TestAttemptIsTheFence(t *testing.T) {
	w := newWorld(t)
	one, two := w.agent("agent-one", false), w.agent("agent-two", false)
	p := w.start(twoBlocks)
	first := w.offer(one)
	w.write(func(tx *store.Tx) error { return Withdraw(tx, first.ID, "not fetched", "test") })
	if j := w.job(first.JobID); j.State != signalbox.JobQueued {
		t.Fatalf("after the withdrawal the job is %s", j.State)
	}
	err := w.st.Write(context.Background(), func(tx *store.Tx) error { _, _, err := Fetched(tx, first.ID, "test"); return err })
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Fatalf("fetching a withdrawn offer: %v", err)
	}
	second := w.offer(two)
	if second.JobID != first.JobID || second.N != 2 {
		t.Fatalf("second attempt %+v", second)
	}
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, second.ID, "test"); return err })

	// What the first agent says now changes nothing but its own evidence.
	w.write(func(tx *store.Tx) error { return w.eng.Finish(tx, first.ID, signalbox.JobPassed, "", "", "late") })
	if j := w.job(first.JobID); j.State != signalbox.JobRunning || j.AttemptID != second.ID {
		t.Fatalf("a late report moved the job: %+v", j)
	}
	if a := w.attempt(first.ID); a.LateResult != signalbox.JobPassed || a.Reason != signalbox.ReasonWithdrawn {
		t.Errorf("late report not kept: %+v", a)
	}
	w.write(func(tx *store.Tx) error {
		return w.eng.Finish(tx, second.ID, signalbox.JobFailed, signalbox.ReasonTest, "", "test")
	})
	w.write(func(tx *store.Tx) error { return w.eng.Finish(tx, second.ID, signalbox.JobPassed, "", "", "again") })
	if j := w.job(first.JobID); j.Result != signalbox.JobFailed {
		t.Errorf("the result changed after the end: %s", j.Result)
	}
	if p = w.pipeline(p.ID); p.Result != signalbox.ResultFailed {
		t.Errorf("pipeline %s", p.Result)
	}
}

func TestWithdrawAfterFetchChangesNothing(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	w.start(twoBlocks)
	at := w.offer(a)
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	w.write(func(tx *store.Tx) error { return Withdraw(tx, at.ID, "too late", "test") })
	if got := w.attempt(at.ID); got.State != signalbox.AttemptFetched {
		t.Fatalf("attempt is %s", got.State)
	}
}

func TestCancelWins(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	p := w.start(twoBlocks)
	at := w.offer(a)
	w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
	w.write(func(tx *store.Tx) error { return w.eng.StopPipeline(tx, p.ID, "user:me", signalbox.ReasonUser) })
	if p = w.pipeline(p.ID); p.State != signalbox.PipelineDone || p.Result != signalbox.ResultStopped || p.Reason != signalbox.ReasonUser {
		t.Fatalf("stopped pipeline: %s %s/%s", p.State, p.Result, p.Reason)
	}
	if got := w.attempt(at.ID); got.State != signalbox.AttemptFetched || got.StopRequestedAt.IsZero() {
		t.Fatalf("the agent is not told to stop: %+v", got)
	}
	if ag := w.agentRow(a.ID); ag.AttemptID != at.ID {
		t.Error("the agent is free although it still cleans up")
	}
	w.write(func(tx *store.Tx) error { return w.eng.Finish(tx, at.ID, signalbox.JobPassed, "", "", "test") })
	if j := w.job(at.JobID); j.Result != signalbox.JobStopped {
		t.Fatalf("after the cancel the job became %s", j.Result)
	}
	if got := w.attempt(at.ID); got.State != signalbox.AttemptEnded || got.LateResult != signalbox.JobPassed {
		t.Errorf("attempt %+v", got)
	}
	if ag := w.agentRow(a.ID); ag.AttemptID != "" {
		t.Error("the agent is not free")
	}
}

func TestStopOfAnOfferFreesTheAgent(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	w.start(twoBlocks)
	at := w.offer(a)
	w.write(func(tx *store.Tx) error { return w.eng.StopJob(tx, at.JobID, "user:me", signalbox.ReasonUser) })
	if got := w.attempt(at.ID); got.State != signalbox.AttemptEnded {
		t.Errorf("attempt is %s", got.State)
	}
	if ag := w.agentRow(a.ID); ag.AttemptID != "" {
		t.Error("the agent is not free")
	}
	w.write(func(tx *store.Tx) error { return w.eng.StopJob(tx, at.JobID, "user:me", signalbox.ReasonUser) })
}

func TestSingleJobAgentGetsNoOther(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", true)
	w.start(twoBlocks)
	w.run(a, signalbox.JobPassed)
	if ag := w.agentRow(a.ID); ag.DrainAt.IsZero() {
		t.Error("a single-job agent that had its job may be given another")
	}
}

func TestResumeIsAStep(t *testing.T) {
	w := newWorld(t)
	one := w.start(twoBlocks)
	for range 2 {
		if err := w.eng.Resume(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if p := w.pipeline(one.ID); p.State != signalbox.PipelineRunning || p.Version != one.Version {
		t.Errorf("resuming changed %+v into %+v", one, p)
	}
}

// One pipeline that cannot be read does not keep the others from what is due.
func TestResumePassesOverDamage(t *testing.T) {
	o := store.Options{Dir: storetest.Folder(t)}
	if os.Getenv(onPostgres) != "" {
		o = store.Options{URL: storetest.PostgresURL(t)}
	}
	w := worldOn(t, storetest.Open(t, o))
	damaged, left := w.push("one", "", twoBlocks), w.push("two", "", twoBlocks)
	storetest.Damage(t, o, false, "UPDATE pipeline SET plan = '{' WHERE id = '"+damaged.ID+"'",
		"UPDATE job SET state = 'finished', result = 'passed' WHERE name = 'a' AND pipeline_id = '"+left.ID+"'")
	err := w.eng.Resume(context.Background())
	if err == nil || !strings.Contains(err.Error(), damaged.ID) || !strings.Contains(err.Error(), "1 of 2 pipelines") {
		t.Error(err)
	}
	var jobs []*signalbox.Job
	w.write(func(tx *store.Tx) (err error) {
		jobs, err = tx.JobsOf(left.ID)
		return err
	})
	if i := slices.IndexFunc(jobs, func(j *signalbox.Job) bool { return j.Name == "b" }); i < 0 || jobs[i].State != signalbox.JobQueued {
		t.Errorf("the second block did not start: %+v", jobs)
	}
}

func TestJobEnv(t *testing.T) {
	w := newWorld(t)
	p := w.start(strings.Replace(twoBlocks, "task: {jobs: [{name: a,", "task: {env_vars: [{name: CI, value: mine}], jobs: [{name: a,", 1))
	w.write(func(tx *store.Tx) error {
		wf, err := tx.Workflow(p.WorkflowID)
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(p.ID)
		if err != nil {
			return err
		}
		b, err := tx.Block(jobs[0].BlockID)
		if err != nil {
			return err
		}
		env := map[string]string{}
		for _, e := range JobEnv(JobContext{OrganizationID: "org", OrganizationURL: "https://ci", Project: w.p, Workflow: wf, Pipeline: p, Block: b, Job: jobs[0]}) {
			env[e.Name] = e.Value
		}
		for name, want := range map[string]string{
			"CI": "mine", "SEMAPHORE": "true", "SEMAPHORE_GIT_DIR": "demo", "SEMAPHORE_GIT_REPO_SLUG": "team/demo", "SEMAPHORE_GIT_BRANCH": "main",
			"SEMAPHORE_BLOCK_NAME": "A", "SEMAPHORE_JOB_NAME": "a", "SEMAPHORE_PIPELINE_NAME": "Two", "SEMAPHORE_WORKFLOW_NUMBER": "1",
			"SEMAPHORE_WORKFLOW_TRIGGERED_BY_HOOK": "true", "SEMAPHORE_AGENT_MACHINE_TYPE": "s1-linux", "SEMAPHORE_ORGANIZATION_URL": "https://ci",
		} {
			if env[name] != want {
				t.Errorf("%s = %q, want %q", name, env[name], want)
			}
		}
		return nil
	})
}

func TestRepositoryNames(t *testing.T) {
	for url, want := range map[string]string{
		"git@github.com:owner/repo.git":    "owner/repo repo",
		"https://host/group/sub/repo.git/": "sub/repo repo",
		"/srv/git/x.git":                   "git/x x",
		"x.git":                            "x x",
		"host:repo":                        "repo repo",
		"/srv/-rf":                         "srv/repository repository",
	} {
		slug, name := repositoryNames(url)
		if got := slug + " " + name; url != "/srv/-rf" && got != want || name != strings.Fields(want)[1] {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func TestUnknownAgentTypeFailsAtOnceAndSaysWhatThereIs(t *testing.T) {
	w := newWorld(t)
	p := w.start(strings.ReplaceAll(twoBlocks, "s1-linux", "e1-standard-2"))
	if p.State != signalbox.PipelineDone || p.Result != signalbox.ResultFailed || p.Reason != signalbox.ReasonStartFailed {
		t.Fatalf("%s %s/%s", p.State, p.Result, p.Reason)
	}
	w.write(func(tx *store.Tx) error {
		jobs, err := tx.JobsOf(p.ID)
		if err != nil {
			return err
		}
		if len(jobs) != 1 || !strings.Contains(jobs[0].FailureReason, `no agent type "e1-standard-2". There are: s1-linux.`) {
			t.Errorf("%d jobs, %+v", len(jobs), jobs[0])
		}
		return nil
	})
}
