// Package scene puts projects, workflows, jobs, logs and agents into a store as they are at some moment, however they
// would have come there. The storybook shows scenes, and tests of pages look at them. Everything is written with the
// store's own functions; the first error is kept, and nothing is written after it.
package scene

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// Scene writes into one store. All fields but OnError must be set.
type Scene struct {
	Context context.Context
	Store   *store.Store
	Log     *joblog.Log
	Now     func() time.Time // that the store has too
	OnError func(error)      // called with the first error

	err error
	seq int
}

// Err is the first error.
func (s *Scene) Err() error { return s.err }

func (s *Scene) failed(err error) {
	if s.err = err; err != nil && s.OnError != nil {
		s.OnError(err)
	}
}

// Write runs fn in a transaction, unless something has failed before.
func (s *Scene) Write(fn func(tx *store.Tx) error) {
	if s.err == nil {
		s.failed(s.Store.Write(s.Context, fn))
	}
}

// Ago is a moment before now.
func (s *Scene) Ago(d time.Duration) time.Time { return s.Now().Add(-d) }

// Project stores a project of that name.
func (s *Scene) Project(name string) *signalbox.Project {
	p := &signalbox.Project{Name: name, GitURL: "https://git.example/" + name + ".git", DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile}
	s.Write(func(tx *store.Tx) error { return tx.CreateProject(p, "user:ana") })
	return p
}

// AgentType stores an agent type of that name.
func (s *Scene) AgentType(name string) *signalbox.AgentType {
	a := &signalbox.AgentType{Name: name}
	s.Write(func(tx *store.Tx) error { return tx.CreateAgentType(a, "user:ana") })
	return a
}

// Agent stores an agent that is connected.
func (s *Scene) Agent(t *signalbox.AgentType, name string) *signalbox.Agent {
	a := &signalbox.Agent{
		AgentTypeID: t.ID, Name: name, State: signalbox.AgentRegistered, Version: "1.4.0", OS: "linux", Arch: "x86_64",
		Hostname: name + ".harbour.example", IP: "192.0.2.7",
	}
	s.Write(func(tx *store.Tx) error { return tx.CreateAgent(a, "hash-"+name) })
	return a
}

// ChangeAgent stores an agent that change has changed.
func (s *Scene) ChangeAgent(a *signalbox.Agent, actor, reason string, change func(a *signalbox.Agent)) {
	from := a.AttemptID
	change(a)
	s.Write(func(tx *store.Tx) error { return tx.UpdateAgent(a, from, actor, reason, "") })
}

// Workflow stores a workflow that a push to a branch has started.
func (s *Scene) Workflow(p *signalbox.Project, branch, message string) *signalbox.Workflow {
	return s.Started(p, signalbox.Workflow{
		Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch, CommitMessage: message, CommitAuthor: "Ana Kovač",
		TriggeredBy: signalbox.TriggeredByHook,
	})
}

// Started stores a workflow.
func (s *Scene) Started(p *signalbox.Project, wf signalbox.Workflow) *signalbox.Workflow {
	s.seq++
	wf.ProjectID, wf.RequestToken = p.ID, fmt.Sprint("token-", s.seq)
	if wf.CommitSHA == "" {
		wf.CommitSHA = fmt.Sprintf("9f3c2ab%033d", s.seq)
	}
	s.Write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(&wf, "server")
		return err
	})
	return &wf
}

// Pipeline stores a pipeline of a workflow.
func (s *Scene) Pipeline(wf *signalbox.Workflow, p signalbox.Pipeline) *signalbox.Pipeline {
	p.WorkflowID, p.ProjectID = wf.ID, wf.ProjectID
	if p.File == "" {
		p.File = signalbox.DefaultPipelineFile
	}
	s.Write(func(tx *store.Tx) error { return tx.CreatePipeline(&p, "engine") })
	return &p
}

// Block stores a block of a pipeline.
func (s *Scene) Block(p *signalbox.Pipeline, b signalbox.Block) *signalbox.Block {
	b.PipelineID = p.ID
	s.Write(func(tx *store.Tx) error { return tx.CreateBlock(&b) })
	return &b
}

// Job stores a job of a block, for agents of s1-linux unless it says another type.
func (s *Scene) Job(p *signalbox.Pipeline, b *signalbox.Block, j signalbox.Job) *signalbox.Job {
	j.PipelineID, j.BlockID, j.WorkflowID, j.ProjectID = p.ID, b.ID, p.WorkflowID, p.ProjectID
	if j.AgentType == "" {
		j.AgentType = "s1-linux"
	}
	s.Write(func(tx *store.Tx) error { return tx.CreateJob(&j, "engine") })
	return &j
}

// Attempt stores an attempt of a job on an agent, the first unless it says which.
func (s *Scene) Attempt(j *signalbox.Job, a *signalbox.Agent, at signalbox.Attempt) *signalbox.Attempt {
	at.JobID, at.AgentID, at.AgentName = j.ID, a.ID, a.Name
	if at.N == 0 {
		at.N = 1
	}
	s.Write(func(tx *store.Tx) error {
		if err := tx.CreateAttempt(&at, "dispatch"); err != nil {
			return err
		}
		j.AttemptID, j.AttemptN = at.ID, at.N
		return tx.UpdateJob(j, j.State, "dispatch", "offered", a.Name)
	})
	return &at
}

// Push adds events to the log of an attempt that has from events already, and returns how many it has then.
func (s *Scene) Push(a *signalbox.Attempt, from int64, events ...agentapi.Event) int64 {
	var body bytes.Buffer
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil && s.err == nil {
			s.failed(err)
		}
		body.Write(append(b, '\n'))
	}
	if s.err == nil {
		_, err := s.Log.Append(s.Context, a.ID, a.JobID, from, body.Bytes())
		s.failed(err)
	}
	return from + int64(len(events))
}

// CloseLog ends the log of an attempt.
func (s *Scene) CloseLog(a *signalbox.Attempt) {
	if s.err == nil {
		s.failed(s.Log.Close(s.Context, a.ID))
	}
}

// Command is the events of one command.
func Command(at int64, directive, output string, exit int, seconds int64) []agentapi.Event {
	end := at + seconds
	return []agentapi.Event{
		{Event: agentapi.EventCmdStarted, Timestamp: at, Directive: directive},
		{Event: agentapi.EventCmdOutput, Timestamp: at, Output: output},
		{Event: agentapi.EventCmdFinished, Timestamp: end, Directive: directive, ExitCode: &exit, StartedAt: &at, FinishedAt: &end},
	}
}
