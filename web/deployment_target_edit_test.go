package web

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const targetsPath = "/projects/parcel-api/deployments"

// newTargetSite is a site with somebody called mei, asked by an administrator.
func newTargetSite(t *testing.T) *busySite {
	t.Helper()
	s := newBusySite(t)
	s.harbour(s.project, s.pipeline)
	s.as(signalbox.RoleAdmin)
	return s
}

// upload sends a form as browsers do that sends files, too.
func (s *busySite) upload(path string, form url.Values, files map[string]string) (int, http.Header, string) {
	s.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, values := range form {
		for _, v := range values {
			if err := w.WriteField(name, v); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	for name, content := range files {
		part, err := w.CreateFormFile(name, "local-name")
		if err == nil {
			_, err = part.Write([]byte(content))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	_ = w.Close()
	return s.send(http.MethodPost, path, &body, w.FormDataContentType())
}

func targetFields() url.Values {
	return url.Values{
		"step": {"save"}, "target_name": {" live "}, "description": {"the <real> thing"}, "url": {"https://app.example.com"}, "bookmark.0": {"VERSION"}, "bookmark.2": {"WHERE"},
		"variables": {"2"}, "variable.0.name": {"TOKEN"}, "variable.0.value": {"hunter2\r\nhunter3\r\n"}, "files": {"1"}, "file.0.name": {".ssh/id"},
		"who": {"these"}, "role": {"admin", "member"}, "auto": {"yes"}, "people": {"mei\r\n\r\n mei "}, "all": {"PR"},
		"refs": {"3"}, "ref.0.type": {"BRANCH"}, "ref.0.match": {"EXACT"}, "ref.0.pattern": {"main"}, "ref.2.type": {"TAG"}, "ref.2.match": {"REGEX"}, "ref.2.pattern": {"^v[0-9]"},
	}
}

// target returns a target of the project with what it holds, NAME=value and PATH:content.
func (s *busySite) target(name string) (d *signalbox.DeploymentTarget, held []string) {
	s.t.Helper()
	s.write(func(tx *store.Tx) (err error) {
		d, err = tx.FindDeploymentTarget(s.project.ID, name)
		if err != nil {
			return err
		}
		vars, files, err := s.secrets.Fingerprints(tx, d)
		for _, v := range append(vars, files...) {
			held = append(held, v.Name+" "+v.Value[:4])
		}
		return err
	})
	return d, held
}

// seenIn is the version that a form has.
func seenIn(text string) string {
	_, seen, _ := strings.Cut(text, `name="seen" value="`)
	seen, _, _ = strings.Cut(seen, `"`)
	return seen
}

func TestMakeATarget(t *testing.T) {
	s := newTargetSite(t)
	s.page(targetsPath, `href="`+targetsPath+`/new"`, "signalbox deployment-target create parcel-api/NAME")
	s.page("/projects/tariff-engine/deployments", "No deployment targets yet", `href="/projects/tariff-engine/deployments/new"`)
	form := s.page(targetsPath+"/new", `action="`+targetsPath+`"`, `enctype="multipart/form-data"`, `value="main"`, `name="role" value="admin" checked`, `name="who" value="these" checked`, "Create the target", "Accounts here: mei.")
	_, token, _ := strings.Cut(form, `name="token" value="`)
	token, _, _ = strings.Cut(token, `"`)
	fields := targetFields()
	fields.Set("token", token)
	for range 2 { // the same form sent twice is one target
		status, h, text := s.upload(targetsPath, fields, map[string]string{"file.0.content": "key\x00\n"})
		if status != 303 || h.Get("Location") != targetsPath+"/live" {
			t.Fatalf("%d to %q: %.2000s", status, h.Get("Location"), inMain(text))
		}
	}
	d, held := s.target("live")
	want := []signalbox.SubjectRule{{Type: signalbox.SubjectRole, ID: "admin"}, {Type: signalbox.SubjectRole, ID: "member"}, {Type: signalbox.SubjectUser, ID: s.mei.ID}, {Type: signalbox.SubjectAuto}}
	from := []signalbox.ObjectRule{
		{Type: signalbox.ObjectPR, Match: signalbox.MatchAll}, {Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: "main"}, {Type: signalbox.ObjectTag, Match: signalbox.MatchRegex, Pattern: "^v[0-9]"},
	}
	// md5 of "hunter2\nhunter3\n", and of "key\x00\n" in base64.
	if diff := cmp.Diff(want, d.Subjects) + cmp.Diff(from, d.Objects) + cmp.Diff([]string{"TOKEN ce6e", ".ssh/id 90cf"}, held); diff != "" {
		t.Error(diff)
	}
	if d.Description != "the <real> thing" || d.URL != "https://app.example.com" || d.Bookmarks != [3]string{"VERSION", "", "WHERE"} || d.CreatedBy != "ana" {
		t.Errorf("%+v", d)
	}
	text := s.page(targetsPath+"/live", "the &lt;real&gt; thing", "Its 1\u00a0variable and 1\u00a0file are deleted", "Cordon", targetsPath+"/live/edit")
	text += s.page(targetsPath+"/live/edit", "TOKEN", ".ssh/id", `name="variable.0.held"`, "stays as it is", `name="who" value="these" checked`, ">mei</textarea>", `name="all" value="PR" checked`, `value="^v[0-9]"`,
		`name="ref.2.pattern" value=""`, `name="bookmark.2" value="WHERE"`, ">Save<")
	if strings.Contains(text, "hunter") || strings.Contains(text, "ce6e") {
		t.Error("a page holds a value or a digest")
	}
	fields.Set("token", signalbox.NewID())
	status, _, text := s.upload(targetsPath, fields, map[string]string{"file.0.content": "key"})
	if status != 409 || !strings.Contains(text, "has a deployment target named &#34;live&#34; already") || strings.Contains(text, "hunter") || !strings.Contains(text, "give this one again") {
		t.Errorf("a name that is taken: %d", status)
	}
}

// All that is wrong is said, each at its field, and what was typed stays but for values.
func TestATargetThatIsNotRight(t *testing.T) {
	s := newTargetSite(t)
	form := url.Values{
		"target_name": {"<b> x"}, "description": {strings.Repeat("<x>", 1000)}, "url": {"ftp://<i>"}, "bookmark.0": {"<V>"}, "bookmark.1": {"<V>"}, "who": {"these"}, "people": {"mei\n<eve>"},
		"variables": {"4"}, "variable.0.name": {"A-<b>"}, "variable.0.value": {"hunter2"}, "variable.1.name": {"TWICE"}, "variable.1.value": {"hunter3"}, "variable.2.name": {"TWICE"}, "variable.2.value": {"hunter4"}, "variable.3.name": {"NONE"},
		"files": {"2"}, "file.0.name": {"../<up>"}, "file.1.name": {"chosen-not"}, "refs": {"3"}, "ref.0.type": {"TAG"}, "ref.0.match": {"REGEX"}, "ref.0.pattern": {"(?=<x>)"}, "ref.1.type": {"TREE"}, "ref.1.pattern": {"x"}, "ref.2.type": {"PR"}, "ref.2.pattern": {"17"},
	}
	for path, plus := range map[string]int{targetsPath: 0, targetsPath + "/production": 2} {
		status, _, text := s.do("POST", path, form)
		if status != 422 {
			t.Fatalf("%s: %d", path, status)
		}
		checkPage(t, text)
		for id, want := range map[string]string{
			"name": "must contain only alphanumericals", "description": "at most 2000 are allowed", "url": "without a password", "bookmark-1": "repeats the parameter", "people": "nobody here called &#34;&lt;eve&gt;&#34;",
			fmt.Sprint("variable-", plus): "is not a name for an environment variable", fmt.Sprint("variable-", plus+2): "is there twice", fmt.Sprint("variable-", plus+3): "Type the value of NONE",
			fmt.Sprint("file-", plus/2): "Choose the file that becomes ../&lt;up&gt;", fmt.Sprint("file-", plus/2+1): "Choose the file", "ref-0": "is no regular expression of RE2", "ref-1": "is not known; use BRANCH",
		} {
			_, at, ok := strings.Cut(text, `id="`+id+`-problem">`)
			at, _, _ = strings.Cut(at, "</div>")
			if !ok || !strings.Contains(at, want) {
				t.Errorf("%s: at %s it says %q, want %q", path, id, at, want)
			}
		}
		for _, kept := range []string{`value="&lt;b&gt; x"`, "&lt;x&gt;&lt;x&gt;", `value="ftp://&lt;i&gt;"`, "mei\n&lt;eve&gt;</textarea>", `value="A-&lt;b&gt;"`, `value="../&lt;up&gt;"`, `value="(?=&lt;x&gt;)"`, `value="17"`, "give this one again"} {
			if !strings.Contains(text, kept) {
				t.Errorf("%s: %q is gone", path, kept)
			}
		}
		if strings.Contains(text, "hunter") {
			t.Errorf("%s: a value came back", path)
		}
	}
	for says, change := range map[string]url.Values{
		"Say who may deploy":               {"who": {"me"}},
		"Tick a role":                      {"who": {"these"}, "role": {"boss"}, "people": {" \n"}, "auto": {}},
		"a deployment target needs a name": {"target_name": {" "}},
		"leads upwards":                    {"file.0.name": {"../x"}},
		"at most 200 subject":              {"who": {"these"}, "people": {strings.Join(manyNames(300), "\n")}},
	} {
		f := targetFields()
		for k, v := range change {
			f[k] = v
		}
		if status, _, text := s.upload(targetsPath, f, map[string]string{"file.0.content": "x"}); status != 422 || !strings.Contains(text, says) {
			t.Errorf("%s: %d %.3000s", says, status, inMain(text))
		}
	}
	if status, _, _ := s.do("POST", targetsPath, url.Values{"target_name": {"rows"}, "who": {"nobody"}, "refs": {"1000000000"}, "variables": {"1000000000"}, "files": {"-1"}}); status != 303 {
		t.Errorf("more rows than there are: %d", status)
	}
	for path, want := range map[string]int{"/projects/none/deployments": 404, targetsPath + "/none": 404, targetsPath + "/" + signalbox.NewID(): 404} {
		if status, _, _ := s.do("POST", path, targetFields()); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _, text := s.upload(targetsPath, targetFields(), map[string]string{"file.0.content": strings.Repeat("x", maxTargetForm)}); status != 400 || !strings.Contains(text, "6 MB") {
		t.Errorf("a form without an end: %d", status)
	}
	if status, _, text := s.upload(targetsPath, targetFields(), map[string]string{"file.0.content": strings.Repeat("x", signalbox.MaxSecretSize)}); status != 422 || !strings.Contains(text, "content is too big") {
		t.Errorf("more than a target may hold: %d", status)
	}
}

func manyNames(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("user-", i))
	}
	return out
}

func TestChangeATarget(t *testing.T) {
	s := newTargetSite(t)
	if status, _, _ := s.upload(targetsPath, targetFields(), map[string]string{"file.0.content": "key"}); status != 303 {
		t.Fatal(status)
	}
	at := targetsPath + "/live"
	before, held := s.target("live")
	open := func() url.Values { // what a browser sends of the form as it is
		f := targetFields()
		f.Set("seen", seenIn(s.page(at+"/edit", "Edit live")))
		f.Set("variables", "1")
		f.Set("variable.0.held", "yes")
		f.Set("file.0.held", "yes")
		f.Del("variable.0.value")
		return f
	}
	save := func(f url.Values, files map[string]string) {
		t.Helper()
		if status, h, text := s.upload(at, f, files); status != 303 {
			t.Fatalf("%d to %q: %.3000s", status, h.Get("Location"), inMain(text))
		}
	}
	// Saved as it was, it is what it was, also when somebody whom it names has gone and a form leaves out what the target has.
	s.write(func(tx *store.Tx) error { return tx.DisableUser(s.mei, "test") })
	save(open(), nil)
	short := open()
	short.Del("variables")
	short.Del("files")
	save(short, nil)
	if d, now := s.target("live"); d.Version != before.Version || !slices.Equal(now, held) {
		t.Errorf("version %d holds %q, before %q", d.Version, now, held)
	}
	// Whoever changes the people must take those who are gone out.
	f := open()
	f.Del("auto")
	if status, _, text := s.upload(at, f, nil); status != 422 || !strings.Contains(text, "nobody here called &#34;mei&#34;") {
		t.Errorf("%d", status)
	}
	f.Set("people", "")
	save(f, nil)
	// A value is replaced, one is taken away, one comes.
	f = open()
	f.Del("auto")
	f.Set("people", "")
	f.Set("variables", "2")
	f.Set("variable.0.value", "other")
	f.Set("variable.1.name", "NEW")
	f.Set("variable.1.value", "new")
	f.Set("file.0.remove", "yes")
	save(f, nil)
	d, now := s.target("live")
	if diff := cmp.Diff([]string{"TOKEN 795f", "NEW 22af"}, now); diff != "" || d.UpdatedBy != "ana" {
		t.Errorf("%s by %s", diff, d.UpdatedBy)
	}
	if diff := cmp.Diff([]signalbox.SubjectRule{{Type: signalbox.SubjectRole, ID: "admin"}, {Type: signalbox.SubjectRole, ID: "member"}}, d.Subjects); diff != "" {
		t.Error(diff)
	}
	// Somebody else was faster: nothing is lost without their word, and nothing that was typed but values.
	f = url.Values{"target_name": {"prod"}, "seen": {seenIn(s.page(at + "/edit"))}, "who": {"nobody"}, "variables": {"2"}, "variable.0.name": {"TOKEN"}, "variable.0.held": {"yes"}, "variable.1.name": {"NEW"}, "variable.1.held": {"yes"}, "variable.1.value": {"hunter2"}}
	d.Description = "mei's"
	if err := s.secrets.ChangeTarget(t.Context(), d, []signalbox.SecretVar{{Name: "TOKEN", Keep: true}, {Name: "LATE", Value: signalbox.NewSecretValue("x")}}, nil, "mei", "user:mei"); err != nil {
		t.Fatal(err)
	}
	status, _, text := s.do("POST", at, f)
	if status != 409 || !strings.Contains(text, "Somebody has changed this target meanwhile") || !strings.Contains(text, `value="prod"`) || strings.Contains(text, "hunter2") || !strings.Contains(text, "LATE") || !strings.Contains(text, "give this one again") {
		t.Errorf("%d %s", status, inMain(text))
	}
	f.Set("seen", seenIn(text))
	if status, h, _ := s.do("POST", at, f); status != 303 || h.Get("Location") != targetsPath+"/prod" {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	d, now = s.target("prod")
	if diff := cmp.Diff([]string{"TOKEN 795f", "LATE 9dd4", "NEW 2ab9"}, now); diff != "" || len(d.Subjects) != 0 || len(d.Objects) != 0 || d.Description != "" {
		t.Errorf("%s %+v", diff, d)
	}
	f.Set("target_name", "staging")
	f.Set("seen", fmt.Sprint(d.Version))
	if status, _, text := s.do("POST", targetsPath+"/prod", f); status != 409 || !strings.Contains(text, "choose another name") {
		t.Errorf("a name that is taken: %d", status)
	}
	s.page(targetsPath+"/"+d.ID+"/edit", "Edit prod") // the reference's addresses have ids
}

// Buttons that do not save: rows come, values go, and the page says so.
func TestStepsOfTheTargetForm(t *testing.T) {
	s := newTargetSite(t)
	for step, want := range map[string]string{
		"add-variable": `id="variable-2-name" name="variable.2.name" value="" maxlength="255" autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="variable-2-problem" autofocus`,
		"add-file":     `name="file.1.name" value=""`,
		"add-ref":      `name="ref.3.pattern" value="" autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="ref-3-problem" autofocus`,
	} {
		form := targetFields()
		form.Set("step", step)
		status, _, text := s.do("POST", targetsPath, form)
		checkPage(t, text)
		if status != 200 || !strings.Contains(text, want) || !strings.Contains(text, `value="TOKEN"`) || !strings.Contains(text, "give this one again") || strings.Contains(text, "hunter") {
			t.Errorf("%s: %d lacks %s", step, status, want)
		}
	}
	s.write(func(tx *store.Tx) error {
		if all, err := tx.DeploymentTargets(s.project.ID); err != nil || len(all) != 3 {
			t.Errorf("looking made a target: %d, %v", len(all), err)
		}
		return nil
	})
}

func TestDeleteATarget(t *testing.T) {
	s := newTargetSite(t)
	at := targetsPath + "/production"
	s.page(at, "Type <span class=\"mono\">production</span> to delete it", "Its 2\u00a0variables and 1\u00a0file are deleted for good")
	status, _, text := s.do("POST", at+"/delete", url.Values{"confirm": {"<prod>"}})
	if checkPage(t, text); status != 422 || !strings.Contains(text, "That is not the name") || !strings.Contains(text, `value="&lt;prod&gt;"`) || !strings.Contains(text, `class="ask" open`) {
		t.Errorf("another name: %d", status)
	}
	if status, h, _ := s.do("POST", at+"/delete", url.Values{"confirm": {" production "}}); status != 303 || h.Get("Location") != targetsPath {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	for _, path := range []string{at, at + "/edit"} {
		if status, _ := s.get(path); status != 404 {
			t.Errorf("%s of a deleted target: %d", path, status)
		}
	}
	if status, _, _ := s.do("POST", at+"/delete", url.Values{"confirm": {"production"}}); status != 404 {
		t.Errorf("once more: %d", status)
	}
}

// Names that mean something in an address lead to their target all the same.
func TestTargetsWithOddNames(t *testing.T) {
	s := newTargetSite(t)
	for _, name := range []string{"new", "..", "."} {
		_, h, _ := s.do("POST", targetsPath, url.Values{"target_name": {name}, "who": {"nobody"}})
		s.page(h.Get("Location"), "<h1>"+name+"</h1>")
		s.page(h.Get("Location")+"/edit", "Edit "+name)
	}
	if status, _ := s.get("/projects/tariff-engine/deployments/" + s.firstTarget()); status != 404 {
		t.Error("a target is shown in another project")
	}
}

func (s *busySite) firstTarget() (id string) {
	s.write(func(tx *store.Tx) error {
		all, err := tx.DeploymentTargets(s.project.ID)
		id = all[0].ID
		return err
	})
	return id
}

func TestWhoMayChangeTargets(t *testing.T) {
	s := newTargetSite(t)
	for _, role := range []signalbox.Role{signalbox.RoleMember, signalbox.RoleViewer, ""} {
		s.as(role)
		for _, c := range [][2]string{
			{"GET", "/new"}, {"GET", "/production/edit"}, {"POST", ""}, {"POST", "/production"}, {"POST", "/production/delete"}, {"POST", "/production/cordon"}, {"PUT", "/production/cordon/on"},
		} {
			form := url.Values{"confirm": {"production"}, "cordoned": {"true"}, "target_name": {"x"}, "who": {"anybody"}}
			if c[0] == "GET" {
				form = nil
			}
			if status, _, _ := s.do(c[0], targetsPath+c[1], form); status != 403 {
				t.Errorf("%s %s as %q: %d", c[0], c[1], role, status)
			}
		}
	}
	s.as(signalbox.RoleViewer)
	if text := s.page(targetsPath + "/production"); strings.Contains(text, "/edit") || strings.Contains(text, "Delete…") || strings.Contains(text, "DEPLOY_TOKEN") {
		t.Error("a viewer is offered to change a target")
	}
	if len(s.stops) > 0 {
		t.Error(s.stops)
	}
}
