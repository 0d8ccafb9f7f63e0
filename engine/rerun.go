package engine

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Rerun repeats what did not pass in a pipeline that is done, as another pipeline of the same workflow: blocks that
// passed are done from the start, and within the others so are jobs that passed, unless the file wants whole blocks.
// The same token gives the same pipeline.
func (e *Engine) Rerun(tx *store.Tx, id, token, by, actor string) (*signalbox.Pipeline, error) {
	return e.rerun(tx, id, "", token, by, actor)
}

// RerunJob repeats one job, in a pipeline that takes over everything else as it ended. Blocks that were canceled because of
// it run when it passes.
func (e *Engine) RerunJob(tx *store.Tx, jobID, token, by, actor string) (*signalbox.Pipeline, error) {
	j, err := tx.Job(jobID)
	if err != nil {
		return nil, err
	}
	b, err := tx.Block(j.BlockID)
	if err != nil {
		return nil, err
	}
	switch {
	case j.DebugOf != "":
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "job %s is a debug session; start another one of job %s", j.ID, j.DebugOf)
	case b.Kind != signalbox.BlockOfFile:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "job %s stands beside the blocks of its pipeline; run the pipeline again instead", j.ID)
	}
	return e.rerun(tx, j.PipelineID, j.ID, token, by, actor)
}

func (e *Engine) rerun(tx *store.Tx, id, job, token, by, actor string) (*signalbox.Pipeline, error) {
	of, err := tx.LockPipeline(id)
	if err != nil {
		return nil, err
	}
	switch {
	case of.State != signalbox.PipelineDone:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "Only pipelines which are in done state can be partial rebuilt.")
	case of.Result == signalbox.ResultPassed && job == "":
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "Pipelines which passed can not be partial rebuilt.")
	case of.Plan == nil:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "pipeline %s has nothing to repeat: its file could not be read; run the workflow again instead", id)
	}
	p := &signalbox.Pipeline{
		WorkflowID: of.WorkflowID, ProjectID: of.ProjectID, ArtefactID: of.ArtefactID, Name: of.Name, File: of.File, YAML: of.YAML,
		Origin: of.Origin, State: signalbox.PipelineInitializing, QueueKey: of.QueueKey,
	}
	p.Origin.RerunOf, p.Origin.RerunBy, p.Origin.RerunJob = of.ID, by, job
	w, err := tx.Workflow(of.WorkflowID)
	if err != nil {
		return nil, err
	}
	asked := &signalbox.Promotion{
		PipelineID: of.ID, Name: rerunRequest, Token: "rerun:" + job + ":" + token, PromotedBy: by, Parameters: of.Origin.Parameters,
		CreatedPipelineID: signalbox.NewID(),
	}
	p.ID = asked.CreatedPipelineID
	if asked, err = e.askAgain(tx, of, asked, w, actor); err != nil {
		return nil, err
	}
	if asked.CreatedPipelineID != p.ID {
		return tx.Pipeline(asked.CreatedPipelineID)
	}
	if p, err = announce(tx, p, w, actor); err != nil {
		return nil, err
	}
	c := Compiled{YAML: of.YAML, Name: of.Name, Plan: of.Plan}
	return p, e.Initialize(tx, p.ID, c, actor)
}

// askAgain keeps a request to repeat a pipeline. One that was promoted through a deployment target takes what the target
// hands out again, so whoever repeats it must be let through too.
func (e *Engine) askAgain(tx *store.Tx, of *signalbox.Pipeline, asked *signalbox.Promotion, w *signalbox.Workflow, actor string) (*signalbox.Promotion, error) {
	if of.Origin.TargetID == "" {
		return keepPromotion(tx, asked, nil, w, actor)
	}
	d, err := ask(tx, of.Origin.TargetID, "", false, asked.PromotedBy, w)
	if err != nil {
		return nil, err
	}
	if d.refusal != "" {
		asked.Error, asked.CreatedPipelineID = d.text(), ""
	}
	kept, isNew, err := tx.CreatePromotion(asked, actor)
	if err == nil && isNew {
		err = d.record(tx, of.ID, kept, of.Origin.Promotion, w)
	}
	if err == nil && kept.Error != "" {
		return nil, store.Keep(signalbox.Errorf(signalbox.CodeInvalid, "%s", kept.Error))
	}
	return kept, err
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
	chosen := "" // the block whose job is repeated
	if p.Origin.RerunJob != "" {
		j, err := tx.Job(p.Origin.RerunJob)
		if err != nil {
			return err
		}
		chosen = j.BlockID
	}
	for i, b := range now {
		if i >= len(was) || was[i].Name != b.Name || was[i].Result != signalbox.ResultPassed || was[i].Reason == signalbox.ReasonSkipped || was[i].ID == chosen {
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

// asCopy makes j stand for a job that ended earlier. Its log is that of the job that really ran.
func asCopy(j, of *signalbox.Job) {
	j.Copied, j.State, j.Result, j.Reason, j.FailureReason = true, signalbox.JobFinished, of.Result, of.Reason, of.FailureReason
	j.QueuedAt, j.StartedAt, j.FinishedAt = of.QueuedAt, of.StartedAt, of.FinishedAt
	j.OriginalID = of.ID
	if of.Copied {
		j.OriginalID = of.OriginalID
	}
}

// repeat says what became of the jobs of a block in the pipeline that is repeated.
type repeat struct {
	jobs []*signalbox.Job // by index, nil when the whole block runs
	only string           // the one job that runs again; "" is all that did not pass
}

// repeated finds the jobs that a block of a repeat stands for. Jobs are taken over one by one only where their number is
// the same and at least one passed.
func (e *Engine) repeated(tx *store.Tx, p *signalbox.Pipeline, b *signalbox.Block, n int) (repeat, error) {
	only := p.Origin.RerunJob
	if p.Origin.RerunOf == "" || b.Kind != signalbox.BlockOfFile || only == "" && p.Plan.Blocks[b.Index].PartialRerun == "block" {
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
	if !passed && only == "" {
		return repeat{}, nil
	}
	return repeat{jobs: byIndex, only: only}, nil
}

func (r repeat) apply(j *signalbox.Job) {
	if r.jobs == nil {
		return
	}
	of := r.jobs[j.Index]
	if of.State == signalbox.JobFinished && (r.only == "" && of.Result == signalbox.JobPassed || r.only != "" && of.ID != r.only) {
		asCopy(j, of)
		return
	}
	j.OriginalID = of.ID
}
