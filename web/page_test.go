package web

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

var (
	script     = regexp.MustCompile(`<script[^>]*>`)
	ownScript  = regexp.MustCompile(`<script type="module" src="/assets/[a-z0-9/.]+"></script>`)
	styleAttr  = regexp.MustCompile(`(?i)<[a-z]+(?:\s+[a-z-]+(?:="[^"]*")?)*\s+(?:style|on[a-z]+)\s*=`)
	heading    = regexp.MustCompile(`<h1[ >]`)
	title      = regexp.MustCompile(`<title>[^<]+ · Signalbox</title>`)
	remote     = regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`)
	rawControl = regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
	idAttr     = regexp.MustCompile(` id="([^"]+)"`)
)

// checkPage asks of a page what is asked of every page.
func checkPage(t testing.TB, text string) {
	t.Helper()
	if !title.MatchString(text) {
		t.Error("the page has no title")
	}
	if n := len(heading.FindAllString(text, -1)); n != 1 {
		t.Errorf("the page has %d first headings", n)
	}
	if !strings.Contains(text, `<html lang="en">`) {
		t.Error("the page does not say its language")
	}
	for what, re := range map[string]*regexp.Regexp{
		"a style or handler attribute": styleAttr, "an address of another server": remote, "a control character": rawControl,
	} {
		if m := re.FindString(text); m != "" {
			t.Errorf("the page holds %s: %q", what, m)
		}
	}
	if all, own := len(script.FindAllString(text, -1)), len(ownScript.FindAllString(text, -1)); all != own {
		t.Errorf("%d of %d scripts are not files of ours", all-own, all)
	}
	if strings.Contains(text, "<style") || strings.Contains(text, "ZgotmplZ") {
		t.Error("the page holds an inline style or something the templates refused")
	}
	seen := map[string]bool{}
	for _, m := range idAttr.FindAllStringSubmatch(text, -1) {
		if seen[m[1]] {
			t.Errorf("two elements have the id %q", m[1])
		}
		seen[m[1]] = true
	}
}

