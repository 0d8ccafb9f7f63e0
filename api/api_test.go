package api_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const id = "01a20b3d-ab21-7000-be7d-46139615277f"
	for _, c := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"GET", "/projects/nope", "", 404, "there is no project nope"},
		{"POST", "/projects", `{`, 400, "not the JSON"},
		{"POST", "/projects", `{"metadata":{"name":"a b"},"spec":{"repository":{"url":"/x"}}}`, 400, `"a b" is not allowed`},
		{"POST", "/projects", `{"metadata":{"name":"` + id + `"},"spec":{"repository":{"url":"/x"}}}`, 400, "looks like an id"},
		{"POST", "/projects", `{"metadata":{"name":"x"}}`, 400, "spec.repository.url"},
		{"POST", "/projects", `{"metadata":{"name":"x"},"spec":{"repository":{"url":"--upload-pack=id"}}}`, 400, "spec.repository.url"},
		{"POST", "/projects", `{"metadata":{"name":"x"},"spec":{"repository":{"url":"/no/such/repository"}}}`, 400, "no git repository at"},
		{"POST", "/projects", `{"metadata":{"name":"demo"},"spec":{"repository":{"url":"` + w.dir + `"}}}`, 409, "already taken"},
		{"DELETE", "/projects/nope", "", 404, "there is no project nope"},
		{"GET", "/plumber-workflows", "", 400, "project_id"},
		{"GET", "/plumber-workflows?project_id=demo&created_after=yesterday", "", 400, "created_after must be a number"},
		{"GET", "/plumber-workflows/" + id, "", 404, "there is no workflow"},
		{"POST", "/plumber-workflows", "", 400, "project_id"},
		{"POST", "/plumber-workflows", `{"project_id":"nope"}`, 404, "there is no project nope"},
		{"POST", "/plumber-workflows", `{"project_id":"demo","reference":"refs/heads/nope"}`, 404, "nope"},
		{"POST", "/plumber-workflows", `{"project_id":"demo","reference":"--all"}`, 0, ""},
		{"POST", "/plumber-workflows", `{"project_id":"demo","parameters":["A"]}`, 400, "parameters must be an object of texts"},
		{"POST", "/plumber-workflows", `{"project_id":"demo","parameters":{"A":{}}}`, 400, `"A" must be a text`},
		{"POST", "/plumber-workflows/" + id + "/terminate", "", 404, "there is no workflow"},
		{"GET", "/pipelines", "", 404, "project_id or a wf_id"},
		{"GET", "/pipelines?wf_id=" + id, "", 404, "there is no workflow"},
		{"GET", "/pipelines?project_id=demo&done_before=1e9", "", 400, "done_before must be a number"},
		{"GET", "/pipelines/" + id, "", 404, "there is no pipeline"},
		{"PATCH", "/pipelines/" + w.ppl.ID, "", 400, "must be boolean value 'true'"},
		{"PATCH", "/pipelines/" + w.ppl.ID, `{"terminate_request":"true"}`, 400, "must be boolean value 'true'"},
		{"PATCH", "/pipelines/" + w.ppl.ID + "?terminate_request=true", "", 400, "must be boolean value 'true'"},
		{"GET", "/pipelines/" + id + "/describe_topology", "", 404, "there is no pipeline"},
		{"POST", "/yaml", `{"yaml_definition":"version: v9"}`, 400, "pipeline.yml:1:"},
		{"GET", "/jobs?states=DREAMING", "", 400, "DREAMING"},
		{"GET", "/jobs?page_size=31", "", 400, "Page size can't exceed 30"},
		{"GET", "/jobs?page_token=x", "", 400, "page_token"},
		{"GET", "/jobs/x", "", 400, "Job id x is invalid"},
		{"GET", "/jobs/" + id, "", 404, "there is no job"},
		{"POST", "/jobs/" + id + "/stop", "", 404, "there is no job"},
		{"GET", "/jobs/" + id + "/attempts", "", 404, "there is no job"},
		{"GET", "/jobs/" + id + "/events", "", 404, "there is no job"},
		{"GET", "/logs/" + id, "", 404, "there is no job"},
		{"GET", "/logs/" + w.jobs[0].ID + "?attempt=2", "", 404, "there is no attempt 2"},
		{"GET", "/logs/" + w.jobs[1].ID, "", 404, "waits for an agent of type s1-linux"},
		{"POST", "/self_hosted_agent_types", "", 400, "needs a name"},
		{"POST", "/self_hosted_agent_types", `{"metadata":{"name":"s1-linux"}}`, 409, "exists already"},
		{"POST", "/self_hosted_agent_types", `{"metadata":{"name":"s1-x"},"spec":{"agent_name_settings":{"release_after":59}}}`, 400, "at least 60"},
		{"POST", "/self_hosted_agent_types", `{"metadata":{"name":"s1-x"},"spec":{"agent_name_settings":{"release_after":9223372036854775807}}}`, 400, "at least 60"},
		{"POST", "/self_hosted_agent_types", `{"metadata":{"name":"s1-x"},"spec":{"agent_name_settings":{"aws":{"account_id":"1"}}}}`, 400, "AWS"},
		{"GET", "/self_hosted_agent_types/s1-nope", "", 404, "there is no agent type s1-nope"},
		{"PATCH", "/self_hosted_agent_types/s1-linux", `{"metadata":{"name":"s1-other"}}`, 400, "cannot be renamed"},
		{"DELETE", "/self_hosted_agent_types/s1-linux", "", 400, "with existing agents"},
		{"POST", "/self_hosted_agent_types/s1-nope/reset_token", "", 404, "there is no agent type"},
		{"GET", "/agents?page_size=0", "", 400, "from 1 to 200"},
		{"GET", "/agents?agent_type=s1-nope", "", 404, "there is no agent type"},
		{"GET", "/agents/a/b+c", "", 404, "there is no agent a/b+c"},
		{"POST", "/tokens", `{"name":" "}`, 400, "needs a name"},
		{"POST", "/tokens", `{"name":"x","expires_in":-1}`, 400, "expires_in"},
		{"DELETE", "/tokens/nope", "", 404, "no API token nope"},
	} {
		a := w.call(c.method, "/api/v1alpha"+c.path, c.body)
		if c.status == 0 && a.status >= 400 && a.status < 500 {
			continue
		}
		if a.status != c.status || !strings.Contains(a.body, strings.Trim(quote(c.message), `"`)) {
			t.Errorf("%s %s: %d %s\nwant %d %q", c.method, c.path, a.status, a.body, c.status, c.message)
		}
	}
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	w.fill()
	for _, c := range []struct{ method, path string }{
		{"POST", "/projects"},
		{"DELETE", "/projects/demo"},
		{"POST", "/plumber-workflows"},
		{"POST", "/plumber-workflows/" + w.flow.ID + "/terminate"},
		{"PATCH", "/pipelines/" + w.ppl.ID},
		{"POST", "/jobs/" + w.jobs[0].ID + "/stop"},
		{"POST", "/self_hosted_agent_types"},
		{"POST", "/self_hosted_agent_types/s1-linux/reset_token"},
		{"POST", "/tasks"},
		{"PATCH", "/tasks/" + w.flow.ID},
		{"DELETE", "/schedules/" + w.flow.ID},
		{"POST", "/tasks/" + w.flow.ID + "/run_now"},
	} {
		if a := w.call(c.method, "/api/v1alpha"+c.path, "{}", "Authorization", "Token "+w.viewer); a.status != 403 {
			t.Errorf("a viewer's %s %s: %d %s", c.method, c.path, a.status, a.body)
		}
	}
}

