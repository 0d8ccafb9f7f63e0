package api_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

const trainFile = `version: v1.0
name: Train
agent: {machine: {type: s1-linux}}
blocks:
  - {name: A, task: {jobs: [{name: a, commands: ["true"]}, {name: b, commands: ["true"]}]}}
promotions:
  - {name: Ship, pipeline_file: semaphore.yml, parameters: {env_vars: [{name: WHERE, options: [eu, us]}, {name: N, default_value: "1"}]}}
`

// train starts a workflow of a file with a promotion and returns the ids of workflow and pipeline.
func (w *world) train() (workflow, pipeline string) {
	w.Helper()
	work := w.TempDir()
	w.git(work, "clone", "-q", w.dir, ".")
	w.must(os.WriteFile(filepath.Join(work, ".semaphore", "train.yml"), []byte(trainFile), 0o644))
	w.git(work, "add", "-A")
	w.git(work, "commit", "-q", "-m", "Train")
	w.git(work, "push", "-q", "origin", "HEAD:train")
	m := w.expect(200, w.call("POST", "/api/v1alpha/plumber-workflows", `{"project_id":"demo","reference":"train","pipeline_file":".semaphore/train.yml"}`)).(map[string]any)
	return m["wf_id"].(string), m["ppl_id"].(string)
}

// endJobs ends all jobs of a pipeline.
func (w *world) endJobs(pipeline string, results ...signalbox.JobResult) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		jobs, err := tx.JobsOf(pipeline)
		if err != nil {
			return err
		}
		for i, j := range jobs {
			ag, err := tx.LockAgent(w.agents[0].ID)
			if err != nil {
				return err
			}
			at, err := engine.Offer(tx, j, ag, "test")
			if err != nil {
				return err
			}
			if _, _, err := engine.Fetched(tx, at.ID, "test"); err != nil {
				return err
			}
			if err := w.en.Finish(tx, at.ID, results[i%len(results)], signalbox.ReasonTest, "", "test"); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestPromotionRoutes(t *testing.T) {
	w := newWorld(t)
	w.fill()
	_, ppl := w.train()
	promote := func(body string) answer {
		return w.call("POST", "/api/v1alpha/promotions", strings.ReplaceAll(body, "PPL", ppl))
	}
	refuse := func(body, want string) {
		t.Helper()
		if a := promote(body); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.body, want)
		}
	}
	refuse(`{"pipeline_id":"PPL","name":"Ship","WHERE":"eu"}`, "requires override confirmation")
	w.endJobs(ppl, signalbox.JobPassed)
	refuse(`{"pipeline_id":"PPL"}`, "name the pipeline and its promotion")
	refuse(`{"pipeline_id":"PPL","name":"Nope"}`, `has no promotion`)
	refuse(`{"pipeline_id":"PPL","name":"Ship"}`, "Missing value for required parameter 'WHERE'.")
	refuse(`{"pipeline_id":"PPL","name":"Ship","WHERE":"mars"}`, "Value 'mars' of parameter 'WHERE' is not one of predefined options.")
	refuse(`{"pipeline_id":"PPL","name":"Ship","WHERE":"eu","X":"1"}`, "Parameter 'X' is not defined in promotion's yml definition.")
	refuse(`{"pipeline_id":"PPL","name":"Ship","WHERE":["eu"]}`, `\"WHERE\" must be a text`)
	if a := promote(`{"pipeline_id":"PPL","name":"Ship","WHERE":"eu","N":2,"request_token":"t"}`); a.status != 200 || strings.TrimSpace(a.body) != `"Promotion successfully triggered."` {
		t.Errorf("%d %s", a.status, a.body)
	}
	// As a form, and the same request again.
	a := w.call("POST", "/api/v1alpha/promotions", "pipeline_id="+ppl+"&name=Ship&WHERE=eu&request_token=t", "Content-Type", "application/x-www-form-urlencoded")
	w.expect(200, a)
	list := w.expect(200, w.call("GET", "/api/v1alpha/promotions?pipeline_id="+ppl, "")).([]any)
	if len(list) != 1 {
		t.Fatalf("%d promotions: %v", len(list), list)
	}
	one := list[0].(map[string]any)
	if one["name"] != "Ship" || one["status"] != "passed" || one["triggered_by"] != "ann" || one["override"] != false {
		t.Errorf("%v", one)
	}
	d := w.expect(200, w.call("GET", "/api/v1alpha/pipelines/"+one["scheduled_pipeline_id"].(string), "")).(map[string]any)["pipeline"].(map[string]any)
	if d["state"] != "initializing" || d["promotion_of"] != ppl || len(d["env_vars"].([]any)) != 2 {
		t.Errorf("%v", d)
	}
	if a := w.call("GET", "/api/v1alpha/promotions?pipeline_id="+ppl+"&name=Other", ""); strings.TrimSpace(a.body) != "[]" {
		t.Errorf("another name: %s", a.body)
	}
	if a := w.call("GET", "/api/v1alpha/promotions", ""); a.status != 404 {
		t.Errorf("without a pipeline: %d", a.status)
	}
	if a := w.call("POST", "/api/v1alpha/promotions", `{}`, "Authorization", "Token "+w.viewer); a.status != 403 {
		t.Errorf("a viewer: %d", a.status)
	}
}

