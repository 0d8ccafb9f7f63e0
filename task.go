package signalbox

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Task is a workflow of a project that starts at set times, or when somebody asks for it. Names are unique among the
// tasks of a project that are not deleted.
type Task struct {
	ID           string
	ProjectID    string
	Name         string
	Description  string
	Recurring    bool   // starts by itself; else only when it is asked for
	At           string // cron expression: when, if it is recurring
	TimeZone     string // that At is read in, an IANA name; "" is UTC
	Ref          string // full: refs/heads/main, refs/tags/v1, refs/pull/7/head; "" when whoever runs it must say
	PipelineFile string // from the root of the repository; "" when whoever runs it must say
	Parameters   []TaskParameter
	Paused       bool
	PausedBy     string // who paused or resumed it last
	PausedAt     time.Time
	Overlap      Overlap
	CatchUp      CatchUp
	Owner        string    // user name; scheduled workflows are requested by them
	NextRunAt    time.Time // zero when nothing is planned
	Version      int       // counts changes
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DeletedAt    time.Time
}

// Overlap says what happens when a run is due while a workflow of an earlier one still runs.
type Overlap string

const (
	OverlapAllow Overlap = "allow" // both run; a queue in the pipeline file can put them in line
	OverlapSkip  Overlap = "skip"  // the new one is left out
)

// CatchUp says what happens to runs that were due while no server was there to start them.
type CatchUp string

const (
	CatchUpOne  CatchUp = "one"  // one run, for the newest of them
	CatchUpSkip CatchUp = "skip" // none; what was missed is written down
)

// TaskParameter is a value that a task hands to its workflow as a variable.
type TaskParameter struct {
	Name        string   `json:"name"`
	Required    bool     `json:"required"`
	Description string   `json:"description,omitempty"`
	Default     string   `json:"default_value,omitempty"`
	Options     []string `json:"options,omitempty"`
	Validate    bool     `json:"validate_input_format,omitempty"` // values must match Pattern
	Pattern     string   `json:"regex_pattern,omitempty"`
}

// TaskRunStatus is how far a run has come. Passed means that its workflow was started, not how that one ended.
type TaskRunStatus string

const (
	TaskRunRunning TaskRunStatus = "running"
	TaskRunPassed  TaskRunStatus = "passed"
	TaskRunFailed  TaskRunStatus = "failed"
)

// TaskRun is one time that a task was due or asked for, with what it ran as the task stood then.
type TaskRun struct {
	ID           string
	TaskID       string
	ProjectID    string
	Token        string    // the same token of a task is the same run, and starts the same workflow
	DueAt        time.Time // zero for a run that somebody asked for
	Requester    string    // user name
	Ref          string
	PipelineFile string
	Parameters   []EnvVar
	Status       TaskRunStatus
	Attempts     int
	WorkflowID   string
	Error        string // a sentence of at most MaxTaskError bytes
	Note         string // what else is to be said, such as how many runs were missed
	CreatedAt    time.Time
	RunAt        time.Time // not tried before
	ScheduledAt  time.Time // when the workflow was started, or the run given up
}

// Manual tells whether somebody asked for the run.
func (r *TaskRun) Manual() bool { return r.DueAt.IsZero() }

// RequestToken makes one workflow of a run, however often it is tried.
func (r *TaskRun) RequestToken() string { return "task " + r.TaskID + " " + r.Token }

// TriggeredBy is what the run's workflow says of itself.
func (r *TaskRun) TriggeredBy() TriggeredBy {
	if r.Manual() {
		return TriggeredByManualRun
	}
	return TriggeredBySchedule
}

// MaxTaskError is how long the error of a run may be.
const MaxTaskError = 254

// CutText shortens a text to at most n bytes of whole characters.
func CutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = "..."
	for n -= len(more); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + more
}

// ValidateTaskName refuses names that cannot be read or told from an id.
func ValidateTaskName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return Errorf(CodeInvalid, "a task needs a name")
	case len(name) > 255:
		return Errorf(CodeInvalid, "the task's name is %d bytes long; at most 255 are allowed", len(name))
	case name != strings.TrimSpace(name):
		return Errorf(CodeInvalid, "the task's name %q begins or ends with a space; remove it", name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return Errorf(CodeInvalid, "the task's name %q has characters that cannot be shown; use letters, digits, spaces and signs", name)
	case IsID(name):
		return Errorf(CodeInvalid, "the task's name %q looks like an id; choose a name", name)
	}
	return nil
}

// ParseRef returns a full ref for what people write: a branch name, or a full ref of a branch, tag or pull request.
func ParseRef(s string) string {
	if s == "" || strings.HasPrefix(s, "refs/") {
		return s
	}
	return "refs/heads/" + s
}

// RefParts tells of what kind a full ref is (BRANCH, TAG or PR) and its short name.
func RefParts(ref string) (kind, name string) {
	for _, p := range []struct{ prefix, kind string }{{"refs/heads/", "BRANCH"}, {"refs/tags/", "TAG"}, {"refs/pull/", "PR"}} {
		if rest, ok := strings.CutPrefix(ref, p.prefix); ok {
			if p.kind == "PR" {
				rest = strings.TrimSuffix(rest, "/head")
			}
			return p.kind, rest
		}
	}
	return "", ref
}

// RefOf is the reverse of RefParts; the kind may be in any case.
func RefOf(kind, name string) (string, error) {
	switch {
	case name == "":
		return "", Errorf(CodeInvalid, "Reference name cannot be empty")
	case strings.HasPrefix(name, "refs/"):
		return name, nil
	}
	switch strings.ToUpper(kind) {
	case "BRANCH":
		return "refs/heads/" + name, nil
	case "TAG":
		return "refs/tags/" + name, nil
	case "PR":
		return "refs/pull/" + strings.TrimSuffix(name, "/head") + "/head", nil
	}
	return "", Errorf(CodeInvalid, "Reference type must be 'BRANCH', 'TAG' or 'PR', not %.40q", kind)
}
