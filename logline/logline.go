// Package logline knows where the lines of a job's log are. From the events of a log it derives an index: the commands with
// their lines, and places from which reading can go on, so that a window in the middle of a million lines costs no more than
// one at the start. Windows, searches, plain text and the growth of a running log are read through it; everything here can
// be computed again from the events, which are the truth.
package logline

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// Log is what is read; *joblog.Log is one.
type Log interface {
	Info(ctx context.Context, attemptID string) (joblog.Info, error)
	Read(ctx context.Context, attemptID string, from, rev int64, fn func(joblog.Batch) error) (joblog.Mark, error)
}

// Options say what is read and where indexes are kept. Store and Log are needed.
type Options struct {
	Store  *store.Store
	Log    Log
	Logger *slog.Logger
	// StoreFrom is the size in bytes of logs whose index is stored; those of smaller ones are made when they are looked at.
	// Default 1 MiB.
	StoreFrom int64
}

const (
	maxEntries   = 256      // indexes in memory
	maxEntrySize = 64 << 20 // bytes of them, as far as they are known
	maxRetries   = 5        // of reading a log that changes in its middle meanwhile
)

// Lines is the lines of all logs. It may be used by many goroutines.
type Lines struct {
	log       Log
	store     *store.Store
	logger    *slog.Logger
	storeFrom int64
	closed    chan string

	mu   sync.Mutex
	by   map[string]*list.Element
	line list.List // of *entry, the one used last in front
	size int
}

// entry is the index of one log, shared by all who look at it.
type entry struct {
	attemptID string
	turn      chan struct{} // holds one token: whoever has it may use what follows
	b         *builder      // nil when the index came from the store, and before anything was read
	ix        *Index        // the newest one, nil before anything was read
	size      int           // as counted in Lines; guarded by its mu
}

// New returns the lines of the logs.
func New(o Options) (*Lines, error) {
	if o.Store == nil || o.Log == nil {
		return nil, errors.New("logline: a store and a log are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.StoreFrom <= 0 {
		o.StoreFrom = 1 << 20
	}
	return &Lines{
		log: o.Log, store: o.Store, logger: o.Logger, storeFrom: o.StoreFrom, closed: make(chan string, maxWaiting), by: map[string]*list.Element{},
	}, nil
}

// Index returns where the lines of a log are, as it is now. An attempt without a log is CodeNotFound.
func (l *Lines) Index(ctx context.Context, attemptID string) (*Index, error) {
	ix, _, err := l.newest(ctx, attemptID, 0)
	return ix, err
}

// newest also returns the newest lines from one on.
func (l *Lines) newest(ctx context.Context, attemptID string, from int64) (*Index, []Line, error) {
	e := l.entry(attemptID)
	select {
	case <-e.turn:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	defer func() { e.turn <- struct{}{} }()
	if err := l.refresh(ctx, e); err != nil {
		return nil, nil, err
	}
	l.weigh(e)
	var lines []Line
	if from > 0 && e.b != nil {
		lines = e.b.recent.from(from, recentLines, maxBatch)
	}
	return e.ix, lines, nil
}

// refresh brings an index up to date. What was read before is not read again, unless the log changed in its middle.
func (l *Lines) refresh(ctx context.Context, e *entry) error {
	for range maxRetries {
		info, err := l.log.Info(ctx, e.attemptID)
		if err != nil {
			return err
		}
		if e.ix != nil && e.ix.Rev == info.Rev && e.ix.Next == info.NextEvent && e.ix.Closed == info.Closed {
			return nil
		}
		if info.Closed && e.b == nil {
			if e.ix, err = l.load(ctx, e.attemptID, info); err != nil || e.ix != nil {
				return err
			}
		}
		if e.b == nil || e.b.ix.Rev != info.Rev || e.b.ix.Closed {
			e.b = newBuilder(e.attemptID, info.Rev)
			e.b.recent.off = info.Closed
		}
		err = l.read(ctx, e, info)
		if errors.Is(err, errAgain) {
			e.b = nil
			continue
		}
		return err
	}
	return signalbox.Errorf(signalbox.CodeUnavailable, "the log changes faster than it can be read; try again")
}

var errAgain = errors.New("read again from the start")

func (l *Lines) read(ctx context.Context, e *entry, info joblog.Info) error {
	b, rest := e.b, false
	mark, err := l.log.Read(ctx, e.attemptID, b.ix.Next, b.ix.Rev, func(batch joblog.Batch) error {
		b.fold.batch(batch)
		b.ix.Next, rest = batch.Next(), batch.Rest()
		b.gaps = b.gaps || batch.Gap != nil
		return nil
	})
	switch {
	case errors.Is(err, joblog.ErrRewritten):
		return errAgain
	case err != nil:
		if rest {
			e.b = nil // it would be read twice
		}
		return fmt.Errorf("find the lines of the log: %w", err)
	case mark.Closed && b.parts > 0 && b.gaps:
		return errAgain // a gap that was read in two parts is one
	}
	b.parts++
	b.ix.Next = mark.Next
	b.fold.pause()
	if mark.Closed {
		b.close()
	}
	e.ix = b.snapshot()
	if mark.Closed && info.Bytes >= l.storeFrom {
		if err := l.save(ctx, e.ix); err != nil {
			// It can be made again whenever somebody looks.
			l.logger.Warn("could not store where the lines of a log are", "attempt", e.attemptID, "error", err)
		}
	}
	return nil
}

// entry returns the shared index of a log.
func (l *Lines) entry(attemptID string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.by[attemptID]; x != nil {
		l.line.MoveToFront(x)
		return x.Value.(*entry)
	}
	e := &entry{attemptID: attemptID, turn: make(chan struct{}, 1)}
	e.turn <- struct{}{}
	l.by[attemptID] = l.line.PushFront(e)
	l.trim()
	return e
}

// weigh counts what an index takes, and lets go of others that nobody used for long.
func (l *Lines) weigh(e *entry) {
	size := 512 + 160*len(e.ix.points) + 400*len(e.ix.Commands) + 64*len(e.ix.Notes)
	if e.b != nil {
		size += e.b.recent.bytes + 100*len(e.b.recent.lines)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.by[e.attemptID]; x == nil || x.Value.(*entry) != e {
		return
	}
	l.size += size - e.size
	e.size = size
	l.trim()
}

func (l *Lines) trim() {
	for l.line.Len() > maxEntries || l.size > maxEntrySize && l.line.Len() > 1 {
		x := l.line.Back()
		e := l.line.Remove(x).(*entry)
		l.size -= e.size
		delete(l.by, e.attemptID)
	}
}
