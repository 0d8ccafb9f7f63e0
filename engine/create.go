package engine

import (
	"cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/store"
)

// Source is a pipeline file as found at a commit, or why it could not be read, and what compiling it takes.
type Source struct {
	File  string // path within the repository
	Shown string // its name in messages; "" is File
	YAML  []byte
	Err   error // why there is no text: shown as the pipeline's error
	// Build is what conditions and templates ask for; its fields about the workflow and the pipeline are filled in here.
	Build spec.Build
	// Select, when set, takes away what is not to run; its error is the pipeline's.
	Select func(*signalbox.Plan) error
}

// Create stores the first pipeline of a workflow and initializes it at once.
func (e *Engine) Create(tx *store.Tx, w *signalbox.Workflow, src Source, actor string) (*signalbox.Pipeline, error) {
	p, err := e.Announce(tx, w, src.File, actor)
	if err != nil {
		return nil, err
	}
	if err := e.Initialize(tx, p.ID, Compile(w, p, src), actor); err != nil {
		return nil, err
	}
	return tx.Pipeline(p.ID)
}

// Announce stores the first pipeline of a workflow before its file is read.
func (e *Engine) Announce(tx *store.Tx, w *signalbox.Workflow, file, actor string, parameters ...signalbox.EnvVar) (*signalbox.Pipeline, error) {
	return announce(tx, &signalbox.Pipeline{
		WorkflowID: w.ID, ProjectID: w.ProjectID, File: file, Origin: signalbox.Origin{Parameters: parameters},
	}, w, actor)
}

func announce(tx *store.Tx, p *signalbox.Pipeline, w *signalbox.Workflow, actor string) (*signalbox.Pipeline, error) {
	p.State, p.Name, p.QueueKey = signalbox.PipelineInitializing, "Pipeline", queueKey(p, w, signalbox.Queue{})
	if err := tx.CreatePipeline(p, actor); err != nil {
		return nil, err
	}
	tx.Wake(store.KeyInitializing)
	return p, nil
}

// queueKey is what pipelines that wait for each other have in common.
func queueKey(p *signalbox.Pipeline, w *signalbox.Workflow, q signalbox.Queue) string {
	switch {
	case q.Name == "":
		return p.ProjectID + "/" + w.Label + "-" + p.File
	case q.Organization:
		return "organization//" + q.Name
	}
	return p.ProjectID + "//" + q.Name
}

// Compiled is what reading a pipeline file gave.
type Compiled struct {
	YAML string
	Name string
	Plan *signalbox.Plan  // nil when Err says why, or Init has to run first
	Err  string           // every problem, one per line
	Why  signalbox.Reason // of Err: malformed when empty
	// Init is the job that compiles the file on an agent, nil where that is not wanted or done.
	Init *signalbox.PlanJob
}

// Compile reads a pipeline file. It touches nothing but what src.Build gives it.
func Compile(w *signalbox.Workflow, p *signalbox.Pipeline, src Source) Compiled {
	c := Compiled{YAML: string(src.YAML), Name: "Pipeline"}
	if src.Err != nil {
		c.Err = signalbox.ErrorMessage(src.Err)
		return c
	}
	b := src.Build
	b.Scheduled = w.TriggeredBy == signalbox.TriggeredBySchedule
	b.Promotion = p.Origin.PromotedFrom != ""
	switch w.RefType {
	case "tag":
		b.Tag = w.Label
	case "pull-request":
		b.PullRequest = w.Label
	default:
		b.Branch = w.BranchName
	}
	parameters := map[string]string{}
	for _, v := range p.Origin.Parameters {
		parameters[v.Name] = v.Value
	}
	b.Parameters = parameters
	r := spec.Compile(src.YAML, spec.Options{File: cmp.Or(src.Shown, src.File), Path: src.File}, b)
	c.Name = r.Name
	switch {
	case r.Problems.HasErrors():
		c.Err = r.Problems.Error()
		return c
	case src.Select != nil:
		if err := src.Select(r.Plan); err != nil {
			c.Err = signalbox.ErrorMessage(err)
			return c
		}
	}
	c.Plan = r.Plan
	for _, problem := range r.Problems {
		c.Plan.Warnings = append(c.Plan.Warnings, problem.String())
	}
	return c
}

// Initialize gives a pipeline what reading its file gave, and takes the first steps. A file that is wrong makes a
// pipeline that is done, failed and malformed, with every problem in its error description. On a pipeline that was
// initialized or ended meanwhile it changes nothing. One with an initialization job stays as it is until it is called
// again with what that job made.
func (e *Engine) Initialize(tx *store.Tx, id string, c Compiled, actor string) error {
	p, err := tx.LockPipeline(id)
	if err != nil || p.State != signalbox.PipelineInitializing {
		return err
	}
	p.YAML, p.Name = c.YAML, c.Name
	if c.Init != nil && c.Err == "" {
		if err := e.startInitialization(tx, p, c.Init); err != nil {
			return err
		}
		if err := tx.InitializePipeline(p); err != nil {
			return err
		}
		return e.Advance(tx, id)
	}
	if c.Plan == nil {
		if err := tx.InitializePipeline(p); err != nil {
			return err
		}
		p.State, p.Result, p.Reason = signalbox.PipelineDone, signalbox.ResultFailed, c.Why
		if p.Reason == signalbox.ReasonNone {
			p.Reason = signalbox.ReasonMalformed
		}
		p.ErrorDescription, p.DoneAt = c.Err, tx.Now
		return tx.UpdatePipeline(p, Actor, why(p.Result, p.Reason), "")
	}
	w, err := tx.Workflow(p.WorkflowID)
	if err != nil {
		return err
	}
	p.Plan, p.Queue, p.AutoCancel = c.Plan, c.Plan.Queue, c.Plan.AutoCancel
	p.QueueKey = queueKey(p, w, p.Queue)
	if err := tx.LockQueue(p.QueueKey); err != nil {
		return err
	}
	if err := tx.InitializePipeline(p); err != nil {
		return err
	}
	if p.Terminate == "" { // else it ends here, without blocks
		if err := createBlocks(tx, p); err != nil {
			return err
		}
		if err := keepPassed(tx, p); err != nil {
			return err
		}
		p.State, p.PendingAt = signalbox.PipelinePending, tx.Now
		if err := tx.UpdatePipeline(p, actor, "pending", ""); err != nil {
			return err
		}
	}
	if err := e.Advance(tx, id); err != nil || p.AutoCancel == signalbox.StrategyNone {
		return err
	}
	older, err := tx.OpenInQueue(p.QueueKey, p.ID)
	if err != nil {
		return err
	}
	for _, o := range older {
		if err := e.Advance(tx, o); err != nil {
			return err
		}
	}
	return nil
}

func createBlocks(tx *store.Tx, p *signalbox.Pipeline) error {
	for i, b := range p.Plan.Blocks {
		if err := tx.CreateBlock(&signalbox.Block{
			PipelineID: p.ID, Index: i, Name: b.Name, Dependencies: b.Dependencies, State: signalbox.BlockWaiting,
		}); err != nil {
			return err
		}
	}
	if len(p.Plan.After) == 0 {
		return nil
	}
	return tx.CreateBlock(&signalbox.Block{
		PipelineID: p.ID, Kind: signalbox.BlockAfter, Index: signalbox.AfterIndex, Name: "Nameless block 1", State: signalbox.BlockWaiting,
	})
}
