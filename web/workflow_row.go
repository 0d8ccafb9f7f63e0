package web

import (
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// mostFailures bounds how many failed jobs of a page's workflows are read.
const mostFailures = 2000

// Row is one workflow in a list.
type Row struct {
	ID, URL, Title string
	Lamp           Lamp
	Project        string
	Ref, RefURL    string
	SHA            string
	RefIcon        string
	By             string
	Number         int
	FailedJobs     []string // "Block › Job", when there are few
	Failed         int
	Infra          int // jobs that the machinery failed
	Why            string
	Turn           *Lamp  // what it did to its branch, when that changed
	Waits          string // for which agents jobs wait
	Stuck          bool   // and no agent can take them
	Took           Took
	Created        *Moment
	Pipelines      []Lamp
	Runs           *branchRuns // of its branch, where a list shows branches
}

var (
	turnBroke = Lamp{"failed", "Broke this branch"}
	turnFixed = Lamp{"passed", "Fixed this branch"}
)

// turnOf says what a workflow did to its branch, given how the branch was before it: nil when nothing changed or nobody can tell. What the
// machinery failed says nothing of the code.
func turnOf(now, before Lamp) *Lamp {
	red := func(l Lamp) bool { return l == lampFailed || l == lampTimedOut }
	switch {
	case red(now) && before == lampPassed:
		return &turnBroke
	case now == lampPassed && red(before):
		return &turnFixed
	}
	return nil
}

// rows makes lines of workflows, with as many statements for one as for many. names maps project ids to names, nil when the project need
// not be said.
func (w *Web) rows(tx *store.Tx, workflows []*signalbox.Workflow, names map[string]string) ([]Row, error) {
	ids := make([]string, len(workflows))
	for i, wf := range workflows {
		ids[i] = wf.ID
	}
	pipelines, err := tx.PipelineStates(ids)
	if err != nil {
		return nil, err
	}
	out := make([]Row, 0, len(workflows))
	at := map[string]int{} // the row of a pipeline
	var ended, failed, open []string
	for i, wf := range workflows {
		row := newRow(wf, pipelines[wf.ID], tx.Now)
		row.Project = names[wf.ProjectID]
		if row.Lamp == lampPassed || row.Lamp == lampFailed || row.Lamp == lampTimedOut {
			ended = append(ended, wf.ID)
		}
		for _, p := range standing(pipelines[wf.ID]) {
			at[p.ID] = i
			switch {
			case p.State != signalbox.PipelineDone:
				open = append(open, p.ID)
				failed = append(failed, p.ID)
			case p.Result == signalbox.ResultFailed:
				failed = append(failed, p.ID)
			}
		}
		out = append(out, row)
	}
	if err := addTurns(tx, out, ended); err != nil {
		return nil, err
	}
	jobs, err := tx.FailedJobs(failed, mostFailures)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		out[at[j.PipelineID]].addFailure(j)
	}
	return out, addWaits(tx, out, at, open)
}

// newRow says of a workflow what follows from its pipelines.
func newRow(wf *signalbox.Workflow, pipelines []*signalbox.Pipeline, now time.Time) Row {
	row := Row{
		ID: wf.ID, URL: "/workflows/" + wf.ID, Title: titleOf(wf.CommitMessage), Lamp: workflowLamp(pipelines),
		Ref: clip(wf.Label, 80), RefURL: branchURL(wf), RefIcon: refIcon(wf), SHA: shortSHA(wf.CommitSHA), By: clip(who(wf), 60), Number: wf.Number,
		Created: moment(wf.CreatedAt, now), Took: pipelinesTook(pipelines, now),
	}
	for _, p := range pipelines {
		row.Pipelines = append(row.Pipelines, pipelineLamp(p))
	}
	for _, p := range standing(pipelines) {
		if p.Result != signalbox.ResultPassed && row.Why == "" {
			row.Why = pipelineWhy(p, 0)
		}
	}
	return row
}