func TestTokensBelongToTheirOwner(t *testing.T) {
	w := newWorld(t)
	made := w.expect(200, w.call("POST", "/api/v1alpha/tokens", `{"name":"mine"}`)).(map[string]any)
	plain := made["token"].(string)
	as := func(token string) []string { return []string{"Authorization", "Token " + token} }
	if a := w.call("GET", "/api/v1alpha/tokens", "", as(w.viewer)...); strings.Contains(a.body, "mine") {
		t.Errorf("a stranger sees %s", a.body)
	}
	if a := w.call("DELETE", "/api/v1alpha/tokens/"+made["id"].(string), "", as(w.viewer)...); a.status != 404 {
		t.Errorf("a stranger's revocation: %d %s", a.status, a.body)
	}
	w.expect(200, w.call("GET", "/api/v1alpha/projects", "", as(plain)...))
	if a := w.call("GET", "/api/v1alpha/tokens", ""); strings.Contains(a.body, plain) {
		t.Error("the text of a token is shown again")
	}
	w.expect(200, w.call("DELETE", "/api/v1alpha/tokens/"+made["id"].(string), "", as(plain)...))
	if a := w.call("GET", "/api/v1alpha/projects", "", as(plain)...); a.status != 401 {
		t.Errorf("a revoked token: %d", a.status)
	}
	if a := w.call("DELETE", "/api/v1alpha/tokens/mine", ""); a.status != 404 {
		t.Errorf("revoked twice: %d %s", a.status, a.body)
	}
}

