package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// ref stores a workflow of any kind of ref.
func (s *site) ref(p *signalbox.Project, refType, branchName, label string) *signalbox.Workflow {
	s.t.Helper()
	s.seq++
	wf := &signalbox.Workflow{
		ProjectID: p.ID, Ref: branchName, RefType: refType, BranchName: branchName, Label: label, CommitMessage: fmt.Sprint("Commit ", s.seq),
		TriggeredBy: signalbox.TriggeredByHook, RequestToken: fmt.Sprint("ref-", s.seq),
	}
	s.write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(wf, "server")
		return err
	})
	s.pass(time.Second)
	return wf
}

var refCell = regexp.MustCompile(`<td class="t m"><a href="[^"]+">([^<]+)</a>`)

func (s *site) refs(path string) string {
	_, text := s.get(path)
	var out []string
	for _, m := range refCell.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return strings.Join(out, " ")
}

func TestProjectTabs(t *testing.T) {
	s := newSite(t)
	p := s.project("parcel-api")
	for path, want := range map[string]string{"branches": "No branch has run", "tags": "No tag has run", "pull_requests": "No pull request has run"} {
		s.says("/projects/parcel-api/"+path, []string{want, "See everything"}, nil)
	}
	s.ended(s.ref(p, "branch", "old", "old"), passed)
	s.ended(s.ref(p, "branch", "main", "main"), passed)
	s.ended(s.ref(p, "tag", "refs/tags/v1", "v1"), failed)
	s.ended(s.ref(p, "branch", "topic", "topic"), passed)
	s.ended(s.ref(p, "branch", "topic", "topic"), failed)
	s.ref(p, "pull-request", "pull-request-7", "#7 by mei")
	other := s.project("other")
	s.ref(other, "branch", "theirs", "theirs")
	for path, want := range map[string]string{"branches": "main topic old", "tags": "v1", "pull_requests": "#7 by mei"} {
		if got := s.refs("/projects/parcel-api/" + path); got != want {
			t.Errorf("%s lists %q, want %q", path, got, want)
		}
	}
	s.says("/projects/parcel-api/branches", []string{"Commit 5", "Broke this branch", `aria-current="page">Branches`}, []string{"Commit 4<"})
	s.says("/projects/parcel-api", []string{"Commit 4", "Commit 6", `aria-current="page">Everything`}, []string{"theirs"})
	if status, _ := s.get("/projects/none/branches"); status != http.StatusNotFound {
		t.Errorf("branches of no project answer %d", status)
	}
	if status, _ := s.get("/projects/parcel-api/branches?older=x"); status != http.StatusBadRequest {
		t.Errorf("a place that is none answers %d", status)
	}
}

