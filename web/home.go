package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// The tabs of the home page, by the names that addresses have.
const (
	tabMine      = "my-work"
	tabEveryone  = "everyones-activity"
	tabStarred   = "starred"
	tabAttention = "needs-attention"
)

// Old failures ask for nobody's attention any more, and only the newest workflows of a person are looked at.
const (
	attentionFor  = 14 * 24 * time.Hour
	attentionMost = 200
)

type homeBody struct {
	Tab      string
	Filter   homeFilter
	Page     workflowPage
	Needs    []need
	Types    []typeRow
	Todo     *onboarding
	Projects bool // there are any
	Starless bool // no project has the user's star
	MayAdd   bool
	States   []choice
	Triggers []choice
}

// choice is an entry of a list from which one chooses.
type choice struct{ Value, Name string }

var (
	stateChoices   = []choice{{"running", "running or waiting"}, {"failed", "failed"}, {"passed", "passed"}, {"stopped", "stopped"}}
	triggerChoices = []choice{
		{string(signalbox.TriggeredByHook), "push"},
		{string(signalbox.TriggeredByManualRun), "by hand"},
		{string(signalbox.TriggeredBySchedule), "task"},
		{string(signalbox.TriggeredByAPI), "API"},
	}
)

// need is one thing that somebody should look at.
type need struct {
	Lamp             Lamp
	URL, Title, Text string
}

func (w *Web) getHome(rw http.ResponseWriter, r *http.Request) error {
	b := homeBody{Filter: newHomeFilter(r.URL.Query()), States: stateChoices, Triggers: triggerChoices}
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		if b.Todo, err = w.onboardingCard(tx, s.User); err != nil {
			return err
		}
		b.MayAdd = w.o.Projects != nil && may(r, auth.ProjectCreate)
		projects, err := tx.FindProjects(store.ProjectFilter{Limit: 1})
		if b.Projects = len(projects) > 0; err != nil || !b.Projects {
			return err
		}
		if b.Types, err = w.types(tx, tx.Now); err != nil {
			return err
		}
		return w.readHome(tx, &b, s.User, r.URL)
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script = "Home", "home", "page"
	s.Topics = []string{"workflows", "agents"}
	return w.render(rw, http.StatusOK, "home", s, b)
}

func (w *Web) readHome(tx *store.Tx, b *homeBody, user *signalbox.User, at *url.URL) error {
	mine := workflowQuery{filters: mineOf(user)}
	newest, err := mine.read(tx, store.WorkflowPlace{}, store.WorkflowPlace{}, attentionMost)
	if err != nil {
		return err
	}
	b.Tab = homeTab(at.Query().Get("dashboard"), len(newest) > 0)
	if b.Needs, err = w.needs(tx, newest); err != nil {
		return err
	}
	b.Needs = append(b.Needs, agentNeeds(b.Types)...)
	if b.Tab == tabAttention {
		return nil
	}
	f, err := b.Filter.read(tx)
	if err != nil {
		return err
	}
	q := workflowQuery{filters: f.everyone()}
	switch b.Tab {
	case tabMine:
		q.filters = mine.filters
	case tabStarred:
		if q.filters, err = starredQuery(tx, user.ID); err != nil {
			return err
		}
		b.Starless = len(q.filters) == 0
	}
	names := map[string]string{}
	named := keepNamed(tx, names)
	q.keep = func(list []*signalbox.Workflow) ([]*signalbox.Workflow, error) {
		list, err := named(slices.DeleteFunc(list, func(wf *signalbox.Workflow) bool { return !f.matches(wf) }))
		if err != nil || f.State == "" {
			return list, err
		}
		return keepState(tx, list, f.State)
	}
	if f.unknown {
		q.filters = nil
	}
	b.Page, err = w.page(tx, q, at, names)
	return err
}

// homeTab is the tab that an address names; without a name, what is one's own if there is any.
func homeTab(name string, any bool) string {
	switch {
	case name == tabMine || name == tabEveryone || name == tabStarred || name == tabAttention:
		return name
	case any:
		return tabMine
	}
	return tabEveryone
}

