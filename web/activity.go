package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	mostWaiting = 100 // jobs of one agent type that are listed, those that start first
	mostRunning = 200
	mostOpen    = 200 // pipelines
)

type activityBody struct {
	Tab                       string
	Pipelines, Jobs           int // open ones
	Running, Agents, Waiting  int
	Blocked                   int // of those that wait and are listed, nothing lets them start
	Oldest                    *Took
	OldestType                string
	Query, AgentType, Project string
	Types, Projects           []string
	Groups                    []activityGroup
	Rows                      []pipelineRow
	Lines                     []lineRow
	MayStop                   bool
	Filtered                  bool
	Last                      *Row // the newest workflow, when nothing is open
}

type activityGroup struct {
	Name, Order string
	Rows        []activityRow
	More        int // that are not listed
}

// activityRow is a job that waits or runs.
type activityRow struct {
	Lamp             Lamp
	URL, Name, Path  string
	Why              string
	Detail, AgentURL string
	Agent            string
	Took             Took
	StopURL          string
}

type pipelineRow struct {
	Lamp                 Lamp
	URL, Name, Path, Why string
	Done, Jobs, Percent  int
	Took                 Took
	StopURL              string
}

// lineRow is an agent type and what waits for it.
type lineRow struct {
	typeRow
	Oldest     *Took
	Half, Most string // how long half and 95 of 100 jobs waited in the last hour, "" when none passed
	Jobs       []activityRow
}

// getQueue answers the short address of a tab.
func (w *Web) getQueue(rw http.ResponseWriter, r *http.Request) error {
	http.Redirect(rw, r, "/activity?tab=queue", http.StatusSeeOther)
	return nil
}

func (w *Web) getActivity(rw http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	b := activityBody{Tab: q.Get("tab"), Query: clip(q.Get("q"), 200), AgentType: clip(q.Get("type"), 120), Project: clip(q.Get("project"), 120), MayStop: may(r, auth.JobStop)}
	if b.Tab != "pipelines" && b.Tab != "queue" {
		b.Tab = "jobs"
	}
	b.Filtered = b.Query != "" || b.AgentType != "" || b.Project != ""
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		// The figures are those of the bar: what was offered and not fetched yet still waits.
		b.Running, b.Waiting, b.Jobs = s.Running, s.Waiting, s.Running+s.Waiting
		return w.readActivity(tx, &b)
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Topics = "Activity", "activity", "page", []string{"queue", "workflows", "agents"}
	return w.render(rw, http.StatusOK, "activity", s, b)
}

func (w *Web) readActivity(tx *store.Tx, b *activityBody) error {
	lines, err := tx.LineCounts()
	if err != nil {
		return err
	}
	oldest := time.Time{}
	for _, l := range lines {
		if oldest.IsZero() || l.Oldest.Before(oldest) {
			oldest, b.OldestType = l.Oldest, clip(l.AgentType, 80)
		}
	}
	if !oldest.IsZero() {
		t := took(oldest, time.Time{}, tx.Now)
		b.Oldest = &t
	}
	pipelines, err := tx.ActivePipelines(mostOpen)
	if err != nil {
		return err
	}
	b.Pipelines = len(pipelines)
	agents, err := tx.AgentCounts()
	if err != nil {
		return err
	}
	for _, n := range agents {
		b.Agents += n
	}
	switch b.Tab {
	case "pipelines":
		b.Rows = pipelineRows(pipelines, tx.Now)
		b.Rows = slices.DeleteFunc(b.Rows, func(p pipelineRow) bool {
			return !b.matches(p.Name+" "+p.Path, "", strings.SplitN(p.Path, " · ", 2)[0])
		})
	case "queue":
		err = w.readQueueTab(tx, b, lines)
	default:
		err = w.readJobsTab(tx, b, lines)
	}
	if err == nil && b.Pipelines == 0 && b.Jobs == 0 {
		err = w.readLast(tx, b)
	}
	return err
}

// matches tells whether the filters of the page let something through.
func (b *activityBody) matches(text, agentType, project string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(b.Query)) &&
		(b.AgentType == "" || agentType == b.AgentType) && (b.Project == "" || project == b.Project)
}

