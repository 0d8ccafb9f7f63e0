package store

import (
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Line is the queued jobs that one project has for an agent type, and what decides when it is its turn.
type Line struct {
	ProjectID string
	Project   string // its name
	Turn      int64  // grows with every job handed out; 0 before the project's first of this type
	Limit     int    // how many jobs of the project may hold agents at once, 0 is no limit
}

const lineSteps = `WITH RECURSIVE line(project_id) AS (
		SELECT MIN(project_id) FROM job WHERE agent_type = $1 AND state = 'queued'
		UNION ALL
		SELECT (SELECT MIN(j.project_id) FROM job j WHERE j.agent_type = $1 AND j.state = 'queued' AND j.project_id > line.project_id)
		FROM line WHERE line.project_id IS NOT NULL)`

// Lines returns the projects that have queued jobs of an agent type. It steps from project to project in an index, so
// how many jobs each has queued does not matter.
func (t *Tx) Lines(agentType string) ([]*Line, error) {
	return many(t, "line", func(s scanner, l *Line) error { return s.Scan(&l.ProjectID, &l.Project, &l.Turn, &l.Limit) },
		lineSteps+` SELECT p.id, p.name, COALESCE(d.turn, 0), p.max_running_jobs FROM line JOIN project p ON p.id = line.project_id
			LEFT JOIN dispatch_turn d ON d.agent_type = $1 AND d.project_id = p.id`, agentType)
}

// QueuedAgentTypes returns the names of the agent types that have queued jobs, stepping from type to type.
func (t *Tx) QueuedAgentTypes() ([]string, error) {
	return t.strings(`WITH RECURSIVE queued(agent_type) AS (
		SELECT MIN(agent_type) FROM job WHERE state = 'queued'
		UNION ALL
		SELECT (SELECT MIN(j.agent_type) FROM job j WHERE j.state = 'queued' AND j.agent_type > queued.agent_type)
		FROM queued WHERE queued.agent_type IS NOT NULL)
		SELECT agent_type FROM queued WHERE agent_type IS NOT NULL`)
}

// CountQueued counts the queued jobs of an agent type, up to a limit.
func (t *Tx) CountQueued(agentType string, limit int) (n int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM (SELECT project_id FROM job WHERE agent_type = $1 AND state = 'queued' ORDER BY project_id LIMIT $2) AS queued`, agentType, limit).Scan(&n)
	return n, err
}

// QueuedJob is what deciding about a queued job takes.
type QueuedJob struct {
	ID        string
	ProjectID string
	Priority  int
	Attempts  int // how often it was offered before
	queuedAt  int64
}

// Before tells whether j comes before o when both are next in their lines: the higher priority, then the older.
func (j *QueuedJob) Before(o *QueuedJob) bool {
	switch {
	case j.Priority != o.Priority:
		return j.Priority > o.Priority
	case j.queuedAt != o.queuedAt:
		return j.queuedAt < o.queuedAt
	}
	return j.ID < o.ID
}

// maxLines is how many lines one query looks at.
const maxLines = 100

// HeadsOf returns the first n jobs of each of the lines of an agent type, in the order in which each line moves. It
// looks at the first 100 lines only.
func (t *Tx) HeadsOf(agentType string, projectIDs []string, n int) ([]*QueuedJob, error) {
	var q strings.Builder
	args := []any{agentType, n}
	for i, id := range projectIDs[:min(len(projectIDs), maxLines)] {
		if i > 0 {
			q.WriteString(` UNION ALL `)
		}
		args = append(args, id)
		q.WriteString(`SELECT id, project_id, priority, attempt_n, queued_at FROM (SELECT id, project_id, priority, attempt_n, queued_at FROM job
			WHERE agent_type = $1 AND project_id = ` + list(len(args), 1) + ` AND state = 'queued'
			ORDER BY priority DESC, queued_at, id LIMIT $2) AS head`)
	}
	if len(projectIDs) == 0 {
		return nil, nil
	}
	return many(t, "queued job", func(s scanner, j *QueuedJob) error {
		return s.Scan(&j.ID, &j.ProjectID, &j.Priority, &j.Attempts, &j.queuedAt)
	},
		q.String(), args...)
}

// Active is how many jobs of a project hold agents of a type: offered or running.
type Active struct {
	AgentType string
	ProjectID string
	Jobs      int
}

// ActiveJobs counts the jobs that hold agents, of one type or (with "") of all.
func (t *Tx) ActiveJobs(agentType string) ([]*Active, error) {
	cond, args := ``, []any(nil)
	if agentType != "" {
		cond, args = ` AND agent_type = $1`, []any{agentType}
	}
	return many(t, "count", func(s scanner, a *Active) error { return s.Scan(&a.AgentType, &a.ProjectID, &a.Jobs) },
		`SELECT agent_type, project_id, COUNT(*) FROM job WHERE state IN ('offered', 'running')`+cond+` GROUP BY agent_type, project_id`, args...)
}

// LockDispatch lets one transaction at a time hand out jobs, so that limits hold however many servers do.
func (t *Tx) LockDispatch() error {
	if t.dialect != postgresDialect {
		return nil // one writer at a time
	}
	_, err := t.exec(`SELECT pg_advisory_xact_lock(7262, 0)`)
	return err
}

// LockQueued returns those of some jobs that are still queued, in the order of ids, held until the transaction ends.
// Jobs that somebody else holds are passed over: they are being stopped.
func (t *Tx) LockQueued(jobIDs []string) ([]*signalbox.Job, error) {
	if len(jobIDs) == 0 {
		return nil, nil
	}
	in, args := oneOf(jobIDs)
	found, err := many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE id IN (`+in+`) AND state = 'queued'`+t.skipLocked(), args...)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*signalbox.Job, len(found))
	for _, j := range found {
		byID[j.ID] = j
	}
	out := found[:0]
	for _, id := range jobIDs {
		if j := byID[id]; j != nil {
			out = append(out, j)
		}
	}
	return out, nil
}

