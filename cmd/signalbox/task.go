package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// TaskCmd is `signalbox task`.
type TaskCmd struct {
	List   TaskListCmd   `cmd:"" help:"List a project's tasks and when they run next."`
	Show   TaskShowCmd   `cmd:"" help:"Show a task and its newest runs."`
	Create TaskCreateCmd `cmd:"" help:"Make a task: a workflow that starts at set times or by hand."`
	Edit   TaskEditCmd   `cmd:"" help:"Change a task."`
	Delete TaskDeleteCmd `cmd:"" help:"Delete a task; its workflows stay."`
	Pause  TaskPauseCmd  `cmd:"" help:"Let a task start nothing by itself."`
	Resume TaskResumeCmd `cmd:"" help:"Let a paused task start by itself again."`
	Run    TaskRunCmd    `cmd:"" help:"Start a task's workflow now, also when it is paused."`
}

const tasks = "/api/v1alpha/tasks"

// task is what the API says of a task.
type task struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	ProjectID    string          `json:"project_id"`
	Reference    string          `json:"reference"`
	At           string          `json:"at"`
	TimeZone     string          `json:"time_zone"`
	PipelineFile string          `json:"pipeline_file"`
	Owner        string          `json:"requester_id"`
	NextRunAt    string          `json:"next_run_at"`
	Paused       bool            `json:"paused"`
	PausedBy     string          `json:"pause_toggled_by"`
	PausedAt     string          `json:"pause_toggled_at"`
	Recurring    bool            `json:"recurring"`
	Overlap      string          `json:"overlap"`
	CatchUp      string          `json:"catch_up"`
	Parameters   []taskParameter `json:"parameters"`
}

type taskParameter struct {
	Name        string   `json:"name"`
	Required    bool     `json:"required"`
	Description string   `json:"description"`
	Default     string   `json:"default_value"`
	Options     []string `json:"options"`
	Validate    bool     `json:"validate_input_format"`
	Pattern     string   `json:"regex_pattern"`
}

type taskRun struct {
	ID          string `json:"id"`
	TriggeredAt string `json:"triggered_at"`
	Status      string `json:"scheduling_status"`
	Workflow    string `json:"scheduled_workflow_id"`
	Reference   string `json:"reference"`
	RunNowBy    string `json:"run_now_requester_id"`
	Error       string `json:"error_description"`
	Note        string `json:"note"`
	Attempts    int    `json:"attempts"`
}

// minute shows a time of the API without what nobody reads.
func minute(stamp string) string {
	t, err := time.Parse("2006-01-02 15:04:05.000000Z", stamp)
	if err != nil {
		return "-"
	}
	return t.Format("2006-01-02 15:04 UTC")
}

func (t *task) when() string {
	switch {
	case !t.Recurring:
		return "by hand"
	case t.TimeZone != "":
		return t.At + " " + t.TimeZone
	}
	return t.At
}

func (t *task) next() string {
	if t.Paused {
		return "paused"
	}
	return minute(t.NextRunAt)
}

// short is a ref as people write it.
func short(ref string) string {
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return branch
	}
	return ref
}

// findTask returns the task that is named by its id or as PROJECT/NAME.
func (c *client) findTask(ctx context.Context, which string) (*task, []taskRun, error) {
	var out struct {
		Schedule task      `json:"schedule"`
		Triggers []taskRun `json:"triggers"`
	}
	id := which
	if !signalbox.IsID(id) {
		project, name, ok := strings.Cut(which, "/")
		if !ok || project == "" || name == "" {
			return nil, nil, fmt.Errorf("%q is no task: write PROJECT/NAME or an id, as \"signalbox task list PROJECT\" shows them", which)
		}
		all, err := c.tasks(ctx, project)
		if err != nil {
			return nil, nil, err
		}
		var names []string
		for _, t := range all {
			if names = append(names, fmt.Sprintf("%q", t.Name)); t.Name == name {
				id = t.ID
			}
		}
		if id == which {
			has := "it has none; make one with \"signalbox task create\""
			if len(names) > 0 {
				has = "it has " + strings.Join(names, ", ")
			}
			return nil, nil, signalbox.Errorf(signalbox.CodeNotFound, "project %s has no task %q: %s", project, name, has)
		}
	}
	if err := c.call(ctx, http.MethodGet, tasks+"/"+url.PathEscape(id), nil, &out); err != nil {
		return nil, nil, err
	}
	return &out.Schedule, out.Triggers, nil
}

