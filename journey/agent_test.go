package journey

import (
	"strings"
	"testing"
	"time"
)

// Disabled while it has a job, an agent finishes the job and leaves.
func TestJourneyJ10DisableBusyAgentDrains(t *testing.T) {
	needs(t, "curl", "git")
	w := newServer(t)
	w.signalbox("agent-type", "create", "s1-linux")
	agent := w.connect("s1-linux")
	w.shows("#connect-status h2", "is connected")
	flag := w.path("go-on")
	bare := w.repository("slow", map[string]string{".semaphore/semaphore.yml": `version: v1.0
name: Slow
agent: {machine: {type: s1-linux}}
blocks:
  - name: Wait
    task:
      jobs:
        - name: wait
          commands: ["until [ -e ` + flag + ` ]; do sleep 0.1; done"]
        - name: next
          commands: ["true"]
`})
	w.signalbox("project", "create", "slow", "--git", bare)
	w.signalbox("workflow", "start", "slow")

	w.open("/agents")
	w.shows("#types", "Busy")
	w.open(eval[string](w, `document.querySelector("#types td a").href`))
	w.shows("#head", "Busy")
	w.press("Disable…")
	w.press("Disable")
	w.shows("#head", "Draining")
	w.shows("#head", "Leaves after its job")
	w.picture("agent-draining")
	select {
	case <-agent.done:
		t.Fatalf("the agent did not finish its job: %s", agent.out)
	case <-time.After(500 * time.Millisecond):
	}
	w.stay()
	w.write("go-on", "")
	w.shows("#head", "Gone")
	w.shows("#agent", "Passed")
	w.stayed()
	<-agent.done
	// It has had its job and no other: that one waits, and says for what.
	if jobs := eval[int](w, `document.querySelectorAll("#agent section[aria-label=Jobs] tbody tr").length`); jobs != 1 {
		t.Errorf("it ran %d jobs", jobs)
	}
	w.open("/activity")
	w.shows("#list", "next")
	w.picture("agents-after")
}

// A new token: who is connected goes on, or leaves when asked to; the old one lets nobody in.
func TestJourneyJ11ResetToken(t *testing.T) {
	needs(t, "curl")
	w := newServer(t)
	w.open("/agents/self_hosted/new")
	w.press("Create and connect")
	w.shows("#connect-status h2", "Waiting for")
	old := w.line("Try it in a terminal")
	first := w.shell(old)
	w.shows("#connect-status h2", "is connected")

	reset := func(disconnect bool) {
		t.Helper()
		w.open("/agents/self_hosted/s1-linux")
		w.press("Replace all tokens…")
		w.shows("form[action$=reset_token] label", "connected agents stop their jobs and leave")
		if disconnect {
			eval[bool](w, `(document.querySelector("[name=disconnect_running_agents]").checked = true)`)
		}
		w.press("Replace")
		w.shows("#new-token", "It is shown only now")
	}
	reset(false)
	w.picture("token-reset")
	select {
	case <-first.done:
		t.Fatalf("the connected agent left: %s", first.out)
	case <-time.After(time.Second):
	}
	w.press("Connect an agent with it")
	w.shows("#connect-status h2", "is connected") // the first one still is
	fresh := w.line("Try it in a terminal")
	if fresh == old {
		t.Fatal("the page has the old token still")
	}
	w.shell(old)
	w.shows("#connect-status .feed .is-failed", "Refused: revoked token")
	w.press("Add another")
	w.shows("#connect-status h2", "Waiting for")
	second := w.shell(fresh)
	w.shows("#connect-status h2", "is connected")
	if n := strings.Count(w.signalbox("agents"), "s1-linux"); n != 2 {
		t.Errorf("%d agents are connected", n)
	}
	reset(true)
	for _, p := range []*process{first, second} {
		select {
		case <-p.done:
		case <-time.After(patience):
			t.Errorf("an agent stayed: %s", p.out)
		}
	}
}
