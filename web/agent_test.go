package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestAgentPage(t *testing.T) {
	s := newBusySite(t)
	s.fillFleet()
	const path = "/agents/self_hosted/s1-linux/agents/gpu-agent-with-a-rather-long-name-0123456789"
	_, text := s.get(path)
	checkPage(t, text)
	s.has(text, "gpu-01.harbour.example", "gpu zone=eu-1a", "3 of its last 4 jobs failed", "&lt;script&gt;alert(2)", "It has run no job yet")
	if strings.Contains(text, "192.0.2.8") || strings.Contains(text, "Disable") {
		t.Error("a member is shown an address or a button")
	}
	s.as(signalbox.RoleAdmin)
	_, text = s.get(path)
	s.has(text, "192.0.2.8", "Disable…", "Release")
	status, h, _ := s.do("POST", "/agents", url.Values{"agent": {"gpu-agent-with-a-rather-long-name-0123456789"}, "action": {"drain"}, "back": {path}})
	if status != 303 || h.Get("Location") != path {
		t.Errorf("drain: %d to %q", status, h.Get("Location"))
	}
	_, text = s.get(path)
	s.has(text, "Draining", "Let it stay")
	s.write(func(tx *store.Tx) error {
		a, err := tx.AgentByName("gpu-agent-with-a-rather-long-name-0123456789")
		if err != nil {
			return err
		}
		a.State, a.GoneAt, a.GoneReason = signalbox.AgentDisconnected, s.now(), signalbox.ReasonAgentLost
		return tx.UpdateAgent(a, a.AttemptID, "server", "gone", "")
	})
	_, text = s.get(path)
	s.has(text, "Gone", "agent lost")
	for _, missing := range []string{"/agents/self_hosted/s1-linux/agents/nobody", "/agents/self_hosted/s1-none/agents/build-03", "/agents/self_hosted/s1-mac/agents/build-03"} {
		if status, _ := s.get(missing); status != 404 {
			t.Errorf("%s: %d", missing, status)
		}
	}
	// A name may hold what an address cannot.
	s.site.agent(s.agentType, "rack/1+a")
	_, text = s.get("/agents/all?q=rack")
	s.has(text, `href="/agents/self_hosted/s1-linux/agents/rack/1&#43;a"`)
	if status, _ := s.get("/agents/self_hosted/s1-linux/agents/rack/1+a"); status != 200 {
		t.Errorf("a name with a slash: %d", status)
	}
}

// Ten thousand agents: pages of a hundred, lists that are cut, and an answer in good time.
func TestManyAgents(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	typ := s.agentType("s1-many")
	const many = 10_000
	var agents []*signalbox.Agent
	var hashes []string
	for i := range many {
		agents = append(agents, &signalbox.Agent{
			AgentTypeID: typ.ID, Name: fmt.Sprintf("agent-%05d", i), State: signalbox.AgentRegistered, Version: fmt.Sprintf("1.%d.0", i%3), OS: []string{"linux", "darwin"}[i%2],
			Arch: "x86_64", Hostname: fmt.Sprintf("host-%05d", i), IP: fmt.Sprintf("10.0.%d.%d", i/250, i%250),
		})
		hashes = append(hashes, fmt.Sprint("hash-", i))
	}
	s.write(func(tx *store.Tx) error { _, err := tx.CreateAgents(agents, hashes); return err })
	for _, c := range []struct {
		path  string
		rows  int
		wants []string
	}{
		{"/agents", agentsShown, []string{"9,950 more", "0 of 10,000\u00a0agents busy"}},
		{"/agents/self_hosted/s1-many", agentsShown, []string{"show all 10,000"}},
		{"/agents/all", agentPage, []string{"1 to 100 of 10,000", "More agents"}},
		{"/agents/all?page=100", agentPage, []string{"9,901 to 10,000 of 10,000", "agent-09999"}},
		{"/agents/all?page=999999", agentPage, []string{"agent-09999"}},
		{"/agents/all?q=HOST-0123+agent", 10, []string{"1 to 10 of 10, of 10,000 in all", "agent-01239"}},
		{"/agents/all?q=10.0.4.17", 11, []string{"agent-01017"}},
		{"/agents/all?os=darwin%2C+x86_64&version=1.2.0&state=Idle&type=s1-many", agentPage, []string{"of 1,666"}},
		{"/agents/all?state=Lost", 0, []string{"No agent matches"}},
		{"/agents/all?type=<script>", 0, []string{"No agent matches"}},
	} {
		status, text := s.get(c.path)
		rows := strings.Count(text, `name="agent" value=`)
		if status != 200 || rows != c.rows {
			t.Errorf("%s: %d with %d rows, want %d", c.path, status, rows, c.rows)
		}
		for _, want := range c.wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q", c.path, want)
			}
		}
		if len(text) > 100_000 {
			t.Errorf("%s has %d bytes", c.path, len(text))
		}
	}
}

// An agent that is to leave and has no job is not busy.
func TestWhoCountsAsBusy(t *testing.T) {
	now := time.Now()
	agent := func(attempt string, drains bool) agentPulse {
		a := &signalbox.Agent{ID: signalbox.NewID(), Name: "a", State: signalbox.AgentRegistered, AttemptID: attempt, JobID: attempt, CreatedAt: now}
		if drains {
			a.DrainAt, a.DisabledAt = now, now
		}
		p := a.Pulse(now)
		return agentPulse{&p, agentLamp(p, now, nil, now)}
	}
	var row typeRow
	row.count([]agentPulse{agent("", false), agent("job", false), agent("", true), agent("job", true)})
	if row.Busy != 2 || row.Idle != 1 || row.Gone != 1 || typeSentence(typeRow{Known: true, Total: row.Total, Busy: row.Busy}) != "2 of 4\u00a0agents busy" {
		t.Errorf("%d busy, %d idle, %d away", row.Busy, row.Idle, row.Gone)
	}
}