func (w *Web) readJobsTab(tx *store.Tx, b *activityBody, lines []*store.LineCount) error {
	active, err := tx.Jobs(store.JobFilter{States: []signalbox.JobState{signalbox.JobOffered, signalbox.JobRunning}, Limit: mostRunning})
	if err != nil {
		return err
	}
	held := b.Jobs // jobs that have an agent
	var waiting []queue.Waiting
	var ids []string
	more := 0
	for _, l := range lines {
		held -= l.Queued
		if b.AgentType != "" && l.AgentType != b.AgentType {
			continue
		}
		some, err := queue.ExplainWaiting(tx, l.AgentType, mostWaiting, w.o.Started)
		if err != nil {
			return err
		}
		waiting = append(waiting, some...)
		more += l.Queued - len(some)
	}
	for _, x := range waiting {
		ids = append(ids, x.Job.ID)
	}
	for _, j := range active {
		ids = append(ids, j.ID)
	}
	paths, err := tx.PathsOf(ids)
	if err != nil {
		return err
	}
	slices.SortStableFunc(waiting, func(x, y queue.Waiting) int { return cmp.Compare(x.Why.Position, y.Why.Position) })
	groups := []activityGroup{{Name: "Waiting", Order: "next to start first", More: more}, {Name: "Running", Order: "newest first", More: max(0, held-len(active))}}
	types, projects := map[string]bool{}, map[string]bool{}
	add := func(g *activityGroup, j *signalbox.Job, row activityRow) {
		p := paths[j.ID]
		types[j.AgentType] = true
		if p == nil {
			return // its project was deleted meanwhile
		}
		projects[p.Project] = true
		row.Path = joinDots(p.Project, clip(p.Label, 60), clip(p.Block, 60))
		if b.matches(row.Name+" "+row.Path, j.AgentType, p.Project) {
			g.Rows = append(g.Rows, row)
		}
	}
	for _, x := range waiting {
		if x.Why.Blocked {
			b.Blocked++
		}
		add(&groups[0], x.Job, waitingRow(x, tx.Now, b.MayStop))
	}
	for _, j := range active {
		if p := paths[j.ID]; p != nil {
			add(&groups[1], j, runningRow(j, p, tx.Now, b.MayStop))
		}
	}
	for _, g := range groups {
		if len(g.Rows) > 0 {
			b.Groups = append(b.Groups, g)
		}
	}
	for _, set := range []struct {
		of  map[string]bool
		out *[]string
	}{{types, &b.Types}, {projects, &b.Projects}} {
		for name := range set.of {
			*set.out = append(*set.out, name)
		}
		slices.Sort(*set.out)
	}
	return nil
}

func waitingRow(x queue.Waiting, now time.Time, mayStop bool) activityRow {
	row := activityRow{
		Lamp: jobLamp(x.Job, false), URL: "/jobs/" + x.Job.ID, Name: clip(x.Job.Name, 120), Why: clip(x.Why.Text, 300), Took: took(x.Job.QueuedAt, time.Time{}, now),
	}
	if x.Why.Position > 0 {
		row.Detail = "Number " + count(x.Why.Position) + " of " + count(x.Why.Queued) + " in line"
		if x.Why.Expected.After(now) {
			row.Detail += ", about " + roughly(x.Why.Expected.Sub(now))
		}
	}
	if mayStop {
		row.StopURL = row.URL + "/stop"
	}
	return row
}

func runningRow(j *signalbox.Job, p *store.JobPath, now time.Time, mayStop bool) activityRow {
	stopping := !p.StopAskedAt.IsZero() && j.State == signalbox.JobRunning
	row := activityRow{
		Lamp: jobLamp(j, stopping), URL: "/jobs/" + j.ID, Name: clip(j.Name, 120), Agent: clip(p.Agent, 80), Took: took(j.StartedAt, time.Time{}, now),
	}
	if j.State == signalbox.JobOffered {
		row.Took = took(j.QueuedAt, time.Time{}, now)
		row.Detail = "was offered it and is about to fetch it"
	}
	if p.AgentType != "" {
		row.AgentURL = typesPath + url.PathEscape(p.AgentType)
	}
	if stopping {
		row.Detail = "was asked to stop at " + p.StopAskedAt.UTC().Format("15:04:05") + " UTC"
	} else if mayStop {
		row.StopURL = row.URL + "/stop"
	}
	return row
}

