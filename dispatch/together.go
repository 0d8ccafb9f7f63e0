package dispatch

import (
	"context"
	"sync"
)

// together lets those who want the same kind of thing at the same moment be stored in one transaction: a fleet that comes back
// after an outage, or starts its jobs, does so at once. Whoever finds nobody leading leads, and stores those who wait.
type together[T any] struct {
	mu      sync.Mutex
	waiting []*member[T]
	lead    chan struct{} // capacity leaders
	store   func(ctx context.Context, group []T, errs []error) error
}

type member[T any] struct {
	what T
	done chan error // capacity 1
}

// maxTogether bounds how many are stored in one transaction.
const maxTogether = 64

// leaders is how many such transactions are under way at once: while one waits for the database, the next is made ready.
const leaders = 2

// newTogether returns one whose groups are stored by store. It fills errs with what each member is told; the error that it returns
// means that nothing was stored.
func newTogether[T any](store func(ctx context.Context, group []T, errs []error) error) *together[T] {
	return &together[T]{lead: make(chan struct{}, leaders), store: store}
}

// do returns when what is durable, or why it is not.
func (g *together[T]) do(ctx context.Context, what T) error {
	m := &member[T]{what: what, done: make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	g.mu.Unlock()
	for {
		select {
		case err := <-m.done:
			return err
		case g.lead <- struct{}{}:
			g.mu.Lock()
			n := min(len(g.waiting), maxTogether)
			group := g.waiting[:n:n]
			g.waiting = g.waiting[n:]
			g.mu.Unlock()
			func() {
				defer func() { <-g.lead }()
				g.storeAll(context.WithoutCancel(ctx), group) // the others did not hang up
			}()
		}
	}
}

func (g *together[T]) storeAll(ctx context.Context, group []*member[T]) {
	if len(group) == 0 {
		return
	}
	all, errs := make([]T, len(group)), make([]error, len(group))
	for i, m := range group {
		all[i] = m.what
	}
	err := g.store(ctx, all, errs)
	for i, m := range group {
		if err != nil {
			errs[i] = err
		}
		m.done <- errs[i]
	}
}
