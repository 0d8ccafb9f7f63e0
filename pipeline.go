package signalbox

import (
	"encoding/json"
	"time"
)

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
	ReasonLeaseEnded        Reason = "lease_ended"        // the agent ended the job because it had not reached the server for as long as its type allows
	ReasonAgentError        Reason = "agent_error"        // the agent could not run the job: bad payload, no shell, no disk
)

// Infrastructure tells whether the machinery, not the code under test, is the cause.
func (r Reason) Infrastructure() bool {
	switch r {
	case ReasonAgentLost, ReasonAgentRestarted, ReasonAgentDisconnected, ReasonInterrupted, ReasonWithdrawn,
		ReasonStartFailed, ReasonImagePull, ReasonAgentError, ReasonLeaseEnded, ReasonInternal, ReasonStuck:
		return true
	}
	return false
}

// Compatible maps r to the set that existing clients know.
func (r Reason) Compatible() Reason {
	switch r {
	case ReasonAgentLost, ReasonAgentRestarted, ReasonAgentDisconnected, ReasonInterrupted, ReasonWithdrawn,
		ReasonStartFailed, ReasonImagePull, ReasonAgentError, ReasonLeaseEnded:
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
	Plan             *Plan  // nil before it is initialized, and when the file is malformed
	QueueKey         string // pipelines with the same key wait for each other
	Queue            Queue
	AutoCancel       Strategy // what this one does to older ones of its queue
	Origin           Origin
	Deadline         time.Time // when its time is over, from running on
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

// Queue says how pipelines with the same key wait for each other. The zero value is the queue that a branch and a file
// have by themselves.
type Queue struct {
	Name         string `json:"name,omitempty"`         // "" is the implicit one
	Organization bool   `json:"organization,omitempty"` // shared by all projects, else by the pipelines of one
	Parallel     bool   `json:"parallel,omitempty"`     // does not wait itself
}

// Strategy is what to do with work that is no longer wanted: nothing, cancel what waits, or stop what runs too.
type Strategy string

const (
	StrategyNone   Strategy = ""
	StrategyCancel Strategy = "cancel"
	StrategyStop   Strategy = "stop"
)

// Origin is where a pipeline comes from. The zero value is the first pipeline of a workflow.
type Origin struct {
	PromotedFrom string   `json:"promoted_from,omitempty"` // the pipeline whose promotion started this one
	Promotion    string   `json:"promotion,omitempty"`     // the promotion's name
	PromotedBy   string   `json:"promoted_by,omitempty"`   // a user's name, or AutoPromotion
	TargetID     string   `json:"target_id,omitempty"`     // the deployment target it was let through by
	RerunOf      string   `json:"rerun_of,omitempty"`      // the pipeline whose failed jobs this one repeats
	RerunBy      string   `json:"rerun_by,omitempty"`
	RerunJob     string   `json:"rerun_job,omitempty"` // the only job of RerunOf that runs again; "" is whatever did not pass
	Ancestors    []string `json:"ancestors,omitempty"` // artefact ids, of the workflow's first pipeline first
	Parameters   []EnvVar `json:"parameters,omitempty"`
}

// AutoPromotion is who promotes when a condition does.
const AutoPromotion = "auto-promotion"

// Plan is a compiled pipeline file: everything the engine needs to run it, and nothing else. All conditions but those of
// promotions are decided in it, because nothing that they ask for changes later.
type Plan struct {
	Name         string          `json:"name"`                 // "" when the file has none
	TimeLimit    int             `json:"time_limit,omitempty"` // minutes of running; 0 is DefaultPipelineTime
	Queue        Queue           `json:"queue,omitzero"`
	AutoCancel   Strategy        `json:"auto_cancel,omitempty"`
	FailFast     Strategy        `json:"fail_fast,omitempty"`
	PartialRerun string          `json:"partial_rerun,omitempty"` // jobs (also when empty) or block
	Blocks       []PlanBlock     `json:"blocks"`
	After        []PlanJob       `json:"after,omitempty"` // of after_pipeline
	Promotions   []PlanPromotion `json:"promotions,omitempty"`
	Conditions   []Condition     `json:"conditions,omitempty"` // all that were decided, in the order of the file
	Warnings     []string        `json:"warnings,omitempty"`   // one line each, as of a check of the file
}

// Promotion returns the promotion of a name, nil when there is none; a plan that is nil has none.
func (p *Plan) Promotion(name string) *PlanPromotion {
	if p == nil {
		return nil
	}
	for i := range p.Promotions {
		if p.Promotions[i].Name == name {
			return &p.Promotions[i]
		}
	}
	return nil
}

// DefaultPipelineTime and DefaultJobTime are time limits where the file sets none; no job may have a longer one.
const (
	DefaultPipelineTime = time.Hour
	DefaultJobTime      = 24 * time.Hour
)

// PlanBlock is one block; Dependencies are indexes into Plan.Blocks.
type PlanBlock struct {
	Name         string    `json:"name"`
	Dependencies []int     `json:"dependencies"`
	Skip         string    `json:"skip,omitempty"`       // why it is not to run, in a sentence; "" is to run
	TimeLimit    int       `json:"time_limit,omitempty"` // minutes of running; 0 is none
	FailFast     Strategy  `json:"fail_fast,omitempty"`  // inside its task: its own, else the pipeline's
	PartialRerun string    `json:"partial_rerun,omitempty"`
	Jobs         []PlanJob `json:"jobs"`
}

// PlanJob is one job of a block after every expansion; its index is its position.
type PlanJob struct {
	Name      string  `json:"name"`
	Priority  int     `json:"priority,omitempty"`
	TimeLimit int     `json:"time_limit,omitempty"` // minutes of running; 0 is DefaultJobTime
	Spec      JobSpec `json:"spec"`
}

// Retry queues a job again when its end was not its own fault.
type Retry struct {
	On    []Reason `json:"on"`
	Limit int      `json:"limit"`
}

// Condition is a decided condition of a pipeline file.
type Condition struct {
	Path  string          `json:"path"` // #/blocks/0/run/when
	Line  int             `json:"line"`
	Text  string          `json:"text"`
	Value bool            `json:"value"`
	Why   json.RawMessage `json:"why,omitempty"` // its terms and their values, as package spec/when writes them
}

// PlanPromotion is a pipeline that may follow.
type PlanPromotion struct {
	Name       string      `json:"name"`
	File       string      `json:"file"` // from the root of the repository
	Target     string      `json:"target,omitempty"`
	Auto       *AutoRule   `json:"auto,omitempty"`
	Parameters []Parameter `json:"parameters,omitempty"`
}

// AutoRule says when a promotion happens by itself, once the result of its pipeline is known: when the condition holds
// or one of the older rules does.
type AutoRule struct {
	When  string       `json:"when,omitempty"`
	Path  string       `json:"path,omitempty"`
	Calls []CallResult `json:"calls,omitempty"` // of the functions in When, in their order, from when the file was read
	On    []AutoOn     `json:"on,omitempty"`
}

// CallResult is what a function of a condition came to.
type CallResult struct {
	Value bool   `json:"value"`
	Why   string `json:"why,omitempty"`
}

// AutoOn is one rule of the older form: all of it must hold.
type AutoOn struct {
	Result   Result   `json:"result"`
	Reason   Reason   `json:"reason,omitempty"`
	Labels   []string `json:"labels,omitempty"`   // one must be the branch or tag
	Patterns []string `json:"patterns,omitempty"` // one must match the branch name, anywhere in it
}

// Parameter is a value that whoever promotes gives to the pipeline that follows, as a variable.
type Parameter struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Options     []string `json:"options,omitempty"`
	Default     string   `json:"default,omitempty"`
	Optional    bool     `json:"optional,omitempty"`
}
