package web

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

type workflowBody struct {
	Project   *signalbox.Project
	Workflow  *signalbox.Workflow
	Title     string
	Rest      string // the commit message after its first line
	SHA       string
	By        string
	RefIcon   string
	Ref       string
	Created   *Moment
	Lamp      Lamp
	Failed    int
	Infra     int       // jobs that the machinery failed
	Failures  []jobView // at most three
	Pipelines []pipelineView
	Current   *pipelineView
	Compared  *comparison
	Before    string // the workflows of the branch just before and after this one
	After     string
	View      string // graph, list, timeline or yaml
	Views     []viewLink
	Graph     *Graph
	Timeline  *Timeline
	YAML      []string // lines of the file that ran
	Took      Took
	MayStop   bool
	MayRun    bool
}

type pipelineView struct {
	ID, Name, File, URL string
	Lamp                Lamp
	Why                 string
	Current             bool
	Took                Took
	Done, Total         int
	Problem             []string // lines of what is wrong with the file
	Malformed           bool     // it is the file that is wrong
	Init                *jobView // the initialization job, nil where there is none
	Open                bool
	StopURL             string
	RerunURL            string   // "" when there is nothing to repeat
	Again               []string // jobs that repeating runs again, the first of them
	AgainMore           string
	Kept                int // jobs that repeating takes over
	began, ended        time.Time
	yaml, file          string
	PromoteURL          string
	Passed              bool
	Warnings            []string
	Promotions          []promotionView
	Blocks              []blockView
	Events              []eventView
}

type blockView struct {
	Name string
	Lamp Lamp
	Took Took
	Why  string
	Jobs []jobView
	Deps []int
	// whole tells that repeating it runs all of its jobs again, also those that passed.
	whole bool
}

type jobView struct {
	Name, Block, URL       string
	Lamp                   Lamp
	Took                   Took
	Why                    string
	Key                    string // that leads to it
	queued, started, ended time.Time
}

type eventView struct {
	At             *Moment
	Clock          string
	Actor          string
	Reason, Detail string
}

// maxProblem is how many lines of a malformed file's description are shown.
const maxProblem = 200

func (w *Web) getWorkflow(rw http.ResponseWriter, r *http.Request) error {
	var b workflowBody
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if b, err = readWorkflow(tx, r.PathValue("id"), r.URL.Query().Get("pipeline_id")); err != nil {
			return err
		}
		if err := readComparison(tx, &b); err != nil {
			return err
		}
		if err := askTargets(tx, &b, route.ActorFrom(r.Context()).User); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	})
	if err != nil {
		return err
	}
	b.MayStop, b.MayRun = may(r, auth.WorkflowStop), may(r, auth.WorkflowRun)
	b.choose(rw, r, w.o.Secure(r), w.o.Now())
	if b.Current != nil {
		b.Current.ask(r.URL.Query())
	}
	s.Title = strings.Join([]string{b.Lamp.Word, clip(b.Title, 80), b.Ref, b.Project.Name}, " · ")
	s.Section, s.Wide, s.Favicon, s.Script = "projects", true, b.Lamp.Class, "page"
	s.Topics = []string{"workflow:" + b.Workflow.ID}
	s.Crumbs = []Link{{b.Project.Name, "/projects/" + b.Project.Name}, {b.Ref, branchURL(b.Workflow)}}
	return w.render(rw, http.StatusOK, "workflow", s, b)
}

