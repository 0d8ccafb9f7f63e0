// Package trigger is why a workflow starts: somebody asked for it, or a ref of a project's repository moved. It reads
// the repository first and then makes workflow and pipeline in one transaction, so that a crash at any point either
// leaves nothing or everything. Each move of a ref starts one workflow, however often and by whatever way it is heard
// of.
package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// Options for New. Store, Engine and MirrorDir are required.
type Options struct {
	Store     *store.Store
	Engine    *engine.Engine
	MirrorDir string       // where copies of repositories elsewhere are kept
	Artifacts Artifacts    // what initialization jobs leave; nil where there are none
	Logger    *slog.Logger // default: discard
}

// Trigger starts workflows.
type Trigger struct {
	o Options

	mu    sync.Mutex
	locks map[string]*sync.Mutex // per project
}

// New returns a trigger.
func New(o Options) (*Trigger, error) {
	if o.Store == nil || o.Engine == nil || o.MirrorDir == "" {
		return nil, errors.New("trigger: a store, an engine and a folder for mirrors are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Trigger{o: o, locks: map[string]*sync.Mutex{}}, nil
}

// lock keeps two looks at one repository from working at the same time.
func (t *Trigger) lock(projectID string) func() {
	t.mu.Lock()
	l := t.locks[projectID]
	if l == nil {
		l = &sync.Mutex{}
		t.locks[projectID] = l
	}
	t.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// Repo returns a project's repository: where it lies on this machine, or a mirror brought up to date.
func (t *Trigger) Repo(ctx context.Context, p *signalbox.Project) (*forge.Repo, error) {
	if repo, mirror := t.known(p); !mirror {
		return repo, nil
	}
	return forge.Mirror(ctx, p.GitURL, t.mirrorDir(p))
}

// mirrorDir is a folder for each address that a project has had, so that what one repository holds is never taken for another's.
func (t *Trigger) mirrorDir(p *signalbox.Project) string {
	address := sha256.Sum256([]byte(signalbox.WithoutPassword(p.GitURL)))
	return filepath.Join(t.o.MirrorDir, p.ID+"-"+hex.EncodeToString(address[:8])+".git")
}

// forgetMirrors removes the mirrors of repositories that a project has moved away from.
func (t *Trigger) forgetMirrors(p *signalbox.Project) error {
	all, err := filepath.Glob(filepath.Join(t.o.MirrorDir, p.ID+"*.git"))
	if err != nil {
		return err
	}
	for _, dir := range all {
		if repo, _ := t.known(p); dir != repo.Dir {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove a mirror that is no longer needed: %w", err)
			}
		}
	}
	return nil
}

// known is a project's repository as it is on this machine, and whether that is a mirror: one may be behind, or not be there yet.
func (t *Trigger) known(p *signalbox.Project) (repo *forge.Repo, mirror bool) {
	if p.GitDir != "" {
		return &forge.Repo{Dir: p.GitDir}, false
	}
	if dir, ok := forge.IsLocal(p.GitURL); ok {
		return &forge.Repo{Dir: dir}, false
	}
	return &forge.Repo{Dir: t.mirrorDir(p)}, true
}

// CommitsSince counts the commits of a branch that a commit does not have, up to most, as far as this machine knows: nothing is fetched.
// CodeNotFound is that it does not know.
func (t *Trigger) CommitsSince(ctx context.Context, p *signalbox.Project, sha, branch string, most int) (int, error) {
	repo, mirror := t.known(p)
	if mirror {
		if _, err := os.Stat(filepath.Join(repo.Dir, "HEAD")); err != nil {
			return 0, signalbox.Errorf(signalbox.CodeNotFound, "nothing of the repository of project %s is here yet", p.Name)
		}
	}
	return repo.CountSince(ctx, sha, branch, most)
}

// fetched is Repo for whoever does not hold the project's lock: two fetches into one mirror must not overlap.
func (t *Trigger) fetched(ctx context.Context, p *signalbox.Project) (*forge.Repo, error) {
	defer t.lock(p.ID)()
	return t.Repo(ctx, p)
}

// Request asks for one workflow.
type Request struct {
	Project      *signalbox.Project
	Ref          string             // refs/heads/x, refs/tags/x, or a bare branch name; "" is the default branch
	SHA          string             // "" is where the ref points now
	Range        string             // commit range; "" is <sha>^...<sha>
	PipelineFile string             // "" is the project's
	Parameters   []signalbox.EnvVar // variables of the first pipeline's jobs, and what its templates ask for
	TriggeredBy  signalbox.TriggeredBy
	Requester    string // user name, "" for none
	Actor        string // who it is written down as
	RequestToken string // the same token gives the same workflow; "" makes one
	RerunOf      string // the workflow that this one repeats
}

// prepared is a request with everything that had to be read from the repository.
type prepared struct {
	workflow   signalbox.Workflow
	file       string
	parameters []signalbox.EnvVar
	compiled   engine.Compiled
	actor      string
}

// Start starts the workflow that is asked for and returns it with its first pipeline. A pipeline file that is missing
// or wrong gives a pipeline that has failed and says why.
func (t *Trigger) Start(ctx context.Context, r Request) (*signalbox.Workflow, *signalbox.Pipeline, error) {
	repo, err := t.fetched(ctx, r.Project)
	if err != nil {
		return nil, nil, err
	}
	p, err := t.prepare(ctx, repo, r)
	if err != nil {
		return nil, nil, err
	}
	var wf *signalbox.Workflow
	var ppl *signalbox.Pipeline
	err = t.o.Store.Write(ctx, func(tx *store.Tx) (err error) {
		wf, ppl, err = t.create(tx, p)
		return err
	})
	return wf, ppl, err
}

func (t *Trigger) prepare(ctx context.Context, repo *forge.Repo, r Request) (*prepared, error) {
	ref, err := refOf(ctx, repo, r.Project, r.Ref)
	if err != nil {
		return nil, err
	}
	if r.RequestToken == "" {
		r.RequestToken = signalbox.NewID()
	}
	w := signalbox.Workflow{
		ProjectID: r.Project.ID, Ref: ref, TriggeredBy: r.TriggeredBy, Requester: r.Requester, RequestToken: r.RequestToken,
		CommitRange: r.Range, RerunOf: r.RerunOf,
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		w.RefType, w.Label, w.BranchName = "tag", name, ref
	} else {
		w.RefType, w.Label = "branch", strings.TrimPrefix(ref, "refs/heads/")
		w.BranchName = w.Label
	}
	from := r.SHA
	if from == "" {
		from = ref
	}
	if w.CommitSHA, err = repo.Resolve(ctx, from); err != nil {
		return nil, err
	}
	c, err := repo.Commit(ctx, w.CommitSHA)
	if err != nil {
		return nil, err
	}
	w.CommitMessage, w.CommitAuthor, w.CommitEmail = c.Message, c.Author, c.AuthorEmail
	if w.CommitRange == "" && w.RefType == "branch" {
		w.CommitRange = w.CommitSHA + "^..." + w.CommitSHA
	}
	file := r.PipelineFile
	if file == "" {
		file = r.Project.PipelineFile
	}
	compiled, err := t.compile(ctx, repo, r.Project, &w, &signalbox.Pipeline{File: file, Origin: signalbox.Origin{Parameters: r.Parameters}})
	if err != nil {
		return nil, err
	}
	return &prepared{workflow: w, file: file, parameters: r.Parameters, compiled: compiled, actor: r.Actor}, nil
}

// refOf is the full name of the ref that is asked for, the default branch for none.
func refOf(ctx context.Context, repo *forge.Repo, p *signalbox.Project, ref string) (string, error) {
	if ref == "" {
		if ref = p.DefaultBranch; ref == "" {
			var err error
			if ref, err = repo.DefaultBranch(ctx); err != nil {
				return "", err
			}
		}
		if ref == "" {
			return "", signalbox.Errorf(signalbox.CodeInvalid, "project %s has no default branch; name a branch", p.Name)
		}
	}
	if !strings.HasPrefix(ref, "refs/") {
		ref = "refs/heads/" + ref
	}
	if !strings.HasPrefix(ref, "refs/heads/") && !strings.HasPrefix(ref, "refs/tags/") {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "%.100s is neither a branch (refs/heads/...) nor a tag (refs/tags/...)", ref)
	}
	return ref, nil
}

// Rerun starts a workflow that repeats another one: the same commit, file and parameters, for somebody else.
func (t *Trigger) Rerun(ctx context.Context, workflowID, token, requester, actor string) (*signalbox.Workflow, *signalbox.Pipeline, error) {
	var of *signalbox.Workflow
	r := Request{Requester: requester, Actor: actor, RequestToken: "rerun:" + token}
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if of, err = tx.Workflow(workflowID); err != nil {
			return err
		}
		if r.Project, err = tx.Project(of.ProjectID); err != nil {
			return err
		}
		all, err := tx.PipelinesOf(workflowID)
		if err != nil || len(all) == 0 {
			return err
		}
		r.PipelineFile, r.Parameters = all[0].File, all[0].Origin.Parameters
		return nil
	}); err != nil {
		return nil, nil, err
	}
	if !r.Project.DeletedAt.IsZero() {
		return nil, nil, signalbox.Errorf(signalbox.CodeInvalid, "Project with id %s was deleted.", r.Project.ID)
	}
	r.Ref, r.SHA, r.Range, r.TriggeredBy, r.RerunOf = of.Ref, of.CommitSHA, of.CommitRange, of.TriggeredBy, of.ID
	return t.Start(ctx, r)
}