// mineOf finds what somebody started: by hand, by the API or as the owner of a task, or by pushing a commit that has their name or address.
func mineOf(u *signalbox.User) []store.WorkflowFilter {
	out := []store.WorkflowFilter{{By: u.Name}}
	if u.Email != "" {
		out = append(out, store.WorkflowFilter{Email: u.Email})
	}
	return out
}

// homeFilter is what the fields above a list of workflows say; empty ones let everything through.
type homeFilter struct {
	Project, Branch, Author, State, Trigger string
	projectID                               string
	unknown                                 bool // there is no such project
}

func newHomeFilter(q url.Values) homeFilter {
	field := func(name string) string { return clip(strings.TrimSpace(q.Get(name)), 200) }
	f := homeFilter{Project: field("project"), Branch: field("branch"), Author: field("author"), State: field("state"), Trigger: field("trigger")}
	known := func(list []choice, v string) string {
		if slices.ContainsFunc(list, func(c choice) bool { return c.Value == v }) {
			return v
		}
		return ""
	}
	f.State, f.Trigger = known(stateChoices, f.State), known(triggerChoices, f.Trigger)
	return f
}

// Any tells whether something is filtered.
func (f homeFilter) Any() bool {
	return f.Project != "" || f.Branch != "" || f.Author != "" || f.State != "" || f.Trigger != ""
}

// Words says what is filtered, for a list that has nothing to show.
func (f homeFilter) Words() string {
	var out []string
	for _, p := range []choice{{"project", f.Project}, {"branch", f.Branch}, {"author", f.Author}, {"state", f.State}, {"started by", f.Trigger}} {
		if p.Name != "" {
			out = append(out, p.Value+": "+clip(p.Name, 60))
		}
	}
	return strings.Join(out, ", ")
}

func (f homeFilter) read(tx *store.Tx) (homeFilter, error) {
	if f.Project == "" {
		return f, nil
	}
	p, err := tx.FindProject(f.Project)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		f.unknown = true
		return f, nil
	}
	if err == nil {
		f.projectID = p.ID
	}
	return f, err
}

// everyone is what of the filter has an index; the rest is looked at workflow by workflow.
func (f homeFilter) everyone() []store.WorkflowFilter {
	switch {
	case f.projectID != "" && f.Branch != "":
		return []store.WorkflowFilter{{ProjectID: f.projectID, BranchName: f.Branch}, {ProjectID: f.projectID, BranchName: "refs/tags/" + f.Branch}}
	case f.projectID != "":
		return []store.WorkflowFilter{{ProjectID: f.projectID}}
	case f.Author != "":
		return []store.WorkflowFilter{{By: f.Author}}
	}
	return []store.WorkflowFilter{{}}
}

// matches tells whether a workflow passes what can be told without its pipelines.
func (f homeFilter) matches(wf *signalbox.Workflow) bool {
	return (f.projectID == "" || wf.ProjectID == f.projectID) && (f.Branch == "" || wf.Label == f.Branch || wf.BranchName == f.Branch) &&
		(f.Author == "" || who(wf) == f.Author) && (f.Trigger == "" || string(wf.TriggeredBy) == f.Trigger)
}

// keepNamed keeps the workflows of projects that are there, and learns their names.
func keepNamed(tx *store.Tx, names map[string]string) func([]*signalbox.Workflow) ([]*signalbox.Workflow, error) {
	asked := map[string]bool{}
	return func(list []*signalbox.Workflow) ([]*signalbox.Workflow, error) {
		var ids []string
		for _, wf := range list {
			if !asked[wf.ProjectID] {
				asked[wf.ProjectID] = true
				ids = append(ids, wf.ProjectID)
			}
		}
		more, err := tx.ProjectNames(ids)
		for id, name := range more {
			names[id] = name
		}
		return slices.DeleteFunc(list, func(wf *signalbox.Workflow) bool { return names[wf.ProjectID] == "" }), err
	}
}

