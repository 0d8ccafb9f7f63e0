package signalbox

import (
	"regexp"
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

// GitRef is the commit that a project's ref had when the server last looked.
type GitRef struct {
	ProjectID string
	Ref       string // full: refs/heads/main
	SHA       string
}
