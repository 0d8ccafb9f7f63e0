package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

// TaskRunner starts tasks. What is wrong with the request comes without a run; a run that has failed comes with its error.
type TaskRunner interface {
	RunNow(ctx context.Context, taskID string, n schedule.Now) (*signalbox.TaskRun, error)
}

const (
	taskPage    = 50   // tasks of a page
	taskRunPage = 20   // runs of a page
	manyRuns    = 1000 // runs that are counted
)

// taskView is one task in words.
type taskView struct {
	ID, Name, Description string
	URL                   string
	Words                 string // when it runs
	At, Zone              string
	Ref, RefIcon, File    string
	Next                  *Moment
	Paused                bool
	By                    string // who paused or resumed it
	ByAt                  *Moment
	Recurring             bool
	Last                  *taskRunView
}

type tasksBody struct {
	Project           *signalbox.Project
	Tabs              projectTabs
	Rows              []taskView
	First, More       string
	NewURL            string
	MayManage, MayRun bool
}

func tasksURL(p *signalbox.Project) string {
	return "/projects/" + url.PathEscape(p.Name) + "/schedulers"
}

func taskURL(p *signalbox.Project, k *signalbox.Task) string { return tasksURL(p) + "/" + k.ID }

func refView(ref string) (icon, name string) {
	kind, name := signalbox.RefParts(ref)
	icon = map[string]string{"TAG": "tagi", "PR": "pr"}[kind]
	if icon == "" {
		icon = "branch"
	}
	return icon, clip(name, 100)
}

func viewTask(k *signalbox.Task, p *signalbox.Project, now time.Time) taskView {
	v := taskView{
		ID: k.ID, Name: k.Name, Description: clip(k.Description, 300), URL: taskURL(p, k), Words: "by hand only", File: clip(k.PipelineFile, 160),
		Paused: k.Paused, Recurring: k.Recurring, By: clip(k.PausedBy, 80), ByAt: moment(k.PausedAt, now), Next: moment(k.NextRunAt, now),
	}
	if k.Ref != "" {
		v.RefIcon, v.Ref = refView(k.Ref)
	}
	if !k.Recurring {
		return v
	}
	v.At, v.Zone = k.At, k.TimeZone
	if v.Zone == "" {
		v.Zone = "UTC"
	}
	look, problems := schedule.Look(k.At, k.TimeZone, now, 0)
	if v.Words = look.Words; v.Words == "" && len(problems) > 0 {
		v.Words = clip(signalbox.ErrorMessage(problems[0].Err), 300)
	}
	return v
}

func (w *Web) getTasks(rw http.ResponseWriter, r *http.Request) error {
	var b tasksBody
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = tasksBody{MayManage: may(r, auth.TaskManage), MayRun: may(r, auth.TaskRun)}
		var err error
		if b.Project, err = tx.FindProject(r.PathValue("name")); err != nil {
			return orNotFound(err, "project")
		}
		b.NewURL = tasksURL(b.Project) + "/new"
		after := r.URL.Query().Get("after")
		if after != "" {
			b.First = r.URL.Path
		}
		all, err := tx.TasksAfter(b.Project.ID, after, taskPage+1)
		if err != nil {
			return err
		}
		if len(all) > taskPage {
			all = all[:taskPage]
			b.More = "?after=" + url.QueryEscape(all[taskPage-1].Name)
		}
		if err := b.read(tx, all); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	b.Tabs = projectTabs{Project: b.Project, Tab: tabTasks, MayManage: may(r, auth.ProjectManage)}
	s.Title, s.Section, s.Script = "Tasks · "+b.Project.Name, "projects", "page"
	s.Topics = []string{"project:" + b.Project.ID}
	s.Crumbs = []Link{{"Projects", "/projects"}, {b.Project.Name, "/projects/" + b.Project.Name}}
	return w.render(rw, http.StatusOK, "tasks", s, b)
}