func readWorkflow(tx *store.Tx, id, pipelineID string) (workflowBody, error) {
	var b workflowBody
	wf, err := tx.Workflow(id)
	if err != nil {
		return b, orNotFound(err, "workflow")
	}
	project, err := tx.Project(wf.ProjectID)
	if err != nil {
		return b, orNotFound(err, "workflow")
	}
	if !project.DeletedAt.IsZero() {
		return b, notFound("workflow")
	}
	pipelines, err := tx.PipelinesOf(wf.ID)
	if err != nil {
		return b, err
	}
	_, rest, _ := strings.Cut(strings.TrimSpace(wf.CommitMessage), "\n")
	b = workflowBody{
		Project: project, Workflow: wf, Title: titleOf(wf.CommitMessage), Rest: clip(strings.TrimSpace(rest), 2000), SHA: shortSHA(wf.CommitSHA),
		By: clip(who(wf), 80), Ref: clip(wf.Label, 100), RefIcon: refIcon(wf), Created: moment(wf.CreatedAt, tx.Now),
		Lamp: workflowLamp(pipelines), Took: pipelinesTook(pipelines, tx.Now),
	}
	before, after, err := tx.Neighbours(wf)
	if err != nil {
		return b, err
	}
	if before != "" {
		b.Before = "/workflows/" + before
	}
	if after != "" {
		b.After = "/workflows/" + after
	}
	found := pipelineID == "" && len(pipelines) == 0
	stands := standing(pipelines)
	for i, p := range pipelines {
		v, err := readPipeline(tx, p)
		if err != nil {
			return b, err
		}
		v.Current = p.ID == pipelineID || pipelineID == "" && i == 0
		found = found || v.Current
		for _, block := range v.Blocks {
			for _, j := range block.Jobs {
				if !j.Lamp.bad() || !slices.Contains(stands, p) {
					continue
				}
				if j.Lamp == lampInfra {
					b.Infra++
				} else {
					b.Failed++
				}
				if len(b.Failures) < 3 {
					b.Failures = append(b.Failures, j)
				}
			}
		}
		if v.Current {
			events, err := tx.Events("pipeline", p.ID)
			if err != nil {
				return b, err
			}
			v.Events = eventViews(events, tx.Now)
		}
		b.Pipelines = append(b.Pipelines, v)
	}
	if !found {
		return b, notFound("pipeline")
	}
	for i := range b.Pipelines {
		if b.Pipelines[i].Current {
			b.Current = &b.Pipelines[i]
		}
	}
	return b, nil
}

