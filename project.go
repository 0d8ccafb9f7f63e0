package signalbox

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Project is one git repository and its pipelines. Names are unique among projects that are not deleted.
type Project struct {
	ID            string
	Name          string
	GitURL        string // what jobs clone: a URL or an absolute path
	GitDir        string // the repository's folder on this machine, "" when it is elsewhere
	DefaultBranch string
	PipelineFile  string // within the repository, default .semaphore/semaphore.yml
	CreatedAt     time.Time
	DeletedAt     time.Time

	// CustomPermissions means that only what the two lists name may be debugged or attached to; else the default rule
	// of package auth holds.
	CustomPermissions bool
	DebugPermissions  []RefKind
	AttachPermissions []RefKind
	Initialization    Initialization
	MaxRunningJobs    int // how many of its jobs may hold agents at once, 0 is no limit
}

// RefKind is what a job ran for, as the rules about debugging tell it apart.
type RefKind string

const (
	RefDefaultBranch     RefKind = "default_branch"
	RefOtherBranch       RefKind = "non_default_branch"
	RefTag               RefKind = "tag"
	RefPullRequest       RefKind = "pull_request"
	RefForkedPullRequest RefKind = "forked_pull_request"
	RefEmpty             RefKind = "empty" // no job: a session with nothing but the project; for debugging only
)

// RefKindOf tells what kind of ref a workflow of p ran for. A workflow does not say where the head of a pull request
// lies, so every pull request counts as one from a fork, which is the most careful; so does what is not known at all.
func RefKindOf(p *Project, w *Workflow) RefKind {
	switch {
	case w.RefType == "tag":
		return RefTag
	case w.RefType == "branch" && w.BranchName == p.DefaultBranch:
		return RefDefaultBranch
	case w.RefType == "branch":
		return RefOtherBranch
	}
	return RefForkedPullRequest
}

// ParseRefKinds checks a list of a project's permissions; what ("debug" or "attach") names it in the error.
func ParseRefKinds(what string, names []string) ([]RefKind, error) {
	var out []RefKind
	for _, n := range names {
		k := RefKind(n)
		switch k {
		case RefDefaultBranch, RefOtherBranch, RefTag, RefPullRequest, RefForkedPullRequest:
		case RefEmpty:
			if what != "debug" {
				return nil, Errorf(CodeInvalid, "%s_permissions: \"empty\" is for debugging only, because there is no job to %s to", what, what)
			}
		default:
			return nil, Errorf(CodeInvalid, "%s_permissions: %.40q is not known; use default_branch, non_default_branch, pull_request, forked_pull_request, tag%s",
				what, n, map[bool]string{true: " or empty"}[what == "debug"])
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// DefaultPipelineFile is where a project's first pipeline lies unless it says otherwise.
const DefaultPipelineFile = ".semaphore/semaphore.yml"

var projectName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// ValidateProjectName refuses names that cannot stand in a URL or look like an id.
func ValidateProjectName(name string) error {
	if name == "" {
		return Errorf(CodeInvalid, "a project needs a name")
	}
	if len(name) > 100 {
		return Errorf(CodeInvalid, "project name is %d characters long; at most 100 are allowed", len(name))
	}
	if !projectName.MatchString(name) || name == "." || name == ".." {
		return Errorf(CodeInvalid, "project name %q is not allowed: use letters, digits, '.', '_' and '-'", name)
	}
	if IsID(name) {
		return Errorf(CodeInvalid, "project name %q looks like an id; choose a name", name)
	}
	return nil
}

// HiddenPassword stands where an address that is shown has a password, or a token in the place of a user.
const HiddenPassword = "xxxxx"

// shortestToken is from how many letters on a user without a password, over HTTP, is taken for a token: those of forges are longer than names.
const shortestToken = 20

var addressPassword = regexp.MustCompile(`(://[^/\s:@]*):\S*@`)

// WithoutPassword is the address of a repository as it may be shown: with HiddenPassword for the password or token, if it has one.
func WithoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil { // as when the password has a slash, which nobody escaped
		return addressPassword.ReplaceAllString(address, "$1:"+HiddenPassword+"@")
	}
	if u.User == nil {
		return address
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), HiddenPassword)
		return u.String()
	}
	if strings.HasPrefix(u.Scheme, "http") && len(u.User.Username()) >= shortestToken {
		u.User = url.User(HiddenPassword)
		return u.String()
	}
	return address
}

// SameAddress tells whether an address that somebody names is the one of the project, as it is or as it is shown.
func (p *Project) SameAddress(address string) bool {
	return address == p.GitURL || address == WithoutPassword(p.GitURL)
}

// CheckAddress refuses an address with HiddenPassword in the place of a password or token: it was copied from where one is shown, and what
// is stored belongs to the address that is stored.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return nil
	}
	if password, has := u.User.Password(); has && password == HiddenPassword || !has && u.User.Username() == HiddenPassword {
		return Errorf(CodeInvalid, "the address has %s where its password belongs: give the password too, because the one that is stored is for the address that is stored", HiddenPassword)
	}
	return nil
}

// GitRef is the commit that a project's ref had when the server last looked.
type GitRef struct {
	ProjectID string
	Ref       string // full: refs/heads/main
	SHA       string
}
