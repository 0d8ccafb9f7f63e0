package journey

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox/server/servertest"
)

// runs makes a project with one job of these commands, starts it, and opens the job's page.
func (w *world) runs(name string, commands ...string) {
	w.Helper()
	var yaml strings.Builder
	yaml.WriteString("version: v1.0\nname: Test\nagent: {machine: {type: s1-linux}}\nblocks:\n- name: Build\n  task:\n    jobs:\n    - name: Job\n      commands:\n")
	for _, c := range commands {
		fmt.Fprintf(&yaml, "      - %q\n", c)
	}
	bare := w.repository(name, map[string]string{".semaphore/semaphore.yml": yaml.String()})
	w.open("/new_project")
	w.fill("#repository", bare)
	w.press("Look at it")
	w.shows("main", "It is there and can be read")
	w.press("Create and run it")
	w.shows("#first-workflow", "The first workflow")
	w.press("Open the workflow")
	w.press("Job")
	w.shows("h1", "Job")
}

// withAgent is newServer with an agent that waits for jobs.
func withAgent(t *testing.T, flags ...string) *world {
	t.Helper()
	needs(t, "curl", "git")
	w := newServer(t, flags...)
	w.signalbox("agent-type", "create", "s1-linux")
	w.connect("s1-linux")
	w.shows("#connect-status h2", "is connected")
	return w
}

// A job fails; its page says why, and the link to the line leads somebody else there, through the sign-in.
func TestJourneyJ5FailureToLine(t *testing.T) {
	w := withAgent(t)
	w.runs("shop", "seq 1 3000", "echo 'error: no shelf'; exit 3", "echo never")
	w.shows("#failure h2", "exited with 3")
	w.shows("#failure .ln", "error: no shelf")
	w.picture("job-failed")
	w.press("Go to line")
	w.shows(".ln.on .tx", "error: no shelf")
	address := eval[string](w, `location.href`)
	w.do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".ln.on .no").dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}))`))
	other := eval[string](w, `document.querySelector(".lh code") && location.origin + location.pathname + "#L1500"`)

	// Somebody else, in a browser of their own.
	guest := &world{T: t, dir: t.TempDir(), url: w.url}
	guest.browse()
	guest.open(other)
	guest.fill("#name", adminName)
	guest.fill("#password", adminPassword)
	guest.press("Sign in")
	guest.shows("#L1500.on", "1500")
	if !eval[bool](guest, `(() => { const r = document.querySelector("#L1500").getBoundingClientRect(); return r.top > 0 && r.bottom < innerHeight + document.querySelector(".log").offsetTop; })()`) {
		t.Error("the line is marked and out of sight")
	}
	guest.open(address)
	guest.shows(".ln.on .tx", "error: no shelf")
}

// Somebody stops a job that runs, and sees it end without a reload.
func TestJourneyJ9StopRunningJob(t *testing.T) {
	w := withAgent(t)
	w.runs("shop", "echo begun; sleep 600")
	w.shows(".ln .tx", "begun")
	w.stay()
	w.press("Stop…")
	w.press("Stop")
	w.shows("#head .st", "Stopped")
	w.shows(".log-rows .du", "0:")
	w.picture("job-stopped")
}

// The server stops in the middle of a log and starts again: the page goes on, and nothing is missing.
func TestJourneyJ19RestartMidLog(t *testing.T) {
	listen := "127.0.0.1:" + servertest.Port(t)
	w := withAgent(t, "--listen", listen)
	w.runs("shop", "for i in $(seq 1 200); do echo \"step $i\"; sleep 0.05; done", "echo the-end")
	w.shows(".ln .tx", "step 40")
	w.stay()
	// It has no time to say goodbye.
	if err := w.server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.server.done
	w.server = w.start("server", "--data", w.path("data"), "--listen", listen)
	w.shows("main", "echo the-end") // its fold is closed when it had passed before the page heard of it
	w.shows("#head .st", "Passed")
	w.stayed()
	id := eval[string](w, `location.pathname.split("/").pop()`)
	w.do(chromedp.Evaluate[chromedp.Void](`void fetch("/ui/jobs/` + id + `/log/lines?plain=1&count=2000").then((r) => r.text()).then((t) => { window.logText = t; })`))
	text := ""
	w.until("the text of the log is here", func() bool {
		text = eval[string](w, `window.logText ?? ""`)
		return text != ""
	})
	for i := range 200 {
		if n := strings.Count(text, fmt.Sprintf("step %d\n", i+1)); n != 1 {
			t.Errorf("step %d is there %d times", i+1, n)
		}
	}
	// The page has them too, far above.
	line := strings.Count(text[:strings.Index(text, "step 1\n")], "\n") + 1
	w.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`location.hash = "#L%d"`, line)))
	w.shows(".ln.on .tx", "step 1")
}
