package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	orgSecrets     = "/api/v1beta/secrets"
	projectSecrets = "/api/v1/projects/demo/secrets"
)

// shape is an answer without what differs from run to run.
func shape(v any) any {
	b, _ := json.Marshal(v)
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	meta, _ := m["metadata"].(map[string]any)
	for k := range meta {
		if strings.HasSuffix(k, "_time") || k == "id" || k == "project_id_or_name" {
			meta[k] = "..."
		}
	}
	return m
}

func TestSecretsAnswerNamesOnly(t *testing.T) {
	w := newWorld(t)
	w.fill()
	body := `{"apiVersion":"v1beta","kind":"Secret","metadata":{"name":"deploy"%s},"data":{"env_vars":[{"name":"TOKEN","value":"hunter2-hunter2"}],` +
		`"files":[{"path":"/etc/key","content":"aHVudGVyMw=="}]}%s}`
	created := w.expect(200, w.call("POST", orgSecrets, fmt.Sprintf(body, `,"description":"for ships","id":""`, "")))
	want := map[string]any{
		"metadata": map[string]any{
			"name": "deploy", "id": "...", "description": "for ships", "create_time": "...", "update_time": "...", "checkout_at": "0", "content_included": false,
		},
		"data": map[string]any{
			"env_vars": []any{map[string]any{"name": "TOKEN", "value": ""}}, "files": []any{map[string]any{"path": "/etc/key", "content": ""}},
		},
		"org_config": map[string]any{"projects_access": "ALL", "project_ids": []any{}, "debug_access": "JOB_DEBUG_YES", "attach_access": "JOB_ATTACH_YES"},
	}
	if d := cmp.Diff(want, shape(created)); d != "" {
		t.Errorf("created (-want +got):\n%s", d)
	}
	if d := cmp.Diff(created, w.expect(200, w.call("GET", orgSecrets+"/deploy", ""))); d != "" {
		t.Errorf("shown (-created +shown):\n%s", d)
	}
	own := w.expect(200, w.call("POST", projectSecrets, fmt.Sprintf(body, "", "")))
	delete(want, "org_config")
	want["metadata"].(map[string]any)["project_id_or_name"] = "..."
	want["metadata"].(map[string]any)["description"] = ""
	if d := cmp.Diff(want, shape(own)); d != "" {
		t.Errorf("of a project (-want +got):\n%s", d)
	}
	for _, path := range []string{orgSecrets, orgSecrets + "/deploy", projectSecrets, projectSecrets + "/deploy"} {
		a := w.call("GET", path, "")
		if strings.Contains(a.body, "hunter") || strings.Contains(a.body, "aHVudGVy") {
			t.Errorf("%s answers a value: %s", path, a.body)
		}
		w.expect(403, w.call("GET", path, "", "Authorization", "Token "+w.viewer))
	}
	w.write(func(tx *store.Tx) error {
		s, err := tx.FindSecret("", "deploy")
		if err != nil {
			return err
		}
		events, err := tx.Events("secret", s.ID)
		if len(events) != 1 || events[0].Actor != "user:ann" || strings.Contains(events[0].Detail, "hunter") {
			t.Errorf("%+v", events)
		}
		return err
	})
}