func TestPages(t *testing.T) {
	s := newBusySite(t)
	tests := []struct {
		path   string
		status int
		want   []string
	}{
		{"/", 200, []string{"parcel-api", "Limit label requests per customer", "Contract tests › Consumer", "1 job failed", "1 infrastructure failure", "Stopped by mei", "1\u00a0job waits for an agent of s1-linux"}},
		{"/projects", 200, []string{"parcel-api", "tariff-engine", "No workflow yet", "Limit label requests per customer", "Stopped"}},
		{"/projects/parcel-api", 200, []string{"rate-limit-v2", "the pipeline file is not right", "Pull requests"}},
		{"/projects/tariff-engine", 200, []string{"No workflows yet"}},
		{"/projects/none", 404, []string{"There is no such project, or you may not see it", "request-1"}},
		{"/activity", 200, []string{"Upgrade path", "parcel-api · rate-limit-v2 · Integration", "Number 1 of 1 in line", "PostgreSQL", "/stop", "data-topics=\"queue workflows agents\""}},
		{"/activity?q=upgrade&type=s1-linux&project=parcel-api", 200, []string{"Upgrade path", "Clear filters"}},
		{"/activity?q=nothing+like+it", 200, []string{"Nothing matches"}},
		{"/activity?tab=pipelines", 200, []string{"Build and test", "15 of 17"}},
		{"/activity?tab=queue", 200, []string{"s1-linux", "Oldest wait", "Upgrade path"}},
		{"/activity?tab=what", 200, []string{"Upgrade path"}},
		{"/search", 200, []string{"Search"}},
		{"/search?q=PARCEL", 200, []string{"/projects/parcel-api", "Project"}},
		{"/search?q=limit+label", 200, []string{"Limit label requests per customer"}},
		{"/search?q=s1-", 200, []string{"/agents/self_hosted/s1-linux", "Agent type"}},
		{"/search?q=" + s.failed.ID, 200, []string{"/jobs/" + s.failed.ID, "Consumer"}},
		{"/search?q=nothing+like+it", 200, []string{"Nothing matches"}},
		{"/search?q=" + strings.Repeat("x", 201), 400, []string{"at most 200 characters"}},
		{"/workflows/" + s.workflow.ID + "?view=timeline", 200, []string{"On the critical path", "Slowest job", "class=\"t-run is-failed\""}},
		{"/workflows/" + s.workflow.ID + "?view=list", 200, []string{"Skipped: its condition did not hold", "Needs Integration"}},
		{"/workflows/" + s.workflow.ID + "?view=yaml", 200, []string{"The pipeline file"}},
		{"/workflows/" + s.workflow.ID + "?view=what", 200, []string{"Block graph"}},
		{"/agents", 200, []string{"build-03", "s1-mac", "No agent is connected", "1\u00a0job waits"}},
		{"/workflows/" + s.workflow.ID, 200, []string{
			"<svg width=", "Docs site", "Needs Integration", "Waits for an agent of s1-linux", "Skipped: its condition did not hold", "Infrastructure failure",
			"15 of 17", "/stop", "The same as a list", "The limiter keeps its counts", `data-topics="workflow:` + s.workflow.ID + `"`,
		}},
		{"/workflows/" + s.workflow.ID + "?pipeline_id=" + s.pipeline.ID, 200, []string{"Build and test"}},
		{"/workflows/" + s.workflow.ID + "?pipeline_id=" + signalbox.NewID(), 404, []string{"There is no such pipeline"}},
		{"/workflows/" + s.malformed.ID, 200, []string{
			".semaphore/semaphore.yml:12:5: job &#34;Unit&#34; has no commands", ".semaphore/semaphore.yml:20:9: ", "The pipeline file is not right",
		}},
		{"/workflows/" + s.stopped.ID, 200, []string{"Stopped by mei"}},
		{"/workflows/" + s.preparing.ID, 200, []string{"Preparing pipeline", "The pipeline file is being read"}},
		{"/workflows/none", 404, []string{"There is no such workflow, or you may not see it"}},
		{"/jobs/" + s.failed.ID, 200, []string{
			"<code>make contract-consumer</code> exited with 2", `id="L1"`, "exit 2", "term-fg31", `term-fgx34`, "1 more line", "This command printed nothing", "0:58", "build-04",
			"plain_logs.txt?attempt=1", "Go to line 13", "Copy as Markdown", "&amp;line=13#L13", "History",
		}},
		{"/jobs/" + s.running.ID, 200, []string{"make integration", "running labels", "42 s without output", "data-log", `data-api="/ui/jobs/`, "Stop this job?"}},
		{"/jobs/" + s.queued.ID, 200, []string{"No log yet", "Position", "1 of 1", "3 free", "An agent of type s1-linux is free; the job is about to be offered"}},
		{"/jobs/" + s.lost.ID, 200, []string{"Infrastructure failure: your code is not the cause", "Attempts", "Not fetched, went back", "cut off"}},
		{"/jobs/" + s.lost.ID + "?attempt=1", 200, []string{"The agent sent no log"}},
		{"/jobs/" + s.lost.ID + "?attempt=7", 404, []string{"There is no such attempt"}},
		{"/jobs/none", 404, []string{"There is no such job, or you may not see it"}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.path, "/", " "), func(t *testing.T) {
			status, text := s.get(tt.path)
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			checkPage(t, text)
			for _, want := range tt.want {
				ok := false
				for _, w := range strings.Split(want, "|") {
					ok = ok || strings.Contains(text, w)
				}
				if !ok {
					t.Errorf("the page does not say %q", want)
				}
			}
			if t.Failed() && testing.Verbose() {
				t.Log(text)
			}
		})
	}
}

func TestEmptyPages(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{
		"/": "No projects yet", "/?dashboard=needs-attention": "No projects yet", "/projects": "No projects yet", "/projects?q=x": "Nothing matches", "/agents": "No agent types yet", "/activity": "Nothing is running", "/activity?tab=pipelines": "Nothing is running",
		"/activity?tab=queue": "Nothing is running", "/search": "Search",
	} {
		status, text := s.get(path)
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: status %d, does not say %q", path, status, want)
		}
		checkPage(t, text)
	}
	p := s.project("bare")
	wf := s.workflow(p, "main", "")
	status, text := s.get("/workflows/" + wf.ID)
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, "No commit message") || !strings.Contains(text, "No pipeline yet") {
		t.Errorf("status %d, a workflow without pipelines does not say so", status)
	}
}

var hostile = scene.Hostile

