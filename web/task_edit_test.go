package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

func taskFields() url.Values {
	return url.Values{
		"step": {"save"}, "task_name": {"hourly"}, "description": {"often"}, "kind": {"TAG"}, "reference": {"v1"}, "pipeline_file": {"p.yml"}, "recurring": {"yes"}, "at": {"@hourly"},
		"time_zone": {"Asia/Tokyo"}, "overlap": {"skip"}, "catch_up": {"skip"}, "rows": {"3"}, "row.0.name": {"LEVEL"}, "row.0.required": {"yes"}, "row.0.default": {"1"}, "row.0.options": {"1\r\n\r\n 2 "},
		"row.0.description": {"how much"}, "row.0.format": {"^[0-9]$"}, "row.0.check": {"yes"}, "row.2.name": {"NOTE"},
	}
}

func TestMakeATask(t *testing.T) {
	s := newBusySite(t)
	const base = "/projects/parcel-api/schedulers"
	s.page(base+"/new", `action="`+base+`"`, `value="main"`, signalbox.DefaultPipelineFile, `name="row.0.name"`, "Add a parameter", "Create the task")
	status, h, text := s.do("POST", base, taskFields())
	if status != 303 || !strings.HasPrefix(h.Get("Location"), base+"/") {
		t.Fatalf("%d to %q: %.2000s", status, h.Get("Location"), inMain(text))
	}
	var k *signalbox.Task
	s.write(func(tx *store.Tx) error {
		all, err := tx.TasksAfter(s.project.ID, "", 10)
		k = all[0]
		return err
	})
	want := []signalbox.TaskParameter{{Name: "LEVEL", Required: true, Default: "1", Options: []string{"1", "2"}, Description: "how much", Validate: true, Pattern: "^[0-9]$"}, {Name: "NOTE"}}
	if d := cmp.Diff(want, k.Parameters); d != "" || k.Name != "hourly" || k.Description != "often" || k.Ref != "refs/tags/v1" || k.PipelineFile != "p.yml" || !k.Recurring || k.At != "@hourly" ||
		k.TimeZone != "Asia/Tokyo" || k.Overlap != signalbox.OverlapSkip || k.CatchUp != signalbox.CatchUpSkip || k.Owner != "ana" || k.NextRunAt.IsZero() || base+"/"+k.ID != h.Get("Location") {
		t.Errorf("%+v %s", k, d)
	}
	if status, _, text := s.do("POST", base, taskFields()); status != http.StatusConflict || !strings.Contains(text, "the project has a task named &#34;hourly&#34; already") || !strings.Contains(text, "how much") {
		t.Errorf("a name that is taken: %d", status)
	}
	// Without a time only people start it, and they may have to say the rest.
	if status, _, _ := s.do("POST", base, url.Values{"task_name": {"by hand"}, "recurring": {"no"}}); status != 303 {
		t.Errorf("a task without a time: %d", status)
	}
}

