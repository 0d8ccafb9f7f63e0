package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// debugSession stores a debug job of a job. That of the failed one runs on an agent, others wait.
func (s *busySite) debugSession(of *signalbox.Job) *signalbox.Job {
	s.t.Helper()
	d := *of
	d.ID, d.Name, d.DebugOf, d.TimeLimit = "", "Debug Session for Job "+of.ID, of.ID, time.Hour
	d.State, d.Result, d.Reason, d.FailureReason, d.AttemptID, d.AttemptN = signalbox.JobQueued, "", "", "", "", 0
	d.StartedAt, d.FinishedAt = time.Time{}, time.Time{}
	s.write(func(tx *store.Tx) error { return tx.CreateJob(&d, "user:mei") })
	if of != s.failed {
		return &d
	}
	var types []*signalbox.AgentType
	s.write(func(tx *store.Tx) (err error) { types, err = tx.AgentTypes(); return err })
	ag := s.site.agent(types[0], "debug-agent-9")
	a := s.attempt(&d, ag, signalbox.Attempt{State: signalbox.AttemptRunning, FetchedAt: s.ago(time.Minute)})
	d.State, d.AttemptID, d.AttemptN, d.StartedAt = signalbox.JobRunning, a.ID, 1, s.ago(time.Minute)
	s.write(func(tx *store.Tx) error {
		return tx.UpdateJob(&d, signalbox.JobQueued, "agent:debug-agent-9", "started", "")
	})
	return &d
}

func TestDebugButton(t *testing.T) {
	s := newBusySite(t)
	const form = `action="/jobs/`
	button := func(id string) bool {
		_, text := s.get("/jobs/" + id)
		return strings.Contains(text, form+id+`/debug"`)
	}
	if !button(s.failed.ID) || button(s.running.ID) || button(s.queued.ID) {
		t.Error("only jobs that have ended can be debugged from their page")
	}
	if button(s.debugSession(s.failed).ID) {
		t.Error("a debug session can be debugged")
	}
	s.as(signalbox.RoleViewer)
	if button(s.failed.ID) {
		t.Error("a viewer is offered a session")
	}
	s.as(signalbox.RoleMember)
	s.project.CustomPermissions = true
	s.write(func(tx *store.Tx) error { return tx.UpdateProject(s.project, "user:ana", "rules") })
	if _, text := s.get("/jobs/" + s.failed.ID); button(s.failed.ID) || !strings.Contains(text, "You are not allowed to debug jobs on") {
		t.Error("the page does not say which rule forbids a session")
	}
	if _, text := s.get("/projects/" + s.project.Name); !strings.Contains(text, "Debugging: no jobs") {
		t.Error("the project's page does not say what may be debugged")
	}
}

func TestStartingADebugSession(t *testing.T) {
	s := newBusySite(t)
	path := "/jobs/" + s.failed.ID + "/debug"
	status, header, _ := s.do(http.MethodPost, path, url.Values{"duration": {"10800"}})
	if status != http.StatusSeeOther || header.Get("Location") != "/jobs/the-session" {
		t.Errorf("%d to %q", status, header.Get("Location"))
	}
	s.do(http.MethodPost, path, url.Values{})
	want := "debug " + s.failed.ID + " by user:ana for "
	if len(s.stops) != 2 || s.stops[0] != want+"3h0m0s" || s.stops[1] != want+"0s" {
		t.Errorf("%q", s.stops)
	}
	for _, bad := range []string{"1", "-1", "99999999999", "x"} {
		if status, _, _ := s.do(http.MethodPost, path, url.Values{"duration": {bad}}); status != http.StatusBadRequest {
			t.Errorf("duration %s: %d", bad, status)
		}
	}
	s.fail = signalbox.Errorf(signalbox.CodeForbidden, "You are not allowed to debug jobs on a tag of this project")
	if status, _, text := s.do(http.MethodPost, path, url.Values{}); status != http.StatusForbidden || !strings.Contains(text, "on a tag of this project") {
		t.Errorf("%d", status)
	}
	s.as(signalbox.RoleViewer)
	s.stops = nil
	if status, _, _ := s.do(http.MethodPost, path, url.Values{}); status != http.StatusForbidden || len(s.stops) != 0 {
		t.Errorf("a viewer: %d %q", status, s.stops)
	}
}

func TestDebugSessionPages(t *testing.T) {
	s := newBusySite(t)
	d := s.debugSession(s.failed)
	_, text := s.get("/jobs/" + d.ID)
	for _, want := range []string{
		`href="/jobs/` + s.failed.ID + `"`, "Started by mei", "debug-agent-9", "ssh debug-agent-9.harbour.example", "source &#34;$(ls -t /tmp/.env-* | head -n 1)&#34;",
		"cat ~/commands", "23 Nov 2026, 14:59:00 UTC", `action="/jobs/` + d.ID + `/stop"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the session's page has no %q", want)
		}
	}
	if _, text = s.get("/jobs/" + s.failed.ID); !strings.Contains(text, "Debug session open on debug-agent-9.") || !strings.Contains(text, `href="/jobs/`+d.ID+`"`) || !strings.Contains(text, `data-topics="job:`+s.failed.ID+`"`) {
		t.Error("the job's page says nothing of its session, or does not hear of its end")
	}
	if _, text = s.get("/workflows/" + s.workflow.ID); strings.Contains(text, d.ID) {
		t.Error("the session is among the jobs of the workflow")
	}
	w := s.debugSession(s.lost)
	if _, text = s.get("/jobs/" + w.ID); !strings.Contains(text, "It waits for an agent") {
		t.Error("a session that waits does not say so")
	}
	if _, text = s.get("/jobs/" + s.lost.ID); !strings.Contains(text, "A debug session waits for an agent.") {
		t.Error("the job's page says nothing of a session that waits")
	}
	d.State, d.Result, d.FinishedAt = signalbox.JobFinished, signalbox.JobStopped, s.now()
	s.write(func(tx *store.Tx) error { return tx.UpdateJob(d, signalbox.JobRunning, "user:mei", "stopped", "") })
	if _, text = s.get("/jobs/" + d.ID); strings.Contains(text, "ssh ") || !strings.Contains(text, "It is over") {
		t.Error("a session that is over still says how to get in")
	}
	if _, text = s.get("/jobs/" + s.failed.ID); strings.Contains(text, "Debug session open") {
		t.Error("the job's page shows a session that is over")
	}
}

func TestCmdWord(t *testing.T) {
	for in, want := range map[string]string{"box.example": "box.example", "": "HOST", "-oProxyCommand=x": "HOST", "a b": "HOST", "a;id": "HOST", "bücher": "HOST"} {
		if got := cmdWord(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
