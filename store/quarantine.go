package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// health is what is stored of an agent's quarantine and of its problems, as text.
func health(a *signalbox.Agent) (quarantine, problems string, err error) {
	if a.Quarantine != nil {
		if quarantine, err = toJSON(a.Quarantine); err != nil {
			return "", "", err
		}
	}
	if len(a.Problems) > 0 {
		problems, err = toJSON(a.Problems)
	}
	return quarantine, problems, err
}

// EndedOn returns the newest attempts that the agent of a name has fetched and that have passed or failed, since the time
// from which they count.
func (t *Tx) EndedOn(a *signalbox.Agent, limit int) ([]*signalbox.Attempt, error) {
	return many(t, "attempt", scanAttempt, `SELECT `+attemptColumns+` FROM attempt WHERE agent_name = $1 AND ended_at >= $2
		AND state = 'ended' AND fetched_at > 0 AND result IN ('passed', 'failed') ORDER BY ended_at DESC, id DESC LIMIT $3`, a.Name, ms(a.CountsSince), limit)
}

// SaveElsewhere notes what became of the job of an attempt on another agent. It is evidence and no change of the attempt.
func (t *Tx) SaveElsewhere(attemptID string, e *signalbox.Elsewhere) error {
	text, err := toJSON(e)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE attempt SET elsewhere = $1 WHERE id = $2`, text, attemptID)
	if err != nil {
		return err
	}
	return changed(n, "attempt", attemptID)
}

// Sick counts the agents of a type that are connected, and those of them that are in quarantine.
func (t *Tx) Sick(agentTypeID string) (connected, quarantined int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COUNT(*), COUNT(CASE WHEN quarantined_at > 0 THEN 1 END) FROM agent
		WHERE agent_type_id = $1 AND gone_at = 0 AND state = $2`, agentTypeID, signalbox.AgentRegistered).Scan(&connected, &quarantined)
	return connected, quarantined, err
}

// LockAgentTypeByID returns an agent type and holds it until the transaction ends.
func (t *Tx) LockAgentTypeByID(id string) (*signalbox.AgentType, error) {
	return one(t, "agent type", id, scanAgentType, `SELECT `+agentTypeColumns+` FROM agent_type WHERE id = $1 AND deleted_at = 0`+t.forUpdate(), id)
}

// JobNamesakes returns the jobs of a pipeline that have a name, and so may be repeats of one.
func (t *Tx) JobNamesakes(pipelineID, name string) ([]*signalbox.Job, error) {
	return many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE pipeline_id = $1 AND name = $2 AND debug_of = '' AND copied = FALSE ORDER BY id LIMIT 10`, pipelineID, name)
}

func elsewhereText(a *signalbox.Attempt) (string, error) {
	if a.Elsewhere == nil {
		return "", nil
	}
	return toJSON(a.Elsewhere)
}

// SetProblems stores what an agent reports of its machine. The history gets a line when problems come or go, not when their
// details change.
func (t *Tx) SetProblems(a *signalbox.Agent, problems []signalbox.Problem, actor string) error {
	b := *a
	b.Problems = problems
	_, text, err := health(&b)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE agent SET problems = $1, problems_at = $2, changed_at = $3 WHERE id = $4 AND gone_at = 0`, text, ms(t.Now), ms(t.Now), a.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "agent", a.ID); err != nil {
		return err
	}
	t.Wake(KeyAgent(a.ID))
	if signalbox.SameProblems(a.Problems, problems) {
		return nil
	}
	if len(problems) == 0 {
		return t.Record("agent", a.ID, actor, "reports no problems", "")
	}
	return t.Record("agent", a.ID, actor, "reports problems", signalbox.ProblemText(problems))
}

// Problems counts the living agents that report problems, by the name of their type and the code of the problem.
func (t *Tx) Problems() (map[string]map[string]int, error) {
	type row struct {
		name     string
		problems []signalbox.Problem
	}
	rows, err := many(t, "problem", func(s scanner, r *row) error { return s.Scan(&r.name, doc{&r.problems}) },
		`SELECT y.name, a.problems FROM agent a JOIN agent_type y ON y.id = a.agent_type_id WHERE a.problems <> '' AND a.gone_at = 0`)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]int{}
	for _, r := range rows {
		if out[r.name] == nil {
			out[r.name] = map[string]int{}
		}
		for _, p := range r.problems {
			out[r.name][p.Code]++
		}
	}
	return out, nil
}

// Leases returns the leases of the open attempts whose agents keep one, by agent.
func (t *Tx) Leases() (map[string]time.Duration, error) {
	type row struct {
		id    string
		lease time.Duration
	}
	rows, err := many(t, "lease", func(s scanner, r *row) error { return s.Scan(&r.id, span{&r.lease, time.Millisecond}) },
		`SELECT agent_id, lease_ms FROM attempt WHERE state <> 'ended' AND lease_ms > 0`)
	if err != nil {
		return nil, err
	}
	out := make(map[string]time.Duration, len(rows))
	for _, r := range rows {
		out[r.id] = r.lease
	}
	return out, nil
}
