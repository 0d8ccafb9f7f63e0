package signalbox

import "time"

// Deployment is one time that a promotion asked a deployment target to let it through, and what the target said.
type Deployment struct {
	ID             string
	TargetID       string
	TargetName     string // of then
	WorkflowID     string
	PrevPipelineID string // whose promotion it was
	Promotion      string // the promotion's name
	PipelineID     string // that was started; "" when it was refused
	TriggeredBy    string // a user's name, or AutoPromotion
	Auto           bool
	RefType        string // branch, tag, pull-request
	RefLabel       string
	Parameters     []EnvVar
	Bookmarks      [3]string // values of the target's bookmarked parameters, as they were named then
	State          DeploymentState
	Message        string // why it was refused
	Order          int64  // microseconds, unique among those of its target; histories are paged by it
	TriggeredAt    time.Time
}

// DeploymentState is what became of a deployment. It says nothing about how the pipeline ended.
type DeploymentState string

const (
	DeploymentStarted DeploymentState = "STARTED" // the pipeline was started
	DeploymentFailed  DeploymentState = "FAILED"  // it was refused
)
