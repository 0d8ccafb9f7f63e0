package store

import (
	"fmt"

	"github.com/signalbox-ci/signalbox"
)

// Breach is a row that contradicts a rule.
type Breach struct {
	Noun string
	ID   string
	What string
}

// Rule is one that a single statement can check.
type Rule string

// The rules, each with the noun whose rows it is about.
const (
	JobStates         Rule = "job states"
	AttemptFences     Rule = "attempt fences"
	FinalRows         Rule = "final rows"
	AgentsAndAttempts Rule = "agents and attempts"
	IdleWhenLeaving   Rule = "idle when leaving"
	OneWorkflow       Rule = "one workflow"
	Histories         Rule = "histories"
	LogOwners         Rule = "log owners"
)

// rules have statements that return noun, id and what is wrong. $1 is how many rows are wanted.
var rules = map[Rule]struct {
	count      string // what is looked at
	statements []string
}{
	JobStates: {`SELECT COUNT(*) FROM job`, []string{
		`SELECT 'job', id, 'its state ' || state || ' is not known' FROM job WHERE state NOT IN ('queued', 'offered', 'running', 'finished') ORDER BY id LIMIT $1`,
		`SELECT 'attempt', id, 'its state ' || state || ' is not known' FROM attempt WHERE state NOT IN ('offered', 'fetched', 'running', 'ended') ORDER BY id LIMIT $1`,
		`SELECT 'job', j.id, 'it is ' || j.state || ' and its attempt ' || j.attempt_id || ' is ' || COALESCE(a.state, 'missing')
			FROM job j LEFT JOIN attempt a ON a.id = j.attempt_id AND a.job_id = j.id WHERE j.state IN ('offered', 'running')
			AND (a.id IS NULL OR j.state = 'offered' AND a.state <> 'offered' OR j.state = 'running' AND a.state NOT IN ('fetched', 'running'))
			ORDER BY j.id LIMIT $1`,
		`SELECT 'job', j.id, 'it is queued and its attempt ' || a.id || ' is ' || a.state FROM attempt a JOIN job j ON j.id = a.job_id
			WHERE j.state = 'queued' AND a.state <> 'ended' ORDER BY j.id LIMIT $1`,
	}},
	AttemptFences: {`SELECT COUNT(*) FROM attempt`, []string{
		`SELECT 'job', job_id, COUNT(*) || ' of its attempts are open' FROM attempt WHERE state <> 'ended' GROUP BY job_id
			HAVING COUNT(*) > 1 ORDER BY job_id LIMIT $1`,
		`SELECT 'agent', agent_id, COUNT(*) || ' attempts on it are open' FROM attempt WHERE state <> 'ended' GROUP BY agent_id
			HAVING COUNT(*) > 1 ORDER BY agent_id LIMIT $1`,
		`SELECT 'job', j.id, 'it counts ' || j.attempt_n || ' attempts, there are ' || COUNT(a.id) || ', numbered up to ' || COALESCE(MAX(a.n), 0)
			FROM job j LEFT JOIN attempt a ON a.job_id = j.id GROUP BY j.id, j.attempt_n
			HAVING COUNT(a.id) <> j.attempt_n OR COALESCE(MAX(a.n), 0) <> j.attempt_n OR COALESCE(MIN(a.n), 1) <> 1 ORDER BY j.id LIMIT $1`,
		`SELECT 'job', j.id, 'its newest attempt is ' || a.id || ', not ' || j.attempt_id FROM job j JOIN attempt a ON a.job_id = j.id AND a.n = j.attempt_n
			WHERE a.id <> j.attempt_id ORDER BY j.id LIMIT $1`,
	}},
	FinalRows: {`SELECT (SELECT COUNT(*) FROM job) + (SELECT COUNT(*) FROM attempt) + (SELECT COUNT(*) FROM block) + (SELECT COUNT(*) FROM pipeline)`, []string{
		`SELECT 'job', id, 'it is finished without result or end' FROM job WHERE state = 'finished'
			AND (result NOT IN ('passed', 'failed', 'stopped') OR finished_at = 0) ORDER BY id LIMIT $1`,
		`SELECT 'job', id, 'it is ' || state || ' and has a result or end' FROM job WHERE state <> 'finished' AND (result <> '' OR finished_at <> 0) ORDER BY id LIMIT $1`,
		`SELECT 'attempt', id, 'it has ended without result or end' FROM attempt WHERE state = 'ended'
			AND (result NOT IN ('passed', 'failed', 'stopped') AND reason <> 'withdrawn' OR ended_at = 0) ORDER BY id LIMIT $1`,
		`SELECT 'attempt', id, 'it is ' || state || ' and has a result or end' FROM attempt WHERE state <> 'ended' AND (result <> '' OR ended_at <> 0) ORDER BY id LIMIT $1`,
		`SELECT 'block', id, 'it is done without result or end' FROM block WHERE state = 'done'
			AND (result NOT IN ('passed', 'failed', 'stopped', 'canceled') OR done_at = 0) ORDER BY id LIMIT $1`,
		`SELECT 'block', id, 'it is ' || state || ' and has a result or end' FROM block WHERE state <> 'done' AND (result <> '' OR done_at <> 0) ORDER BY id LIMIT $1`,
		`SELECT 'pipeline', id, 'it is done without result or end' FROM pipeline WHERE state = 'done'
			AND (result NOT IN ('passed', 'failed', 'stopped', 'canceled') OR done_at = 0) ORDER BY id LIMIT $1`,
		`SELECT 'pipeline', id, 'it is ' || state || ' and has a result or end' FROM pipeline WHERE state <> 'done' AND (result <> '' OR done_at <> 0) ORDER BY id LIMIT $1`,
	}},
	AgentsAndAttempts: {`SELECT COUNT(*) FROM agent WHERE gone_at = 0`, []string{
		`SELECT 'agent', g.id, 'its attempt ' || g.attempt_id || ' is ' || COALESCE(a.state, 'missing') FROM agent g
			LEFT JOIN attempt a ON a.id = g.attempt_id AND a.agent_id = g.id AND a.job_id = g.job_id
			WHERE g.gone_at = 0 AND g.attempt_id <> '' AND (a.id IS NULL OR a.state = 'ended') ORDER BY g.id LIMIT $1`,
		`SELECT 'attempt', a.id, 'it is ' || a.state || ' and agent ' || a.agent_id || ' does not have it' FROM attempt a
			LEFT JOIN agent g ON g.id = a.agent_id AND g.attempt_id = a.id WHERE a.state <> 'ended' AND g.id IS NULL ORDER BY a.id LIMIT $1`,
	}},
	IdleWhenLeaving: {`SELECT COUNT(*) FROM agent WHERE gone_at > 0 OR state <> 'registered'`, []string{
		`SELECT 'agent', id, 'it has left and has attempt ' || attempt_id FROM agent WHERE (gone_at > 0 OR state <> 'registered')
			AND attempt_id <> '' ORDER BY id LIMIT $1`,
	}},
	OneWorkflow: {`SELECT COUNT(*) FROM workflow`, []string{
		`SELECT 'workflow', MIN(id), COUNT(*) || ' workflows have its request ' || request_token FROM workflow
			GROUP BY project_id, request_token HAVING COUNT(*) > 1 ORDER BY MIN(id) LIMIT $1`,
		`SELECT 'workflow', MIN(id), COUNT(*) || ' workflows of its branch have number ' || number FROM workflow
			GROUP BY project_id, branch_name, number HAVING COUNT(*) > 1 ORDER BY MIN(id) LIMIT $1`,
	}},
	Histories: {`SELECT COUNT(*) FROM event`, []string{
		`SELECT noun, id, 'its history has ' || COUNT(*) || ' entries, numbered ' || MIN(n) || ' to ' || MAX(n) FROM event
			GROUP BY noun, id HAVING COUNT(*) <> MAX(n) OR MIN(n) <> 1 ORDER BY noun, id LIMIT $1`,
	}},
	LogOwners: {`SELECT COUNT(*) FROM log`, []string{
		`SELECT 'log', x.attempt_id, 'there are events and no log' FROM log_chunk x LEFT JOIN log l ON l.attempt_id = x.attempt_id
			WHERE l.attempt_id IS NULL GROUP BY x.attempt_id ORDER BY x.attempt_id LIMIT $1`,
		`SELECT 'log', x.attempt_id, 'there is a gap and no log' FROM log_gap x LEFT JOIN log l ON l.attempt_id = x.attempt_id
			WHERE l.attempt_id IS NULL GROUP BY x.attempt_id ORDER BY x.attempt_id LIMIT $1`,
		`SELECT 'log', l.attempt_id, 'it counts ' || l.rests || ' rests, there are ' || COUNT(x.attempt_id) FROM log l
			LEFT JOIN log_rest x ON x.attempt_id = l.attempt_id GROUP BY l.attempt_id, l.rests HAVING COUNT(x.attempt_id) <> l.rests ORDER BY l.attempt_id LIMIT $1`,
	}},
}