// tasks returns all tasks of a project.
func (c *client) tasks(ctx context.Context, project string) ([]task, error) {
	const size = 500
	all := []task{}
	for page := 1; ; page++ {
		var some []task
		path := fmt.Sprintf("%s?project_id=%s&page=%d&page_size=%d", tasks, url.QueryEscape(project), page, size)
		if err := c.call(ctx, http.MethodGet, path, nil, &some); err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < size {
			return all, nil
		}
	}
}

// TaskListCmd is `signalbox task list`.
type TaskListCmd struct {
	Project string `arg:"" help:"Name of the project."`
}

func (c *TaskListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	all, err := api.tasks(ctx, c.Project)
	if err != nil {
		return err
	}
	rows := [][]string{}
	for _, t := range all {
		rows = append(rows, []string{t.Name, t.when(), t.next(), short(t.Reference), t.PipelineFile, t.ID})
	}
	return g.print(all, table([]string{"NAME", "WHEN", "NEXT RUN", "ON", "PIPELINE", "ID"}, rows))
}

// TaskShowCmd is `signalbox task show`.
type TaskShowCmd struct {
	Task string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *TaskShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	t, runs, err := api.findTask(ctx, c.Task)
	if err != nil {
		return err
	}
	return g.print(map[string]any{"task": t, "runs": runs}, t.text(runs))
}

func (t *task) text(runs []taskRun) string {
	rows := [][]string{{"When", t.when()}, {"Next run", t.next()}, {"On", short(t.Reference)}, {"Pipeline", t.PipelineFile}, {"Owner", t.Owner}}
	if t.Description != "" {
		rows = append(rows, []string{"About", t.Description})
	}
	if t.Paused {
		rows = append(rows, []string{"Paused", strings.TrimSpace(minute(t.PausedAt) + " by " + t.PausedBy)})
	}
	if t.Overlap == string(signalbox.OverlapSkip) {
		rows = append(rows, []string{"Overlap", "a run is left out while the workflow of an earlier one runs"})
	}
	if t.CatchUp == string(signalbox.CatchUpSkip) {
		rows = append(rows, []string{"Catch up", "missed runs are left out"})
	}
	for _, p := range t.Parameters {
		text := p.Name + " = " + p.Default
		if p.Required {
			text += " (required)"
		}
		if len(p.Options) > 0 {
			text += " one of " + strings.Join(p.Options, ", ")
		}
		if p.Validate {
			text += " matching " + p.Pattern
		}
		rows = append(rows, []string{"Parameter", text})
	}
	out := table([]string{"Task", t.Name}, rows)
	rows = [][]string{}
	for _, r := range runs {
		by, what := "schedule", r.Workflow
		if r.RunNowBy != "" {
			by = r.RunNowBy
		}
		for _, text := range []string{r.Error, r.Note} {
			if text != "" {
				what = strings.TrimSpace(what + " " + text)
			}
		}
		rows = append(rows, []string{minute(r.TriggeredAt), r.Status, by, short(r.Reference), what})
	}
	if len(rows) == 0 {
		return out + "\nIt has not run yet.\n"
	}
	return out + "\n" + table([]string{"RUN", "STATUS", "BY", "ON", "WORKFLOW"}, rows)
}

// TaskDeleteCmd is `signalbox task delete`.
type TaskDeleteCmd struct {
	Task string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *TaskDeleteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	t, _, err := api.findTask(ctx, c.Task)
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, tasks+"/"+t.ID, nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"deleted": t.ID}, "Task "+printable(t.Name)+" deleted.\n")
}

