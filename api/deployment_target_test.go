package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// keepTarget makes the deployment target of the recordings that read, change or remove one, with one deployment.
func (w *world) keepTarget(name string) {
	w.Helper()
	if !strings.Contains(name, "deployment-target") || strings.HasPrefix(name, "create") {
		return
	}
	d := &signalbox.DeploymentTarget{
		ProjectID: w.project.ID, Name: "production", Description: "Prod", URL: "https://prod.example.com", Bookmarks: [3]string{"b1"},
		Subjects: signalbox.AnySubject(), Objects: []signalbox.ObjectRule{{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: "main"}},
		Cordoned: strings.HasPrefix(name, "activate"),
	}
	w.must(w.secrets.CreateTarget(w.Context(), d, []signalbox.SecretVar{{Name: "A", Value: signalbox.NewSecretValue("1")}},
		[]signalbox.SecretFile{{Path: "x", Content: signalbox.NewSecretValue("secret\n")}}, signalbox.NewID(), "user:ann"))
	w.target = d.ID
	w.write(func(tx *store.Tx) error {
		return tx.CreateDeployment(&signalbox.Deployment{
			ID: signalbox.NewID(), TargetID: d.ID, TargetName: d.Name, PrevPipelineID: w.ppl.ID, PipelineID: signalbox.NewID(), TriggeredBy: "ann",
			RefType: "branch", RefLabel: "main", Parameters: []signalbox.EnvVar{{Name: "b1", Value: "p1"}}, Bookmarks: [3]string{"p1"},
			State: signalbox.DeploymentStarted,
		})
	})
	if strings.HasSuffix(name, "-403") {
		w.token = w.viewer
	}
}

const targets = "/api/v1alpha/deployment_targets"

// makeTarget creates a target by a request; fields are members of its body after name and project.
func (w *world) makeTarget(name, fields string) answer {
	w.Helper()
	return w.call("POST", targets, `{"name":"`+name+`","project_id":"`+w.project.ID+`","unique_token":"`+signalbox.NewID()+`"`+fields+`}`)
}

// member picks a member of a decoded answer.
func member(t *testing.T, v any, keys ...any) any {
	t.Helper()
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no %v in %v", k, v)
			}
			v = m[k]
		case int:
			l, ok := v.([]any)
			if !ok || len(l) <= k {
				t.Fatalf("no %v in %v", k, v)
			}
			v = l[k]
		}
	}
	return v
}

