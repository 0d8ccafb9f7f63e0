// Package agentapi holds the wire of the agent protocol: paths, bodies, protocol words and log events, shared by the
// server that answers and the agent that asks. Field names and words are those of the official agent, so that official
// agents work against our server and ours against theirs. It contains no behaviour beyond encoding.
package agentapi

import "time"

// Paths of the agent API; Base is followed by one of the others.
const (
	Base           = "/api/v1/self_hosted_agents"
	PathRegister   = "/register"
	PathSync       = "/sync"
	PathJobs       = "/jobs"
	PathRefresh    = "/refresh"
	PathDisconnect = "/disconnect"
	PathMetrics    = "/metrics"
	PathOccupancy  = "/occupancy"
	LogsBase       = "/api/v1/logs"
)

// MaxLogBatch is how many events one log push may carry.
const MaxLogBatch = 2000

// RegisterRequest asks for an agent row. Every field but the last is always sent.
type RegisterRequest struct {
	Name                    string `json:"name"`
	Version                 string `json:"version"`
	PID                     int    `json:"pid"`
	OS                      string `json:"os"`
	Arch                    string `json:"arch"`
	Hostname                string `json:"hostname"`
	SingleJob               bool   `json:"single_job"`
	IdleTimeout             int    `json:"idle_timeout"`              // seconds, 0 is never
	InterruptionGracePeriod int    `json:"interruption_grace_period"` // seconds
	JobID                   string `json:"job_id"`                    // "" unless dedicated to one job

	Labels   map[string]string `json:"labels,omitempty"`   // our agent only
	Problems []Problem         `json:"problems,omitempty"` // our agent only
}

// RegisterResponse carries the name the agent has from now on and its access token.
type RegisterResponse struct {
	Name  string `json:"name"`
	Token string `json:"token"`
}

// AgentState is what an agent says it is doing.
type AgentState string

const (
	StateWaitingForJobs AgentState = "waiting-for-jobs"
	StateStartingJob    AgentState = "starting-job"
	StateRunningJob     AgentState = "running-job"
	StateStoppingJob    AgentState = "stopping-job"
	StateFinishedJob    AgentState = "finished-job"

	// Sent by agents from before 2022 only; read as finished-job with result failed.
	StateFailedToFetchJob     AgentState = "failed-to-fetch-job"
	StateFailedToConstructJob AgentState = "failed-to-construct-job"
	StateFailedToSendCallback AgentState = "failed-to-send-callback"
)

// SyncRequest reports the agent's state.
type SyncRequest struct {
	State         AgentState `json:"state"`
	JobID         string     `json:"job_id"`
	JobResult     string     `json:"job_result"`           // passed, failed, stopped; only in finished-job
	JobReason     string     `json:"job_reason,omitempty"` // our agent only: why it failed when its commands are not the cause
	InterruptedAt int64      `json:"interrupted_at"`       // Unix seconds of SIGTERM, 0 when not interrupted
	Attempt       string     `json:"attempt,omitempty"`    // our agent only: which try of the job it speaks of, as it was told
	Lease         int        `json:"lease,omitempty"`      // our agent only: after how many seconds without an answer it ends the job, 0 is never
	Problems      []Problem  `json:"problems,omitempty"`   // our agent only: all that is wrong with its machine now
}

// Problem is what an agent has found wrong with its machine: a word for programs and a sentence for people.
type Problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Action is the one instruction a sync answer gives.
type Action string

const (
	ActionContinue    Action = "continue"
	ActionRunJob      Action = "run-job"
	ActionStopJob     Action = "stop-job"
	ActionWaitForJobs Action = "wait-for-jobs"
	ActionShutdown    Action = "shutdown"
)

// ShutdownReason goes with ActionShutdown.
type ShutdownReason string

const (
	ShutdownIdle        ShutdownReason = "idle"
	ShutdownJobFinished ShutdownReason = "job-finished"
	ShutdownRequested   ShutdownReason = "requested"
	ShutdownInterrupted ShutdownReason = "interrupted"
)

