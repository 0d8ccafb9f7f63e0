package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

// taskForm is the form in which a task is made or changed, with what was typed.
type taskForm struct {
	Project           *signalbox.Project
	Task              *taskView // nil for a new one
	Action            string
	Name, Description string
	Kind, Ref         string
	File              string
	Parameters        []taskParameterRow
	Recurring         bool
	At, Zone          string
	Overlap, CatchUp  bool   // runs are left out
	Seen              string // when the task that is changed was changed last
	Preview           *taskPreview
	Problem           string // that belongs to no field
	Problems          map[string]string
	Focus             int // the parameter that was added, -1 for none
}

// taskParameterRow is a parameter in that form.
type taskParameterRow struct {
	N                                           int
	Name, Description, Default, Options, Format string
	Required, Check                             bool
	NameProblem, DefaultProblem, FormatProblem  string
	Focus                                       bool
}

// taskPreview is what a time means, or why it means nothing.
type taskPreview struct {
	Words, Zone string
	Times       []taskTime
	Problem     string
}

func previewTask(tx *store.Tx, at, zone string) *taskPreview {
	look, problems := schedule.Look(at, zone, tx.Now, previewed)
	if len(problems) > 0 {
		return &taskPreview{Problem: clip(signalbox.ErrorMessage(problems[0].Err), 500)}
	}
	return &taskPreview{Words: look.Words, Zone: look.Zone.String(), Times: taskTimes(look, tx.Now)}
}

// getTaskExpression answers what a time means, as a part of a page: ?at=EXPRESSION&time_zone=NAME.
func (w *Web) getTaskExpression(rw http.ResponseWriter, r *http.Request) error {
	var v *taskPreview
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		if _, err := tx.FindProject(r.PathValue("name")); err != nil {
			return orNotFound(err, "project")
		}
		v = previewTask(tx, strings.TrimSpace(r.URL.Query().Get("at")), strings.TrimSpace(r.URL.Query().Get("time_zone")))
		return nil
	}); err != nil {
		return err
	}
	return w.part(rw, "task-preview", v)
}

// getNewTask shows the form for a new task, ?from=ID filled in as another task of the project is.
func (w *Web) getNewTask(rw http.ResponseWriter, r *http.Request) error {
	return w.showTaskForm(rw, r, http.StatusOK, func(tx *store.Tx, p *signalbox.Project, _ *signalbox.Task) (taskForm, error) {
		if from := r.URL.Query().Get("from"); from != "" {
			k, err := tx.Task(strings.ToLower(from))
			if err == nil && (k.ProjectID != p.ID || !k.DeletedAt.IsZero()) {
				err = notFound("task")
			}
			if err != nil {
				return taskForm{}, orNotFound(err, "task")
			}
			f := formOf(tx, k)
			f.Name, f.Seen = "Copy of "+k.Name, ""
			return f, nil
		}
		return taskForm{Recurring: true, Kind: "BRANCH", Ref: p.DefaultBranch, File: p.PipelineFile, Parameters: parameterRows(nil), Focus: -1}, nil
	})
}

func (w *Web) getEditTask(rw http.ResponseWriter, r *http.Request) error {
	return w.showTaskForm(rw, r, http.StatusOK, func(tx *store.Tx, _ *signalbox.Project, k *signalbox.Task) (taskForm, error) {
		return formOf(tx, k), nil
	})
}

// formOf is the form with what a task has.
func formOf(tx *store.Tx, k *signalbox.Task) taskForm {
	f := taskForm{
		Name: k.Name, Description: k.Description, File: k.PipelineFile, Parameters: parameterRows(k.Parameters), Recurring: k.Recurring, At: k.At, Zone: k.TimeZone,
		Overlap: k.Overlap == signalbox.OverlapSkip, CatchUp: k.CatchUp == signalbox.CatchUpSkip, Seen: seenOf(k), Focus: -1,
	}
	f.Kind, f.Ref = signalbox.RefParts(k.Ref)
	if k.At != "" {
		f.Preview = previewTask(tx, k.At, k.TimeZone)
	}
	return f
}

// seenOf tells versions of a task apart. Planning its next run is no change.
func seenOf(k *signalbox.Task) string { return strconv.FormatInt(k.UpdatedAt.UnixMilli(), 10) }