func TestDeploymentTargetsByRequest(t *testing.T) {
	w := newWorld(t)
	w.fill()
	// What clients send beside the fields says nothing.
	made := w.expect(200, w.makeTarget("production", `,"id":"","organization_id":"","state":"","active":false,"created_at":"","subject_rules":null,`+
		`"env_vars":[{"name":"A","value":"1"}],"files":[{"path":"x","content":"c2VjcmV0Cg=="}],"url":"https://prod.example.com"`))
	id := member(t, made, "id").(string)
	want := map[string]any{
		"id": id, "name": "production", "description": "", "url": "https://prod.example.com", "project_id": w.project.ID, "organization_id": organization,
		"created_by": "ann", "updated_by": "ann", "created_at": "2023-11-14T22:13:20.000000Z", "updated_at": "2023-11-14T22:13:20.000000Z",
		"state": "USABLE", "state_message": "", "active": true, "subject_rules": []any{map[string]any{"type": "ANY", "subject_id": ""}},
		"object_rules": []any{
			map[string]any{"type": "BRANCH", "match_mode": "ALL", "pattern": ""},
			map[string]any{"type": "TAG", "match_mode": "ALL", "pattern": ""},
			map[string]any{"type": "PR", "match_mode": "ALL", "pattern": ""},
		},
		"last_deployment": nil, "bookmark_parameter1": "", "bookmark_parameter2": "", "bookmark_parameter3": "",
	}
	if d := cmp.Diff(want, made); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]any{want}, w.expect(200, w.call("GET", targets+"?project_id=demo&target_name=production", ""))); d != "" {
		t.Errorf("in the list (-want +got):\n%s", d)
	}
	if got := w.expect(200, w.call("GET", targets+"?project_id=demo&target_name=other", "")); len(got.([]any)) != 0 {
		t.Errorf("another name: %v", got)
	}

	// Values go out as their md5, to those who may change them, and come back so.
	shown := w.expect(200, w.call("GET", targets+"/"+id+"?include_secrets=true", ""))
	if a, x := member(t, shown, "env_vars", 0, "value"), member(t, shown, "files", 0, "content"); a != "c4ca4238a0b923820dcc509a6f75849b" || x != "45d091915fdf0f8b977b47dd8178d410" {
		t.Errorf("%v %v", a, x)
	}
	w.expect(403, w.call("GET", targets+"/"+id+"?include_secrets=true", "", "Authorization", "Token "+w.viewer))
	seen := w.expect(200, w.call("GET", targets+"/"+id, "", "Authorization", "Token "+w.viewer)).(map[string]any)
	if _, ok := seen["env_vars"]; ok {
		t.Error("a viewer gets more than rules")
	}
	patch := func(fields string) any {
		t.Helper()
		return w.expect(200, w.call("PATCH", targets+"/"+id, `{"unique_token":"`+signalbox.NewID()+`"`+fields+`}`))
	}
	holds := func(want string) {
		t.Helper()
		got := w.expect(200, w.call("GET", targets+"/"+id+"?include_secrets=true", ""))
		b, _ := json.Marshal([]any{member(t, got, "env_vars"), member(t, got, "files")})
		if string(b) != want {
			t.Errorf("holds %s, want %s", b, want)
		}
	}
	patch(`,"description":"Prod"`)
	holds(`[[{"name":"A","value":"c4ca4238a0b923820dcc509a6f75849b"}],[{"content":"45d091915fdf0f8b977b47dd8178d410","path":"x"}]]`)
	patch(`,"env_vars":[{"name":"A","value":"c4ca4238a0b923820dcc509a6f75849b"},{"name":"B","value":"1"}],"files":[{"path":"x","content":"45d091915fdf0f8b977b47dd8178d410"}]`)
	holds(`[[{"name":"A","value":"c4ca4238a0b923820dcc509a6f75849b"},{"name":"B","value":"c4ca4238a0b923820dcc509a6f75849b"}],[{"content":"45d091915fdf0f8b977b47dd8178d410","path":"x"}]]`)
	patch(`,"env_vars":[{"name":"B","value":"c4ca4238a0b923820dcc509a6f75849b"}]`)
	holds(`[[{"name":"B","value":"c4ca4238a0b923820dcc509a6f75849b"}],[]]`)
	got := patch(`,"subject_rules":[{"type":"USER","git_login":"vic"},{"type":"ROLE","subject_id":"ADMIN"}],"object_rules":[]`)
	if member(t, got, "description") != "Prod" || member(t, got, "subject_rules", 0, "git_login") != "vic" || member(t, got, "subject_rules", 1, "subject_id") != "admin" ||
		len(member(t, got, "object_rules").([]any)) != 0 {
		t.Errorf("%v", got)
	}

	for range 2 {
		if got := w.expect(200, w.call("PATCH", targets+"/"+id+"/deactivate", "")); member(t, got, "cordoned") != true || member(t, got, "target_id") != id {
			t.Errorf("%v", got)
		}
	}
	if got := w.expect(200, w.call("GET", targets+"/"+id, "")); member(t, got, "state") != "CORDONED" || member(t, got, "active") != false {
		t.Errorf("%v", got)
	}
	patch(`,"active":true`) // says nothing either
	if got := w.expect(200, w.call("PATCH", targets+"/"+id+"/activate", "")); member(t, got, "cordoned") != false {
		t.Errorf("%v", got)
	}

	// The same token is the same request.
	token := signalbox.NewID()
	body := `{"name":"staging","project_id":"demo","unique_token":"` + token + `"}`
	first := w.expect(200, w.call("POST", targets, body))
	if d := cmp.Diff(first, w.expect(200, w.call("POST", targets, body))); d != "" {
		t.Error(d)
	}
	path := targets + "/" + member(t, first, "id").(string)
	for range 2 {
		w.expect(200, w.call("DELETE", path+"?unique_token="+token, ""))
	}
	w.expect(404, w.call("DELETE", path+"?unique_token="+signalbox.NewID(), ""))
	w.expect(404, w.call("GET", path, ""))
	w.expect(404, w.call("PATCH", path+"/deactivate", ""))
}

