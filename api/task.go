package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

// shownRuns is how many runs are shown with a task.
const shownRuns = 10

type taskBody struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	ProjectID      string          `json:"project_id"`
	Branch         string          `json:"branch"`
	Reference      string          `json:"reference"`
	At             string          `json:"at"`
	TimeZone       string          `json:"time_zone"`
	PipelineFile   string          `json:"pipeline_file"`
	RequesterID    string          `json:"requester_id"`
	UpdatedAt      string          `json:"updated_at"`
	InsertedAt     string          `json:"inserted_at"`
	NextRunAt      string          `json:"next_run_at"`
	Paused         bool            `json:"paused"`
	PauseToggledBy string          `json:"pause_toggled_by"`
	PauseToggledAt string          `json:"pause_toggled_at"`
	Suspended      bool            `json:"suspended"`
	Recurring      bool            `json:"recurring"`
	Overlap        string          `json:"overlap"`
	CatchUp        string          `json:"catch_up"`
	Parameters     []parameterBody `json:"parameters"`
	OrganizationID string          `json:"organization_id"`
}

type parameterBody struct {
	Name        string   `json:"name"`
	Required    bool     `json:"required"`
	Description string   `json:"description"`
	Default     string   `json:"default_value"`
	Options     []string `json:"options"`
	Validate    bool     `json:"validate_input_format"`
	Pattern     string   `json:"regex_pattern"`
}

type taskRunBody struct {
	ID           string   `json:"id"`
	TriggeredAt  string   `json:"triggered_at"`
	ScheduledAt  string   `json:"scheduled_at"`
	Status       string   `json:"scheduling_status"`
	WorkflowID   string   `json:"scheduled_workflow_id"`
	ProjectID    string   `json:"project_id"`
	TaskID       string   `json:"periodic_id"`
	Reference    string   `json:"reference"`
	Branch       string   `json:"branch"`
	PipelineFile string   `json:"pipeline_file"`
	Values       []envVar `json:"parameter_values"`
	RunNowBy     string   `json:"run_now_requester_id"`
	Error        string   `json:"error_description"`
	Note         string   `json:"note"`
	Attempts     int      `json:"attempts"`
}

type envVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// stampOrNone is the time format of tasks, where what has not happened is an empty text.
func stampOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// branchOf is the name of a branch, "" for other refs.
func branchOf(ref string) string {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok {
		return ""
	}
	return branch
}

func parameterBodies(all []signalbox.TaskParameter) []parameterBody {
	out := []parameterBody{}
	for _, p := range all {
		out = append(out, parameterBody{p.Name, p.Required, p.Description, p.Default, append([]string{}, p.Options...), p.Validate, p.Pattern})
	}
	return out
}

func (a *API) task(k *signalbox.Task) taskBody {
	return taskBody{
		ID: k.ID, Name: k.Name, Description: k.Description, ProjectID: k.ProjectID, Branch: branchOf(k.Ref), Reference: k.Ref, At: k.At,
		TimeZone: k.TimeZone, PipelineFile: k.PipelineFile, RequesterID: k.Owner, UpdatedAt: stampOrNone(k.UpdatedAt),
		InsertedAt: stampOrNone(k.CreatedAt), NextRunAt: stampOrNone(k.NextRunAt), Paused: k.Paused, PauseToggledBy: k.PausedBy,
		PauseToggledAt: stampOrNone(k.PausedAt), Recurring: k.Recurring, Overlap: string(k.Overlap), CatchUp: string(k.CatchUp),
		Parameters: parameterBodies(k.Parameters), OrganizationID: a.OrganizationID,
	}
}

func taskRun(r *signalbox.TaskRun) taskRunBody {
	b := taskRunBody{
		ID: r.ID, TriggeredAt: stampOrNone(r.CreatedAt), ScheduledAt: stampOrNone(r.ScheduledAt), Status: string(r.Status),
		WorkflowID: r.WorkflowID, ProjectID: r.ProjectID, TaskID: r.TaskID, Reference: r.Ref, Branch: branchOf(r.Ref),
		PipelineFile: r.PipelineFile, Values: []envVar{}, Error: r.Error, Note: r.Note, Attempts: r.Attempts,
	}
	if r.Manual() {
		b.RunNowBy = r.Requester
	}
	for _, v := range r.Parameters {
		b.Values = append(b.Values, envVar{v.Name, v.Value})
	}
	return b
}

// findTask returns the task that a path names.
func findTask(tx *store.Tx, id string) (*signalbox.Task, error) {
	if !signalbox.IsID(id) {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "schedule identifier should be a UUID")
	}
	k, err := tx.Task(strings.ToLower(id))
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && !k.DeletedAt.IsZero() {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "Scheduler with id:'%s' not found.", id)
	}
	return k, err
}

// wholePage is pageOf for lists that refuse what is no number.
func wholePage(r *http.Request) (page, error) {
	for _, key := range []string{"page", "page_size"} {
		v := r.URL.Query().Get(key)
		if _, err := strconv.Atoi(v); v != "" && err != nil {
			return page{}, signalbox.Errorf(signalbox.CodeInvalid, "Invalid value of '%s' param: %.40q - needs to be integer.", key, v)
		}
	}
	return pageOf(r), nil
}

