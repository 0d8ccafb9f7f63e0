package web

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

const asksForVersion = `version: v1.0
name: Ship ${{parameters.VERSION}}
agent: {machine: {type: '%{{parameters.TYPE | default "s1-linux"}}'}}
blocks: [{name: Ship, task: {jobs: [{name: ship, commands: ["true"]}]}}]
`

// repository gives the pages what makes and reads projects, and makes a project of a real repository with these files on main and
// the tag v1.
func (s *site) repository(name string, files map[string]string) (p *signalbox.Project, work string) {
	s.t.Helper()
	dir := s.t.TempDir()
	bare, work := filepath.Join(dir, name+".git"), filepath.Join(dir, name)
	for file, text := range files {
		path := filepath.Join(work, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := forge.Publish(s.t.Context(), work, bare, "Sell <b>things</b>"); err != nil {
		s.t.Fatal(err)
	}
	s.git(work, "tag", "v1")
	s.git(work, "push", "--quiet", "origin", "main", "v1")
	tr, err := trigger.New(trigger.Options{Store: s.store, Engine: engine.New(engine.Options{Store: s.store}), MirrorDir: dir})
	if err != nil {
		s.t.Fatal(err)
	}
	s.web.o.Projects, err = project.New(project.Options{Store: s.store, Trigger: tr, InstallHook: func(_ context.Context, p *signalbox.Project) error {
		if s.fail != nil {
			return s.fail
		}
		return forge.InstallHook(s.t.Context(), p.GitDir, []string{"true"})
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	p = &signalbox.Project{Name: name, GitURL: bare}
	if err := s.web.o.Projects.Create(s.t.Context(), p, nil, "user:ana"); err != nil {
		s.t.Fatal(err)
	}
	return p, work
}

func (s *site) git(dir string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newest is the workflow that was started last, with its first pipeline.
func (s *site) newest(p *signalbox.Project) (wf *signalbox.Workflow, ppl *signalbox.Pipeline) {
	s.t.Helper()
	s.write(func(tx *store.Tx) error {
		all, err := tx.Workflows(store.WorkflowFilter{ProjectID: p.ID, Limit: 1})
		if err != nil || len(all) == 0 {
			return err
		}
		wf = all[0]
		pipelines, err := tx.PipelinesOf(wf.ID)
		ppl = pipelines[0]
		return err
	})
	return wf, ppl
}

// problemAt is what a page says at the field with an id.
func problemAt(page, id string) string {
	_, at, _ := strings.Cut(page, `id="`+id+`-problem">`)
	at, _, _ = strings.Cut(at, "</div>")
	return at
}

func TestRunByHand(t *testing.T) {
	s := newBusySite(t)
	p, work := s.repository("shop", map[string]string{signalbox.DefaultPipelineFile: asksForVersion, "other.yml": "version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks: [{task: {jobs: [{commands: ['true']}]}}]\n"})
	const path = "/projects/shop/run"
	text := s.page(path, `value="main"`, `<option value="v1">`, "Sell &lt;b&gt;things&lt;/b&gt;", `name="p.VERSION"`, `name="p.TYPE"`, `name="row.0.name"`, `value=".semaphore/semaphore.yml"`)
	if strings.Contains(text, "Nothing was started") {
		t.Error("a form that nobody has sent has problems")
	}
	_, token, _ := strings.Cut(text, `name="token" value="`)
	token, _, _ = strings.Cut(token, `"`)

	form := url.Values{
		"step": {"run"}, "token": {token}, "kind": {"TAG"}, "reference": {"v1"}, "pipeline_file": {""}, "p.VERSION": {"1.2\r\nfinal"}, "p.TYPE": {""},
		"rows": {"2"}, "row.1.name": {"WHERE"}, "row.1.value": {"north"},
	}
	status, h, text := s.do("POST", path, form)
	wf, ppl := s.newest(p)
	if status != 303 || wf == nil || h.Get("Location") != "/workflows/"+wf.ID {
		t.Fatalf("%d to %q: %.3000s", status, h.Get("Location"), inMain(text))
	}
	if wf.Ref != "refs/tags/v1" || wf.TriggeredBy != signalbox.TriggeredByManualRun || wf.Requester != "ana" || ppl.File != signalbox.DefaultPipelineFile || ppl.Reason == signalbox.ReasonMalformed {
		t.Errorf("%+v %+v", wf, ppl)
	}
	var given []string
	for _, v := range ppl.Origin.Parameters {
		given = append(given, v.Name+"="+v.Value)
	}
	if got := strings.Join(given, " "); got != "VERSION=1.2\nfinal WHERE=north" {
		t.Errorf("the parameters are %q", got)
	}
	// The same form sent twice is one workflow.
	if _, h, _ := s.do("POST", path, form); h.Get("Location") != "/workflows/"+wf.ID {
		t.Errorf("sent again it leads to %s", h.Get("Location"))
	}
	// An older commit of a branch, with another file.
	sha := s.git(work, "rev-parse", "HEAD")
	s.git(work, "-c", "user.name=Ana", "-c", "user.email=ana@harbour.example", "commit", "--quiet", "--allow-empty", "--message", "More")
	s.git(work, "push", "--quiet", "origin", "main")
	if status, _, text := s.do("POST", path, url.Values{"reference": {"main"}, "commit_sha": {strings.ToUpper(sha)}, "pipeline_file": {"other.yml"}}); status != 303 {
		t.Fatalf("%d: %.3000s", status, inMain(text))
	}
	if wf, ppl := s.newest(p); wf.CommitSHA != sha || ppl.File != "other.yml" || wf.BranchName != "main" {
		t.Errorf("%+v %+v", wf, ppl)
	}
	// With nothing said it is the default branch and the project's file: what the button of a new project sends.
	if status, _, _ := s.do("POST", path, url.Values{"reference": {""}, "p.VERSION": {"2"}}); status != 303 {
		t.Errorf("status %d", status)
	}
}

// What an address says stands in the form, and nothing is started by it.
func TestRunFormOfAnAddress(t *testing.T) {
	s := newBusySite(t)
	p, _ := s.repository("shop", map[string]string{signalbox.DefaultPipelineFile: asksForVersion})
	text := s.page("/projects/shop/run?reference=refs/tags/v1&pipeline_file=x%22%3E.yml&param.VERSION=%3Cb%3E&param.OTHER=%3Ci%3E&param.=none",
		`<option value="TAG" selected>`, `value="v1"`, `value="x&#34;&gt;.yml"`, `value="OTHER"`, "&lt;i&gt;", `value="VERSION"`)
	if got := problemAt(text, "file"); !strings.Contains(got, "is not available at commit") {
		t.Errorf("of the file it says %q", got)
	}
	s.page("/projects/shop/run?kind=branch&reference=main&param.VERSION=3", `name="p.VERSION" rows="1"`, ">3</textarea>")
	if wf, _ := s.newest(p); wf != nil {
		t.Error("looking at the form starts a workflow")
	}
}

func TestARunThatIsNotRight(t *testing.T) {
	s := newBusySite(t)
	p, _ := s.repository("shop", map[string]string{
		signalbox.DefaultPipelineFile: asksForVersion, "broken.yml": "version: v1.0\nblocks: <script>\n", "tabs.yml": "a:\n\t- b\n",
	})
	for _, c := range []struct {
		what   string
		form   url.Values
		id, is string
	}{
		{"no such branch", url.Values{"reference": {"no<where>"}}, "reference", "no branch, tag or commit"},
		{"no such tag", url.Values{"kind": {"TAG"}, "reference": {"v2"}}, "reference", "no branch, tag or commit"},
		{"a pull request", url.Values{"kind": {"PR"}, "reference": {"7"}}, "reference", "neither a branch"},
		{"a kind that there is not", url.Values{"kind": {"MOON"}, "reference": {"main"}}, "reference", "MOON"},
		{"an option", url.Values{"reference": {"--upload-pack=x"}}, "reference", "no branch, tag or commit"},
		{"no such commit", url.Values{"commit_sha": {strings.Repeat("0", 40)}}, "commit", "no branch, tag or commit"},
		{"half a commit", url.Values{"commit_sha": {"abc"}}, "commit", "is not the whole SHA"},
		{"no such file", url.Values{"pipeline_file": {"<none>.yml"}}, "file", "add it or name another file"},
		{"a file that is no pipeline", url.Values{"pipeline_file": {"broken.yml"}}, "file", "broken.yml:2"},
		{"a file that is no YAML", url.Values{"pipeline_file": {"tabs.yml"}}, "file", "tabs.yml:2"},
		{"a parameter that is asked for", url.Values{}, "value-0", "asks for VERSION"},
		{"a value without a name", url.Values{"p.VERSION": {"1"}, "rows": {"1"}, "row.0.value": {"x"}}, "row-1", "no variable has such a name"},
		{"a name that is none", url.Values{"p.VERSION": {"1"}, "rows": {"1"}, "row.0.name": {"A=<b>"}}, "row-1", "no variable has such a name"},
		{"a name twice", url.Values{"p.VERSION": {"1"}, "rows": {"2"}, "row.0.name": {"A"}, "row.1.name": {"A"}}, "row-2", "given twice"},
	} {
		c.form.Set("step", "run")
		if c.form.Get("reference") == "" {
			c.form.Set("reference", "main")
		}
		c.form.Set("p.KEPT", "kept <value>")
		status, _, text := s.do("POST", "/projects/shop/run", c.form)
		checkPage(t, text)
		if got := problemAt(text, c.id); status != 422 || !strings.Contains(got, c.is) {
			t.Errorf("%s: %d, and it says %q", c.what, status, got)
		}
		if !strings.Contains(text, "Nothing was started.") || !strings.Contains(text, "kept &lt;value&gt;") || strings.Contains(inMain(text), "<script>") {
			t.Errorf("%s: what was typed is gone", c.what)
		}
	}
	if wf, _ := s.newest(p); wf != nil {
		t.Errorf("%+v was started", wf)
	}
	// Buttons that start nothing keep what was typed.
	for step, want := range map[string]string{"add": `name="row.1.name"`, "read": `name="p.VERSION"`} {
		status, _, text := s.do("POST", "/projects/shop/run", url.Values{"step": {step}, "reference": {"main"}, "rows": {"1"}, "row.0.name": {"A"}, "row.0.value": {"b"}})
		if status != 200 || !strings.Contains(text, want) || !strings.Contains(text, ">b</textarea>") {
			t.Errorf("%s: %d", step, status)
		}
	}
	if status, _, _ := s.do("POST", "/projects/shop/run", url.Values{"rows": {"1000000000"}, "reference": {"none"}}); status != 422 {
		t.Errorf("more rows than there are: %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/shop/run", url.Values{"p.A": {strings.Repeat("x", maxTaskForm)}}); status != 400 {
		t.Errorf("a form without an end: %d", status)
	}
	// A repository that cannot be read is no fault of the server's.
	s.write(func(tx *store.Tx) error {
		return tx.CreateProject(&signalbox.Project{Name: "far", GitURL: "https://ana:hunter2secret@127.0.0.1:1/far.git", DefaultBranch: "main", PipelineFile: "p.yml"}, "test")
	})
	for _, c := range []struct {
		method string
		form   url.Values
		status int
	}{{"GET", nil, 200}, {"POST", url.Values{"reference": {"main"}}, 422}} {
		status, _, text := s.do(c.method, "/projects/far/run", c.form)
		checkPage(t, text)
		if status != c.status || !strings.Contains(text, `role="alert"`) || strings.Contains(text, "hunter2secret") {
			t.Errorf("%s: %d", c.method, status)
		}
	}
}

func TestWhoMayRun(t *testing.T) {
	s := newBusySite(t)
	p, _ := s.repository("shop", map[string]string{signalbox.DefaultPipelineFile: asksForVersion})
	wf := s.scene.Workflow(p, "main", "Begin")
	for _, role := range []signalbox.Role{signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer} {
		s.as(role)
		may := role != signalbox.RoleViewer
		status, _ := s.get("/projects/shop/run")
		post, _, _ := s.do("POST", "/projects/shop/run", url.Values{"reference": {"none"}})
		if want := map[bool][2]int{true: {200, 422}, false: {403, 403}}[may]; status != want[0] || post != want[1] {
			t.Errorf("%s: %d, %d", role, status, post)
		}
		for _, path := range []string{"/projects/shop", branchURL(wf)} {
			if text := s.page(path); strings.Contains(text, "Run…") != may {
				t.Errorf("%s: %s offers it: %v", role, path, !may)
			}
		}
	}
	s.as(signalbox.RoleMember)
	s.page(branchURL(wf), `href="/projects/shop/run?kind=BRANCH&amp;reference=main"`)
	if status, _ := s.get("/projects/none/run"); status != 404 {
		t.Errorf("a project that there is not: %d", status)
	}
	s.web.o.Projects = nil
	if status, _ := s.get("/projects/shop/run"); status != 404 {
		t.Errorf("a server that reads no repositories: %d", status)
	}
}
