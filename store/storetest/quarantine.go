package storetest

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testQuarantine(s *suite) {
	w := s.world()
	a, b := s.agent(w, "a"), s.agent(w, "b")
	at := time.UnixMilli(1_700_000_000_123).UTC()
	n := 0
	end := func(g *signalbox.Agent, result signalbox.JobResult, fetched bool, ended time.Time) *signalbox.Attempt {
		n++
		j := s.job(w, n, 50)
		t := &signalbox.Attempt{JobID: j.ID, N: 1, AgentID: g.ID, AgentName: g.Name, State: signalbox.AttemptEnded, Result: result, EndedAt: ended}
		if fetched {
			t.FetchedAt = at
		}
		s.write(func(tx *store.Tx) error { return tx.CreateAttempt(t, "test") })
		return t
	}
	one := end(a, signalbox.JobFailed, true, at.Add(time.Second))
	end(a, signalbox.JobStopped, true, at.Add(2*time.Second))
	end(a, signalbox.JobFailed, false, at.Add(3*time.Second))
	end(a, "", true, at.Add(4*time.Second)) // withdrawn
	two := end(a, signalbox.JobPassed, true, at.Add(5*time.Second))
	end(b, signalbox.JobFailed, true, at.Add(6*time.Second))
	old := end(a, signalbox.JobPassed, true, at)
	list := func(limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Attempt, error) { return t.EndedOn(a, limit) }), func(t *signalbox.Attempt) string { return t.ID })
	}
	s.equal("newest first", list(10), []string{two.ID, one.ID, old.ID})
	s.equal("so many", list(1), []string{two.ID})
	a.CountsSince = at.Add(time.Millisecond)
	s.equal("since", list(10), []string{two.ID, one.ID})

	where := &signalbox.Elsewhere{Result: signalbox.JobPassed, JobID: "x", Agent: "b"}
	s.write(func(t *store.Tx) error { return t.SaveElsewhere(one.ID, where) })
	s.equal("elsewhere", get(s, func(t *store.Tx) (*signalbox.Attempt, error) { return t.Attempt(one.ID) }).Elsewhere, where)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.SaveElsewhere("nobody", where) })

	a.QuarantinedAt = at
	a.Quarantine = &signalbox.Quarantine{By: "x", Why: "y", Evidence: []signalbox.Evidence{{JobID: "z", Attempt: 2, EndedAt: at, Elsewhere: where}}}
	s.write(func(t *store.Tx) error { return t.UpdateAgent(a, "", "x", "quarantined", "") })
	s.equal("set aside", get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.Agent(a.ID) }), a)
	sick := func() [2]int {
		var out [2]int
		s.write(func(t *store.Tx) (err error) { out[0], out[1], err = t.Sick(w.agentType.ID); return err })
		return out
	}
	s.equal("one of two", sick(), [2]int{2, 1})
	gone := *b
	gone.State = signalbox.AgentDisconnected
	s.write(func(t *store.Tx) error { return t.UpdateAgent(&gone, "", "x", "", "") })
	s.equal("who has left does not count", sick(), [2]int{1, 1})
	a.QuarantinedAt, a.Quarantine = time.Time{}, nil
	s.write(func(t *store.Tx) error { return t.UpdateAgent(a, "", "x", "released", "") })
	s.equal("released", get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.Agent(a.ID) }), a)
}

func testProblems(s *suite) {
	w := s.world()
	a := s.agent(w, "a")
	s.agent(w, "b")
	read := func() *signalbox.Agent {
		return get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.Agent(a.ID) })
	}
	set := func(ps ...signalbox.Problem) {
		s.Helper()
		g := read()
		s.write(func(t *store.Tx) error { return t.SetProblems(g, ps, "agent:a") })
	}
	low, off := signalbox.Problem{Code: "disk_low", Detail: "1 GB"}, signalbox.Problem{Code: "clock_off"}
	set(low, off)
	s.equal("stored", read().Problems, []signalbox.Problem{low, off})
	s.equal("counted", get(s, (*store.Tx).Problems), map[string]map[string]int{"s1-linux": {"disk_low": 1, "clock_off": 1}})
	low.Detail = "2 GB"
	set(low, off)
	s.equal("other details", read().Problems, []signalbox.Problem{low, off})
	set()
	s.equal("none", read().Problems, []signalbox.Problem(nil))
	s.equal("nothing to count", get(s, (*store.Tx).Problems), map[string]map[string]int{})
	s.equal("history", s.reasons("agent", a.ID), []string{"registered", "reports problems", "reports no problems"})
}

func testLeases(s *suite) {
	w := s.world()
	a, b := s.agent(w, "a"), s.agent(w, "b")
	at := &signalbox.Attempt{JobID: s.job(w, 1, 50).ID, N: 1, AgentID: a.ID, AgentName: "a", State: signalbox.AttemptFetched}
	other := &signalbox.Attempt{JobID: s.job(w, 2, 50).ID, N: 1, AgentID: b.ID, AgentName: "b", State: signalbox.AttemptRunning}
	s.write(func(t *store.Tx) error {
		if err := t.CreateAttempt(at, "x"); err != nil {
			return err
		}
		return t.CreateAttempt(other, "x")
	})
	s.equal("none yet", get(s, (*store.Tx).Leases), map[string]time.Duration{})
	at.State, at.Lease = signalbox.AttemptRunning, 2*time.Minute
	s.write(func(t *store.Tx) error { return t.UpdateAttempt(at, signalbox.AttemptFetched, "x", "running", "") })
	s.equal("one", get(s, (*store.Tx).Leases), map[string]time.Duration{a.ID: 2 * time.Minute})
	at.State = signalbox.AttemptEnded
	s.write(func(t *store.Tx) error { return t.UpdateAttempt(at, signalbox.AttemptRunning, "x", "ended", "") })
	s.equal("over", get(s, (*store.Tx).Leases), map[string]time.Duration{})
}
