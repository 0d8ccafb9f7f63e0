package web

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/web/browse"
)

// ended stores a workflow whose pipelines have ended so, the later ones repeating the first; "" runs still.
func (s *site) ended(wf *signalbox.Workflow, results ...signalbox.Result) *signalbox.Workflow {
	s.t.Helper()
	first := ""
	for _, r := range results {
		p := signalbox.Pipeline{Name: "Build", State: signalbox.PipelineDone, Result: r, RunningAt: s.now(), DoneAt: s.now()}
		if r == "" {
			p.State, p.DoneAt = signalbox.PipelineRunning, time.Time{}
		}
		if r == signalbox.ResultFailed {
			p.Reason = signalbox.ReasonTest
		}
		p.Origin.RerunOf = first
		first = s.pipeline(wf, p).ID
	}
	s.pass(time.Second)
	return wf
}

// mine stores a workflow of somebody who signs in as ana, pushed with her address.
func (s *site) mine(p *signalbox.Project, branch, message string) *signalbox.Workflow {
	s.t.Helper()
	s.seq++
	wf := &signalbox.Workflow{
		ProjectID: p.ID, Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch, CommitSHA: "0123456789", CommitMessage: message,
		CommitAuthor: "A. K.", CommitEmail: "Ana@Harbour.example", TriggeredBy: signalbox.TriggeredByHook, RequestToken: fmt.Sprint("mine-", s.seq),
	}
	s.write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(wf, "server")
		return err
	})
	return wf
}

const (
	passed  = signalbox.ResultPassed
	failed  = signalbox.ResultFailed
	stopped = signalbox.ResultStopped
)

func (s *site) says(path string, want, not []string) string {
	s.t.Helper()
	status, text := s.get(path)
	checkPage(s.t, text)
	if status != http.StatusOK {
		s.t.Errorf("%s: status %d", path, status)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			s.t.Errorf("%s does not say %q", path, w)
		}
	}
	for _, w := range not {
		if strings.Contains(text, w) {
			s.t.Errorf("%s says %q", path, w)
		}
	}
	return text
}

func TestHomeTabs(t *testing.T) {
	s := newSite(t)
	api, web := s.project("parcel-api"), s.project("dispatch-web")
	s.ended(s.workflow(api, "main", "Somebody else's"), passed)
	const current = `aria-current="page">`
	s.says("/", []string{current + "Everyone's work", "Somebody else"}, []string{"Needs attention<span"})
	s.says("/?dashboard=my-work", []string{current + "My work", "Nothing of yours has run", "See everyone"}, []string{"Somebody else"})
	s.says("/?dashboard=needs-attention", []string{current + "Needs attention", "Nothing needs you"}, nil)

	s.ended(s.mine(web, "cut-off", "Pushed by me"), failed)
	s.says("/", []string{current + "My work", "Pushed by me", `Needs attention<span class="count is-failed">1</span>`}, []string{"Somebody else"})
	s.says("/?dashboard=everyones-activity", []string{"Pushed by me", "Somebody else"}, nil)
	s.says("/?dashboard=nonsense", []string{current + "My work"}, nil)
	s.says("/?dashboard=needs-attention", []string{"Pushed by me", "dispatch-web · cut-off · Failed", "not rerun"}, nil)

	s.workflow(api, "main", "Run by hand")
	s.write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: api.ID, RefType: "branch", BranchName: "main", Label: "main", CommitMessage: "Asked for by me", TriggeredBy: signalbox.TriggeredByManualRun,
			Requester: "ana", RequestToken: "hand",
		}, "user:ana")
		return err
	})
	s.says("/", []string{"Asked for by me", "Pushed by me"}, []string{"Run by hand"})
	// Somebody else's repeat of my commit is theirs.
	s.write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: api.ID, RefType: "branch", BranchName: "main", Label: "main", CommitMessage: "Repeated by mei", TriggeredBy: signalbox.TriggeredByAPI,
			Requester: "mei", CommitEmail: "ana@harbour.example", RequestToken: "repeat",
		}, "user:mei")
		return err
	})
	s.says("/", nil, []string{"Repeated by mei"})

	s.write(func(tx *store.Tx) error { return tx.DeleteProject(web.ID, "user:ana") })
	s.says("/", []string{"Asked for by me"}, []string{"Pushed by me", "is-failed\">1</span>"})
}

