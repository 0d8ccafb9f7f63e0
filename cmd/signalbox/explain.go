package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/trigger"
	"github.com/signalbox-ci/signalbox/web"
)

// PipelineExplainCmd is `signalbox pipeline explain`.
type PipelineExplainCmd struct {
	File        string   `arg:"" optional:"" help:"Pipeline file; default: .semaphore/semaphore.yml of the repository."`
	Branch      string   `help:"As if this branch were built; default: the one that is checked out." env:"SIGNALBOX_BRANCH" placeholder:"BRANCH" xor:"ref"`
	Tag         string   `help:"As if this tag were built." placeholder:"TAG" xor:"ref" env:"SIGNALBOX_TAG"`
	PullRequest string   `help:"As if this pull request were built." placeholder:"NUMBER" xor:"ref" env:"SIGNALBOX_PULL_REQUEST"`
	Trunk       string   `help:"The project's default branch; default: the one the repository's origin has, else main." placeholder:"BRANCH" env:"SIGNALBOX_TRUNK"`
	Commit      string   `help:"As if this commit were built; default: HEAD." placeholder:"COMMIT" env:"SIGNALBOX_COMMIT"`
	Changed     []string `help:"As if these files had changed, whatever git says; may be given several times." placeholder:"PATH" env:"SIGNALBOX_CHANGED"`
	Param       []string `help:"Value of a parameter for templates; may repeat." sep:"none" placeholder:"NAME=VALUE" env:"SIGNALBOX_PARAM"`
	Promoted    bool     `help:"As if a promotion had started it." env:"SIGNALBOX_PROMOTED"`
	Scheduled   bool     `help:"As if a task had started it." env:"SIGNALBOX_SCHEDULED"`
	Svg         bool     `help:"Print a picture (SVG) instead of text." env:"SIGNALBOX_SVG"`
}

// Help is what --help says beside the flags.
func (*PipelineExplainCmd) Help() string {
	return "Prints what a pipeline file would run and what it would skip, with every condition, the values of its parts and the jobs after every expansion. " +
		"Nothing runs and no server is needed. Exit codes: 0 it can run, 2 the file is wrong."
}

func (c *PipelineExplainCmd) Run(ctx context.Context, g *Globals) error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	root := rootOf(cwd)
	file := c.File
	if file == "" {
		file = filepath.Join(root, signalbox.DefaultPipelineFile)
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &exitCodeError{code: exitInvalid, err: fmt.Errorf("there is no pipeline file %s: write one, or name another one", file)}
	}
	if err != nil {
		return err
	}
	compiled, err := c.compile(ctx, root, file, data)
	if err != nil {
		return err
	}
	if compiled.Plan == nil {
		if g.Output == "json" {
			if err := g.print(map[string]any{"name": compiled.Name, "problems": strings.Split(compiled.Err, "\n"), "plan": nil}, ""); err != nil {
				return err
			}
			return &exitCodeError{code: exitInvalid}
		}
		return &exitCodeError{code: exitInvalid, err: errors.New(strings.TrimRight(printableLines(compiled.Err), "\n"))}
	}
	if c.Svg {
		return web.DrawPlan(g.out, compiled.Plan)
	}
	text := web.PlanText(compiled.Plan)
	for _, w := range compiled.Plan.Warnings {
		text += "\n" + w
	}
	return g.print(map[string]any{"name": compiled.Name, "plan": compiled.Plan}, printableLines(text))
}

// compile plays the part of the server for one file.
func (c *PipelineExplainCmd) compile(ctx context.Context, root, file string, data []byte) (engine.Compiled, error) {
	within := filepath.Base(file)
	if abs, err := filepath.Abs(file); err == nil && root != "" {
		if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) {
			within = filepath.ToSlash(rel)
		}
	}
	w := &signalbox.Workflow{RefType: "branch", BranchName: c.Branch, Label: c.Branch, TriggeredBy: signalbox.TriggeredByHook}
	p := &signalbox.Pipeline{File: within}
	var err error
	if p.Origin.Parameters, err = parametersOf(c.Param); err != nil {
		return engine.Compiled{}, err
	}
	if c.Promoted {
		p.Origin.PromotedFrom = "a promotion"
	}
	if c.Scheduled {
		w.TriggeredBy = signalbox.TriggeredBySchedule
	}
	switch {
	case c.Tag != "":
		w.RefType, w.Label, w.BranchName = "tag", c.Tag, "refs/tags/"+c.Tag
	case c.PullRequest != "":
		w.RefType, w.Label, w.BranchName = "pull-request", c.PullRequest, "pull-request-"+c.PullRequest
	}
	src := engine.Source{File: within, Shown: file, YAML: data}
	if root == "" {
		src.Build = spec.Build{DefaultBranch: c.Trunk, File: inFolder(filepath.Dir(file), path.Dir(within))}
		return engine.Compile(w, p, src), nil
	}
	gitDir, err := forge.GitDir(ctx, root)
	if err != nil {
		return engine.Compiled{}, err
	}
	repo := &explained{Repo: &forge.Repo{Dir: gitDir}, changed: c.Changed, root: root}
	if w.RefType == "branch" && w.BranchName == "" {
		if w.BranchName, err = repo.DefaultBranch(ctx); err != nil {
			return engine.Compiled{}, err
		}
		w.Label = w.BranchName
	}
	commit := c.Commit
	if commit == "" {
		commit = "HEAD"
	}
	if w.CommitSHA, err = repo.Resolve(ctx, commit); err != nil && len(c.Changed) == 0 && c.Commit != "" {
		return engine.Compiled{}, err
	}
	trunk := c.Trunk
	if trunk == "" {
		trunk = repo.trunk(ctx)
	}
	return trigger.Compile(ctx, repo, &signalbox.Project{DefaultBranch: trunk}, w, p, src)
}

func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		b.WriteString(printable(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}

// explained is a repository whose files are those of the work tree, and in which what changed may be told.
type explained struct {
	*forge.Repo
	root    string
	changed []string
}

func (r *explained) FileAt(_ context.Context, _, file string) ([]byte, error) {
	return inFolder(r.root, "")(file)
}

func (r *explained) Changed(ctx context.Context, base, head string, mergeBase bool) ([]string, error) {
	if len(r.changed) > 0 {
		var out []string
		for _, f := range r.changed {
			out = append(out, strings.TrimPrefix(path.Clean("/"+f), "/"))
		}
		return out, nil
	}
	return r.Repo.Changed(ctx, base, head, mergeBase)
}

func (r *explained) ResolveBranch(ctx context.Context, name string) (string, error) {
	sha, err := r.Repo.ResolveBranch(ctx, name)
	if err == nil || len(r.changed) == 0 {
		return sha, err
	}
	return strings.Repeat("0", 40), nil // what changed is told, so the branch does not matter
}

// trunk guesses the default branch of the project.
func (r *explained) trunk(ctx context.Context) string {
	for _, name := range []string{"main", "master"} {
		if _, err := r.Repo.ResolveBranch(ctx, name); err == nil {
			return name
		}
	}
	return "main"
}

// inFolder reads files of a folder by their path from the root of the repository, of which below is the folder's own.
func inFolder(dir, below string) func(string) ([]byte, error) {
	return func(file string) ([]byte, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		if below != "" && below != "." {
			file = strings.TrimPrefix(file, below+"/")
		}
		data, err := root.ReadFile(filepath.FromSlash(file))
		if err != nil {
			return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no file %s in the repository", file)
		}
		return data, nil
	}
}
