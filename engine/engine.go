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

// Advance takes every step that the pipeline's present state allows. Calling it once too often changes nothing.
func (e *Engine) Advance(tx *store.Tx, pipelineID string) error {
	for {
		again, err := e.advance(tx, pipelineID)
		if err != nil || !again {
			return err
		}
	}
}

// advance takes one step and tells whether its own changes may allow another.
func (e *Engine) advance(tx *store.Tx, pipelineID string) (again bool, err error) {
	p, err := tx.LockPipeline(pipelineID)
	if err != nil {
		return false, err
	}
	s := State{Pipeline: p}
	if p.Plan != nil && len(p.Plan.After) > 0 {
		if s.After, err = tx.BlockBeside(p.ID, signalbox.BlockAfter); err != nil {
			return false, err
		}
	}
	if p.State == signalbox.PipelineInitializing {
		if s.Init, err = tx.BlockBeside(p.ID, signalbox.BlockInit); err != nil {
			return false, err
		}
	}
	if p.State == signalbox.PipelineDone && (s.After == nil || s.After.State == signalbox.BlockDone) {
		return false, nil
	}
	if s.Blocks, err = tx.Blocks(p.ID); err != nil {
		return false, err
	}
	if s.Jobs, err = tx.JobsOf(p.ID); err != nil {
		return false, err
	}
	if p.State != signalbox.PipelineInitializing && p.State != signalbox.PipelineDone {
		if s.Queue, err = tx.Queued(p); err != nil {
			return false, err
		}
	}
	return e.apply(tx, s, Step(s, tx.Now))
}

func (e *Engine) apply(tx *store.Tx, s State, c Changes) (again bool, err error) {
	for _, b := range c.Blocks {
		if err := tx.UpdateBlock(b.Block, b.From, Actor, b.Why, ""); err != nil {
			return false, err
		}
		if b.Block.Kind == signalbox.BlockInit {
			tx.Wake(store.KeyInitializing)
		}
	}
	for _, b := range c.Start {
		ended, err := e.startJobs(tx, s.Pipeline, b)
		if err != nil {
			return false, err
		}
		again = again || ended
	}
	for _, j := range c.Stop {
		if err := stopJob(tx, j.Job, j.Reason, Actor); err != nil {
			return false, err
		}
		again = true
	}
	if c.Pipeline == nil {
		return again, nil
	}
	if err := tx.UpdatePipeline(c.Pipeline, Actor, c.Why, c.Pipeline.TerminatedBy); err != nil {
		return false, err
	}
	if c.Pipeline.State != signalbox.PipelineDone || s.Pipeline.State == signalbox.PipelineDone {
		return again, nil
	}
	if err := e.done(tx, c.Pipeline); err != nil {
		return false, err
	}
	return again || s.After != nil, nil
}

// done does what follows from the end of a pipeline for others.
func (e *Engine) done(tx *store.Tx, p *signalbox.Pipeline) error {
	if err := e.autoPromote(tx, p); err != nil {
		return err
	}
	return e.leaveQueue(tx, p)
}

// leaveQueue starts whoever waited for p.
func (e *Engine) leaveQueue(tx *store.Tx, p *signalbox.Pipeline) error {
	if err := tx.LockQueue(p.QueueKey); err != nil {
		return err
	}
	waiting, err := tx.OpenInQueue(p.QueueKey, p.ID)
	if err != nil {
		return err
	}
	for _, id := range waiting {
		if err := e.Advance(tx, id); err != nil {
			return err
		}
		next, err := tx.Pipeline(id)
		if err != nil {
			return err
		}
		if next.State == signalbox.PipelineQueuing { // and so do all behind it that wait at all
			return nil
		}
	}
	return nil
}

// startJobs makes the jobs of a block. It tells whether some of them are finished already: refused, or copied from an
// earlier pipeline.
func (e *Engine) startJobs(tx *store.Tx, p *signalbox.Pipeline, b *signalbox.Block) (ended bool, err error) {
	jobs := p.Plan.After
	if b.Kind == signalbox.BlockOfFile {
		jobs = p.Plan.Blocks[b.Index].Jobs
	}
	repeated, err := e.repeated(tx, p, b, len(jobs))
	if err != nil {
		return false, err
	}
	permits := e.permits(tx, p.ProjectID, p.WorkflowID)
	for i := range jobs {
		j := newJob(p, b, i, &jobs[i])
		repeated.apply(j)
		done, err := e.startJob(tx, j, permits)
		if err != nil {
			return false, err
		}
		ended = ended || done
	}
	return ended, nil
}

