package web

import (
	"net/http"
	"net/url"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// branchBody is the page of one branch, pull request or tag.
type branchBody struct {
	Project  *signalbox.Project
	Name     string
	Kind     string // "Branch", "Pull request" or "Tag"
	Icon     string
	From, To string // days, as they were filled in
	Problem  string // with them
	Page     workflowPage
	RunURL   string // "" for who may not, and for what cannot be started by hand
}

func (w *Web) getBranch(rw http.ResponseWriter, r *http.Request) error {
	projectID, name, ok := signalbox.ParseBranchID(r.PathValue("id"))
	if !ok {
		return notFound("branch")
	}
	q := r.URL.Query()
	b := branchBody{From: clip(q.Get("from"), 40), To: clip(q.Get("to"), 40)}
	from, until, problem := dayRange(b.From, b.To)
	b.Problem = problem
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		if b.Project, err = tx.FindProject(projectID); err != nil {
			return orNotFound(err, "branch")
		}
		f := store.WorkflowFilter{ProjectID: projectID, BranchName: name, Limit: 1}
		newest, err := tx.Workflows(f)
		if err != nil {
			return err
		}
		if len(newest) == 0 {
			return notFound("branch")
		}
		b.Name, b.Icon = clip(newest[0].Label, 200), refIcon(newest[0])
		b.Kind = map[string]string{"branch": "Branch", "pr": "Pull request", "tagi": "Tag"}[b.Icon]
		if kind, ref := signalbox.RefParts(newest[0].Ref); w.mayRun(r) && (kind == "BRANCH" || kind == "TAG") {
			b.RunURL = runURL(b.Project) + "?" + url.Values{"kind": {kind}, fieldReference: {ref}}.Encode()
		}
		if f.From, f.Until = from, until; problem == "" {
			if b.Page, err = w.page(tx, workflowQuery{filters: []store.WorkflowFilter{f}}, r.URL, nil); err != nil {
				return err
			}
		}
		s, err = w.shell(r, tx)
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script = clip(b.Name, 80)+" · "+b.Project.Name, "projects", "page"
	s.Topics = []string{"project:" + b.Project.ID}
	tab := map[string]Link{
		"branch": {"Branches", tabBranches}, "pr": {"Pull requests", tabPulls}, "tagi": {"Tags", tabTags},
	}[b.Icon]
	path := "/projects/" + b.Project.Name
	s.Crumbs = []Link{{"Projects", "/projects"}, {b.Project.Name, path}, {tab.Name, path + "/" + tab.URL}}
	status := http.StatusOK
	if b.Problem != "" {
		status = http.StatusBadRequest
	}
	return w.render(rw, status, "branch", s, b)
}

// dayRange reads the days, in UTC, from and to which a list goes, both included; "" is no end. problem says what is wrong with them.
func dayRange(from, to string) (start, end time.Time, problem string) {
	day := func(text string) (time.Time, bool) {
		if text == "" {
			return time.Time{}, true
		}
		t, err := time.Parse(time.DateOnly, text)
		return t, err == nil && t.Year() >= 1970
	}
	start, fromOK := day(from)
	end, toOK := day(to)
	switch {
	case !fromOK:
		return start, end, "From is not a day. Write it as 2026-11-30."
	case !toOK:
		return start, end, "To is not a day. Write it as 2026-11-30."
	case !start.IsZero() && !end.IsZero() && end.Before(start):
		return start, end, "To is before From. Choose a later day, or swap the two."
	case !end.IsZero():
		end = end.AddDate(0, 0, 1)
	}
	return start, end, ""
}
