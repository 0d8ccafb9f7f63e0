// Package engine runs pipelines: a pure step function decides what follows from the states of a pipeline, its blocks
// and its jobs, and a thin layer applies the decision in the transaction that caused it. It also owns the life of an
// attempt, because a job's end and the step it allows must be one commit. It knows no HTTP, no agents' wire and keeps
// nothing in memory, so that a start after a crash is the same as any other moment.
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/store"
)

// Actor is how the engine signs its own decisions in histories.
const Actor = "engine"

// Engine applies steps. The zero value is not usable; see New.
type Engine struct {
	store    *store.Store
	log      *slog.Logger
	anyAgent bool
}

// Options for New; Store is required.
type Options struct {
	Store *store.Store
	// AnyAgent lets jobs ask for agent types that do not exist, as where there are no agents at all. Otherwise such a
	// job fails at once, because nobody would ever take it.
	AnyAgent bool
	Logger   *slog.Logger // default: discard
}

// New returns an engine over a store.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{store: o.Store, log: o.Logger, anyAgent: o.AnyAgent}
}

// Source is a pipeline file as found at a commit, or why it could not be read.
type Source struct {
	File string // path within the repository
	YAML []byte
	Err  error // why there is no text: shown as the pipeline's error
	// Select, when set, takes away what is not to run; its error is the pipeline's.
	Select func(*signalbox.Plan) error
}

// Create stores the pipeline of a workflow and takes its first steps. A file that is wrong gives a pipeline that is
// done, failed and malformed, with every problem in its error description.
func (e *Engine) Create(tx *store.Tx, w *signalbox.Workflow, src Source, actor string) (*signalbox.Pipeline, error) {
	p := &signalbox.Pipeline{
		WorkflowID: w.ID, ProjectID: w.ProjectID, File: src.File, YAML: string(src.YAML), Name: "Pipeline",
		QueueKey: w.ProjectID + "/" + w.Label + "-" + src.File, State: signalbox.PipelinePending, PendingAt: tx.Now,
	}
	fail := func(description string) {
		p.State, p.Result, p.Reason = signalbox.PipelineDone, signalbox.ResultFailed, signalbox.ReasonMalformed
		p.ErrorDescription, p.DoneAt = description, tx.Now
	}
	if src.Err != nil {
		fail(signalbox.ErrorMessage(src.Err))
	} else {
		r := spec.Parse(src.YAML, spec.Options{File: src.File})
		p.Name = r.Name
		switch {
		case r.Problems.HasErrors():
			fail(r.Problems.Error())
		case src.Select != nil:
			if err := src.Select(r.Plan); err != nil {
				fail(signalbox.ErrorMessage(err))
				break
			}
			fallthrough
		default:
			p.Plan = r.Plan
		}
	}
	if err := tx.CreatePipeline(p, actor); err != nil {
		return nil, err
	}
	if p.Plan == nil {
		return p, nil
	}
	for i, b := range p.Plan.Blocks {
		if err := tx.CreateBlock(&signalbox.Block{
			PipelineID: p.ID, Index: i, Name: b.Name, Dependencies: b.Dependencies, State: signalbox.BlockWaiting,
		}); err != nil {
			return nil, err
		}
	}
	if err := e.Advance(tx, p.ID); err != nil {
		return nil, err
	}
	return tx.Pipeline(p.ID)
}

// Advance takes every step that the pipeline's present state allows. Calling it once too often changes nothing.
func (e *Engine) Advance(tx *store.Tx, pipelineID string) error {
	p, err := tx.LockPipeline(pipelineID)
	if err != nil {
		return err
	}
	if p.State == signalbox.PipelineDone {
		return nil
	}
	s := State{Pipeline: p}
	if s.Blocks, err = tx.Blocks(p.ID); err != nil {
		return err
	}
	if s.Jobs, err = tx.JobsOf(p.ID); err != nil {
		return err
	}
	if s.Ahead, err = tx.QueueAhead(p); err != nil {
		return err
	}
	return e.apply(tx, s, Step(s, tx.Now))
}