func TestSecretErrors(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"a"},"data":{"env_vars":null,"files":null}}`))
	w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"b"},"data":null,"org_config":null}`))
	id := signalbox.NewID()
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", orgSecrets, `{"metadata":{"name":"a"}}`, 400, "name has already been taken"},
		{"POST", orgSecrets, `{"metadata":{"name":"a/b"}}`, 400, "name can only include alpha-numeric characters, dashes, underscores and dots"},
		{"POST", orgSecrets, `{"metadata":{"name":"` + id + `"}}`, 400, "name should not be in uuid format"},
		{"POST", orgSecrets, `{}`, 400, "name can only include"},
		{"POST", orgSecrets, `{"metadata":{"name":"c"},"data":{"env_vars":[{"name":"A","value":"` + strings.Repeat("x", signalbox.MaxSecretSize+1) + `"}]}}`, 400, "content is too big"},
		{"POST", orgSecrets, `{"metadata":{"name":"c"},"data":{"env_vars":[{"name":"A","value":` + strings.Repeat(" ", 20<<20) + `"x"}]}}`, 400, "content is too big"},
		{"POST", orgSecrets, `{"metadata":{"name":"c"},"data":{"env_vars":[{"name":"A","value":12345678}]}}`, 400, "all of them texts"},
		{"POST", orgSecrets, `{"metadata":{"name":"c"},"data":{"files":[{"path":"x","content":"hunter2!"}]}}`, 400, `is not base64`},
		{"POST", orgSecrets, `{"metadata":{"name":"c"},"org_config":{"projects_access":"SOME"}}`, 400, "ALL, ALLOWED or NONE"},
		{"POST", orgSecrets, `{"metadata":{"name":"c"},"org_config":{"debug_access":"NO"}}`, 400, "JOB_DEBUG_YES or JOB_DEBUG_NO"},
		{"POST", orgSecrets, `hunter2`, 400, "not the JSON of a secret"},
		{"GET", orgSecrets + "/nope", ``, 404, "Secret nope not found"},
		{"PATCH", orgSecrets + "/nope", ``, 404, "Secret nope not found"},
		{"DELETE", orgSecrets + "/nope", ``, 404, "Secret nope not found"},
		{"GET", projectSecrets + "/a", ``, 404, "secret not found"},
		{"GET", "/api/v1/projects/nope/secrets", ``, 404, "project nope"},
		{"PATCH", orgSecrets + "/a", `{"metadata":{"name":"b"}}`, 400, "name has already been taken"},
		{"GET", orgSecrets + "?page_size=101", ``, 400, "Page size can't exceed 100"},
		{"GET", orgSecrets + "?order=BY_SIZE", ``, 400, "BY_NAME_ASC or BY_CREATE_TIME_ASC"},
		{"POST", "/api/v1alpha/master_key", `{"step":"x"}`, 400, "prepare, rekey or forget"},
		{"POST", "/api/v1alpha/master_key", `{"step":"forget"}`, 400, "only one master key"},
	} {
		a := w.call(c.method, c.path, c.body)
		if a.status != c.status || !strings.Contains(a.body, c.want) || strings.Contains(a.body, "hunter2") || strings.Contains(a.body, "12345678") {
			t.Errorf("%s %s %.60s: %d %s, want %d %q", c.method, c.path, c.body, a.status, a.body, c.status, c.want)
		}
	}
}

