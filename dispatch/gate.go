package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// gate remembers for a moment which registration tokens exist, because a fleet that comes back comes with the same few. It
// only decides whether somebody's request is read; the transaction that stores an agent looks at its token again.
type gate struct {
	mu    sync.Mutex
	known map[string]known // by token hash
}

type known struct {
	admission
	at time.Time
}

// maxKnown bounds the memory of a gate.
const maxKnown = 1000

// pass finds what a token admits to at an address; a token that was used up passes.
func (h *Hub) pass(ctx context.Context, who Registrant) (*signalbox.AgentType, error) {
	g, now := &h.gate, h.Now()
	g.mu.Lock()
	k, ok := g.known[who.TokenHash]
	g.mu.Unlock()
	if age := now.Sub(k.at); ok && age >= 0 && age < h.Timing.Revalidate {
		return k.typ, k.refuses(who, true, now)
	}
	var a admission
	err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		a, err = admit(tx, who, true)
		return err
	})
	if err != nil {
		return a.typ, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil || len(g.known) >= maxKnown {
		g.known = map[string]known{}
	}
	g.known[who.TokenHash] = known{a, now}
	return a.typ, nil
}