func TestManyBranches(t *testing.T) {
	s := newSite(t)
	p := s.project("large")
	var want []string
	for i := range pageSize + 5 {
		name := fmt.Sprintf("b%02d", i)
		s.ref(p, "branch", name, name)
		want = append(want, name)
	}
	s.ref(p, "branch", "b00", "b00") // is the newest again
	want = append([]string{"b00"}, reversed(want[1:])...)
	// What the default branch has does not count against the others.
	s.write(func(tx *store.Tx) error {
		for i := range chunkSize + 10 {
			if _, _, err := tx.CreateWorkflow(&signalbox.Workflow{
				ProjectID: p.ID, RefType: "branch", BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByHook, RequestToken: fmt.Sprint(i),
			}, "test"); err != nil {
				return err
			}
		}
		return nil
	})
	var got []string
	for path := "/projects/large/branches"; path != ""; path, _ = s.ways(path) {
		got = append(got, strings.Fields(s.refs(path))...)
	}
	if want = append([]string{"main"}, want...); !slices.Equal(got, want) {
		t.Errorf("branches are %q, want %q", got, want)
	}
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func TestBranchPage(t *testing.T) {
	s := newSite(t)
	p := s.project("parcel-api")
	first := s.ref(p, "branch", "feature/ä&b", "feature/ä&b")
	day := s.now().Format(time.DateOnly)
	s.ref(p, "branch", "main", "main")
	s.pass(48 * time.Hour)
	second := s.ref(p, "branch", "feature/ä&b", "feature/ä&b")
	later := second.CreatedAt.Format(time.DateOnly)
	path := branchURL(first)
	if path != branchURL(second) {
		t.Error("two workflows of a branch lead to two pages")
	}
	s.says(path, []string{"<h1>feature/ä&amp;b</h1>", "Branch", "Commit 1<", "Commit 3<"}, []string{"Commit 2<"})
	s.says(path+"?to="+day, []string{"Commit 1<", `value="` + day + `"`}, []string{"Commit 3<"})
	s.says(path+"?from="+later, []string{"Commit 3<"}, []string{"Commit 1<"})
	s.says(path+"?from="+day+"&to="+later, []string{"Commit 1<", "Commit 3<"}, nil)
	s.says(path+"?to=2020-01-01", []string{"Nothing on these days", "All days"}, nil)
	for query, want := range map[string]string{
		"from=" + later + "&to=" + day: "To is before From", "from=yesterday": "From is not a day", "to=2026-02-30": "To is not a day", "to=0001-01-01": "To is not a day",
	} {
		status, text := s.get(path + "?" + query)
		checkPage(t, text)
		if status != http.StatusBadRequest || !strings.Contains(text, want) || strings.Contains(text, "Commit") {
			t.Errorf("%s: status %d, does not say %q", query, status, want)
		}
	}
	tag := s.ref(p, "tag", "refs/tags/v1", "v1")
	s.says(branchURL(tag), []string{"<h1>v1</h1>", "Tag", "/projects/parcel-api/tags"}, nil)

	for _, id := range []string{"x", signalbox.BranchID(p.ID, "none"), signalbox.BranchID(signalbox.NewID(), "main"), url.PathEscape(hostile[:100])} {
		if status, text := s.get("/branches/" + id); status != http.StatusNotFound || !strings.Contains(text, "There is no such branch, or you may not see it") {
			t.Errorf("the branch %.40s answers %d", id, status)
		}
	}
	status, h, _ := s.do("GET", "/projects/parcel-api?branch=main", nil)
	if status != http.StatusSeeOther || h.Get("Location") != "/branches/"+signalbox.BranchID(p.ID, "main") {
		t.Errorf("an older link to a branch answers %d to %q", status, h.Get("Location"))
	}
	s.says(s.crumb("/workflows/"+second.ID), []string{"Commit 1<"}, nil)
	s.write(func(tx *store.Tx) error { return tx.DeleteProject(p.ID, "user:ana") })
	if status, _ := s.get(path); status != http.StatusNotFound {
		t.Errorf("a branch of a deleted project answers %d", status)
	}
}

// crumb is the address of the branch that a page's way leads through.
func (s *site) crumb(path string) string {
	_, text := s.get(path)
	m := regexp.MustCompile(`href="(/branches/[^"]+)"`).FindStringSubmatch(text)
	if m == nil {
		s.t.Fatalf("%s has no link to its branch", path)
	}
	return m[1]
}

func TestProjectList(t *testing.T) {
	s := newSite(t)
	for i := range pageSize*2 + 5 {
		p := s.project(fmt.Sprintf("project-%02d", i))
		if i%20 == 3 {
			s.ended(s.workflow(p, "main", "Red"), failed)
		}
		if i == 4 {
			s.ended(s.workflow(p, "main", "Green"), passed)
			s.ended(s.workflow(p, "topic", "Red elsewhere"), failed)
		}
	}
	names := func(path string) []string { return strings.Fields(s.refs(path)) }
	all := names("/projects")
	second, newer := s.ways("/projects")
	third, _ := s.ways(second)
	if len(all) != pageSize || newer != "" || len(names(second)) != pageSize || !slices.Equal(names(third), []string{"project-60", "project-61", "project-62", "project-63", "project-64"}) {
		t.Errorf("pages have %d, %d, %q", len(all), len(names(second)), names(third))
	}
	_, back := s.ways(third)
	if !slices.Equal(names(back), names(second)) {
		t.Errorf("one page back from the last are %q", names(back))
	}
	if _, back = s.ways(second); !slices.Equal(names(back), all) {
		t.Errorf("two pages back are %q", names(back))
	}
	if got := s.refs("/projects?show=failing"); got != "project-03 project-23 project-43 project-63" {
		t.Errorf("failing are %q", got)
	}
	if got := s.refs("/projects?show=failing&q=JECT-2"); got != "project-23" {
		t.Errorf("failing with a word are %q", got)
	}
	if got := s.refs("/projects?q=example%2Fproject-1&after=project-17"); got != "project-18 project-19" {
		t.Errorf("found are %q", got)
	}
	s.says("/projects?q=project-04", []string{"Passed", "Red elsewhere", "Failed · topic · Ana"}, nil)
	s.says("/projects?q=nothing&show=failing", []string{"Nothing matches", "Clear filters"}, nil)

	// A job that runs is counted.
	var p *signalbox.Project
	s.write(func(tx *store.Tx) (err error) {
		p, err = tx.FindProject("project-07")
		return err
	})
	ppl := s.pipeline(s.workflow(p, "main", "Runs"), signalbox.Pipeline{State: signalbox.PipelineRunning})
	b := s.block(ppl, signalbox.Block{Name: "B", State: signalbox.BlockRunning})
	for i := range 3 {
		s.job(ppl, b, signalbox.Job{Name: "J", Index: i, State: signalbox.JobRunning})
	}
	s.says("/projects?q=project-07", []string{`data-l="Running">3<`}, nil)
}

func TestManyProjectsAreBounded(t *testing.T) {
	s := newSite(t)
	s.write(func(tx *store.Tx) error {
		for i := range mostProjects + 300 {
			if err := tx.CreateProject(&signalbox.Project{Name: fmt.Sprintf("project-%05d", i), GitURL: "x", DefaultBranch: "main", PipelineFile: "x"}, "test"); err != nil {
				return err
			}
		}
		return nil
	})
	p := s.project("zebra")
	s.ended(s.workflow(p, "main", "Red"), failed)
	s.says("/projects?show=failing", []string{"Nothing matches", "Looked at 1,000 projects"}, []string{"zebra"})
	next, _ := s.ways("/projects?show=failing")
	if got := s.refs(next); got != "zebra" {
		t.Errorf("the next page has %q", got)
	}
}

// TestListsByRole asks for every list as everybody.
func TestListsByRole(t *testing.T) {
	s := newBusySite(t)
	paths := []string{
		"/", "/?dashboard=my-work", "/?dashboard=everyones-activity", "/?dashboard=needs-attention", "/projects", "/projects/parcel-api", "/projects/parcel-api/branches",
		"/projects/parcel-api/pull_requests", "/projects/parcel-api/tags", branchURL(s.workflow),
	}
	for _, role := range []signalbox.Role{signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer, ""} {
		s.as(role)
		for _, path := range paths {
			status, text := s.get(path)
			if want := map[bool]int{true: 200, false: 403}[role != ""]; status != want {
				t.Errorf("%s as %q: status %d, want %d", path, role, status, want)
			}
			if role == "" && strings.Contains(text, "parcel-api</a>") {
				t.Errorf("%s shows projects to somebody who may see none", path)
			}
			if role == signalbox.RoleViewer && strings.Contains(text, "/new_project") {
				t.Errorf("%s offers a viewer to add a project", path)
			}
		}
	}
	s.as(signalbox.RoleMember)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		status, text := s.get(path)
		if status != http.StatusInternalServerError || strings.Contains(text, "database is closed") {
			t.Errorf("%s without a database: status %d", path, status)
		}
	}
}

