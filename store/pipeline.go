package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const pipelineColumns = `id, workflow_id, project_id, artefact_id, name, file, yaml, plan, queue_key, queue, queue_parallel, auto_cancel, origin, promoted_from, deadline_at, state, result, reason, error_description, terminate, terminate_reason, terminated_by, version, created_at, pending_at, queuing_at, running_at, stopping_at, done_at`

func scanPipeline(s scanner, p *signalbox.Pipeline) error {
	return s.Scan(&p.ID, &p.WorkflowID, &p.ProjectID, &p.ArtefactID, &p.Name, &p.File, &p.YAML, doc{&p.Plan}, &p.QueueKey,
		doc{&p.Queue}, &p.Queue.Parallel, &p.AutoCancel, doc{&p.Origin}, &p.Origin.PromotedFrom, at{&p.Deadline}, &p.State, &p.Result, &p.Reason, &p.ErrorDescription, &p.Terminate, &p.TerminateReason, &p.TerminatedBy, &p.Version,
		at{&p.CreatedAt}, at{&p.PendingAt}, at{&p.QueuingAt}, at{&p.RunningAt}, at{&p.StoppingAt}, at{&p.DoneAt})
}

// CreatePipeline stores a pipeline.
func (t *Tx) CreatePipeline(p *signalbox.Pipeline, actor string) error {
	if p.ID == "" {
		p.ID = signalbox.NewID()
	}
	if p.ArtefactID == "" {
		p.ArtefactID = signalbox.NewID()
	}
	p.CreatedAt = t.Now
	plan, err := planText(p.Plan)
	if err != nil {
		return err
	}
	queue, err := toJSON(p.Queue)
	if err != nil {
		return err
	}
	origin, err := toJSON(p.Origin)
	if err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO pipeline (`+pipelineColumns+`) VALUES (`+list(1, 29)+`)`,
		p.ID, p.WorkflowID, p.ProjectID, p.ArtefactID, p.Name, p.File, p.YAML, plan, p.QueueKey, queue, p.Queue.Parallel, p.AutoCancel,
		origin, p.Origin.PromotedFrom, ms(p.Deadline), p.State, p.Result, p.Reason,
		p.ErrorDescription, p.Terminate, p.TerminateReason, p.TerminatedBy, p.Version, ms(p.CreatedAt), ms(p.PendingAt),
		ms(p.QueuingAt), ms(p.RunningAt), ms(p.StoppingAt), ms(p.DoneAt)); err != nil {
		return err
	}
	t.wakePipeline(p)
	return t.Record("pipeline", p.ID, actor, "created", string(p.State))
}

func planText(p *signalbox.Plan) (string, error) {
	if p == nil {
		return "", nil
	}
	return toJSON(p)
}

func (t *Tx) wakePipeline(p *signalbox.Pipeline) {
	t.Wake(KeyPipeline(p.ID), KeyWorkflow(p.WorkflowID), KeyProject(p.ProjectID))
}

// Pipeline returns a pipeline by id.
func (t *Tx) Pipeline(id string) (*signalbox.Pipeline, error) {
	return one(t, "pipeline", id, scanPipeline, `SELECT `+pipelineColumns+` FROM pipeline WHERE id = $1`, id)
}

// LockPipeline returns a pipeline and holds it until the transaction ends, so that steps of one pipeline follow one
// another.
func (t *Tx) LockPipeline(id string) (*signalbox.Pipeline, error) {
	return one(t, "pipeline", id, scanPipeline, `SELECT `+pipelineColumns+` FROM pipeline WHERE id = $1`+t.forUpdate(), id)
}

// UpdatePipeline writes the fields that change while a pipeline runs, if its version is still p.Version, and counts
// the version up.
func (t *Tx) UpdatePipeline(p *signalbox.Pipeline, actor, reason, detail string) error {
	n, err := t.exec(`UPDATE pipeline SET name = $1, state = $2, result = $3, reason = $4, error_description = $5, terminate = $6,
		terminate_reason = $7, terminated_by = $8, pending_at = $9, queuing_at = $10, running_at = $11, stopping_at = $12,
		done_at = $13, deadline_at = $14, version = version + 1 WHERE id = $15 AND version = $16`,
		p.Name, p.State, p.Result, p.Reason, p.ErrorDescription, p.Terminate, p.TerminateReason, p.TerminatedBy, ms(p.PendingAt),
		ms(p.QueuingAt), ms(p.RunningAt), ms(p.StoppingAt), ms(p.DoneAt), ms(p.Deadline), p.ID, p.Version)
	if err != nil {
		return err
	}
	if err := changed(n, "pipeline", p.ID); err != nil {
		return err
	}
	p.Version++
	t.wakePipeline(p)
	return t.Record("pipeline", p.ID, actor, reason, detail)
}

// InitializePipeline writes what reading the file gave: name, text, plan and queue.
func (t *Tx) InitializePipeline(p *signalbox.Pipeline) error {
	plan, err := planText(p.Plan)
	if err != nil {
		return err
	}
	queue, err := toJSON(p.Queue)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE pipeline SET yaml = $1, plan = $2, queue_key = $3, queue = $4, queue_parallel = $5, auto_cancel = $6,
		name = $7 WHERE id = $8 AND version = $9 AND state = 'initializing'`,
		p.YAML, plan, p.QueueKey, queue, p.Queue.Parallel, p.AutoCancel, p.Name, p.ID, p.Version)
	if err != nil {
		return err
	}
	return changed(n, "pipeline", p.ID)
}

