package store

import (
	"github.com/signalbox-ci/signalbox"
)

const pipelineColumns = `id, workflow_id, project_id, artefact_id, name, file, yaml, plan, queue_key, state, result, reason, error_description, terminate, terminate_reason, terminated_by, version, created_at, pending_at, queuing_at, running_at, stopping_at, done_at`

func scanPipeline(s scanner, p *signalbox.Pipeline) error {
	return s.Scan(&p.ID, &p.WorkflowID, &p.ProjectID, &p.ArtefactID, &p.Name, &p.File, &p.YAML, doc{&p.Plan}, &p.QueueKey,
		&p.State, &p.Result, &p.Reason, &p.ErrorDescription, &p.Terminate, &p.TerminateReason, &p.TerminatedBy, &p.Version,
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
	plan := ""
	if p.Plan != nil {
		var err error
		if plan, err = toJSON(p.Plan); err != nil {
			return err
		}
	}
	if _, err := t.exec(`INSERT INTO pipeline (`+pipelineColumns+`) VALUES (`+list(1, 23)+`)`,
		p.ID, p.WorkflowID, p.ProjectID, p.ArtefactID, p.Name, p.File, p.YAML, plan, p.QueueKey, p.State, p.Result, p.Reason,
		p.ErrorDescription, p.Terminate, p.TerminateReason, p.TerminatedBy, p.Version, ms(p.CreatedAt), ms(p.PendingAt),
		ms(p.QueuingAt), ms(p.RunningAt), ms(p.StoppingAt), ms(p.DoneAt)); err != nil {
		return err
	}
	t.wakePipeline(p)
	return t.Record("pipeline", p.ID, actor, "created", string(p.State))
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
		done_at = $13, version = version + 1 WHERE id = $14 AND version = $15`,
		p.Name, p.State, p.Result, p.Reason, p.ErrorDescription, p.Terminate, p.TerminateReason, p.TerminatedBy, ms(p.PendingAt),
		ms(p.QueuingAt), ms(p.RunningAt), ms(p.StoppingAt), ms(p.DoneAt), p.ID, p.Version)
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
	if f.Limit <= 0 {
		f.Limit = 30
	}
	return many(t, "pipeline", scanPipeline, `SELECT `+pipelineColumns+` FROM pipeline WHERE ($1 = '' OR project_id = $1)
		AND ($2 = '' OR workflow_id = $2)
		AND ($3 = '' OR workflow_id IN (SELECT id FROM workflow WHERE branch_name = $3))
		ORDER BY created_at DESC, id DESC LIMIT $4 OFFSET $5`, f.ProjectID, f.WorkflowID, f.BranchName, f.Limit, f.Offset)
}

// OpenPipelines returns the ids of all pipelines that are not done, oldest first: the work to resume after a start.
func (t *Tx) OpenPipelines() ([]string, error) {
	return t.strings(`SELECT id FROM pipeline WHERE state <> 'done' ORDER BY created_at, id`)
}

// QueueAhead counts the pipelines of a queue that are not done and older than p.
func (t *Tx) QueueAhead(p *signalbox.Pipeline) (int, error) {
	var n int
	err := t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM pipeline WHERE queue_key = $1 AND state <> 'done'
		AND (created_at < $2 OR created_at = $2 AND id < $3)`, p.QueueKey, ms(p.CreatedAt), p.ID).Scan(&n)
	return n, err
}

// NextInQueue returns the id of the oldest pipeline of a queue that is not done, "" when there is none.
func (t *Tx) NextInQueue(queueKey string) (string, error) {
	ids, err := t.strings(`SELECT id FROM pipeline WHERE queue_key = $1 AND state <> 'done' ORDER BY created_at, id LIMIT 1`, queueKey)
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
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
