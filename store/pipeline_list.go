package store

import (
	"github.com/signalbox-ci/signalbox"
)

// PipelineStates returns the pipelines of some workflows, oldest first, by the workflow's id, with what a list says of them: name, file, state
// and times, what they repeat, and who ended them, but not the text of the file, and no plan.
func (t *Tx) PipelineStates(workflowIDs []string) (map[string][]*signalbox.Pipeline, error) {
	out := map[string][]*signalbox.Pipeline{}
	if len(workflowIDs) == 0 {
		return out, nil
	}
	in, args := oneOf(workflowIDs)
	all, err := many(t, "pipeline", func(s scanner, p *signalbox.Pipeline) error {
		return s.Scan(&p.ID, &p.WorkflowID, &p.ProjectID, &p.Name, &p.File, doc{&p.Origin}, &p.State, &p.Result, &p.Reason, &p.TerminatedBy,
			at{&p.CreatedAt}, at{&p.RunningAt}, at{&p.DoneAt})
	}, `SELECT id, workflow_id, project_id, name, file, origin, state, result, reason, terminated_by, created_at, running_at, done_at
		FROM pipeline WHERE workflow_id IN (`+in+`) ORDER BY created_at, id`, args...)
	for _, p := range all {
		out[p.WorkflowID] = append(out[p.WorkflowID], p)
	}
	return out, err
}

// FailedJob is a job that did not pass, with its block's name.
type FailedJob struct {
	signalbox.Job // what tells its lamp, name and pipeline
	Block         string
}

// FailedJobs returns the finished jobs of some pipelines that did not pass, at most n, in the order of their blocks.
func (t *Tx) FailedJobs(pipelineIDs []string, n int) ([]*FailedJob, error) {
	if len(pipelineIDs) == 0 {
		return nil, nil
	}
	in, args := oneOf(pipelineIDs)
	return many(t, "job", func(s scanner, j *FailedJob) error {
		return s.Scan(&j.ID, &j.PipelineID, &j.Name, &j.Block, &j.State, &j.Result, &j.Reason, at{&j.StartedAt})
	}, `SELECT j.id, j.pipeline_id, j.name, b.name, j.state, j.result, j.reason, j.started_at FROM job j JOIN block b ON b.id = j.block_id
		WHERE j.pipeline_id IN (`+in+`) AND j.state = 'finished' AND j.result <> 'passed' ORDER BY b.idx, j.idx, j.id LIMIT `+list(len(args)+1, 1), append(args, n)...)
}

// WaitingJobs counts the jobs of a pipeline that wait for an agent type.
type WaitingJobs struct {
	PipelineID, AgentType string
	Queued                int
}

// WaitingIn returns for which agent types jobs of some pipelines wait.
func (t *Tx) WaitingIn(pipelineIDs []string) ([]*WaitingJobs, error) {
	if len(pipelineIDs) == 0 {
		return nil, nil
	}
	in, args := oneOf(pipelineIDs)
	return many(t, "job", func(s scanner, w *WaitingJobs) error { return s.Scan(&w.PipelineID, &w.AgentType, &w.Queued) },
		`SELECT pipeline_id, agent_type, COUNT(*) FROM job WHERE pipeline_id IN (`+in+`) AND state = 'queued' GROUP BY pipeline_id, agent_type ORDER BY pipeline_id, agent_type`, args...)
}
