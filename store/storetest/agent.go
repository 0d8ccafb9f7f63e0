package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func agentTypeName(a *signalbox.AgentType) string { return a.Name }

func agentName(a *signalbox.Agent) string { return a.Name }

func testAgentType(s *suite) {
	a := &signalbox.AgentType{Name: "s1-b", ReleaseAfter: 1500 * time.Millisecond, LostAfter: time.Hour, Quarantine: signalbox.QuarantineRule{Failures: 2, Of: 7}, Lease: 5 * time.Minute, Ephemeral: true}
	other := &signalbox.AgentType{Name: "s1-a"}
	s.write(func(t *store.Tx) error {
		return errors.Join(t.CreateAgentType(a, "ann"), t.CreateAgentType(other, "ann"))
	})
	read := func() *signalbox.AgentType {
		return get(s, func(t *store.Tx) (*signalbox.AgentType, error) { return t.AgentType("s1-b") })
	}
	s.equal("by name", read(), a)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.CreateAgentType(&signalbox.AgentType{Name: "s1-b"}, "ann") })
	s.equal("all, by name", ids(get(s, (*store.Tx).AgentTypes), agentTypeName), []string{"s1-a", "s1-b"})

	s.equal("by id", get(s, func(t *store.Tx) (*signalbox.AgentType, error) { return t.AgentTypeByID(a.ID) }), a)
	a.ReleaseAfter, a.LostAfter, a.Forks = 0, time.Minute, true
	a.Quarantine, a.Lease, a.Ephemeral = signalbox.QuarantineRule{}, 0, false
	a.Projects, a.ProjectIDs = signalbox.ProjectsAllowed, []string{"p", "q"}
	a.Naming = signalbox.AgentNaming{Origin: signalbox.NamesFromAWS, Account: "123456789012", Roles: []string{"ci-*", "x"}}
	s.write(func(t *store.Tx) error { return t.UpdateAgentType(a, "ann", "") })
	s.equal("after an update", read(), a)

	s.write(func(t *store.Tx) error { return t.DeleteAgentType(a.ID, "ann") })
	s.missing("deleted", func(t *store.Tx) error { _, err := t.AgentType("s1-b"); return err })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DeleteAgentType(a.ID, "ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.UpdateAgentType(a, "ann", "") })
	s.equal("history", s.reasons("agent_type", a.ID), []string{"created", "changed", "deleted"})
	s.write(func(t *store.Tx) error { return t.CreateAgentType(&signalbox.AgentType{Name: "s1-b"}, "ann") })
}

func testRegistrationToken(s *suite) {
	w := s.world()
	now := time.Now()
	token := func(hash string, expires time.Time) *signalbox.RegistrationToken {
		r := &signalbox.RegistrationToken{AgentTypeID: w.agentType.ID, Name: hash, ExpiresAt: expires}
		s.write(func(t *store.Tx) error { return t.CreateRegistrationToken(r, hash, "ann") })
		return r
	}
	token("old", time.Time{})
	token("expired", now.Add(-time.Hour))
	kept := token("kept", now.Add(time.Hour))
	find := func(hash string) error {
		return s.s.Read(context.Background(), func(t *store.Tx) error {
			r, err := t.RegistrationToken(hash)
			if err != nil {
				return err
			}
			if a, err := t.AgentTypeByID(r.AgentTypeID); err != nil || a.ID != w.agentType.ID {
				return err
			}
			_, err = r.Refuses(t.Now, "192.0.2.1")
			return err
		})
	}
	check := func(when string, want map[string]signalbox.Code) {
		for hash, code := range want {
			if err := find(hash); signalbox.ErrorCode(err) != code {
				s.Errorf("%s, token %s: %v, want code %q", when, hash, err, code)
			}
		}
	}
	check("at first", map[string]signalbox.Code{"old": "", "kept": "", "expired": signalbox.CodeNotFound, "unknown": signalbox.CodeNotFound})
	s.write(func(t *store.Tx) error { return t.ExpireRegistrationTokens(w.agentType.ID, kept.ID, t.Now, "ann") })
	check("after a reset", map[string]signalbox.Code{"old": signalbox.CodeNotFound, "kept": ""})
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: w.agentType.ID}, "kept", "ann")
	})
	s.write(func(t *store.Tx) error { return t.DeleteAgentType(w.agentType.ID, "ann") })
	check("after the type is gone", map[string]signalbox.Code{"kept": signalbox.CodeNotFound})
}