// newJob makes a job of a block. What the deployment target of the pipeline holds is for all but those of after_pipeline.
func newJob(p *signalbox.Pipeline, b *signalbox.Block, i int, pj *signalbox.PlanJob) *signalbox.Job {
	target := p.Origin.TargetID
	if b.Kind == signalbox.BlockAfter {
		target = ""
	}
	return &signalbox.Job{
		BlockID: b.ID, PipelineID: p.ID, WorkflowID: p.WorkflowID, ProjectID: p.ProjectID, Index: i, Name: pj.Name,
		AgentType: pj.Spec.MachineType, Priority: pj.Priority, Spec: pj.Spec, State: signalbox.JobQueued,
		TimeLimit: min(minutes(pj.TimeLimit, signalbox.DefaultJobTime), signalbox.DefaultJobTime), TargetID: target,
	}
}

// startJob makes a job. It tells whether the job is finished already.
func (e *Engine) startJob(tx *store.Tx, j *signalbox.Job, permits permits) (ended bool, err error) {
	problem, what := "", "failed: no such agent type"
	if !j.Copied {
		if j.AgentType, problem, err = e.agentType(tx, j.Spec); err != nil {
			return false, err
		}
	}
	if !j.Copied && problem == "" {
		what = "failed: not permitted on the agent type"
		if problem, err = permits(j.AgentType); err != nil {
			return false, err
		}
	}
	if err := tx.CreateJob(j, Actor); err != nil {
		return false, err
	}
	if problem == "" {
		return j.Copied, nil
	}
	j.State, j.Result, j.Reason, j.FailureReason = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonStartFailed, problem
	j.FinishedAt = tx.Now
	return true, tx.UpdateJob(j, signalbox.JobQueued, Actor, what, problem)
}

// agentType returns the type of agent that runs a job: the one that it names or, for the machine types of hosted
// products, the one that the organization's table gives. problem is a sentence when there is none.
func (e *Engine) agentType(tx *store.Tx, spec signalbox.JobSpec) (name, problem string, err error) {
	if problem, err = e.noAgentType(tx, spec.MachineType); err != nil || problem == "" {
		return spec.MachineType, "", err
	}
	if strings.HasPrefix(spec.MachineType, "s1-") {
		return spec.MachineType, problem, nil
	}
	rules, err := tx.MachineRules()
	if err != nil {
		return "", "", err
	}
	for _, r := range rules {
		if !r.Matches(spec.MachineType, spec.OSImage) {
			continue
		}
		if problem, err = e.noAgentType(tx, r.AgentType); err != nil || problem != "" {
			return r.AgentType, problem, err
		}
		return r.AgentType, "", nil
	}
	image := ""
	if spec.OSImage != "" {
		image = " with the image " + spec.OSImage
	}
	return spec.MachineType, problem + fmt.Sprintf(" No rule says which of them serves %s%s; \"signalbox machine map %s AGENT-TYPE\" makes one.",
		spec.MachineType, image, spec.MachineType), nil
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

// Resume advances every pipeline that is not done. It is what a server does after it has started. One that cannot be advanced keeps
// none of the others waiting; the error tells of the first.
func (e *Engine) Resume(ctx context.Context) error {
	var open []string
	if err := e.store.Read(ctx, func(tx *store.Tx) (err error) {
		open, err = tx.OpenPipelines()
		return err
	}); err != nil {
		return fmt.Errorf("find the pipelines to resume: %w", err)
	}
	var first error
	failed := 0
	for _, id := range open {
		err := e.store.Write(ctx, func(tx *store.Tx) error { return e.Advance(tx, id) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			continue
		}
		if failed++; first == nil {
			first = fmt.Errorf("pipeline %s: %w", id, err)
		}
	}
	if len(open) > failed {
		e.log.Info("resumed pipelines", "count", len(open)-failed)
	}
	if failed > 0 {
		return fmt.Errorf("resume %d of %d pipelines; the first: %w", failed, len(open), first)
	}
	return nil
}
