package store

import (
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

const jobColumns = `id, block_id, pipeline_id, workflow_id, project_id, idx, name, agent_type, priority, spec, debug_of, target_id, time_limit_ms, original_id, copied, retries, state, result, reason, failure_reason, attempt_id, attempt_n, created_at, queued_at, started_at, finished_at`

func scanJob(s scanner, j *signalbox.Job) error {
	return s.Scan(&j.ID, &j.BlockID, &j.PipelineID, &j.WorkflowID, &j.ProjectID, &j.Index, &j.Name, &j.AgentType, &j.Priority,
		doc{&j.Spec}, &j.DebugOf, &j.TargetID, span{&j.TimeLimit, time.Millisecond}, &j.OriginalID, &j.Copied, &j.Retries, &j.State, &j.Result, &j.Reason, &j.FailureReason, &j.AttemptID, &j.AttemptN, at{&j.CreatedAt},
		at{&j.QueuedAt}, at{&j.StartedAt}, at{&j.FinishedAt})
}

// CreateJob stores a queued job and wakes the dispatcher.
func (t *Tx) CreateJob(j *signalbox.Job, actor string) error {
	if j.ID == "" {
		j.ID = signalbox.NewID()
	}
	if j.CreatedAt = t.Now; j.QueuedAt.IsZero() {
		j.QueuedAt = t.Now
	}
	spec, err := toJSON(j.Spec)
	if err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO job (`+jobColumns+`) VALUES (`+list(1, 26)+`)`, j.ID, j.BlockID, j.PipelineID, j.WorkflowID,
		j.ProjectID, j.Index, j.Name, j.AgentType, j.Priority, spec, j.DebugOf, j.TargetID, j.TimeLimit.Milliseconds(), j.OriginalID, j.Copied, j.Retries, j.State, j.Result, j.Reason, j.FailureReason, j.AttemptID,
		j.AttemptN, ms(j.CreatedAt), ms(j.QueuedAt), ms(j.StartedAt), ms(j.FinishedAt)); err != nil {
		return err
	}
	if j.DebugOf != "" {
		t.Wake(KeyJob(j.DebugOf))
	}
	if j.Copied {
		return t.Record("job", j.ID, actor, "copied", j.OriginalID)
	}
	t.Wake(KeyQueue)
	return t.Record("job", j.ID, actor, "queued", j.AgentType)
}

// Job returns a job by id.
func (t *Tx) Job(id string) (*signalbox.Job, error) {
	return one(t, "job", id, scanJob, `SELECT `+jobColumns+` FROM job WHERE id = $1`, id)
}

// LockJob returns a job and holds it until the transaction ends.
func (t *Tx) LockJob(id string) (*signalbox.Job, error) {
	return one(t, "job", id, scanJob, `SELECT `+jobColumns+` FROM job WHERE id = $1`+t.forUpdate(), id)
}

// JobsOf returns the jobs of a pipeline, by block creation and index; debug jobs are none of them.
func (t *Tx) JobsOf(pipelineID string) ([]*signalbox.Job, error) {
	return many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE pipeline_id = $1 AND debug_of = '' ORDER BY created_at, block_id, idx`, pipelineID)
}

// DebugJobsOf returns the debug jobs of a job that are not finished, oldest first.
func (t *Tx) DebugJobsOf(jobID string) ([]*signalbox.Job, error) {
	return many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE debug_of = $1 AND debug_of <> '' AND state <> 'finished' ORDER BY created_at, id`, jobID)
}

// JobsOverLimit returns running jobs whose time limit is over at a time, the longest over first.
func (t *Tx) JobsOverLimit(at time.Time, limit int) ([]*signalbox.Job, error) {
	return many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE state = 'running' AND time_limit_ms > 0 AND started_at + time_limit_ms <= $1
		ORDER BY started_at + time_limit_ms, id LIMIT $2`, ms(at), limit)
}

// JobFilter narrows a list; empty fields do not.
type JobFilter struct {
	States    []signalbox.JobState
	AgentType string
	Limit     int // default 30
	After     JobPlace
}

// JobPlace is where a list of jobs goes on: after the job with this id, which was created at this time.
type JobPlace struct {
	CreatedAt time.Time
	ID        string
}