// read fills in the rows, with three statements however many there are.
func (b *tasksBody) read(tx *store.Tx, all []*signalbox.Task) error {
	var ids []string
	for _, k := range all {
		ids = append(ids, k.ID)
	}
	last, err := tx.LastTaskRuns(ids)
	if err != nil {
		return err
	}
	var runs []*signalbox.TaskRun
	for _, r := range last {
		runs = append(runs, r)
	}
	views, err := viewRuns(tx, runs)
	if err != nil {
		return err
	}
	byTask := map[string]*taskRunView{}
	for i, r := range runs {
		byTask[r.TaskID] = &views[i]
	}
	for _, k := range all {
		v := viewTask(k, b.Project, tx.Now)
		v.Last = byTask[k.ID]
		b.Rows = append(b.Rows, v)
	}
	return nil
}

// findTask returns the task of a project that a path names.
func findTask(tx *store.Tx, r *http.Request) (*signalbox.Project, *signalbox.Task, error) {
	p, err := tx.FindProject(r.PathValue("name"))
	if err != nil {
		return nil, nil, orNotFound(err, "project")
	}
	k, err := tx.Task(strings.ToLower(r.PathValue("task")))
	if err == nil && (k.ProjectID != p.ID || !k.DeletedAt.IsZero()) {
		return nil, nil, notFound("task")
	}
	return p, k, orNotFound(err, "task")
}

type taskBody struct {
	Project           *signalbox.Project
	Task              taskView
	Parameters        []signalbox.TaskParameter
	Overlap, CatchUp  bool // runs are left out
	Owner             string
	Changed           *Moment
	Next              []taskTime
	Rows              []taskRunView
	Newer, Older      string
	Runs              string // how many there are, in words
	Just              *taskRunView
	MayManage, MayRun bool
}

// taskTime is a time in the clock of a task's zone and in UTC.
type taskTime struct {
	At    *Moment
	Local string // "" when the zone is UTC
}

func taskTimes(look schedule.Preview, now time.Time) (out []taskTime) {
	for _, t := range look.Next {
		v := taskTime{At: moment(t, now)}
		if look.Zone != time.UTC {
			v.Local = t.In(look.Zone).Format("Mon 2 Jan 2006, 15:04 MST")
		}
		out = append(out, v)
	}
	return out
}

// previewed is how many coming times are shown.
const previewed = 5

func (w *Web) getTask(rw http.ResponseWriter, r *http.Request) error {
	var b taskBody
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, k, err := findTask(tx, r)
		if err != nil {
			return err
		}
		b = taskBody{
			Project: p, Task: viewTask(k, p, tx.Now), Parameters: k.Parameters, Overlap: k.Overlap == signalbox.OverlapSkip, CatchUp: k.CatchUp == signalbox.CatchUpSkip,
			Owner: clip(k.Owner, 80), Changed: moment(k.UpdatedAt, tx.Now), MayManage: may(r, auth.TaskManage), MayRun: may(r, auth.TaskRun),
		}
		if k.Recurring && !k.Paused {
			if look, problems := schedule.Look(k.At, k.TimeZone, tx.Now, previewed); len(problems) == 0 {
				b.Next = taskTimes(look, tx.Now)
			}
		}
		n, err := tx.CountTaskRuns(k.ID, manyRuns+1)
		if err != nil {
			return err
		}
		if b.Runs = plural(n, "run", "runs"); n > manyRuns {
			b.Runs = "more than " + plural(manyRuns, "run", "runs")
		}
		if err := b.read(tx, k, r.URL.Query()); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	s.Title, s.Section, s.Script = b.Task.Name+" · Tasks · "+b.Project.Name, "projects", "page"
	s.Topics = []string{"project:" + b.Project.ID}
	s.Crumbs = []Link{{b.Project.Name, "/projects/" + b.Project.Name}, {"Tasks", tasksURL(b.Project)}}
	return w.render(rw, http.StatusOK, "task", s, b)
}

