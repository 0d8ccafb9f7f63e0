package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Waiting is a queued job and how many of its project and agent type come before it.
type Waiting struct {
	Job   signalbox.Job
	Ahead int
}

// appended scans a row that has more columns than what it is scanned into asks for.
type appended struct {
	scanner
	rest []any
}

func (a appended) Scan(dest ...any) error { return a.scanner.Scan(append(dest, a.rest...)...) }

// WaitingOf returns the first n queued jobs of every project's line for an agent type, the front of all lines first.
func (t *Tx) WaitingOf(agentType string, n int) ([]*Waiting, error) {
	return many(t, "job", func(s scanner, w *Waiting) error { return scanJob(appended{s, []any{&w.Ahead}}, &w.Job) },
		`SELECT `+jobColumns+`, ahead FROM (SELECT `+jobColumns+`, ROW_NUMBER() OVER (PARTITION BY project_id ORDER BY priority DESC, queued_at, id) - 1 AS ahead
		FROM job WHERE agent_type = $1 AND state = 'queued') AS line WHERE ahead < $2 ORDER BY ahead, queued_at, id LIMIT $2`, agentType, n)
}

// JobPath is where a job stands, by names.
type JobPath struct {
	JobID       string
	Project     string
	WorkflowID  string
	Label       string // of the workflow: branch, tag or pull request
	Pipeline    string
	Block       string
	Agent       string // of the newest attempt, "" before the first
	AgentType   string // the agent's, "" when it is gone
	StopAskedAt time.Time
}

// PathsOf returns where some jobs stand, by their ids.
func (t *Tx) PathsOf(ids []string) (map[string]*JobPath, error) {
	out := map[string]*JobPath{}
	if len(ids) == 0 {
		return out, nil
	}
	in, args := oneOf(ids)
	paths, err := many(t, "job", func(s scanner, p *JobPath) error {
		return s.Scan(&p.JobID, &p.Project, &p.WorkflowID, &p.Label, &p.Pipeline, &p.Block, &p.Agent, &p.AgentType, at{&p.StopAskedAt})
	}, `SELECT j.id, p.name, w.id, w.label, l.name, b.name, COALESCE(a.agent_name, ''), COALESCE(y.name, ''), COALESCE(a.stop_requested_at, 0)
		FROM job j JOIN project p ON p.id = j.project_id JOIN workflow w ON w.id = j.workflow_id JOIN pipeline l ON l.id = j.pipeline_id
		JOIN block b ON b.id = j.block_id LEFT JOIN attempt a ON a.id = j.attempt_id LEFT JOIN agent g ON g.id = a.agent_id
		LEFT JOIN agent_type y ON y.id = g.agent_type_id WHERE j.id IN (`+in+`)`, args...)
	for _, p := range paths {
		out[p.JobID] = p
	}
	return out, err
}

// ActivePipeline is a pipeline that has not ended, with what a list says of it.
type ActivePipeline struct {
	ID, Name, WorkflowID, Label, Project, By string
	QueueKey                                 string
	State                                    signalbox.PipelineState
	CreatedAt, RunningAt                     time.Time
	Jobs, Done, Running                      int // Jobs counts those that were made so far
}

// ActivePipelines returns the pipelines that have not ended, the oldest first, at most n.
func (t *Tx) ActivePipelines(n int) ([]*ActivePipeline, error) {
	return many(t, "pipeline", func(s scanner, p *ActivePipeline) error {
		return s.Scan(&p.ID, &p.Name, &p.WorkflowID, &p.Label, &p.Project, &p.By, &p.QueueKey, &p.State, at{&p.CreatedAt}, at{&p.RunningAt}, &p.Jobs, &p.Done, &p.Running)
	}, `SELECT l.id, l.name, l.workflow_id, w.label, p.name, w.requester, l.queue_key, l.state, l.created_at, l.running_at, COUNT(j.id),
		COUNT(CASE WHEN j.state = 'finished' THEN 1 END), COUNT(CASE WHEN j.state = 'running' THEN 1 END)
		FROM (SELECT * FROM pipeline WHERE state <> 'done' ORDER BY created_at, id LIMIT $1) AS l
		JOIN workflow w ON w.id = l.workflow_id JOIN project p ON p.id = l.project_id LEFT JOIN job j ON j.pipeline_id = l.id
		GROUP BY l.id, l.name, l.workflow_id, w.label, p.name, w.requester, l.queue_key, l.state, l.created_at, l.running_at
		ORDER BY l.created_at, l.id`, n)
}

// LineCount is how many jobs wait for an agent type, and since when the oldest does.
type LineCount struct {
	AgentType string
	Queued    int
	Oldest    time.Time
}

// LineCounts returns the agent types that jobs wait for.
func (t *Tx) LineCounts() ([]*LineCount, error) {
	return many(t, "line", func(s scanner, l *LineCount) error { return s.Scan(&l.AgentType, &l.Queued, at{&l.Oldest}) },
		`SELECT agent_type, COUNT(*), MIN(queued_at) FROM job WHERE state = 'queued' GROUP BY agent_type ORDER BY agent_type`)
}

// WaitedFor returns how long the newest n jobs of an agent type that passed since a time had waited for their agent.
func (t *Tx) WaitedFor(agentType string, since time.Time, n int) ([]time.Duration, error) {
	rows, err := many(t, "duration", func(s scanner, d *time.Duration) error { return s.Scan(span{d, time.Millisecond}) },
		`SELECT started_at - queued_at FROM job WHERE agent_type = $1 AND state = 'finished' AND result = 'passed' AND finished_at >= $2
			ORDER BY finished_at DESC LIMIT $3`, agentType, ms(since), n)
	out := make([]time.Duration, len(rows))
	for i, r := range rows {
		out[i] = max(*r, 0)
	}
	return out, err
}
