package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// firstWorkflow is what a project's page says until its first workflow has passed: how far it has come, and what is waited for.
type firstWorkflow struct {
	Items    []checkItem
	Problem  string
	Workflow string // where the first one is, "" before there is one
	Branches []string
	Branch   string
	MayRun   bool
	RunURL   string
}

type checkItem struct {
	Lamp       Lamp
	Text, Hint string
}

// branchesShown bounds the list from which one chooses.
const branchesShown = 200

// firstWorkflow is nil once a project has had more than one workflow, or the only one has passed.
func (w *Web) firstWorkflow(tx *store.Tx, r *http.Request, p *signalbox.Project, total int, rows []Row) (*firstWorkflow, error) {
	if total > 1 || total == 1 && len(rows) > 0 && rows[0].Lamp == lampPassed && r.URL.Query().Get("added") == "" {
		return nil, nil
	}
	v := &firstWorkflow{Problem: clip(r.URL.Query().Get("problem"), 300), Branch: p.DefaultBranch, MayRun: w.mayRun(r)}
	v.RunURL = runURL(p)
	refs, err := tx.GitRefs(p.ID)
	if err != nil {
		return nil, err
	}
	for ref := range refs {
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			v.Branches = append(v.Branches, name)
		}
	}
	slices.Sort(v.Branches)
	v.Branches = v.Branches[:min(len(v.Branches), branchesShown)]
	readable := checkItem{lampPassed, "The repository can be read", plural(len(v.Branches), "branch", "branches")}
	if len(v.Branches) == 0 {
		readable = checkItem{lampWaiting, "The repository is empty", "Push a commit to it."}
	}
	pushes := checkItem{lampWaiting, "The server is not told of pushes", "Start workflows here, or with signalbox workflow start " + p.Name}
	if w.o.Projects != nil && w.o.Projects.Hooked(r.Context(), p) {
		pushes = checkItem{lampPassed, "The hook is installed", "A push starts a workflow."}
	}
	types, err := w.knownTypes(tx)
	if err != nil {
		return nil, err
	}
	connected := 0
	for _, t := range types {
		connected += t.Idle + t.Busy
	}
	agents := checkItem{lampPassed, plural(connected, "agent is", "agents are") + " connected", ""}
	if connected == 0 {
		agents = checkItem{lampWaiting, "No agent is connected", "Jobs wait until one is."}
	}
	start := checkItem{lampWaiting, "The first workflow has not started", "Push a commit that has " + p.PipelineFile + ", or run it now."}
	if total > 0 && len(rows) > 0 {
		v.Workflow = rows[0].URL
		start = checkItem{rows[0].Lamp, "The first workflow: " + strings.ToLower(rows[0].Lamp.Word), ""}
	}
	v.Items = []checkItem{readable, pushes, agents, start}
	return v, nil
}
