package journey

import (
	"strings"
	"testing"
	"time"
)

// Somebody makes an agent type, copies the line, runs it on a machine that has nothing, and sees the page turn green.
func TestJourneyJ2ConnectAgent(t *testing.T) {
	needs(t, "curl")
	w := newServer(t)
	w.open("/agents")
	w.press("Add your first agent")
	w.shows("h1", "Create an agent type")
	w.picture("new-agent-type")
	w.press("Create and connect")
	w.shows("#connect-status h2", "Waiting for your first agent")
	w.shows("nav.seg a[aria-current]", "Linux")
	w.picture("connect-waiting")
	if text := eval[string](w, `document.querySelector("main").innerText`); strings.Contains(text, "SEMAPHORE_AGENT_TOKEN=") && !strings.Contains(text, "••••") {
		t.Errorf("the token can be read over a shoulder: %s", text)
	}
	w.stay()
	line := w.line("Try it in a terminal")
	agent := w.shell(line)
	w.shows("#connect-status h2", "is connected")
	w.stayed()
	w.picture("connect-connected")
	// The next one is waited for on the same page.
	w.press("Add another")
	w.shows("#connect-status h2", "Waiting for an agent")
	w.stay()
	w.shell(w.line("Try it in a terminal"))
	w.shows("#connect-status h2", "is connected")
	w.stayed()
	w.open("/agents/all")
	w.shows("#list", "2 of 2")
	// What was ticked stays ticked while the list changes under it.
	eval[bool](w, `(document.querySelector("#list input[type=checkbox]").checked = true)`)
	w.stay()
	w.shell(line)
	w.shows("#list", "3 of 3")
	w.stayed()
	if n := eval[int](w, `document.querySelectorAll("#list input:checked").length`); n != 1 {
		t.Errorf("%d agents are ticked", n)
	}
	select {
	case <-agent.done:
		t.Errorf("the agent has ended: %s", agent.out)
	default:
	}
}

// A token that lost a character shows on the page at once, with what to do.
func TestJourneyJ3WrongToken(t *testing.T) {
	needs(t, "curl")
	w := newServer(t)
	w.open("/agents/self_hosted/new")
	w.press("Create and connect")
	w.shows("#connect-status h2", "Waiting for")
	line := w.line("Try it in a terminal")
	token, _, _ := strings.Cut(strings.SplitN(line, "SEMAPHORE_AGENT_TOKEN=", 2)[1], " ")
	w.stay()
	begin := time.Now()
	w.shell(strings.Replace(line, token, token[:len(token)-1], 1))
	w.shows("#connect-status .feed .is-failed", "Refused: unknown token")
	w.shows("#connect-status .feed .is-failed", "Copy the whole command again")
	w.shows("#connect-status .feed .is-failed", "127.0.0.1")
	t.Logf("the refusal was on the page %s after the line was started", time.Since(begin).Round(10*time.Millisecond))
	w.stayed()
	w.picture("connect-refused")
	w.shows("#connect-status h2", "Waiting for")
	w.shell(line)
	w.shows("#connect-status h2", "is connected")
	w.stayed()
}
