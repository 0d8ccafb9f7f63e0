package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/store"
)

const (
	freshFor   = time.Minute            // how long after its registration an agent's first sync is news
	firstPause = 250 * time.Millisecond // how long first syncs are gathered: a thousand agents that come at once are one change
)

// firsts are agents that have just synced for the first time. Somebody may be watching for them, and heartbeats are stored
// only now and then.
type firsts struct {
	mu   sync.Mutex
	new  []*presence
	some chan struct{}
}

func (f *firsts) note(p *presence) {
	f.mu.Lock()
	f.new = append(f.new, p)
	f.mu.Unlock()
	select {
	case f.some <- struct{}{}:
	default:
	}
}

func (f *firsts) take() []*presence {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.new
	f.new = nil
	return out
}

func (h *Hub) runFirsts(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.firsts.some:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(firstPause):
		}
		h.saveFirsts(ctx)
	}
}

// saveFirsts stores first syncs. Should it fail, the next round of heartbeats does it: they still count as unsaved.
func (h *Hub) saveFirsts(ctx context.Context) {
	var seen []store.Seen
	for _, p := range h.firsts.take() {
		p.mu.Lock()
		seen = append(seen, store.Seen{AgentID: p.agent.ID, At: p.seen, State: string(p.state)})
		p.mu.Unlock()
	}
	for part := range slices.Chunk(seen, 2000) {
		if err := h.Store.Write(ctx, func(tx *store.Tx) error {
			tx.Wake(store.AnyAgent)
			return tx.SaveSeen(part)
		}); err != nil {
			h.Logger.Warn("first heartbeats were not saved", "error", err)
			return
		}
	}
}
