package web

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/fleet"
)

// ran stores jobs of an agent type that ended an hour ago; each had waited so long.
func (s *site) ran(agentType string, waits ...time.Duration) {
	s.t.Helper()
	ppl := s.pipeline(s.workflow(s.project("of-"+agentType), "main", "x"), signalbox.Pipeline{State: signalbox.PipelineRunning})
	b := s.block(ppl, signalbox.Block{State: signalbox.BlockRunning})
	for i, w := range waits {
		s.job(ppl, b, signalbox.Job{
			Index: i, AgentType: agentType, State: signalbox.JobFinished, Result: signalbox.JobPassed, QueuedAt: s.ago(2 * time.Hour), StartedAt: s.ago(2*time.Hour - w), FinishedAt: s.ago(time.Hour),
		})
	}
}

func TestUsage(t *testing.T) {
	s := newSite(t)
	at := s.now()
	s.pass(-4 * time.Hour)
	typ := s.agentType("s1-linux")
	s.agent(typ, "one")
	s.pass(4 * time.Hour)
	s.agentType("s1-none")
	s.ran("s1-linux", 0, 20*time.Minute, 10*time.Minute)
	if !s.now().Equal(at) {
		t.Fatal(s.now())
	}
	const path = "/agents/self_hosted/s1-linux/usage"
	s.as(signalbox.RoleViewer)
	s.says(path, []string{
		"<dt>Busy</dt><dd>63\u00a0% <small>of 4 h of agents", "<dt>Jobs that ended</dt><dd>3</dd>", "<dd>10\u00a0min <small>95\u00a0% within 20\u00a0min",
		`<dd>3 <small class="warn">there were 1, <time`, ">24 hours</a>", `href="/agents/self_hosted/s1-linux/usage?range=7d">7 days`, "&#34;desired_agents&#34;: 0", "/api/v1/self_hosted_agents/metrics",
	}, []string{"only the newest"})
	s.says(path+"?range=7d", []string{`?range=7d" aria-current="true">7 days`, "<dt>Jobs that ended</dt><dd>3</dd>"}, nil)
	s.says("/agents/usage", []string{
		`<a class="mono" href="` + path + `">s1-linux</a>`, "63\u00a0%", "half within 10\u00a0min", "95\u00a0% within 20\u00a0min", `<span class="warn">there were 1</span>`, "s1-none", "no agent", "no job began",
	}, []string{"Refused"})
	s.as(signalbox.RoleAdmin)
	s.says("/agents/usage", []string{"Refused<span"}, nil)
	for _, page := range []string{"/agents", "/agents/all", "/agents/refused"} {
		s.says(page, []string{`<a href="/agents/usage">Usage</a>`, `<a href="` + page + `" aria-current="page">`}, nil)
	}
	s.says("/agents/self_hosted/s1-linux", []string{`href="` + path + `"`}, nil)
	for _, c := range []struct {
		path   string
		status int
	}{{path + "?range=1y", 400}, {"/agents/usage?range=%00", 400}, {"/agents/self_hosted/s1-nowhere/usage", 404}} {
		if status, _ := s.get(c.path); status != c.status {
			t.Errorf("%s: status %d, want %d", c.path, status, c.status)
		}
	}

	status, head, text := s.do("GET", path+"?format=csv", nil)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if status != 200 || head.Get("Content-Type") != "text/csv; charset=utf-8" || len(lines) != 97 || lines[0] != "agent_type,from,agents,busy,waiting,most_at_once" {
		t.Fatalf("%d, %v, %d lines: %.200s", status, head, len(lines), text)
	}
	// In the second quarter of the two hours one job still waits for five minutes.
	if want := "s1-linux," + s.ago(2*time.Hour-15*time.Minute).Format(time.RFC3339) + ",1,2.667,0.333,3"; lines[97-7] != want {
		t.Errorf("%q, want %q", lines[97-7], want)
	}
}

func TestJobsOfAnAgentType(t *testing.T) {
	s := newSite(t)
	typ := s.agentType("s1-linux")
	s.agent(typ, "one")
	s.ran("s1-linux", time.Second)
	s.says("/agents/self_hosted/s1-linux", []string{"Jobs that ended", "the newest 1<", "of-s1-linux", ">Passed<"}, nil)
	s.agentType("s1-none")
	s.says("/agents/self_hosted/s1-none", nil, []string{"Jobs that ended"})
}

func TestUsageOfTheNewestJobs(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	v := newUsageView("s1-linux", &fleet.Usage{From: now.Add(-3 * time.Hour), To: now, Cut: true}, now)
	if v.Since == nil || v.Since.Unix != now.Add(-3*time.Hour).Unix() {
		t.Errorf("%+v", v.Since)
	}
	if v = newUsageView("s1-linux", &fleet.Usage{From: now.Add(-3 * time.Hour), To: now}, now); v.Since != nil {
		t.Errorf("%+v", v.Since)
	}
}

func TestUsageChart(t *testing.T) {
	from := time.Unix(0, 0)
	u := &fleet.Usage{From: from, To: from.Add(4 * time.Hour), Points: []fleet.UsagePoint{{Agents: 2, Busy: 1}, {Agents: 2, Busy: 2, Waiting: 1}, {Agents: 1, Busy: 1, Waiting: 2}, {}}}
	want := &usageChart{
		Width: 960, Height: 180, Top: "4", Half: "2",
		Busy:    "M0 180L0 135.0H240L240 90.0H480L480 135.0H720L720 180.0H960L960 180Z",
		Waiting: "M240 45.0H480L480 45.0H720L720 135.0H480L480 90.0H240Z",
		Agents:  "M0 90.0H240L240 90.0H480L480 135.0H720L720 180.0H960",
		Lines:   []int{240, 480, 720}, Labels: []string{"−24\u00a0h", "−18\u00a0h", "−12\u00a0h", "−6\u00a0h", "now"},
	}
	if d := cmp.Diff(want, newUsageChart(u, fleet.UsageSpans[0])); d != "" {
		t.Error(d)
	}
	if c := newUsageChart(u, fleet.UsageSpans[1]); len(c.Lines) != 6 || c.Labels[0] != "−7\u00a0d" {
		t.Errorf("%+v", c)
	}
	u.Cut = true
	if c := newUsageChart(u, fleet.UsageSpans[0]); len(c.Lines) != 0 || len(c.Labels) != 2 || c.Labels[1] != "now" {
		t.Errorf("%+v", c)
	}
	for v, top := range map[float64]int{0: 2, 2: 2, 2.1: 4, 9: 10, 11: 20, 61: 80, 100: 100, 101: 200, 9999: 10000} {
		if got := scaleTop(v); got != top {
			t.Errorf("the scale for %g ends at %d, want %d", v, got, top)
		}
	}
	for f, want := range map[float64]string{0: "0", 0.04: "0", 1: "1", 1.25: "1.2", 99.9: "99.9", 99.96: "100", 12345.6: "12,346"} {
		if got := decimal(f); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
	if got := sparkline([]fleet.UsagePoint{{Busy: 2}, {}, {Busy: 1}}); got != "M0 22v-22h3v22zM64 22v-11h3v11z" {
		t.Error(got)
	}
	for d, want := range map[time.Duration]string{0: "a second", 3 * time.Second: "3\u00a0s", 10 * time.Minute: "10\u00a0min"} {
		if got := shortly(d); got != want {
			t.Error(got)
		}
	}
}