func TestWorkflowRequests(t *testing.T) {
	w := newWorld(t)
	w.fill()
	ids := func(a answer) [2]string {
		t.Helper()
		m := w.expect(200, a).(map[string]any)
		if m["workflow_id"] != m["wf_id"] || m["pipeline_id"] != m["ppl_id"] {
			t.Errorf("%s answers two workflows: %v", a.what, m)
		}
		return [2]string{m["wf_id"].(string), m["ppl_id"].(string)}
	}
	const path = "/api/v1alpha/plumber-workflows"
	first := [2]string{w.flow.ID, w.ppl.ID}
	if got := ids(w.call("POST", path, `{"project_id":"demo","request_token":"first"}`)); got != first {
		t.Errorf("the same token in a body gave %v", got)
	}
	if got := ids(w.call("POST", path, "project_id=demo&request_token=first", "Content-Type", "application/x-www-form-urlencoded")); got != first {
		t.Errorf("the same token in a form gave %v", got)
	}
	if got := ids(w.call("POST", path, `{"project_id":"demo"}`, "Idempotency-Key", "first")); got != first {
		t.Errorf("the same key in a header gave %v", got)
	}
	if got := ids(w.call("POST", path, `{"project_id":"demo","reference":"refs/tags/v1"}`)); got == first {
		t.Error("a new request gave the old workflow")
	}
	page := w.call("GET", path+"?project_id=demo&page_size=1", "")
	if l := page.header.Get("Link"); !strings.Contains(l, `page=2&page_size=1&project_id=demo>; rel="next"`) || !strings.Contains(l, `rel="first"`) {
		t.Errorf("link of the first page: %s", l)
	}
	last := w.call("GET", path+"?project_id=demo&page_size=1&page=3", "")
	if l := last.header.Get("Link"); strings.Contains(l, "next") || !strings.Contains(l, `page=2&page_size=1&project_id=demo>; rel="prev"`) {
		t.Errorf("link of the last page: %s", l)
	}
	for query, want := range map[string]int{
		"": 2, "&branch_name=main": 1, "&created_after=1700000000": 2, "&created_after=1700000001": 0, "&created_before=1699999999": 0,
		"&page_size=x&page=-1": 2,
	} {
		if got := w.expect(200, w.call("GET", path+"?project_id=demo"+query, "")).([]any); len(got) != want {
			t.Errorf("%q: %d workflows, want %d", query, len(got), want)
		}
	}
	for query, want := range map[string]int{"&yml_file_path=.semaphore/semaphore.yml": 2, "&yml_file_path=other.yml": 0, "&done_after=1": 0} {
		if got := w.expect(200, w.call("GET", "/api/v1alpha/pipelines?project_id=demo"+query, "")).([]any); len(got) != want {
			t.Errorf("%q: %d pipelines, want %d", query, len(got), want)
		}
	}
}

func TestProjectIsMadeWholeOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	w.hookErr = errors.New("read-only file system")
	body := `{"metadata":{"name":"demo"},"spec":{"repository":{"url":` + quote(w.dir) + `}}}`
	if a := w.call("POST", "/api/v1alpha/projects", body); a.status != 400 || !strings.Contains(a.body, "was not created") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.hookErr = nil
	w.expect(200, w.call("POST", "/api/v1alpha/projects", body))
	var refs map[string]string
	w.write(func(tx *store.Tx) error {
		p, err := tx.FindProject("demo")
		if err != nil {
			return err
		}
		refs, err = tx.GitRefs(p.ID)
		return err
	})
	if len(refs) != 2 || refs["refs/heads/main"] == "" || refs["refs/heads/main"] != refs["refs/tags/v1"] {
		t.Errorf("the refs of a new project: %v", refs)
	}
}

