package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const taskColumns = `id, project_id, name, description, recurring, at, time_zone, ref, pipeline_file, parameters, paused, paused_by, paused_at, overlap, catch_up, owner, next_run_at, version, created_at, updated_at, deleted_at`

func scanTask(s scanner, k *signalbox.Task) error {
	return s.Scan(&k.ID, &k.ProjectID, &k.Name, &k.Description, &k.Recurring, &k.At, &k.TimeZone, &k.Ref, &k.PipelineFile, doc{&k.Parameters},
		&k.Paused, &k.PausedBy, at{&k.PausedAt}, &k.Overlap, &k.CatchUp, &k.Owner, at{&k.NextRunAt}, &k.Version, at{&k.CreatedAt}, at{&k.UpdatedAt}, at{&k.DeletedAt})
}

func taskParameters(k *signalbox.Task) (string, error) {
	if len(k.Parameters) == 0 {
		return "", nil
	}
	return toJSON(k.Parameters)
}

func taskNameTaken(name string) error {
	return signalbox.Errorf(signalbox.CodeConflict, "the project has a task named %q already; choose another name or change that task", name)
}

// CreateTask stores a task; a name that another task of the project has is CodeConflict.
func (t *Tx) CreateTask(k *signalbox.Task, actor string) error {
	if k.ID == "" {
		k.ID = signalbox.NewID()
	}
	k.CreatedAt, k.UpdatedAt = t.Now, t.Now
	parameters, err := taskParameters(k)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO task (`+taskColumns+`) VALUES (`+list(1, 21)+`)`, k.ID, k.ProjectID, k.Name, k.Description, k.Recurring, k.At,
		k.TimeZone, k.Ref, k.PipelineFile, parameters, k.Paused, k.PausedBy, ms(k.PausedAt), k.Overlap, k.CatchUp, k.Owner, ms(k.NextRunAt),
		k.Version, ms(k.CreatedAt), ms(k.UpdatedAt), 0)
	if isUnique(err) {
		return taskNameTaken(k.Name)
	}
	if err != nil {
		return err
	}
	t.Wake(KeyTasks, KeyProject(k.ProjectID))
	return t.Record("task", k.ID, actor, "created", k.At)
}

// UpdateTask writes everything of a task that can be changed, if its version is still k.Version, and counts the version
// up. A name that another task of the project has is CodeConflict.
func (t *Tx) UpdateTask(k *signalbox.Task, actor, reason, detail string) error {
	parameters, err := taskParameters(k)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE task SET name = $1, description = $2, recurring = $3, at = $4, time_zone = $5, ref = $6, pipeline_file = $7,
		parameters = $8, paused = $9, paused_by = $10, paused_at = $11, overlap = $12, catch_up = $13, next_run_at = $14, updated_at = $15,
		version = version + 1 WHERE id = $16 AND version = $17 AND deleted_at = 0`,
		k.Name, k.Description, k.Recurring, k.At, k.TimeZone, k.Ref, k.PipelineFile, parameters, k.Paused, k.PausedBy, ms(k.PausedAt),
		k.Overlap, k.CatchUp, ms(k.NextRunAt), ms(t.Now), k.ID, k.Version)
	if isUnique(err) {
		return taskNameTaken(k.Name)
	}
	if err != nil {
		return err
	}
	if err := changed(n, "task", k.ID); err != nil {
		return err
	}
	k.Version, k.UpdatedAt = k.Version+1, t.Now
	t.Wake(KeyTasks, KeyProject(k.ProjectID))
	return t.Record("task", k.ID, actor, reason, detail)
}

// DeleteTask marks a task as deleted; its name is free again.
func (t *Tx) DeleteTask(k *signalbox.Task, actor string) error {
	n, err := t.exec(`UPDATE task SET deleted_at = $1, next_run_at = 0, version = version + 1 WHERE id = $2 AND deleted_at = 0`, ms(t.Now), k.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "task", k.ID); err != nil {
		return err
	}
	t.Wake(KeyTasks, KeyProject(k.ProjectID))
	return t.Record("task", k.ID, actor, "deleted", "")
}

