package api_test

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestAgentsThatAreNotWell(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const path = "/api/v1alpha/agents"
	show := func() any { return w.expect(200, w.call("GET", path+"/golden-agent-1", "")) }
	change := func(body string) any { return w.expect(200, w.call("POST", path, body)) }
	w.write(func(tx *store.Tx) error {
		a, err := tx.AgentByName("golden-agent-1")
		if err != nil {
			return err
		}
		return tx.SetProblems(a, []signalbox.Problem{{Code: "disk_low", Detail: "1 GiB is free"}}, "test")
	})
	got := show()
	if dig(got, "metadata", "problems", 0, "code") != "disk_low" || dig(got, "status", "suspect") != false || dig(got, "metadata", "quarantine") != nil {
		t.Errorf("%v", got)
	}
	if out := change(`{"action":"quarantine","names":["golden-agent-1"]}`); dig(out, "agents", 0, "done") != true {
		t.Errorf("%v", out)
	}
	got = show()
	if at, _ := dig(got, "metadata", "quarantined_at").(float64); at == 0 || dig(got, "metadata", "quarantine", "why") != "set aside by hand" {
		t.Errorf("%v", got)
	}
	if out := change(`{"action":"release","names":["golden-agent-1"]}`); dig(out, "agents", 0, "done") != true || dig(show(), "metadata", "quarantine") != nil {
		t.Errorf("%v", out)
	}
	a := w.call("POST", path, `{"action":"drain","names":["golden-agent-1"],"host_gone":true}`)
	if text := w.expect(400, a); !strings.Contains(dig(text, "message").(string), "delete only") {
		t.Errorf("%v", text)
	}
	change(`{"action":"delete","names":["golden-agent-2"],"host_gone":true}`)
	w.expect(404, w.call("GET", path+"/golden-agent-2", ""))
}

func TestHealthSettingsOfAgentTypes(t *testing.T) {
	w := newWorld(t)
	w.fill()
	made := w.expect(200, w.call("POST", types, `{"metadata":{"name":"s1-new"}}`))
	if dig(made, "spec", "quarantine", "failures") != 3.0 || dig(made, "spec", "quarantine", "of") != 5.0 || dig(made, "spec", "lease") != 0.0 || dig(made, "spec", "ephemeral") != false {
		t.Errorf("a new type: %v", made)
	}
	got := w.expect(200, w.call("PATCH", types+"/s1-new", `{"spec":{"quarantine":{"failures":0,"of":0},"lease":120,"ephemeral":true}}`))
	if dig(got, "spec", "quarantine", "failures") != 0.0 || dig(got, "spec", "lease") != 120.0 || dig(got, "spec", "ephemeral") != true {
		t.Errorf("changed: %v", got)
	}
	if got := w.expect(200, w.call("PATCH", types+"/s1-new", `{"spec":{"forks":true}}`)); dig(got, "spec", "lease") != 120.0 || dig(got, "spec", "ephemeral") != true {
		t.Errorf("what is not named stays: %v", got)
	}
	for _, bad := range []string{`{"lease":119}`, `{"lease":-1}`, `{"quarantine":{"failures":4,"of":3}}`, `{"quarantine":{"failures":1,"of":51}}`, `{"quarantine":{"failures":0,"of":3}}`} {
		w.expect(400, w.call("PATCH", types+"/s1-new", `{"spec":`+bad+`}`))
	}
}
