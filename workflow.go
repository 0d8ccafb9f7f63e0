package signalbox

import "time"

// TriggeredBy says what started a workflow.
type TriggeredBy string

const (
	TriggeredByHook      TriggeredBy = "hook"
	TriggeredBySchedule  TriggeredBy = "schedule"
	TriggeredByAPI       TriggeredBy = "api"
	TriggeredByManualRun TriggeredBy = "manual_run"
)

// Workflow is the set of pipelines that one push, call or schedule started. It has no state of its
// own: its pipelines have.
type Workflow struct {
	ID            string
	ProjectID     string
	Number        int    // counts per project and branch from 1
	Ref           string // refs/heads/main, refs/tags/v1
	RefType       string // branch, tag, pull-request
	BranchName    string // branch name, or refs/tags/<tag>
	Label         string // branch name, or bare tag name
	CommitSHA     string
	CommitRange   string
	CommitMessage string
	CommitAuthor  string
	CommitEmail   string // the author's address, "" when it is not known
	TriggeredBy   TriggeredBy
	Requester     string // user name, "" for a hook without one
	RequestToken  string // the same token gives the same workflow
	RerunOf       string // the workflow that this one repeats
	CreatedAt     time.Time
}
