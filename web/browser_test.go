package web

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/web/browse"
)

// shots are the pictures taken: name, width and theme.
var shots = []struct {
	suffix string
	width  int64
	theme  string
}{{"", 1280, "light"}, {"-dark", 1280, "dark"}, {"-390", 390, "light"}, {"-320", 320, "dark"}}

func TestBrowser(t *testing.T) {
	ctx := browse.Start(t)
	s := newBusySite(t)
	signedOut := newSite(t)
	signedOut.as("")
	// Where pictures of the pages are put for looking at them; without it none are taken.
	folder := os.Getenv("SIGNALBOX_TEST_PICTURES")
	problems := browse.Listen(t, ctx)

	s.harbour(s.project, s.pipeline)
	s.history()
	s.fillTasks()
	s.repository("shop", map[string]string{signalbox.DefaultPipelineFile: asksForVersion, "broken.yml": "version: v1.0\nagent: 7\nblocks:\n  - task: {jobs: [{name: a, comands: [make]}]}\n"})
	session := s.debugSession(s.failed)
	pages := []struct{ name, path string }{
		{"job-debug", "/jobs/" + session.ID},
		{"job-debug-waiting", "/jobs/" + s.debugSession(s.lost).ID},
		{"home", "/?dashboard=everyones-activity"},
		{"home-mine", "/"},
		{"home-attention", "/?dashboard=needs-attention"},
		{"home-nothing", "/?dashboard=everyones-activity&author=nobody"},
		{"home-next", "/?dashboard=everyones-activity&state=passed&older=4000000000000." + s.workflow.ID},
		{"projects", "/projects"},
		{"admin-projects-nothing", "/projects?q=nothing&show=failing"},
		{"project", "/projects/parcel-api"},
		{"project-branches", "/projects/parcel-api/branches"},
		{"project-tags", "/projects/parcel-api/tags"},
		{"branch", branchURL(s.workflow)},
		{"branch-error", branchURL(s.workflow) + "?from=2026-11-20&to=2026-11-01&none"},
		{"project-run", "/projects/shop/run?param.VERSION=1.4&param.WHERE=north"},
		{"project-run-problem", "/projects/shop/run?reference=main&pipeline_file=broken.yml"},
		{"admin-project-settings", "/projects/shop/settings/general?check=1"},
		{"deployments", "/projects/parcel-api/deployments"},
		{"deployment-history", "/projects/parcel-api/deployments/production"},
		{"admin-deployments", "/projects/parcel-api/deployments"},
		{"admin-deployments-empty", "/projects/tariff-engine/deployments"},
		{"admin-deployment-history", "/projects/parcel-api/deployments/production"},
		{"admin-deployment-new", "/projects/parcel-api/deployments/new"},
		{"admin-deployment-edit", "/projects/parcel-api/deployments/production/edit"},
		{"tasks", "/projects/parcel-api/schedulers"},
		{"tasks-empty", "/projects/tariff-engine/schedulers"},
		{"task", "/projects/parcel-api/schedulers/" + s.nightly.ID},
		{"task-failed", "/projects/parcel-api/schedulers/" + s.nightly.ID + "?run=" + s.failedTaskRun},
		{"task-new", "/projects/parcel-api/schedulers/new"},
		{"task-edit", "/projects/parcel-api/schedulers/" + s.release.ID + "/edit"},
		{"task-run", "/projects/parcel-api/schedulers/" + s.release.ID + "/just_run"},
		{"activity", "/activity"},
		{"activity-pipelines", "/activity?tab=pipelines"},
		{"activity-queue", "/activity?tab=queue"},
		{"activity-nothing", "/activity?q=nothing"},
		{"search", "/search?q=pa"},
		{"agents", "/agents"},
		{"admin-agents", "/agents"},
		{"admin-refused", "/agents/refused"},
		{"agent-type", "/agents/self_hosted/s1-linux"},
		{"admin-agent-type", "/agents/self_hosted/s1-linux?all=1"},
		{"all-agents", "/agents/all"},
		{"agent-usage", "/agents/usage"},
		{"agent-type-usage", "/agents/self_hosted/s1-linux/usage?range=7d"},
		{"admin-all-agents", "/agents/all?state=Idle&q=build"},
		{"admin-agent", "/agents/self_hosted/s1-linux/agents/gpu-agent-with-a-rather-long-name-0123456789"},
		{"admin-new-agent-type", "/agents/self_hosted/new"},
		{"admin-connect-agent", "/agents/self_hosted/s1-linux?connect=1"},
		{"get-started", "/get_started"},
		{"admin-agent-type-empty", "/agents/self_hosted/s1-mac"},
		{"workflow-list", "/workflows/" + s.workflow.ID + "?view=list"},
		{"workflow-timeline", "/workflows/" + s.workflow.ID + "?view=timeline"},
		{"workflow-yaml", "/workflows/" + s.workflow.ID + "?view=yaml"},
		{"workflow-graph", "/workflows/" + s.workflow.ID + "?view=graph"},
		{"malformed", "/workflows/" + s.malformed.ID},
		{"job", "/jobs/" + s.failed.ID},
		{"job-running", "/jobs/" + s.running.ID},
		{"job-infra", "/jobs/" + s.lost.ID},
		{"job-queued", "/jobs/" + s.queued.ID},
		{"error", "/jobs/none"},
		{"login", "/login"},
		{"welcome", "/welcome"},
		{"admin-people", "/people"},
		{"account", "/account"},
		{"admin-settings", "/settings"},
	}
	s.fillFleet()
	s.harbourPeople()
	for _, p := range pages {
		address := s.url + p.path
		s.as(signalbox.RoleMember)
		if strings.HasPrefix(p.name, "admin-") {
			s.as(signalbox.RoleAdmin)
		}
		if p.name == "login" || p.name == "welcome" {
			address = signedOut.url + p.path
		}
		for _, shot := range shots {
			if shot.width == 320 && !strings.HasPrefix(p.name, "job") && !strings.Contains(p.name, "deployment") && !strings.HasPrefix(p.name, "activity") && !strings.HasPrefix(p.name, "task") && !strings.HasPrefix(p.name, "home") && !strings.HasPrefix(p.name, "project") && !strings.HasPrefix(p.name, "branch") && !strings.Contains(p.name, "agent") && p.name != "admin-refused" &&
				p.name != "welcome" && p.name != "admin-people" && p.name != "account" && p.name != "admin-settings" && p.name != "admin-project-settings" {
				continue
			}
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.theme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			browse.Do(t, ctx, chromedp.EmulateViewport(shot.width, 844), chromedp.Navigate(address), chromedp.WaitReady("h1"))
			if strings.HasPrefix(p.name, "admin-") { // what opens on demand must fit too
				browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("main details").forEach((d) => { d.open = true; })`))
			}
			wide := browse.Run(t, ctx, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`))
			if wide > shot.width {
				t.Errorf("%s at %d pixels is %d wide: it scrolls sideways", p.name, shot.width, wide)
			}
			if shot.width != 390 {
				browse.Axe(t, ctx, p.name+" at "+strconv.FormatInt(shot.width, 10)+" in the "+shot.theme)
			}
			if folder != "" {
				picture := browse.Run(t, ctx, chromedp.FullScreenshot(100))
				if err := os.WriteFile(filepath.Join(folder, p.name+shot.suffix+".png"), picture, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, p := range problems() {
		t.Errorf("the browser complains: %s", p)
	}
}

func TestBrowserLive(t *testing.T) {
	ctx := browse.Start(t)
	s := newBusySite(t)
	problems := browse.Listen(t, ctx)

	// A job's state changes while its workflow is open.
	workflow := s.url + "/workflows/" + s.workflow.ID
	// Nothing has changed since the page was made: it is not loaded again when its topics are followed.
	browse.Do(t, ctx, chromedp.Navigate(workflow), chromedp.WaitReady("#graph"),
		chromedp.Poll[chromedp.Void](`performance.getEntriesByType("resource").some((e) => e.name.includes("/ui/changed?"))`), chromedp.Sleep(300*time.Millisecond))
	if browse.Run(t, ctx, chromedp.Evaluate[bool](`performance.getEntriesByType("resource").some((e) => e.name === location.href)`)) {
		t.Error("the page was loaded again, although nothing has changed")
	}
	s.write(func(tx *store.Tx) error {
		j, err := tx.Job(s.queued.ID)
		if err != nil {
			return err
		}
		j.State, j.Result, j.Reason, j.StartedAt, j.FinishedAt = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonTest, s.now(), s.now()
		return tx.UpdateJob(j, signalbox.JobQueued, "dispatch", "failed", "")
	})
	browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector("#head").textContent.includes("2 jobs failed")`))

	// Lines arrive while a job's page is open; markup in them stays text, a half line grows, the command ends.
	browse.Do(t, ctx, chromedp.Navigate(s.url+"/jobs/"+s.running.ID), chromedp.WaitReady("#log"))
	at := s.now().Unix()
	zero := 0
	next := s.push(s.runningAttempt, s.runningLogNext,
		agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at, Output: " ... \x1b[31mdone\x1b[0m\n<b>bold</b><script>document.title='owned'</script>\n"},
		agentapi.Event{Event: agentapi.EventCmdFinished, Timestamp: at + 5, ExitCode: &zero},
		agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at + 5, Directive: "echo <i>next</i>"},
	)
	browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelectorAll("#commands .lh").length >= 3 && document.querySelector("#commands").textContent.includes("echo <i>next</i>")`))
	text := browse.Run(t, ctx, chromedp.TextContent("#commands"))
	red := browse.Run(t, ctx, chromedp.TextContent("#commands .term-fg31"))
	title := browse.Run(t, ctx, chromedp.Title())
	markup := browse.Run(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("#commands b, #commands i, #commands script").length`))
	for _, want := range []string{"running labels ... done", "<b>bold</b>", "echo <i>next</i>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log does not show %q", want)
		}
	}
	if red != "done" || markup != 0 || strings.Contains(title, "owned") {
		t.Errorf("red text %q, %d elements out of the log, title %q", red, markup, title)
	}
	s.push(s.runningAttempt, next, agentapi.Event{Event: agentapi.EventJobFinished, Timestamp: at + 6, Result: "passed"})
	s.closeLog(s.runningAttempt)
	s.write(func(tx *store.Tx) error {
		j, err := tx.Job(s.running.ID)
		if err != nil {
			return err
		}
		j.State, j.Result, j.FinishedAt = signalbox.JobFinished, signalbox.JobPassed, s.now()
		return tx.UpdateJob(j, signalbox.JobRunning, "dispatch", "passed", "")
	})
	browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector("#head .st").textContent === "Passed"`))

	// A link to lines opens their fold and marks them.
	browse.Do(t, ctx, chromedp.Navigate(s.url+"/jobs/"+s.failed.ID+"#L2-L3"), chromedp.WaitReady(".ln.on"))
	marked := browse.Run(t, ctx, chromedp.Evaluate[string](`[...document.querySelectorAll(".ln.on")].map((e) => e.id).join(", ")`))
	if marked != "L2, L3" {
		t.Errorf("marked %q", marked)
	}
	for _, p := range problems() {
		t.Errorf("the browser complains: %s", p)
	}
}
