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
	errs := make([]error, 1)
	if err := RunningAll(tx, []Start{{attemptID, lease, actor}}, errs); err != nil {
		return err
	}
	return errs[0]
}

// Start is an agent's word that an attempt runs.
type Start struct {
	AttemptID string
	Lease     time.Duration // that the agent keeps
	Actor     string
}

// RunningAll notes that attempts run, with as many statements as one takes. errs gets what each of them is told: CodeNotFound, or
// CodeConflict when somebody was faster.
func RunningAll(tx *store.Tx, starts []Start, errs []error) error {
	ids := make([]string, len(starts))
	for i, s := range starts {
		ids[i] = s.AttemptID
	}
	attempts, err := tx.LockAttempts(ids)
	if err != nil {
		return err
	}
	var run []store.RunAttempt
	for i, s := range starts {
		errs[i] = nil
		a := attempts[s.AttemptID]
		if a == nil {
			errs[i] = signalbox.Errorf(signalbox.CodeNotFound, "there is no attempt %s", s.AttemptID)
			continue
		}
		// Said twice at the same moment, it is noted once.
		if c := (attempt.Rows{Attempt: a}).Run(s.Lease, tx.Now); c.Attempt.What != "" {
			run = append(run, store.RunAttempt{Attempt: a, From: c.AttemptFrom, Actor: s.Actor, Reason: c.Attempt.What})
		}
	}
	done, err := tx.RunAttempts(run)
	if err != nil {
		return err
	}
	for _, r := range run {
		if done[r.Attempt.ID] {
			continue
		}
		for i, s := range starts {
			if s.AttemptID == r.Attempt.ID {
				errs[i] = signalbox.Errorf(signalbox.CodeConflict, "attempt %s was changed by someone else", s.AttemptID)
			}
		}
	}
	return nil
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
