package storetest

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testJobCounts(s *suite) {
	count := func() (out []store.JobCount) {
		for _, c := range get(s, (*store.Tx).JobCounts) {
			out = append(out, *c)
		}
		return out
	}
	s.equal("nothing", count(), []store.JobCount(nil))
	w := s.world()
	first := s.job(w, 0, 50)
	for i := range 4 {
		s.job(w, i+1, 50)
	}
	other := s.secondProject("other", 3)
	theirs := s.job(other, 0, 50)
	become := func(j *signalbox.Job, to signalbox.JobState) {
		from := j.State
		j.State = to
		s.write(func(t *store.Tx) error { return t.UpdateJob(j, from, "test", string(to), "") })
	}
	become(first, signalbox.JobOffered)
	become(theirs, signalbox.JobRunning)
	var oldest []*signalbox.Job
	s.write(func(t *store.Tx) (err error) { oldest, err = t.ClaimJobs("s1-linux", 1); return err })
	a := store.JobCount{AgentType: "s1-linux", ProjectID: w.project.ID, Queued: 4, Offered: 1, Oldest: oldest[0].QueuedAt}
	b := store.JobCount{AgentType: "s1-linux", ProjectID: other.project.ID, Limit: 3, Running: 1}
	if b.ProjectID < a.ProjectID {
		a, b = b, a
	}
	s.equal("queued, offered and running", count(), []store.JobCount{a, b})
	become(theirs, signalbox.JobFinished)
	s.equal("without those that are finished", len(count()), 1)
}

func testAgentCounts(s *suite) {
	w := s.world()
	mac := w
	mac.agentType = &signalbox.AgentType{Name: "s1-mac"}
	s.write(func(t *store.Tx) error { return t.CreateAgentType(mac.agentType, "test") })
	count := func(agentType string, since time.Time) (out []store.AgentCount) {
		for _, c := range get(s, func(t *store.Tx) ([]*store.AgentCount, error) { return t.CountAgents(agentType, since) }) {
			out = append(out, *c)
		}
		return out
	}
	s.equal("nothing", count("", time.Time{}), []store.AgentCount(nil))
	one := s.agent(w, "one")
	s.agent(w, "two")
	s.agent(mac, "mac")
	alike := store.AgentCount{AgentType: "s1-linux", State: signalbox.AgentRegistered, Agents: 2}
	theirs := store.AgentCount{AgentType: "s1-mac", State: signalbox.AgentRegistered, Agents: 1}
	s.equal("of all types", count("", time.Time{}), []store.AgentCount{alike, theirs})
	s.equal("of one type", count("s1-mac", time.Time{}), []store.AgentCount{theirs})
	silent := theirs
	silent.Silent = true
	s.equal("not heard of since", count("s1-mac", time.Now().Add(time.Hour)), []store.AgentCount{silent})

	for name, c := range map[string]struct {
		change func(*signalbox.Agent)
		want   store.AgentCount
	}{
		"busy":         {func(a *signalbox.Agent) { a.AttemptID, a.JobID = "attempt", "job" }, store.AgentCount{Busy: true}},
		"disabled":     {func(a *signalbox.Agent) { a.DisabledAt = time.UnixMilli(1) }, store.AgentCount{Disabled: true}},
		"quarantined":  {func(a *signalbox.Agent) { a.QuarantinedAt = time.UnixMilli(1) }, store.AgentCount{Quarantined: true}},
		"draining":     {func(a *signalbox.Agent) { a.DrainAt = time.UnixMilli(1) }, store.AgentCount{Draining: true}},
		"interrupted":  {func(a *signalbox.Agent) { a.InterruptedAt = time.UnixMilli(1) }, store.AgentCount{Interrupted: true}},
		"disconnected": {func(a *signalbox.Agent) { a.State = signalbox.AgentDisconnected }, store.AgentCount{State: signalbox.AgentDisconnected}},
	} {
		changed := *one
		c.change(&changed)
		s.write(func(t *store.Tx) error { return t.UpdateAgent(&changed, "", "test", "", "") })
		c.want.AgentType, c.want.Agents = "s1-linux", 1
		if c.want.State == "" {
			c.want.State = signalbox.AgentRegistered
		}
		rest := alike
		rest.Agents = 1
		found := count("s1-linux", time.Time{})
		if len(found) != 2 || found[0] != c.want && found[1] != c.want || found[0] != rest && found[1] != rest {
			s.Errorf("%s: %+v", name, found)
		}
		s.write(func(t *store.Tx) error {
			back := *one
			return t.UpdateAgent(&back, changed.AttemptID, "test", "", "")
		})
	}
	gone := *one
	gone.GoneAt = time.UnixMilli(1)
	s.write(func(t *store.Tx) error { return t.UpdateAgent(&gone, "", "test", "", "") })
	alike.Agents = 1
	s.equal("without those that are gone", count("s1-linux", time.Time{}), []store.AgentCount{alike})
}