func testAgent(s *suite) {
	w := s.world()
	a := &signalbox.Agent{
		AgentTypeID: w.agentType.ID, AgentType: "s1-linux", Name: "one", State: signalbox.AgentRegistered, Version: "v2", UserAgent: "agent/v2",
		OS: "linux", Arch: "x86_64", Hostname: "host", PID: 42, IP: "10.0.0.1", SingleJob: true, IdleTimeout: time.Minute, GracePeriod: time.Second,
		Labels: map[string]string{"zone": "eu-1", "gpu": ""}, TokenID: "token",
	}
	s.write(func(t *store.Tx) error { return t.CreateAgent(a, "hash") })
	read := func() *signalbox.Agent {
		return get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.Agent(a.ID) })
	}
	s.equal("by id", read(), a)
	s.equal("by token", get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.AgentByToken("hash") }), a)
	s.equal("by name", get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.AgentByName("one") }), a)
	again := func() *signalbox.Agent {
		return &signalbox.Agent{AgentTypeID: w.agentType.ID, Name: "one", State: signalbox.AgentRegistered}
	}
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.CreateAgent(again(), "hash 2") })

	s.write(func(t *store.Tx) error { return t.SetAgentToken(a.ID, "new hash") })
	s.missing("by its old token", func(t *store.Tx) error { _, err := t.AgentByToken("hash"); return err })

	at := time.UnixMilli(1_700_000_000_123).UTC()
	a.AttemptID, a.JobID, a.DisabledAt, a.DrainAt, a.InterruptedAt = "attempt", "job", at, at.Add(1e6), at.Add(2e6)
	s.write(func(t *store.Tx) error {
		if _, err := t.LockAgent(a.ID); err != nil {
			return err
		}
		return t.UpdateAgent(a, "", "dispatch", "assigned", "")
	})
	s.equal("with a job", read(), a)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		b := *a
		b.AttemptID = "another"
		return t.UpdateAgent(&b, "", "dispatch", "assigned", "")
	})

	gone := *a
	gone.State, gone.AttemptID, gone.JobID, gone.GoneAt, gone.GoneReason = signalbox.AgentDisconnected, "", "", at, signalbox.ReasonAgentLost
	s.write(func(t *store.Tx) error { return t.UpdateAgent(&gone, "attempt", "dispatch", "", "") })
	s.equal("gone", read(), &gone)
	s.missing("by its token when gone", func(t *store.Tx) error { _, err := t.AgentByToken("new hash"); return err })
	s.missing("by its name when gone", func(t *store.Tx) error { _, err := t.AgentByName("one"); return err })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.UpdateAgent(&gone, "", "dispatch", "late", "") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.SetAgentToken(a.ID, "x") })
	s.equal("history", s.reasons("agent", a.ID), []string{"registered", "assigned"})
	s.write(func(t *store.Tx) error { return t.CreateAgent(again(), "hash 3") })
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Agent(signalbox.NewID()); return err })
	s.refused(signalbox.CodeNotFound, func(t *store.Tx) error { _, err := t.LockAgent(signalbox.NewID()); return err })
}

func testAgentLists(s *suite) {
	w := s.world()
	b, a, c := s.agent(w, "b"), s.agent(w, "a"), s.agent(w, "c")
	update := func(a *signalbox.Agent, change func(*signalbox.Agent)) {
		s.write(func(t *store.Tx) error {
			n := *a
			change(&n)
			return t.UpdateAgent(&n, "", "dispatch", "", "")
		})
	}
	update(b, func(a *signalbox.Agent) { a.AttemptID, a.JobID = "x", "y" })
	update(c, func(a *signalbox.Agent) { a.GoneAt = time.UnixMilli(1) })
	agents := func(typeID string) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Agent, error) { return t.Agents(typeID) }), agentName)
	}
	s.equal("all", agents(""), []string{"a", "b"})
	s.equal("of the type", agents(w.agentType.ID), []string{"a", "b"})
	s.equal("of another type", agents("x"), []string(nil))
	some := get(s, func(t *store.Tx) ([]*signalbox.Agent, error) { return t.AgentsNamed([]string{"b", "c", "nobody"}) })
	s.equal("by names", ids(some, agentName), []string{"b"})
	s.equal("how many", get(s, (*store.Tx).AgentCounts), map[string]int{w.agentType.ID: 2})
	s.write(func(t *store.Tx) error {
		locked, err := t.LockAgents([]string{a.ID, b.ID, c.ID, signalbox.NewID()})
		if len(locked) != 2 {
			s.Errorf("%d agents were locked, want those that are not gone", len(locked))
		}
		return err
	})
	since := func(at time.Time) int {
		return len(get(s, func(t *store.Tx) ([]*signalbox.Agent, error) { return t.AgentsChangedSince(at) }))
	}
	if n := since(a.ChangedAt.Add(-time.Minute)); n != 3 {
		s.Errorf("%d agents changed, want 3, the one that is gone among them", n)
	}
	if n := since(time.Now().Add(time.Hour)); n != 0 {
		s.Errorf("%d agents change in the future", n)
	}
}

