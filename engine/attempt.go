package engine

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/attempt"
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
	return store.Offering{Attempt: attempt.Offer(j, ag, signalbox.NewID()), Job: j, Agent: ag}
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
	r, err := rows(tx, j, a)
	if err != nil {
		return err
	}
	return write(tx, r, r.Withdraw(why, tx.Now), actor)
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
	r := attempt.Rows{Job: j, Attempt: a}
	c, err := r.Fetch(tx.Now)
	if err != nil {
		return nil, nil, err
	}
	return a, j, write(tx, r, c, actor)
}

// Running notes that the agent reports the job as running.
func Running(tx *store.Tx, attemptID, actor string) error {
	return RunningWith(tx, attemptID, 0, actor)
}

// RunningWith is Running with the lease that the agent says it keeps.
func RunningWith(tx *store.Tx, attemptID string, lease time.Duration, actor string) error {
	a, err := tx.Attempt(attemptID)
	if err != nil {
		return err
	}
	r := attempt.Rows{Attempt: a}
	return write(tx, r, r.Run(lease, tx.Now), actor)
}

// Finish ends an attempt with what its agent reported, or with why there will be no report. In one transaction the
// attempt ends, its job becomes final unless it is already, its agent is free, and the pipeline takes the steps that
// follow. An attempt that has ended keeps its end; what arrives later is kept as evidence.
func (e *Engine) Finish(tx *store.Tx, attemptID string, result signalbox.JobResult, reason signalbox.Reason, detail, actor string) error {
	return e.End(tx, attemptID, attempt.End{Result: result, Reason: reason, Detail: detail}, actor)
}

// End is Finish for whoever knows more of the end.
func (e *Engine) End(tx *store.Tx, attemptID string, end attempt.End, actor string) error {
	a, err := tx.Attempt(attemptID)
	if err != nil {
		return err
	}
	j, err := tx.Job(a.JobID)
	if err != nil {
		return err
	}
	p, err := tx.LockPipeline(j.PipelineID)
	if err != nil {
		return err
	}
	if j, err = tx.LockJob(j.ID); err != nil {
		return err
	}
	if a, err = tx.Attempt(attemptID); err != nil {
		return err
	}
	r, err := rows(tx, j, a)
	if err != nil {
		return err
	}
	was := a.State
	c := r.Finish(end, tx.Now)
	if err := write(tx, r, c, actor); err != nil {
		return err
	}
	if was != signalbox.AttemptEnded {
		if err := e.compare(tx, p, r); err != nil {
			return err
		}
	}
	if !c.Final {
		return nil
	}
	return e.ended(tx, j, actor)
}

// rows adds the agent of an attempt, held until the transaction ends; local runs have none.
func rows(tx *store.Tx, j *signalbox.Job, a *signalbox.Attempt) (attempt.Rows, error) {
	g, err := tx.LockAgent(a.AgentID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		g, err = nil, nil
	}
	return attempt.Rows{Job: j, Attempt: a, Agent: g}, err
}

// write stores what changed. Whoever was faster makes it a CodeConflict.
func write(tx *store.Tx, r attempt.Rows, c attempt.Change, actor string) error {
	if c.Attempt.What != "" {
		if err := tx.UpdateAttempt(r.Attempt, c.AttemptFrom, actor, c.Attempt.What, c.Attempt.Detail); err != nil {
			return err
		}
	}
	if c.Agent.What != "" {
		if err := tx.UpdateAgent(r.Agent, r.Attempt.ID, actor, c.Agent.What, c.Agent.Detail); err != nil {
			return err
		}
	}
	if c.Job.What != "" {
		return tx.UpdateJob(r.Job, c.JobFrom, actor, c.Job.What, c.Job.Detail)
	}
	return nil
}