// create makes workflow and pipeline, or returns those that an earlier request with the same token made.
func (t *Trigger) create(tx *store.Tx, p *prepared) (*signalbox.Workflow, *signalbox.Pipeline, error) {
	w := p.workflow
	wf, isNew, err := tx.CreateWorkflow(&w, p.actor)
	if err != nil {
		return nil, nil, err
	}
	if !isNew {
		all, err := tx.PipelinesOf(wf.ID)
		if err != nil || len(all) == 0 {
			return wf, nil, err
		}
		return wf, all[0], nil
	}
	ppl, err := t.o.Engine.Announce(tx, wf, p.file, p.actor, p.parameters...)
	var compiled engine.Compiled
	if err == nil {
		compiled, err = t.linted(tx, p.compiled, p.file, wf.ProjectID, wf)
	}
	if err == nil {
		err = t.o.Engine.Initialize(tx, ppl.ID, compiled, p.actor)
	}
	if err == nil {
		ppl, err = tx.Pipeline(ppl.ID)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("create the pipeline: %w", err)
	}
	return wf, ppl, nil
}

// StartTask starts the workflow of a task's run. The same run gives the same workflow.
func (t *Trigger) StartTask(ctx context.Context, p *signalbox.Project, r *signalbox.TaskRun, actor string) (*signalbox.Workflow, error) {
	w, _, err := t.Start(ctx, Request{
		Project: p, Ref: r.Ref, PipelineFile: r.PipelineFile, Parameters: r.Parameters, TriggeredBy: r.TriggeredBy(), Requester: r.Requester,
		Actor: actor, RequestToken: r.RequestToken(),
	})
	return w, err
}
