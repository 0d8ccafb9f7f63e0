// Package local runs the pipeline of a git work tree on this machine without a server: the same pipeline reader, engine,
// job environment and executor, over a store in a folder of its own, with a few slots where a server would have agents.
// Jobs see a commit of the work tree as it is, uncommitted changes included, in fresh folders; the work tree itself is
// only read.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

// Observer is told what happens, in order, from one goroutine at a time.
type Observer interface {
	// Changed is called with every state of the pipeline.
	Changed(p *signalbox.Pipeline, blocks []*signalbox.Block, jobs []*signalbox.Job)
	// Output is called with what a job prints, its commands included.
	Output(job *signalbox.Job, text string)
}

// Options of a run. Dir, YAML and Observer are required.
type Options struct {
	Dir        string // the folder of this run; made, and kept with store and logs in it
	WorkTree   string // a folder inside the work tree
	File       string // what the pipeline file is called in messages
	YAML       []byte
	Block      string             // run only this block
	Job        string             // run only jobs of this name
	Parallel   int                // jobs at the same time; default: the number of processors
	Parameters []signalbox.EnvVar // for templates, and as variables of all jobs
	Observer   Observer
	Logger     *slog.Logger
}

// Result is the end of a run.
type Result struct {
	Pipeline *signalbox.Pipeline
	Blocks   []*signalbox.Block
	Jobs     []*signalbox.Job
	Snapshot *forge.Snapshot
}

// LogFile is where the log of a job lies as text once the job has ended.
func LogFile(dir string, j *signalbox.Job) string { return filepath.Join(dir, "logs", j.ID+".log") }

type run struct {
	o      Options
	store  *store.Store
	engine *engine.Engine
	logs   *joblog.Log
	slots  []*signalbox.Agent
	tell   chan func(Observer)
}

// Run runs a pipeline to its end. When ctx ends the pipeline is stopped and its processes are gone before Run returns.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	if o.Dir == "" || o.Observer == nil {
		return nil, errors.New("local: a folder and an observer are needed")
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.NumCPU()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o700); err != nil {
		return nil, err
	}
	snapshot, err := forge.TakeSnapshot(ctx, o.WorkTree, filepath.Join(o.Dir, "source.git"))
	if err != nil {
		return nil, err
	}
	r := &run{o: o, tell: make(chan func(Observer), 64)}
	if r.store, err = store.Open(ctx, store.Options{Dir: filepath.Join(o.Dir, "state"), Logger: o.Logger}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	r.engine = engine.New(engine.Options{Store: r.store, AnyAgent: true, Logger: o.Logger})
	r.logs = joblog.New(joblog.Options{Store: r.store})
	// A run that is stopped still writes down how it ended.
	keep := context.WithoutCancel(ctx)
	p, err := r.begin(keep, snapshot)
	if err != nil {
		return nil, err
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		for fn := range r.tell {
			fn(o.Observer)
		}
	}()
	err = r.play(ctx, keep, p)
	close(r.tell)
	<-told
	if err != nil {
		return nil, err
	}
	res := &Result{Snapshot: snapshot}
	res.Pipeline, res.Blocks, res.Jobs, err = r.read(keep, p.ID)
	return res, err
}

// begin stores project, workflow, slots and pipeline.
func (r *run) begin(ctx context.Context, s *forge.Snapshot) (p *signalbox.Pipeline, err error) {
	name := filepath.Base(s.Root)
	// Jobs clone the snapshot into a folder of the work tree's name.
	source := filepath.Join(r.o.Dir, "clone", name+".git")
	if err := os.MkdirAll(filepath.Dir(source), 0o700); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(r.o.Dir, "source.git"), source); err != nil {
		return nil, err
	}
	pr := &signalbox.Project{Name: name, GitURL: source, GitDir: source, DefaultBranch: s.Trunk, PipelineFile: signalbox.DefaultPipelineFile}
	wf := &signalbox.Workflow{
		Ref: "refs/heads/" + s.Branch, RefType: "branch", BranchName: s.Branch, Label: s.Branch, CommitSHA: s.SHA,
		CommitRange: s.SHA + "^..." + s.SHA, TriggeredBy: signalbox.TriggeredByManualRun, RequestToken: "local",
	}
	file := r.within(s.Root)
	origin := signalbox.Origin{Parameters: r.o.Parameters}
	compiled, err := trigger.Compile(ctx, &forge.Repo{Dir: source}, pr, wf, &signalbox.Pipeline{File: file, Origin: origin},
		engine.Source{YAML: r.o.YAML, Shown: r.o.File, Select: r.choose})
	if err != nil {
		return nil, err
	}
	err = r.store.Write(ctx, func(tx *store.Tx) error {
		r.slots = nil
		if err := tx.CreateProject(pr, "local"); err != nil {
			return err
		}
		typ := &signalbox.AgentType{Name: "local"}
		if err := tx.CreateAgentType(typ, "local"); err != nil {
			return err
		}
		for i := range r.o.Parallel {
			a := &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: fmt.Sprintf("local-%d", i+1), State: signalbox.AgentRegistered}
			if err := tx.CreateAgent(a, a.Name); err != nil {
				return err
			}
			r.slots = append(r.slots, a)
		}
		wf.ProjectID = pr.ID
		w, _, err := tx.CreateWorkflow(wf, "local")
		if err != nil {
			return err
		}
		if p, err = r.engine.Announce(tx, w, file, "local"); err != nil {
			return err
		}
		if err = r.engine.Initialize(tx, p.ID, compiled, "local"); err != nil {
			return err
		}
		p, err = tx.Pipeline(p.ID)
		return err
	})
	return p, err
}