// TakeTurns notes the turns that projects got.
func (t *Tx) TakeTurns(agentType string, turns map[string]int64) error {
	if len(turns) == 0 {
		return nil
	}
	var rows []string
	args := []any{agentType}
	for id, turn := range turns {
		rows = append(rows, `($1, `+list(len(args)+1, 2)+`)`)
		args = append(args, id, turn)
	}
	_, err := t.exec(`INSERT INTO dispatch_turn (agent_type, project_id, turn) VALUES `+strings.Join(rows, ", ")+`
		ON CONFLICT (agent_type, project_id) DO UPDATE SET turn = excluded.turn`, args...)
	return err
}

// LastTurn returns the newest turn that any project got of an agent type.
func (t *Tx) LastTurn(agentType string) (turn int64, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COALESCE(MAX(turn), 0) FROM dispatch_turn WHERE agent_type = $1`, agentType).Scan(&turn)
	return turn, err
}

// QueuedOf counts the queued jobs of an agent type by project.
func (t *Tx) QueuedOf(agentType string) (map[string]int, error) {
	rows, err := many(t, "count", func(s scanner, a *Active) error { return s.Scan(&a.ProjectID, &a.Jobs) },
		`SELECT project_id, COUNT(*) FROM job WHERE agent_type = $1 AND state = 'queued' GROUP BY project_id`, agentType)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(rows))
	for _, r := range rows {
		out[r.ProjectID] = r.Jobs
	}
	return out, nil
}

// AheadInLine counts the queued jobs of the same project and agent type that come before a queued one.
func (t *Tx) AheadInLine(j *signalbox.Job) (n int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM job WHERE agent_type = $1 AND project_id = $2 AND state = 'queued' AND (priority > $3
		OR priority = $3 AND queued_at < $4 OR priority = $3 AND queued_at = $4 AND id < $5)`,
		j.AgentType, j.ProjectID, j.Priority, ms(j.QueuedAt), j.ID).Scan(&n)
	return n, err
}

// StartedOf returns when the running jobs of an agent type were started, the oldest first.
func (t *Tx) StartedOf(agentType string) ([]time.Time, error) {
	rows, err := many(t, "time", func(s scanner, v *time.Time) error { return s.Scan(at{v}) },
		`SELECT started_at FROM job WHERE agent_type = $1 AND state IN ('offered', 'running') ORDER BY started_at`, agentType)
	out := make([]time.Time, len(rows))
	for i, r := range rows {
		out[i] = *r
	}
	return out, err
}

// RanFor returns how long the newest n jobs of an agent type that passed ran.
func (t *Tx) RanFor(agentType string, n int) ([]time.Duration, error) {
	rows, err := many(t, "duration", func(s scanner, d *time.Duration) error { return s.Scan(span{d, time.Millisecond}) },
		`SELECT finished_at - started_at FROM job WHERE agent_type = $1 AND state = 'finished' AND result = 'passed'
			ORDER BY finished_at DESC LIMIT $2`, agentType, n)
	out := make([]time.Duration, len(rows))
	for i, r := range rows {
		out[i] = *r
	}
	return out, err
}
