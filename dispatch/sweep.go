package dispatch

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/attempt"
	"github.com/signalbox-ci/signalbox/store"
)

func (h *Hub) runSweeper(ctx context.Context) error {
	last := h.Now()
	sweep := time.NewTicker(h.Timing.Sweep)
	defer sweep.Stop()
	again := time.NewTicker(h.Timing.Revalidate)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			last = h.revalidate(ctx, last)
		case <-sweep.C:
			h.report(ctx, "take back old offers", h.sweepOffers(ctx))
			h.report(ctx, "stop jobs over their time limit", h.sweepLimits(ctx))
			h.report(ctx, "look for lost agents", h.sweepAgents(ctx))
			h.report(ctx, "let go of secrets", h.sweepSecrets(ctx))
		}
	}
}

func (h *Hub) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		h.Logger.Error("could not "+what, "error", err)
	}
}

// overlap covers rows that were committed after, but carry a time before, the last look.
const overlap = 10 * time.Second

// revalidate outdates the copies of agents whose rows changed, in case their wake-up was lost, and drops those of
// agents that are gone: most of them will never sync again.
func (h *Hub) revalidate(ctx context.Context, last time.Time) time.Time {
	now := h.Now()
	var rows []*signalbox.Agent
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = tx.AgentsChangedSince(last.Add(-overlap))
		return err
	}); err != nil {
		h.report(ctx, "read the agents that changed", err)
		return last
	}
	var stale []string
	for _, r := range rows {
		h.mu.Lock()
		p := h.byID[r.ID]
		h.mu.Unlock()
		if p == nil {
			continue
		}
		if !r.GoneAt.IsZero() {
			h.forget(p)
		}
		if ag, _ := p.rows(); !r.ChangedAt.Equal(ag.ChangedAt) {
			stale = append(stale, store.KeyAgent(r.ID))
		}
	}
	if len(stale) > 0 {
		h.Store.Notify(stale...)
	}
	return now
}

// sweepOffers returns offers that nobody fetched to the queue.
func (h *Hub) sweepOffers(ctx context.Context) error {
	var stale []*signalbox.Attempt
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		stale, err = tx.StaleOffers(h.Now().Add(-h.Timing.Withdraw), 100)
		return err
	}); err != nil {
		return err
	}
	for _, a := range stale {
		err := h.withdraw(ctx, a.ID, "not fetched within "+h.Timing.Withdraw.String())
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeConflict {
			return err
		}
	}
	return nil
}

// sweepLimits stops the jobs that have run for as long as they may.
func (h *Hub) sweepLimits(ctx context.Context) error {
	var over []*signalbox.Job
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		over, err = tx.JobsOverLimit(h.Now(), 1)
		return err
	}); err != nil || len(over) == 0 {
		return err
	}
	return h.Store.Write(ctx, func(tx *store.Tx) error { return h.Engine.EndOverdue(tx, Actor) })
}

// sweepAgents ends the agents that have been silent for too long. No agent is lost before this server has listened for
// as long as that itself, so an outage of the server costs nobody a job.
func (h *Hub) sweepAgents(ctx context.Context) error {
	var agents []*signalbox.Agent
	var types []*signalbox.AgentType
	var seen map[string]store.Seen
	var leases map[string]time.Duration
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if types, err = tx.AgentTypes(); err != nil {
			return err
		}
		if leases, err = tx.Leases(); err != nil {
			return err
		}
		agents, seen, err = tx.SilentAgents(h.Now().Add(-shortest(types, leases, h.Timing)))
		return err
	}); err != nil {
		return err
	}
	byID := map[string]*signalbox.AgentType{}
	for _, t := range types {
		byID[t.ID] = t
	}
	here := h.heard()
	now := h.Now()
	for _, ag := range agents {
		last := latest(now, h.started, ag.CreatedAt, seen[ag.ID].At, here[ag.ID])
		if !overdue(ag, byID[ag.AgentTypeID], leases[ag.ID], last, now, h.Timing) {
			continue
		}
		if err := h.lose(ctx, ag.ID, last); err != nil && signalbox.ErrorCode(err) != signalbox.CodeConflict {
			return err
		}
	}
	return nil
}