// within returns where the pipeline file lies in the repository; one from elsewhere counts as lying at its root.
func (r *run) within(root string) string {
	abs, err := filepath.Abs(r.o.File)
	if err == nil {
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		if rel, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.Base(r.o.File)
}

// choose leaves only what was asked for.
func (r *run) choose(p *signalbox.Plan) error {
	if r.o.Block != "" {
		var names []string
		for _, b := range p.Blocks {
			names = append(names, b.Name)
			if b.Name == r.o.Block {
				b.Dependencies = nil
				p.Blocks = []signalbox.PlanBlock{b}
				names = nil
				break
			}
		}
		if names != nil {
			return signalbox.Errorf(signalbox.CodeNotFound, "the pipeline has no block %q; it has %q", r.o.Block, names)
		}
	}
	if r.o.Job == "" {
		return nil
	}
	found := false
	var names []string
	for i := range p.Blocks {
		var keep []signalbox.PlanJob
		for _, j := range p.Blocks[i].Jobs {
			names = append(names, j.Name)
			if j.Name == r.o.Job {
				keep, found = append(keep, j), true
			}
		}
		if len(keep) > 0 {
			p.Blocks = []signalbox.PlanBlock{{Name: p.Blocks[i].Name, Jobs: keep}}
			break
		}
	}
	if !found {
		return signalbox.Errorf(signalbox.CodeNotFound, "there is no job %q; there are %q", r.o.Job, names)
	}
	return nil
}

// play runs jobs until the pipeline is done.
func (r *run) play(ctx, keep context.Context, p *signalbox.Pipeline) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	g, work := errgroup.WithContext(work)
	for _, slot := range r.slots {
		g.Go(func() error { return r.serve(work, keep, slot) })
	}
	g.Go(func() error { return r.endOverdue(work, keep) })
	g.Go(func() error {
		defer stop()
		return r.watch(ctx, keep, p.ID)
	})
	return g.Wait()
}

// endOverdue keeps time limits, to the second.
func (r *run) endOverdue(ctx, keep context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.store.Write(keep, func(tx *store.Tx) error { return r.engine.EndOverdue(tx, engine.Actor) }); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// watch tells the observer of every change, stops the pipeline when ctx ends, and returns when it is done.
func (r *run) watch(ctx, keep context.Context, id string) error {
	changed, end := r.store.Watch(store.KeyPipeline(id))
	defer end()
	quit := ctx.Done()
	for {
		p, blocks, jobs, err := r.read(keep, id)
		if err != nil {
			return err
		}
		var after *signalbox.Block
		if err := r.store.Read(keep, func(tx *store.Tx) (err error) {
			after, err = tx.BlockBeside(id, signalbox.BlockAfter)
			return err
		}); err != nil {
			return err
		}
		r.tell <- func(o Observer) { o.Changed(p, blocks, jobs) }
		if p.State == signalbox.PipelineDone && (after == nil || after.State == signalbox.BlockDone) {
			return nil
		}
		select {
		case <-changed:
		case <-quit:
			quit = nil
			if err := r.store.Write(keep, func(tx *store.Tx) error {
				return r.engine.StopPipeline(tx, id, "user", signalbox.ReasonUser)
			}); err != nil {
				return err
			}
		}
	}
}

func (r *run) read(ctx context.Context, id string) (p *signalbox.Pipeline, blocks []*signalbox.Block, jobs []*signalbox.Job, err error) {
	err = r.store.Read(ctx, func(tx *store.Tx) error {
		if p, err = tx.Pipeline(id); err != nil {
			return err
		}
		if blocks, err = tx.Blocks(id); err != nil {
			return err
		}
		jobs, err = tx.JobsOf(id)
		return err
	})
	return p, blocks, jobs, err
}

// writeText keeps a job's log as a file for people.
func (r *run) writeText(ctx context.Context, j *signalbox.Job) error {
	f, err := os.OpenFile(LogFile(r.o.Dir, j), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(r.logs.Text(ctx, j.AttemptID, f), f.Close())
}

// NewDir returns a folder for a run under the git folder of a work tree, where it is never committed by accident.
func NewDir(ctx context.Context, workTree string, now time.Time) (string, error) {
	git, err := forge.GitDir(ctx, workTree)
	if err != nil {
		return "", err
	}
	return filepath.Join(git, "signalbox", "runs", now.Format("2006-01-02T15-04-05.000")), nil
}