// Check looks for rows that contradict a rule, each kind of contradiction limit times at most, and counts what it looked at.
func (t *Tx) Check(r Rule, limit int) (looked int64, found []*Breach, err error) {
	rule := rules[r]
	if err := t.q.QueryRowContext(t.ctx, rule.count).Scan(&looked); err != nil {
		return 0, nil, fmt.Errorf("check %s: %w", r, err)
	}
	for _, s := range rule.statements {
		more, err := t.breaches(s, limit)
		if err != nil {
			return looked, found, fmt.Errorf("check %s: %w", r, err)
		}
		found = append(found, more...)
	}
	return looked, found, nil
}

// Check is the same for the log database.
func (l *LogTx) Check(r Rule, limit int) (int64, []*Breach, error) { return l.t.Check(r, limit) }

func (t *Tx) breaches(statement string, args ...any) ([]*Breach, error) {
	return many(t, "row", func(s scanner, b *Breach) error { return s.Scan(&b.Noun, &b.ID, &b.What) }, statement, args...)
}

// CheckReferences looks for rows that refer to another one that is not there.
func (s *Snapshot) CheckReferences(limit int) (looked int64, found []*Breach, err error) {
	tables, err := s.Tables()
	if err != nil {
		return 0, nil, err
	}
	for _, t := range tables {
		for _, r := range t.references {
			looked++
			tx := s.main
			if t.IsLog() {
				tx = s.logs
			}
			more, err := tx.breaches(`SELECT '`+t.Name+`', CAST(c.`+quoted(r.column)+` AS TEXT), '`+r.column+` names a '||'`+r.table+` that is not there'
				FROM `+quoted(t.Name)+` c LEFT JOIN `+quoted(r.table)+` p ON p.`+quoted(r.to)+` = c.`+quoted(r.column)+`
				WHERE p.`+quoted(r.to)+` IS NULL GROUP BY c.`+quoted(r.column)+` ORDER BY 2 LIMIT $1`, limit)
			if err != nil {
				return looked, found, err
			}
			found = append(found, more...)
		}
	}
	return looked, found, nil
}

