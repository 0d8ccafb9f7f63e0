package engine

import (
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Offer gives a queued job to a free agent as a new attempt. The caller has both rows from the same transaction.
func Offer(tx *store.Tx, j *signalbox.Job, ag *signalbox.Agent, actor string) (*signalbox.Attempt, error) {
	o := NewOffer(j, ag)
	tx.Wake(store.KeyAgent(ag.ID))
	return o.Attempt, tx.OfferJobs([]store.Offering{o}, actor)
}

// NewOffer makes the attempt that offers a queued job to a free agent, and changes both rows accordingly; nothing is
// stored.
func NewOffer(j *signalbox.Job, ag *signalbox.Agent) store.Offering {
	a := &signalbox.Attempt{
		ID: signalbox.NewID(), JobID: j.ID, N: j.AttemptN + 1, AgentID: ag.ID, AgentName: ag.Name, State: signalbox.AttemptOffered,
	}
	j.State, j.AttemptID, j.AttemptN = signalbox.JobOffered, a.ID, a.N
	ag.AttemptID, ag.JobID = a.ID, j.ID
	return store.Offering{Attempt: a, Job: j, Agent: ag}
}

// Withdraw takes an offer back that nobody fetched: the job returns to its place in the queue and the agent is free.
// On an attempt in any other state it changes nothing.
func Withdraw(tx *store.Tx, attemptID, why, actor string) error {
	a, err := tx.Attempt(attemptID)
	if err != nil || a.State != signalbox.AttemptOffered {
		return err
	}
	j, err := tx.LockJob(a.JobID)
	if err != nil {
		return err
	}
	if j.State == signalbox.JobOffered && j.AttemptID == a.ID {
		j.State = signalbox.JobQueued
		if err := tx.UpdateJob(j, signalbox.JobOffered, actor, "queued again", why); err != nil {
			return err
		}
	}
	return endAttempt(tx, a, "", signalbox.ReasonWithdrawn, actor)
}

// Fetched notes that the agent has read the job's payload; from here on the offer cannot be withdrawn. It returns
// CodeNotFound when the attempt is over. Reading twice is fine.
func Fetched(tx *store.Tx, attemptID, actor string) (*signalbox.Attempt, *signalbox.Job, error) {
	a, err := tx.Attempt(attemptID)
	if err != nil {
		return nil, nil, err
	}
	j, err := tx.LockJob(a.JobID)
	if err != nil {
		return nil, nil, err
	}
	if a.State == signalbox.AttemptEnded {
		return nil, nil, signalbox.Errorf(signalbox.CodeNotFound, "the offer of job %s was withdrawn", j.ID)
	}
	if a.State != signalbox.AttemptOffered {
		return a, j, nil
	}
	a.State, a.FetchedAt = signalbox.AttemptFetched, tx.Now
	if err := tx.UpdateAttempt(a, signalbox.AttemptOffered, actor, "fetched", ""); err != nil {
		return nil, nil, err
	}
	j.State, j.StartedAt = signalbox.JobRunning, tx.Now
	return a, j, tx.UpdateJob(j, signalbox.JobOffered, actor, "started", a.AgentName)
}

// Running notes that the agent reports the job as running.
func Running(tx *store.Tx, attemptID, actor string) error {
	a, err := tx.Attempt(attemptID)
	if err != nil || a.State != signalbox.AttemptFetched {
		return err
	}
	a.State, a.RunningAt = signalbox.AttemptRunning, tx.Now
	return tx.UpdateAttempt(a, signalbox.AttemptFetched, actor, "running", "")
}

// Finish ends an attempt with what its agent reported, or with why there will be no report. In one transaction the
// attempt ends, its job becomes final unless it is already, its agent is free, and the pipeline takes the steps that
// follow. An attempt that has ended keeps its end; what arrives later is kept as evidence.
func (e *Engine) Finish(tx *store.Tx, attemptID string, result signalbox.JobResult, reason signalbox.Reason, detail, actor string) error {
	a, err := tx.Attempt(attemptID)
	if err != nil {
		return err
	}
	j, err := tx.Job(a.JobID)
	if err != nil {
		return err
	}
	if _, err := tx.LockPipeline(j.PipelineID); err != nil {
		return err
	}
	if j, err = tx.LockJob(j.ID); err != nil {
		return err
	}
	if a, err = tx.Attempt(attemptID); err != nil {
		return err
	}
	if a.State == signalbox.AttemptEnded {
		if a.LateResult != "" || a.Result == result {
			return nil
		}
		a.LateResult = result
		return tx.UpdateAttempt(a, signalbox.AttemptEnded, actor, "late report: "+string(result), detail)
	}
	if j.State != signalbox.JobFinished && timeUp(j, result, tx.Now) {
		result, reason = signalbox.JobStopped, signalbox.ReasonTimeout
	}
	if j.State == signalbox.JobFinished {
		if j.Result != result {
			a.LateResult = result
		} else if result == signalbox.JobStopped {
			reason = j.Reason // whoever stopped it knows why; the agent only did as it was told
		}
		result = j.Result
	}
	if err := endAttempt(tx, a, result, reason, actor); err != nil {
		return err
	}
	if j.State == signalbox.JobFinished || j.AttemptID != a.ID {
		return nil
	}
	from := j.State
	if retries(j, result, reason) {
		j.State, j.StartedAt = signalbox.JobQueued, time.Time{}
		j.Retries++
		return tx.UpdateJob(j, from, actor, "queued again: "+string(reason), detail)
	}
	j.State, j.Result, j.Reason, j.FailureReason, j.FinishedAt = signalbox.JobFinished, result, reason, detail, tx.Now
	if j.StartedAt.IsZero() && from == signalbox.JobRunning {
		j.StartedAt = tx.Now
	}
	if err := tx.UpdateJob(j, from, actor, string(result), detail); err != nil {
		return err
	}
	return e.ended(tx, j, actor)
}

// retries tells whether a job that ended like this is run again by itself.
func retries(j *signalbox.Job, result signalbox.JobResult, reason signalbox.Reason) bool {
	r := j.Spec.Retry
	return r != nil && result == signalbox.JobFailed && reason.Infrastructure() && j.Retries < r.Limit && slices.Contains(r.On, reason)
}

// endAttempt ends an attempt and frees its agent. An agent that must leave after this job gets no other one.
func endAttempt(tx *store.Tx, a *signalbox.Attempt, result signalbox.JobResult, reason signalbox.Reason, actor string) error {
	from := a.State
	a.State, a.Result, a.Reason, a.EndedAt = signalbox.AttemptEnded, result, reason, tx.Now
	what := string(reason)
	if result != "" {
		what = why(signalbox.Result(result), reason)
	}
	if err := tx.UpdateAttempt(a, from, actor, what, ""); err != nil {
		return err
	}
	ag, err := tx.LockAgent(a.AgentID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return nil // local runs have no agent row
	}
	if err != nil {
		return err
	}
	if ag.AttemptID != a.ID {
		return nil
	}
	ag.AttemptID, ag.JobID = "", ""
	if from != signalbox.AttemptOffered && ag.SingleJob && ag.DrainAt.IsZero() {
		ag.DrainAt = tx.Now
	}
	if !ag.GoneAt.IsZero() {
		return nil
	}
	return tx.UpdateAgent(ag, a.ID, actor, "job ended", a.JobID)
}