func TestOldAddresses(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	wf, job := s.workflow.ID, s.failed.ID
	pipeline := "/workflows/" + wf + "?pipeline_id=" + s.pipeline.ID
	old := "/workflows/" + wf + "/pipelines/" + s.pipeline.ID
	for path, want := range map[string]string{
		"/self_hosted_agents": "/agents", "/self_hosted_agents/new": "/agents/self_hosted/new", "/self_hosted_agents/s1-linux": "/agents/self_hosted/s1-linux",
		"/self_hosted_agents/s1-linux/edit": "/agents/self_hosted/s1-linux", "/self_hosted_agents/s1-linux/confirm_disable/build-03": "/agents/self_hosted/s1-linux",
		"/agents/self_hosted/s1-linux/settings": "/agents/self_hosted/s1-linux", "/agents/self_hosted/s1-linux/delete": "/agents/self_hosted/s1-linux",
		"/workflows": "/", "/workflows/" + wf + "/status": "/workflows/" + wf, old: pipeline, old + "/path": pipeline, old + "/poll": pipeline, old + "/status": pipeline, old + "/switches/x": pipeline,
		"/jobs/" + job + "/status": "/jobs/" + job, "/dashboards/my-work": "/?dashboard=my-work", "/dashboards/everyones-activity": "/?dashboard=everyones-activity",
		"/x/new_project": "/new_project", "/x/projects/parcel-api/onboarding/initializing": "/projects/parcel-api", branchURL(s.workflow) + "/poll": branchURL(s.workflow),
		"/queue": "/activity?tab=queue",
	} {
		status, h, _ := s.do("GET", path, nil)
		if status != http.StatusSeeOther || h.Get("Location") != want {
			t.Errorf("%s answers %d to %q, want %q", path, status, h.Get("Location"), want)
		}
		if status, _ := s.get(want); status != http.StatusOK && !strings.HasSuffix(want, "new_project") {
			t.Errorf("%s, where %s leads, answers %d", want, path, status)
		}
	}
	if _, h, _ := s.do("GET", "/self_hosted_agents/"+url.PathEscape("//evil.example/x"), nil); !strings.HasPrefix(h.Get("Location"), "/agents/self_hosted/%2F%2F") {
		t.Errorf("a name with slashes leads to %q", h.Get("Location"))
	}
	for _, path := range []string{"/dashboards/health", "/dashboards/none", "/self_hosted", "/projects/parcel-api/insights", "/workflows/" + wf + "/none"} {
		if status, _ := s.get(path); status != http.StatusNotFound {
			t.Errorf("%s answers %d, want 404", path, status)
		}
	}
	s.as("")
	if status, _, _ := s.do("GET", "/self_hosted_agents", nil); status != http.StatusForbidden {
		t.Errorf("an older address answers %d to nobody", status)
	}
}