func TestHookStartsWhatWasPushed(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.git(w.dir, "branch", "feature", "main")
	path := "/api/v1/hooks/git/" + w.project.ID
	if a := w.call("POST", path, ""); a.status != 401 {
		t.Errorf("a user's token lets in: %d %s", a.status, a.body)
	}
	for range 2 {
		w.expect(200, w.call("POST", path, "anything", "Authorization", "Token hook of "+w.project.ID))
	}
	if got := w.expect(200, w.call("GET", "/api/v1alpha/plumber-workflows?project_id=demo&branch_name=feature", "")).([]any); len(got) != 1 {
		t.Errorf("%d workflows of one push", len(got))
	}
}

func TestWaitForAPipeline(t *testing.T) {
	w := newWorld(t)
	w.fill()
	path := "/api/v1alpha/pipelines/" + w.ppl.ID + "?detailed=true"
	now := w.expect(200, w.call("GET", path, "")).(map[string]any)
	answers := make(chan answer)
	go func() { answers <- w.call("GET", path+"&wait=60&version="+now["version"].(string), "") }()
	w.finish(signalbox.JobPassed)
	then := w.expect(200, <-answers).(map[string]any)
	if then["version"] == now["version"] {
		t.Errorf("answered with the same version %v", now["version"])
	}
	// What has another version than the caller's is answered at once.
	w.expect(200, w.call("GET", path+"&wait=60&version=other", ""))
}

func TestAgentPages(t *testing.T) {
	w := newWorld(t)
	w.fill()
	var names []string
	for cursor, pages := "", 0; pages < 5; pages++ {
		m := w.expect(200, w.call("GET", "/api/v1alpha/agents?page_size=1&cursor="+cursor, "")).(map[string]any)
		for _, g := range m["agents"].([]any) {
			names = append(names, g.(map[string]any)["metadata"].(map[string]any)["name"].(string))
		}
		if cursor = m["cursor"].(string); cursor == "" {
			break
		}
	}
	if want := []string{"golden-agent-1", "golden-agent-2"}; !slices.Equal(names, want) {
		t.Errorf("pages of %q, want %q", names, want)
	}
}

func TestJobPages(t *testing.T) {
	w := newWorld(t)
	w.fill()
	var names []string
	for token, pages := "", 0; pages < 5; pages++ {
		m := w.expect(200, w.call("GET", "/api/v1alpha/jobs?states=QUEUED&states=RUNNING&page_size=1&page_token="+token, "")).(map[string]any)
		for _, j := range m["jobs"].([]any) {
			names = append(names, j.(map[string]any)["metadata"].(map[string]any)["name"].(string))
		}
		if token = m["next_page_token"].(string); token == "" {
			break
		}
	}
	if want := []string{"Lint", "Unit"}; !slices.Equal(names, want) {
		t.Errorf("jobs %q, want %q", names, want)
	}
	m := w.expect(200, w.call("GET", "/api/v1alpha/jobs?states=FINISHED", "")).(map[string]any)
	if len(m["jobs"].([]any)) != 0 {
		t.Errorf("finished jobs: %v", m)
	}
}

// docs/api.md has one line for each route, with the permission that it needs.
func TestRoutesAreDocumented(t *testing.T) {
	w := newWorld(t)
	var want []string
	for _, rt := range w.api.Routes() {
		if !rt.Access.Decided() {
			t.Errorf("%s has no access decision", rt.Pattern)
		}
		want = append(want, rt.Pattern+" "+rt.Access.String())
	}
	text, err := os.ReadFile("../docs/api.md")
	w.must(err)
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\| ([a-z_. ]+) \\| .+ \\|$").FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("docs/api.md and the routes differ (-routes +page):\n%s", d)
	}
}
