package engine

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/attempt"
	"github.com/signalbox-ci/signalbox/store"
)

// StopPipeline ends a pipeline: what has not begun is canceled, running jobs are stopped. On a pipeline that is
// stopping or done it changes nothing.
func (e *Engine) StopPipeline(tx *store.Tx, id, actor string, reason signalbox.Reason) error {
	p, err := tx.LockPipeline(id)
	if err != nil {
		return err
	}
	if p.State == signalbox.PipelineDone || p.Terminate != "" {
		return nil
	}
	p.Terminate, p.TerminateReason, p.TerminatedBy = "stop", reason, actor
	if err := tx.UpdatePipeline(p, actor, "terminate: "+string(reason), ""); err != nil {
		return err
	}
	return e.Advance(tx, id)
}

// StopJob ends one job. It is final at once: whatever the agent still reports changes nothing. On a finished job it
// changes nothing.
func (e *Engine) StopJob(tx *store.Tx, id, actor string, reason signalbox.Reason) error {
	j, err := tx.Job(id)
	if err != nil {
		return err
	}
	if _, err := tx.LockPipeline(j.PipelineID); err != nil {
		return err
	}
	if j, err = tx.LockJob(id); err != nil {
		return err
	}
	if j.State == signalbox.JobFinished {
		return nil
	}
	if err := stopJob(tx, j, reason, actor); err != nil {
		return err
	}
	if j, err = tx.Job(id); err != nil {
		return err
	}
	return e.ended(tx, j, actor)
}

// Refuse ends a queued job that must not be given to an agent. On a job that is no longer queued it changes nothing.
func (e *Engine) Refuse(tx *store.Tx, id, why, actor string) error {
	j, err := tx.Job(id)
	if err != nil {
		return err
	}
	if _, err := tx.LockPipeline(j.PipelineID); err != nil {
		return err
	}
	if j, err = tx.LockJob(id); err != nil || j.State != signalbox.JobQueued {
		return err
	}
	j.State, j.Result, j.Reason, j.FailureReason = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonStartFailed, why
	j.FinishedAt = tx.Now
	if err := tx.UpdateJob(j, signalbox.JobQueued, actor, "failed: "+string(j.Reason), why); err != nil {
		return err
	}
	return e.ended(tx, j, actor)
}

// stopJob makes a job finished and stopped, with its newest attempt.
func stopJob(tx *store.Tx, j *signalbox.Job, reason signalbox.Reason, actor string) error {
	j, err := tx.LockJob(j.ID)
	if err != nil {
		return err
	}
	r := attempt.Rows{Job: j}
	if j.State.Active() {
		a, err := tx.Attempt(j.AttemptID)
		if err != nil {
			return err
		}
		if r, err = rows(tx, j, a); err != nil {
			return err
		}
	}
	return write(tx, r, r.Stop(reason, tx.Now), actor)
}
