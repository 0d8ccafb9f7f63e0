package store

import (
	"context"
	"strings"
	"sync"
)

// waker carries wake-ups from whoever changed something to whoever waits for it. A lost one costs time, never
// correctness: waiters look again on their own timers.
type waker interface {
	notify(keys []string)
	watch(keys []string) (<-chan struct{}, func())
	run(ctx context.Context) error
	moment() string
	changedSince(moment string, keys []string) bool
}

// localWaker is the fan-out within one process.
type localWaker struct {
	mu       sync.Mutex
	watchers map[string]map[chan struct{}]struct{}
	recent   recent
}

func newLocalWaker() *localWaker {
	return &localWaker{watchers: map[string]map[chan struct{}]struct{}{}, recent: newRecent()}
}

func (w *localWaker) notify(keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recent.add(keys)
	for _, k := range keys {
		for c := range w.watchers[k] {
			poke(c)
		}
		if kind, _, found := strings.Cut(k, ":"); found {
			for c := range w.watchers[kind+":*"] {
				poke(c)
			}
		}
	}
}

// notifyAll wakes everybody: after a lost connection nobody knows what was missed.
func (w *localWaker) notifyAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recent.forget()
	for _, set := range w.watchers {
		for c := range set {
			poke(c)
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting to be read already
	}
}

func (w *localWaker) watch(keys []string) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	for _, k := range keys {
		if w.watchers[k] == nil {
			w.watchers[k] = map[chan struct{}]struct{}{}
		}
		w.watchers[k][c] = struct{}{}
	}
	w.mu.Unlock()
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, k := range keys {
			delete(w.watchers[k], c)
			if len(w.watchers[k]) == 0 {
				delete(w.watchers, k)
			}
		}
	}
}

func (w *localWaker) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