func TestWrongDeploymentTargets(t *testing.T) {
	w := newWorld(t)
	w.fill()
	made := w.expect(200, w.makeTarget("production", ""))
	path := targets + "/" + member(t, made, "id").(string)
	for _, c := range []struct {
		a      answer
		status int
		want   string
	}{
		{w.call("GET", targets, ""), 404, "Project not found"},
		{w.call("GET", targets+"?project_id=none", ""), 404, "Project not found"},
		{w.call("GET", targets+"?project_id=demo&target_name=", ""), 400, "from 1 to 255"},
		{w.call("POST", targets, `{"name":"a"}`), 400, "unique_token, name and project_id are required to create a deployment target"},
		{w.call("POST", targets, `{"name":"a","project_id":"demo","unique_token":"x"}`), 400, "unique_token must be a valid UUID"},
		{w.call("POST", targets, `{"name":"a","env_vars":[{"name":"A","value":{"hunter":2}}]}`), 400, "is not the JSON of a deployment target"},
		{w.makeTarget("production", ""), 400, "already"},
		{w.makeTarget("a b", ""), 400, "must contain only alphanumericals, dashes, underscores or dots"},
		{w.makeTarget("a", `,"subject_rules":[{"type":"ROLE","subject_id":"boss"}]`), 400, `role \"boss\" is not valid`},
		{w.makeTarget("a", `,"subject_rules":[{"type":"USER","subject_id":"eve"}]`), 400, "is not a member of the project"},
		{w.makeTarget("a", `,"subject_rules":[{"type":"user"}]`), 400, "is not known; use ANY, USER, ROLE or AUTO"},
		{w.makeTarget("a", `,"object_rules":[{"type":"BRANCH","match_mode":"REGEX","pattern":"(?=x)"}]`), 400, "no regular expression of RE2"},
		{w.makeTarget("a", `,"files":[{"path":"x","content":"***"}]`), 400, "is not base64"},
		{w.makeTarget("a", `,"env_vars":[{"name":"1","value":"hunter2"}]`), 400, "is not a name for an environment variable"},
		{w.call("PATCH", path, `{"name":"b"}`), 400, "unique_token must be a valid UUID"},
		{w.call("DELETE", path, ""), 400, "unique_token must be a valid UUID"},
		{w.call("GET", targets+"/production", ""), 400, "must be a valid UUID"},
		{w.call("GET", path+"/history?git_ref_type=BRANCH", ""), 400, "use branch, tag or pr"},
		{w.call("GET", path+"/history?cursor_type=NEXT", ""), 400, "use FIRST, AFTER or BEFORE"},
		{w.call("GET", path+"/history?cursor_type=BEFORE", ""), 400, "needs a cursor_value"},
		{w.call("GET", path+"/history?cursor_type=BEFORE&cursor_value=x", ""), 400, "is not a number of microseconds"},
		{w.call("POST", targets, "", "Authorization", "Token "+w.viewer), 403, "deployment_target.manage"},
		{w.call("PATCH", path+"/deactivate", "", "Authorization", "Token "+w.viewer), 403, "deployment_target.manage"},
	} {
		if c.a.status != c.status || !strings.Contains(c.a.body, c.want) || strings.Contains(c.a.body, "hunter") {
			t.Errorf("%s: %d %s, want %d %s", c.a.what, c.a.status, c.a.body, c.status, c.want)
		}
	}
}

