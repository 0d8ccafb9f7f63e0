package store

import "time"

// JobTimes are when a job of a project came into its line, began on an agent and ended; what has not happened is zero.
type JobTimes struct {
	ProjectID                       string
	QueuedAt, StartedAt, FinishedAt time.Time
}

// AgentTimes are when an agent came and when it was gone; zero is that it is here.
type AgentTimes struct {
	CreatedAt, GoneAt time.Time
}

// JobTimes returns those of the jobs of an agent type that have ended since a time, newest first and at most n, and of at most n that
// have not ended. Jobs that took over what an earlier one had done are none of them.
func (t *Tx) JobTimes(agentType string, since time.Time, n int) (ended, open []*JobTimes, err error) {
	scan := func(s scanner, j *JobTimes) error {
		return s.Scan(&j.ProjectID, at{&j.QueuedAt}, at{&j.StartedAt}, at{&j.FinishedAt})
	}
	if ended, err = many(t, "job", scan, `SELECT project_id, queued_at, started_at, finished_at FROM job WHERE agent_type = $1 AND state = 'finished' AND NOT copied
		AND finished_at >= $2 ORDER BY finished_at DESC LIMIT $3`, agentType, ms(since), n); err != nil {
		return nil, nil, err
	}
	if open, err = many(t, "job", scan, `SELECT project_id, queued_at, started_at, finished_at FROM job WHERE agent_type = $1 AND state IN ('offered', 'running') LIMIT $2`, agentType, n); err != nil {
		return nil, nil, err
	}
	queued, err := many(t, "job", scan, `SELECT project_id, queued_at, started_at, finished_at FROM job WHERE agent_type = $1 AND state = 'queued' ORDER BY priority DESC, queued_at, id LIMIT $2`, agentType, n)
	return ended, append(open, queued...), err
}

// AgentTimes returns those of the agents of a type that were here at any time since one, the living before the n that left last.
func (t *Tx) AgentTimes(agentTypeID string, since time.Time, n int) ([]*AgentTimes, error) {
	scan := func(s scanner, a *AgentTimes) error { return s.Scan(at{&a.CreatedAt}, at{&a.GoneAt}) }
	here, err := many(t, "agent", scan, `SELECT created_at, gone_at FROM agent WHERE agent_type_id = $1 AND gone_at = 0`, agentTypeID)
	if err != nil {
		return nil, err
	}
	left, err := many(t, "agent", scan, `SELECT created_at, gone_at FROM agent WHERE agent_type_id = $1 AND gone_at > 0 AND gone_at >= $2
		ORDER BY gone_at DESC LIMIT $3`, agentTypeID, ms(since), n)
	return append(here, left...), err
}

// Build is what the agents of a type are: their system, processor and version.
type Build struct {
	AgentType, OS, Arch, Version string
}

// Builds returns those of the living agents, each once, in the order of types.
func (t *Tx) Builds() ([]*Build, error) {
	return many(t, "agent", func(s scanner, b *Build) error { return s.Scan(&b.AgentType, &b.OS, &b.Arch, &b.Version) },
		`SELECT y.name, b.os, b.arch, b.version FROM (SELECT DISTINCT agent_type_id, os, arch, version FROM agent WHERE gone_at = 0) AS b
			JOIN agent_type y ON y.id = b.agent_type_id ORDER BY y.name, b.os, b.arch, b.version`)
}