// CheckPages looks for damaged pages. PostgreSQL checks pages whenever it reads them, and this checks none.
func (s *Snapshot) CheckPages() (found []*Breach, err error) {
	if s.dialect == postgresDialect {
		return nil, nil
	}
	for name, tx := range map[string]*Tx{mainFile: s.main, logFile: s.logs} {
		lines, err := tx.strings(`PRAGMA quick_check(20)`)
		if err != nil {
			found = append(found, &Breach{"file", name, err.Error()})
			continue
		}
		for _, l := range lines {
			if l != "ok" {
				found = append(found, &Breach{"file", name, l})
			}
		}
	}
	return found, nil
}

// PipelinesAfter returns up to limit pipelines whose ids come after one, in order, and their blocks and jobs, those of debug
// sessions left out.
func (t *Tx) PipelinesAfter(id string, limit int) (ps []*signalbox.Pipeline, blocks []*signalbox.Block, jobs []*signalbox.Job, err error) {
	ps, err = many(t, "pipeline", scanPipeline, `SELECT `+pipelineColumns+` FROM pipeline WHERE id > $1 ORDER BY id LIMIT $2`, id, limit)
	if err != nil || len(ps) == 0 {
		return nil, nil, nil, err
	}
	ids := make([]any, len(ps))
	for i, p := range ps {
		ids[i] = p.ID
	}
	if blocks, err = many(t, "block", scanBlock, `SELECT `+blockColumns+` FROM block WHERE pipeline_id IN (`+list(1, len(ids))+`) ORDER BY pipeline_id, idx`, ids...); err != nil {
		return nil, nil, nil, err
	}
	jobs, err = many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE pipeline_id IN (`+list(1, len(ids))+`) AND debug_of = '' ORDER BY created_at, block_id, idx`, ids...)
	return ps, blocks, jobs, err
}

// KnownAttempts returns which of some attempt ids there are, at most 500.
func (t *Tx) KnownAttempts(ids []string) (map[string]bool, error) {
	known := map[string]bool{}
	if len(ids) == 0 {
		return known, nil
	}
	found, err := t.strings(`SELECT id FROM attempt WHERE id IN (`+list(1, len(ids))+`)`, anys(nil, ids)...)
	for _, id := range found {
		known[id] = true
	}
	return known, err
}

// LogsAfter returns up to limit logs of attempts that come after one, in order.
func (l *LogTx) LogsAfter(attemptID string, limit int) ([]*LogHead, error) {
	return many(l.t, "log", scanLogHead, `SELECT `+logColumns+` FROM log WHERE attempt_id > $1 ORDER BY attempt_id LIMIT $2`, attemptID, limit)
}

// GapsBetween calls fn with the gaps of the attempts from .. to, in order.
func (l *LogTx) GapsBetween(from, to string, fn func(attemptID string, g LogGap) error) error {
	return l.each(`SELECT attempt_id, from_event, to_event, why, at FROM log_gap WHERE attempt_id >= $1 AND attempt_id <= $2
		ORDER BY attempt_id, from_event`, from, to, func(s scanner) error {
		var id string
		var g LogGap
		if err := s.Scan(&id, &g.From, &g.To, &g.Why, at{&g.At}); err != nil {
			return err
		}
		return fn(id, g)
	})
}

// ChunksBetween calls fn with the chunks of the attempts from .. to, in order; only one is in memory.
func (l *LogTx) ChunksBetween(from, to string, fn func(attemptID string, c LogChunk) error) error {
	return l.each(`SELECT attempt_id, first_event, count, at, data, hashes FROM log_chunk WHERE attempt_id >= $1 AND attempt_id <= $2
		ORDER BY attempt_id, first_event`, from, to, func(s scanner) error {
		var id string
		var c LogChunk
		if err := s.Scan(&id, &c.First, &c.Count, at{&c.At}, &c.Data, &c.Hashes); err != nil {
			return err
		}
		return fn(id, c)
	})
}

func (l *LogTx) each(query, from, to string, fn func(scanner) error) error {
	rows, err := l.t.q.QueryContext(l.t.ctx, query, from, to)
	if err != nil {
		return fmt.Errorf("read logs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return fmt.Errorf("read logs: %w", err)
		}
	}
	return rows.Err()
}
