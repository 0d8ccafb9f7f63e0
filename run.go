package signalbox

import "strings"

// RunRequest is one workflow that somebody asks for by hand.
type RunRequest struct {
	Ref          string // refs/heads/x, refs/tags/x, or the bare name of a branch; "" is the default branch
	SHA          string // "" is where the ref points now
	PipelineFile string // "" is the project's
	Parameters   []EnvVar
	Token        string // the same token gives the same workflow; "" makes one
	Requester    string // user name
	Actor        string // who it is written down as
}

// RunPreview is what a RunRequest would start, as the repository is now.
type RunPreview struct {
	Ref, SHA     string // in full; "" where there is no such ref or commit
	Message      string // of the commit
	PipelineFile string
	Parameters   []Parameter // that the templates of the file ask for
	Problems     []RunProblem
}

// RunProblem says which field of a request is wrong, in the names of the API.
type RunProblem struct {
	Field string
	Err   error
}

// ValidateParameterName refuses what no variable of a job can be called.
func ValidateParameterName(name string) error {
	if name == "" || strings.ContainsAny(name, "= \t\r\n\x00") || len(name) > 255 {
		return Errorf(CodeInvalid, "parameter %.60q becomes a variable of jobs, and no variable has such a name; use letters, digits and _", name)
	}
	return nil
}
