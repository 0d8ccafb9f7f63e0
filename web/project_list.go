package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// mostProjects bounds how many projects one page of a filtered list looks at.
const mostProjects = 1000

// projectRow is a project in the list of all.
type projectRow struct {
	Name, GitURL string
	Branch       string // the default one
	State        *Lamp  // of its newest workflow, nil before there is one
	StateURL     string
	Latest       *Row
	Running      int
	Runs         *branchRuns // of the default branch
	Starred      bool
}

type projectsBody struct {
	Query        string
	Failing      bool
	Starred      bool
	Rows         []projectRow
	Newer, Older string // the pages before and after this one
	First        string
	Looked       int // after so many the search was broken off
	MayAdd       bool
}

func (w *Web) getProjects(rw http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	b := projectsBody{
		Query: clip(strings.TrimSpace(q.Get("q")), 200), Failing: q.Get("show") == "failing", Starred: q.Get("show") == "starred", First: addressOf(r.URL, "", ""),
		MayAdd: w.o.Projects != nil && may(r, auth.ProjectCreate),
	}
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		b.Rows, b.Newer, b.Older, b.Looked = nil, "", "", 0
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		return w.readProjects(tx, &b, s.User, r.URL)
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Topics = "Projects", "projects", "page", []string{"workflows"}
	return w.render(rw, http.StatusOK, "projects", s, b)
}

// readProjects reads a page of projects: those after or before a name.
func (w *Web) readProjects(tx *store.Tx, b *projectsBody, user *signalbox.User, at *url.URL) error {
	f := store.ProjectFilter{Words: b.Query, After: at.Query().Get("after"), Before: at.Query().Get("before"), Limit: pageSize + 1}
	if f.After != "" {
		f.Before = ""
	}
	if b.Starred {
		f.StarredBy = user.ID
	}
	starred, err := tx.Starred(user.ID)
	if err != nil {
		return err
	}
	if b.Failing {
		f.Limit = 200
	}
	after, backwards := f.After, f.Before != ""
	var projects []*signalbox.Project
	views := map[string]projectRow{}
	more := false
	for looked := 0; ; {
		list, err := tx.FindProjects(f)
		if err != nil {
			return err
		}
		looked += len(list)
		ended := len(list) < f.Limit
		if backwards {
			slices.Reverse(list)
		}
		if len(list) > 0 {
			if last := list[len(list)-1].Name; backwards {
				f.Before = last
			} else {
				f.After = last
			}
		}
		if b.Failing {
			if err := w.viewProjects(tx, list, views); err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(p *signalbox.Project) bool { return views[p.ID].State == nil || !views[p.ID].State.bad() })
		}
		projects = append(projects, list...)
		switch {
		case len(projects) > pageSize:
			projects, more = projects[:pageSize], true
		case ended:
		case looked >= mostProjects:
			more, b.Looked = true, looked
		default:
			continue
		}
		break
	}
	if backwards && !more && len(projects) < pageSize { // the beginning is a whole page
		first, err := url.Parse(addressOf(at, "", ""))
		if err != nil {
			return err
		}
		return w.readProjects(tx, b, user, first)
	}
	first, last := after, f.After // where a page without rows goes on
	if backwards {
		slices.Reverse(projects)
		first, last = f.Before, ""
	}
	if n := len(projects); n > 0 {
		if !backwards || b.Looked == 0 {
			first = projects[0].Name
		}
		if backwards || b.Looked == 0 {
			last = projects[n-1].Name
		}
	}
	if first != "" && (after != "" || backwards && more) {
		b.Newer = addressOf(at, "before", first)
	}
	if last != "" && (more || backwards) {
		b.Older = addressOf(at, "after", last)
	}
	if !b.Failing {
		if err := w.viewProjects(tx, projects, views); err != nil {
			return err
		}
	}
	var branches []store.BranchKey
	for _, p := range projects {
		branches = append(branches, store.BranchKey{ProjectID: p.ID, BranchName: p.DefaultBranch})
	}
	runs, err := readRuns(tx, branches, runsDrawn)
	if err != nil {
		return err
	}
	for i, p := range projects {
		row := views[p.ID]
		row.Runs = runs[branches[i]]
		row.Starred = starred[p.ID]
		b.Rows = append(b.Rows, row)
	}
	return nil
}

// viewProjects makes the lines of projects.
func (w *Web) viewProjects(tx *store.Tx, projects []*signalbox.Project, into map[string]projectRow) error {
	ids := make([]string, len(projects))
	for i, p := range projects {
		ids[i] = p.ID
	}
	latest, err := tx.LatestOf(ids)
	if err != nil {
		return err
	}
	running, err := tx.RunningIn(ids)
	if err != nil {
		return err
	}
	var of []string
	for _, id := range ids {
		for _, wf := range []string{latest[id].WorkflowID, latest[id].DefaultID} {
			if wf != "" && !slices.Contains(of[max(0, len(of)-1):], wf) {
				of = append(of, wf)
			}
		}
	}
	workflows, err := tx.WorkflowsOf(of)
	if err != nil {
		return err
	}
	pipelines, err := tx.PipelineStates(of)
	if err != nil {
		return err
	}
	for _, p := range projects {
		row := projectRow{Name: p.Name, GitURL: clip(signalbox.WithoutPassword(p.GitURL), 120), Branch: clip(p.DefaultBranch, 60), Running: running[p.ID]}
		l := latest[p.ID]
		if l.WorkflowID != "" {
			latest := newRow(workflows[l.WorkflowID], pipelines[l.WorkflowID], tx.Now)
			row.Latest = &latest
		}
		if l.DefaultID != "" {
			state := workflowLamp(pipelines[l.DefaultID])
			row.State, row.StateURL = &state, "/workflows/"+l.DefaultID
		}
		into[p.ID] = row
	}
	return nil
}