// total adds to the header of link how much there is.
func (a *API) total(w http.ResponseWriter, r *http.Request, p page, total int) {
	pages := max(1, (total+p.limit-1)/p.limit)
	n := p.offset/p.limit + 1
	a.link(w, r, p, n < pages)
	h := w.Header()
	q := r.URL.Query()
	q.Set("page", strconv.Itoa(pages))
	q.Set("page_size", strconv.Itoa(p.limit))
	h.Set("Link", h.Get("Link")+", <"+a.PublicURL(r)+r.URL.Path+"?"+q.Encode()+`>; rel="last"`)
	for key, v := range map[string]int{"Page-Number": n, "Per-Page": p.limit, "Total": total, "Total-Pages": pages} {
		h.Set(key, strconv.Itoa(v))
	}
}

func (a *API) listTasks(w http.ResponseWriter, r *http.Request) error {
	pg, err := wholePage(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	out, total := []taskBody{}, 0
	if err := a.read(r, func(tx *store.Tx) error {
		if q.Get("project_id") == "" {
			return signalbox.Errorf(signalbox.CodeNotFound, "name a project: ?project_id=ID")
		}
		p, err := tx.FindProject(q.Get("project_id"))
		if err != nil {
			return err
		}
		f := store.TaskFilter{ProjectID: p.ID, Name: q.Get("name"), Limit: pg.limit, Offset: pg.offset}
		if total, err = tx.CountTasks(f); err != nil {
			return err
		}
		all, err := tx.Tasks(f)
		for _, k := range all {
			out = append(out, a.task(k))
		}
		return err
	}); err != nil {
		return err
	}
	a.total(w, r, pg, total)
	return write(w, out)
}

func (a *API) showTask(w http.ResponseWriter, r *http.Request) error {
	var out struct {
		Schedule taskBody      `json:"schedule"`
		Triggers []taskRunBody `json:"triggers"`
	}
	if err := a.read(r, func(tx *store.Tx) error {
		k, err := findTask(tx, r.PathValue("task"))
		if err != nil {
			return err
		}
		runs, err := tx.TaskRuns(k.ID, shownRuns)
		out.Schedule, out.Triggers = a.task(k), []taskRunBody{}
		for _, run := range runs {
			out.Triggers = append(out.Triggers, taskRun(run))
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

func (a *API) deleteTask(w http.ResponseWriter, r *http.Request) error {
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		k, err := findTask(tx, r.PathValue("task"))
		if err != nil {
			return err
		}
		return tx.DeleteTask(k, actor(r))
	}); err != nil {
		return err
	}
	return write(w, "Schedule successfully deleted.")
}

// runTask starts a task's workflow now.
func (a *API) runTask(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Reference    json.RawMessage `json:"reference"`
		Branch       string          `json:"branch"`
		PipelineFile string          `json:"pipeline_file"`
		Parameters   map[string]any  `json:"parameters"`
		RequestToken string          `json:"request_token"`
	}
	if err := readForm(w, r, &b); err != nil {
		return err
	}
	if b.RequestToken == "" {
		b.RequestToken = r.Header.Get("Idempotency-Key")
	}
	now := schedule.Now{
		Ref: signalbox.ParseRef(b.Branch), PipelineFile: b.PipelineFile, Parameters: map[string]string{}, By: route.ActorFrom(r.Context()).User.Name,
		Token: b.RequestToken,
	}
	ref, err := runReference(b.Reference)
	if err != nil {
		return err
	}
	if ref != "" {
		now.Ref = ref
	}
	for name, v := range b.Parameters {
		switch v := v.(type) {
		case nil:
		case string:
			now.Parameters[name] = v
		case bool, float64:
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			now.Parameters[name] = string(text)
		default:
			return signalbox.Errorf(signalbox.CodeInvalid, "the value of parameter %.100q must be a text", name)
		}
	}
	var k *signalbox.Task
	if err := a.read(r, func(tx *store.Tx) (err error) { k, err = findTask(tx, r.PathValue("task")); return err }); err != nil {
		return err
	}
	run, err := a.Schedule.RunNow(r.Context(), k.ID, now)
	if err != nil {
		return err
	}
	return write(w, map[string]string{"workflow_id": run.WorkflowID})
}

// runReference reads {type, name}, or a text that is a branch or a full ref.
func runReference(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == "{}" {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return signalbox.ParseRef(text), nil
	}
	var ref struct {
		Type *string `json:"type"`
		Name *string `json:"name"`
	}
	switch err := json.Unmarshal(raw, &ref); {
	case err != nil || ref.Type == nil || ref.Name == nil:
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Reference must contain 'type' and 'name' fields")
	case strings.TrimSpace(*ref.Name) == "":
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Reference name cannot be empty")
	case !strings.EqualFold(*ref.Type, "BRANCH") && !strings.EqualFold(*ref.Type, "TAG"):
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Reference type must be 'BRANCH' or 'TAG'")
	}
	return signalbox.RefOf(*ref.Type, *ref.Name)
}
