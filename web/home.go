package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// openLimit is how many open jobs the counts per project look at; above it they say "or more".
const openLimit = 2000

// Row is one workflow in a list.
type Row struct {
	URL, Title  string
	Lamp        Lamp
	Project     string
	Ref, SHA    string
	RefIcon     string
	By          string
	Number      int
	FailedJobs  []string // "Block › Job", when there are few
	Failed      int
	Infra       int // jobs that the machinery failed
	Why         string
	Took        Took
	Created     *Moment
	Pipelines   []Lamp
	PipelineURL string
}

type projectRow struct {
	Name             string
	Latest           *Row
	Running, Waiting int
}

type homeBody struct {
	Projects []projectRow
	Rows     []Row
	Many     bool
	Types    []typeRow
	Todo     *onboarding
	MayAdd   bool
}

func (w *Web) getHome(rw http.ResponseWriter, r *http.Request) error {
	var b homeBody
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = homeBody{}
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		if b.Todo, err = w.onboardingCard(tx, s.User); err != nil {
			return err
		}
		b.MayAdd = w.o.Projects != nil && may(r, auth.ProjectCreate)
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		names := map[string]string{}
		open, err := tx.Jobs(store.JobFilter{
			States: []signalbox.JobState{signalbox.JobQueued, signalbox.JobOffered, signalbox.JobRunning}, Limit: openLimit,
		})
		if err != nil {
			return err
		}
		b.Many = len(open) == openLimit
		running, waiting := map[string]int{}, map[string]int{}
		for _, j := range open {
			if j.State == signalbox.JobRunning {
				running[j.ProjectID]++
			} else {
				waiting[j.ProjectID]++
			}
		}
		for _, p := range projects {
			names[p.ID] = p.Name
			row := projectRow{Name: p.Name, Running: running[p.ID], Waiting: waiting[p.ID]}
			latest, err := w.rows(tx, store.WorkflowFilter{ProjectID: p.ID, Limit: 1}, nil)
			if err != nil {
				return err
			}
			if len(latest) > 0 {
				row.Latest = &latest[0]
			}
			b.Projects = append(b.Projects, row)
		}
		if len(projects) > 0 {
			if b.Rows, err = w.rows(tx, store.WorkflowFilter{Limit: 20}, names); err != nil {
				return err
			}
		}
		b.Types, err = w.types(tx, tx.Now)
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script = "Home", "projects", "page"
	s.Topics = []string{"workflows", "agents"}
	return w.render(rw, http.StatusOK, "home", s, b)
}

// getProjects answers the address that old links have; projects are on the home page.
func (w *Web) getProjects(rw http.ResponseWriter, r *http.Request) error {
	http.Redirect(rw, r, "/", http.StatusSeeOther)
	return nil
}

const pageSize = 30

type projectBody struct {
	Project     *signalbox.Project
	Branch      string
	Rows        []Row
	From, To    int
	Total       int
	Newer       string
	Older       string
	GitURL      string
	DebugRule   string
	Description string
	First       *firstWorkflow
}