// parameterRows are the parameters of a task, or an empty one.
func parameterRows(all []signalbox.TaskParameter) (out []taskParameterRow) {
	for _, p := range all {
		out = append(out, taskParameterRow{
			Name: p.Name, Description: p.Description, Default: p.Default, Options: strings.Join(p.Options, "\n"), Format: p.Pattern, Required: p.Required, Check: p.Validate,
		})
	}
	if len(out) == 0 {
		out = append(out, taskParameterRow{})
	}
	return out
}

// showTaskForm renders what fill makes of a task; the task is nil where the path names none.
func (w *Web) showTaskForm(rw http.ResponseWriter, r *http.Request, status int, fill func(*store.Tx, *signalbox.Project, *signalbox.Task) (taskForm, error)) error {
	var f taskForm
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, k, err := projectAndTask(tx, r)
		if err != nil {
			return err
		}
		if f, err = fill(tx, p, k); err != nil {
			return err
		}
		f.Project, f.Action = p, tasksURL(p)
		if k != nil {
			v := viewTask(k, p, tx.Now)
			f.Task, f.Action = &v, v.URL
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	for i := range f.Parameters {
		row := &f.Parameters[i]
		at := "parameters." + strconv.Itoa(i) + "."
		row.N, row.Focus = i, i == f.Focus
		row.NameProblem, row.DefaultProblem, row.FormatProblem = f.Problems[at+"name"], f.Problems[at+"default_value"], f.Problems[at+"regex_pattern"]
	}
	s.Title, s.Section, s.Script, s.Later = "New task · "+f.Project.Name, "projects", "page", "task"
	s.Crumbs = []Link{{f.Project.Name, "/projects/" + f.Project.Name}, {"Tasks", tasksURL(f.Project)}}
	if f.Task != nil {
		s.Title = "Change " + f.Task.Name + " · " + f.Project.Name
		s.Crumbs = append(s.Crumbs, Link{f.Task.Name, f.Task.URL})
	}
	return w.render(rw, status, "task-form", s, f)
}

// projectAndTask returns the project of a path, and the task where it names one.
func projectAndTask(tx *store.Tx, r *http.Request) (*signalbox.Project, *signalbox.Task, error) {
	if r.PathValue("task") != "" {
		return findTask(tx, r)
	}
	p, err := tx.FindProject(r.PathValue("name"))
	return p, nil, orNotFound(err, "project")
}

// mostRows is how many parameters are read of a form; more than a task may have.
const mostRows = 120

// readTask takes a form in.
func readTask(q url.Values) taskForm {
	text := func(name string) string { return strings.TrimSpace(strings.ReplaceAll(q.Get(name), "\r\n", "\n")) }
	f := taskForm{
		Name: text("task_name"), Description: text("description"), Kind: text("kind"), Ref: text("reference"), File: text("pipeline_file"),
		Recurring: text("recurring") != "no", At: text("at"), Zone: text("time_zone"), Overlap: q.Get("overlap") == "skip", CatchUp: q.Get("catch_up") == "skip",
		Seen: text("seen"), Problems: map[string]string{}, Focus: -1,
	}
	n, _ := strconv.Atoi(q.Get("rows"))
	for i := range min(max(n, 0), mostRows) {
		at := "row." + strconv.Itoa(i) + "."
		f.Parameters = append(f.Parameters, taskParameterRow{
			Name: text(at + "name"), Description: text(at + "description"), Default: text(at + "default"), Options: text(at + "options"), Format: q.Get(at + "format"),
			Required: q.Get(at+"required") != "", Check: q.Get(at+"check") != "",
		})
	}
	return f
}

// empty tells whether nobody has filled anything in.
func (p taskParameterRow) empty() bool {
	return p.Name+p.Description+p.Default+p.Options+p.Format == "" && !p.Required && !p.Check
}

// apply writes the form into a task. places are the rows of its parameters.
func (f *taskForm) apply(k *signalbox.Task) (places []int, err error) {
	k.Name, k.Description, k.PipelineFile, k.Recurring, k.At, k.TimeZone = f.Name, f.Description, f.File, f.Recurring, f.At, f.Zone
	k.Ref, k.Overlap, k.CatchUp, k.Parameters = "", signalbox.OverlapAllow, signalbox.CatchUpOne, nil
	if f.Overlap {
		k.Overlap = signalbox.OverlapSkip
	}
	if f.CatchUp {
		k.CatchUp = signalbox.CatchUpSkip
	}
	if f.Ref != "" {
		k.Ref, err = signalbox.RefOf(f.Kind, f.Ref)
	}
	for i, row := range f.Parameters {
		if row.empty() {
			continue
		}
		p := signalbox.TaskParameter{Name: row.Name, Required: row.Required, Description: row.Description, Default: row.Default, Validate: row.Check, Pattern: row.Format}
		for _, o := range strings.Split(row.Options, "\n") {
			if o = strings.TrimSpace(o); o != "" {
				p.Options = append(p.Options, o)
			}
		}
		k.Parameters = append(k.Parameters, p)
		places = append(places, i)
	}
	return places, err
}

// note puts problems at their fields; those of parameters are numbered by the task, and shown by the rows of the form.
func (f *taskForm) note(problems []schedule.Problem, places []int) {
	for _, x := range problems {
		field := x.Field
		if rest, ok := strings.CutPrefix(field, "parameters."); ok {
			place, name, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(place); err == nil && n < len(places) {
				field = "parameters." + strconv.Itoa(places[n]) + "." + name
			}
		}
		if f.Problems[field] == "" {
			f.Problems[field] = clip(signalbox.ErrorMessage(x.Err), 500)
		}
	}
}

// step does what a button of the form asks for that does not save. It returns false when the form is to be saved.
func (f *taskForm) step(q url.Values) bool {
	if n, err := strconv.Atoi(q.Get("remove")); err == nil && n >= 0 && n < len(f.Parameters) {
		f.Parameters = append(f.Parameters[:n:n], f.Parameters[n+1:]...)
		return true
	}
	switch q.Get("step") {
	case "add":
		if f.Focus = len(f.Parameters); f.Focus < mostRows {
			f.Parameters = append(f.Parameters, taskParameterRow{})
		}
		return true
	case "check":
		return true
	}
	return false
}

func (w *Web) postTask(rw http.ResponseWriter, r *http.Request) error {
	if err := readTaskForm(rw, r); err != nil {
		return err
	}
	f := readTask(r.PostForm)
	again := func(status int) error {
		return w.showTaskForm(rw, r, status, func(tx *store.Tx, _ *signalbox.Project, _ *signalbox.Task) (taskForm, error) {
			if f.At != "" {
				f.Preview = previewTask(tx, f.At, f.Zone)
			}
			return f, nil
		})
	}
	if f.step(r.PostForm) {
		return again(http.StatusOK)
	}
	who := route.ActorFrom(r.Context())
	var to string
	stale := false
	err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		f.Problem, f.Problems = "", map[string]string{}
		p, k, err := projectAndTask(tx, r)
		if err != nil {
			return err
		}
		filled := signalbox.Task{ID: signalbox.NewID(), ProjectID: p.ID, Owner: who.User.Name}
		if k != nil {
			filled = *k
		}
		places, err := f.apply(&filled)
		if err != nil {
			f.Problems["reference"] = signalbox.ErrorMessage(err)
		}
		f.note(schedule.Problems(&filled, tx.Now), places)
		if len(f.Problems) > 0 {
			return nil
		}
		to = taskURL(p, &filled)
		if k == nil {
			return schedule.Create(tx, &filled, who.Name())
		}
		_, err = schedule.Update(tx, k.ID, who.User.Name, who.Name(), func(now *signalbox.Task) error {
			if seen := seenOf(now); f.Seen != seen {
				f.Seen, stale = seen, true
				return signalbox.Errorf(signalbox.CodeConflict, "Somebody has changed this task meanwhile. Look at it in another tab; saving again replaces what they did.")
			}
			_, err := f.apply(now)
			return err
		})
		return err
	})
	switch {
	case len(f.Problems) > 0 && err == nil:
		return again(http.StatusUnprocessableEntity)
	case err == nil:
		http.Redirect(rw, r, to, http.StatusSeeOther)
		return nil
	case signalbox.ErrorCode(err) == signalbox.CodeConflict && !stale: // another task has the name
		f.Problems["name"] = clip(signalbox.ErrorMessage(err), 500)
		return again(http.StatusConflict)
	case signalbox.ErrorCode(err) == signalbox.CodeConflict:
		f.Problem = clip(signalbox.ErrorMessage(err), 500)
		return again(http.StatusConflict)
	case signalbox.ErrorCode(err) == signalbox.CodeInvalid:
		f.Problem = clip(signalbox.ErrorMessage(err), 500)
		return again(http.StatusUnprocessableEntity)
	}
	return err
}