func keepState(tx *store.Tx, list []*signalbox.Workflow, state string) ([]*signalbox.Workflow, error) {
	ids := make([]string, len(list))
	for i, wf := range list {
		ids[i] = wf.ID
	}
	pipelines, err := tx.PipelineStates(ids)
	return slices.DeleteFunc(list, func(wf *signalbox.Workflow) bool { return stateOf(workflowLamp(pipelines[wf.ID])) != state }), err
}

// stateOf is the state by which workflows with a lamp are found.
func stateOf(l Lamp) string {
	switch {
	case l.bad():
		return "failed"
	case l == lampPassed || l == lampSkipped:
		return "passed"
	case l == lampStopped || l == lampCanceled:
		return "stopped"
	}
	return "running"
}

// needs are somebody's failures that nobody has repeated and nothing newer of the branch has made good; newest first.
func (w *Web) needs(tx *store.Tx, mine []*signalbox.Workflow) ([]need, error) {
	mine = slices.DeleteFunc(mine, func(wf *signalbox.Workflow) bool { return tx.Now.Sub(wf.CreatedAt) > attentionFor })
	names := map[string]string{}
	mine, err := keepNamed(tx, names)(mine)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(mine))
	for i, wf := range mine {
		ids[i] = wf.ID
	}
	pipelines, err := tx.PipelineStates(ids)
	if err != nil {
		return nil, err
	}
	failures := lastFailures(mine, pipelines)
	ids = ids[:0]
	for _, wf := range failures {
		ids = append(ids, wf.ID)
	}
	settled, err := tx.Settled(ids)
	if err != nil {
		return nil, err
	}
	var out []need
	for _, wf := range failures {
		if settled[wf.ID] {
			continue
		}
		lamp := workflowLamp(pipelines[wf.ID])
		var ended time.Time
		for _, p := range pipelines[wf.ID] {
			if p.DoneAt.After(ended) {
				ended = p.DoneAt
			}
		}
		out = append(out, need{
			Lamp: lamp, URL: "/workflows/" + wf.ID, Title: titleOf(wf.CommitMessage),
			Text: joinDots(names[wf.ProjectID], clip(wf.Label, 80), lamp.Word+" "+ago(firstTime(ended, wf.CreatedAt), tx.Now)+", not rerun"),
		})
	}
	return out, nil
}

// lastFailures are the workflows that failed, of each branch only the last and only if nothing newer of the same list runs or passed.
// The list is newest first. What was stopped or canceled says nothing.
func lastFailures(list []*signalbox.Workflow, pipelines map[string][]*signalbox.Pipeline) []*signalbox.Workflow {
	seen := map[string]bool{}
	var out []*signalbox.Workflow
	for _, wf := range list {
		branch := wf.ProjectID + " " + wf.BranchName
		state := stateOf(workflowLamp(pipelines[wf.ID]))
		if seen[branch] || state == "stopped" {
			continue
		}
		seen[branch] = true
		if state == "failed" {
			out = append(out, wf)
		}
	}
	return out
}

// agentNeeds are the agent types for which jobs wait though no agent of theirs could take one.
func agentNeeds(types []typeRow) []need {
	var out []need
	for _, t := range types {
		if t.Waiting == 0 || t.Busy+t.Idle > 0 {
			continue
		}
		n := need{Lamp: lampQueued, URL: cmp.Or(t.URL, "/activity?tab=queue&q="+url.QueryEscape(t.Name)), Title: clip(t.Name, 80) + " has no agents"}
		n.Text = plural(t.Waiting, "job waits", "jobs wait")
		if t.Gone > 0 {
			n.Text += "; " + plural(t.Gone, "agent is silent or set aside", "agents are silent or set aside")
		}
		if !t.Known {
			n.Title, n.Text = "There is no agent type "+clip(t.Name, 80), n.Text+" for it"
		}
		out = append(out, n)
	}
	return out
}