func (w *Web) getProject(rw http.ResponseWriter, r *http.Request) error {
	n, _ := strconv.Atoi(r.URL.Query().Get("page"))
	n = min(max(n, 1), 1_000_000)
	branch := r.URL.Query().Get("branch")
	var b projectBody
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = projectBody{Branch: clip(branch, 120)}
		var err error
		if b.Project, err = tx.FindProject(r.PathValue("name")); err != nil {
			return orNotFound(err, "project")
		}
		b.DebugRule = debugRule(b.Project)
		b.GitURL = clip(withoutPassword(b.Project.GitURL), 200)
		f := store.WorkflowFilter{ProjectID: b.Project.ID, BranchName: branch, Limit: pageSize, Offset: (n - 1) * pageSize}
		if b.Total, err = tx.CountWorkflows(f); err != nil {
			return err
		}
		if b.Rows, err = w.rows(tx, f, nil); err != nil {
			return err
		}
		if branch == "" && n == 1 {
			if b.First, err = w.firstWorkflow(tx, r, b.Project, b.Total, b.Rows); err != nil {
				return err
			}
		}
		s, err = w.shell(r, tx)
		return err
	})
	if err != nil {
		return err
	}
	b.From, b.To = (n-1)*pageSize+1, (n-1)*pageSize+len(b.Rows)
	at := func(page int) string {
		q := r.URL.Query()
		q.Set("page", strconv.Itoa(page))
		if page == 1 {
			q.Del("page")
		}
		if len(q) == 0 {
			return r.URL.Path
		}
		return "?" + q.Encode()
	}
	if n > 1 {
		b.Newer = at(n - 1)
	}
	if b.To < b.Total && len(b.Rows) > 0 {
		b.Older = at(n + 1)
	}
	s.Title, s.Section, s.Script = b.Project.Name, "projects", "page"
	s.Topics = []string{"project:" + b.Project.ID}
	if b.First != nil {
		s.Topics = append(s.Topics, "agents")
	}
	s.Crumbs = []Link{{"Projects", "/"}}
	return w.render(rw, http.StatusOK, "project", s, b)
}

// rows reads workflows as lines of a list. names maps project ids to names, nil when the project need not be said.
func (w *Web) rows(tx *store.Tx, f store.WorkflowFilter, names map[string]string) ([]Row, error) {
	workflows, err := tx.Workflows(f)
	if err != nil {
		return nil, err
	}
	out := make([]Row, 0, len(workflows))
	for _, wf := range workflows {
		if names != nil && names[wf.ProjectID] == "" {
			continue // its project was deleted
		}
		pipelines, err := tx.PipelinesOf(wf.ID)
		if err != nil {
			return nil, err
		}
		row := Row{
			URL: "/workflows/" + wf.ID, Title: titleOf(wf.CommitMessage), Lamp: workflowLamp(pipelines), Project: names[wf.ProjectID],
			Ref: clip(wf.Label, 80), RefIcon: refIcon(wf), SHA: shortSHA(wf.CommitSHA), By: clip(who(wf), 60), Number: wf.Number,
			Created: moment(wf.CreatedAt, tx.Now), Took: pipelinesTook(pipelines, tx.Now),
		}
		stands := standing(pipelines)
		for _, p := range pipelines {
			row.Pipelines = append(row.Pipelines, pipelineLamp(p))
			if p.Result == signalbox.ResultPassed || !slices.Contains(stands, p) {
				continue
			}
			if row.Why == "" {
				row.Why = pipelineWhy(p, 0)
			}
			if p.State == signalbox.PipelineDone && p.Result != signalbox.ResultFailed {
				continue
			}
			if err := addFailures(tx, &row, p.ID); err != nil {
				return nil, err
			}
		}
		out = append(out, row)
	}
	return out, nil
}

func addFailures(tx *store.Tx, row *Row, pipelineID string) error {
	jobs, err := tx.JobsOf(pipelineID)
	if err != nil {
		return err
	}
	var blocks map[string]string
	for _, j := range jobs {
		if !jobLamp(j, false).bad() {
			continue
		}
		if jobLamp(j, false) == lampInfra {
			row.Infra++
		} else {
			row.Failed++
		}
		if len(row.FailedJobs) == 2 {
			continue
		}
		if blocks == nil {
			list, err := tx.Blocks(pipelineID)
			if err != nil {
				return err
			}
			blocks = map[string]string{}
			for _, b := range list {
				blocks[b.ID] = b.Name
			}
		}
		row.FailedJobs = append(row.FailedJobs, clip(blocks[j.BlockID], 60)+" › "+clip(j.Name, 60))
	}
	return nil
}

// pipelinesTook is the time from the first start to the last end.
func pipelinesTook(pipelines []*signalbox.Pipeline, now time.Time) Took {
	var start, end time.Time
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
	return took(start, end, now)
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
