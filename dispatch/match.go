package dispatch

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

// waiter is one held sync of a free agent.
type waiter struct {
	agentType string
	agentID   string
	tells     bool        // its agent says in reports which try of a job they are about
	picked    bool        // the matcher has it; it will send exactly one result
	left      bool        // its sync no longer waits
	result    chan *offer // capacity 1

	ahead, behind *waiter // of its line
}

// offer is what a waiter got; nil means nothing after all.
type offer struct {
	agent   *signalbox.Agent
	attempt *signalbox.Attempt
}

// enter puts a waiter into the line of its type. An older one of the same agent is sent away empty-handed: its
// connection is dead, or the request is a copy.
func (h *Hub) enter(w *waiter) {
	h.mu.Lock()
	if older := h.line(w.agentType).push(w); older != nil {
		older.result <- nil
	}
	work := h.queued[w.agentType]
	h.mu.Unlock()
	if work {
		h.poke()
	}
}

// leave takes a waiter out of its line. When the matcher has it already, leave waits for what it got.
func (h *Hub) leave(w *waiter) *offer {
	h.mu.Lock()
	w.left = true
	picked := w.picked
	if !picked {
		h.line(w.agentType).remove(w)
	}
	h.mu.Unlock()
	if picked {
		return <-w.result
	}
	select {
	case o := <-w.result:
		return o
	default:
		return nil
	}
}

// line returns the line of an agent type; the lock is held.
func (h *Hub) line(agentType string) *line {
	l := h.waiting[agentType]
	if l == nil {
		l = &line{}
		h.waiting[agentType] = l
	}
	return l
}

func (h *Hub) poke() {
	select {
	case h.pokeC <- struct{}{}:
	default:
	}
}

func (h *Hub) runMatcher(ctx context.Context) error {
	wake, stop := h.Store.Watch(store.KeyQueue)
	defer stop()
	room, stopRoom := h.Store.Watch(store.KeyRoom)
	defer stopRoom()
	held := false
	again := time.NewTicker(h.Timing.Revalidate)
	defer again.Stop()
	h.poke()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-room:
			if !held {
				continue
			}
		case <-h.pokeC:
		case <-again.C: // in case a wake-up was lost
		}
		held = h.matchAll(ctx)
	}
}

