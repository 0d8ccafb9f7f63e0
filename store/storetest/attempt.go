package storetest

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testAttempt(s *suite) {
	w := s.world()
	one, two := s.job(w, 0, 50), s.job(w, 1, 50)
	agentA, agentB := signalbox.NewID(), signalbox.NewID()
	create := func(job, agent string, n int) *signalbox.Attempt {
		s.Helper()
		a := &signalbox.Attempt{JobID: job, N: n, AgentID: agent, AgentName: "name of " + agent, State: signalbox.AttemptOffered}
		s.write(func(t *store.Tx) error { return t.CreateAttempt(a, "dispatch") })
		return a
	}
	conflict := func(job, agent string, n int) {
		s.Helper()
		s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
			return t.CreateAttempt(&signalbox.Attempt{JobID: job, N: n, AgentID: agent, State: signalbox.AttemptOffered}, "dispatch")
		})
	}
	read := func(id string) *signalbox.Attempt {
		return get(s, func(t *store.Tx) (*signalbox.Attempt, error) { return t.Attempt(id) })
	}
	a := create(one.ID, agentA, 1)
	s.equal("by id", read(a.ID), a)
	conflict(one.ID, agentB, 2) // one open attempt per job
	conflict(two.ID, agentA, 1) // one open attempt per agent

	stale := func(before time.Time) []string {
		list := get(s, func(t *store.Tx) ([]*signalbox.Attempt, error) { return t.StaleOffers(before, 10) })
		return ids(list, func(a *signalbox.Attempt) string { return a.ID })
	}
	s.equal("offers older than this one", stale(a.OfferedAt), []string(nil))
	s.equal("offers up to this one", stale(a.OfferedAt.Add(time.Millisecond)), []string{a.ID})
	setBack := get(s, func(t *store.Tx) ([]*signalbox.Attempt, error) {
		t.Now = a.OfferedAt.Add(-2 * signalbox.ClockSlack)
		return t.StaleOffers(t.Now.Add(-time.Minute), 10)
	})
	s.equal("an offer in the future", ids(setBack, func(a *signalbox.Attempt) string { return a.ID }), []string{a.ID})

	at := time.UnixMilli(1_700_000_000_123).UTC()
	a.State, a.FetchedAt, a.RunningAt, a.StopRequestedAt = signalbox.AttemptRunning, at, at.Add(1e6), at.Add(2e6)
	s.write(func(t *store.Tx) error { return t.UpdateAttempt(a, signalbox.AttemptOffered, "agent", "running", "") })
	s.equal("running", read(a.ID), a)
	s.equal("offers when it runs", stale(a.OfferedAt.Add(time.Hour)), []string(nil))
	// Withdrawing and fetching are compare-and-set on one row: only one of them happens.
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		withdrawn := *a
		withdrawn.State = signalbox.AttemptEnded
		return t.UpdateAttempt(&withdrawn, signalbox.AttemptOffered, "dispatch", "withdrawn", "")
	})
	conflict(one.ID, agentB, 2)

	a.State, a.Result, a.Reason, a.EndedAt, a.LateResult = signalbox.AttemptEnded, signalbox.JobFailed, signalbox.ReasonAgentLost, at.Add(3e6), signalbox.JobPassed
	s.write(func(t *store.Tx) error { return t.UpdateAttempt(a, signalbox.AttemptRunning, "agent", "ended", "") })
	s.equal("ended", read(a.ID), a)
	s.equal("history", s.reasons("attempt", a.ID), []string{"offered", "running", "ended"})

	conflict(one.ID, agentB, 1) // the number is taken
	b := create(one.ID, agentA, 2)
	conflict(two.ID, agentA, 1)
	create(two.ID, agentB, 1)
	id := func(a *signalbox.Attempt) string { return a.ID }
	s.equal("of the job", ids(get(s, func(t *store.Tx) ([]*signalbox.Attempt, error) { return t.Attempts(one.ID) }), id), []string{a.ID, b.ID})
	s.equal("newest on the agent", get(s, func(t *store.Tx) (*signalbox.Attempt, error) { return t.LatestAttemptOn(one.ID, agentA) }), b)
	s.equal("who has fetched what", get(s, func(t *store.Tx) (map[store.Tried]bool, error) {
		return t.Tried([]string{one.ID, two.ID, "other"}, []string{agentA, agentB, "other"})
	}), map[store.Tried]bool{{JobID: one.ID, AgentID: agentA}: true}) // the others were only offered
	s.equal("nobody", get(s, func(t *store.Tx) (map[store.Tried]bool, error) { return t.Tried([]string{one.ID}, nil) }), map[store.Tried]bool(nil))
	s.missing("on another agent", func(t *store.Tx) error { _, err := t.LatestAttemptOn(one.ID, agentB); return err })
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Attempt(signalbox.NewID()); return err })
}
