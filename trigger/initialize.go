package trigger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/spec/change"
	"github.com/signalbox-ci/signalbox/spec/when"
	"github.com/signalbox-ci/signalbox/store"
)

// Repository is what compiling a pipeline file takes of a git repository.
type Repository interface {
	change.Lister
	FileAt(ctx context.Context, sha, file string) ([]byte, error)
	DefaultBranch(ctx context.Context) (string, error)
}

// Compile reads a pipeline's file at the commit of its workflow, unless src has its text, and everything that its
// conditions ask for. What is wrong with the file is part of the result; an error means that the repository could not be
// read.
func Compile(ctx context.Context, repo Repository, project *signalbox.Project, w *signalbox.Workflow, p *signalbox.Pipeline, src engine.Source) (engine.Compiled, error) {
	trunk := project.DefaultBranch
	if trunk == "" {
		var err error
		if trunk, err = repo.DefaultBranch(ctx); err != nil {
			return engine.Compiled{}, err
		}
	}
	src.File = p.File
	if src.YAML == nil {
		if src.YAML, src.Err = repo.FileAt(ctx, w.CommitSHA, p.File); src.Err != nil && failed(src.Err) {
			return engine.Compiled{}, src.Err
		}
	}
	var broken error // of the repository: then nothing that was decided counts
	ev := &change.Evaluator{Build: changeBuild(trunk, w, p), Lister: repo}
	src.Build = spec.Build{
		DefaultBranch: trunk,
		Target:        src.Build.Target,
		File: func(path string) ([]byte, error) {
			data, err := repo.FileAt(ctx, w.CommitSHA, path)
			if err != nil && failed(err) {
				broken = err
			}
			return data, err
		},
		Call: func(c *when.Call, promotion bool) (bool, string, error) {
			value, why, err := ev.Function(ctx, promotion)(c)
			if err != nil && failed(err) {
				broken = err
			}
			return value, why, err
		},
	}
	c := engine.Compile(w, p, src)
	if broken != nil {
		return engine.Compiled{}, broken
	}
	if c.Plan != nil {
		for _, warning := range ev.Warnings() {
			c.Plan.Warnings = append(c.Plan.Warnings, p.File+": warning: change_in: "+warning.Message)
		}
		for _, promo := range c.Plan.Promotions {
			if _, err := repo.FileAt(ctx, w.CommitSHA, promo.File); signalbox.ErrorCode(err) == signalbox.CodeNotFound {
				c.Plan.Warnings = append(c.Plan.Warnings, fmt.Sprintf("%s: warning: the promotion %q starts %s, which is not in the repository", p.File, promo.Name, promo.File))
			}
		}
	}
	return c, nil
}

// failed tells an error of the machinery from one about what somebody wrote.
func failed(err error) bool {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeNotFound, signalbox.CodeInvalid:
		return false
	}
	var known *when.EvaluationError
	return !errors.As(err, &known)
}

func changeBuild(trunk string, w *signalbox.Workflow, p *signalbox.Pipeline) change.Build {
	b := change.Build{
		RefType: w.RefType, SHA: w.CommitSHA, CommitRange: w.CommitRange, DefaultBranch: trunk, PipelineFile: p.File,
	}
	if w.RefType == change.RefBranch {
		b.Branch = w.BranchName
	}
	return b
}

// initializers is how many files are read at once.
const initializers = 4

// Run reads the files of pipelines that something else than a push announced, such as a promotion, until ctx ends.
func (t *Trigger) Run(ctx context.Context) error {
	woken, end := t.o.Store.Watch(store.KeyInitializing)
	defer end()
	tick := time.NewTicker(30 * time.Second) // in case a wake-up was lost, and for repositories that could not be read
	defer tick.Stop()
	for {
		if err := t.InitializeAll(ctx); err != nil && ctx.Err() == nil {
			t.o.Logger.Error("pipelines cannot be initialized now", "error", err)
		}
		select {
		case <-woken:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// InitializeAll initializes every pipeline that waits for it. One whose repository cannot be read waits on.
func (t *Trigger) InitializeAll(ctx context.Context) error {
	var ids []string
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = tx.InitializingPipelines(1000)
		return err
	}); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(initializers)
	for _, id := range ids {
		g.Go(func() error {
			if err := t.initialize(ctx, id); err != nil && ctx.Err() == nil {
				t.o.Logger.Warn("a pipeline's file cannot be read now", "pipeline", id, "error", err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (t *Trigger) initialize(ctx context.Context, id string) error {
	var p *signalbox.Pipeline
	var w *signalbox.Workflow
	var project *signalbox.Project
	var ran ranInitialization
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p, err = tx.Pipeline(id); err != nil {
			return err
		}
		if w, err = tx.Workflow(p.WorkflowID); err != nil {
			return err
		}
		if project, err = tx.Project(p.ProjectID); err != nil {
			return err
		}
		ran.block, ran.job, err = engine.Initialized(tx, id)
		return err
	}); err != nil {
		return err
	}
	if p.State != signalbox.PipelineInitializing || ran.block != nil && ran.block.State != signalbox.BlockDone {
		return nil
	}
	c, err := t.compileFor(ctx, project, w, p, ran)
	if err != nil {
		return err
	}
	return t.o.Store.Write(ctx, func(tx *store.Tx) error {
		c, err := t.linted(tx, c, p.File, project.ID, w)
		if err != nil {
			return err
		}
		return t.o.Engine.Initialize(tx, id, c, engine.Actor)
	})
}

// compileFor gives up on a project that is gone, and waits for a repository that is away.
func (t *Trigger) compileFor(ctx context.Context, project *signalbox.Project, w *signalbox.Workflow, p *signalbox.Pipeline, ran ranInitialization) (engine.Compiled, error) {
	if !project.DeletedAt.IsZero() {
		return engine.Compiled{Name: "Pipeline", Err: fmt.Sprintf("Project with id %s was deleted.", project.ID), Why: signalbox.ReasonDeleted}, nil
	}
	repo, err := t.Repo(ctx, project)
	if err != nil {
		return engine.Compiled{}, err
	}
	if ran.block != nil {
		return t.compiled(ctx, repo, project, w, p, ran)
	}
	return t.compile(ctx, repo, project, w, p)
}
