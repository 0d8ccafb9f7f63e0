package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const attemptColumns = `id, job_id, n, agent_id, agent_name, state, result, reason, late_result, offered_at, fetched_at, running_at, ended_at, stop_requested_at, lease_ms, elsewhere`

func scanAttempt(s scanner, a *signalbox.Attempt) error {
	return s.Scan(&a.ID, &a.JobID, &a.N, &a.AgentID, &a.AgentName, &a.State, &a.Result, &a.Reason, &a.LateResult,
		at{&a.OfferedAt}, at{&a.FetchedAt}, at{&a.RunningAt}, at{&a.EndedAt}, at{&a.StopRequestedAt},
		span{&a.Lease, time.Millisecond}, doc{&a.Elsewhere})
}

// CreateAttempt stores an offered attempt. The schema allows one open attempt per job and per agent; a second one is
// CodeConflict.
func (t *Tx) CreateAttempt(a *signalbox.Attempt, actor string) error {
	if a.ID == "" {
		a.ID = signalbox.NewID()
	}
	a.OfferedAt = t.Now
	elsewhere, err := elsewhereText(a)
	if err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO attempt (`+attemptColumns+`) VALUES (`+list(1, 16)+`)`, a.ID, a.JobID, a.N, a.AgentID, a.AgentName,
		a.State, a.Result, a.Reason, a.LateResult, ms(a.OfferedAt), ms(a.FetchedAt), ms(a.RunningAt), ms(a.EndedAt), ms(a.StopRequestedAt),
		a.Lease.Milliseconds(), elsewhere); err != nil {
		return err
	}
	return t.Record("attempt", a.ID, actor, "offered", a.AgentName)
}

// Attempt returns an attempt by id.
func (t *Tx) Attempt(id string) (*signalbox.Attempt, error) {
	return one(t, "attempt", id, scanAttempt, `SELECT `+attemptColumns+` FROM attempt WHERE id = $1`, id)
}

// Attempts returns all attempts of a job, oldest first.
func (t *Tx) Attempts(jobID string) ([]*signalbox.Attempt, error) {
	return many(t, "attempt", scanAttempt, `SELECT `+attemptColumns+` FROM attempt WHERE job_id = $1 ORDER BY n`, jobID)
}

// LatestAttemptOn returns the newest attempt that an agent made of a job, ended or not.
func (t *Tx) LatestAttemptOn(jobID, agentID string) (*signalbox.Attempt, error) {
	return one(t, "attempt", "of job "+jobID+" on that agent", scanAttempt,
		`SELECT `+attemptColumns+` FROM attempt WHERE job_id = $1 AND agent_id = $2 ORDER BY n DESC LIMIT 1`, jobID, agentID)
}

// Tried is a job that an agent has fetched before.
type Tried struct{ JobID, AgentID string }

// Tried returns which of some agents have fetched which of some jobs.
func (t *Tx) Tried(jobIDs, agentIDs []string) (map[Tried]bool, error) {
	if len(jobIDs) == 0 || len(agentIDs) == 0 {
		return nil, nil
	}
	rows, err := many(t, "attempt", func(s scanner, p *Tried) error { return s.Scan(&p.JobID, &p.AgentID) },
		`SELECT DISTINCT job_id, agent_id FROM attempt WHERE job_id IN (`+list(1, len(jobIDs))+`) AND agent_id IN (`+
			list(len(jobIDs)+1, len(agentIDs))+`) AND fetched_at > 0`, anys(anys(nil, jobIDs), agentIDs)...)
	if err != nil {
		return nil, err
	}
	out := make(map[Tried]bool, len(rows))
	for _, p := range rows {
		out[*p] = true
	}
	return out, nil
}

// UpdateAttempt writes the fields that change while an attempt lives, if its state is still from.
func (t *Tx) UpdateAttempt(a *signalbox.Attempt, from signalbox.AttemptState, actor, reason, detail string) error {
	n, err := t.exec(`UPDATE attempt SET state = $1, result = $2, reason = $3, late_result = $4, fetched_at = $5, running_at = $6,
		ended_at = $7, stop_requested_at = $8, lease_ms = $9 WHERE id = $10 AND state = $11`,
		a.State, a.Result, a.Reason, a.LateResult, ms(a.FetchedAt), ms(a.RunningAt), ms(a.EndedAt), ms(a.StopRequestedAt), a.Lease.Milliseconds(), a.ID, from)
	if err != nil {
		return err
	}
	if err := changed(n, "attempt", a.ID); err != nil {
		return err
	}
	t.Wake(KeyAgent(a.AgentID), KeyAttempt(a.ID))
	return t.Record("attempt", a.ID, actor, reason, detail)
}

// LockAttempts returns those of some attempts that exist, and holds them until the transaction ends.
func (t *Tx) LockAttempts(ids []string) (map[string]*signalbox.Attempt, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, args := oneOf(ids)
	found, err := many(t, "attempt", scanAttempt, `SELECT `+attemptColumns+` FROM attempt WHERE id IN (`+in+`) ORDER BY id`+t.forUpdate(), args...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*signalbox.Attempt, len(found))
	for _, a := range found {
		out[a.ID] = a
	}
	return out, nil
}

// RunAttempt is an attempt that begins to run.
type RunAttempt struct {
	Attempt       *signalbox.Attempt
	From          signalbox.AttemptState
	Actor, Reason string
}

// RunAttempts writes that attempts run, with as many statements as one takes, where the state is still From. It returns the ids of
// those.
func (t *Tx) RunAttempts(all []RunAttempt) (changed map[string]bool, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	var to, events rows
	ids := make([]string, len(all))
	for i, r := range all {
		ids[i] = r.Attempt.ID
		to.add(r.Attempt.ID, string(r.From), string(r.Attempt.State), ms(r.Attempt.RunningAt), r.Attempt.Lease.Milliseconds())
	}
	param, err := toJSON(to.all)
	if err != nil {
		return nil, err
	}
	// The ids are named twice, because PostgreSQL takes rows of a parameter for many and would read the whole table.
	in, args := oneOfFrom(2, ids)
	done, err := t.strings(`UPDATE attempt SET state = v.column3, running_at = v.column4, lease_ms = v.column5 FROM `+
		t.rowsFrom(text, text, text, number, number)+` AS v WHERE attempt.id = v.column1 AND attempt.state = v.column2
		AND attempt.id IN (`+in+`) RETURNING attempt.id`, append([]any{param}, args...)...)
	if err != nil || len(done) == 0 {
		return nil, err
	}
	changed = make(map[string]bool, len(done))
	for _, id := range done {
		changed[id] = true
	}
	for _, r := range all {
		if changed[r.Attempt.ID] {
			t.Wake(KeyAgent(r.Attempt.AgentID), KeyAttempt(r.Attempt.ID))
			events.add(r.Attempt.ID, r.Actor, r.Reason)
		}
	}
	_, err = t.execRows(`INSERT INTO event (noun, id, n, at, actor, reason, detail)
		SELECT 'attempt', v.column1, (SELECT COALESCE(MAX(n), 0) + 1 FROM event WHERE noun = 'attempt' AND event.id = v.column1), CAST($2 AS BIGINT),
		v.column2, v.column3, '' FROM `+t.rowsFrom(text, text, text)+` AS v`, events, ms(t.Now))
	return changed, err
}

// StaleOffers returns the attempts that are still only offered since before a time, or since one in the future.
func (t *Tx) StaleOffers(before time.Time, limit int) ([]*signalbox.Attempt, error) {
	return many(t, "attempt", scanAttempt, `SELECT `+attemptColumns+` FROM attempt WHERE state = 'offered'
		AND (offered_at < $1 OR offered_at > $2) ORDER BY offered_at LIMIT $3`, ms(before), t.future(), limit)
}
