package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// presence is what this server knows of one agent that talks to it: a copy of its rows, and its heartbeat. The copy is
// thrown away whenever somebody says that the rows changed, so a sync that changes nothing reads nothing.
type presence struct {
	hash    string
	id      string
	changed <-chan struct{}
	stop    func()

	mu      sync.Mutex
	agent   *signalbox.Agent
	attempt *signalbox.Attempt
	stale   bool

	leave    chan struct{} // closed when a newer sync comes; nil while none is held
	seen     time.Time
	state    agentapi.AgentState
	stateAt  time.Time // when it came into this state
	forgotAt time.Time // since when it waits although it fetched a job
	unsaved  bool      // the heartbeat is newer than what is stored
	polls    bool      // an official agent: it may not be held while it runs a job
}

// find returns the presence of an access token, CodeNotFound when no agent has it.
func (h *Hub) find(ctx context.Context, hash string) (*presence, error) {
	h.mu.Lock()
	p := h.present[hash]
	h.mu.Unlock()
	if p != nil {
		return p, nil
	}
	var ag *signalbox.Agent
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		ag, err = tx.AgentByToken(hash)
		return err
	}); err != nil {
		return nil, err
	}
	p = &presence{hash: hash, id: ag.ID, agent: ag, stale: true}
	p.changed, p.stop = h.Store.Watch(store.KeyAgent(ag.ID))
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.present[hash]; other != nil {
		p.stop()
		return other, nil
	}
	h.present[hash], h.byID[p.id] = p, p
	return p, nil
}

// refresh reads the rows again if they changed. It returns CodeNotFound, and forgets the presence, when the agent is
// gone, has another token or has disconnected.
func (h *Hub) refresh(ctx context.Context, p *presence) error {
	err := p.refresh(ctx, h.Store)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		h.forget(p)
	}
	return err
}

func (p *presence) refresh(ctx context.Context, st *store.Store) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.changed:
		p.stale = true
	default:
	}
	if !p.stale {
		return nil
	}
	var ag *signalbox.Agent
	var at *signalbox.Attempt
	err := st.Read(ctx, func(tx *store.Tx) (err error) {
		at = nil
		if ag, err = tx.AgentByToken(p.hash); err != nil || ag.AttemptID == "" {
			return err
		}
		at, err = tx.Attempt(ag.AttemptID)
		return err
	})
	if err == nil && ag.State != signalbox.AgentRegistered {
		err = signalbox.Errorf(signalbox.CodeNotFound, "agent %s has disconnected", ag.Name)
	}
	if err != nil {
		return err
	}
	p.agent, p.attempt, p.stale = ag, at, false
	return nil
}

// offered takes over the rows of an offer that the matcher made. It knows them as they were committed; whatever changed
// since has outdated the copies or will.
func (p *presence) offered(o *offer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attempt != nil || p.agent.ChangedAt.After(o.agent.ChangedAt) {
		p.stale = true
		return
	}
	p.agent, p.attempt = o.agent, o.attempt
}

// supersede lets the older sync of this agent go, if one is held: its connection is dead, or it is a copy. Its server may not have
// noticed, and the older one must not take a wake-up from the newer one.
func (p *presence) supersede() { p.replace(nil) }

// holds notes that a sync is held and returns what ends when a newer one comes.
func (p *presence) holds() <-chan struct{} {
	leave := make(chan struct{})
	p.replace(leave)
	return leave
}

func (p *presence) replace(leave chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leave != nil {
		close(p.leave)
	}
	p.leave = leave
}

// held notes that a sync is no longer held.
func (p *presence) held(leave <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leave == leave {
		p.leave = nil
	}
}

// rows returns the copies as they are now.
func (p *presence) rows() (*signalbox.Agent, *signalbox.Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.agent, p.attempt
}

// outdate makes the next refresh read the rows.
func (p *presence) outdate() {
	p.mu.Lock()
	p.stale = true
	p.mu.Unlock()
}

func (h *Hub) forget(p *presence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.present[p.hash] == p {
		delete(h.present, p.hash)
		if h.byID[p.id] == p {
			delete(h.byID, p.id)
		}
		p.stop()
	}
}

// beat notes a sign of life. state is "" for signs other than a sync. It tells whether this is the first sync of an agent that
// has just registered.
func (p *presence) beat(now time.Time, state agentapi.AgentState, polls bool) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.unsaved = now, true
	if state == "" {
		return false
	}
	first = p.state == "" && p.agent != nil && now.Sub(p.agent.CreatedAt) < freshFor
	p.polls = polls
	if state != p.state {
		p.state, p.stateAt = state, now
	}
	return first
}

// view returns what a decision about a sync in a state is made from.
func (p *presence) view(now time.Time, state agentapi.AgentState, limits Timing) View {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := View{Agent: p.agent, Attempt: p.attempt, Limits: limits}
	if state == agentapi.StateWaitingForJobs {
		v.Idle = now.Sub(p.stateAt)
	}
	lost := state == agentapi.StateWaitingForJobs && p.attempt != nil && p.attempt.State != signalbox.AttemptOffered
	switch {
	case !lost:
		p.forgotAt = time.Time{}
	case p.forgotAt.IsZero():
		p.forgotAt = now
	default:
		v.Forgot = now.Sub(p.forgotAt)
	}
	return v
}

func (h *Hub) runHeartbeats(ctx context.Context) error {
	err := every(ctx, h.Timing.Flush, func() { h.saveHeartbeats(ctx) })
	h.saveHeartbeats(context.WithoutCancel(ctx))
	return err
}

func (h *Hub) saveHeartbeats(ctx context.Context) {
	begin := h.Now()
	h.mu.Lock()
	all := make([]*presence, 0, len(h.present))
	for _, p := range h.present {
		all = append(all, p)
	}
	h.mu.Unlock()
	var seen []store.Seen
	var of []*presence
	var running int64
	for _, p := range all {
		p.mu.Lock()
		if p.polls && p.state == agentapi.StateRunningJob {
			running++
		}
		if p.unsaved {
			p.unsaved = false
			seen, of = append(seen, store.Seen{AgentID: p.agent.ID, At: p.seen, State: string(p.state)}), append(of, p)
		}
		p.mu.Unlock()
	}
	h.running.Store(running)
	for len(seen) > 0 {
		n := min(len(seen), 2000)
		part := seen[:n]
		if err := h.Store.Write(ctx, func(tx *store.Tx) error { return tx.SaveSeen(part) }); err != nil {
			h.Logger.Warn("heartbeats were not saved", "error", err)
			for _, p := range of { // the next time then, also of those that say nothing until then
				p.mu.Lock()
				p.unsaved = true
				p.mu.Unlock()
			}
			return
		}
		seen, of = seen[n:], of[n:]
	}
	h.savedAt.Store(begin.UnixNano())
}

// mayRenew refuses an agent that keeps a lease while this server cannot store that the agent is there: another server would give
// up its job, and the answer would let the job go on. A server that has its database to itself sees no such other.
func (h *Hub) mayRenew(p *presence, now time.Time) error {
	_, a := p.rows()
	if !h.shared || a == nil || a.Lease == 0 || now.Sub(time.Unix(0, h.savedAt.Load())) < signalbox.LeaseMargin/2 {
		return nil
	}
	return signalbox.Errorf(signalbox.CodeUnavailable, "this server cannot store which agents are there, so it renews no lease; try again")
}
