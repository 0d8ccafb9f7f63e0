package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

// taskRunView is one run in words.
type taskRunView struct {
	ID          string
	Lamp        Lamp // of its workflow, or of the attempt to start one
	URL         string
	Why         string // it ran: the time it was due, or who asked
	At          *Moment
	Ref         string
	RefIcon     string
	File        string
	Values      []string
	Error, Note string
	Again       *Moment // when a start that failed is tried again
}

// viewRun takes the pipelines of the workflow that a run has started.
func viewRun(r *signalbox.TaskRun, pipelines []*signalbox.Pipeline, now time.Time) taskRunView {
	v := taskRunView{ID: r.ID, Why: "on schedule", At: moment(r.CreatedAt, now), File: clip(r.PipelineFile, 160), Note: clip(r.Note, 300)}
	v.RefIcon, v.Ref = refView(r.Ref)
	if r.Manual() {
		v.Why = "by " + clip(r.Requester, 80)
	}
	for _, p := range r.Parameters {
		v.Values = append(v.Values, clip(p.Name+"="+p.Value, 160))
	}
	if r.WorkflowID != "" {
		v.URL = "/workflows/" + url.PathEscape(r.WorkflowID)
	}
	switch r.Status {
	case signalbox.TaskRunPassed:
		v.Lamp = workflowLamp(pipelines)
	case signalbox.TaskRunFailed:
		v.Lamp, v.Error = Lamp{"failed", "Not started"}, clip(r.Error, 300)
	case signalbox.TaskRunRunning:
		v.Lamp, v.Error = Lamp{"preparing", "Starting"}, clip(r.Error, 300)
		if r.RunAt.After(now) {
			v.Again = moment(r.RunAt, now)
		}
	}
	return v
}

// viewRuns reads the states of what runs have started, in one go.
func viewRuns(tx *store.Tx, runs []*signalbox.TaskRun) ([]taskRunView, error) {
	var ids []string
	for _, r := range runs {
		if r.WorkflowID != "" {
			ids = append(ids, r.WorkflowID)
		}
	}
	pipelines, err := tx.PipelineStates(ids)
	if err != nil {
		return nil, err
	}
	out := make([]taskRunView, 0, len(runs))
	for _, r := range runs {
		out = append(out, viewRun(r, pipelines[r.WorkflowID], tx.Now))
	}
	return out, nil
}

// taskRunBody is the form in which somebody runs a task at once.
type taskRunBody struct {
	Project    *signalbox.Project
	Task       taskView
	Kind, Ref  string // BRANCH, TAG or PR, and the short name
	File       string
	Parameters []taskValue
	Token      string // the same form sent twice is one run
	Problem    string // that belongs to no field
	Problems   map[string]string
}

// taskValue is a parameter in that form.
type taskValue struct {
	signalbox.TaskParameter
	Value   string
	Choices []string // with the default, which may be none of the options
	Must    bool     // nothing stands in for an empty field
	Problem string
}

func taskValues(k *signalbox.Task, value func(p signalbox.TaskParameter) string) (out []taskValue) {
	for _, p := range k.Parameters {
		v := taskValue{TaskParameter: p, Value: value(p), Choices: p.Options, Must: p.Required && p.Default == ""}
		if len(p.Options) > 0 && p.Default != "" && !slices.Contains(p.Options, p.Default) {
			v.Choices = append([]string{p.Default}, p.Options...)
		}
		out = append(out, v)
	}
	return out
}

func (w *Web) getTaskRun(rw http.ResponseWriter, r *http.Request) error {
	return w.showTaskRun(rw, r, http.StatusOK, func(k *signalbox.Task, b *taskRunBody) {
		b.Kind, b.Ref = signalbox.RefParts(k.Ref)
		b.File = k.PipelineFile
		b.Parameters = taskValues(k, func(p signalbox.TaskParameter) string { return p.Default })
	})
}

// showTaskRun renders the form with what fill puts into it.
func (w *Web) showTaskRun(rw http.ResponseWriter, r *http.Request, status int, fill func(*signalbox.Task, *taskRunBody)) error {
	var b taskRunBody
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, k, err := findTask(tx, r)
		if err != nil {
			return err
		}
		b = taskRunBody{Project: p, Task: viewTask(k, p, tx.Now), Token: signalbox.NewID(), Problems: map[string]string{}}
		fill(k, &b)
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Narrow = "Run "+b.Task.Name+" · "+b.Project.Name, "projects", "page", true
	s.Crumbs = []Link{{b.Project.Name, "/projects/" + b.Project.Name}, {"Tasks", tasksURL(b.Project)}, {b.Task.Name, b.Task.URL}}
	return w.render(rw, status, "task-run", s, b)
}

// maxTaskForm bounds what is read of a form: parameters may be long.
const maxTaskForm = 8 << 20

func readTaskForm(rw http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(rw, r.Body, maxTaskForm)
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read: %w", err)
	}
	return nil
}

func (w *Web) postTaskRun(rw http.ResponseWriter, r *http.Request) error {
	if err := readTaskForm(rw, r); err != nil {
		return err
	}
	field := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	given := func(p signalbox.TaskParameter) string {
		return strings.ReplaceAll(r.PostForm.Get(parameterPrefix+p.Name), "\r\n", "\n")
	}
	var p *signalbox.Project
	var k *signalbox.Task
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) { p, k, err = findTask(tx, r); return err }); err != nil {
		return err
	}
	now := schedule.Now{
		PipelineFile: field("pipeline_file"), Parameters: map[string]string{}, By: route.ActorFrom(r.Context()).User.Name, Token: field("token"),
	}
	if !signalbox.IsID(now.Token) { // no form of ours has it
		now.Token = ""
	}
	for _, p := range k.Parameters {
		now.Parameters[p.Name] = given(p)
	}
	again := func(status int, problem string, problems map[string]string) error {
		return w.showTaskRun(rw, r, status, func(k *signalbox.Task, b *taskRunBody) {
			b.Kind, b.Ref, b.File, b.Problem, b.Problems = field("kind"), field("reference"), field("pipeline_file"), problem, problems
			b.Parameters = taskValues(k, given)
			for i := range b.Parameters {
				b.Parameters[i].Problem = problems["parameters."+b.Parameters[i].Name]
			}
		})
	}
	problems := map[string]string{}
	if name := field("reference"); name != "" {
		ref, err := signalbox.RefOf(field("kind"), name)
		if err != nil {
			problems["reference"] = signalbox.ErrorMessage(err)
		}
		now.Ref = ref
	}
	for _, x := range schedule.NowProblems(k, now) {
		if problems[x.Field] == "" {
			problems[x.Field] = clip(signalbox.ErrorMessage(x.Err), 500)
		}
	}
	if len(problems) > 0 {
		return again(http.StatusUnprocessableEntity, "", problems)
	}
	run, err := w.o.Tasks.RunNow(r.Context(), k.ID, now)
	switch {
	case err == nil:
		http.Redirect(rw, r, "/workflows/"+run.WorkflowID, http.StatusSeeOther)
	case run != nil: // it stands in the history, with the reason
		http.Redirect(rw, r, taskURL(p, k)+"?run="+run.ID, http.StatusSeeOther)
	case known(err):
		return again(http.StatusUnprocessableEntity, clip(signalbox.ErrorMessage(err), 500), problems)
	default:
		return err
	}
	return nil
}