func readPipeline(tx *store.Tx, p *signalbox.Pipeline) (pipelineView, error) {
	ahead := 0
	if p.State == signalbox.PipelineQueuing {
		q, err := tx.Queued(p)
		if err != nil {
			return pipelineView{}, err
		}
		ahead = max(q.Ahead, q.Running)
	}
	blocks, err := tx.Blocks(p.ID)
	if err != nil {
		return pipelineView{}, err
	}
	jobs, err := tx.JobsOf(p.ID)
	if err != nil {
		return pipelineView{}, err
	}
	v := pipelineView{
		ID: p.ID, Name: pipelineName(p), File: clip(p.File, 120), Lamp: pipelineLamp(p), Why: pipelineWhy(p, ahead), Took: took(p.RunningAt, p.DoneAt, tx.Now),
		URL:  workflowURL(p.WorkflowID, p.ID),
		Open: p.State != signalbox.PipelineDone && p.State != signalbox.PipelineStopping, StopURL: "/workflows/" + p.WorkflowID + "/pipelines/" + p.ID + "/stop",
	}
	v.PromoteURL, v.Passed = "/workflows/"+p.WorkflowID+"/pipelines/"+p.ID+"/promote", p.Result == signalbox.ResultPassed
	if p.State == signalbox.PipelineDone && !v.Passed && p.Plan != nil {
		v.RerunURL = "/workflows/" + p.WorkflowID + "/pipelines/" + p.ID + "/rerun"
	}
	v.began, v.ended, v.yaml, v.file = p.RunningAt, p.DoneAt, p.YAML, p.File
	if v.Promotions, err = readPromotions(tx, p); err != nil {
		return v, err
	}
	v.Malformed = p.Reason == signalbox.ReasonMalformed
	if text := strings.TrimSpace(p.ErrorDescription); text != "" {
		lines := strings.Split(text, "\n")
		for _, line := range lines[:min(len(lines), maxProblem)] {
			v.Problem = append(v.Problem, clip(strings.TrimRight(line, "\r "), 1000))
		}
		if n := len(lines) - maxProblem; n > 0 {
			v.Problem = append(v.Problem, "and "+plural(n, "more line", "more lines"))
		}
	}
	stopping := p.State == signalbox.PipelineStopping
	byBlock := map[string][]*signalbox.Job{}
	for _, j := range jobs {
		byBlock[j.BlockID] = append(byBlock[j.BlockID], j)
	}
	names := make([]string, len(blocks))
	for i, b := range blocks {
		names[i] = b.Name
	}
	for _, b := range blocks {
		v.Blocks = append(v.Blocks, blockViewOf(b, byBlock[b.ID], blocks, p.Plan, stopping || b.State == signalbox.BlockStopping, tx.Now))
	}
	after, err := tx.BlockBeside(p.ID, signalbox.BlockAfter)
	if err != nil {
		return v, err
	}
	if after != nil {
		v.Blocks = append(v.Blocks, afterView(after, byBlock[after.ID], blocks, p, tx.Now))
	}
	init, err := tx.BlockBeside(p.ID, signalbox.BlockInit)
	if err != nil {
		return v, err
	}
	if init != nil {
		for _, j := range jobViews(initName, byBlock[init.ID], stopping, tx.Now) {
			v.Init = &j
		}
	}
	if p.Plan != nil {
		for _, w := range p.Plan.Warnings {
			v.Warnings = append(v.Warnings, clip(w, 1000))
		}
	}
	if v.RerunURL != "" {
		again, kept := v.again()
		v.Again, v.AgainMore = counted(again, 10)
		v.Kept = kept
	}
	for _, b := range v.Blocks {
		v.Total += len(b.Jobs)
		for _, j := range b.Jobs {
			switch j.Lamp {
			case lampQueued, lampRunning, lampStopping, lampWaiting:
			default:
				v.Done++
			}
		}
	}
	return v, nil
}

func pipelineName(p *signalbox.Pipeline) string {
	if p.Name != "" {
		return clip(p.Name, 120)
	}
	return "Pipeline"
}

// blockViewOf shows a block with its jobs; before these exist, with those of the plan.
func blockViewOf(b *signalbox.Block, jobs []*signalbox.Job, all []*signalbox.Block, plan *signalbox.Plan, stopping bool, now time.Time) blockView {
	var needs []string
	for _, d := range b.Dependencies {
		if d >= 0 && d < len(all) && all[d].State != signalbox.BlockDone {
			needs = append(needs, all[d].Name)
		}
	}
	v := blockView{
		Name: clip(b.Name, 120), Lamp: blockLamp(b), Took: took(b.RunningAt, b.DoneAt, now), Why: blockWhy(b, needs),
		Deps: b.Dependencies,
	}
	if plan != nil && b.Index >= 0 && b.Index < len(plan.Blocks) {
		v.whole = plan.Blocks[b.Index].PartialRerun == "block"
	}
	if b.Reason == signalbox.ReasonSkipped && plan != nil && b.Index >= 0 && b.Index < len(plan.Blocks) && plan.Blocks[b.Index].Skip != "" {
		v.Why = "Skipped: " + clip(plan.Blocks[b.Index].Skip, 300)
	}
	v.Jobs = jobViews(v.Name, jobs, stopping, now)
	if len(jobs) > 0 || plan == nil || b.Index >= len(plan.Blocks) || b.Index < 0 {
		return v
	}
	lamp := lampWaiting
	if b.State == signalbox.BlockDone {
		lamp = v.Lamp
	}
	for _, j := range plan.Blocks[b.Index].Jobs {
		v.Jobs = append(v.Jobs, jobView{Name: clip(j.Name, 120), Block: v.Name, Lamp: lamp, Took: Took{Text: clock(-1)}})
	}
	return v
}

