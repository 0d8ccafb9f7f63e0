package api_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const taskDefinition = `apiVersion: v1.2
kind: Schedule
metadata: {name: nightly, description: every night}
spec:
  project: demo
  recurring: true
  reference: {type: BRANCH, name: main}
  at: "0 3 * * *"
  pipeline_file: .semaphore/semaphore.yml
  parameters:
    - {name: LEVEL, required: true, default_value: "1", options: ["1", "2"], regex_pattern: "^[0-9]$", validate_input_format: true}
`

// tasks returns the project's tasks by name.
func (w *world) tasks() map[string]*signalbox.Task {
	w.Helper()
	out := map[string]*signalbox.Task{}
	w.write(func(tx *store.Tx) error {
		all, err := tx.Tasks(store.TaskFilter{ProjectID: w.project.ID, Limit: 100})
		for _, k := range all {
			out[k.Name] = k
		}
		return err
	})
	return out
}

func (w *world) taskNamed(name string) string {
	w.Helper()
	k := w.tasks()[name]
	if k == nil {
		w.Fatalf("there is no task %s", name)
	}
	return k.ID
}

func define(text string) string { return `{"yml_definition":` + quote(text) + `}` }

func TestTasks(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const path = "/api/v1alpha/tasks"
	id := w.expect(200, w.call("POST", path, define(taskDefinition))).(string)
	got := w.tasks()["nightly"]
	if got.ID != id || got.Owner != "ann" || got.Ref != "refs/heads/main" || got.NextRunAt.Format("2006-01-02 15:04") != "2023-11-15 03:00" || !got.Parameters[0].Validate {
		t.Errorf("%+v", got)
	}
	// The same with an id changes the task, and leaves what the document cannot say.
	w.expect(200, w.call("PATCH", path+"/"+id, `{"time_zone":"Europe/Berlin","paused":true,"overlap":"skip"}`))
	changed := strings.NewReplacer("name: nightly", "id: "+id+", name: weekly", `"0 3 * * *"`, "'@weekly'").Replace(taskDefinition)
	if same := w.expect(200, w.call("POST", "/api/v1alpha/schedules", define(changed))); same != id {
		t.Errorf("a change made task %v", same)
	}
	got = w.tasks()["weekly"]
	if got == nil || got.At != "@weekly" || got.TimeZone != "Europe/Berlin" || !got.Paused || got.PausedBy != "ann" || got.Overlap != signalbox.OverlapSkip {
		t.Errorf("%+v", got)
	}
	w.expect(200, w.call("PATCH", path+"/"+id, define(strings.Replace(taskDefinition, "name: nightly", "name: third", 1))))
	if got = w.tasks()["third"]; got == nil || got.ID != id || got.At != "0 3 * * *" || got.TimeZone != "Europe/Berlin" {
		t.Errorf("%+v", got)
	}
	w.expect(200, w.call("PATCH", path+"/"+id, `{"name":"weekly"}`))
	// Fields alone are enough; the project fills in the rest.
	short := w.expect(200, w.call("POST", path, `{"project_id":"demo","name":"short","at":"@daily"}`)).(string)
	got = w.tasks()["short"]
	if got.ID != short || got.Ref != "refs/heads/main" || got.PipelineFile != signalbox.DefaultPipelineFile || !got.Recurring {
		t.Errorf("%+v", got)
	}
	for body, want := range map[string]string{
		`{"branch":"dev"}`: "refs/heads/dev", `{"reference":"refs/tags/v1"}`: "refs/tags/v1", `{"reference":{"type":"tag","name":"v2"}}`: "refs/tags/v2",
		`{"reference_type":"branch","reference_name":"x"}`: "refs/heads/x", `{"branch":"a","reference":{"type":"PR","name":"7"}}`: "refs/pull/7/head",
	} {
		w.expect(200, w.call("PATCH", path+"/"+short, body))
		if got := w.tasks()["short"].Ref; got != want {
			t.Errorf("%s gave %s, want %s", body, got, want)
		}
	}

	names := func(query string) (out []string, a answer) {
		a = w.call("GET", path+"?project_id=demo"+query, "")
		for _, k := range w.expect(200, a).([]any) {
			out = append(out, k.(map[string]any)["name"].(string))
		}
		return out, a
	}
	all, a := names("")
	if d := cmp.Diff([]string{"short", "weekly"}, all); d != "" || a.header.Get("Total") != "2" || a.header.Get("Total-Pages") != "1" || a.header.Get("Page-Number") != "1" || a.header.Get("Per-Page") != "30" {
		t.Errorf("%s %v", d, a.header)
	}
	one, a := names("&page_size=1&page=1")
	if link := a.header.Get("Link"); len(one) != 1 || a.header.Get("Total-Pages") != "2" || !strings.Contains(link, `page=2&page_size=1&project_id=demo>; rel="next"`) || !strings.Contains(link, `rel="last"`) {
		t.Errorf("%v %v", one, a.header)
	}
	if last, a := names("&page_size=1&page=2"); len(last) != 1 || strings.Contains(a.header.Get("Link"), "next") {
		t.Errorf("%v %v", last, a.header)
	}
	if some, _ := names("&name=weekly"); len(some) != 1 {
		t.Errorf("by name: %v", some)
	}
	if gone := w.expect(200, w.call("DELETE", path+"/"+id, "")); gone != "Schedule successfully deleted." {
		t.Errorf("%v", gone)
	}
	if a := w.call("GET", path+"/"+id, ""); a.status != 404 {
		t.Errorf("a deleted task: %d %s", a.status, a.body)
	}
}