func (row *Row) addFailure(j *store.FailedJob) {
	lamp := jobLamp(&j.Job, false)
	if !lamp.bad() {
		return
	}
	if lamp == lampInfra {
		row.Infra++
	} else {
		row.Failed++
	}
	if len(row.FailedJobs) < 2 {
		row.FailedJobs = append(row.FailedJobs, clip(j.Block, 60)+" › "+clip(j.Name, 60))
	}
}

// addTurns says which of the workflows that ended broke or fixed their branch.
func addTurns(tx *store.Tx, rows []Row, ended []string) error {
	before, err := tx.Predecessors(ended)
	if err != nil {
		return err
	}
	var ids []string
	for _, id := range before {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	pipelines, err := tx.PipelineStates(slices.Compact(ids))
	if err != nil {
		return err
	}
	for i := range rows {
		if id := before[rows[i].ID]; id != "" && rows[i].RefIcon != "tagi" {
			rows[i].Turn = turnOf(rows[i].Lamp, workflowLamp(pipelines[id]))
		}
	}
	return nil
}

// addWaits says for which agents jobs of open pipelines wait.
func addWaits(tx *store.Tx, rows []Row, at map[string]int, open []string) error {
	waiting, err := tx.WaitingIn(open)
	if err != nil || len(waiting) == 0 {
		return err
	}
	types, err := tx.AgentTypes()
	if err != nil {
		return err
	}
	agents, err := tx.AgentCounts()
	if err != nil {
		return err
	}
	living := map[string]int{}
	for _, t := range types {
		living[t.Name] = agents[t.ID]
	}
	queued := map[int]map[string]int{}
	for _, q := range waiting {
		i := at[q.PipelineID]
		if queued[i] == nil {
			queued[i] = map[string]int{}
		}
		queued[i][q.AgentType] += q.Queued
	}
	for i, of := range queued {
		rows[i].Waits, rows[i].Stuck = waitsFor(of, living)
	}
	return nil
}

// waitsFor says for which agent types so many jobs wait. stuck means that one of the types has no agents, or is not there.
func waitsFor(queued, living map[string]int) (text string, stuck bool) {
	var names, missing []string
	n := 0
	for name, jobs := range queued {
		n += jobs
		names = append(names, name)
		if living[name] == 0 {
			missing = append(missing, name)
		}
	}
	slices.Sort(names)
	slices.Sort(missing)
	if len(missing) > 0 {
		return "No agent of " + joinNames(missing) + " is connected", true
	}
	verb := " wait for an agent of "
	if n == 1 {
		verb = " waits for an agent of "
	}
	return plural(n, "job", "jobs") + verb + strings.ReplaceAll(joinNames(names), " and ", " or "), false
}

// pipelinesTook is the time from the first start to the last end.
func pipelinesTook(pipelines []*signalbox.Pipeline, now time.Time) Took {
	start, end := pipelinesSpan(pipelines)
	return took(start, end, now)
}

// pipelinesSpan is from the start of the first pipeline to the end of the last one, which is zero before all have ended.
func pipelinesSpan(pipelines []*signalbox.Pipeline) (start, end time.Time) {
	open := false
	for _, p := range pipelines {
		if s := p.RunningAt; !s.IsZero() && (start.IsZero() || s.Before(start)) {
			start = s
		}
		if p.DoneAt.After(end) {
			end = p.DoneAt
		}
		open = open || p.State != signalbox.PipelineDone
	}
	if open {
		end = time.Time{}
	}
	return start, end
}

func who(wf *signalbox.Workflow) string {
	if wf.Requester != "" {
		return wf.Requester
	}
	return wf.CommitAuthor
}

func refIcon(wf *signalbox.Workflow) string {
	switch wf.RefType {
	case "tag":
		return "tagi"
	case "pull-request":
		return "pr"
	}
	return "branch"
}

// branchURL is the page of the branch, tag or pull request that a workflow ran for.
func branchURL(wf *signalbox.Workflow) string {
	return "/branches/" + signalbox.BranchID(wf.ProjectID, wf.BranchName)
}