func (e *Engine) apply(tx *store.Tx, s State, c Changes) error {
	for _, b := range c.Blocks {
		if err := tx.UpdateBlock(b.Block, b.From, Actor, b.Why, ""); err != nil {
			return err
		}
	}
	again := false
	for _, b := range c.Start {
		refused, err := e.startJobs(tx, s.Pipeline, b)
		if err != nil {
			return err
		}
		again = again || refused
	}
	for _, j := range c.Stop {
		if err := stopJob(tx, j.Job, j.Reason, Actor); err != nil {
			return err
		}
	}
	if c.Pipeline != nil {
		if err := tx.UpdatePipeline(c.Pipeline, Actor, c.Why, ""); err != nil {
			return err
		}
	}
	if again {
		return e.Advance(tx, s.Pipeline.ID)
	}
	if c.Pipeline == nil || c.Pipeline.State != signalbox.PipelineDone {
		return nil
	}
	// Without this lock, a pipeline that is being created beside us could see us still running while we do not see
	// it yet, and nobody would ever start it.
	if err := tx.LockProject(c.Pipeline.ProjectID); err != nil {
		return err
	}
	next, err := tx.NextInQueue(c.Pipeline.QueueKey)
	if err != nil || next == "" {
		return err
	}
	return e.Advance(tx, next)
}

// startJobs makes the jobs of a block. It tells whether some of them failed at once.
func (e *Engine) startJobs(tx *store.Tx, p *signalbox.Pipeline, b *signalbox.Block) (refused bool, err error) {
	for i, pj := range p.Plan.Blocks[b.Index].Jobs {
		j := &signalbox.Job{
			BlockID: b.ID, PipelineID: p.ID, WorkflowID: p.WorkflowID, ProjectID: p.ProjectID, Index: i, Name: pj.Name,
			AgentType: pj.Spec.MachineType, Priority: defaultPriority, Spec: pj.Spec, State: signalbox.JobQueued,
		}
		if err := tx.CreateJob(j, Actor); err != nil {
			return false, err
		}
		problem, err := e.noAgentType(tx, j.AgentType)
		if err != nil {
			return false, err
		}
		if problem == "" {
			continue
		}
		refused = true
		j.State, j.Result, j.Reason, j.FailureReason = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonStartFailed, problem
		j.FinishedAt = tx.Now
		if err := tx.UpdateJob(j, signalbox.JobQueued, Actor, "failed: no such agent type", problem); err != nil {
			return false, err
		}
	}
	return refused, nil
}

// noAgentType returns a sentence when there is no agent type of that name, "" when there is.
func (e *Engine) noAgentType(tx *store.Tx, name string) (string, error) {
	if e.anyAgent {
		return "", nil
	}
	_, err := tx.AgentType(name)
	if err == nil || signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return "", err
	}
	all, err := tx.AgentTypes()
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return fmt.Sprintf("This server has no agent type %q, and no other one: make it with \"signalbox agent-type create\" and start an agent.", name), nil
	}
	var names []string
	for _, t := range all {
		names = append(names, t.Name)
	}
	return fmt.Sprintf("This server has no agent type %q. There are: %s. Name one of them in the pipeline file, or make it with \"signalbox agent-type create\".",
		name, strings.Join(names, ", ")), nil
}

const defaultPriority = 50

// Resume advances every pipeline that is not done. It is what a server does when it starts.
func (e *Engine) Resume(ctx context.Context) error {
	var open []string
	if err := e.store.Read(ctx, func(tx *store.Tx) (err error) {
		open, err = tx.OpenPipelines()
		return err
	}); err != nil {
		return fmt.Errorf("find the pipelines to resume: %w", err)
	}
	for _, id := range open {
		if err := e.store.Write(ctx, func(tx *store.Tx) error { return e.Advance(tx, id) }); err != nil {
			return fmt.Errorf("resume pipeline %s: %w", id, err)
		}
	}
	if len(open) > 0 {
		e.log.Info("resumed pipelines", "count", len(open))
	}
	return nil
}