// TaskPauseCmd is `signalbox task pause`.
type TaskPauseCmd struct {
	Task string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *TaskPauseCmd) Run(ctx context.Context, g *Globals) error {
	return g.changeTask(ctx, c.Task, map[string]any{"paused": true})
}

// TaskResumeCmd is `signalbox task resume`.
type TaskResumeCmd struct {
	Task string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *TaskResumeCmd) Run(ctx context.Context, g *Globals) error {
	return g.changeTask(ctx, c.Task, map[string]any{"paused": false})
}

func (g *Globals) changeTask(ctx context.Context, which string, change map[string]any) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	t, _, err := api.findTask(ctx, which)
	if err != nil {
		return err
	}
	return g.patchTask(ctx, api, t, change)
}

func (g *Globals) patchTask(ctx context.Context, api *client, t *task, change map[string]any) error {
	if err := api.call(ctx, http.MethodPatch, tasks+"/"+t.ID, change, t); err != nil {
		return err
	}
	return g.print(t, t.saved())
}

// saved says in a line what a task does now.
func (t *task) saved() string {
	switch {
	case t.Paused:
		return fmt.Sprintf("Task %s is paused.\n", printable(t.Name))
	case !t.Recurring:
		return fmt.Sprintf("Task %s runs when somebody asks for it: signalbox task run %s\n", printable(t.Name), t.ID)
	}
	return fmt.Sprintf("Task %s runs next at %s (%s).\n", printable(t.Name), minute(t.NextRunAt), printable(t.when()))
}

// TaskRunCmd is `signalbox task run`.
type TaskRunCmd struct {
	Task   string   `arg:"" help:"PROJECT/NAME, or an id."`
	Branch string   `help:"Branch, or a full ref such as refs/tags/v1; default: the task's." env:"SIGNALBOX_BRANCH" placeholder:"BRANCH"`
	File   string   `help:"Pipeline file; default: the task's." env:"SIGNALBOX_FILE" placeholder:"FILE"`
	Param  []string `help:"NAME=VALUE for a parameter of the task; may repeat." sep:"none" env:"SIGNALBOX_PARAM" placeholder:"NAME=VALUE"`
	Follow bool     `help:"Show what happens until the end; the exit code is the result." env:"SIGNALBOX_FOLLOW"`
}

func (c *TaskRunCmd) Run(ctx context.Context, g *Globals) error {
	values := map[string]string{}
	for _, p := range c.Param {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return fmt.Errorf("--param %q must be NAME=VALUE", p)
		}
		values[name] = value
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	t, _, err := api.findTask(ctx, c.Task)
	if err != nil {
		return err
	}
	for name := range values { // the server ignores what it does not know, which hides a slip
		if t.parameter(name) == nil {
			return signalbox.Errorf(signalbox.CodeInvalid, "task %s has no parameter %s; see: signalbox task show %s", printable(t.Name), name, t.ID)
		}
	}
	in := map[string]any{"pipeline_file": c.File, "parameters": values, "request_token": signalbox.NewID()}
	if c.Branch != "" {
		in["branch"] = c.Branch
	}
	var out struct {
		Workflow string `json:"workflow_id"`
	}
	if err := api.call(ctx, http.MethodPost, tasks+"/"+t.ID+"/run_now", in, &out); err != nil {
		return err
	}
	page := api.base + "/workflows/" + out.Workflow
	if !c.Follow {
		return g.print(map[string]string{"workflow_id": out.Workflow, "page": page}, "Started: "+page+"\n")
	}
	return (&WorkflowFollowCmd{ID: out.Workflow}).Run(ctx, g)
}

func (t *task) parameter(name string) *taskParameter {
	for i := range t.Parameters {
		if t.Parameters[i].Name == name {
			return &t.Parameters[i]
		}
	}
	return nil
}

// definition reads a file that defines a task; flags beside it would be lost.
func definition(file string, others ...string) (map[string]any, error) {
	for _, o := range others {
		if o != "" {
			return nil, errors.New("--from-file says everything; leave the other flags out, or change the file")
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &exitCodeError{code: exitInvalid, err: err}
	}
	return map[string]any{"yml_definition": string(text)}, nil
}