// deleteTasksOf marks all tasks of a project as deleted.
func (t *Tx) deleteTasksOf(projectID, actor string) error {
	all, err := t.Tasks(TaskFilter{ProjectID: projectID, Limit: 1 << 30})
	if err != nil {
		return err
	}
	for _, k := range all {
		if err := t.DeleteTask(k, actor); err != nil {
			return err
		}
	}
	return nil
}

// Task returns a task by id, also one that is deleted.
func (t *Tx) Task(id string) (*signalbox.Task, error) {
	return one(t, "task", id, scanTask, `SELECT `+taskColumns+` FROM task WHERE id = $1`, id)
}

// LockTask returns a task that is not deleted and holds it until the transaction ends.
func (t *Tx) LockTask(id string) (*signalbox.Task, error) {
	return one(t, "task", id, scanTask, `SELECT `+taskColumns+` FROM task WHERE id = $1 AND deleted_at = 0`+t.forUpdate(), id)
}

// TaskFilter narrows a list; empty fields do not.
type TaskFilter struct {
	ProjectID string
	Name      string
	Limit     int // default 30
	Offset    int
}

// Tasks returns tasks that are not deleted, by name.
func (t *Tx) Tasks(f TaskFilter) ([]*signalbox.Task, error) {
	if f.Limit <= 0 {
		f.Limit = 30
	}
	return many(t, "task", scanTask, `SELECT `+taskColumns+` FROM task WHERE deleted_at = 0 AND ($1 = '' OR project_id = $1)
		AND ($2 = '' OR name = $2) ORDER BY name, id LIMIT $3 OFFSET $4`, f.ProjectID, f.Name, f.Limit, f.Offset)
}

// CountTasks counts what a filter without limit and offset finds.
func (t *Tx) CountTasks(f TaskFilter) (int, error) {
	var n int
	err := t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM task WHERE deleted_at = 0 AND ($1 = '' OR project_id = $1) AND ($2 = '' OR name = $2)`,
		f.ProjectID, f.Name).Scan(&n)
	return n, err
}

// TasksAfter returns tasks of a project that are not deleted, by name: those that come after one, "" for the first.
func (t *Tx) TasksAfter(projectID, name string, limit int) ([]*signalbox.Task, error) {
	return many(t, "task", scanTask, `SELECT `+taskColumns+` FROM task WHERE project_id = $1 AND deleted_at = 0 AND name > $2 ORDER BY name LIMIT $3`,
		projectID, name, limit)
}

// DueTasks returns the tasks whose next run is due at a time, the longest due first.
func (t *Tx) DueTasks(at time.Time, limit int) ([]*signalbox.Task, error) {
	return many(t, "task", scanTask, `SELECT `+taskColumns+` FROM task WHERE deleted_at = 0 AND next_run_at > 0 AND next_run_at <= $1
		ORDER BY next_run_at, id LIMIT $2`, ms(at), limit)
}

// AdvanceTask plans the next run of a task, zero for none, if nobody has since k was read. It returns false when
// somebody has.
func (t *Tx) AdvanceTask(k *signalbox.Task, next time.Time) (bool, error) {
	n, err := t.exec(`UPDATE task SET next_run_at = $1, version = version + 1
		WHERE id = $2 AND next_run_at = $3 AND version = $4 AND deleted_at = 0`, ms(next), k.ID, ms(k.NextRunAt), k.Version)
	if err != nil || n == 0 {
		return false, err
	}
	k.NextRunAt, k.Version = next, k.Version+1
	t.Wake(KeyTasks)
	return true, nil
}

// NextTaskTime returns when something of the tasks is due next, the zero time when nothing is: a task, or a run that is
// to be tried or whose lease ends.
func (t *Tx) NextTaskTime() (time.Time, error) {
	var next time.Time
	err := t.q.QueryRowContext(t.ctx, `SELECT COALESCE(MIN(x.due), 0) FROM (
		SELECT MIN(next_run_at) AS due FROM task WHERE deleted_at = 0 AND next_run_at > 0
		UNION ALL
		SELECT MIN(CASE WHEN lease_until > run_at THEN lease_until ELSE run_at END) AS due FROM task_run WHERE status = 'running') x`).Scan(at{&next})
	return next, err
}