// All that is wrong is said, each at its field, and what was typed stays.
func TestATaskThatIsNotRight(t *testing.T) {
	s := newBusySite(t)
	s.fillTasks()
	form := url.Values{
		"task_name": {"  "}, "description": {strings.Repeat("<x>", 4000)}, "kind": {"BRANCH"}, "reference": {"a b"}, "pipeline_file": {""}, "recurring": {"yes"}, "at": {"0 25 * * <b>"}, "time_zone": {"<Mars>"},
		"rows": {"4"}, "row.1.name": {"A=<b>"}, "row.1.options": {"kept <option>"}, "row.2.default": {"x"}, "row.2.format": {"["}, "row.3.name": {"D"}, "row.3.default": {"x"}, "row.3.format": {"^[0-9]+$"}, "row.3.check": {"yes"},
	}
	for _, path := range []string{"/projects/parcel-api/schedulers", s.taskURL(s.nightly)} {
		status, _, text := s.do("POST", path, form)
		if status != 422 {
			t.Fatalf("%s: %d", path, status)
		}
		checkPage(t, text)
		for id, want := range map[string]string{
			"name": "a task needs a name", "description": "at most 10000 are allowed", "reference": "is none; write a branch name", "file": "needs a pipeline_file", "at": "the hour",
			"zone": "is not known; write the IANA name", "row-1-name": "no variable has such a name", "row-2-name": "has no name", "row-2-format": "cannot be read", "row-3-default": "default value does not match",
		} {
			_, at, ok := strings.Cut(text, `id="`+id+`-problem">`)
			at, _, _ = strings.Cut(at, "</div>")
			if !ok || !strings.Contains(at, want) {
				t.Errorf("%s: at %s it says %q, want %q", path, id, at, want)
			}
		}
		for _, kept := range []string{"0 25 * * &lt;b&gt;", "&lt;Mars&gt;", "A=&lt;b&gt;", "kept &lt;option&gt;", `value="a b"`, "&lt;x&gt;&lt;x&gt;"} {
			if !strings.Contains(text, kept) {
				t.Errorf("%s: %q is gone", path, kept)
			}
		}
	}
	if status, _, text := s.do("POST", "/projects/parcel-api/schedulers", url.Values{"task_name": {"x"}, "reference": {"main"}, "pipeline_file": {"p"}, "at": {"0 0 31 2 *"}}); status != 422 || !strings.Contains(text, "never happens") {
		t.Errorf("a time that never comes: %d", status)
	}
	many := url.Values{"task_name": {"x"}, "rows": {"1000000000"}}
	if status, _, _ := s.do("POST", "/projects/parcel-api/schedulers", many); status != 422 {
		t.Errorf("more rows than there are: %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/none/schedulers", url.Values{}); status != 404 {
		t.Errorf("a project that there is not: %d", status)
	}
	if status, _, _ := s.do("POST", "/projects/parcel-api/schedulers", url.Values{"description": {strings.Repeat("x", maxTaskForm)}}); status != 400 {
		t.Errorf("a form without an end: %d", status)
	}
}

func TestChangeATask(t *testing.T) {
	s := newBusySite(t)
	s.fillTasks()
	at := s.taskURL(s.release)
	text := s.page(at+"/edit", "Change Release", `value="VERSION"`, "staging\nproduction", "What to &lt;i&gt;ship", `<option value="TAG" selected>`, `name="recurring" value="no" checked`, `name="row.0.check" value="yes" checked`, ">Save<")
	_, seen, _ := strings.Cut(text, `name="seen" value="`)
	seen, _, _ = strings.Cut(seen, `"`)
	s.page(s.taskURL(s.nightly)+"/edit", "It runs <b>at 2:30 from Monday to Friday</b> (Europe/Berlin)", "Tue 24 Nov 2026, 02:30 CET")

	copied := s.page("/projects/parcel-api/schedulers/new?from="+s.release.ID, `value="Copy of Release"`, "staging\nproduction", "Create the task")
	if strings.Contains(copied, `name="seen"`) {
		t.Error("the copy would change the task itself")
	}
	for _, path := range []string{"/projects/tariff-engine/schedulers/new?from=" + s.release.ID, "/projects/parcel-api/schedulers/new?from=none"} {
		if status, _ := s.get(path); status != 404 {
			t.Errorf("%s answers %d", path, status)
		}
	}
	form := taskFields()
	form.Set("seen", seen)
	// Somebody else was faster: nothing is lost without their word.
	s.pass(time.Second)
	s.write(func(tx *store.Tx) error {
		_, err := schedule.Update(tx, s.release.ID, "mei", "user:mei", func(k *signalbox.Task) error { k.Description = "mei's"; return nil })
		return err
	})
	status, _, text := s.do("POST", at, form)
	if status != 409 || !strings.Contains(text, "Somebody has changed this task meanwhile") || !strings.Contains(text, "how much") {
		t.Errorf("%d", status)
	}
	_, seen, _ = strings.Cut(text, `name="seen" value="`)
	seen, _, _ = strings.Cut(seen, `"`)
	form.Set("seen", seen)
	if status, h, _ := s.do("POST", at, form); status != 303 || h.Get("Location") != at {
		t.Errorf("%d to %q", status, h.Get("Location"))
	}
	var k *signalbox.Task
	s.write(func(tx *store.Tx) (err error) { k, err = tx.Task(s.release.ID); return err })
	if k.Name != "hourly" || k.Owner != "mei" || k.At != "@hourly" || len(k.Parameters) != 2 || k.NextRunAt.IsZero() {
		t.Errorf("%+v", k)
	}
	form.Set("seen", seenOf(k))
	form.Set("task_name", "Weekly clean-up")
	if status, _, text := s.do("POST", at, form); status != 409 || !strings.Contains(text, "choose another name") {
		t.Errorf("a name that is taken: %d", status)
	}
}

// Buttons that do not save: rows come and go, and the time is looked at, also without scripts.
func TestStepsOfTheTaskForm(t *testing.T) {
	s := newBusySite(t)
	const base = "/projects/parcel-api/schedulers"
	ask := func(key, value string, want ...string) string {
		t.Helper()
		form := taskFields()
		form.Del("step")
		form.Set(key, value)
		status, _, text := s.do("POST", base, form)
		if status != 200 {
			t.Fatalf("%s=%s: %d", key, value, status)
		}
		checkPage(t, text)
		for _, w := range append(want, `value="hourly"`, "It runs <b>every hour</b> (Asia/Tokyo)", "23 Nov 2026, 15:00 UTC", "Tue 24 Nov 2026, 00:00 JST") {
			if !strings.Contains(text, w) {
				t.Errorf("%s=%s lacks %q", key, value, w)
			}
		}
		return text
	}
	ask("step", "check", `name="row.2.name"`)
	ask("step", "add", `name="row.3.name"`, `name="rows" value="4"`, `id="row-3-name" name="row.3.name" value="" maxlength="255" spellcheck="false" autocapitalize="off" autocomplete="off" aria-describedby="row-3-name-problem" autofocus`)
	if text := ask("remove", "0", `name="rows" value="2"`, `name="row.1.name" value="NOTE"`); strings.Contains(text, "LEVEL") {
		t.Error("a parameter that was removed is there")
	}
	s.write(func(tx *store.Tx) error {
		if all, err := tx.TasksAfter(s.project.ID, "", 10); err != nil || len(all) > 0 {
			t.Errorf("looking made %d tasks, %v", len(all), err)
		}
		return nil
	})
	if status, text := s.get(base + "/expression?at=" + url.QueryEscape("30 2 * * *") + "&time_zone=Europe/Berlin"); status != 200 || strings.Count(text, "<li>") != 5 || !strings.Contains(text, "every day at 2:30") || strings.Contains(text, "<html") {
		t.Errorf("%d %s", status, text)
	}
	for _, q := range []string{"", "?at=<script>", "?at=@daily&time_zone=../etc", "?at=0+0+31+2+*"} {
		if status, text := s.get(base + "/expression" + strings.ReplaceAll(q, "<", "%3C")); status != 200 || !strings.Contains(text, `class="err"`) || strings.Contains(text, "<script") {
			t.Errorf("%s: %d %s", q, status, text)
		}
	}
}