func pipelineRows(pipelines []*store.ActivePipeline, now time.Time) []pipelineRow {
	ahead := map[string]int{} // in each queue
	out := make([]pipelineRow, 0, len(pipelines))
	for _, p := range pipelines {
		view := signalbox.Pipeline{State: p.State}
		row := pipelineRow{
			Lamp: pipelineLamp(&view), URL: "/workflows/" + p.WorkflowID + "?pipeline_id=" + p.ID, Name: pipelineName(&signalbox.Pipeline{Name: p.Name}), Path: joinDots(p.Project, clip(p.Label, 60), clip(actorName(p.By), 60)),
			Why: pipelineWhy(&view, ahead[p.QueueKey]), Done: p.Done, Jobs: p.Jobs, Took: took(firstTime(p.RunningAt, p.CreatedAt), time.Time{}, now),
			StopURL: "/workflows/" + p.WorkflowID + "/pipelines/" + p.ID + "/stop",
		}
		if p.Jobs > 0 {
			row.Percent = 100 * p.Done / p.Jobs
		}
		ahead[p.QueueKey]++
		out = append(out, row)
	}
	slices.SortStableFunc(out, func(x, y pipelineRow) int {
		return btoi(x.Lamp == lampRunning) - btoi(y.Lamp == lampRunning)
	})
	return out
}

func (w *Web) readQueueTab(tx *store.Tx, b *activityBody, lines []*store.LineCount) error {
	rows, err := w.types(tx, tx.Now)
	if err != nil {
		return err
	}
	oldest := map[string]time.Time{}
	for _, l := range lines {
		oldest[l.AgentType] = l.Oldest
	}
	for _, t := range rows {
		if !b.matches(t.Name, t.Name, "") {
			continue
		}
		row := lineRow{typeRow: t}
		if at := oldest[t.Name]; !at.IsZero() {
			span := took(at, time.Time{}, tx.Now)
			row.Oldest = &span
		}
		waited, err := tx.WaitedFor(t.Name, tx.Now.Add(-time.Hour), 500)
		if err != nil {
			return err
		}
		if len(waited) > 0 {
			slices.Sort(waited)
			row.Half, row.Most = roughly(waited[(len(waited)-1)/2]), roughly(waited[(len(waited)-1)*95/100])
		}
		if t.Waiting > 0 {
			some, err := queue.ExplainWaiting(tx, t.Name, 20, w.o.Started)
			if err != nil {
				return err
			}
			for _, x := range some {
				row.Jobs = append(row.Jobs, waitingRow(x, tx.Now, false))
			}
		}
		b.Lines = append(b.Lines, row)
	}
	slices.SortStableFunc(b.Lines, func(x, y lineRow) int { return cmp.Compare(y.Waiting, x.Waiting) })
	return nil
}

func (w *Web) readLast(tx *store.Tx, b *activityBody) error {
	names := map[string]string{}
	found, err := workflowQuery{filters: []store.WorkflowFilter{{}}, keep: keepNamed(tx, names)}.find(tx, store.WorkflowPlace{}, store.WorkflowPlace{}, 1)
	if err != nil {
		return err
	}
	rows, err := w.rows(tx, found.list, names)
	if err == nil && len(rows) > 0 {
		b.Last = &rows[0]
	}
	return err
}

// joinDots joins the facts of a second line.
func joinDots(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " · ")
}

// roughly writes a duration as a person would say it: 40 s, 4 min, 2 h.
func roughly(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return strconv.Itoa(int(d.Round(time.Second)/time.Second)) + nbsp + "s"
	case d < 100*time.Minute:
		return strconv.Itoa(int(d.Round(time.Minute)/time.Minute)) + nbsp + "min"
	}
	return strconv.Itoa(int(d.Round(time.Hour)/time.Hour)) + nbsp + "h"
}

func firstTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
