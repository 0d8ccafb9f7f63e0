package storybook

import (
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// How much there is of everything in the extreme world.
const (
	manyBlocks   = 300
	manyThings   = 250 // agents, projects, people, workflows
	manyLogLines = 20_000
)

// extreme is what the world has that is full of hostile text and of too much.
type extreme struct {
	workflow, large *signalbox.Workflow
	job, queued     *signalbox.Job
	longLog         *signalbox.Job
	task            *signalbox.Task
}

// extreme makes that world.
func (w *world) extreme() *extreme {
	x := &extreme{}
	w.back(time.Hour)
	w.settled(signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer)
	typ := w.AgentType("s1-linux")
	a := w.Agent(typ, "build-01")
	w.at = w.now
	w.hostile(x, typ, a)
	w.hostileProject()
	w.many(x, typ)
	w.longLog(x, a)
	return x
}

func (w *world) hostile(x *extreme, typ *signalbox.AgentType, a *signalbox.Agent) {
	hostile := scene.Hostile
	w.Write(func(tx *store.Tx) error {
		if err := tx.CreateAgent(&signalbox.Agent{
			AgentTypeID: typ.ID, Name: hostile, State: signalbox.AgentRegistered, Version: hostile, OS: hostile, Arch: hostile, Hostname: hostile, IP: hostile,
			Labels: map[string]string{hostile[:200]: hostile}, Problems: []signalbox.Problem{{Code: "odd", Detail: hostile}},
		}, "h"); err != nil {
			return err
		}
		if err := tx.CreateUserBy(&signalbox.User{Name: hostile, Email: hostile, Role: signalbox.RoleMember}, "user:ana"); err != nil {
			return err
		}
		return tx.SaveRefused([]*signalbox.RefusedRegistration{{AgentTypeID: typ.ID, Reason: signalbox.RefusedName, Name: hostile, IP: hostile, Host: hostile, Token: "ff", Count: 1 << 30, FirstAt: w.now, LastAt: w.now, Detail: hostile}})
	})
	p := w.Project("hostile")
	x.task = w.hostileTask(p)
	x.workflow = w.Started(p, signalbox.Workflow{RefType: "branch", BranchName: hostile, Label: hostile, CommitMessage: hostile, CommitAuthor: hostile, TriggeredBy: signalbox.TriggeredByHook})
	ppl := w.Pipeline(x.workflow, signalbox.Pipeline{Name: hostile, File: hostile, YAML: hostile, State: signalbox.PipelineRunning, RunningAt: w.now, ErrorDescription: hostile, TerminatedBy: hostile})
	b := w.Block(ppl, signalbox.Block{Name: hostile, State: signalbox.BlockRunning, RunningAt: w.now, ErrorDescription: hostile})
	x.job = w.Job(ppl, b, signalbox.Job{Name: hostile, State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest, FailureReason: hostile, StartedAt: w.now, FinishedAt: w.now})
	x.queued = w.Job(ppl, b, signalbox.Job{Name: hostile, Index: 1, State: signalbox.JobQueued, AgentType: hostile})
	at := w.Attempt(x.job, a, signalbox.Attempt{State: signalbox.AttemptEnded, Result: signalbox.JobFailed})
	w.Write(func(tx *store.Tx) error { return tx.Record("job", x.job.ID, hostile, hostile, hostile) })
	w.Push(at, 0, scene.Command(1, hostile, hostile+"\n\x1b[31;58;99999mred\x1b[99999999999C\x1b[999A\x1b[2J"+hostile+"\r"+hostile, 1, 1)...)
	w.CloseLog(at)
	w.Targets(p, ppl, people[signalbox.RoleMember])
}

func (w *world) many(x *extreme, typ *signalbox.AgentType) {
	large := w.Project("large")
	w.Write(func(tx *store.Tx) error {
		for i := range manyThings {
			name := fmt.Sprintf("%s-%03d", strings.Repeat("long-name-", i%7), i)
			if err := tx.CreateAgent(&signalbox.Agent{
				AgentTypeID: typ.ID, Name: "agent-" + name, State: signalbox.AgentRegistered, Version: fmt.Sprintf("1.%d.0", i%5), OS: "linux", Arch: "x86_64", Hostname: name,
			}, "hash "+name); err != nil {
				return err
			}
			if err := tx.CreateProject(&signalbox.Project{Name: "project-" + name, GitURL: "https://git.example/" + name, DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile}, "user:ana"); err != nil {
				return err
			}
			if err := tx.CreateUserBy(&signalbox.User{Name: "person-" + name, Email: "person@harbour.example", Role: signalbox.RoleViewer}, "user:ana"); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 60 {
		w.whole(w.Workflow(large, fmt.Sprint("branch-", i%40), fmt.Sprint("Commit ", i)), signalbox.ResultPassed)
	}
	x.large = w.Workflow(large, strings.Repeat("branch-", 12), strings.Repeat("A title that goes on ", 20))
	p := w.Pipeline(x.large, signalbox.Pipeline{Name: "Many", State: signalbox.PipelineRunning, RunningAt: w.now})
	for i := range manyBlocks {
		var needs []int
		for d := max(0, i-3); d < i; d++ {
			needs = append(needs, d)
		}
		b := w.Block(p, signalbox.Block{Index: i, Name: fmt.Sprintf("Block number %d with a long name", i), Dependencies: needs, State: signalbox.BlockRunning, RunningAt: w.now})
		for k := range map[bool]int{true: 40, false: 1}[i < 3] {
			w.Job(p, b, signalbox.Job{Index: k, Name: fmt.Sprintf("Job %d", k), State: signalbox.JobQueued})
		}
	}
}

// longLog stores a job with a long log.
func (w *world) longLog(x *extreme, a *signalbox.Agent) {
	wf := w.Workflow(&signalbox.Project{ID: x.large.ProjectID}, "log", "A long log")
	p := w.Pipeline(wf, signalbox.Pipeline{Name: "Log", State: signalbox.PipelineRunning, RunningAt: w.now})
	b := w.Block(p, signalbox.Block{Name: "Log", State: signalbox.BlockRunning, RunningAt: w.now})
	x.longLog = w.Job(p, b, signalbox.Job{Name: "Count", State: signalbox.JobRunning, StartedAt: w.now})
	at := w.Attempt(x.longLog, a, signalbox.Attempt{State: signalbox.AttemptRunning})
	next := w.Push(at, 0, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: 1, Directive: "seq"})
	for i := 0; i < manyLogLines; i += 1000 {
		var out strings.Builder
		for k := range 1000 {
			fmt.Fprintf(&out, "\x1b[32mline %d\x1b[0m\n", i+k+1)
		}
		next = w.Push(at, next, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: 2, Output: out.String()})
	}
}