func TestHomeFilters(t *testing.T) {
	s := newSite(t)
	api, web := s.project("parcel-api"), s.project("dispatch-web")
	s.ended(s.workflow(api, "main", "One"), passed)
	s.ended(s.workflow(api, "topic", "Two"), failed)
	s.ended(s.workflow(web, "main", "Three"), stopped)
	s.ended(s.workflow(web, "main", "Four"), "")
	s.ended(s.workflow(web, "main", "Five"), failed, passed)
	s.write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: web.ID, RefType: "tag", BranchName: "refs/tags/v1", Label: "v1", CommitMessage: "Six", CommitAuthor: "Mei", TriggeredBy: signalbox.TriggeredBySchedule, RequestToken: "tag",
		}, "server")
		return err
	})
	row := regexp.MustCompile(`<div class="wf-t"><a href="[^"]+">(\w+)</a>`)
	for query, want := range map[string]string{
		"": "Six Five Four Three Two One", "project=parcel-api": "Two One", "branch=main": "Five Four Three One", "project=dispatch-web&branch=main": "Five Four Three",
		"project=dispatch-web&branch=v1": "Six", "branch=v1": "Six", "author=Mei": "Six", "author=Ana+Kova%C4%8D&state=failed": "Two", "state=passed": "Five One", "state=running": "Six Four",
		"state=stopped": "Three", "trigger=schedule": "Six", "trigger=hook&project=parcel-api&branch=main&state=passed": "One", "state=nonsense": "Six Five Four Three Two One",
		"project=none": "", "author=Nobody": "",
	} {
		text := s.says("/?dashboard=everyones-activity&"+query, nil, nil)
		var got []string
		for _, m := range row.FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if want == "" && (!strings.Contains(text, "Nothing matches") || !strings.Contains(text, "Clear filters")) {
			t.Errorf("%s: an empty list does not say why", query)
		}
	}
	s.says("/?dashboard=everyones-activity&project=parcel-api&state=failed", []string{`value="parcel-api"`, `<option value="failed" selected>`, `name="dashboard" value="everyones-activity"`}, nil)
}

func TestTurns(t *testing.T) {
	s := newSite(t)
	p := s.project("parcel-api")
	for _, r := range [][]signalbox.Result{{passed}, {failed}, {stopped}, {failed}, {failed, passed}, {passed}} {
		s.ended(s.workflow(p, "main", "x"), r...)
	}
	text := s.says("/projects/parcel-api", nil, nil)
	got := regexp.MustCompile(`#\d</span></div>|(Broke|Fixed) this branch`).FindAllString(text, -1)
	want := []string{"#6</span></div>", "#5</span></div>", "Fixed this branch", "#4</span></div>", "#3</span></div>", "#2</span></div>", "Broke this branch", "#1</span></div>"}
	if !slices.Equal(got, want) {
		t.Errorf("turns are %q, want %q", got, want)
	}
	if l := turnOf(lampFailed, lampInfra); l != nil {
		t.Error("a failure after a lost agent is said to have broken the branch")
	}
	if l := turnOf(lampInfra, lampPassed); l != nil {
		t.Error("a lost agent is said to have broken the branch")
	}
}

