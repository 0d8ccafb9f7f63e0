package web

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

func (s *site) find(name string) (p *signalbox.Project) {
	s.t.Helper()
	s.write(func(tx *store.Tx) (err error) { p, err = tx.FindProject(name); return err })
	return p
}

// seen is the version of a section that the page shows.
func (s *site) seen(name, section string) string {
	s.t.Helper()
	_, text := s.get("/projects/" + name + "/settings/general")
	_, form, _ := strings.Cut(text, `<form class="card" id="`+section+`"`)
	_, was, _ := strings.Cut(form, `name="was" value="`)
	was, _, _ = strings.Cut(was, `"`)
	return was
}

// save sends a section as somebody would who has just opened the page.
func (s *site) save(name, section string, form url.Values) (status int, to, text string) {
	s.t.Helper()
	form.Set("was", s.seen(name, section))
	status, h, text := s.do("POST", "/projects/"+name+"/settings/"+section, form)
	return status, h.Get("Location"), text
}

func TestProjectSettings(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	s.page("/projects/parcel-api/settings/general", `value="parcel-api"`, `value=".semaphore/semaphore.yml"`, "the server does it", "s1-linux", `value="default" checked`, ">Settings</a>")
	const at = "/projects/parcel-api/settings/general?done="
	for _, c := range []struct {
		section string
		form    url.Values
		said    string
	}{
		{"general", url.Values{"name": {" parcel-api "}, "max_running_jobs": {"7"}}, "max_running_jobs 0 to 7"},
		{"workflow", url.Values{"pipeline_file": {"ci/first.yml"}}, "to ci/first.yml"},
		{"pre_flight_checks", url.Values{"machine_type": {"s1-linux"}, "os_image": {"ubuntu"}, "commands": {"checkout\r\n\r\n./check <b>\r\n"}, "secrets": {"token"}}, "initialization"},
		{"permissions", url.Values{"rule": {"own"}, "debug": {"default_branch", "empty"}, "attach": {"tag"}}, "debug by the default rule to [default_branch empty]"},
	} {
		status, to, text := s.save("parcel-api", c.section, c.form)
		if status != 303 || to != at+c.section+"#"+c.section {
			t.Fatalf("%s: %d to %q: %.2000s", c.section, status, to, inMain(text))
		}
		s.page(strings.TrimSuffix(to, "#"+c.section), "<b>Saved.</b>", c.said)
	}
	p := s.find("parcel-api")
	if p.MaxRunningJobs != 7 || p.PipelineFile != "ci/first.yml" || !p.CustomPermissions || len(p.DebugPermissions) != 2 || len(p.AttachPermissions) != 1 ||
		!p.Initialization.Equal(signalbox.Initialization{MachineType: "s1-linux", OSImage: "ubuntu", Commands: []string{"checkout", "./check <b>"}, Secrets: []string{"token"}}) {
		t.Errorf("%+v", p)
	}
	s.page("/projects/parcel-api/settings/general", `value="7"`, "./check &lt;b&gt;", `value="own" checked`, `value="empty" aria-label="Debug: Sessions without a job" checked`)

	// Each section leaves the others as they are, and each can be taken back.
	if status, to, _ := s.save("parcel-api", "pre_flight_checks", url.Values{"commands": {"true"}}); status != 303 {
		t.Error(status)
	} else {
		s.page(strings.TrimSuffix(to, "#pre_flight_checks"), "There are checks, but no agent type that runs them")
	}
	for section, form := range map[string]url.Values{
		"general": {"name": {"parcels"}}, "pre_flight_checks": {}, "permissions": {"rule": {"default"}},
	} {
		name := s.find(p.ID).Name
		if status, to, _ := s.save(name, section, form); status != 303 || section == "general" && to != "/projects/parcels/settings/general?done=general#general" {
			t.Errorf("%s: %d to %s", section, status, to)
		}
	}
	p = s.find("parcels")
	if p.MaxRunningJobs != 0 || p.PipelineFile != "ci/first.yml" || p.CustomPermissions || !p.Initialization.Equal(signalbox.Initialization{}) {
		t.Errorf("%+v", p)
	}
}