// read fills in the page of the history that a query asks for: ?before=TIME.ID, ?after=TIME.ID. ?run=ID is one that could not be started.
func (b *taskBody) read(tx *store.Tx, k *signalbox.Task, q url.Values) error {
	before, back := runPlace(q.Get("before"))
	after, forth := runPlace(q.Get("after"))
	var runs []*signalbox.TaskRun
	var err error
	if forth {
		runs, err = tx.TaskRunsAfter(k.ID, after, taskRunPage+1)
	} else {
		runs, err = tx.TaskRunsBefore(k.ID, before, taskRunPage+1)
	}
	if err != nil {
		return err
	}
	more := len(runs) > taskRunPage
	switch {
	case more && forth:
		runs = runs[1:]
	case more:
		runs = runs[:taskRunPage]
	}
	at := func(key string, r *signalbox.TaskRun) string {
		return "?" + key + "=" + strconv.FormatInt(r.CreatedAt.UnixMilli(), 10) + "." + url.QueryEscape(r.ID) + "#history"
	}
	if len(runs) > 0 && (more || forth) {
		b.Older = at("before", runs[len(runs)-1])
	}
	if len(runs) > 0 && (more && forth || back && !forth) {
		b.Newer = at("after", runs[0])
	}
	if b.Rows, err = viewRuns(tx, runs); err != nil || q.Get("run") == "" {
		return err
	}
	run, err := tx.TaskRun(q.Get("run"))
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && (run.TaskID != k.ID || run.Status != signalbox.TaskRunFailed) {
		return nil
	}
	if err == nil {
		just := viewRun(run, nil, tx.Now)
		b.Just = &just
	}
	return err
}

// runPlace reads a place in a history.
func runPlace(text string) (store.TaskRunPlace, bool) {
	at, id, ok := strings.Cut(text, ".")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || n < 0 || n > 1<<52 || !signalbox.IsID(id) {
		return store.TaskRunPlace{}, false
	}
	return store.TaskRunPlace{CreatedAt: time.UnixMilli(n), ID: id}, true
}

// getTaskHistory answers an address of old links; the history stands with its task.
func (w *Web) getTaskHistory(rw http.ResponseWriter, r *http.Request) error {
	var to string
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, k, err := findTask(tx, r)
		if err == nil {
			to = taskURL(p, k) + "#history"
		}
		return err
	}); err != nil {
		return err
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return nil
}

// getTaskLatest leads to the newest workflow of a task, or to the task when it has none.
func (w *Web) getTaskLatest(rw http.ResponseWriter, r *http.Request) error {
	var to string
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, k, err := findTask(tx, r)
		if err != nil {
			return err
		}
		to = taskURL(p, k)
		run, err := tx.LastStartedTaskRun(k.ID)
		switch {
		case err == nil:
			to = "/workflows/" + url.PathEscape(run.WorkflowID)
		case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
			err = nil
		}
		return err
	}); err != nil {
		return err
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return nil
}

func (w *Web) postTaskActivate(rw http.ResponseWriter, r *http.Request) error {
	return w.pauseTask(rw, r, false)
}

func (w *Web) postTaskDeactivate(rw http.ResponseWriter, r *http.Request) error {
	return w.pauseTask(rw, r, true)
}

// pauseTask changes whether a task starts by itself, and goes back to the list when the form says so.
func (w *Web) pauseTask(rw http.ResponseWriter, r *http.Request, paused bool) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read: %w", err)
	}
	who := route.ActorFrom(r.Context())
	var to string
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		p, k, err := findTask(tx, r)
		if err != nil {
			return err
		}
		if to = taskURL(p, k); r.PostForm.Get("back") == "list" {
			to = tasksURL(p)
		}
		_, err = schedule.Update(tx, k.ID, who.User.Name, who.Name(), func(k *signalbox.Task) error { k.Paused = paused; return nil })
		return orNotFound(err, "task")
	}); err != nil {
		return err
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return nil
}

func (w *Web) postTaskDelete(rw http.ResponseWriter, r *http.Request) error {
	var to string
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		p, k, err := findTask(tx, r)
		if err != nil {
			return err
		}
		to = tasksURL(p)
		return tx.DeleteTask(k, route.ActorFrom(r.Context()).Name())
	}); err != nil {
		return err
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return nil
}
