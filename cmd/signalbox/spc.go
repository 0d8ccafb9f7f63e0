package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/spec/change"
	"github.com/signalbox-ci/signalbox/spec/compiler"
)

// spcCmd is `signalbox spc`.
type spcCmd struct {
	Compile  spcCompileCmd `cmd:"" help:"Put commands_file, templates and change_in into a pipeline file."`
	Evaluate struct {
		ChangeIn spcChangeInCmd `cmd:"" help:"Put only what change_in says into a pipeline file."`
	} `cmd:"" help:"Do one step."`
	ListDiff spcListDiffCmd `cmd:"" help:"Print the files that changed."`
}

type spcFiles struct {
	toolFiles
	Logs string `help:"File for what is wrong, one line of JSON each." placeholder:"FILE"`
}

// spcCompileCmd is `signalbox spc compile`.
type spcCompileCmd struct {
	spcFiles
	Strict bool `help:"Make a parameter that is not set an error; otherwise it stands for its own name."`
}

func (c *spcCompileCmd) Run(ctx context.Context) error {
	return c.compile(ctx, func(o *compiler.Options, root *os.Root) {
		o.ReadFile = root.ReadFile
		o.Lookup, o.Legacy = os.LookupEnv, !c.Strict
	})
}

// spcChangeInCmd is `signalbox spc evaluate change-in`.
type spcChangeInCmd struct {
	spcFiles
}

func (c *spcChangeInCmd) Run(ctx context.Context) error {
	return c.compile(ctx, func(*compiler.Options, *os.Root) {})
}

func (f *spcFiles) compile(ctx context.Context, more func(*compiler.Options, *os.Root)) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.Logs == "" {
		return errors.New("logs path not provided")
	}
	data, err := os.ReadFile(f.Input)
	if err != nil {
		return err
	}
	// A log that is there but empty says that nothing was wrong, to whoever waits for it.
	if err := os.WriteFile(f.Logs, nil, 0o644); err != nil {
		return err
	}
	work, file, err := workTreeOf(f.Input)
	if err != nil {
		return err
	}
	ev, err := evaluatorHere(ctx, work, file)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(work) // a commands_file does not lead out of the repository
	if err != nil {
		return err
	}
	defer root.Close()
	o := compiler.Options{File: file, Changes: ev}
	more(&o, root)
	out, findings, err := compiler.Compile(ctx, data, o)
	if err != nil {
		return err
	}
	var log bytes.Buffer
	lines := json.NewEncoder(&log)
	for _, finding := range findings {
		if out != nil {
			fmt.Fprintln(os.Stderr, "warning:", printable(finding.Message)) // the log is for what stops the pipeline
			continue
		}
		if err := lines.Encode(finding); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, printable(strings.Join(finding.Location.Path, ".")+": "+finding.Message))
	}
	if err := os.WriteFile(f.Logs, log.Bytes(), 0o644); err != nil {
		return err
	}
	if out == nil {
		return errReported
	}
	return os.WriteFile(f.Output, out, 0o644)
}

// spcListDiffCmd is `signalbox spc list-diff`.
type spcListDiffCmd struct {
	DefaultBranch string `help:"The trunk." placeholder:"BRANCH"`
	DefaultRange  string `help:"What to compare on the trunk." placeholder:"RANGE"`
	BranchRange   string `help:"What to compare on other branches." placeholder:"RANGE"`
}

func (c *spcListDiffCmd) Run(ctx context.Context, out io.Writer) error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	ev, err := evaluatorHere(ctx, cwd, "")
	if err != nil {
		return err
	}
	files, r, ok, err := ev.Files(ctx, change.Options{DefaultBranch: c.DefaultBranch, DefaultRange: c.DefaultRange, BranchRange: c.BranchRange})
	switch {
	case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
		return fmt.Errorf("the range %s cannot be resolved: %w", r, err)
	case err != nil:
		return err
	case !ok:
		_, err := fmt.Fprintln(out, "Listing diffs for tags is not supported.")
		return err
	}
	for _, f := range files {
		if _, err := fmt.Fprintln(out, printable(f)); err != nil {
			return err
		}
	}
	return nil
}

// workTreeOf returns the root of the work tree around a file, and the file's name from there.
func workTreeOf(file string) (root, name string, err error) {
	full, err := filepath.Abs(file)
	if err != nil {
		return "", "", err
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return "", "", err
	}
	if root = rootOf(filepath.Dir(full)); root == "" {
		return "", "", signalbox.Errorf(signalbox.CodeInvalid, "%s is not in a git work tree", file)
	}
	if name, err = filepath.Rel(root, full); err != nil {
		return "", "", err
	}
	return root, filepath.ToSlash(name), nil
}

// evaluatorHere answers change_in for the clone around dir, for what the environment of a job says is built. Without
// such an environment it is the branch that is checked out.
func evaluatorHere(ctx context.Context, dir, file string) (*change.Evaluator, error) {
	gitDir, err := forge.GitDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	clone := &forge.Clone{Repo: forge.Repo{Dir: gitDir}}
	b := change.Build{
		RefType: os.Getenv("SEMAPHORE_GIT_REF_TYPE"), Branch: os.Getenv("SEMAPHORE_GIT_BRANCH"), SHA: os.Getenv("SEMAPHORE_GIT_SHA"),
		CommitRange: os.Getenv("SEMAPHORE_GIT_COMMIT_RANGE"), PipelineFile: file,
	}
	if b.RefType == change.RefPullRequest {
		b.BaseBranch, b.HeadBranch = b.Branch, os.Getenv("SEMAPHORE_GIT_PR_BRANCH")
		if b.HeadBranch == "" {
			b.HeadBranch = os.Getenv("SEMAPHORE_GIT_WORKING_BRANCH")
		}
		slug := os.Getenv("SEMAPHORE_GIT_PR_SLUG")
		b.Forked = slug != "" && slug != os.Getenv("SEMAPHORE_GIT_REPO_SLUG")
	}
	if b.SHA == "" {
		if b.SHA, err = clone.Resolve(ctx, "HEAD"); err != nil {
			return nil, err
		}
	}
	if b.Branch == "" && b.RefType == "" {
		if b.Branch, err = clone.Repo.DefaultBranch(ctx); err != nil {
			return nil, err
		}
	}
	if b.DefaultBranch, err = clone.DefaultBranch(ctx); err != nil {
		return nil, err
	}
	return &change.Evaluator{Build: b, Lister: clone}, nil
}
