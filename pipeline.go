package signalbox

import "time"

// PipelineState is where a pipeline stands; docs/design/states.md draws the moves.
type PipelineState string

const (
	PipelineInitializing PipelineState = "initializing"
	PipelinePending      PipelineState = "pending"
	PipelineQueuing      PipelineState = "queuing"
	PipelineRunning      PipelineState = "running"
	PipelineStopping     PipelineState = "stopping"
	PipelineDone         PipelineState = "done"
)

// Result is how a pipeline or block ended; "" until then.
type Result string

const (
	ResultPassed   Result = "passed"
	ResultFailed   Result = "failed"
	ResultStopped  Result = "stopped"
	ResultCanceled Result = "canceled"
)

// Reason is why a pipeline, block, job or attempt ended as it did. The first group is the compatible set of
// existing clients; the second tells infrastructure from tests and is mapped to ReasonInternal where only the
// compatible set may appear (Reason.Compatible).
type Reason string

const (
	ReasonNone        Reason = ""
	ReasonTest        Reason = "test"
	ReasonMalformed   Reason = "malformed"
	ReasonStuck       Reason = "stuck"
	ReasonUser        Reason = "user"
	ReasonInternal    Reason = "internal"
	ReasonStrategy    Reason = "strategy"
	ReasonFastFailing Reason = "fast_failing"
	ReasonDeleted     Reason = "deleted"
	ReasonTimeout     Reason = "timeout"
	ReasonSkipped     Reason = "skipped"

	ReasonAgentLost         Reason = "agent_lost"         // no word from the agent for longer than its type allows
	ReasonAgentRestarted    Reason = "agent_restarted"    // the agent came back and knows nothing of the job
	ReasonAgentDisconnected Reason = "agent_disconnected" // the agent left with the job open
	ReasonInterrupted       Reason = "interrupted"        // the agent's host asked it to go
	ReasonWithdrawn         Reason = "withdrawn"          // an offer nobody fetched went back to the queue
	ReasonStartFailed       Reason = "start_failed"       // the agent could not fetch or build the job
	ReasonImagePull         Reason = "image_pull"         // an image of the job could not be pulled
	ReasonAgentError        Reason = "agent_error"        // the agent could not run the job: bad payload, no shell, no disk
)

// Infrastructure tells whether the machinery, not the code under test, is the cause.
func (r Reason) Infrastructure() bool {
	switch r {
	case ReasonAgentLost, ReasonAgentRestarted, ReasonAgentDisconnected, ReasonInterrupted, ReasonWithdrawn,
		ReasonStartFailed, ReasonImagePull, ReasonAgentError, ReasonInternal, ReasonStuck:
		return true
	}
	return false
}

// Compatible maps r to the set that existing clients know.
func (r Reason) Compatible() Reason {
	switch r {
	case ReasonAgentLost, ReasonAgentRestarted, ReasonAgentDisconnected, ReasonInterrupted, ReasonWithdrawn,
		ReasonStartFailed, ReasonImagePull, ReasonAgentError:
		return ReasonInternal
	}
	return r
}

// Pipeline is one run of one pipeline file. Version counts its commits and fences concurrent steps.
type Pipeline struct {
	ID               string
	WorkflowID       string
	ProjectID        string
	ArtefactID       string
	Name             string
	File             string // .semaphore/semaphore.yml
	YAML             string // the file's text as read at the commit
	Plan             *Plan  // nil when the file is malformed
	QueueKey         string // pipelines with the same key run one after another
	State            PipelineState
	Result           Result
	Reason           Reason
	ErrorDescription string
	Terminate        string // "", "stop" or "cancel"
	TerminateReason  Reason
	TerminatedBy     string
	Version          int64
	CreatedAt        time.Time
	PendingAt        time.Time
	QueuingAt        time.Time
	RunningAt        time.Time
	StoppingAt       time.Time
	DoneAt           time.Time
}

// Plan is a compiled pipeline file: everything the engine needs to run it, and nothing else.
type Plan struct {
	Name   string      `json:"name"` // "" when the file has none
	Blocks []PlanBlock `json:"blocks"`
}

// PlanBlock is one block; Dependencies are indexes into Plan.Blocks.
type PlanBlock struct {
	Name         string    `json:"name"`
	Dependencies []int     `json:"dependencies"`
	Jobs         []PlanJob `json:"jobs"`
}

// PlanJob is one job of a block after every expansion; its index is its position.
type PlanJob struct {
	Name string  `json:"name"`
	Spec JobSpec `json:"spec"`
}
