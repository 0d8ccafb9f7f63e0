package signalbox

import (
	"regexp"
	"strings"
	"time"
)

// AgentType is a named pool of agents. Jobs name it in agent.machine.type.
type AgentType struct {
	ID             string
	Name           string // s1-...
	ReleaseAfter   time.Duration
	LostAfter      time.Duration // 0 means DefaultLostAfter
	Naming         AgentNaming
	Projects       ProjectsAccess // which projects' jobs may run there; "" is ProjectsAll
	ProjectIDs     []string       // with ProjectsAllowed
	Forks          bool           // whether jobs of forked pull requests may run there
	MaxRunningJobs int            // how many jobs may hold its agents at once, 0 is no limit
	Quarantine     QuarantineRule
	Lease          time.Duration // after how much silence of the server its agents end their jobs themselves, 0 is never
	Ephemeral      bool          // a machine of its serves for one job: a job that an end of the machinery ended may be run again
	CreatedAt      time.Time
	UpdatedAt      time.Time
	DeletedAt      time.Time
}

// DefaultLostAfter is how long an agent with a job may be silent before the job ends as agent_lost
// (the official agent works on alone for up to 10 minutes).
const DefaultLostAfter = 15 * time.Minute

// IdleLostAfter is how long an agent without a job may be silent before its name is free again.
const IdleLostAfter = 3 * time.Minute

var (
	agentTypeName = regexp.MustCompile(`^s1-[a-zA-Z0-9-_]+$`)
	agentName     = regexp.MustCompile(`^[a-zA-Z0-9-_/+]+$`)
)

// ValidateAgentTypeName checks a trimmed name: "s1-" and at most 100 letters, digits, dashes and underscores.
func ValidateAgentTypeName(name string) error {
	if name == "" {
		return Errorf(CodeInvalid, "an agent type needs a name")
	}
	if len(name) > 100 {
		return Errorf(CodeInvalid, "agent type name is %d characters long; at most 100 are allowed", len(name))
	}
	if !agentTypeName.MatchString(name) {
		return Errorf(CodeInvalid, "agent type name %q is not allowed: it must start with \"s1-\" and go on with letters, digits, '-' and '_'", name)
	}
	return nil
}

// ValidateAgentName checks a name that an agent chose: up to 80 characters that stand in a path, and no URL.
func ValidateAgentName(name string) error {
	// An address may be signed and then is a secret for a while, so the error does not repeat it.
	if strings.HasPrefix(name, "/") || strings.ContainsAny(name, ":?") {
		return Errorf(CodeInvalid, "not allowed to use URLs for registration")
	}
	if name == "" || len(name) > 80 || !agentName.MatchString(name) {
		return Errorf(CodeInvalid, "agent name %.100q is not allowed: use 1 to 80 letters, digits, '-', '_', '/' and '+'", name)
	}
	return nil
}

// AgentState tells whether an agent row is one that may sync.
type AgentState string

const (
	AgentRegistered   AgentState = "registered"
	AgentDisconnected AgentState = "disconnected"
)

// Agent is one registered agent process. At most one attempt is assigned to it.
type Agent struct {
	ID            string
	AgentTypeID   string
	AgentType     string        // the type's name
	Ephemeral     bool          // as its type says
	Lease         time.Duration // as its type says; an attempt keeps the one that it began with
	Name          string
	State         AgentState
	Version       string
	UserAgent     string
	OS            string
	Arch          string
	Hostname      string
	PID           int
	IP            string
	SingleJob     bool
	IdleTimeout   time.Duration
	GracePeriod   time.Duration
	Labels        map[string]string
	TokenID       string // the registration token that it came with
	AttemptID     string // "" when free
	JobID         string // the assigned attempt's job, "" when free
	DisabledAt    time.Time
	DrainAt       time.Time
	InterruptedAt time.Time
	GoneReason    Reason
	QuarantinedAt time.Time   // it stays, and gets no jobs
	Quarantine    *Quarantine // why, or why it was to be
	CountsSince   time.Time   // jobs that ended before are no reason for a quarantine
	Problems      []Problem   // what it has said last of itself
	ProblemsAt    time.Time
	CreatedAt     time.Time
	GoneAt        time.Time
	ChangedAt     time.Time // any change of this row; heartbeats are kept elsewhere
}

// Suspect tells whether an agent is connected and was not heard of for a while.
func (a *Agent) Suspect(seen, started, now time.Time) bool {
	return a.State == AgentRegistered && now.Sub(a.Pulse(seen).HeardOf(started)) > SuspectAfter
}