func TestRerunRoutes(t *testing.T) {
	w := newWorld(t)
	w.fill()
	wf, ppl := w.train()
	path := "/api/v1alpha/pipelines/" + ppl
	if a := w.call("POST", path+"/partial_rebuild", `{}`); a.status != 400 || !strings.Contains(a.body, "Missing required post parameter request_token.") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.call("POST", path+"/partial_rebuild", `{"request_token":"1"}`); a.status != 400 || !strings.Contains(a.body, "Only pipelines which are in done state") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.endJobs(ppl, signalbox.JobPassed, signalbox.JobFailed)
	first := w.expect(200, w.call("POST", path+"/partial_rebuild", `{"request_token":"1"}`)).(map[string]any)
	again := w.expect(200, w.call("POST", path+"/partial_rebuild?request_token=1", ``)).(map[string]any)
	if first["pipeline_id"] != again["pipeline_id"] {
		t.Errorf("%v, then %v", first, again)
	}
	d := w.expect(200, w.call("GET", "/api/v1alpha/pipelines/"+first["pipeline_id"].(string), "")).(map[string]any)["pipeline"].(map[string]any)
	if d["partial_rerun_of"] != ppl || d["partially_rerun_by"] != "ann" || d["state"] != "running" {
		t.Errorf("%v", d)
	}
	// The log of a job that was taken over is that of the job that ran.
	var copied string
	w.write(func(tx *store.Tx) error {
		was, err := tx.JobsOf(ppl)
		if err != nil {
			return err
		}
		if _, err := w.log.Append(t.Context(), was[0].AttemptID, was[0].ID, 0, []byte(`{"event":"cmd_output","timestamp":1,"output":"ran once"}`+"\n")); err != nil {
			return err
		}
		now, err := tx.JobsOf(first["pipeline_id"].(string))
		copied = now[0].ID
		return err
	})
	if a := w.call("GET", "/api/v1alpha/logs/"+copied, ""); a.status != 200 || !strings.Contains(a.body, "ran once") {
		t.Errorf("%d %s", a.status, a.body)
	}
	var failed string
	w.write(func(tx *store.Tx) error {
		jobs, err := tx.JobsOf(ppl)
		failed = jobs[1].ID
		return err
	})
	alone := w.expect(200, w.call("POST", "/api/v1alpha/jobs/"+failed+"/rerun", `{"request_token":"3"}`)).(map[string]any)
	d = w.expect(200, w.call("GET", "/api/v1alpha/pipelines/"+alone["pipeline_id"].(string), "")).(map[string]any)["pipeline"].(map[string]any)
	if d["partial_rerun_of"] != ppl {
		t.Errorf("%v", d)
	}
	all := w.expect(200, w.call("POST", "/api/v1alpha/plumber-workflows/"+wf+"/reschedule", `{"request_token":"2"}`)).(map[string]any)
	flow := w.expect(200, w.call("GET", "/api/v1alpha/plumber-workflows/"+all["wf_id"].(string), "")).(map[string]any)["workflow"].(map[string]any)
	if flow["rerun_of"] != wf || flow["initial_ppl_id"] != all["ppl_id"] {
		t.Errorf("%v", flow)
	}
	e := w.expect(200, w.call("GET", path+"/explain", "")).(map[string]any)
	if e["plan"].(map[string]any)["name"] != "Train" {
		t.Errorf("%v", e)
	}
}

func TestParametersOfAWorkflow(t *testing.T) {
	w := newWorld(t)
	w.fill()
	m := w.expect(200, w.call("POST", "/api/v1alpha/plumber-workflows", `{"project_id":"demo","parameters":{"B":2,"A":"one","C":true}}`)).(map[string]any)
	again := w.expect(200, w.call("POST", "/api/v1alpha/plumber-workflows/"+m["wf_id"].(string)+"/reschedule", `{"request_token":"x"}`)).(map[string]any)
	for _, id := range []string{m["ppl_id"].(string), again["ppl_id"].(string)} {
		d := w.expect(200, w.call("GET", "/api/v1alpha/pipelines/"+id, "")).(map[string]any)["pipeline"].(map[string]any)
		want := []any{
			map[string]any{"name": "A", "value": "one"}, map[string]any{"name": "B", "value": "2"}, map[string]any{"name": "C", "value": "true"},
		}
		if diff := cmp.Diff(want, d["env_vars"]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestMachineRoutes(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const path = "/api/v1alpha/machine_rules"
	for body, want := range map[string]string{
		`{"rules":[{"machine":"e1-*","agent_type":"s1-none"}]}`:                                                      `there is no agent type`,
		`{"rules":[{"machine":"","agent_type":"s1-linux"}]}`:                                                         "needs a machine type",
		`{"rules":[{"machine":"[","agent_type":"s1-linux"}]}`:                                                        "is no pattern",
		`{"rules":[{"machine":"a","agent_type":"s1-linux"},{"machine":"a","os_image":"*","agent_type":"s1-linux"}]}`: "two rules",
	} {
		if a := w.call("PUT", path, body); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	w.expect(200, w.call("PUT", path, `{"rules":[{"machine":"e1-*","os_image":"u*","agent_type":"s1-linux"},{"machine":"*","agent_type":"s1-linux"}]}`))
	rules := w.expect(200, w.call("GET", path, "")).(map[string]any)["rules"].([]any)
	if len(rules) != 2 || rules[0].(map[string]any)["machine"] != "e1-*" || rules[1].(map[string]any)["os_image"] != "*" {
		t.Errorf("%v", rules)
	}
	if a := w.call("PUT", path, `{"rules":[]}`, "Authorization", "Token "+w.viewer); a.status != 403 {
		t.Errorf("a viewer: %d", a.status)
	}
}
