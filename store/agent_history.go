package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// LastAgentNamed returns the living agent of a type that has a name, or else the one that left last.
func (t *Tx) LastAgentNamed(agentTypeID, name string) (*signalbox.Agent, error) {
	return one(t, "agent", name, scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.agent_type_id = $1 AND a.name = $2
		ORDER BY CASE a.gone_at WHEN 0 THEN 0 ELSE 1 END, a.gone_at DESC LIMIT 1`, agentTypeID, name)
}

// AgentJob is a job that ran on an agent.
type AgentJob struct {
	JobID, Name, Project, Pipeline string
	Result                         signalbox.JobResult
	Reason                         signalbox.Reason
	Start, End                     time.Time
	Agent                          string // "" when none had it
}

// AgentJobs returns the newest n jobs that ended on agents of a name.
func (t *Tx) AgentJobs(agentName string, n int) ([]*AgentJob, error) {
	return many(t, "job", func(s scanner, j *AgentJob) error {
		return s.Scan(&j.JobID, &j.Name, &j.Project, &j.Pipeline, &j.Result, &j.Reason, at{&j.Start}, at{&j.End})
	}, `SELECT j.id, j.name, p.name, COALESCE(l.name, ''), a.result, a.reason, a.fetched_at, a.ended_at
		FROM (SELECT * FROM attempt WHERE agent_name = $1 AND state = 'ended' AND fetched_at > 0 ORDER BY ended_at DESC LIMIT $2) AS a
		JOIN job j ON j.id = a.job_id JOIN project p ON p.id = j.project_id LEFT JOIN pipeline l ON l.id = j.pipeline_id
		ORDER BY a.ended_at DESC, j.id`, agentName, n)
}

// TypeJobs returns those of the newest n finished jobs of an agent type whose project is not deleted. Jobs that took over what an
// earlier one had done are none of them.
func (t *Tx) TypeJobs(agentType string, n int) ([]*AgentJob, error) {
	return many(t, "job", func(s scanner, j *AgentJob) error {
		return s.Scan(&j.JobID, &j.Name, &j.Project, &j.Pipeline, &j.Result, &j.Reason, at{&j.Start}, at{&j.End}, &j.Agent)
	}, `SELECT n.id, n.name, p.name, COALESCE(l.name, ''), n.result, n.reason, n.started_at, n.finished_at, COALESCE(a.agent_name, '')
		FROM (SELECT * FROM job WHERE agent_type = $1 AND state = 'finished' AND NOT copied ORDER BY finished_at DESC LIMIT $2) AS n
		JOIN project p ON p.id = n.project_id LEFT JOIN pipeline l ON l.id = n.pipeline_id LEFT JOIN attempt a ON a.id = n.attempt_id
		WHERE p.deleted_at = 0 ORDER BY n.finished_at DESC, n.id`, agentType, n)
}
