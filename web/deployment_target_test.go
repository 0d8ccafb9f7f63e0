package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func (s *site) harbour(p *signalbox.Project, ppl *signalbox.Pipeline) {
	s.t.Helper()
	s.mei = &signalbox.User{Name: "mei", Role: signalbox.RoleMember}
	s.write(func(tx *store.Tx) error { return tx.CreateUser(s.mei) })
	s.scene.Targets(p, ppl, s.mei)
}

func TestDeploymentPages(t *testing.T) {
	s := newBusySite(t)
	s.harbour(s.project, s.pipeline)
	page := func(path string, want ...string) string {
		t.Helper()
		status, text := s.get(path)
		if status != 200 {
			t.Fatalf("%s: %d", path, status)
		}
		checkPage(t, text)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q", path, w)
			}
		}
		return text
	}
	const base = "/projects/parcel-api/deployments"
	page("/projects/parcel-api", `href="/projects/parcel-api/deployments"`)
	text := page(base, "What &lt;b&gt;customers&lt;/b&gt; see", "https://parcels.example.com", "mei<br>role admin<br>automatic promotions", "branch main<br>tag that matches ^v[0-9]&#43;",
		"Usable", "Cordoned", "everybody", "all branches<br>all tags<br>all pull requests", "nobody", "nowhere", "none yet", "automatic promotion", "Ship &lt;it&gt;")
	for _, manage := range []string{"/cordon", "/edit", "/new", "deployment-target create"} {
		if strings.Contains(text, manage) {
			t.Errorf("a member is offered %s", manage)
		}
	}
	page("/projects/tariff-engine/deployments", "No deployment targets yet")
	page(base+"/vault", "No deployments yet")
	for _, path := range []string{"/projects/none/deployments", base + "/none"} {
		if status, _ := s.get(path); status != 404 {
			t.Errorf("%s answers %d", path, status)
		}
	}

	text = page(base+"/production", "Refused", "subject not allowed (error ID:", "Started", `rel="next"`, `name="b1"`, "VERSION=1.", "promoted from")
	if strings.Contains(text, `rel="prev"`) || strings.Count(text, "<tr>") != 11 {
		t.Errorf("the first page has %d rows or something newer", strings.Count(text, "<tr>")-1)
	}
	link := func(text, rel string) string {
		t.Helper()
		before, _, ok := strings.Cut(text, `" rel="`+rel+`"`)
		if !ok {
			t.Fatalf("there is no page %q", rel)
		}
		return strings.ReplaceAll(before[strings.LastIndex(before, `"`)+1:], "&amp;", "&")
	}
	second := page(base+"/production"+link(text, "next"), `rel="prev"`, `rel="next"`)
	third := page(base + "/production" + link(second, "next"))
	if strings.Count(third, "<tr>") != 4 || strings.Contains(third, `rel="next"`) {
		t.Errorf("the last page has %d rows or something older", strings.Count(third, "<tr>")-1)
	}
	if again := page(base + "/production" + link(third, "prev")); inMain(again) != inMain(second) {
		t.Error("back from the last page is not the page before it")
	}
	if again := page(base + "/production" + link(second, "prev")); strings.Contains(again, `rel="prev"`) || !strings.Contains(again, "subject not allowed") {
		t.Error("back is not the first page")
	}
	for query, want := range map[string]int{"?by=bob": 1, "?ref=tag": 1, "?label=v1&ref=tag": 1, "?b1=1.00": 1, "?label=none": 0, "?ref=odd&before=x": 10} {
		if n := strings.Count(page(base+"/production"+query), "<tr>") - 1; max(n, 0) != want {
			t.Errorf("%s has %d rows, want %d", query, n, want)
		}
	}
	page(base+"/production?label=none", "Nothing like that", "Show all")
	// Links change one filter and keep the others; the form keeps what the links have chosen.
	page(base+"/production?by=bob&ref=branch&label=main&before=5", `href="`+base+`/production?by=bob&amp;label=main&amp;ref=tag">Tags`, `href="`+base+`/production?by=bob&amp;label=main">Everything`,
		`aria-current="true">Branches`, `href="`+base+`/production?by=ana&amp;label=main&amp;ref=branch">Mine`, `href="`+base+`/production?label=main&amp;ref=branch">Everyone`, `name="ref" value="branch"`)
	page(base+"/production?by=ana", `aria-current="true">Mine`, `aria-current="true">Everything`)
}