func jobViews(block string, jobs []*signalbox.Job, stopping bool, now time.Time) (out []jobView) {
	for _, j := range jobs {
		stop := stopping && j.State == signalbox.JobRunning
		job := jobView{
			Name: clip(j.Name, 120), Block: block, URL: "/jobs/" + j.ID, Lamp: jobLamp(j, stop), Why: jobWhy(j, stop),
			Took: took(j.StartedAt, j.FinishedAt, now), queued: j.QueuedAt, started: j.StartedAt, ended: j.FinishedAt,
		}
		if over := firstTime(job.started, job.ended); !over.IsZero() && over.Before(job.queued) {
			job.queued = over // clocks were set back
		}
		if j.State == signalbox.JobQueued || j.State == signalbox.JobOffered {
			job.Took = took(j.QueuedAt, time.Time{}, now)
		}
		out = append(out, job)
	}
	return out
}

// What people call the blocks that stand beside those of a file.
const (
	afterName = "After the pipeline"
	initName  = "Initialization"
)

// afterView shows the jobs of after_pipeline behind the blocks that no other one waits for.
func afterView(b *signalbox.Block, jobs []*signalbox.Job, all []*signalbox.Block, p *signalbox.Pipeline, now time.Time) blockView {
	last := map[int]bool{}
	for i := range all {
		last[i] = true
	}
	for _, other := range all {
		for _, d := range other.Dependencies {
			delete(last, d)
		}
	}
	shown := *b
	shown.Name, shown.Dependencies = afterName, slices.Sorted(maps.Keys(last))
	v := blockViewOf(&shown, jobs, all, nil, false, now)
	if len(jobs) == 0 && p.Plan != nil {
		v.Why = "Runs when the pipeline is done"
		for _, j := range p.Plan.After {
			v.Jobs = append(v.Jobs, jobView{Name: clip(j.Name, 120), Block: v.Name, Lamp: lampWaiting, Took: Took{Text: clock(-1)}})
		}
	}
	return v
}

// Reason is why the job failed without the word for its state, which stands before it.
func (j jobView) Reason() string { return strings.TrimPrefix(j.Why, j.Lamp.Word+": ") }

// ByAttention returns the blocks with what failed first, then what runs, what waits, and the rest.
func (p *pipelineView) ByAttention() []blockView {
	out := slices.Clone(p.Blocks)
	slices.SortStableFunc(out, func(a, b blockView) int { return cmp.Compare(a.Lamp.rank(), b.Lamp.rank()) })
	return out
}

func eventViews(events []*signalbox.Event, now time.Time) []eventView {
	// A history is short unless something goes round in circles; then its end tells more.
	const most = 200
	out := make([]eventView, 0, min(len(events), most))
	for _, e := range events[max(0, len(events)-most):] {
		out = append(out, eventView{
			At: moment(e.At, now), Clock: e.At.UTC().Format("15:04:05"), Actor: actorName(e.Actor), Reason: clip(e.Reason, 120), Detail: clip(e.Detail, 300),
		})
	}
	return out
}

func (w *Web) postPipelineStop(rw http.ResponseWriter, r *http.Request) error {
	id, pipeline := r.PathValue("id"), r.PathValue("pipeline")
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, err := tx.Pipeline(pipeline)
		if err == nil && p.WorkflowID != id {
			return notFound("pipeline")
		}
		return orNotFound(err, "pipeline")
	})
	if err != nil {
		return err
	}
	if err := w.o.Stopper.StopPipeline(r.Context(), pipeline, route.ActorFrom(r.Context()).Name()); err != nil {
		return err
	}
	http.Redirect(rw, r, "/workflows/"+url.PathEscape(id)+"?pipeline_id="+url.QueryEscape(pipeline), http.StatusSeeOther)
	return nil
}
