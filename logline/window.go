package logline

import (
	"context"
	"errors"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

var errEnough = errors.New("enough was read")

// Window hands out the lines from one on, count of them or as many as there are, each with up to room bytes of its text. It
// reads from the last known place before the first one. An index of an earlier log is joblog.ErrRewritten.
func (l *Lines) Window(ctx context.Context, ix *Index, from, count int64, room int, fn func(*Line) error) error {
	from = max(from, 1)
	w := &window{from: from, to: from + count - 1, fn: fn}
	return l.scan(ctx, ix, ix.pointOf(from), w, &w.err, room)
}

// scan feeds a taker with a log from a place on, until the taker's fold is stopped. *failed is what the taker met.
func (l *Lines) scan(ctx context.Context, ix *Index, from point, t stopper, failed *error, room int) error {
	f := newFold(t, from, room)
	t.with(f)
	mark, err := l.log.Read(ctx, ix.AttemptID, from.Event, ix.Rev, func(b joblog.Batch) error {
		f.batch(b)
		if f.stopped {
			return errEnough
		}
		return ctx.Err()
	})
	if err == nil {
		if mark.Closed {
			f.flushGap()
			f.close()
		}
		f.pause()
	}
	if *failed != nil {
		return *failed
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// stopper is a taker that may have had enough.
type stopper interface {
	taker
	with(*fold)
}

// window takes the lines from .. to.
type window struct {
	from, to int64
	fn       func(*Line) error
	fold     *fold
	err      error
}

func (w *window) with(f *fold) { w.fold = f }

func (w *window) line(l *Line) {
	if w.fold.stopped || l.N < w.from {
		return
	}
	if l.N <= w.to {
		w.err = w.fn(l)
	}
	w.fold.stopped = l.N > w.to || w.err != nil || l.N == w.to && !l.Open
}

func (w *window) command(c *Command) {
	w.line(&Line{N: c.Line, Command: c.N, Head: true, At: c.Started, Raw: []byte(c.Directive), Len: int64(len(c.Directive))})
}

func (w *window) merged(l *Line)          { w.line(l) }
func (w *window) place(point)             {}
func (w *window) finished(agentapi.Event) {}
func (w *window) ended(agentapi.Event)    {}
func (w *window) gap(joblog.Gap, int64)   {}