func TestTaskRefusals(t *testing.T) {
	w := newWorld(t)
	w.fill()
	id := w.expect(200, w.call("POST", "/api/v1alpha/tasks", define(taskDefinition))).(string)
	const none = "01a20b3d-ab21-7000-be7d-46139615277f"
	for _, c := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"GET", "", "", 404, "name a project"},
		{"GET", "?project_id=nope", "", 404, "there is no project nope"},
		{"GET", "?project_id=demo&page_size=x", "", 400, `Invalid value of 'page_size' param: "x" - needs to be integer.`},
		{"GET", "?project_id=demo&page=1.5", "", 400, `Invalid value of 'page' param: "1.5" - needs to be integer.`},
		{"GET", "/nightly", "", 400, "schedule identifier should be a UUID"},
		{"GET", "/" + none, "", 404, "Scheduler with id:'" + none + "' not found."},
		{"PATCH", "/" + none, "{}", 404, "not found"},
		{"DELETE", "/" + none, "", 404, "not found"},
		{"POST", "/" + none + "/run_now", "", 404, "Scheduler with id:'" + none + "' not found."},
		{"POST", "", "", 400, "name the project"},
		{"POST", "", `{"project_id":"nope","name":"x"}`, 404, "there is no project nope"},
		{"POST", "", `{"project_id":"demo","name":"nightly","at":"@daily"}`, 409, `a task named "nightly" already`},
		{"POST", "", `{"project_id":"demo","name":"x"}`, 400, "it needs 'at'"},
		{"POST", "", `{"project_id":"demo","name":"x","at":"0 25 * * *"}`, 400, "Invalid cron expression in 'at' field: the hour"},
		{"POST", "", `{"project_id":"demo","name":"x","at":"0 0 31 2 *"}`, 400, "never happens"},
		{"POST", "", `{"project_id":"demo","name":"x","id":"` + id + `"}`, 400, "send PATCH"},
		{"POST", "", define("apiVersion: v1.2\nkind: Nope"), 400, "yml_definition: line 1: "},
		{"POST", "", define(strings.Replace(taskDefinition, "project: demo", "project: nope", 1)), 404, "there is no project nope"},
		{"POST", "", define(strings.Replace(taskDefinition, "{name: nightly", "{id: "+none+", name: nightly", 1)), 404, "not found"},
		{"PATCH", "/" + id, `{"reference":{"type":"SHA","name":"x"}}`, 400, "Reference type must be"},
		{"PATCH", "/" + id, `{"reference":{"name":"x"}}`, 400, "Reference must contain 'type' and 'name' fields"},
		{"PATCH", "/" + id, `{"id":"` + none + `"}`, 400, "but the body names"},
		{"PATCH", "/" + id, define("kind: x"), 400, "yml_definition: line 1: "},
		{"PATCH", "/" + id, `{"status":"SLEEPY"}`, 400, "it must be ACTIVE or INACTIVE"},
		{"PATCH", "/" + id, `{"at":""}`, 400, "it needs 'at'"},
		{"POST", "/" + id + "/run_now", `{"reference":{"type":"BRANCH","name":""}}`, 400, "Reference name cannot be empty"},
		{"POST", "/" + id + "/run_now", `{"reference":{"type":"PR","name":"7"}}`, 400, "Reference type must be 'BRANCH' or 'TAG'"},
		{"POST", "/" + id + "/run_now", `{"reference":{"type":"BRANCH"}}`, 400, "Reference must contain 'type' and 'name' fields"},
		{"POST", "/" + id + "/run_now", `{"reference":{"type":"branch","name":"nope"}}`, 400, "Branch 'nope' does not exist in the repository"},
		{"POST", "/" + id + "/run_now", `{"reference":{"type":"TAG","name":"nope"}}`, 400, "Tag 'nope' does not exist in the repository"},
		{"POST", "/" + id + "/run_now", `{"branch":"nope"}`, 400, "Branch 'nope' does not exist in the repository"},
		{"POST", "/" + id + "/run_now", `{"parameters":{"LEVEL":"x"}}`, 400, "Parameter 'LEVEL' value does not match required format."},
		{"POST", "/" + id + "/run_now", `{"parameters":{"LEVEL":3}}`, 400, "Parameter 'LEVEL' value is not one of its options: 1, 2."},
		{"POST", "/" + id + "/run_now", `{"parameters":{"LEVEL":[]}}`, 400, "must be a text"},
	} {
		a := w.call(c.method, "/api/v1alpha/tasks"+c.path, c.body)
		if a.status != c.status || !strings.Contains(a.body, strings.Trim(quote(c.message), `"`)) {
			t.Errorf("%s %s %s: %d %s\nwant %d %q", c.method, c.path, c.body, a.status, a.body, c.status, c.message)
		}
	}
}