func TestChangingSecrets(t *testing.T) {
	w := newWorld(t)
	w.fill()
	names := func(v any) (out []string) {
		data := v.(map[string]any)["data"].(map[string]any)
		for _, e := range data["env_vars"].([]any) {
			out = append(out, e.(map[string]any)["name"].(string))
		}
		for _, f := range data["files"].([]any) {
			out = append(out, f.(map[string]any)["path"].(string))
		}
		return out
	}
	w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"z"},"data":{"env_vars":[{"name":"A","value":"one"},{"name":"B","value":"two"}]},
		"org_config":{"projects_access":"ALLOWED","project_ids":["`+w.project.ID+`"],"debug_access":"JOB_DEBUG_NO"}}`))
	got := w.expect(200, w.call("PATCH", orgSecrets+"/z", `{"data":{"env_vars":[{"name":"B","value":""},{"name":"C","value":"three"}],"files":[{"path":"f","content":""}]}}`))
	if d := cmp.Diff([]string{"B", "C", "f"}, names(got)); d != "" {
		t.Error(d)
	}
	got = w.expect(200, w.call("PATCH", orgSecrets+"/z", `{"metadata":{"description":"d"},"org_config":{"attach_access":"JOB_ATTACH_NO"}}`))
	config := got.(map[string]any)["org_config"].(map[string]any)
	if d := cmp.Diff(map[string]any{
		"projects_access": "ALLOWED", "project_ids": []any{w.project.ID}, "debug_access": "JOB_DEBUG_NO", "attach_access": "JOB_ATTACH_NO",
	}, config); d != "" || len(names(got)) != 3 {
		t.Errorf("%s%q", d, names(got))
	}
	got = w.expect(200, w.call("PATCH", orgSecrets+"/z", `{"data":{"env_vars":null,"files":null}}`))
	if len(names(got)) != 0 {
		t.Errorf("lists that are null: %q", names(got))
	}
	w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"a"}}`))
	order := func(query string) string {
		var out []string
		m := w.expect(200, w.call("GET", orgSecrets+query, "")).(map[string]any)
		for _, s := range m["secrets"].([]any) {
			out = append(out, s.(map[string]any)["metadata"].(map[string]any)["name"].(string))
		}
		return strings.Join(out, " ") + " > " + m["next_page_token"].(string)
	}
	for query, want := range map[string]string{
		"": "a z > ", "?order=BY_CREATE_TIME_ASC": "z a > ", "?page_size=1": "a > 1", "?page_size=1&page_token=1": "z > ",
	} {
		if got := order(query); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	if d := cmp.Diff(map[string]any{}, w.expect(200, w.call("DELETE", orgSecrets+"/z", ""))); d != "" {
		t.Error(d)
	}
	w.expect(404, w.call("GET", orgSecrets+"/z", ""))
	// The official command line deletes and creates; rules that it leaves out must not become wider by that.
	got = w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"z"},"data":{"env_vars":[{"name":"A","value":"one"}]}}`))
	if got.(map[string]any)["org_config"].(map[string]any)["projects_access"] != "ALLOWED" {
		t.Errorf("%v", got)
	}
}

func TestMasterKeyByAPI(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"a"},"data":{"env_vars":[{"name":"A","value":"one"}]}}`))
	step := func(s string) map[string]any {
		return w.expect(200, w.call("POST", "/api/v1alpha/master_key", `{"step":"`+s+`"}`)).(map[string]any)
	}
	before := step("prepare")["keys"].([]any)
	m := step("rekey")
	if keys := m["keys"].([]any); len(keys) != 2 || keys[0] != before[1] || m["sealed"].(map[string]any)["secret_versions"] != 1.0 {
		t.Errorf("%v, before %v", m, before)
	}
	w.hookErr = errors.New("read-only")
	if a := w.call("POST", "/api/v1alpha/master_key", `{"step":"rekey"}`); a.status != 400 || !strings.Contains(a.body, "the hook of project demo") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.hookErr = nil
	before[1] = step("rekey")["keys"].([]any)[0]
	if keys := step("forget")["keys"].([]any); len(keys) != 1 || keys[0] != before[1] {
		t.Errorf("%v", keys)
	}
	w.expect(403, w.call("POST", "/api/v1alpha/master_key", `{"step":"rekey"}`, "Authorization", "Token "+w.viewer))
}

func TestSecretsMayBlockEntering(t *testing.T) {
	w := newWorld(t)
	w.fill()
	var job string
	w.write(func(tx *store.Tx) error {
		p, err := w.en.Create(tx, w.flow, engine.Source{File: "other.yml", YAML: []byte(pipelineFile), Select: func(plan *signalbox.Plan) error {
			plan.Blocks[0].Jobs[0].Spec.Secrets = []string{"deploy"}
			return nil
		}}, "test")
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(p.ID)
		if len(jobs) == 0 {
			// It waits in its queue: this workflow has a pipeline that runs.
			return errors.New("the pipeline has no job")
		}
		job = "/api/v1alpha/jobs/" + jobs[0].ID
		return err
	})
	says := func(what string, a answer, status int, text string) {
		t.Helper()
		if a.status != status || !strings.Contains(a.body, text) {
			t.Errorf("%s: %d %s, want %d %q", what, a.status, a.body, status, text)
		}
	}
	const blocked = "Some secrets used in this job are blocking this operation"
	w.expect(200, w.call("POST", orgSecrets, `{"metadata":{"name":"deploy"},"org_config":{"debug_access":"JOB_DEBUG_NO"}}`))
	says("debugging", w.call("POST", job+"/debug", ""), 403, blocked)
	says("attaching", w.call("GET", job+"/debug_ssh_key", ""), 403, "SSH keys are not available")
	w.expect(200, w.call("PATCH", orgSecrets+"/deploy", `{"org_config":{"debug_access":"JOB_DEBUG_YES","attach_access":"JOB_ATTACH_NO"}}`))
	says("attaching", w.call("GET", job+"/debug_ssh_key", ""), 403, blocked)
	says("debugging", w.call("POST", job+"/debug", ""), 200, "Debug Session")
	// The project's own secret of that name is what the job would get, and it has no such rule.
	w.expect(200, w.call("POST", projectSecrets, `{"metadata":{"name":"deploy"}}`))
	says("attaching", w.call("GET", job+"/debug_ssh_key", ""), 403, "SSH keys are not available")
}
