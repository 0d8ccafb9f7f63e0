package agentapi

// Event words of a job log.
const (
	EventJobStarted  = "job_started"
	EventCmdStarted  = "cmd_started"
	EventCmdOutput   = "cmd_output"
	EventCmdFinished = "cmd_finished"
	EventJobFinished = "job_finished"
)

// Event is one line of a job log. Timestamps are Unix seconds. Only the fields of its kind are set; the pointers are
// those whose zero must be written.
type Event struct {
	Event      string `json:"event"`
	Timestamp  int64  `json:"timestamp"`
	Directive  string `json:"directive,omitempty"`
	Output     string `json:"output,omitempty"`
	OutputB64  string `json:"output_b64,omitempty"` // exact bytes, when output is not valid UTF-8
	ExitCode   *int   `json:"exit_code,omitempty"`
	StartedAt  *int64 `json:"started_at,omitempty"`
	FinishedAt *int64 `json:"finished_at,omitempty"`
	Result     string `json:"result,omitempty"`
}