func TestTasksRunNow(t *testing.T) {
	w := newWorld(t)
	w.fill()
	id := w.expect(200, w.call("POST", "/api/v1alpha/tasks", define(taskDefinition))).(string)
	w.expect(200, w.call("PATCH", "/api/v1alpha/tasks/"+id, `{"paused":true}`))
	run := func(body string, header ...string) string {
		t.Helper()
		return w.expect(200, w.call("POST", "/api/v1alpha/tasks/"+id+"/run_now", body, header...)).(map[string]any)["workflow_id"].(string)
	}
	first := run(`{"parameters":{"LEVEL":2,"OTHER":"x"},"request_token":"one"}`)
	if again := run("", "Idempotency-Key", "one"); again != first {
		t.Errorf("the same token gave %s and %s", first, again)
	}
	var wf *signalbox.Workflow
	var all []*signalbox.Pipeline
	w.write(func(tx *store.Tx) (err error) {
		if wf, err = tx.Workflow(first); err != nil {
			return err
		}
		all, err = tx.PipelinesOf(first)
		return err
	})
	if wf.TriggeredBy != signalbox.TriggeredByManualRun || wf.Requester != "ann" || wf.Ref != "refs/heads/main" {
		t.Errorf("%+v", wf)
	}
	if d := cmp.Diff([]signalbox.EnvVar{{Name: "LEVEL", Value: "2"}}, all[0].Origin.Parameters); d != "" {
		t.Errorf("parameters: %s", d)
	}
	for _, body := range []string{`{"reference":"refs/tags/v1"}`, `{"reference":{"type":"TAG","name":"v1"}}`, `{"branch":"refs/tags/v1"}`} {
		tagged := run(body)
		w.write(func(tx *store.Tx) (err error) { wf, err = tx.Workflow(tagged); return err })
		if wf.Ref != "refs/tags/v1" {
			t.Errorf("%s ran on %s", body, wf.Ref)
		}
	}
}

