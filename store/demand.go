package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// JobCount is how many jobs of a project want, or have, agents of a type.
type JobCount struct {
	AgentType string
	ProjectID string
	Limit     int // how many jobs of the project may hold agents at once, 0 is no limit
	Queued    int
	Offered   int
	Running   int
	Oldest    time.Time // since when the first of the queued ones waits, zero when there is none
}

// JobCounts counts the jobs that are not finished, by agent type and project. It reads only the indexes of such jobs, so
// history costs nothing.
func (t *Tx) JobCounts() ([]*JobCount, error) {
	return many(t, "count", func(s scanner, c *JobCount) error {
		return s.Scan(&c.AgentType, &c.ProjectID, &c.Limit, &c.Queued, &c.Offered, &c.Running, at{&c.Oldest})
	}, `SELECT c.agent_type, c.project_id, COALESCE(p.max_running_jobs, 0), CAST(SUM(c.queued) AS BIGINT), CAST(SUM(c.offered) AS BIGINT),
			CAST(SUM(c.running) AS BIGINT), MAX(c.oldest)
		FROM (SELECT agent_type, project_id, COUNT(*) AS queued, 0 AS offered, 0 AS running, MIN(queued_at) AS oldest
				FROM job WHERE state = 'queued' GROUP BY agent_type, project_id
			UNION ALL
			SELECT agent_type, project_id, 0, COUNT(CASE WHEN state = 'offered' THEN 1 END), COUNT(CASE WHEN state = 'running' THEN 1 END), 0
				FROM job WHERE state IN ('offered', 'running') GROUP BY agent_type, project_id) AS c
		LEFT JOIN project p ON p.id = c.project_id
		GROUP BY c.agent_type, c.project_id, p.max_running_jobs ORDER BY c.agent_type, c.project_id`)
}

// AgentCount is how many living agents of a type are alike in what decides whether they take jobs.
type AgentCount struct {
	AgentType   string
	State       signalbox.AgentState
	Disabled    bool
	Draining    bool
	Interrupted bool
	Quarantined bool
	Busy        bool // has a job
	Silent      bool // not heard of lately
	Agents      int
}

// CountAgents counts the living agents, of one type by its name or (with "") of all. Who was last heard of before a time
// is silent.
func (t *Tx) CountAgents(agentType string, heardSince time.Time) ([]*AgentCount, error) {
	cond, args := ``, []any{ms(heardSince)}
	if agentType != "" {
		cond, args = ` AND y.name = $2`, append(args, agentType)
	}
	return many(t, "count", func(s scanner, c *AgentCount) error {
		return s.Scan(&c.AgentType, &c.State, &c.Disabled, &c.Draining, &c.Interrupted, &c.Quarantined, &c.Busy, &c.Silent, &c.Agents)
	}, `SELECT name, state, disabled, draining, interrupted, quarantined, busy, silent, COUNT(*) FROM (
			SELECT y.name, a.state, `+flag(`a.disabled_at > 0`)+` AS disabled, `+flag(`a.drain_at > 0`)+` AS draining, `+
		flag(`a.interrupted_at > 0`)+` AS interrupted, `+flag(`a.quarantined_at > 0`)+` AS quarantined, `+
		flag(`a.attempt_id <> ''`)+` AS busy, `+
		flag(`s.seen_at IS NULL OR s.seen_at < $1`)+` AS silent
			FROM agent a JOIN agent_type y ON y.id = a.agent_type_id LEFT JOIN agent_seen s ON s.agent_id = a.id
			WHERE a.gone_at = 0`+cond+`) AS one
		GROUP BY name, state, disabled, draining, interrupted, quarantined, busy, silent ORDER BY name`, args...)
}