// Jobs returns the newest jobs first.
func (t *Tx) Jobs(f JobFilter) ([]*signalbox.Job, error) {
	c := &filter{}
	if len(f.States) > 0 {
		c.add("state IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(f.States)), ", ")+")", anys(nil, f.States)...)
		if !slices.Contains(f.States, signalbox.JobFinished) {
			c.add("state <> 'finished'") // as the index of them says it
		}
	}
	c.equal("agent_type", f.AgentType)
	if f.After.ID != "" {
		c.add("(created_at, id) < (?, ?)", ms(f.After.CreatedAt), f.After.ID)
	}
	page, args := c.page(f.Limit, 0)
	return many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job`+c.text()+` ORDER BY created_at DESC, id DESC`+page, args...)
}

// ClaimJobs returns up to n queued jobs of an agent type, highest priority first and oldest first within one, locked
// so that no other server claims them in the meantime.
func (t *Tx) ClaimJobs(agentType string, n int) ([]*signalbox.Job, error) {
	return many(t, "job", scanJob, `SELECT `+jobColumns+` FROM job WHERE agent_type = $1 AND state = 'queued'
		ORDER BY priority DESC, queued_at, id LIMIT $2`+t.skipLocked(), agentType, n)
}

// QueuedRef is a queued job and its place in a list of them.
type QueuedRef struct {
	ID       string
	QueuedAt time.Time
}

// QueuedRefs returns the queued jobs of a type, newest first, from the one after a place on; the zero place is before all.
func (t *Tx) QueuedRefs(agentType string, after QueuedRef, limit int) ([]*QueuedRef, error) {
	return many(t, "job", func(s scanner, r *QueuedRef) error { return s.Scan(&r.ID, at{&r.QueuedAt}) },
		`SELECT id, queued_at FROM job WHERE agent_type = $1 AND state = 'queued'
		AND ($2 = '' OR queued_at < $3 OR queued_at = $3 AND id < $2) ORDER BY queued_at DESC, id DESC LIMIT $4`, agentType, after.ID, ms(after.QueuedAt), limit)
}

// CountJobs returns how many jobs of a type wait (queued or offered) and run.
func (t *Tx) CountJobs(agentType string) (queued, running int, err error) {
	var offered int
	err = t.q.QueryRowContext(t.ctx, `SELECT (SELECT COUNT(*) FROM job WHERE agent_type = $1 AND state = 'queued'),
		COUNT(CASE WHEN state = 'offered' THEN 1 END), COUNT(CASE WHEN state = 'running' THEN 1 END)
		FROM job WHERE agent_type = $1 AND state IN ('offered', 'running')`, agentType).Scan(&queued, &offered, &running)
	return queued + offered, running, err
}

// UpdateJob writes the fields that change while a job runs, if its state is still from.
func (t *Tx) UpdateJob(j *signalbox.Job, from signalbox.JobState, actor, reason, detail string) error {
	n, err := t.exec(`UPDATE job SET state = $1, result = $2, reason = $3, failure_reason = $4, attempt_id = $5, attempt_n = $6,
		queued_at = $7, started_at = $8, finished_at = $9, retries = $10 WHERE id = $11 AND state = $12`,
		j.State, j.Result, j.Reason, j.FailureReason, j.AttemptID, j.AttemptN, ms(j.QueuedAt), ms(j.StartedAt), ms(j.FinishedAt), j.Retries, j.ID, from)
	if err != nil {
		return err
	}
	if err := changed(n, "job", j.ID); err != nil {
		return err
	}
	t.jobChanged(j, from)
	if j.DebugOf != "" {
		t.Wake(KeyJob(j.ID), KeyJob(j.DebugOf))
	} else {
		t.Wake(KeyJob(j.ID), KeyPipeline(j.PipelineID), KeyWorkflow(j.WorkflowID))
	}
	if j.State == signalbox.JobQueued {
		t.Wake(KeyQueue)
	}
	if from.Active() && !j.State.Active() {
		t.Wake(KeyRoom)
	}
	return t.Record("job", j.ID, actor, reason, detail)
}
