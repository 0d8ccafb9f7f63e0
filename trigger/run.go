package trigger

import (
	"cmp"
	"context"
	"regexp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/spec"
)

// StartByHand starts a workflow because a user asked for it on a page.
func (t *Trigger) StartByHand(ctx context.Context, p *signalbox.Project, r signalbox.RunRequest) (*signalbox.Workflow, error) {
	w, _, err := t.Start(ctx, Request{
		Project: p, Ref: r.Ref, SHA: r.SHA, PipelineFile: r.PipelineFile, Parameters: r.Parameters, TriggeredBy: signalbox.TriggeredByManualRun,
		Requester: r.Requester, Actor: r.Actor, RequestToken: r.Token,
	})
	return w, err
}

// fullSHA keeps names and expressions of git from standing where a commit should.
var fullSHA = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Preview reads what StartByHand would start and tells all that is wrong with the request. An error means that the repository could not
// be read.
func (t *Trigger) Preview(ctx context.Context, p *signalbox.Project, r signalbox.RunRequest) (*signalbox.RunPreview, error) {
	if _, there := forge.IsLocal(p.GitDir); p.GitDir != "" && !there {
		return nil, signalbox.Errorf(signalbox.CodeUnavailable, "the repository %s is not there any more on the server's machine; put it back", p.GitDir)
	}
	repo, err := t.fetched(ctx, p)
	if err != nil {
		return nil, err
	}
	v := &signalbox.RunPreview{PipelineFile: cmp.Or(r.PipelineFile, p.PipelineFile)}
	wrong := func(field string, err error) (*signalbox.RunPreview, error) {
		if failed(err) {
			return nil, err
		}
		v.Problems = append(v.Problems, signalbox.RunProblem{Field: field, Err: err})
		return v, nil
	}
	if v.Ref, err = refOf(ctx, repo, p, r.Ref); err != nil {
		return wrong("reference", err)
	}
	sha, err := repo.Resolve(ctx, v.Ref)
	if err != nil {
		v.Ref = ""
		return wrong("reference", err)
	}
	if r.SHA != "" {
		if !fullSHA.MatchString(r.SHA) {
			return wrong("commit_sha", signalbox.Errorf(signalbox.CodeInvalid, "%.70q is not the whole SHA of a commit: it has 40 digits from 0 to f", r.SHA))
		}
		if sha, err = repo.Resolve(ctx, r.SHA); err != nil {
			return wrong("commit_sha", err)
		}
	}
	c, err := repo.Commit(ctx, sha)
	if err != nil {
		return nil, err
	}
	v.SHA, v.Message = sha, c.Message
	text, err := repo.FileAt(ctx, sha, v.PipelineFile)
	if err != nil {
		return wrong("pipeline_file", err)
	}
	v.Parameters = spec.Parameters(text)
	if found := spec.Parse(text, spec.Options{File: v.PipelineFile}); found.Problems.HasErrors() {
		return wrong("pipeline_file", signalbox.Errorf(signalbox.CodeInvalid, "%w", found.Problems))
	}
	return v, nil
}
