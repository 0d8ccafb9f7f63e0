package store

import (
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
)

const taskRunColumns = `id, task_id, project_id, token, due_at, requester, ref, pipeline_file, parameters, status, attempts, workflow_id, error, note, created_at, run_at, scheduled_at`

func scanTaskRun(s scanner, r *signalbox.TaskRun) error {
	return s.Scan(&r.ID, &r.TaskID, &r.ProjectID, &r.Token, at{&r.DueAt}, &r.Requester, &r.Ref, &r.PipelineFile, doc{&r.Parameters}, &r.Status,
		&r.Attempts, &r.WorkflowID, &r.Error, &r.Note, at{&r.CreatedAt}, at{&r.RunAt}, at{&r.ScheduledAt})
}

// CreateTaskRun stores a run, leased for a while when whoever makes it tries it too. It returns false, and stores
// nothing, when the task has a run with its token.
func (t *Tx) CreateTaskRun(r *signalbox.TaskRun, lease time.Duration, actor string) (bool, error) {
	if r.ID == "" {
		r.ID = signalbox.NewID()
	}
	r.CreatedAt = t.Now
	if r.RunAt.IsZero() {
		r.RunAt = t.Now
	}
	parameters := ""
	if len(r.Parameters) > 0 {
		var err error
		if parameters, err = toJSON(r.Parameters); err != nil {
			return false, err
		}
	}
	until := int64(0)
	if lease > 0 {
		until, r.Attempts = ms(t.Now.Add(lease)), 1
	}
	n, err := t.exec(`INSERT INTO task_run (`+taskRunColumns+`, lease_until) VALUES (`+list(1, 18)+`) ON CONFLICT (task_id, token) DO NOTHING`,
		r.ID, r.TaskID, r.ProjectID, r.Token, ms(r.DueAt), r.Requester, r.Ref, r.PipelineFile, parameters, r.Status, r.Attempts, r.WorkflowID,
		r.Error, r.Note, ms(r.CreatedAt), ms(r.RunAt), ms(r.ScheduledAt), until)
	if err != nil || n == 0 {
		return false, err
	}
	t.Wake(KeyTasks, KeyProject(r.ProjectID))
	what := "due"
	if r.Manual() {
		what = "run now"
	}
	return true, t.Record("task_run", r.ID, actor, what, r.Note)
}

// ClaimTaskRuns takes up to n runs that are to be tried and leases them: when they have not ended by then, somebody
// else may take them. A lease that ends later than any could was given by a wrong clock.
func (t *Tx) ClaimTaskRuns(n int, lease time.Duration) ([]*signalbox.TaskRun, error) {
	return many(t, "task run", scanTaskRun, `UPDATE task_run SET lease_until = $1, attempts = attempts + 1
		WHERE id IN (SELECT id FROM task_run WHERE status = 'running' AND run_at <= $2 AND (lease_until <= $2 OR lease_until > $4)
		ORDER BY run_at, id LIMIT $3`+t.skipLocked()+`) RETURNING `+taskRunColumns, ms(t.Now.Add(lease)), ms(t.Now), n, ms(t.Now.Add(lease+signalbox.ClockSlack)))
}

// KeepTaskRun makes the lease of a run that is being tried longer.
func (t *Tx) KeepTaskRun(id string, lease time.Duration) error {
	_, err := t.exec(`UPDATE task_run SET lease_until = $1 WHERE id = $2 AND status = 'running'`, ms(t.Now.Add(lease)), id)
	return err
}

// FinishTaskRun ends a run as r says; one that has ended keeps its end, and is CodeConflict.
func (t *Tx) FinishTaskRun(r *signalbox.TaskRun, actor string) error {
	r.Error, r.ScheduledAt = signalbox.CutText(r.Error, signalbox.MaxTaskError), t.Now
	n, err := t.exec(`UPDATE task_run SET status = $1, workflow_id = $2, error = $3, scheduled_at = $4, lease_until = 0
		WHERE id = $5 AND status = 'running'`, r.Status, r.WorkflowID, r.Error, ms(r.ScheduledAt), r.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "task run", r.ID); err != nil {
		return err
	}
	t.Wake(KeyTasks, KeyProject(r.ProjectID))
	detail := r.Error
	if detail == "" {
		detail = r.WorkflowID
	}
	return t.Record("task_run", r.ID, actor, string(r.Status), detail)
}

