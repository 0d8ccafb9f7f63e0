package signalbox

import (
	"slices"
	"time"
)

// JobState is where a job stands. The public API shows offered as queued.
type JobState string

const (
	JobQueued   JobState = "queued"   // waits for an agent
	JobOffered  JobState = "offered"  // an attempt was offered to an agent that has not fetched it yet
	JobRunning  JobState = "running"  // an agent has fetched it
	JobFinished JobState = "finished" // result is final
)

// Active tells whether a job in this state holds an agent.
func (s JobState) Active() bool { return s == JobOffered || s == JobRunning }

// JobResult is how a job ended; "" until then.
type JobResult string

const (
	JobPassed  JobResult = "passed"
	JobFailed  JobResult = "failed"
	JobStopped JobResult = "stopped"
)

// Job is a list of commands that runs on one agent. Its result is final at the first terminal commit. A debug job has the
// block and pipeline of the job that it is made of, for its environment; it is not one of their jobs.
type Job struct {
	ID            string
	BlockID       string
	PipelineID    string
	WorkflowID    string
	ProjectID     string
	Index         int
	Name          string
	AgentType     string // name: s1-linux
	Priority      int
	Spec          JobSpec
	DebugOf       string        // the job whose environment a debug job keeps open; "" for all others
	TargetID      string        // the deployment target whose variables and files it gets
	TimeLimit     time.Duration // of running, 0 is none
	OriginalID    string        // the job of an earlier pipeline that this one repeats, or copies because it passed
	Copied        bool          // it passed earlier and did not run again
	Retries       int           // how often it was queued again because its end was not its own fault
	State         JobState
	Result        JobResult
	Reason        Reason
	FailureReason string // a sentence, when the control plane itself ended it
	AttemptID     string // the newest attempt, "" before the first offer
	AttemptN      int    // how many attempts there were
	CreatedAt     time.Time
	QueuedAt      time.Time // its place in the queue; kept when an offer is withdrawn
	StartedAt     time.Time
	FinishedAt    time.Time
}

// JobSpec is what a job runs, as written in the pipeline file after merging.
type JobSpec struct {
	MachineType    string   `json:"machine_type"`
	OSImage        string   `json:"os_image,omitempty"`
	EnvVars        []EnvVar `json:"env_vars,omitempty"` // later entries win
	Commands       []string `json:"commands,omitempty"` // prologue first
	EpilogueAlways []string `json:"epilogue_always,omitempty"`
	EpilogueOnPass []string `json:"epilogue_on_pass,omitempty"`
	EpilogueOnFail []string `json:"epilogue_on_fail,omitempty"`
	Files          []File   `json:"files,omitempty"`

	Secrets     []string    `json:"secrets,omitempty"` // names; later ones win
	Containers  []Container `json:"containers,omitempty"`
	PullSecrets []string    `json:"pull_secrets,omitempty"` // names, for the images of the containers
	Retry       *Retry      `json:"retry,omitempty"`
}

// SecretNames are all secrets that a job needs: its own, those of its containers, and those for their images.
func (s *JobSpec) SecretNames() []string {
	out := slices.Clone(s.Secrets)
	for _, c := range s.Containers {
		out = append(out, c.Secrets...)
	}
	return append(out, s.PullSecrets...)
}

// NeedsSecrets tells whether a job gets anything that must not be in its log.
func (j *Job) NeedsSecrets() bool { return j.TargetID != "" || len(j.Spec.SecretNames()) > 0 }

// Container is one container of a job; the first one runs its commands, the others are reachable by name.
type Container struct {
	Name       string   `json:"name"`
	Image      string   `json:"image"`
	Command    string   `json:"command,omitempty"`
	Entrypoint string   `json:"entrypoint,omitempty"`
	User       string   `json:"user,omitempty"`
	EnvVars    []EnvVar `json:"env_vars,omitempty"`
	Secrets    []string `json:"secrets,omitempty"`
}

// File is a file that the agent writes before the first command. Path is absolute or relative to the home directory;
// Mode is an octal string.
type File struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
	Mode    string `json:"mode"`
}

// EnvVar is one environment variable in plain text.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// AttemptState is where an attempt stands: offered → fetched → running → ended.
type AttemptState string

const (
	AttemptOffered AttemptState = "offered"
	AttemptFetched AttemptState = "fetched"
	AttemptRunning AttemptState = "running"
	AttemptEnded   AttemptState = "ended"
)

// Attempt is one try of one job on one agent, and the fence against everything an older try may still say.
type Attempt struct {
	ID              string
	JobID           string
	N               int // from 1
	AgentID         string
	AgentName       string
	State           AttemptState
	Result          JobResult
	Reason          Reason
	LateResult      JobResult // what the agent reported after the job was final; evidence only
	OfferedAt       time.Time
	FetchedAt       time.Time
	RunningAt       time.Time
	EndedAt         time.Time
	StopRequestedAt time.Time
	Lease           time.Duration // after how much silence of the server the agent has said it ends the job, 0 is never
	Elsewhere       *Elsewhere    // what became of the same job on another agent, nil when nothing is known
}
