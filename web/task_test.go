package web

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/web/browse"
)

// fillTasks adds tasks to a site: one with a long history, one that people run by hand, one that is paused.
func (s *busySite) fillTasks() {
	s.t.Helper()
	s.nightly = &signalbox.Task{
		ID: signalbox.NewID(), ProjectID: s.project.ID, Name: "Nightly <build>", Description: "Everything, on every platform", Recurring: true, At: "30 2 * * MON-FRI", TimeZone: "Europe/Berlin",
		Ref: "main", PipelineFile: ".semaphore/nightly.yml", Owner: "ana", Overlap: signalbox.OverlapSkip,
	}
	s.release = &signalbox.Task{
		ID: signalbox.NewID(), ProjectID: s.project.ID, Name: "Release", Owner: "mei", Ref: "refs/tags/v1.4.0", PipelineFile: ".semaphore/release.yml",
		Parameters: []signalbox.TaskParameter{
			{Name: "VERSION", Required: true, Description: "What to <i>ship</i>", Validate: true, Pattern: `^\d+\.\d+$`},
			{Name: "WHERE", Required: true, Options: []string{"staging", "production"}, Default: "staging"},
			{Name: "NOTE", Default: "none"},
		},
	}
	paused := &signalbox.Task{ID: signalbox.NewID(), ProjectID: s.project.ID, Name: "Weekly clean-up", Recurring: true, At: "@weekly", Ref: "main", PipelineFile: "clean.yml", Owner: "mei"}
	s.write(func(tx *store.Tx) error {
		for _, k := range []*signalbox.Task{s.nightly, s.release, paused} {
			if err := schedule.Create(tx, k, "user:ana"); err != nil {
				return err
			}
		}
		if _, err := schedule.Update(tx, paused.ID, "mei", "user:mei", func(k *signalbox.Task) error { k.Paused = true; return nil }); err != nil {
			return err
		}
		for i := range 45 {
			r := &signalbox.TaskRun{
				TaskID: s.nightly.ID, ProjectID: s.project.ID, Token: "due " + strconv.Itoa(i), DueAt: s.now(), Ref: s.nightly.Ref, PipelineFile: s.nightly.PipelineFile,
				Status: signalbox.TaskRunRunning, Parameters: []signalbox.EnvVar{{Name: "N", Value: fmt.Sprint(i)}},
			}
			if i == 7 {
				r.Requester, r.DueAt, r.Note = "mei", time.Time{}, "missed: 5 runs, run once"
			}
			if _, err := tx.CreateTaskRun(r, 0, "test"); err != nil {
				return err
			}
			r.Status, r.WorkflowID = signalbox.TaskRunPassed, s.workflow.ID
			switch {
			case i%3 == 1:
				r.WorkflowID = s.stopped.ID
			case i%10 == 5:
				r.Status, r.WorkflowID, r.Error = signalbox.TaskRunFailed, "", "Cannot find git reference refs/heads/<main>."
				s.failedTaskRun = r.ID
			}
			if err := tx.FinishTaskRun(r, "test"); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *busySite) taskURL(k *signalbox.Task) string {
	return "/projects/parcel-api/schedulers/" + k.ID
}

// page asks for a page that must be there, and hold what is wanted.
func (s *busySite) page(path string, want ...string) string {
	s.t.Helper()
	status, text := s.get(path)
	if status != 200 {
		s.t.Fatalf("%s: %d", path, status)
	}
	checkPage(s.t, text)
	for _, w := range want {
		if !strings.Contains(text, w) {
			s.t.Errorf("%s lacks %q", path, w)
		}
	}
	return text
}

func TestTaskPages(t *testing.T) {
	s := newBusySite(t)
	s.fillTasks()
	const base = "/projects/parcel-api/schedulers"
	s.page("/projects/parcel-api", `href="`+base+`"`)
	text := s.page(base, "Nightly &lt;build&gt;", "at 2:30 from Monday to Friday", "30 2 * * MON-FRI", "Europe/Berlin", `datetime="2026-11-24T01:30:00Z">24 Nov 2026, 01:30 UTC`, "data-local=",
		"by hand only", "when somebody asks", "Paused", "by mei", "at 0:00 on Sunday", "none yet", "Running", "/just_run", "/deactivate", "/activate", base+"/new", `data-topics="project:`)
	if n := strings.Count(text, "<tr>") - 1; n != 3 {
		t.Errorf("there are %d tasks", n)
	}
	s.page("/projects/tariff-engine/schedulers", "No tasks yet", "signalbox task create tariff-engine/nightly --at \"0 3 * * *\"", "New task")
	s.page(base+"?after=zzz", "No more tasks", "First page")
	s.page(s.taskURL(s.release), "v1.4.0", "What to &lt;i&gt;ship&lt;/i&gt;", "one of", "staging<br>production", "matches", "No runs yet", "Run it, and what it starts")

	link := func(text, rel string) string {
		t.Helper()
		before, _, ok := strings.Cut(text, `" rel="`+rel+`"`)
		if !ok {
			t.Fatalf("there is no page %q", rel)
		}
		return strings.ReplaceAll(before[strings.LastIndex(before, `"`)+1:], "&amp;", "&")
	}
	history := func(text string) string { // the rows alone
		_, text, _ = strings.Cut(text, `id="history"`)
		text, _, _ = strings.Cut(text, "</tbody>")
		return text
	}
	one := s.page(s.taskURL(s.nightly), "left out while an earlier one goes on", "Next runs", "Tue 24 Nov 2026, 02:30 CET", "N=", "45\u00a0runs", "Stopped")
	if strings.Contains(one, `rel="prev"`) || strings.Count(history(one), "<tr>") != 21 {
		t.Errorf("the first page has %d rows or something newer", strings.Count(history(one), "<tr>")-1)
	}
	two := s.page(s.taskURL(s.nightly) + link(one, "next"))
	three := s.page(s.taskURL(s.nightly) + link(two, "next"))
	if strings.Count(history(three), "<tr>") != 6 || strings.Contains(three, `rel="next"`) {
		t.Errorf("the last page has %d rows or something older", strings.Count(history(three), "<tr>")-1)
	}
	if again := s.page(s.taskURL(s.nightly) + link(three, "prev")); history(again) != history(two) {
		t.Error("back from the last page is not the page before it")
	}
	if again := s.page(s.taskURL(s.nightly) + link(two, "prev")); history(again) != history(one) || strings.Contains(again, `rel="prev"`) {
		t.Error("back from the second page is not the first")
	}
	for _, want := range []string{"Cannot find git reference refs/heads/&lt;main&gt;.", "missed: 5 runs, run once", "by mei", "Not started"} {
		if !strings.Contains(one+two+three, want) {
			t.Errorf("the history does not say %q", want)
		}
	}
	for _, odd := range []string{"?before=x", "?before=1", "?after=-5." + signalbox.NewID(), "?before=99999999999999999999." + signalbox.NewID(), "?run=none", "?run=%00", "?before=1.'"} {
		if text := s.page(s.taskURL(s.nightly) + odd); history(text) != history(one) || strings.Contains(text, "Nothing was started") {
			t.Errorf("%s is not the first page", odd)
		}
	}
	s.page(s.taskURL(s.nightly)+"?run="+s.failedTaskRun, "Nothing was started.")
	if text := s.page(s.taskURL(s.release) + "?run=" + s.failedTaskRun); strings.Contains(text, "Nothing was started") {
		t.Error("a run of another task is shown")
	}
	for path, want := range map[string]string{
		s.taskURL(s.nightly) + "/latest": "/workflows/", s.taskURL(s.release) + "/latest": s.taskURL(s.release), s.taskURL(s.release) + "/history": s.taskURL(s.release) + "#history",
	} {
		if status, h, _ := s.do("GET", path, nil); status != 303 || !strings.HasPrefix(h.Get("Location"), want) {
			t.Errorf("%s: %d to %q", path, status, h.Get("Location"))
		}
	}
	other := "/projects/tariff-engine/schedulers/" + s.nightly.ID
	for _, path := range []string{"/projects/none/schedulers", "/projects/none/schedulers/new", "/projects/none/schedulers/expression?at=x", base + "/none", other, other + "/edit", other + "/latest", other + "/history", other + "/just_run"} {
		if status, _ := s.get(path); status != 404 {
			t.Errorf("%s answers %d", path, status)
		}
	}
}

// What each role may do, of pages that show it and of the server that is asked anyway.
func TestTaskRoles(t *testing.T) {
	s := newBusySite(t)
	s.fillTasks()
	at := s.taskURL(s.nightly)
	for _, tt := range []struct {
		method, path string
		viewer       int
		member       int
	}{
		{"GET", "/projects/parcel-api/schedulers", 200, 200},
		{"GET", "/projects/parcel-api/schedulers/expression?at=@daily", 200, 200},
		{"GET", at, 200, 200},
		{"GET", at + "/latest", 303, 303},
		{"GET", at + "/history", 303, 303},
		{"GET", "/projects/parcel-api/schedulers/new", 403, 200},
		{"GET", at + "/edit", 403, 200},
		{"GET", at + "/just_run", 403, 200},
		{"POST", at + "/just_run", 403, 303},
		{"POST", at + "/deactivate", 403, 303},
		{"POST", at + "/activate", 403, 303},
		{"POST", "/projects/parcel-api/schedulers", 403, 422},
		{"POST", at, 403, 422},
		{"POST", at + "/delete", 403, 303},
	} {
		form := url.Values{}
		if tt.method == "GET" {
			form = nil
		}
		for role, want := range map[signalbox.Role]int{"": 403, "stranger": 403, signalbox.RoleViewer: tt.viewer} {
			s.as(role)
			if status, _, _ := s.do(tt.method, tt.path, form); status != want {
				t.Errorf("%s %s answers %q with %d, want %d", tt.method, tt.path, role, status, want)
			}
		}
		s.as(signalbox.RoleMember)
		if status, _, text := s.do(tt.method, tt.path, form); status != tt.member {
			t.Errorf("%s %s answers a member with %d, want %d: %.300s", tt.method, tt.path, status, tt.member, inMain(text))
		}
	}
	if len(s.stops) != 1 {
		t.Errorf("ran %q", s.stops)
	}
	s.as(signalbox.RoleViewer)
	for _, path := range []string{"/projects/parcel-api/schedulers", s.taskURL(s.release), "/projects/tariff-engine/schedulers"} {
		for _, offer := range []string{"just_run", "/edit", "/new", "activate", "Delete…"} {
			if strings.Contains(s.page(path), offer) {
				t.Errorf("%s offers a viewer %s", path, offer)
			}
		}
	}
}

func TestPauseAndDeleteATask(t *testing.T) {
	s := newBusySite(t)
	s.fillTasks()
	now := func() *signalbox.Task {
		var k *signalbox.Task
		s.write(func(tx *store.Tx) (err error) { k, err = tx.Task(s.nightly.ID); return err })
		return k
	}
	if status, h, _ := s.do("POST", s.taskURL(s.nightly)+"/deactivate", url.Values{"back": {"list"}}); status != 303 || h.Get("Location") != "/projects/parcel-api/schedulers" {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	if k := now(); !k.Paused || k.PausedBy != "ana" || !k.NextRunAt.IsZero() {
		t.Errorf("%+v", k)
	}
	s.page(s.taskURL(s.nightly), "Paused by ana", "Activate")
	if status, h, _ := s.do("POST", s.taskURL(s.nightly)+"/activate", url.Values{}); status != 303 || h.Get("Location") != s.taskURL(s.nightly) {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	if k := now(); k.Paused || k.NextRunAt.IsZero() {
		t.Errorf("%+v", k)
	}
	s.page(s.taskURL(s.nightly), "Delete Nightly &lt;build&gt;? Nothing starts it any more", "Their workflows stay.")
	if status, h, _ := s.do("POST", s.taskURL(s.nightly)+"/delete", url.Values{}); status != 303 || h.Get("Location") != "/projects/parcel-api/schedulers" {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	for _, path := range []string{"", "/edit", "/just_run", "/latest"} {
		if status, _ := s.get(s.taskURL(s.nightly) + path); status != 404 {
			t.Errorf("%q of a deleted task answers %d", path, status)
		}
	}
	for _, path := range []string{"/delete", "/activate", "/just_run", ""} {
		if status, _, _ := s.do("POST", s.taskURL(s.nightly)+path, url.Values{}); status != 404 {
			t.Errorf("posting %q to a deleted task answers %d", path, status)
		}
	}
}

func TestRunATask(t *testing.T) {
	s := newBusySite(t)
	s.fillTasks()
	at := s.taskURL(s.release) + "/just_run"
	text := s.page(at, `<option value="TAG" selected>`, `value="v1.4.0"`, `name="p.VERSION" value="" required`, "What to &lt;i&gt;ship&lt;/i&gt;", `<option value="staging" selected>`, `value="none"`, "It matches", ".semaphore/release.yml")
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(text)
	if token == nil {
		t.Fatal("the form has no token")
	}
	form := url.Values{"token": {token[1]}, "kind": {"BRANCH"}, "reference": {"next"}, "pipeline_file": {"other.yml"}, "p.VERSION": {"2.0"}, "p.WHERE": {"production"}, "p.NOTE": {"a\r\nb"}, "p.ELSE": {"x"}}
	if status, h, _ := s.do("POST", at, form); status != 303 || h.Get("Location") != "/workflows/the-workflow" {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	if want := "run " + s.release.ID + " on refs/heads/next other.yml with map[NOTE:a\nb VERSION:2.0 WHERE:production] by ana"; len(s.stops) != 1 || s.stops[0] != want {
		t.Errorf("%q", s.stops)
	}

	// What is wrong stands at its field, what was typed stays, and nothing runs.
	form["p.VERSION"], form["p.WHERE"], form["p.NOTE"], form["kind"] = []string{`<b>"`}, []string{"moon"}, []string{"kept"}, []string{"PLANET"}
	status, _, text := s.do("POST", at, form)
	checkPage(t, text)
	for _, want := range []string{"Parameter &#39;VERSION&#39; value does not match required format.", "Parameter &#39;WHERE&#39; value is not one of its options", "Reference type must be", `value="&lt;b&gt;&#34;"`, `value="kept"`, `value="next"`, `value="other.yml"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the form does not say %q", want)
		}
	}
	if status != 422 || len(s.stops) != 1 || strings.Contains(text, token[1]) {
		t.Errorf("%d, %q", status, s.stops)
	}
	if status, _, text := s.do("POST", at, url.Values{"p.VERSION": {" "}}); status != 422 || !strings.Contains(text, "Parameter &#39;VERSION&#39; is required.") {
		t.Errorf("%d", status)
	}

	// A run that could not start is shown with its reason; what the runner refuses without a run, in the form.
	good := url.Values{"p.VERSION": {"2.0"}}
	s.fail, s.failedRun = signalbox.Errorf(signalbox.CodeInvalid, "Tag 'v9' does not exist in the repository"), &signalbox.TaskRun{ID: "the-run"}
	if status, h, _ := s.do("POST", at, good); status != 303 || h.Get("Location") != s.taskURL(s.release)+"?run=the-run" {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	s.failedRun = nil
	if status, _, text := s.do("POST", at, good); status != 422 || !strings.Contains(text, "Tag &#39;v9&#39; does not exist") || !strings.Contains(text, `value="2.0"`) {
		t.Errorf("%d", status)
	}
	s.fail = errBroken
	if status, _, text := s.do("POST", at, good); status != 500 || strings.Contains(text, "secret detail") {
		t.Errorf("%d", status)
	}
}

// A reader elsewhere sees times in UTC and in their own zone, also after the page has brought itself up to date.
func TestBrowserTaskTimes(t *testing.T) {
	ctx := browse.Start(t)
	s := newBusySite(t)
	s.fillTasks()
	problems := browse.Listen(t, ctx)
	if _, err := chromedp.Call(ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"}); err != nil {
		t.Fatal(err)
	}
	local := chromedp.Poll[chromedp.Void](`(() => { const el = document.querySelector("#tasks [data-local]"); return el.previousElementSibling.textContent === "24 Nov 2026, 01:30 UTC" && /10:30.*your time/.test(el.textContent); })()`)
	browse.Do(t, ctx, chromedp.Navigate(s.url+"/projects/parcel-api/schedulers"), chromedp.WaitReady("#tasks"), local)
	s.write(func(tx *store.Tx) error {
		_, err := schedule.Update(tx, s.release.ID, "mei", "user:mei", func(k *signalbox.Task) error { k.Description = "brought up to date"; return nil })
		return err
	})
	browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector("#tasks").textContent.includes("brought up to date")`), local)
	for _, p := range problems() {
		t.Errorf("the browser complains: %s", p)
	}
}