func TestHostileText(t *testing.T) {
	s := newSite(t)
	typ := s.agentType("s1-linux")
	a := s.agent(typ, "build-01")
	s.write(func(tx *store.Tx) error {
		return tx.CreateAgent(&signalbox.Agent{
			AgentTypeID: typ.ID, Name: hostile, State: signalbox.AgentRegistered, Version: hostile, OS: hostile, Arch: hostile, Hostname: hostile, IP: hostile,
		}, "h")
	})
	p := s.project("evil")
	wf := s.workflow(p, hostile, hostile)
	ppl := s.site2(wf)
	b := s.block(ppl, signalbox.Block{Name: hostile, State: signalbox.BlockRunning, RunningAt: s.now(), ErrorDescription: hostile})
	queued := s.job(ppl, b, signalbox.Job{Name: hostile, Index: 1, State: signalbox.JobQueued, AgentType: hostile})
	j := s.job(ppl, b, signalbox.Job{Name: hostile, State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest, FailureReason: hostile, StartedAt: s.now(), FinishedAt: s.now()})
	at := s.attempt(j, a, signalbox.Attempt{State: signalbox.AttemptEnded, Result: signalbox.JobFailed})
	s.write(func(tx *store.Tx) error { return tx.Record("job", j.ID, hostile, hostile, hostile) })
	s.push(at, 0, command(1, hostile, hostile+"\n"+"\x1b[31;58;99999mred\x1b[99999999999C\x1b[999A\x1b[2J"+hostile+"\r"+hostile, 1, 1)...)
	s.closeLog(at)

	for _, path := range []string{
		"/", "/activity", "/activity?tab=pipelines", "/activity?tab=queue", "/activity?q=" + url.QueryEscape(hostile[:300]), "/search?q=" + url.QueryEscape(hostile[:190]),
		"/search?q=evil", "/search?q=script", "/workflows/" + wf.ID + "?view=timeline", "/workflows/" + wf.ID + "?view=list", "/workflows/" + wf.ID + "?view=yaml",
		"/projects", "/projects?q=" + url.QueryEscape(hostile[:190]), "/projects/evil", "/projects/evil/branches", "/projects/evil/tags", branchURL(wf), branchURL(wf) + "?from=" + url.QueryEscape(hostile[:300]),
		"/?project=" + url.QueryEscape(hostile[:300]), "/?author=" + url.QueryEscape(hostile[:300]), "/?dashboard=needs-attention", "/agents", "/workflows/" + wf.ID, "/jobs/" + j.ID, "/jobs/" + queued.ID,
		"/jobs/" + url.PathEscape(hostile[:300]), "/projects/" + url.PathEscape(hostile[:300]), "/workflows/" + wf.ID + "?pipeline_id=" + url.QueryEscape(hostile[:300]),
	} {
		_, text := s.get(path)
		checkPage(t, text)
		for _, bad := range []string{"<script>", "<img", "href=\"javascript:", "evil.example/x.png\"", "</textarea>"} {
			if strings.Contains(text, bad) {
				t.Errorf("%.40s: %q is in the page unescaped", path, bad)
			}
		}
		if len(text) > 600_000 {
			t.Errorf("%.40s: the page has %d bytes", path, len(text))
		}
	}
	if _, text := s.get("/search?part=list&q=script"); !strings.HasPrefix(text, "<ul") || strings.Contains(text, "<script>") {
		t.Errorf("the list of the jump-to box is %.200s", text)
	}
	// Whoever signs in gets the same text back.
	s.as("")
	_, _, text := s.do("POST", "/login", url.Values{"name": {hostile}, "password": {"x"}, "next": {"//evil.example/"}})
	checkPage(t, text)
	if strings.Contains(text, "<script>") || strings.Contains(text, "evil.example/\"") {
		t.Error("the sign-in page holds hostile text unescaped")
	}
}

// site2 stores a pipeline with hostile words.
func (s *site) site2(wf *signalbox.Workflow) *signalbox.Pipeline {
	return s.pipeline(wf, signalbox.Pipeline{
		Name: hostile, File: hostile, State: signalbox.PipelineRunning, RunningAt: s.now(), ErrorDescription: hostile, TerminatedBy: hostile,
	})
}