// SyncResponse is the answer to a sync.
type SyncResponse struct {
	Action         Action         `json:"action"`
	JobID          string         `json:"job_id"`
	NextSyncAfter  int            `json:"next_sync_after"` // milliseconds; 0 or less lets the agent choose 3 to 6 s
	ShutdownReason ShutdownReason `json:"shutdown_reason"`
	Attempt        string         `json:"attempt,omitempty"` // with run-job to our agent: the id of the try, to be repeated in reports
	Lease          int            `json:"lease,omitempty"`   // with run-job to our agent: after how many seconds without an answer it should end the job
	// Held is how long the server meant to wait before it answered. It travels in the header Server-Timing.
	Held time.Duration `json:"-"`
}

// JobPayload is everything an agent needs to run a job.
type JobPayload struct {
	JobID          string    `json:"job_id"`
	JobName        string    `json:"job_name"`
	Executor       string    `json:"executor"` // shell or dockercompose
	Compose        *Compose  `json:"compose,omitempty"`
	SSHPublicKeys  []string  `json:"ssh_public_keys"`
	EnvVars        []EnvVar  `json:"env_vars"`
	Files          []File    `json:"files"`
	Commands       []Command `json:"commands"`
	EpilogueAlways []Command `json:"epilogue_always_commands"`
	EpilogueOnPass []Command `json:"epilogue_on_pass_commands"`
	EpilogueOnFail []Command `json:"epilogue_on_fail_commands"`
	Callbacks      Callbacks `json:"callbacks"`
	Logger         Logger    `json:"logger"`
}

// Compose describes the containers of a dockercompose job.
type Compose struct {
	Containers           []Container           `json:"containers"`
	ImagePullCredentials []ImagePullCredential `json:"image_pull_credentials"`
	HostSetupCommands    []Command             `json:"host_setup_commands"`
}

// Container is one container; commands run in the first.
type Container struct {
	Name       string   `json:"name"`
	Image      string   `json:"image"`
	Command    string   `json:"command"`
	Entrypoint string   `json:"entrypoint,omitempty"`
	User       string   `json:"user,omitempty"`
	EnvVars    []EnvVar `json:"env_vars"`
	Files      []File   `json:"files"`
}

// ImagePullCredential is one secret for a registry.
type ImagePullCredential struct {
	EnvVars []EnvVar `json:"env_vars"`
	Files   []File   `json:"files"`
}

// EnvVar has its value in standard base64 with padding.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// File has its content in standard base64 and its mode as an octal string.
type File struct {
	Path    string `json:"path"`
	Content string `json:"content"`
	Mode    string `json:"mode"`
}

// Command is one directive; Alias, when set, is shown instead of the text.
type Command struct {
	Directive string `json:"directive"`
	Alias     string `json:"alias,omitempty"`
}

// Callbacks are unused by agents that push their logs and are always sent empty.
type Callbacks struct {
	Finished         string `json:"finished"`
	TeardownFinished string `json:"teardown_finished"`
	Token            string `json:"token"`
}

// Logger says where the log goes; Method is always "push".
type Logger struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Token  string `json:"token"`
}

// RefreshResponse carries a new log token.
type RefreshResponse struct {
	Token string `json:"token"`
}

// MetricsResponse is the answer to GET /metrics. What is ours stands beside the objects that official autoscalers know,
// because they add up all numbers of jobs and publish all of agents.
type MetricsResponse struct {
	Jobs          JobMetrics   `json:"jobs"`
	Agents        AgentMetrics `json:"agents"`
	DesiredAgents int          `json:"desired_agents"` // how many agents could work now, limits considered
}

// JobMetrics counts the jobs of one agent type; it is also the whole answer of GET /occupancy. It has no other fields,
// because autoscalers add up all that there are.
type JobMetrics struct {
	Queued  int `json:"queued"`
	Running int `json:"running"`
}

// AgentMetrics counts the agents of one type.
type AgentMetrics struct {
	Idle     int `json:"idle"`
	Occupied int `json:"occupied"`
}

// JobList is the answer to GET /jobs.
type JobList struct {
	Jobs   []JobRef `json:"jobs"`
	Cursor string   `json:"cursor,omitempty"` // for the next page, "" after the last; official clients read the first page only
}

// JobRef names one queued job.
type JobRef struct {
	ID string `json:"id"`
}