func TestProjectSettingsThatAreNotRight(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	before := s.find("parcel-api")
	for _, c := range []struct {
		section, field, value, id, is string
		status                        int
	}{
		{"general", "name", "a <b>", "name", "is not allowed", 422},
		{"general", "name", "", "name", "needs a name", 422},
		{"general", "name", "tariff-engine", "name", "already taken", 409},
		{"general", "max_running_jobs", "<many>", "limit", "from 1 to 1,000,000", 422},
		{"general", "max_running_jobs", "-1", "limit", "from 1 to 1,000,000", 422},
		{"workflow", "pipeline_file", " ", "file", "by its path from the top", 422},
		{"workflow", "pipeline_file", "a\x00<b>", "file", "by its path from the top", 422},
		{"workflow", "pipeline_file", strings.Repeat("<b>", 400), "file", "by its path from the top", 422},
		{"pre_flight_checks", "secrets", "<token>", "commands", "secrets are for the commands", 422},
		{"pre_flight_checks", "os_image", "<ubuntu>", "commands", "needs a machine_type", 422},
		{"permissions", "debug", "<every>", "rule", "is not known", 422},
		{"permissions", "attach", "empty", "rule", "for debugging only", 422},
	} {
		form := url.Values{"name": {"parcel-api"}, "rule": {"own"}}
		form.Set(c.field, c.value)
		status, _, text := s.save("parcel-api", c.section, form)
		checkPage(t, text)
		if got := problemAt(text, c.id); status != c.status || !strings.Contains(got, c.is) || !strings.Contains(text, "Nothing was saved.") {
			t.Errorf("%s %q: %d, and it says %q", c.field, c.value, status, got)
		}
		if kept := strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(strings.TrimSpace(strings.ReplaceAll(c.value, "\x00", ""))); c.field != "debug" && !strings.Contains(c.value, "\x00") && len(kept) < 100 && !strings.Contains(text, kept) {
			t.Errorf("%s: %q is gone", c.field, c.value)
		}
	}
	after := s.find("parcel-api")
	if after.Name != before.Name || after.PipelineFile != before.PipelineFile || after.CustomPermissions || !after.Initialization.Equal(before.Initialization) {
		t.Errorf("%+v", after)
	}
	// Somebody else was faster: nothing is lost without a word.
	was := s.seen("parcel-api", "workflow")
	if status, _, _ := s.save("parcel-api", "workflow", url.Values{"pipeline_file": {"theirs.yml"}}); status != 303 {
		t.Fatal(status)
	}
	status, _, text := s.do("POST", "/projects/parcel-api/settings/workflow", url.Values{"was": {was}, "pipeline_file": {"mine.yml"}})
	if status != 409 || !strings.Contains(text, "Somebody else has changed this meanwhile") || !strings.Contains(text, `value="mine.yml"`) || s.find("parcel-api").PipelineFile != "theirs.yml" {
		t.Errorf("status %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/parcel-api/settings/general", url.Values{"was": {s.seen("parcel-api", "general")}, "name": {"parcel-api"}, "max_running_jobs": {"3"}}); status != 303 {
		t.Errorf("another section is stale too: %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/none/settings/general", url.Values{"name": {"x"}}); status != 404 {
		t.Errorf("a project that there is not: %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/parcel-api/settings/workflow", url.Values{"pipeline_file": {strings.Repeat("x", 1<<20)}}); status != 400 {
		t.Errorf("a form without an end: %d", status)
	}
}

func TestDeleteProject(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	s.fillTasks()
	s.harbour(s.project, s.pipeline)
	s.page("/projects/parcel-api/settings/general", "3\u00a0tasks, ", "deployment targets and 0\u00a0secrets of its own", "not ended", "The repository is not touched")
	for _, typed := range []string{"", "Parcel-API", "<b>"} {
		status, _, text := s.do("POST", "/projects/parcel-api/settings/delete", url.Values{"confirm": {typed}})
		checkPage(t, text)
		if status != 422 || !strings.Contains(problemAt(text, "confirm"), "That is not the name") {
			t.Errorf("%q: %d", typed, status)
		}
	}
	if status, h, _ := s.do("POST", "/projects/parcel-api/settings/delete", url.Values{"confirm": {" parcel-api "}}); status != 303 || h.Get("Location") != "/projects" {
		t.Errorf("status %d", status)
	}
	if status, _ := s.get("/projects/parcel-api"); status != 404 {
		t.Errorf("it is still there: %d", status)
	}
	if status, _ := s.get("/workflows/" + s.workflow.ID); status != 404 {
		t.Errorf("its workflow answers %d, which is not what was said", status)
	}
	if status, _, _ := s.do("POST", "/projects/parcel-api/settings/delete", url.Values{"confirm": {"parcel-api"}}); status != 404 {
		t.Errorf("again: %d", status)
	}
}

func TestCheckARepository(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	p, _ := s.repository("shop", map[string]string{signalbox.DefaultPipelineFile: asksForVersion})
	const path = "/projects/shop/settings/general"
	s.page(path, "A hook tells the server of them", "Check it now", "Install the hook again")
	s.page(path+"?check=1", "The repository can be read", "Sell &lt;b&gt;things&lt;/b&gt;", "The pipeline file is there", "The hook is installed")
	// Where a file is named that is not there, saving says so at once.
	_, to, _ := s.save("shop", "workflow", url.Values{"pipeline_file": {"none.yml"}})
	s.page(strings.TrimSuffix(to, "#workflow"), "Saved.", "The pipeline file cannot run", "is not available at commit")

	hook := filepath.Join(p.GitDir, "hooks", "post-receive")
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	s.page(path+"?check=1", "The hook is missing")
	s.fail = errors.New("the disk <b> is full")
	status, _, text := s.do("POST", "/projects/shop/settings/hook", url.Values{})
	checkPage(t, text)
	if status != 422 || !strings.Contains(text, "The hook could not be installed: the disk &lt;b&gt; is full") {
		t.Errorf("status %d", status)
	}
	s.fail = nil
	if status, h, _ := s.do("POST", "/projects/shop/settings/hook", url.Values{}); status != 303 || h.Get("Location") != path+"?check=1#repository" {
		t.Errorf("status %d", status)
	}
	if _, err := os.Stat(hook); err != nil {
		t.Error(err)
	}
	s.git(p.GitDir, "update-ref", "-d", "refs/heads/main")
	s.page(path+"?check=1", "The default branch is not there")
	if status, _, _ := s.do("POST", "/projects/parcel-api/settings/hook", url.Values{}); status != 400 {
		t.Errorf("a hook in a repository that is elsewhere: %d", status)
	}
}

func TestMoveAProject(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	p, work := s.repository("shop", map[string]string{signalbox.DefaultPipelineFile: asksForVersion})
	first, dir := p.GitDir, filepath.Dir(p.GitDir)
	second := filepath.Join(dir, "moved <b>.git")
	s.git(dir, "clone", "--quiet", "--bare", first, second)
	s.git(second, "branch", "next", "main")
	const path, done = "/projects/shop/settings/general", "/projects/shop/settings/general?done=repository&check=1#repository"
	s.page(path, `name="address" value="`+first+`"`, `name="default_branch" value="main"`)
	move := func(address, branch string) (int, string, string) {
		return s.save("shop", "repository", url.Values{"address": {address}, "default_branch": {branch}})
	}
	is := func(address, folder, branch string) {
		t.Helper()
		if p := s.find("shop"); p.GitURL != address || p.GitDir != folder || p.DefaultBranch != branch {
			t.Errorf("it is at %s, in %s, on %s", p.GitURL, p.GitDir, p.DefaultBranch)
		}
	}
	if status, to, text := move(" "+second+" ", "next"); status != 303 || to != done {
		t.Fatalf("%d to %q: %.2000s", status, to, inMain(text))
	}
	is(second, second, "next")
	s.page(strings.TrimSuffix(done, "#repository"), "<b>Saved.</b>", "default branch main to next", "moved &lt;b&gt;.git", "The repository can be read", "The hook is installed", `value="next"`)
	if wf, _ := s.newest(p); wf != nil {
		t.Errorf("the move started %+v", wf)
	}
	// Nothing for the branch is what HEAD names.
	if status, to, _ := move(second, ""); status != 303 || to != done {
		t.Errorf("%d to %s", status, to)
	}
	is(second, second, "main")
	// Elsewhere, with a password that no page shows and that stays while the address does.
	const password = "hunter2secret"
	elsewhere := "file://ana:" + password + "@localhost" + first
	if status, to, text := move(elsewhere, "main"); status != 303 || to != done {
		t.Fatalf("%d to %q: %.2000s", status, to, inMain(text))
	}
	is(elsewhere, "", "main")
	shown := strings.Replace(elsewhere, password, "xxxxx", 1)
	if text := s.page(strings.TrimSuffix(done, "#repository"), "<b>Saved.</b>", `value="`+shown+`"`, "is not on the server's machine"); strings.Contains(text, password) {
		t.Error("the page shows the password")
	}
	s.git(work, "push", "--quiet", "origin", "HEAD:other")
	if status, _, _ := move(shown, "other"); status != 303 {
		t.Errorf("another branch of the same address: %d", status)
	}
	is(elsewhere, "", "other")

	for _, c := range []struct {
		address, branch, id, says, shows string
		status                           int
	}{
		{"", "main", "address", "Give a git URL", `name="address" value=""`, 422},
		{"/nowhere/<b>", "main", "address", "there is no git repository at /nowhere/&lt;b&gt;", `value="/nowhere/&lt;b&gt;"`, 422},
		{"relative", "main", "address", "a git URL or the absolute path", `value="relative"`, 422},
		{"ssh://-oProxyCommand=x/y", "main", "address", "cannot read", "", 422},
		{second, "<b>", "branch", "no branch &#34;&lt;b&gt;&#34;; its branches are main, next", `value="&lt;b&gt;"`, 422},
		{shown, "nope", "branch", "no branch &#34;nope&#34;", `value="` + shown + `"`, 422},
		{"file://ana:xxxxx@localhost/elsewhere", "main", "address", "The password has to be written again", `value="file://ana@localhost/elsewhere"`, 422},
		{"file://ana:letmein@localhost/nowhere", "main", "address", "cannot read file://ana:xxxxx@localhost/nowhere", `value="file://ana@localhost/nowhere"`, 422},
		{"file://ana:let/me/in@localhost/nowhere", "main", "address", "The password has to be written again", `value="file://ana@localhost/nowhere"`, 422},
	} {
		status, _, text := move(c.address, c.branch)
		checkPage(t, text)
		if got := problemAt(text, c.id); status != c.status || !strings.Contains(got, c.says) || !strings.Contains(text, c.shows) || !strings.Contains(text, "Nothing was saved.") {
			t.Errorf("%q, %q: %d, and it says %q", c.address, c.branch, status, got)
		}
		for _, secret := range []string{password, "letmein", "let/me/in"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q: the page shows a password", c.address)
			}
		}
	}
	s.fail = errors.New("the disk <b> is full")
	if status, _, text := move(second, "main"); status != 422 || !strings.Contains(problemAt(text, "address"), "could not be installed: the disk &lt;b&gt; is full") {
		t.Errorf("without a hook: %d", status)
	}
	s.fail = nil
	is(elsewhere, "", "other")

	// Somebody else was faster.
	was := s.seen("shop", "repository")
	if status, _, _ := move(second, "next"); status != 303 {
		t.Fatal(status)
	}
	status, _, text := s.do("POST", "/projects/shop/settings/repository", url.Values{"was": {was}, "address": {first}, "default_branch": {"main"}})
	checkPage(t, text)
	if status != 409 || !strings.Contains(text, "Somebody else has changed this meanwhile") || !strings.Contains(text, `value="`+first+`"`) {
		t.Errorf("status %d", status)
	}
	is(second, second, "next")
	// What they did is what one wanted, too.
	if status, _, _ := s.do("POST", "/projects/shop/settings/repository", url.Values{"was": {was}, "address": {second}, "default_branch": {"next"}}); status != 303 {
		t.Errorf("status %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/none/settings/repository", url.Values{"address": {first}}); status != 404 {
		t.Errorf("a project that there is not: %d", status)
	}
	s.write(func(tx *store.Tx) error {
		events, err := tx.Events("project", p.ID)
		for _, e := range events {
			if strings.Contains(e.Detail, password) {
				t.Errorf("the history tells the password: %s", e.Detail)
			}
		}
		return err
	})
}

func TestWhoMayChangeAProject(t *testing.T) {
	s := newBusySite(t)
	for _, role := range []signalbox.Role{signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer} {
		s.as(role)
		may := role == signalbox.RoleAdmin
		want := map[bool]int{true: 200, false: 403}[may]
		if status, _ := s.get("/projects/parcel-api/settings/general"); status != want {
			t.Errorf("%s: %d", role, status)
		}
		for _, section := range []string{"general", "repository", "workflow", "pre_flight_checks", "permissions", "delete"} {
			form := url.Values{"name": {""}, "debug": {"none"}, "secrets": {"x"}}
			if status, _, _ := s.do("POST", "/projects/parcel-api/settings/"+section, form); (status == 403) == may {
				t.Errorf("%s of %s: %d", role, section, status)
			}
		}
		if status, _, _ := s.do("POST", "/projects/parcel-api/settings/hook", url.Values{}); !may && status != 403 {
			t.Errorf("%s: %d", role, status)
		}
		if _, text := s.get("/projects/parcel-api"); strings.Contains(text, "/settings/general") != may {
			t.Errorf("%s is offered the settings: %v", role, !may)
		}
	}
	s.as(signalbox.RoleAdmin)
	for from, to := range map[string]string{
		"": "", "/repository": "#repository", "/workflow": "#workflow", "/pre_flight_checks": "#pre_flight_checks", "/permissions": "#permissions", "/delete": "#delete",
	} {
		if status, h, _ := s.do("GET", "/projects/parcel-api/settings"+from, nil); status != 303 || h.Get("Location") != "/projects/parcel-api/settings/general"+to {
			t.Errorf("%s: %d to %s", from, status, h.Get("Location"))
		}
	}
	if status, _ := s.get("/projects/none/settings/general"); status != 404 {
		t.Errorf("a project that there is not: %d", status)
	}
}

func TestHostileProjectSettings(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	s.write(func(tx *store.Tx) error {
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		o.Initialization = signalbox.Initialization{MachineType: "<i>type</i>", Commands: []string{scene.Hostile}}
		if err := tx.UpdateOrganization(o, "user:ana", ""); err != nil {
			return err
		}
		return tx.CreateProject(&signalbox.Project{
			Name: "hostile", GitURL: "https://ana:hunter2secret@git.example/<b>.git", DefaultBranch: scene.Hostile, PipelineFile: scene.Hostile,
			Initialization: signalbox.Initialization{MachineType: "<b>", Commands: []string{scene.Hostile}, Secrets: []string{scene.Hostile}},
		}, "user:ana")
	})
	_, text := s.get("/projects/hostile/settings/general")
	checkPage(t, text)
	if strings.Contains(text, "hunter2secret") || strings.Contains(text, "<b>.git") || strings.Contains(text, "<i>type") {
		t.Error("what is stored stands in the page as it is")
	}
	if !strings.Contains(text, "There is none, so jobs of this project wait for ever") {
		t.Error("a project that no agent type permits is not told")
	}
}