func TestLargePages(t *testing.T) {
	s := newSite(t)
	p := s.project("large")
	for i := range 65 {
		s.workflow(p, "main", fmt.Sprintf("Commit %d", i))
		s.pass(time.Second)
	}
	status, text := s.get("/projects/large")
	if status != 200 || !strings.Contains(text, "Older") || strings.Contains(text, "Newer") {
		t.Errorf("status %d; the first page of workflows has the wrong ways on", status)
	}

	wf := s.workflow(p, strings.Repeat("branch-", 12), strings.Repeat("long title ", 20))
	ppl := s.pipeline(wf, signalbox.Pipeline{Name: "Many", State: signalbox.PipelineRunning, RunningAt: s.now()})
	for i := range 30 {
		var deps []int
		for d := max(0, i-3); d < i; d++ {
			deps = append(deps, d)
		}
		b := s.block(ppl, signalbox.Block{Index: i, Name: fmt.Sprintf("Block number %d with a long name", i), Dependencies: deps, State: signalbox.BlockRunning, RunningAt: s.now()})
		if i > 2 {
			continue
		}
		for k := range 40 {
			s.job(ppl, b, signalbox.Job{Index: k, Name: fmt.Sprintf("Job %d", k), State: signalbox.JobQueued})
		}
	}
	status, text = s.get("/workflows/" + wf.ID)
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, "and 29\u00a0more jobs") {
		t.Errorf("status %d; a block of 40 jobs is not cut in the graph", status)
	}
}

func TestLargeLog(t *testing.T) {
	s := newSite(t)
	a := s.agent(s.agentType("s1-linux"), "build-01")
	wf := s.workflow(s.project("large"), "main", "x")
	ppl := s.pipeline(wf, signalbox.Pipeline{State: signalbox.PipelineRunning})
	b := s.block(ppl, signalbox.Block{Name: "B", State: signalbox.BlockRunning})
	j := s.job(ppl, b, signalbox.Job{Name: "J", State: signalbox.JobRunning, StartedAt: s.now()})
	at := s.attempt(j, a, signalbox.Attempt{State: signalbox.AttemptRunning})
	const lines = 100_000
	next := s.push(at, 0, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: 1, Directive: "seq"})
	for i := 0; i < lines; i += 1000 {
		var out strings.Builder
		for k := range 1000 {
			fmt.Fprintf(&out, "\x1b[32mline %d\x1b[0m\n", i+k+1)
		}
		next = s.push(at, next, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: 2, Output: out.String()})
	}
	_, text := s.get("/jobs/" + j.ID)
	if n := strings.Count(text, `class="ln"`); n != pageLines {
		t.Errorf("the page holds %d lines, want %d", n, pageLines)
	}
	for _, want := range []string{"Lines 2 to 99801 are not on this page", "line=99702#L99702", "line 100000<", "100,001\u00a0lines", "g6"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	_, text = s.get("/jobs/" + j.ID + "?line=50000")
	for _, want := range []string{`id="L50000"`, `id="L49900"`, `id="L50099"`, "Lines 2 to 49899", "Lines 50100 to 100001", "Older lines", "Newer lines"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page around a line does not say %q", want)
		}
	}
	checkPage(t, text)
	_, text = s.get("/jobs/" + j.ID + "/plain_logs.txt")
	if n := strings.Count(text, "\n"); n != lines+1 {
		t.Errorf("the plain text has %d lines", n)
	}
}

func TestErrors(t *testing.T) {
	s := newBusySite(t)
	for _, tt := range []struct {
		err    error
		status int
		want   string
	}{
		{errBroken, 500, "This page could not be put together"},
		{signalbox.Errorf(signalbox.CodeUnavailable, "the disk is full"), 200, "The log cannot be read just now"},
	} {
		var err error
		if s.web.o.Lines, err = logline.New(logline.Options{Store: s.store, Log: brokenLogs{tt.err}}); err != nil {
			t.Fatal(err)
		}
		status, text := s.get("/jobs/" + s.failed.ID)
		if status != tt.status || !strings.Contains(text, tt.want) {
			t.Errorf("%v: status %d, want %d and %q", tt.err, status, tt.status, tt.want)
		}
		if strings.Contains(text, "secret detail") {
			t.Error("the page shows an internal error's text")
		}
		checkPage(t, text)
		if status, _ = s.get("/jobs/" + s.failed.ID + "/plain_logs.txt"); status < 500 {
			t.Errorf("%v: the plain text answers %d", tt.err, status)
		}
	}
	if status, text := s.get("/jobs/" + s.queued.ID + "/plain_logs.txt"); status != 404 || !strings.Contains(text, "h1") {
		t.Errorf("a job without a log answers %d", status)
	}
}