func TestNeeds(t *testing.T) {
	s := newSite(t)
	p := s.project("parcel-api")
	s.ended(s.mine(p, "old", "Long forgotten"), failed)
	s.pass(attentionFor + time.Hour)
	s.ended(s.mine(p, "red", "Red"), failed)
	s.ended(s.mine(p, "twice", "Red twice"), failed)
	s.ended(s.mine(p, "twice", "Red again"), failed)
	s.ended(s.mine(p, "stopped", "Red, then stopped"), failed)
	s.ended(s.mine(p, "stopped", "Only stopped"), stopped)
	s.ended(s.mine(p, "rerun", "Rerun"), failed, passed)
	s.ended(s.mine(p, "good", "Made good"), failed)
	s.ended(s.workflow(p, "good", "By somebody else"), passed)
	s.ended(s.mine(p, "trying", "Tried again"), failed)
	s.ended(s.mine(p, "trying", "Runs now"), "")
	s.ended(s.workflow(p, "theirs", "Theirs"), failed)
	s.says("/?dashboard=needs-attention", []string{">Red<", "Red again", "Red, then stopped", `count is-failed">3<`},
		[]string{"Red twice", "Long forgotten", "Only stopped", "Rerun<", "Made good", "Tried again", "Runs now", "Theirs", "By somebody else"})

	mac := s.agentType("s1-mac")
	wf := s.workflow(p, "main", "Waits")
	ppl := s.pipeline(wf, signalbox.Pipeline{State: signalbox.PipelineRunning, RunningAt: s.now()})
	b := s.block(ppl, signalbox.Block{Name: "B", State: signalbox.BlockRunning})
	s.job(ppl, b, signalbox.Job{Name: "J", State: signalbox.JobQueued, AgentType: "s1-mac"})
	s.job(ppl, b, signalbox.Job{Name: "K", Index: 1, State: signalbox.JobQueued, AgentType: "nobody made it"})
	s.says("/?dashboard=needs-attention", []string{"s1-mac has no agents", "There is no agent type nobody made it", "1\u00a0job waits"}, nil)
	s.says("/?dashboard=everyones-activity", []string{"Waiting for an agent", "No agent of nobody made it and s1-mac is connected"}, nil)
	s.agent(mac, "mac-1")
	s.says("/?dashboard=needs-attention", nil, []string{"s1-mac has no agents"})
	s.says("/?dashboard=everyones-activity", []string{"No agent of nobody made it is connected"}, nil)
	if text, stuck := waitsFor(map[string]int{"a": 2, "b": 1}, map[string]int{"a": 1, "b": 1}); stuck || text != "3\u00a0jobs wait for an agent of a or b" {
		t.Errorf("says %q, %t", text, stuck)
	}
}

var nextPage = regexp.MustCompile(`href="([^"]+)" rel="(next|prev)"`)

func (s *site) ways(path string) (older, newer string) {
	s.t.Helper()
	status, text := s.get(path)
	if status != http.StatusOK {
		s.t.Fatalf("%s answers %d", path, status)
	}
	for _, m := range nextPage.FindAllStringSubmatch(text, -1) {
		if m[2] == "next" {
			older = html.UnescapeString(m[1])
		} else {
			newer = html.UnescapeString(m[1])
		}
	}
	return older, newer
}

func (s *site) commits(path string) string {
	_, text := s.get(path)
	var out []string
	for _, m := range regexp.MustCompile(`>Commit (\d+)<`).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		return ""
	}
	return out[0] + " to " + out[len(out)-1]
}

func TestPaging(t *testing.T) {
	s := newSite(t)
	p := s.project("large")
	for i := range 65 {
		s.workflow(p, "main", fmt.Sprintf("Commit %d", i))
		if i%2 == 0 { // some are made in the same millisecond
			s.pass(time.Second)
		}
	}
	for _, start := range []string{"/?dashboard=everyones-activity", "/?author=Ana+Kova%C4%8D&dashboard=everyones-activity", "/projects/large", "/projects/large?added=1"} {
		path := start
		var seen []string
		for path != "" {
			seen = append(seen, s.commits(path))
			path, _ = s.ways(path)
		}
		if want := []string{"64 to 35", "34 to 5", "4 to 0"}; !slices.Equal(seen, want) {
			t.Errorf("%s: pages are %q, want %q", start, seen, want)
		}
		older, _ := s.ways(start)
		oldest, _ := s.ways(older)
		_, newer := s.ways(oldest)
		if got := s.commits(newer); got != "34 to 5" {
			t.Errorf("%s: one page newer than the oldest is %q", start, got)
		}
		_, newer = s.ways(newer)
		if got := s.commits(newer); got != "64 to 35" {
			t.Errorf("%s: two pages newer are %q", start, got)
		}
	}
	for _, bad := range []string{"x", "1", "1.x", "-1." + signalbox.NewID(), "1.." + signalbox.NewID()} {
		if status, text := s.get("/?older=" + bad); status != 400 || !strings.Contains(text, "from its beginning") {
			t.Errorf("the place %q answers %d", bad, status)
		}
	}
	status, text := s.get("/projects/large?older=1." + signalbox.NewID())
	if status != 200 || !strings.Contains(text, "No more workflows") {
		t.Errorf("behind the end: status %d", status)
	}
}

