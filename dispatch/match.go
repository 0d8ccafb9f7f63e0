package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// waiter is one held sync of a free agent.
type waiter struct {
	agentType string
	agentID   string
	picked    bool        // the matcher has it; it will send exactly one result
	left      bool        // its sync no longer waits
	result    chan *offer // capacity 1
}

// offer is what a waiter got; nil means nothing after all.
type offer struct {
	attempt *signalbox.Attempt
}

// enter puts a waiter into the line of its type. An older one of the same agent is sent away empty-handed: its
// connection is dead, or the request is a copy.
func (h *Hub) enter(w *waiter) {
	h.mu.Lock()
	line := h.waiting[w.agentType]
	for i, o := range line {
		if o.agentID == w.agentID {
			line = slices.Delete(line, i, i+1)
			o.result <- nil
			break
		}
	}
	h.waiting[w.agentType] = append(line, w)
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
		h.waiting[w.agentType] = slices.DeleteFunc(h.waiting[w.agentType], func(o *waiter) bool { return o == w })
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

func (h *Hub) poke() {
	select {
	case h.pokeC <- struct{}{}:
	default:
	}
}

func (h *Hub) runMatcher(ctx context.Context) error {
	wake, stop := h.Store.Watch(store.KeyQueue)
	defer stop()
	again := time.NewTicker(h.Timing.Revalidate)
	defer again.Stop()
	h.poke()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-h.pokeC:
		case <-again.C: // in case a wake-up was lost
		}
		h.matchAll(ctx)
	}
}

// matchAll looks once which types have queued jobs and serves those that have waiters.
func (h *Hub) matchAll(ctx context.Context) {
	var types []string
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		types, err = tx.QueuedAgentTypes()
		return err
	}); err != nil {
		if ctx.Err() == nil {
			h.Logger.Error("could not look for queued jobs", "error", err)
		}
		return
	}
	h.mu.Lock()
	clear(h.queued)
	for _, t := range types {
		h.queued[t] = true
	}
	h.mu.Unlock()
	for _, t := range types {
		for h.matchType(ctx, t) {
		}
	}
}

// maxMatch bounds one transaction.
const maxMatch = 32

// matchType offers queued jobs of one type to the waiters that wait longest. It returns true when there may be more.
func (h *Hub) matchType(ctx context.Context, agentType string) bool {
	h.mu.Lock()
	line := h.waiting[agentType]
	n := min(len(line), maxMatch)
	picked := slices.Clone(line[:n])
	h.waiting[agentType] = slices.Clone(line[n:])
	for _, w := range picked {
		w.picked = true
	}
	h.mu.Unlock()
	if n == 0 {
		return false
	}
	offers, unfit, err := h.offer(ctx, agentType, picked)
	if err != nil && ctx.Err() == nil {
		h.Logger.Error("could not offer jobs", "agent_type", agentType, "error", err)
	}
	h.mu.Lock()
	var back []*waiter
	for i, w := range picked {
		w.picked = false
		switch {
		case offers[i] != nil:
			w.result <- &offer{attempt: offers[i]}
		case w.left || unfit[i] || err != nil:
			w.result <- nil
		default:
			back = append(back, w)
		}
	}
	h.waiting[agentType] = append(back, h.waiting[agentType]...)
	more := err == nil && len(back) == 0 && len(h.waiting[agentType]) > 0
	h.mu.Unlock()
	return more
}

// offer makes attempts for waiters in one transaction. Agents that may not take a job are unfit.
func (h *Hub) offer(ctx context.Context, agentType string, ws []*waiter) (offers []*signalbox.Attempt, unfit []bool, err error) {
	var refused []string
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		offers, unfit, refused = make([]*signalbox.Attempt, len(ws)), make([]bool, len(ws)), nil
		claimed, err := tx.ClaimJobs(agentType, len(ws))
		if err != nil {
			return err
		}
		var jobs []*signalbox.Job
		for _, j := range claimed {
			why, err := h.refusal(tx, j)
			if err != nil {
				return err
			}
			if why != "" {
				refused = append(refused, j.ID)
				continue
			}
			jobs = append(jobs, j)
		}
		for i, w := range ws {
			if len(jobs) == 0 {
				return nil
			}
			ag, err := tx.LockAgent(w.agentID)
			if err != nil {
				return err
			}
			if !free(ag) {
				unfit[i] = true
				continue
			}
			if offers[i], err = engine.Offer(tx, jobs[0], ag, Actor); err != nil {
				return err
			}
			jobs = jobs[1:]
		}
		return nil
	})
	if err != nil {
		offers, unfit = make([]*signalbox.Attempt, len(ws)), make([]bool, len(ws))
		return offers, unfit, err
	}
	h.refuse(ctx, refused)
	return offers, unfit, nil
}

// free tells whether an agent may be given a job.
func free(a *signalbox.Agent) bool {
	return a.State == signalbox.AgentRegistered && a.GoneAt.IsZero() && a.AttemptID == "" && a.DisabledAt.IsZero() &&
		a.DrainAt.IsZero() && a.InterruptedAt.IsZero()
}