func TestStop(t *testing.T) {
	s := newBusySite(t)
	status, h, _ := s.do("POST", "/workflows/"+s.workflow.ID+"/pipelines/"+s.pipeline.ID+"/stop", url.Values{})
	if status != 303 || h.Get("Location") != "/workflows/"+s.workflow.ID+"?pipeline_id="+s.pipeline.ID {
		t.Errorf("stopping a pipeline answers %d to %q", status, h.Get("Location"))
	}
	if status, _, _ = s.do("POST", "/workflows/"+s.stopped.ID+"/pipelines/"+s.pipeline.ID+"/stop", url.Values{}); status != 404 {
		t.Errorf("a pipeline of another workflow answers %d", status)
	}
	if status, h, _ = s.do("POST", "/jobs/"+s.running.ID+"/stop", url.Values{}); status != 303 || h.Get("Location") != "/jobs/"+s.running.ID {
		t.Errorf("stopping a job answers %d to %q", status, h.Get("Location"))
	}
	if want := []string{"pipeline " + s.pipeline.ID + " by user:ana", "job " + s.running.ID + " by user:ana"}; strings.Join(s.stops, "\n") != strings.Join(want, "\n") {
		t.Errorf("stopped %q, want %q", s.stops, want)
	}
	s.fail = signalbox.Errorf(signalbox.CodeConflict, "The job had already finished.")
	if status, _, text := s.do("POST", "/jobs/"+s.running.ID+"/stop", url.Values{}); status != 409 || !strings.Contains(text, "The job had already finished.") {
		t.Errorf("a refused stop answers %d", status)
	}
	s.as(signalbox.RoleViewer)
	if status, _, _ := s.do("POST", "/jobs/"+s.running.ID+"/stop", url.Values{}); status != 403 {
		t.Errorf("a viewer's stop answers %d", status)
	}
	for _, path := range []string{"/workflows/" + s.workflow.ID, "/jobs/" + s.running.ID} {
		if _, text := s.get(path); strings.Contains(text, "Stop…") {
			t.Errorf("%s offers a viewer to stop", path)
		}
	}
}

func TestHeadersAndAssets(t *testing.T) {
	s := newSite(t)
	_, h, text := s.do("GET", "/", nil)
	csp := h.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of a page: %v", h)
	}
	asset := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(asset) < 3 {
		t.Fatalf("the page names %d files", len(asset))
	}
	for _, m := range asset {
		status, h, _ := s.do("GET", m[1], nil)
		if status != 200 || !strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %q", m[1], status, h.Get("Cache-Control"))
		}
	}
	if status, h, _ := s.do("GET", "/assets/old/app.css", nil); status != 200 || strings.Contains(h.Get("Cache-Control"), "immutable") {
		t.Errorf("a file under an old hash: %d, %q", status, h.Get("Cache-Control"))
	}
	if status, _ := s.get("/assets/x/templates/home.html"); status != 404 {
		t.Errorf("a file that is not there answers %d", status)
	}
	if status, _ := s.get("/favicon.ico"); status != 200 {
		t.Errorf("the favicon answers %d", status)
	}
	for name, text := range s.web.assets.files {
		if strings.HasSuffix(name, ".js") && regexp.MustCompile(`innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\.style\b`).Match(text) {
			t.Errorf("%s makes markup of text or sets styles", name)
		}
		if regexp.MustCompile(`url\(|@import|https?://(?:[^w]|w[^w])`).Match(text) && name != "icons.svg" && !strings.HasPrefix(name, "favicon") && strings.HasSuffix(name, ".css") && !strings.Contains(string(text), "url(#hatch)") {
			t.Errorf("%s fetches something from elsewhere", name)
		}
	}
	for _, class := range lampClasses {
		if s.web.assets.icons[class] == "" || faviconColours[class] == "" {
			t.Errorf("state %s has no glyph or no colour", class)
		}
		if !strings.Contains(string(s.web.assets.files["app.css"]), ".is-"+class) {
			t.Errorf("state %s has no style", class)
		}
	}
}
