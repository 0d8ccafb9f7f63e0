package logline

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	maxBatch = 64 << 10              // bytes of lines that one update carries
	pace     = 50 * time.Millisecond // between two updates
	recheck  = 2 * time.Second       // how long it is trusted that a wake-up would have come
)

// Update is what became of a log since the update before.
type Update struct {
	Index    *Index
	Reset    bool       // the log changed in its middle: what is known of its lines is not true any more
	Skip     int64      // lines up to this one are new and not here: they are asked for by whoever needs them
	Lines    []Line     // the newest lines
	Commands []*Command // that began or changed
	Notes    []Note     // that are new
}

// Position is what somebody who follows a log has seen.
type Position struct {
	Rev  int64 // of the log; -1 when nothing was seen
	Line int64 // the last line, which may have grown since
}

// Follow tells of a log as it grows, from a position on, at most every pace, until the log is closed and everything was told.
// Those who cannot take it as fast as it comes miss lines in between, and are told so, but never the end.
func (l *Lines) Follow(ctx context.Context, attemptID string, at Position, fn func(Update) error) error {
	woken, stop := l.store.Watch(store.KeyLog(attemptID))
	defer stop()
	again := time.NewTimer(recheck)
	defer again.Stop()
	var old *Index
	for {
		ix, lines, err := l.newest(ctx, attemptID, max(at.Line, 1))
		switch {
		case signalbox.ErrorCode(err) == signalbox.CodeNotFound: // it has not begun
		case err != nil:
			return err
		default:
			if u, any := change(old, ix, at, lines); any {
				if err := fn(u); err != nil {
					return err
				}
			}
			old, at = ix, Position{ix.Rev, ix.Lines}
			if ix.Closed {
				return nil
			}
		}
		if err := sleep(ctx, pace); err != nil {
			return err
		}
		again.Reset(recheck)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-woken:
		case <-again.C:
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// change compares what somebody has seen with what there is. lines are the newest from at.Line on, as far as they are at hand.
func change(old, ix *Index, at Position, lines []Line) (u Update, any bool) {
	u.Index = ix
	if old == ix {
		return u, false
	}
	first := old == nil
	if at.Rev >= 0 && at.Rev != ix.Rev || at.Line > ix.Lines {
		u.Reset, at.Line, old = true, 0, nil
	}
	for len(lines) > 0 && lines[0].N < at.Line {
		lines = lines[1:]
	}
	u.Lines = lines
	if next := max(at.Line, 1); len(lines) > 0 && lines[0].N > next {
		u.Skip = lines[0].N - 1
	} else if len(lines) == 0 && ix.Lines > at.Line {
		u.Skip = ix.Lines
	}
	from := 0
	if old != nil {
		// A command never changes once another one has begun.
		from = max(len(old.Commands)-1, 0)
		u.Notes = ix.Notes[min(max(len(old.Notes)-1, 0), len(ix.Notes)):] // the last one may have grown
	} else if !u.Reset {
		from = max(len(ix.Commands)-1, 0)
		if c := ix.CommandOf(max(at.Line, 1)); c != nil {
			from = c.N - 1
		}
		for i, n := range ix.Notes {
			if n.Before >= at.Line {
				u.Notes = ix.Notes[i:]
				break
			}
		}
	}
	if !u.Reset {
		u.Commands = ix.Commands[min(from, len(ix.Commands)):]
	}
	if len(u.Commands) > maxTold {
		u.Reset, u.Commands = true, nil
	}
	return u, first || u.Reset || u.Skip > 0 || len(u.Lines) > 0 || len(u.Commands) > 0 || len(u.Notes) > 0 || ix.Closed
}

// maxTold is how many commands one update carries; who missed more asks for all.
const maxTold = 200
