package storybook

import (
	"fmt"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// waiting has a job for every reason to wait.
func (w *world) waiting(n *normal) {
	limited := &signalbox.AgentType{Name: "s1-gpu", MaxRunningJobs: 1}
	w.Write(func(tx *store.Tx) error { return tx.CreateAgentType(limited, "user:ana") })
	w.AgentType("s1-new")
	full, gone, leaving := w.AgentType("s1-metal"), w.AgentType("s1-windows"), w.AgentType("s1-arm")
	wf := w.Workflow(n.Project, "everywhere", "Run the tests on every machine that there is")
	p := w.Pipeline(wf, signalbox.Pipeline{Name: "Everywhere", State: signalbox.PipelineRunning, RunningAt: w.Ago(9 * time.Minute)})
	b := w.Block(p, signalbox.Block{Name: "Machines", State: signalbox.BlockRunning, RunningAt: w.Ago(9 * time.Minute)})
	agent := func(t *signalbox.AgentType, name string) *signalbox.Agent {
		a := w.Agent(t, name)
		w.seen(a, time.Second)
		return a
	}
	w.run(p, b, signalbox.Job{Name: "GPU, first half", Index: 20, AgentType: "s1-gpu"}, agent(limited, "gpu-01"), 8*time.Minute)
	agent(limited, "gpu-02")
	w.run(p, b, signalbox.Job{Name: "Metal, first half", Index: 21, AgentType: "s1-metal"}, agent(full, "metal-01"), 8*time.Minute)
	w.ChangeAgent(agent(gone, "win-01"), "server", "gone", func(a *signalbox.Agent) {
		a.State, a.GoneAt, a.GoneReason = signalbox.AgentDisconnected, w.Ago(3*time.Hour), signalbox.ReasonAgentDisconnected
	})
	w.ChangeAgent(agent(leaving, "arm-01"), "user:ana", "drained", func(a *signalbox.Agent) { a.DrainAt = w.Ago(time.Minute) })
	for i, t := range []string{"s1-nowhere", "s1-new", "s1-windows", "s1-arm", "s1-gpu", "s1-metal", "s1-linux"} {
		n.waits[t] = w.Job(p, b, signalbox.Job{Name: "On " + t, Index: i, AgentType: t, State: signalbox.JobQueued})
	}
	n.offered = w.Job(p, b, signalbox.Job{Name: "Offered", Index: 10, State: signalbox.JobOffered, AttemptN: 1})
	n.again = w.Job(p, b, signalbox.Job{Name: "Offered twice", Index: 11, AgentType: "s1-metal", State: signalbox.JobQueued, AttemptN: 2})
	// Nothing holds this one but its turn.
	w.ChangeAgent(n.Agent, "user:ana", "undrained", func(a *signalbox.Agent) { a.DrainAt = time.Time{} })
}

// sessions has a debug session that somebody is in, and one that waits.
func (w *world) sessions(n *normal) {
	session := func(of *signalbox.Job) signalbox.Job {
		return signalbox.Job{
			Name: "Debug Session for Job " + of.ID, DebugOf: of.ID, TimeLimit: time.Hour, AgentType: of.AgentType, PipelineID: of.PipelineID, BlockID: of.BlockID,
			WorkflowID: of.WorkflowID, ProjectID: of.ProjectID,
		}
	}
	block := &signalbox.Block{ID: n.Failed.BlockID}
	a := w.Agent(n.AgentType, "debug-agent-9")
	w.seen(a, time.Second)
	n.debug = w.run(n.Pipeline, block, session(n.Failed), a, time.Minute)
	waiting := session(n.Lost)
	waiting.State = signalbox.JobQueued
	n.debugWaiting = w.Job(n.Pipeline, &signalbox.Block{ID: n.Lost.BlockID}, waiting)
}

// promotions has a pipeline whose promotions can be started, one whose are locked, and one that repeats the second.
func (w *world) promotions(n *normal) {
	plan := &signalbox.Plan{
		Name: "Release train", Warnings: []string{".semaphore/semaphore.yml:3:4: warning: agent of the block repeats that of the pipeline"},
		Blocks: []signalbox.PlanBlock{
			{Name: "Test", Jobs: []signalbox.PlanJob{{Name: "Unit"}, {Name: "Integration"}}},
			{Name: "Docs", Skip: "its run condition does not hold (line 9)", Dependencies: []int{0}, Jobs: []signalbox.PlanJob{{Name: "Build"}}},
		},
		After: []signalbox.PlanJob{{Name: "Report"}},
		Promotions: []signalbox.PlanPromotion{
			{Name: "Staging", File: ".semaphore/staging.yml", Auto: &signalbox.AutoRule{When: "result = 'passed'"}},
			{Name: "Production", File: ".semaphore/production.yml", Parameters: []signalbox.Parameter{
				{Name: "REGION", Options: []string{"eu", "us"}, Default: "eu", Description: "Where to"}, {Name: "VERSION", Description: "Which one"}, {Name: "NOTE", Optional: true},
			}},
			{Name: "Vault", File: ".semaphore/vault.yml", Target: "vault"},
		},
	}
	train := func(title string, result signalbox.Result, reason signalbox.Reason, origin signalbox.Origin, wf *signalbox.Workflow) *signalbox.Pipeline {
		from, to := w.Ago(20*time.Minute), w.Ago(12*time.Minute)
		if wf == nil {
			wf = w.Workflow(n.Project, "train", title)
		}
		p := w.Pipeline(wf, signalbox.Pipeline{
			Name: "Release train", YAML: "version: v1.0\nname: Release train\n", State: signalbox.PipelineDone, Result: result, Reason: reason, Plan: plan, Origin: origin, RunningAt: from, DoneAt: to,
		})
		test := w.Block(p, signalbox.Block{Name: "Test", State: signalbox.BlockDone, Result: result, Reason: reason, RunningAt: from, DoneAt: to})
		w.Block(p, signalbox.Block{Index: 1, Name: "Docs", Dependencies: []int{0}, State: signalbox.BlockDone, Result: signalbox.ResultPassed, Reason: signalbox.ReasonSkipped})
		after := w.Block(p, signalbox.Block{Kind: signalbox.BlockAfter, Index: signalbox.AfterIndex, Name: "After", State: signalbox.BlockRunning, RunningAt: to})
		w.Job(p, test, signalbox.Job{Name: "Unit", State: signalbox.JobFinished, Result: signalbox.JobPassed, Copied: origin.RerunOf != "", StartedAt: from, FinishedAt: to})
		w.Job(p, test, signalbox.Job{Name: "Integration", Index: 1, State: signalbox.JobFinished, Result: signalbox.JobResult(result), Reason: reason, StartedAt: from, FinishedAt: to})
		w.Job(p, after, signalbox.Job{Name: "Report", State: signalbox.JobQueued})
		return p
	}
	n.open = train("Release 2.4", signalbox.ResultPassed, signalbox.ReasonNone, signalbox.Origin{}, nil)
	made := w.whole(&signalbox.Workflow{ID: n.open.WorkflowID, ProjectID: n.open.ProjectID}, signalbox.ResultPassed)
	n.locked = train("Release 2.5", signalbox.ResultFailed, signalbox.ReasonTest, signalbox.Origin{}, nil)
	n.rerun = train("", signalbox.ResultPassed, signalbox.ReasonNone, signalbox.Origin{RerunOf: n.locked.ID, RerunBy: "mei"}, &signalbox.Workflow{ID: n.locked.WorkflowID, ProjectID: n.locked.ProjectID})
	w.Write(func(tx *store.Tx) error {
		for _, asked := range []*signalbox.Promotion{
			{PipelineID: n.open.ID, Name: "Staging", Token: "1", Auto: true, PromotedBy: signalbox.AutoPromotion, CreatedPipelineID: made.ID},
			{PipelineID: n.open.ID, Name: "Vault", Token: "2", PromotedBy: "vic", Error: "subject not allowed"},
		} {
			if _, _, err := tx.CreatePromotion(asked, "engine"); err != nil {
				return err
			}
		}
		return nil
	})
}

// stages has pipelines that are on their way, and workflows of every kind.
func (w *world) stages(n *normal) {
	wf := w.Workflow(n.Project, "stop-me", "Try a larger pool")
	n.stopping = w.Pipeline(wf, signalbox.Pipeline{Name: "Build and test", State: signalbox.PipelineStopping, Terminate: "stop", TerminateReason: signalbox.ReasonUser, TerminatedBy: "user:mei", RunningAt: w.Ago(5 * time.Minute), StoppingAt: w.Ago(4 * time.Second)})
	b := w.Block(n.stopping, signalbox.Block{Name: "Test", State: signalbox.BlockStopping, RunningAt: w.Ago(5 * time.Minute)})
	w.Job(n.stopping, b, signalbox.Job{Name: "Unit", State: signalbox.JobRunning, StartedAt: w.Ago(5 * time.Minute)})

	for i, state := range []signalbox.PipelineState{signalbox.PipelineRunning, signalbox.PipelineQueuing, signalbox.PipelineQueuing} {
		wf := w.Workflow(n.Project, "main", fmt.Sprintf("Deploy in order, part %d", i+1))
		n.lobby = w.Pipeline(wf, signalbox.Pipeline{Name: "Deploy", State: state, QueueKey: "deploy", RunningAt: map[bool]time.Time{true: w.Ago(time.Minute)}[i == 0], QueuingAt: w.Ago(time.Minute)})
	}
	n.prepares = w.Pipeline(w.Workflow(n.Project, "monorepo", "Compile what the change needs"), signalbox.Pipeline{State: signalbox.PipelineInitializing})
	first := w.Block(n.prepares, signalbox.Block{Kind: signalbox.BlockInit, Index: signalbox.InitIndex, Name: "Initialization", State: signalbox.BlockRunning, RunningAt: w.Ago(9 * time.Second)})
	w.Job(n.prepares, first, signalbox.Job{Name: "Initialization", State: signalbox.JobRunning, StartedAt: w.Ago(9 * time.Second)})

	n.bare = w.Workflow(n.Project, "bare", "")
	n.tag = w.Started(n.Project, signalbox.Workflow{Ref: "refs/tags/v2.4.0", RefType: "tag", BranchName: "refs/tags/v2.4.0", Label: "v2.4.0", CommitMessage: "Release 2.4.0", TriggeredBy: signalbox.TriggeredByHook})
	w.whole(n.tag, signalbox.ResultPassed)
	n.pull = w.Started(n.Project, signalbox.Workflow{RefType: "pull-request", BranchName: "pull-request-7", Label: "#7 by noor", CommitMessage: "Translate the labels", TriggeredBy: signalbox.TriggeredByHook})
	w.whole(n.pull, signalbox.ResultFailed)
	nightly := w.Started(n.Project, signalbox.Workflow{RefType: "branch", BranchName: "main", Label: "main", CommitMessage: "Nightly", TriggeredBy: signalbox.TriggeredBySchedule})
	w.whole(nightly, signalbox.ResultPassed)
	byHand := w.Started(n.Project, signalbox.Workflow{RefType: "branch", BranchName: "main", Label: "main", CommitMessage: "Once more, by hand", TriggeredBy: signalbox.TriggeredByManualRun, Requester: "mei"})
	w.whole(byHand, signalbox.ResultPassed)
}

// endReasons are all reasons for which a job or a pipeline ends otherwise than by passing.
var endReasons = []signalbox.Reason{
	signalbox.ReasonTest, signalbox.ReasonMalformed, signalbox.ReasonStuck, signalbox.ReasonUser, signalbox.ReasonInternal, signalbox.ReasonStrategy, signalbox.ReasonFastFailing,
	signalbox.ReasonDeleted, signalbox.ReasonTimeout, signalbox.ReasonAgentLost, signalbox.ReasonAgentRestarted, signalbox.ReasonAgentDisconnected, signalbox.ReasonInterrupted,
	signalbox.ReasonWithdrawn, signalbox.ReasonStartFailed, signalbox.ReasonImagePull, signalbox.ReasonLeaseEnded, signalbox.ReasonAgentError,
}

// ended has a job and a block for every reason to end.
func (w *world) ended(n *normal) {
	from, to := w.Ago(40*time.Minute), w.Ago(30*time.Minute)
	wf := w.Workflow(n.Project, "endings", "Every way in which something ends")
	n.endings = w.Pipeline(wf, signalbox.Pipeline{Name: "Endings", State: signalbox.PipelineDone, Result: signalbox.ResultStopped, Reason: signalbox.ReasonTimeout, RunningAt: from, DoneAt: to})
	for i, reason := range endReasons {
		result, block := signalbox.JobFailed, signalbox.ResultFailed
		switch reason {
		case signalbox.ReasonUser, signalbox.ReasonStrategy, signalbox.ReasonFastFailing, signalbox.ReasonDeleted, signalbox.ReasonInterrupted:
			result, block = signalbox.JobStopped, signalbox.ResultStopped
		}
		b := w.Block(n.endings, signalbox.Block{Index: i, Name: "Ends: " + string(reason), State: signalbox.BlockDone, Result: block, Reason: reason, RunningAt: from, DoneAt: to})
		n.ends[reason] = w.Job(n.endings, b, signalbox.Job{Name: "Ends: " + string(reason), State: signalbox.JobFinished, Result: result, Reason: reason, StartedAt: from, FinishedAt: to})
	}
	// The agent could not tell how a command ended.
	at := w.Attempt(n.ends[signalbox.ReasonAgentError], n.Agent, signalbox.Attempt{State: signalbox.AttemptEnded, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentError, FetchedAt: from, EndedAt: to})
	w.Push(at, 0, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: from.Unix(), Directive: "make test"}, agentapi.Event{Event: agentapi.EventCmdFinished, Timestamp: to.Unix(), Directive: "make test"})
	w.CloseLog(at)
	b := w.Block(n.endings, signalbox.Block{Index: len(endReasons), Name: "Never started", State: signalbox.BlockDone, Result: signalbox.ResultCanceled, RunningAt: from, DoneAt: to})
	n.canceled = w.Job(n.endings, b, signalbox.Job{Name: "Canceled", State: signalbox.JobFinished, Result: signalbox.JobStopped, Reason: signalbox.ReasonUser, FinishedAt: to})
	// How pipelines end.
	for _, end := range []signalbox.Pipeline{
		{Result: signalbox.ResultCanceled, Reason: signalbox.ReasonStrategy},
		{Result: signalbox.ResultFailed, Reason: signalbox.ReasonStuck},
		{Result: signalbox.ResultFailed, Reason: signalbox.ReasonInternal},
		{Result: signalbox.ResultStopped, Reason: signalbox.ReasonTimeout},
	} {
		end.Name, end.State, end.RunningAt, end.DoneAt = "Build and test", signalbox.PipelineDone, from, to
		w.Pipeline(w.Workflow(n.Project, "endings", "A pipeline that ends: "+string(end.Reason)), end)
	}
}
