// Package project makes projects of git repositories. It looks at a repository before somebody decides, writes a first
// pipeline file where there is none, installs the hook and starts the first workflow. It has no face: the API and the
// pages call it.
package project

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// Trigger knows the repositories and starts workflows of them; *trigger.Trigger does.
type Trigger interface {
	Repo(ctx context.Context, p *signalbox.Project) (*forge.Repo, error)
	// Deliver looks for what was pushed.
	Deliver(ctx context.Context, p *signalbox.Project) error
	// StartByHand starts a workflow for a user.
	StartByHand(ctx context.Context, p *signalbox.Project, r signalbox.RunRequest) (*signalbox.Workflow, error)
	// Preview tells what that would start, and what is wrong with it.
	Preview(ctx context.Context, p *signalbox.Project, r signalbox.RunRequest) (*signalbox.RunPreview, error)
}

// Options for New. Store and Trigger are required.
type Options struct {
	Store   *store.Store
	Trigger Trigger
	// InstallHook makes a repository of this machine tell the server of pushes; it is called with GitDir set.
	InstallHook func(ctx context.Context, p *signalbox.Project) error
	// Dir is where demo repositories are made; "" makes none.
	Dir string
}

// Projects makes projects.
type Projects struct{ o Options }

// New checks the options.
func New(o Options) (*Projects, error) {
	if o.Store == nil || o.Trigger == nil {
		return nil, errors.New("project: a store and a trigger are needed")
	}
	return &Projects{o}, nil
}

// Create stores a project whose name and address are set, and installs its hook. within, when not nil, runs in the same transaction.
func (c *Projects) Create(ctx context.Context, p *signalbox.Project, within func(tx *store.Tx) error, actor string) error {
	if p.ID == "" {
		p.ID = signalbox.NewID()
	}
	if p.PipelineFile == "" {
		p.PipelineFile = signalbox.DefaultPipelineFile
	}
	if err := signalbox.ValidateProjectName(p.Name); err != nil {
		return err
	}
	if err := locate(p); err != nil {
		return err
	}
	repo, err := c.o.Trigger.Repo(ctx, p)
	if err != nil {
		return err
	}
	if p.DefaultBranch == "" {
		if p.DefaultBranch, err = repo.DefaultBranch(ctx); err != nil {
			return err
		}
	}
	refs, err := repo.Refs(ctx)
	if err != nil {
		return err
	}
	// Where the refs are is noted with the project, so that only later pushes start workflows, even after a crash. A push
	// between here and the hook is found when refs are compared.
	if err := c.o.Store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.CreateProject(p, actor); err != nil {
			return err
		}
		if within != nil {
			if err := within(tx); err != nil {
				return err
			}
		}
		for ref, sha := range refs {
			if err := tx.SetGitRef(p.ID, ref, sha); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if p.GitDir != "" && c.o.InstallHook != nil {
		if err := c.o.InstallHook(ctx, p); err != nil {
			gone := c.o.Store.Write(ctx, func(tx *store.Tx) error { return tx.DeleteProject(p.ID, actor) })
			return errors.Join(signalbox.Errorf(signalbox.CodeInvalid, "the project was not created, because its repository's hook could not be installed: %w", err), gone)
		}
	}
	return nil
}

// Hooks tells whether repositories of this machine tell the server of pushes.
func (c *Projects) Hooks() bool { return c.o.InstallHook != nil }

// InstallHook puts the hook of a project in its place again.
func (c *Projects) InstallHook(ctx context.Context, p *signalbox.Project) error {
	return c.o.InstallHook(ctx, p)
}

// locate finds out whether the repository lies on this machine.
func locate(p *signalbox.Project) error {
	if err := signalbox.CheckAddress(p.GitURL); err != nil {
		return err
	}
	p.GitDir = ""
	elsewhere := strings.Contains(p.GitURL, ":") && !strings.HasPrefix(p.GitURL, "-") && !strings.ContainsFunc(p.GitURL, unicode.IsControl)
	if len(p.GitURL) > 2000 || !elsewhere && !filepath.IsAbs(p.GitURL) {
		return signalbox.Errorf(signalbox.CodeInvalid, "the repository must be a git URL or the absolute path of a repository on the server's machine")
	}
	if dir, ok := forge.IsLocal(p.GitURL); ok {
		p.GitDir = dir
	} else if filepath.IsAbs(p.GitURL) {
		return signalbox.Errorf(signalbox.CodeInvalid, "there is no git repository at %s on the server's machine", p.GitURL)
	}
	return nil
}

// Run starts a workflow by hand.
func (c *Projects) Run(ctx context.Context, p *signalbox.Project, r signalbox.RunRequest) (*signalbox.Workflow, error) {
	return c.o.Trigger.StartByHand(ctx, p, r)
}

// Preview tells what Run would start, and what is wrong with it. An error means that the repository could not be read.
func (c *Projects) Preview(ctx context.Context, p *signalbox.Project, r signalbox.RunRequest) (*signalbox.RunPreview, error) {
	return c.o.Trigger.Preview(ctx, p, r)
}

// Hooked tells whether the server hears of pushes to a project's repository.
func (c *Projects) Hooked(ctx context.Context, p *signalbox.Project) bool {
	return p.GitDir != "" && forge.Hooked(ctx, p.GitDir)
}