// matchAll looks once which types have queued jobs and serves those that have waiters. It tells whether a limit held
// something back.
func (h *Hub) matchAll(ctx context.Context) (held bool) {
	var types []string
	queued := map[string]int{}
	if err := h.Store.ReadFirst(ctx, func(tx *store.Tx) (err error) {
		clear(queued)
		if types, err = tx.QueuedAgentTypes(); err != nil {
			return err
		}
		for _, t := range types {
			if n := h.waiters(t); n > 0 {
				if queued[t], err = tx.CountQueued(t, n); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		if ctx.Err() == nil {
			h.Logger.Error("could not look for queued jobs", "error", err)
		}
		return true // look again at the first hint
	}
	h.mu.Lock()
	clear(h.queued)
	for _, t := range types {
		h.queued[t] = true
	}
	h.mu.Unlock()
	for _, t := range types {
		if h.serve(ctx, t, queued[t]) {
			held = true
		}
	}
	return held
}

// waiters counts the agents of a type that wait.
func (h *Hub) waiters(agentType string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.line(agentType).len()
}

// maxMatch bounds one transaction. Whoever gets a job comes back at once to fetch it, so the more agents wait for a
// second bundle, the longer they wait.
const maxMatch = 1000

// serve offers queued jobs of a type, as many as there were a moment ago, to as many agents. All that wait are asked only
// when some of those may not take what is left.
func (h *Hub) serve(ctx context.Context, agentType string, jobs int) (held bool) {
	for ask := min(jobs, maxMatch); ask > 0; {
		m := h.matchType(ctx, agentType, ask)
		held = held || m.held
		jobs -= m.given
		switch {
		case m.failed || m.others == 0:
			return held
		case m.back == 0:
			ask = min(jobs, maxMatch)
		case m.held || ask == maxMatch:
			return held
		default:
			ask = maxMatch
		}
	}
	return held
}

// match is how it went: how many waiters were given a job, how many wait again because there was none for them, and how many
// others wait; whether a limit kept jobs from starting.
type match struct {
	given, back, others int
	held, failed        bool
}

// matchType offers queued jobs of one type to the n waiters that wait longest.
func (h *Hub) matchType(ctx context.Context, agentType string, n int) (m match) {
	h.mu.Lock()
	picked := h.line(agentType).take(n)
	for _, w := range picked {
		w.picked = true
	}
	h.mu.Unlock()
	if len(picked) == 0 {
		return m
	}
	offers, unfit, held, err := h.offer(ctx, agentType, picked)
	if err != nil && ctx.Err() == nil {
		h.Logger.Error("could not offer jobs", "agent_type", agentType, "error", err)
	}
	m.held, m.failed = held, err != nil
	h.mu.Lock()
	defer h.mu.Unlock()
	var back []*waiter
	for i, w := range picked {
		w.picked = false
		switch {
		case offers[i] != nil:
			w.result <- offers[i]
			m.given++
		case w.left || unfit[i] || err != nil:
			w.result <- nil
		default:
			back = append(back, w)
		}
	}
	line := h.line(agentType)
	m.back, m.others = len(back), line.len()
	for _, w := range line.putBack(back) {
		w.result <- nil // its agent has asked again
	}
	if held && len(back) > 0 {
		// Who comes to wait need not ask again before there is room.
		h.queued[agentType] = false
	}
	return m
}

// offer makes attempts for waiters in one transaction, with a number of statements that does not depend on how many
// there are. Agents that may not take a job are unfit.
func (h *Hub) offer(ctx context.Context, agentType string, ws []*waiter) (offers []*offer, unfit []bool, held bool, err error) {
	var refused []string
	err = h.Store.WriteFirst(ctx, func(tx *store.Tx) (err error) {
		offers, unfit, refused = make([]*offer, len(ws)), make([]bool, len(ws)), nil
		if err := tx.LockDispatch(); err != nil {
			return err
		}
		agents, at, err := lockFree(tx, ws, unfit)
		if err != nil {
			return err
		}
		var q queue.View
		var tried map[store.Tried]bool
		for n := len(ws); ; n = len(ws) + len(tried) { // jobs that do not fit must not hide those behind them
			if q, held, err = queue.Read(tx, agentType, n); err != nil || len(q.Lines) == 0 {
				return err
			}
			if tried, err = triedBefore(tx, q, ws, agents, at); err != nil {
				return err
			}
			if n >= len(ws)+len(tried) {
				break
			}
		}
		fits := func(i int, j *store.QueuedJob) bool {
			return ws[at[i]].tells || !tried[store.Tried{JobID: j.ID, AgentID: agents[i].ID}]
		}
		picks := queue.Assign(q, len(agents), fits)
		held = held || queue.UsedUp(q, picks)
		jobs, err := lockPicked(tx, picks)
		if err != nil {
			return err
		}
		turns := map[string]int64{}
		var made []store.Offering
		for _, p := range picks {
			j := jobs[p.Job.ID]
			if j == nil {
				continue
			}
			if why, err := h.refusal(tx, j); err != nil {
				return err
			} else if why != "" {
				refused = append(refused, j.ID)
				continue
			}
			o := engine.NewOffer(j, agents[p.Agent])
			made = append(made, o)
			offers[at[p.Agent]] = &offer{agent: o.Agent, attempt: o.Attempt}
			turns[j.ProjectID] = p.Turn
		}
		if err := tx.OfferJobs(made, Actor); err != nil {
			return err
		}
		return tx.TakeTurns(agentType, turns)
	})
	if err != nil {
		offers, unfit = make([]*offer, len(ws)), make([]bool, len(ws))
		return offers, unfit, true, err
	}
	h.refuse(ctx, refused)
	return offers, unfit, held, nil
}

// lockFree holds the agents of waiters and returns the free ones, each with the place of its waiter.
func lockFree(tx *store.Tx, ws []*waiter, unfit []bool) (agents []*signalbox.Agent, at []int, err error) {
	ids := make([]string, len(ws))
	for i, w := range ws {
		ids[i] = w.agentID
	}
	found, err := tx.LockAgents(ids)
	if err != nil {
		return nil, nil, err
	}
	byID := make(map[string]*signalbox.Agent, len(found))
	for _, ag := range found {
		byID[ag.ID] = ag
	}
	for i, id := range ids {
		if ag := byID[id]; ag != nil && free(ag) {
			agents, at = append(agents, ag), append(at, i)
		} else {
			unfit[i] = true
		}
	}
	return agents, at, nil
}

// triedBefore returns which agents must not get which jobs: one that does not say in its reports which try of a job they
// are about gets none that it has fetched before, because a late report of the first try would end the second.
func triedBefore(tx *store.Tx, q queue.View, ws []*waiter, agents []*signalbox.Agent, at []int) (map[store.Tried]bool, error) {
	var jobs, silent []string
	for _, l := range q.Lines {
		for _, j := range l.Jobs {
			if j.Attempts > 0 {
				jobs = append(jobs, j.ID)
			}
		}
	}
	for i, g := range agents {
		if !ws[at[i]].tells {
			silent = append(silent, g.ID)
		}
	}
	return tx.Tried(jobs, silent)
}

func lockPicked(tx *store.Tx, picks []queue.Pick) (map[string]*signalbox.Job, error) {
	ids := make([]string, len(picks))
	for i, p := range picks {
		ids[i] = p.Job.ID
	}
	found, err := tx.LockQueued(ids)
	out := make(map[string]*signalbox.Job, len(found))
	for _, j := range found {
		out[j.ID] = j
	}
	return out, err
}

// free tells whether an agent may be given a job.
func free(a *signalbox.Agent) bool {
	return a.State == signalbox.AgentRegistered && a.GoneAt.IsZero() && a.AttemptID == "" && a.DisabledAt.IsZero() &&
		a.DrainAt.IsZero() && a.InterruptedAt.IsZero() && a.QuarantinedAt.IsZero()
}