func TestTasksOfAProject(t *testing.T) {
	w := newWorld(t)
	w.fill()
	id := w.expect(200, w.call("POST", "/api/v1alpha/tasks", define(taskDefinition))).(string)
	w.expect(200, w.call("POST", "/api/v1alpha/tasks", `{"project_id":"demo","name":"weekly","at":"@weekly","time_zone":"Asia/Tokyo"}`))
	patch := func(spec string) []string {
		t.Helper()
		w.expect(200, w.call("PATCH", "/api/v1alpha/projects/demo", `{"spec":{`+spec+`}}`))
		var out []string
		for name, k := range w.tasks() {
			out = append(out, name+" "+k.At)
		}
		return out
	}
	if got := patch(`"repository":{"pipeline_file":"ci.yml"}`); len(got) != 2 {
		t.Errorf("a change of something else left %v", got)
	}
	// What the list does not name is deleted; what it cannot say stays; a new one comes.
	got := patch(`"tasks":[{"id":"` + id + `","name":"nightly","scheduled":true,"branch":"main","at":"0 4 * * *","pipeline_file":"n.yml","status":"INACTIVE",
		"parameters":[{"name":"LEVEL","required":true,"default_value":"1"}]},{"name":"new","branch":"refs/tags/v1","at":"@daily","pipeline_file":"x.yml"}]`)
	tasks := w.tasks()
	if len(got) != 2 || tasks["new"] == nil || tasks["new"].Ref != "refs/tags/v1" || !tasks["new"].Recurring {
		t.Fatalf("%v", got)
	}
	k := tasks["nightly"]
	if k.ID != id || k.At != "0 4 * * *" || !k.Paused || !k.Parameters[0].Validate || k.Parameters[0].Pattern != "^[0-9]$" || k.Description != "" {
		t.Errorf("%+v", k)
	}
	// The older list counts where the other is empty, and knows neither parameters nor descriptions.
	patch(`"tasks":[],"schedulers":[{"name":"nightly","branch":"main","at":"0 5 * * *","pipeline_file":"n.yml","status":"ACTIVE"}]`)
	tasks = w.tasks()
	if k = tasks["nightly"]; len(tasks) != 1 || k.ID != id || k.At != "0 5 * * *" || k.Paused || len(k.Parameters) != 1 {
		t.Errorf("%+v", tasks)
	}
	for body, want := range map[string]string{
		`"tasks":[{"at":"@daily"}]`:                                                 "task 1 of the project has no name",
		`"tasks":[{"name":"nightly"},{"name":"nightly"}]`:                           "twice",
		`"tasks":[{"name":"a","at":"@reboot","branch":"main","pipeline_file":"x"}]`: "@reboot names no time",
	} {
		if a := w.call("PATCH", "/api/v1alpha/projects/demo", `{"spec":{`+body+`}}`); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if len(w.tasks()) != 1 {
		t.Error("a refused list changed something")
	}
	if got := patch(`"tasks":[],"schedulers":[]`); len(got) != 0 {
		t.Errorf("empty lists left %v", got)
	}
	w.expect(200, w.call("POST", "/api/v1alpha/projects", `{"metadata":{"name":"second"},"spec":{"repository":{"url":`+quote(w.dir)+`},
		"tasks":[{"name":"nightly","at":"@daily","branch":"main","pipeline_file":"x.yml"}]}}`))
	if a := w.call("GET", "/api/v1alpha/tasks?project_id=second", ""); len(w.expect(200, a).([]any)) != 1 {
		t.Errorf("a project that was made with a task has %s", a.body)
	}
}

// The whole way: a task that is due, through the scheduler and the trigger, to a pipeline of the repository.
func TestAScheduledWorkflow(t *testing.T) {
	w := newWorld(t)
	w.fill()
	id := w.expect(200, w.call("POST", "/api/v1alpha/tasks", define(taskDefinition))).(string)
	w.write(func(tx *store.Tx) error {
		k, err := tx.Task(id)
		if err == nil {
			_, err = tx.AdvanceTask(k, tx.Now)
		}
		return err
	})
	woken, stop := w.st.Watch(store.KeyTasks)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.api.Schedule.Run(ctx) }()
	var run *signalbox.TaskRun
	for run == nil || run.Status == signalbox.TaskRunRunning {
		<-woken
		w.write(func(tx *store.Tx) error {
			runs, err := tx.TaskRuns(id, 1)
			if len(runs) > 0 {
				run = runs[0]
			}
			return err
		})
	}
	cancel()
	w.must(<-ended)
	var wf *signalbox.Workflow
	var all []*signalbox.Pipeline
	w.write(func(tx *store.Tx) (err error) {
		if wf, err = tx.Workflow(run.WorkflowID); err != nil {
			return err
		}
		all, err = tx.PipelinesOf(wf.ID)
		return err
	})
	if wf.TriggeredBy != signalbox.TriggeredBySchedule || wf.Requester != "ann" || wf.Label != "main" || len(all) != 1 || all[0].State != signalbox.PipelineQueuing && all[0].State != signalbox.PipelineRunning {
		t.Errorf("%+v %+v", wf, all)
	}
	if d := cmp.Diff([]signalbox.EnvVar{{Name: "LEVEL", Value: "1"}}, all[0].Origin.Parameters); d != "" {
		t.Errorf("parameters: %s", d)
	}
}