// shortest is a silence in which no agent's time is up, so that the sweeper need not look at those that were heard of since.
func shortest(types []*signalbox.AgentType, leases map[string]time.Duration, t Timing) time.Duration {
	d := min(t.IdleLost, t.Lost)
	for _, y := range types {
		if y.LostAfter > 0 {
			d = min(d, y.LostAfter)
		}
	}
	for _, lease := range leases {
		d = min(d, lease+signalbox.LeaseMargin)
	}
	return d
}

// overdue tells whether an agent's time is up. lease is the one that it keeps for its job, 0 when it keeps none.
func overdue(ag *signalbox.Agent, typ *signalbox.AgentType, lease time.Duration, last, now time.Time, t Timing) bool {
	silent := now.Sub(last)
	switch {
	case ag.State == signalbox.AgentDisconnected:
		left := ag.ChangedAt
		if left.After(now.Add(signalbox.ClockSlack)) {
			left = last
		}
		return typ == nil || now.Sub(left) >= typ.ReleaseAfter
	case ag.AttemptID == "":
		return silent > t.IdleLost
	case lease > 0:
		return leaseOver(lease, silent)
	case typ != nil && typ.LostAfter > 0:
		return silent > typ.LostAfter
	}
	return silent > t.Lost
}

// leaseOver tells whether a silence is so long that an agent which keeps a lease has surely ended its job.
func leaseOver(lease, silent time.Duration) bool {
	return lease > 0 && silent > lease+signalbox.LeaseMargin
}

// heard returns the heartbeats that this server knows of.
func (h *Hub) heard() map[string]time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]time.Time, len(h.present))
	for id, p := range h.byID {
		p.mu.Lock()
		out[id] = p.seen
		p.mu.Unlock()
	}
	return out
}

// seenHere returns when this server has heard of an agent, the zero time when it has not.
func (h *Hub) seenHere(agentID string) time.Time {
	h.mu.Lock()
	p := h.byID[agentID]
	h.mu.Unlock()
	if p == nil {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// latest returns the latest of some times, except those that a wrong clock wrote before it was set back.
func latest(now time.Time, ts ...time.Time) time.Time {
	var l time.Time
	for _, t := range ts {
		if t.After(l) && !t.After(now.Add(signalbox.ClockSlack)) {
			l = t
		}
	}
	return l
}

// lose ends an agent that was last heard of at a time, unless it was again since: while many are ended, some come back, and
// what one does from then on is not over.
func (h *Hub) lose(ctx context.Context, agentID string, last time.Time) error {
	var ended string
	var back bool
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		if ended, back = "", h.seenHere(agentID).After(last); back {
			return nil
		}
		ag, err := tx.Agent(agentID)
		if err != nil || !ag.GoneAt.IsZero() {
			return err
		}
		if ag.AttemptID != "" {
			ended = ag.AttemptID
			detail := "agent " + ag.Name + " was last heard of at " + last.UTC().Format(time.RFC3339)
			a, err := tx.Attempt(ended)
			if err != nil {
				return err
			}
			end := attempt.End{Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost, Detail: detail}
			end.Surely = leaseOver(a.Lease, tx.Now.Sub(last))
			if err := h.abandon(tx, a, end); err != nil {
				return err
			}
			if ag, err = tx.Agent(agentID); err != nil {
				return err
			}
		}
		reason := signalbox.ReasonAgentLost
		if ag.State == signalbox.AgentDisconnected {
			reason = signalbox.ReasonNone
		}
		return gone(tx, ag, reason)
	})
	if err != nil || back {
		return err
	}
	h.Logger.Warn("agent is gone", "agent", agentID, "last_seen", last)
	if ended != "" {
		return h.Log.Close(ctx, ended)
	}
	return nil
}
