package auth

import (
	"slices"

	"github.com/signalbox-ci/signalbox"
)

// Access is a way into the environment of a job.
type Access string

const (
	Debug  Access = "debug"  // a new job with the environment of another one and no commands
	Attach Access = "attach" // a job that runs
)

// MayEnter decides whether somebody may debug, or attach to, a job of a project that ran for a kind of ref. Whoever may
// start workflows may, unless the project's rules say otherwise: without rules of its own a project lets nobody into jobs
// of forked pull requests, because their code and their log may have been made to be looked into by somebody with more
// rights. The error says which rule it was.
func MayEnter(how Access, role signalbox.Role, p *signalbox.Project, kind signalbox.RefKind) error {
	if !Can(role, WorkflowRun) || !Can(role, JobDebug) {
		return signalbox.Errorf(signalbox.CodeForbidden, "You are not allowed to run pipelines on this project")
	}
	allowed := kind != signalbox.RefForkedPullRequest
	if p.CustomPermissions {
		list := p.DebugPermissions
		if how == Attach {
			list = p.AttachPermissions
		}
		allowed = slices.Contains(list, kind)
	}
	if allowed {
		return nil
	}
	verb := "debug jobs"
	if how == Attach {
		verb = "attach to jobs"
	}
	where := map[signalbox.RefKind]string{
		signalbox.RefDefaultBranch:     "on the default branch of this project",
		signalbox.RefOtherBranch:       "on non default branches of this project",
		signalbox.RefTag:               "on a tag of this project",
		signalbox.RefPullRequest:       "on a pull request of this project",
		signalbox.RefForkedPullRequest: "on a forked pull request of this project",
	}[kind]
	if where == "" {
		return signalbox.Errorf(signalbox.CodeForbidden, "You are not allowed to %s this project", how)
	}
	return signalbox.Errorf(signalbox.CodeForbidden, "You are not allowed to %s %s", verb, where)
}
