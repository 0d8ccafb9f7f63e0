package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	anyID    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyToken = regexp.MustCompile(`(sbt_)?[0-9a-f]{80}`)
)

// Every shape that the API answers is in a file, so that a change of one is seen in review.
func TestAnswersHaveTheirShapes(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.expect(200, w.call("POST", "/api/v1alpha/plumber-workflows", `{"project_id":"demo","pipeline_file":".semaphore/broken.yml","reference":"refs/tags/v1"}`))
	running := []struct{ name, method, path, body string }{
		{"projects", "GET", "/projects", ""},
		{"project", "GET", "/projects/" + w.project.ID, ""},
		{"workflows", "GET", "/plumber-workflows?project_id=demo", ""},
		{"workflow", "GET", "/plumber-workflows/" + w.flow.ID, ""},
		{"workflow-start", "POST", "/plumber-workflows?project_id=demo&reference=main&request_token=first", ""},
		{"pipelines", "GET", "/pipelines?project_id=demo", ""},
		{"pipeline-running", "GET", "/pipelines/" + w.ppl.ID + "?detailed=true", ""},
		{"pipeline-topology", "GET", "/pipelines/" + w.ppl.ID + "/describe_topology", ""},
		{"jobs", "GET", "/jobs", ""},
		{"job", "GET", "/jobs/" + w.jobs[0].ID, ""},
		{"job-attempts", "GET", "/jobs/" + w.jobs[0].ID + "/attempts", ""},
		{"job-events", "GET", "/jobs/" + w.jobs[0].ID + "/events", ""},
		{"log", "GET", "/logs/" + w.jobs[0].ID, ""},
		{"yaml-valid", "POST", "/yaml", `{"yaml_definition":` + quote(pipelineFile) + `}`},
		{"agent-types", "GET", "/self_hosted_agent_types", ""},
		{"agent-type", "GET", "/self_hosted_agent_types/s1-linux", ""},
		{"agent-type-create", "POST", "/self_hosted_agent_types", `{"metadata":{"name":" s1-new "},"spec":{"agent_name_settings":{"release_after":60,"aws":{}}}}`},
		{"agent-type-update", "PATCH", "/self_hosted_agent_types/s1-new", `{"metadata":{"name":"s1-new"},"spec":{"agent_name_settings":{"release_after":120}}}`},
		{"agent-type-reset", "POST", "/self_hosted_agent_types/s1-new/reset_token", ""},
		{"agent-type-delete", "DELETE", "/self_hosted_agent_types/s1-new", ""},
		{"agents", "GET", "/agents", ""},
		{"agent", "GET", "/agents/golden-agent-2", ""},
		{"task-create", "POST", "/tasks", `{"yml_definition":` + quote(taskDefinition) + `}`},
		{"tasks", "GET", "/tasks?project_id=demo", ""},
		{"token-create", "POST", "/tokens", `{"name":"deploys","expires_in":3600}`},
		{"tokens", "GET", "/tokens", ""},
		{"token-revoke", "DELETE", "/tokens/deploys", ""},
	}
	seen := map[string]string{}
	for _, c := range running {
		w.golden(c.name, w.call(c.method, "/api/v1alpha"+c.path, c.body), seen)
	}
	task := "/api/v1alpha/tasks/" + w.taskNamed("nightly")
	w.golden("task-update", w.call("PATCH", task, `{"time_zone":"Europe/Berlin","paused":true}`), seen)
	w.golden("task-run", w.call("POST", task+"/run_now", `{"reference":{"type":"tag","name":"v1"},"parameters":{"LEVEL":"2"}}`), seen)
	w.golden("task", w.call("GET", task, ""), seen)
	w.golden("project-with-tasks", w.call("GET", "/api/v1alpha/projects/demo", ""), seen)
	w.golden("task-delete", w.call("DELETE", task, ""), seen)
	w.finish(signalbox.JobFailed)
	w.golden("pipeline-done", w.call("GET", "/api/v1alpha/pipelines/"+w.ppl.ID+"?detailed=true", ""), seen)
	w.golden("job-finished", w.call("GET", "/api/v1alpha/jobs/"+w.jobs[0].ID, ""), seen)
	w.golden("job-stop", w.call("POST", "/api/v1alpha/jobs/"+w.jobs[0].ID+"/stop", ""), seen)
	w.golden("pipeline-stop", w.call("PATCH", "/api/v1alpha/pipelines/"+w.ppl.ID, `{"terminate_request":true}`), seen)
	w.golden("workflow-stop", w.call("POST", "/api/v1alpha/plumber-workflows/"+w.flow.ID+"/terminate", ""), seen)
	w.golden("hook", w.call("POST", "/api/v1/hooks/git/"+w.project.ID, "", "Authorization", "Token hook of "+w.project.ID), seen)
	w.golden("project-delete", w.call("DELETE", "/api/v1alpha/projects/demo", ""), seen)
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// golden compares an answer with its file. What differs from run to run (ids, tokens, folders) becomes a placeholder;
// the same id has the same one in all files of a test.
func (w *world) golden(name string, a answer, seen map[string]string) {
	w.Helper()
	w.expect(200, a)
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(a.body), "", "  "); err != nil {
		w.Fatalf("%s: %v", name, err)
	}
	text := strings.ReplaceAll(b.String(), w.dir, "/srv/git/demo.git")
	for _, branch := range []string{"main", "refs/tags/v1"} {
		text = strings.ReplaceAll(text, `"`+signalbox.BranchID(w.project.ID, branch)+`"`, `"{branch `+branch+`}"`)
	}
	text = anyToken.ReplaceAllString(text, "${1}{token}")
	text = anyID.ReplaceAllStringFunc(text, func(id string) string {
		if id == organization {
			return "{organization}"
		}
		if seen[id] == "" {
			seen[id] = fmt.Sprintf("{id %d}", len(seen)+1)
		}
		return seen[id]
	}) + "\n"
	file := filepath.Join("testdata", "golden", name+".json")
	if *update {
		w.must(os.MkdirAll(filepath.Dir(file), 0o755))
		w.must(os.WriteFile(file, []byte(text), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	w.must(err)
	if d := cmp.Diff(string(want), text); d != "" {
		w.Errorf("%s has another shape than %s (-want +got; -update writes it anew):\n%s", a.what, file, d)
	}
}