// RetryTaskRun gives a run back, to be tried again at a time.
func (t *Tx) RetryTaskRun(r *signalbox.TaskRun, again time.Time, actor string) error {
	r.Error, r.RunAt = signalbox.CutText(r.Error, signalbox.MaxTaskError), again
	n, err := t.exec(`UPDATE task_run SET run_at = $1, lease_until = 0, error = $2 WHERE id = $3 AND status = 'running'`, ms(again), r.Error, r.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "task run", r.ID); err != nil {
		return err
	}
	t.Wake(KeyTasks)
	return t.Record("task_run", r.ID, actor, "tried again later", r.Error)
}

// TaskRun returns a run by id.
func (t *Tx) TaskRun(id string) (*signalbox.TaskRun, error) {
	return one(t, "task run", id, scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE id = $1`, id)
}

// FindTaskRun returns the run of a task that has a token.
func (t *Tx) FindTaskRun(taskID, token string) (*signalbox.TaskRun, error) {
	return one(t, "task run", token, scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE task_id = $1 AND token = $2`, taskID, token)
}

// TaskRuns returns the newest runs of a task first.
func (t *Tx) TaskRuns(taskID string, limit int) ([]*signalbox.TaskRun, error) {
	return many(t, "task run", scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE task_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2`,
		taskID, limit)
}

// TaskRunPlace is a place in the history of a task, the zero value for none.
type TaskRunPlace struct {
	CreatedAt time.Time
	ID        string
}

// TaskRunsBefore returns the runs of a task that are older than a place, from the newest of all without one.
func (t *Tx) TaskRunsBefore(taskID string, p TaskRunPlace, limit int) ([]*signalbox.TaskRun, error) {
	if p.ID == "" {
		return t.TaskRuns(taskID, limit)
	}
	return many(t, "task run", scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE task_id = $1 AND created_at <= $2
		AND (created_at < $2 OR id < $3) ORDER BY created_at DESC, id DESC LIMIT $4`, taskID, ms(p.CreatedAt), p.ID, limit)
}

// TaskRunsAfter returns the runs of a task that are next newer than a place, newest first.
func (t *Tx) TaskRunsAfter(taskID string, p TaskRunPlace, limit int) ([]*signalbox.TaskRun, error) {
	out, err := many(t, "task run", scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE task_id = $1 AND created_at >= $2
		AND (created_at > $2 OR id > $3) ORDER BY created_at, id LIMIT $4`, taskID, ms(p.CreatedAt), p.ID, limit)
	slices.Reverse(out)
	return out, err
}

// LastTaskRuns returns the newest run of each of some tasks that has one, by the task's id.
func (t *Tx) LastTaskRuns(taskIDs []string) (map[string]*signalbox.TaskRun, error) {
	out := map[string]*signalbox.TaskRun{}
	if len(taskIDs) == 0 {
		return out, nil
	}
	in, args := oneOf(taskIDs)
	all, err := many(t, "task run", scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE id IN (
		SELECT (SELECT r.id FROM task_run r WHERE r.task_id = k.id ORDER BY r.created_at DESC, r.id DESC LIMIT 1) FROM task k WHERE k.id IN (`+in+`))`, args...)
	for _, r := range all {
		out[r.TaskID] = r
	}
	return out, err
}

// LastStartedTaskRun returns the newest run of a task that started a workflow.
func (t *Tx) LastStartedTaskRun(taskID string) (*signalbox.TaskRun, error) {
	return one(t, "task run", taskID, scanTaskRun, `SELECT `+taskRunColumns+` FROM task_run WHERE task_id = $1 AND workflow_id <> ''
		ORDER BY created_at DESC, id DESC LIMIT 1`, taskID)
}

// CountTaskRuns counts the runs of a task, at most up to limit.
func (t *Tx) CountTaskRuns(taskID string, limit int) (n int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM (SELECT 1 AS one FROM task_run WHERE task_id = $1 LIMIT $2) x`, taskID, limit).Scan(&n)
	return n, err
}

// OpenTaskRuns returns the ids of a task's runs that have not come to their end: their workflow is not started, or has
// a pipeline that is not done.
func (t *Tx) OpenTaskRuns(taskID string) ([]string, error) {
	return t.strings(`SELECT id FROM task_run WHERE task_id = $1 AND (status = 'running'
		OR workflow_id <> '' AND EXISTS (SELECT 1 FROM pipeline p WHERE p.workflow_id = task_run.workflow_id AND p.state <> 'done'))
		ORDER BY created_at, id`, taskID)
}