// InitializingPipelines returns the ids of pipelines whose file is to be read, oldest first; those whose initialization
// job is not done are not among them.
func (t *Tx) InitializingPipelines(limit int) ([]string, error) {
	return t.strings(`SELECT id FROM pipeline WHERE state = 'initializing'
		AND NOT EXISTS (SELECT 1 FROM block WHERE pipeline_id = pipeline.id AND kind = 'init' AND state <> 'done')
		ORDER BY created_at, id LIMIT $1`, limit)
}

// OverduePipelines returns the ids of running pipelines that have, or have a block that has, no time left.
func (t *Tx) OverduePipelines(at time.Time, limit int) ([]string, error) {
	return t.strings(`SELECT id FROM pipeline WHERE state = 'running' AND deadline_at > 0 AND deadline_at <= $1
		UNION SELECT pipeline_id FROM block WHERE state = 'running' AND deadline_at > 0 AND deadline_at <= $1 LIMIT $2`, ms(at), limit)
}

// PipelinesOf returns the pipelines of a workflow, oldest first.
func (t *Tx) PipelinesOf(workflowID string) ([]*signalbox.Pipeline, error) {
	return many(t, "pipeline", scanPipeline, `SELECT `+pipelineColumns+` FROM pipeline WHERE workflow_id = $1 ORDER BY created_at, id`, workflowID)
}

// PipelineFilter narrows a list; empty fields do not.
type PipelineFilter struct {
	ProjectID  string
	WorkflowID string
	BranchName string
	Limit      int // default 30
	Offset     int
}

// Pipelines returns the newest pipelines first.
func (t *Tx) Pipelines(f PipelineFilter) ([]*signalbox.Pipeline, error) {
	c := &filter{}
	c.equal("project_id", f.ProjectID)
	c.equal("workflow_id", f.WorkflowID)
	if f.BranchName != "" {
		c.add("EXISTS (SELECT 1 FROM workflow w WHERE w.id = pipeline.workflow_id AND w.branch_name = ?)", f.BranchName)
	}
	page, args := c.page(f.Limit, f.Offset)
	return many(t, "pipeline", scanPipeline, `SELECT `+pipelineColumns+` FROM pipeline`+c.text()+` ORDER BY created_at DESC, id DESC`+page, args...)
}

// OpenPipelines returns the ids of all pipelines that have something left to do, oldest first: the work to resume after
// a start.
func (t *Tx) OpenPipelines() ([]string, error) {
	return t.strings(`SELECT id FROM pipeline WHERE state <> 'done'
		OR id IN (SELECT pipeline_id FROM block WHERE kind = 'after' AND state <> 'done') ORDER BY created_at, id`)
}

// LockQueue holds a queue until the transaction ends, so that whoever enters it and whoever leaves it see each other.
func (t *Tx) LockQueue(key string) error {
	if t.dialect != postgresDialect {
		return nil // one writer at a time
	}
	_, err := t.exec(`SELECT pg_advisory_xact_lock(7261, hashtext($1))`, key)
	return err
}

// Queued is what the other pipelines of a queue mean for one of them.
type Queued struct {
	Ahead   int                // older ones that are read and not done
	Running int                // others that run or are being stopped
	Cancel  signalbox.Strategy // the strongest that a younger one asks for
	By      string             // that one's id
}

// Queued looks at the other pipelines of p's queue. Those whose file was not read yet are in no queue, and what a
// younger one asked for ends with it.
func (t *Tx) Queued(p *signalbox.Pipeline) (q Queued, err error) {
	type row struct {
		id       string
		state    signalbox.PipelineState
		cancel   signalbox.Strategy
		created  int64
		parallel bool
	}
	rows, err := many(t, "pipeline", func(s scanner, r *row) error { return s.Scan(&r.id, &r.state, &r.cancel, &r.created, &r.parallel) },
		`SELECT id, state, auto_cancel, created_at, queue_parallel FROM pipeline
		WHERE queue_key = $1 AND state <> 'done' AND state <> 'initializing' AND id <> $2 ORDER BY created_at, id`, p.QueueKey, p.ID)
	if err != nil {
		return q, err
	}
	for _, r := range rows {
		if r.state == signalbox.PipelineRunning || r.state == signalbox.PipelineStopping {
			q.Running++
		}
		if r.created < ms(p.CreatedAt) || r.created == ms(p.CreatedAt) && r.id < p.ID {
			q.Ahead++
		} else if r.cancel == signalbox.StrategyStop || r.cancel == signalbox.StrategyCancel && q.Cancel == "" {
			q.Cancel, q.By = r.cancel, r.id
		}
	}
	return q, nil
}

// OpenInQueue returns the ids of the pipelines of a queue that are neither done nor unread, oldest first, except one.
func (t *Tx) OpenInQueue(queueKey, except string) ([]string, error) {
	return t.strings(`SELECT id FROM pipeline WHERE queue_key = $1 AND state <> 'done' AND state <> 'initializing' AND id <> $2
		ORDER BY created_at, id`, queueKey, except)
}

func (t *Tx) strings(query string, args ...any) ([]string, error) {
	rows, err := many(t, "id", func(s scanner, v *string) error { return s.Scan(v) }, query, args...)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = *r
	}
	return out, nil
}
