package web

import (
	"net/http"
	"net/url"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// The tabs of a project's page.
const (
	tabEverything = ""
	tabBranches   = "branches"
	tabPulls      = "pull_requests"
	tabTags       = "tags"

	tabDeployments = "deployments"
	tabTasks       = "tasks"
	tabSettings    = "settings"
)

// projectTabs are the tabs of a project's pages.
type projectTabs struct {
	Project   *signalbox.Project
	Tab       string
	MayManage bool
}

// refTypes are the kinds of refs that the tabs list.
var refTypes = map[string]string{tabBranches: "branch", tabPulls: "pull-request", tabTags: "tag"}

type projectBody struct {
	projectTabs
	RunURL    string // "" for who may not
	Page      workflowPage
	GitURL    string
	DebugRule string
	Starred   bool
	First     *firstWorkflow
	Trunk     *trunkView // nil before the default branch has run
}

// trunkView is how a project's default branch is.
type trunkView struct {
	Name, URL string
	Lamp      Lamp
	At        *Moment
	Runs      *branchRuns
	Running   int // jobs of the project
}

func (w *Web) getProject(rw http.ResponseWriter, r *http.Request) error {
	return w.showProject(rw, r, tabEverything)
}

func (w *Web) getProjectBranches(rw http.ResponseWriter, r *http.Request) error {
	return w.showProject(rw, r, tabBranches)
}

func (w *Web) getProjectPulls(rw http.ResponseWriter, r *http.Request) error {
	return w.showProject(rw, r, tabPulls)
}

func (w *Web) getProjectTags(rw http.ResponseWriter, r *http.Request) error {
	return w.showProject(rw, r, tabTags)
}

func (w *Web) showProject(rw http.ResponseWriter, r *http.Request, tab string) error {
	b := projectBody{projectTabs: projectTabs{Tab: tab, MayManage: may(r, auth.ProjectManage)}}
	branch := "" // which older links name here
	if tab == tabEverything {
		branch = r.URL.Query().Get("branch")
	}
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		if b.Project, err = tx.FindProject(r.PathValue("name")); err != nil {
			return orNotFound(err, "project")
		}
		if branch != "" {
			return nil
		}
		if w.mayRun(r) {
			b.RunURL = runURL(b.Project)
		}
		b.DebugRule = debugRule(b.Project)
		b.GitURL = clip(signalbox.WithoutPassword(b.Project.GitURL), 200)
		if tab == tabEverything {
			err = w.readProject(tx, &b, r)
		} else {
			b.Page, err = w.readRefs(tx, b.Project, refTypes[tab], r.URL)
		}
		if err != nil {
			return err
		}
		if s, err = w.shell(r, tx); err != nil || s.User == nil {
			return err
		}
		starred, err := tx.Starred(s.User.ID)
		b.Starred = starred[b.Project.ID]
		return err
	})
	if err != nil {
		return err
	}
	if branch != "" {
		http.Redirect(rw, r, "/branches/"+signalbox.BranchID(b.Project.ID, branch), http.StatusSeeOther)
		return nil
	}
	s.Title, s.Section, s.Script = b.Project.Name, "projects", "page"
	if name := map[string]string{tabBranches: "Branches", tabPulls: "Pull requests", tabTags: "Tags"}[tab]; name != "" {
		s.Title = name + " · " + s.Title
	}
	s.Topics = []string{"project:" + b.Project.ID}
	if b.First != nil {
		s.Topics = append(s.Topics, "agents")
	}
	s.Crumbs = []Link{{"Projects", "/projects"}}
	return w.render(rw, http.StatusOK, "project", s, b)
}

func (w *Web) readProject(tx *store.Tx, b *projectBody, r *http.Request) (err error) {
	q := workflowQuery{filters: []store.WorkflowFilter{{ProjectID: b.Project.ID}}}
	if b.Page, err = w.page(tx, q, r.URL, nil); err != nil || !b.Page.Begins {
		return err
	}
	if err := b.readTrunk(tx); err != nil {
		return err
	}
	total := len(b.Page.Rows)
	if b.Page.Older != "" {
		total++
	}
	b.First, err = w.firstWorkflow(tx, r, b.Project, total, b.Page.Rows)
	return err
}

// readTrunk says how the default branch is.
func (b *projectBody) readTrunk(tx *store.Tx) error {
	key := store.BranchKey{ProjectID: b.Project.ID, BranchName: b.Project.DefaultBranch}
	newest, err := tx.Workflows(store.WorkflowFilter{ProjectID: key.ProjectID, BranchName: key.BranchName, Limit: 1})
	if err != nil || key.BranchName == "" || len(newest) == 0 {
		return err
	}
	runs, err := readRuns(tx, []store.BranchKey{key}, runsCounted)
	if err != nil {
		return err
	}
	running, err := tx.RunningIn([]string{b.Project.ID})
	if err != nil {
		return err
	}
	pipelines, err := tx.PipelineStates([]string{newest[0].ID})
	b.Trunk = &trunkView{
		Name: clip(key.BranchName, 60), URL: "/workflows/" + newest[0].ID, Lamp: workflowLamp(pipelines[newest[0].ID]), At: moment(newest[0].CreatedAt, tx.Now), Runs: runs[key], Running: running[b.Project.ID],
	}
	return err
}

// readRefs lists the branches, pull requests or tags of a project, each with its newest workflow, those that were last worked on first. The
// default branch comes before the others: it has most workflows, and what is behind them should not be far away.
func (w *Web) readRefs(tx *store.Tx, project *signalbox.Project, refType string, at *url.URL) (workflowPage, error) {
	p := workflowPage{First: addressOf(at, "", "")}
	after, err := parsePlace(at.Query().Get("older"))
	if err != nil {
		return p, err
	}
	p.Begins = after.ID == ""
	var list []*signalbox.Workflow
	if refType == "branch" && p.Begins && project.DefaultBranch != "" {
		if list, err = tx.Workflows(store.WorkflowFilter{ProjectID: project.ID, BranchName: project.DefaultBranch, Limit: 1}); err != nil {
			return p, err
		}
	}
	pinned, looked := len(list), 0
	for p.Older == "" {
		heads, err := tx.BranchHeads(store.WorkflowFilter{ProjectID: project.ID, RefType: refType, After: after, Limit: chunkSize})
		if err != nil {
			return p, err
		}
		for _, h := range heads {
			if refType == "branch" && h.BranchName == project.DefaultBranch || !h.Newest {
				after = placeOf(&h.Workflow)
				continue
			}
			if len(list)-pinned == pageSize {
				p.Older = addressOf(at, "older", placeText(after))
				break
			}
			list, after = append(list, &h.Workflow), placeOf(&h.Workflow)
		}
		looked += len(heads)
		switch {
		case len(heads) < chunkSize:
		case p.Older == "" && looked >= lookThrough:
			p.Older, p.Looked, p.LookedTo = addressOf(at, "older", placeText(after)), looked, moment(after.CreatedAt, tx.Now)
		default:
			continue
		}
		break
	}
	if p.Rows, err = w.rows(tx, list, nil); err != nil || refType == "tag" {
		return p, err
	}
	var branches []store.BranchKey
	for _, wf := range list {
		branches = append(branches, store.BranchKey{ProjectID: project.ID, BranchName: wf.BranchName})
	}
	runs, err := readRuns(tx, branches, runsDrawn)
	for i := range p.Rows {
		p.Rows[i].Runs = runs[branches[i]]
	}
	return p, err
}