func TestFindIsBounded(t *testing.T) {
	s := newSite(t)
	p := s.project("large")
	s.ended(s.workflow(p, "main", "Commit 0"), failed)
	s.write(func(tx *store.Tx) error {
		for i := range lookThrough + chunkSize {
			if _, _, err := tx.CreateWorkflow(&signalbox.Workflow{
				ProjectID: p.ID, RefType: "branch", BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByHook, RequestToken: fmt.Sprint(i),
			}, "test"); err != nil {
				return err
			}
		}
		return nil
	})
	start := "/?dashboard=everyones-activity&state=failed"
	text := s.says(start, []string{"Nothing matches", "Looked through 2,", "Look further"}, nil)
	if strings.Contains(text, "Commit 0") {
		t.Error("more was looked through than may be")
	}
	older, _ := s.ways(start)
	if got := s.commits(older); got != "0 to 0" {
		t.Errorf("the next page has %q", got)
	}
}

// TestStatements holds that a list costs as many statements with many rows as with two.
func TestStatements(t *testing.T) {
	s := newSite(t)
	paths := []string{"/?dashboard=everyones-activity", "/?dashboard=my-work", "/?dashboard=needs-attention", "/projects", "/projects/p-0", "/projects/p-0/branches"}
	s.agent(s.agentType("s1-linux"), "one")
	first := s.project("p-0")
	fill := func(i int, p *signalbox.Project) {
		for k, r := range []signalbox.Result{passed, failed, ""} {
			wf := s.ended(s.mine(p, fmt.Sprintf("b-%d-%d", i, k/2), "x"), r)
			ppl := s.pipeline(wf, signalbox.Pipeline{State: signalbox.PipelineRunning})
			b := s.block(ppl, signalbox.Block{Name: "B", State: signalbox.BlockRunning})
			s.job(ppl, b, signalbox.Job{Name: "J", State: signalbox.JobQueued})
			s.job(ppl, b, signalbox.Job{Name: "K", Index: 1, State: signalbox.JobFinished, Result: signalbox.JobFailed})
			if r == failed {
				s.ended(s.mine(p, fmt.Sprintf("c-%d", i), "x"), failed)
			}
		}
	}
	cost := func() map[string]int64 {
		out := map[string]int64{}
		for _, path := range paths {
			before := s.statements.Load()
			s.says(path, nil, nil)
			out[path] = s.statements.Load() - before
		}
		return out
	}
	fill(0, first)
	few := cost()
	for i := 1; i < 12; i++ {
		fill(i, first)
		fill(i, s.project(fmt.Sprint("p-", i)))
	}
	for path, n := range cost() {
		// More names of projects may be asked for, a chunk at a time.
		if n > few[path]+1 || few[path] > 40 {
			t.Errorf("%s costs %d statements with few rows and %d with many", path, few[path], n)
		}
	}
}

