package engine

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Rerun repeats what did not pass in a pipeline that is done, as another pipeline of the same workflow: blocks that
// passed are done from the start, and within the others so are jobs that passed, unless the file wants whole blocks.
// The same token gives the same pipeline.
func (e *Engine) Rerun(tx *store.Tx, id, token, by, actor string) (*signalbox.Pipeline, error) {
	of, err := tx.LockPipeline(id)
	if err != nil {
		return nil, err
	}
	switch {
	case of.State != signalbox.PipelineDone:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "Only pipelines which are in done state can be partial rebuilt.")
	case of.Result == signalbox.ResultPassed:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "Pipelines which passed can not be partial rebuilt.")
	case of.Plan == nil:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "pipeline %s has nothing to repeat: its file could not be read; run the workflow again instead", id)
	}
	p := &signalbox.Pipeline{
		WorkflowID: of.WorkflowID, ProjectID: of.ProjectID, ArtefactID: of.ArtefactID, Name: of.Name, File: of.File, YAML: of.YAML,
		Origin: of.Origin, State: signalbox.PipelineInitializing, QueueKey: of.QueueKey,
	}
	p.Origin.RerunOf, p.Origin.RerunBy = of.ID, by
	w, err := tx.Workflow(of.WorkflowID)
	if err != nil {
		return nil, err
	}
	ask := &signalbox.Promotion{PipelineID: of.ID, Name: rerunRequest, Token: "rerun:" + token, PromotedBy: by, CreatedPipelineID: signalbox.NewID()}
	old, isNew, err := tx.CreatePromotion(ask, actor)
	if err != nil {
		return nil, err
	}
	if !isNew {
		return tx.Pipeline(old.CreatedPipelineID)
	}
	p.ID = ask.CreatedPipelineID
	if p, err = announce(tx, p, w, actor); err != nil {
		return nil, err
	}
	c := Compiled{YAML: of.YAML, Name: of.Name, Plan: of.Plan}
	return p, e.Initialize(tx, p.ID, c, actor)
}

// rerunRequest is the name under which repeats are kept beside promotions. No promotion can have an empty name.
const rerunRequest = ""

// keepPassed ends the blocks of a repeat that passed in the pipeline it repeats.
func keepPassed(tx *store.Tx, p *signalbox.Pipeline) error {
	if p.Origin.RerunOf == "" {
		return nil
	}
	was, err := tx.Blocks(p.Origin.RerunOf)
	if err != nil {
		return err
	}
	now, err := tx.Blocks(p.ID)
	if err != nil {
		return err
	}
	for i, b := range now {
		if i >= len(was) || was[i].Name != b.Name || was[i].Result != signalbox.ResultPassed || was[i].Reason == signalbox.ReasonSkipped {
			continue
		}
		from := b.State
		b.State, b.Result, b.RunningAt, b.DoneAt = signalbox.BlockDone, signalbox.ResultPassed, was[i].RunningAt, was[i].DoneAt
		if err := tx.UpdateBlock(b, from, Actor, "passed in pipeline "+p.Origin.RerunOf, ""); err != nil {
			return err
		}
		jobs, err := blockJobs(tx, p.Origin.RerunOf, was[i].ID)
		if err != nil {
			return err
		}
		for _, old := range jobs {
			j := *old
			j.ID, j.BlockID, j.PipelineID, j.AttemptID, j.AttemptN = "", b.ID, p.ID, "", 0
			asCopy(&j, old)
			if err := tx.CreateJob(&j, Actor); err != nil {
				return err
			}
		}
	}
	return nil
}

func blockJobs(tx *store.Tx, pipelineID, blockID string) (out []*signalbox.Job, err error) {
	all, err := tx.JobsOf(pipelineID)
	for _, j := range all {
		if j.BlockID == blockID {
			out = append(out, j)
		}
	}
	return out, err
}

// asCopy makes j stand for a job that passed earlier. Its log is that of the job that really ran.
func asCopy(j, of *signalbox.Job) {
	j.Copied, j.State, j.Result = true, signalbox.JobFinished, signalbox.JobPassed
	j.QueuedAt, j.StartedAt, j.FinishedAt = of.QueuedAt, of.StartedAt, of.FinishedAt
	j.OriginalID = of.ID
	if of.Copied {
		j.OriginalID = of.OriginalID
	}
}

// repeat says what became of the jobs of a block in the pipeline that is repeated.
type repeat struct {
	jobs []*signalbox.Job // by index, nil when the whole block runs
}

// repeated finds the jobs that a block of a repeat stands for. Jobs are taken over one by one only where their number is
// the same and at least one passed.
func (e *Engine) repeated(tx *store.Tx, p *signalbox.Pipeline, b *signalbox.Block, n int) (repeat, error) {
	if p.Origin.RerunOf == "" || b.Kind != signalbox.BlockOfFile || p.Plan.Blocks[b.Index].PartialRerun == "block" {
		return repeat{}, nil
	}
	was, err := tx.Blocks(p.Origin.RerunOf)
	if err != nil || b.Index >= len(was) || was[b.Index].Name != b.Name {
		return repeat{}, err
	}
	jobs, err := blockJobs(tx, p.Origin.RerunOf, was[b.Index].ID)
	if err != nil || len(jobs) != n {
		return repeat{}, err
	}
	byIndex := make([]*signalbox.Job, n)
	passed := false
	for _, j := range jobs {
		if j.Index < 0 || j.Index >= n || byIndex[j.Index] != nil {
			return repeat{}, nil
		}
		byIndex[j.Index] = j
		passed = passed || j.State == signalbox.JobFinished && j.Result == signalbox.JobPassed
	}
	if !passed {
		return repeat{}, nil
	}
	return repeat{jobs: byIndex}, nil
}

func (r repeat) apply(j *signalbox.Job) {
	if r.jobs == nil {
		return
	}
	of := r.jobs[j.Index]
	if of.State == signalbox.JobFinished && of.Result == signalbox.JobPassed {
		asCopy(j, of)
		return
	}
	j.OriginalID = of.ID
}
