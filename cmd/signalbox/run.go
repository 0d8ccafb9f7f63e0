package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/local"
)

// RunCmd is `signalbox run`.
type RunCmd struct {
	File     string   `arg:"" optional:"" help:"Pipeline file; default: .semaphore/semaphore.yml of the repository."`
	Block    string   `help:"Run only this block." env:"SIGNALBOX_BLOCK"`
	Job      string   `help:"Run only the jobs of this name." env:"SIGNALBOX_JOB"`
	Parallel int      `help:"Jobs at the same time; 0 is one for each processor." default:"0" env:"SIGNALBOX_PARALLEL"`
	Param    []string `help:"Value of a parameter for templates and jobs; may repeat." sep:"none" placeholder:"NAME=VALUE" env:"SIGNALBOX_PARAM"`
	Quiet    bool     `help:"Do not print what the jobs print." env:"SIGNALBOX_QUIET"`
}

// Help is what --help says beside the flags.
func (*RunCmd) Help() string {
	return "Runs the pipeline of the git repository around the current folder on this machine; no server is needed. Jobs see the work tree as it is now, " +
		"with uncommitted changes, in folders of their own: \"checkout\" clones that state, and your files are not touched. " +
		"Logs stay in the repository's git folder under signalbox/runs. Exit codes: 0 passed, 2 the file is wrong, 10 failed, 11 stopped."
}

func (c *RunCmd) Run(ctx context.Context, g *Globals) error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	file := c.File
	if file == "" {
		file = signalbox.DefaultPipelineFile
		if root := rootOf(cwd); root != "" {
			file = filepath.Join(root, file)
			if rel, err := filepath.Rel(cwd, file); err == nil {
				file = rel
			}
		}
	}
	yaml, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &exitCodeError{code: exitInvalid, err: fmt.Errorf("there is no pipeline file %s: write one, or name another one", file)}
	}
	if err != nil {
		return err
	}
	dir, err := local.NewDir(ctx, cwd, time.Now())
	if err != nil {
		return err
	}
	if err := executor.AdoptOrphans(); err != nil {
		g.logger().Warn("a job's process that hides well may outlive it", "error", err)
	}
	show := &localProgress{progress: newProgress(g.out), quiet: c.Quiet || g.Output == "json", blocks: map[string]string{}}
	if g.Output == "json" {
		show.progress = newProgress(g.err)
	}
	parameters, err := parametersOf(c.Param)
	if err != nil {
		return err
	}
	res, err := local.Run(ctx, local.Options{
		Dir: dir, WorkTree: cwd, File: file, YAML: yaml, Block: c.Block, Job: c.Job, Parallel: c.Parallel, Observer: show, Logger: g.logger(),
		Parameters: parameters,
	})
	if err != nil {
		return err
	}
	d := show.describe(res.Pipeline, res.Blocks, res.Jobs)
	if res.Pipeline.Reason == signalbox.ReasonMalformed {
		fmt.Fprintln(g.err, res.Pipeline.ErrorDescription)
		return &exitCodeError{code: exitInvalid}
	}
	show.progress.summary(d)
	if res.Snapshot.Changed > 0 {
		fmt.Fprintf(show.progress.out, "It ran with %d uncommitted changes.\n", res.Snapshot.Changed)
	}
	if names := secretsOf(res.Pipeline.Plan); len(names) > 0 {
		fmt.Fprintf(show.progress.out, "Secrets are with the server only, so the jobs ran without %s.\n", strings.Join(names, ", "))
	}
	fmt.Fprintf(show.progress.out, "Logs: %s\n", filepath.Join(dir, "logs"))
	if g.Output == "json" {
		if err := g.print(d, ""); err != nil {
			return err
		}
	}
	return resultError(string(res.Pipeline.Result))
}

// secretsOf are the names of all secrets that the jobs of a plan ask for.
func secretsOf(p *signalbox.Plan) []string {
	if p == nil {
		return nil
	}
	var out []string
	jobs := slices.Clone(p.After)
	for _, b := range p.Blocks {
		jobs = append(jobs, b.Jobs...)
	}
	for _, j := range jobs {
		out = append(out, j.Spec.SecretNames()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// parametersOf reads NAME=VALUE arguments.
func parametersOf(list []string) ([]signalbox.EnvVar, error) {
	var out []signalbox.EnvVar
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, &exitCodeError{code: exitInvalid, err: fmt.Errorf("--param %s: write NAME=VALUE", p)}
		}
		out = append(out, signalbox.EnvVar{Name: name, Value: value})
	}
	return out, nil
}

// rootOf returns the work tree around a folder, "" when there is none.
func rootOf(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// localProgress shows a local run in the same words as one on a server.
type localProgress struct {
	progress *progress
	quiet    bool
	blocks   map[string]string // block id to name
}

// Changed implements local.Observer.
func (l *localProgress) Changed(p *signalbox.Pipeline, blocks []*signalbox.Block, jobs []*signalbox.Job) {
	l.progress.show(l.describe(p, blocks, jobs))
}

// Output implements local.Observer.
func (l *localProgress) Output(j *signalbox.Job, text string) {
	if l.quiet {
		return
	}
	w := terminalSafe(l.progress.out)
	fmt.Fprintf(l.progress.out, "%16.16s │ ", printable(j.Name))
	if strings.Contains(text, "\x1b") {
		text += "\x1b[0m" // a colour must not run into the next job's line
	}
	fmt.Fprintln(w, text)
}

func (l *localProgress) describe(p *signalbox.Pipeline, blocks []*signalbox.Block, jobs []*signalbox.Job) *description {
	d := &description{}
	d.Pipeline.ID, d.Pipeline.Name, d.Pipeline.State = p.ID, p.Name, string(p.State)
	d.Pipeline.Result, d.Pipeline.Reason, d.Pipeline.ErrorDescription = string(p.Result), string(p.Reason), p.ErrorDescription
	for _, b := range blocks {
		db := descriptionBlock{Name: b.Name, State: string(b.State), Result: string(b.Result), Reason: string(b.Reason)}
		for _, j := range jobs {
			if j.BlockID != b.ID {
				continue
			}
			dj := descriptionJob{Name: j.Name, ID: j.ID, Status: "QUEUED", Reason: string(j.Reason), Failure: j.FailureReason, StartedAt: unixText(j.StartedAt), FinishedAt: unixText(j.FinishedAt)}
			switch j.State {
			case signalbox.JobRunning:
				dj.Status = "RUNNING"
			case signalbox.JobFinished:
				dj.Status = "FINISHED"
				dj.Result = map[signalbox.JobResult]string{signalbox.JobPassed: "PASSED", signalbox.JobFailed: "FAILED", signalbox.JobStopped: "STOPPED"}[j.Result]
			}
			db.Jobs = append(db.Jobs, dj)
		}
		d.Blocks = append(d.Blocks, db)
	}
	return d
}

func unixText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}