func TestCordonOnThePage(t *testing.T) {
	s := newBusySite(t)
	s.harbour(s.project, s.pipeline)
	const base = "/projects/parcel-api/deployments/"
	if status, _, _ := s.do("POST", base+"staging/cordon", url.Values{"cordoned": {"true"}}); status != 403 {
		t.Errorf("a member cordons: %d", status)
	}
	s.as(signalbox.RoleAdmin)
	if _, text := s.get("/projects/parcel-api/deployments"); !strings.Contains(text, base+"staging/cordon") || !strings.Contains(text, "Uncordon") {
		t.Error("an administrator is not offered to cordon")
	}
	var id string
	s.write(func(tx *store.Tx) error {
		d, err := tx.FindDeploymentTarget(s.project.ID, "staging")
		id = d.ID
		return err
	})
	s.stops = nil
	for _, cordoned := range []string{"true", "false"} {
		if status, h, _ := s.do("POST", base+"staging/cordon", url.Values{"cordoned": {cordoned}}); status != 303 || h.Get("Location") != base+"staging" {
			t.Errorf("%d to %q", status, h.Get("Location"))
		}
	}
	if got := strings.Join(s.stops, "|"); got != "cordon "+id+" true by ana as user:ana|cordon "+id+" false by ana as user:ana" {
		t.Error(got)
	}
	// From the list back to the list; and as the hosted product's pages ask.
	s.stops = nil
	if _, h, _ := s.do("POST", base+"staging/cordon", url.Values{"cordoned": {"true"}, "back": {"list"}}); h.Get("Location") != "/projects/parcel-api/deployments" {
		t.Errorf("to %q", h.Get("Location"))
	}
	for state, want := range map[string]int{"on": 303, "off": 303, "maybe": 404} {
		if status, _, _ := s.do("PUT", base+"staging/cordon/"+state, nil); status != want {
			t.Errorf("%s: %d", state, status)
		}
	}
	if len(s.stops) != 3 {
		t.Errorf("%q", s.stops)
	}
	if status, _, _ := s.do("POST", base+"none/cordon", url.Values{"cordoned": {"true"}}); status != 404 {
		t.Errorf("a target that there is not: %d", status)
	}
	if status, _, _ := s.do("POST", base+"staging/cordon", url.Values{}); status != 400 {
		t.Errorf("a form that does not say what to do: %d", status)
	}
}

func TestAPromotionThroughATargetOnThePage(t *testing.T) {
	s := newSite(t)
	project := s.project("train")
	wf := s.workflow(project, "main", "a change")
	p := s.pipeline(wf, signalbox.Pipeline{State: signalbox.PipelineDone, Result: signalbox.ResultPassed, Plan: &signalbox.Plan{
		Blocks: []signalbox.PlanBlock{}, Promotions: []signalbox.PlanPromotion{
			{Name: "P", File: "p.yml", Target: "production"}, {Name: "S", File: "s.yml", Target: "staging"}, {Name: "V", File: "v.yml", Target: "vault"}, {Name: "G", File: "g.yml", Target: "gone"},
		},
	}})
	s.harbour(project, p)
	page := func(want ...string) string {
		t.Helper()
		_, text := s.get("/workflows/" + wf.ID)
		checkPage(t, text)
		for _, w := range append(want, "deploys to production", `href="/projects/train/deployments/staging"`) {
			if !strings.Contains(text, w) {
				t.Errorf("the page lacks %q", w)
			}
		}
		return text
	}
	if text := page("You are not among those who may deploy to production.", "staging is cordoned: nobody may deploy there for now.",
		"Nothing may be deployed to vault from main.", "The project has no deployment target gone any more."); strings.Contains(text, "Promote…") {
		t.Error("somebody whom every target refuses is offered to promote")
	}
	// What is there already: the last one that was started, not one that was refused.
	page("There now:", "a change</a> by automatic promotion", "That is this commit")
	s.as(signalbox.RoleAdmin)
	if text := page(); strings.Count(text, "Promote…") != 1 || strings.Contains(text, "may deploy to production.") {
		t.Error("an administrator may promote to production, and the page does not offer it, or offers more")
	}
}

// What is there, and how far its branch has gone on, as far as this machine knows.
func TestWhatATargetLacks(t *testing.T) {
	s := newBusySite(t)
	s.harbour(s.project, s.pipeline)
	const at = "/projects/parcel-api/deployments/production"
	for n, says := range map[int]string{0: "Nothing has come to main since then.", 1: "1\u00a0commit has come to main", 7: "7\u00a0commits have come to main", 101: "More than 100\u00a0commits have come"} {
		s.ahead = n
		s.page(at, "There now:", "by automatic promotion", s.workflow.CommitSHA[:7], says)
	}
	if want := "parcel-api " + s.workflow.CommitSHA + " main 101"; s.asked != want {
		t.Errorf("it asks for %q, not %q", s.asked, want)
	}
	s.fail = errBroken
	if text := s.page(at, "cannot be read just now"); strings.Contains(text, errBroken.Error()) {
		t.Error("an internal error is shown")
	}
	s.fail = signalbox.Errorf(signalbox.CodeNotFound, "no such branch")
	if text := s.page(at, "There now:"); strings.Contains(text, "since then") {
		t.Error("it says what it does not know")
	}
	if text := s.page("/projects/parcel-api/deployments/staging"); strings.Contains(text, "There now") {
		t.Error("something is where nothing was deployed")
	}
}

// inMain is what a page holds without the bar around it.
func inMain(page string) string {
	_, text, _ := strings.Cut(page, "<main")
	return text
}
