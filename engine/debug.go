package engine

import (
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	// DebugTime is how long a debug job lasts when nobody says otherwise.
	DebugTime = time.Hour
	// MaxDebugTime is the longest that may be asked for: a forgotten session keeps an agent from its work.
	MaxDebugTime = 24 * time.Hour

	// debugPriority is below every priority that a pipeline gives: debug jobs are the last of a queue.
	debugPriority = -1
)

// DebugCommands is the file with what the original job would have run, in the home directory.
const DebugCommands = "commands"

// DebugSpec is what a debug job runs: the environment of a job, its commands in a file, and one command that waits.
func DebugSpec(of signalbox.JobSpec, limit time.Duration) signalbox.JobSpec {
	var text strings.Builder
	for _, list := range [][]string{of.Commands, of.EpilogueAlways, of.EpilogueOnPass, of.EpilogueOnFail} {
		for _, c := range list {
			text.WriteString(strings.TrimSuffix(c, "\n") + "\n")
		}
	}
	spec := of
	spec.Commands = []string{"sleep " + strconv.FormatInt(int64(limit/time.Second), 10)}
	spec.EpilogueAlways, spec.EpilogueOnPass, spec.EpilogueOnFail = nil, nil, nil
	spec.Files = []signalbox.File{{Path: DebugCommands, Content: []byte(text.String()), Mode: "0644"}}
	return spec
}

// Debug queues a job that keeps the environment of another one open on an agent of the same type, for as long as limit.
// The other job, its block and its pipeline are not changed by what becomes of it.
func (e *Engine) Debug(tx *store.Tx, of *signalbox.Job, limit time.Duration, actor string) (*signalbox.Job, error) {
	switch {
	case of.DebugOf != "":
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "job %s is a debug session itself; debug job %s, which it was made of", of.ID, of.DebugOf)
	case limit < time.Second || limit > MaxDebugTime:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "a debug session lasts from 1 second to 24 hours (86400 seconds), not %s", limit)
	}
	problem, err := e.noAgentType(tx, of.AgentType)
	if err == nil && problem == "" {
		problem, err = e.permits(tx, of.ProjectID, of.WorkflowID)(of.AgentType)
	}
	if err != nil {
		return nil, err
	}
	if problem != "" {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "%s", problem)
	}
	j := &signalbox.Job{
		BlockID: of.BlockID, PipelineID: of.PipelineID, WorkflowID: of.WorkflowID, ProjectID: of.ProjectID,
		Name: "Debug Session for Job " + of.ID, AgentType: of.AgentType, Priority: debugPriority,
		Spec: DebugSpec(of.Spec, limit), DebugOf: of.ID, TargetID: of.TargetID, TimeLimit: limit.Truncate(time.Second), State: signalbox.JobQueued,
	}
	if err := tx.CreateJob(j, actor); err != nil {
		return nil, err
	}
	return j, tx.Record("job", of.ID, actor, "debug session started", j.ID)
}

// ended takes the steps that follow from the end of a job.
func (e *Engine) ended(tx *store.Tx, j *signalbox.Job, actor string) error {
	if j.DebugOf == "" {
		return e.Advance(tx, j.PipelineID)
	}
	return tx.Record("job", j.DebugOf, actor, "debug session ended", j.ID+" "+why(signalbox.Result(j.Result), j.Reason))
}

// EndOverdue stops the jobs, blocks and pipelines whose time is over.
func (e *Engine) EndOverdue(tx *store.Tx, actor string) error {
	jobs, err := tx.JobsOverLimit(tx.Now, 100)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if err := e.StopJob(tx, j.ID, actor, signalbox.ReasonTimeout); err != nil {
			return err
		}
	}
	pipelines, err := tx.OverduePipelines(tx.Now, 100)
	if err != nil {
		return err
	}
	for _, id := range pipelines {
		if err := e.Advance(tx, id); err != nil {
			return err
		}
	}
	return nil
}
