package signalbox

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// AgentNaming says where the names of a type's agents come from.
type AgentNaming struct {
	Origin  NameOrigin
	Account string   // with NamesFromAWS: the account that vouches for agents
	Roles   []string // with NamesFromAWS: patterns of the role's name, * stands for any text
}

// NameOrigin is who chooses the names of agents.
type NameOrigin string

const (
	NamesFromAgent NameOrigin = ""        // each agent chooses its own
	NamesFromAWS   NameOrigin = "aws_sts" // AWS says who an agent is; its name is that of its session
)

// Bounds of how long a name stays reserved after its agent has left.
const (
	MinReleaseAfter = time.Minute
	MaxReleaseAfter = 365 * 24 * time.Hour
	MaxLostAfter    = 7 * 24 * time.Hour
)

var (
	awsAccount  = regexp.MustCompile(`^[0-9]{12}$`)
	awsRole     = regexp.MustCompile(`^[A-Za-z0-9_+=,.@*-]{1,128}$`)
	labelName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$`)
	labelValue  = regexp.MustCompile(`^[A-Za-z0-9._:/+@-]{0,100}$`)
	maxLabels   = 32
	maxRoles    = 50
	maxProjects = 1000
)

// Validate checks the settings of an agent type.
func (t *AgentType) Validate() error {
	if err := ValidateAgentTypeName(t.Name); err != nil {
		return err
	}
	if t.ReleaseAfter != 0 && (t.ReleaseAfter < MinReleaseAfter || t.ReleaseAfter > MaxReleaseAfter) {
		return Errorf(CodeInvalid, "name release hold must be 0 or at least 60 seconds (and at most %d), not %d",
			MaxReleaseAfter/time.Second, t.ReleaseAfter/time.Second)
	}
	if t.LostAfter != 0 && (t.LostAfter < time.Minute || t.LostAfter > MaxLostAfter) {
		return Errorf(CodeInvalid, "an agent with a job can count as lost after 60 to %d seconds of silence (0 is the default, %d), not after %d",
			MaxLostAfter/time.Second, DefaultLostAfter/time.Second, t.LostAfter/time.Second)
	}
	if t.Lease != 0 && (t.Lease < MinLease || t.Lease > MaxLease) {
		return Errorf(CodeInvalid, "an agent can end its job after %d to %d seconds without its server (0 is never), not after %d",
			MinLease/time.Second, MaxLease/time.Second, t.Lease/time.Second)
	}
	if err := ValidateJobLimit(t.MaxRunningJobs); err != nil {
		return err
	}
	if err := t.Quarantine.validate(); err != nil {
		return err
	}
	switch t.Projects {
	case "", ProjectsAll:
		if len(t.ProjectIDs) > 0 {
			return Errorf(CodeInvalid, "a list of projects only makes sense with the access ALLOWED")
		}
	case ProjectsNone:
		return Errorf(CodeInvalid, "an agent type that no project may use has no purpose: name projects, or drain its agents")
	case ProjectsAllowed:
		if len(t.ProjectIDs) == 0 || len(t.ProjectIDs) > maxProjects {
			return Errorf(CodeInvalid, "with the access ALLOWED, name 1 to %d projects, not %d", maxProjects, len(t.ProjectIDs))
		}
	default:
		return Errorf(CodeInvalid, "projects_access %.40q is not known; use ALL or ALLOWED", t.Projects)
	}
	return t.Naming.validate()
}

func (n AgentNaming) validate() error {
	switch n.Origin {
	case NamesFromAgent:
		if n.Account != "" || len(n.Roles) > 0 {
			return Errorf(CodeInvalid, "AWS settings only make sense with assignment_origin_aws_sts")
		}
		return nil
	case NamesFromAWS:
	default:
		return Errorf(CodeInvalid, "assignment_origin %.60q is not known; use assignment_origin_agent or assignment_origin_aws_sts", n.Origin)
	}
	if n.Account == "" {
		return Errorf(CodeInvalid, "AWS account cannot be empty: with assignment_origin_aws_sts, give the account's 12 digits")
	}
	if !awsAccount.MatchString(n.Account) {
		return Errorf(CodeInvalid, "AWS account %.40q is not one: it has 12 digits", n.Account)
	}
	if len(n.Roles) == 0 {
		return Errorf(CodeInvalid, "AWS role name patterns cannot be empty: with assignment_origin_aws_sts, say which roles agents have, as in ci-agent-*")
	}
	if len(n.Roles) > maxRoles {
		return Errorf(CodeInvalid, "%d AWS role name patterns; at most %d are allowed", len(n.Roles), maxRoles)
	}
	for _, r := range n.Roles {
		if !awsRole.MatchString(r) {
			return Errorf(CodeInvalid, "AWS role name pattern %.140q is not allowed: use letters, digits, + = , . @ _ - and * for any text", r)
		}
	}
	return nil
}

// ParseRoles reads patterns with commas between them.
func ParseRoles(text string) []string {
	var out []string
	for _, r := range strings.Split(text, ",") {
		if r = strings.TrimSpace(r); r != "" {
			out = append(out, r)
		}
	}
	return out
}

// Bounds of a lease, and how long the server waits beyond one until it counts on the job's end: the agent's clock runs from
// the last request that was answered, and its processes may take a while to end.
const (
	MinLease    = 2 * time.Minute
	MaxLease    = 24 * time.Hour
	LeaseMargin = time.Minute
)

// ClockSlack is how far the clocks of servers may be apart. A stored time that lies further in the future was written
// by a clock that has been set back since, and nothing waits for it.
const ClockSlack = time.Minute

// Permits tells whether jobs of a workflow may run on agents of a type: nil, or an error that says why not and what to do.
func (t *AgentType) Permits(p *Project, w *Workflow) error {
	if t.Projects == ProjectsAllowed && !slices.Contains(t.ProjectIDs, p.ID) {
		return Errorf(CodeForbidden, "Project %s may not use the agent type %s: \"signalbox agent-type set %s --projects NAMES\" changes which may.",
			p.Name, t.Name, t.Name)
	}
	if !t.Forks && RefKindOf(p, w) == RefForkedPullRequest {
		return Errorf(CodeForbidden, "The agent type %s runs no code of forked pull requests, because whoever opens one may be anybody: "+
			"\"signalbox agent-type set %s --forks yes\" allows it.", t.Name, t.Name)
	}
	return nil
}

// ValidateLabels checks what an agent says of itself.
func ValidateLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return Errorf(CodeInvalid, "%d labels; an agent can have at most %d", len(labels), maxLabels)
	}
	for k, v := range labels {
		if !labelName.MatchString(k) {
			return Errorf(CodeInvalid, "label %.80q is not allowed: its name has 1 to 63 letters, digits, '.', '_', '-' and '/', with a letter or digit at both ends", k)
		}
		if !labelValue.MatchString(v) {
			return Errorf(CodeInvalid, "the value of the label %s is not allowed: use up to 100 letters, digits, '.', '_', '-', ':', '/', '+' and '@'", k)
		}
	}
	return nil
}