func TestTheHistoryOfADeploymentTarget(t *testing.T) {
	w := newWorld(t)
	w.fill()
	d := &signalbox.DeploymentTarget{ProjectID: w.project.ID, Name: "production", Subjects: signalbox.AnySubject(), Objects: signalbox.AnyObject()}
	w.must(w.secrets.CreateTarget(w.Context(), d, nil, nil, signalbox.NewID(), "user:ann"))
	w.write(func(tx *store.Tx) error {
		for i := range 25 {
			if err := tx.CreateDeployment(&signalbox.Deployment{
				ID: signalbox.NewID(), TargetID: d.ID, TargetName: d.Name, PrevPipelineID: w.ppl.ID, PipelineID: signalbox.NewID(), TriggeredBy: []string{"ann", "vic"}[i%2],
				RefType: []string{"branch", "pull-request"}[i%2], RefLabel: "main", Parameters: []signalbox.EnvVar{{Name: "N", Value: fmt.Sprint(i)}},
				Bookmarks: [3]string{fmt.Sprint(i % 5)}, State: signalbox.DeploymentStarted,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	page := func(query string) (numbers []string, before, after string) {
		t.Helper()
		got := w.expect(200, w.call("GET", targets+"/"+d.ID+"/history?"+query, ""))
		for i := range member(t, got, "deployments").([]any) {
			numbers = append(numbers, member(t, got, "deployments", i, "env_vars", 0, "value").(string))
		}
		cursor := func(key string) string { return fmt.Sprintf("%.0f", member(t, got, key)) }
		return numbers, cursor("cursor_before"), cursor("cursor_after")
	}
	var all []string
	query, newest := "cursor_type=FIRST", ""
	for {
		numbers, before, after := page(query)
		all = append(all, numbers...)
		if newest == "" {
			newest = after
		}
		if before == "0" {
			break
		}
		if len(numbers) != 10 {
			t.Fatalf("a page of %d with more behind it", len(numbers))
		}
		query = "cursor_type=BEFORE&cursor_value=" + before
	}
	// All of them are of one moment, and none is lost or repeated.
	if len(all) != 25 || all[0] != "24" || all[24] != "0" {
		t.Errorf("%v", all)
	}
	first, before, _ := page("")
	second, beforeThird, after := page("cursor_type=BEFORE&cursor_value=" + before)
	_, _, afterThird := page("cursor_type=BEFORE&cursor_value=" + beforeThird)
	if again, _, _ := page("cursor_type=AFTER&cursor_value=" + afterThird); !slices.Equal(again, second) { // the nearest, not the newest
		t.Errorf("back from the last page: %v, was %v", again, second)
	}
	if again, _, _ := page("cursor_type=AFTER&cursor_value=" + after); !slices.Equal(again, first) {
		t.Errorf("back from %v: %v, was %v", second, again, first)
	}
	if more, _, _ := page("cursor_type=AFTER&cursor_value=" + newest); len(more) != 0 {
		t.Errorf("newer than the newest: %v", more)
	}
	var vic string
	w.write(func(tx *store.Tx) error {
		u, err := tx.UserByName("vic")
		vic = u.ID
		return err
	})
	for query, want := range map[string]int{
		"triggered_by=vic": 10, "triggered_by=" + vic: 10, "git_ref_type=tag": 0, "git_ref_type=pr": 10, "git_ref_type=branch&parameter1=3": 2, "git_ref_label=dev": 0,
	} {
		if got, _, _ := page(query); len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
	last := w.expect(200, w.call("GET", targets+"/"+d.ID, ""))
	if member(t, last, "last_deployment", "env_vars", 0, "value") != "24" || member(t, last, "last_deployment", "git_ref_type") != "branch" {
		t.Errorf("%v", member(t, last, "last_deployment"))
	}
}