// history adds workflows to a busy site for which lists have something to say.
func (s *busySite) history() {
	other := s.site.project("dispatch-web")
	s.ended(s.mine(other, "cut-off-tz", "Fix time zone of cut-off label"), failed)
	s.ended(s.mine(other, "cut-off-tz", "Take the time zone of the depot"), passed)
	s.ended(s.mine(other, "main", "Cache customs codes for a day"), passed)
	broken := s.mine(other, "main", "Raise pallet weight to 1,200 kg")
	s.ended(broken, failed)
	s.ended(s.mine(s.project, "feature/a-branch-whose-name-is-as-long-as-names-of-branches-get-when-people-explain", strings.Repeat("A title that goes on ", 9)), failed)
	wf := s.mine(s.project, "signed-codes", "Signed pick-up codes")
	p := s.site.pipeline(wf, signalbox.Pipeline{Name: "Build", State: signalbox.PipelineRunning, RunningAt: s.now()})
	s.job(p, s.block(p, signalbox.Block{Name: "Build", State: signalbox.BlockRunning}), signalbox.Job{Name: "App", State: signalbox.JobQueued, AgentType: "s1-mac"})
}

func TestHomeLive(t *testing.T) {
	ctx := browse.Start(t)
	s := newSite(t)
	p := s.project("parcel-api")
	var running *signalbox.Pipeline
	for i := range pageSize + 2 {
		wf := s.workflow(p, "main", fmt.Sprintf("Commit %d", i))
		running = s.pipeline(wf, signalbox.Pipeline{Name: "Build", State: signalbox.PipelineRunning, RunningAt: s.now()})
		s.pass(time.Second)
	}
	problems := browse.Listen(t, ctx)
	for _, page := range []string{"/?dashboard=everyones-activity", "/projects/parcel-api"} {
		browse.Do(t, ctx, chromedp.Navigate(s.url+page), chromedp.WaitReady("#workflow-list"))
		titles := func() []string {
			return strings.Split(browse.Run(t, ctx, chromedp.Evaluate[string](`[...document.querySelectorAll("#workflow-list .wf-t")].map((e) => e.textContent).join("\n")`)), "\n")
		}
		// While nobody is at the list, what is new appears by itself.
		s.ended(s.workflow(p, "topic", "Seen at once"), failed)
		browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector("#workflow-list .wf-t").textContent === "Seen at once" && !document.querySelector(".newpill")`))
		browse.Do(t, ctx, chromedp.Focus("#workflow-list .wf:nth-child(3) .wf-t a"))
		before := titles()
		for i := range 2 {
			s.ended(s.workflow(p, "topic", fmt.Sprint("New ", i)), failed)
		}
		browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector(".newpill")?.textContent === "2 new workflows"`))
		if after := titles(); !slices.Equal(before, after) {
			t.Errorf("%s: rows moved: %q, then %q", page, before, after)
		}
		// What is there already goes on.
		s.write(func(tx *store.Tx) error {
			p, err := tx.Pipeline(running.ID)
			if err != nil {
				return err
			}
			if p.State = signalbox.PipelineDone; p.Result == "" {
				p.Result = signalbox.ResultPassed
			} else {
				p.Result = signalbox.ResultStopped
			}
			p.DoneAt = s.now()
			return tx.UpdatePipeline(p, "engine", "done", "")
		})
		word := map[bool]string{true: "Passed", false: "Stopped"}[strings.HasPrefix(page, "/?")]
		browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`[...document.querySelectorAll("#workflow-list .wf")].some((e) => e.querySelector(".wf-t").textContent === "Commit 31" && e.querySelector("svg").getAttribute("aria-label") === "`+word+`")`))
		to := browse.Run(t, ctx, chromedp.Evaluate[string](`document.querySelector(".newpill").href`))
		if to != s.url+page {
			t.Errorf("%s: the line of new workflows leads to %q", page, to)
		}
		browse.Do(t, ctx, chromedp.Navigate(to), chromedp.WaitReady("#workflow-list"))
		if first := titles()[0]; first != "New 1" {
			t.Errorf("%s: the first row is then %q", page, first)
		}
	}
	for _, p := range problems() {
		t.Errorf("the browser complains: %s", p)
	}
}