func testHeartbeats(s *suite) {
	w := s.world()
	a, b := s.agent(w, "a"), s.agent(w, "b")
	at := time.Now().UTC().Truncate(time.Millisecond).Add(10 * time.Second)
	save := func(seen ...store.Seen) {
		s.Helper()
		s.write(func(t *store.Tx) error { return t.SaveSeen(seen) })
	}
	save(store.Seen{AgentID: a.ID, At: at, State: "running-job"}, store.Seen{AgentID: b.ID, At: at, State: "waiting-for-jobs"})
	save(store.Seen{AgentID: a.ID, At: at.Add(-time.Second), State: "late"}, store.Seen{AgentID: b.ID, At: at.Add(time.Second), State: "new"})
	s.equal("newest of both", get(s, (*store.Tx).LastSeen), map[string]store.Seen{
		a.ID: {AgentID: a.ID, At: at, State: "running-job"}, b.ID: {AgentID: b.ID, At: at.Add(time.Second), State: "new"},
	})
	s.equal("of one", get(s, func(t *store.Tx) (store.Seen, error) { return t.SeenOf(a.ID) }), store.Seen{AgentID: a.ID, At: at, State: "running-job"})
	s.equal("of nobody", get(s, func(t *store.Tx) (store.Seen, error) { return t.SeenOf("nobody") }), store.Seen{})
	silent := func(since time.Time) (names []string) {
		s.Helper()
		s.write(func(t *store.Tx) error {
			names = nil
			agents, seen, err := t.SilentAgents(since)
			for _, g := range agents {
				names = append(names, g.Name+" "+seen[g.ID].State)
			}
			slices.Sort(names)
			return err
		})
		return names
	}
	c := s.agent(w, "c")
	s.equal("silent before both", silent(at), []string{"c "})
	s.equal("silent between the two", silent(at.Add(time.Second)), []string{"a running-job", "c "})
	s.equal("silent after both", silent(at.Add(time.Minute)), []string{"a running-job", "b new", "c "})
	s.write(func(t *store.Tx) error {
		left := *c
		left.State = signalbox.AgentDisconnected
		return t.UpdateAgent(&left, "", "dispatch", "", "")
	})
	save(store.Seen{AgentID: c.ID, At: at.Add(time.Hour), State: "gone"})
	s.equal("one that has left", silent(at), []string{"c gone"})
	// What a clock said before it was set back holds nothing up.
	ahead := at.Add(20 * time.Hour)
	save(store.Seen{AgentID: b.ID, At: ahead, State: "ahead"})
	s.equal("in the future", silent(at), []string{"b ahead", "c gone"})
	save(store.Seen{AgentID: b.ID, At: at.Add(time.Second), State: "new"})
	s.equal("set back", silent(at), []string{"c gone"})
	s.write(func(t *store.Tx) error {
		left, err := t.Agent(c.ID)
		if err != nil {
			return err
		}
		left.GoneAt = at
		return t.UpdateAgent(left, "", "dispatch", "", "")
	})
	s.equal("one that is gone", silent(at), []string(nil))
	// A heartbeat is no change of the agent.
	s.equal("the agent's row", get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.Agent(a.ID) }), a)
	s.write(func(t *store.Tx) error {
		gone := *b
		gone.GoneAt = at
		return t.UpdateAgent(&gone, "", "dispatch", "", "")
	})
	if seen := get(s, (*store.Tx).LastSeen); len(seen) != 1 {
		s.Errorf("%d heartbeats, want that of the living agent", len(seen))
	}
}
