package joblog

import (
	"context"
	"encoding/json"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	// pageChunks and pageData (compressed bytes) bound how much of a log one transaction reads.
	pageChunks = 64
	pageData   = 1 << 20
)

// Batch is a stretch of a log: events with indexes From, From+1, ..., or a gap.
type Batch struct {
	From   int64
	Events []json.RawMessage
	Gap    *Gap // with no events

	rest bool // its one event has no index of its own: it is text that stands before the event From
}

// Rest tells whether the batch is text that has no index of its own and stands before the event From.
func (b Batch) Rest() bool { return b.rest }

// Next is the index after the batch.
func (b Batch) Next() int64 {
	if b.Gap != nil {
		return b.Gap.To
	}
	if b.rest {
		return b.From
	}
	return b.From + int64(len(b.Events))
}

// page is a stretch of a log as it was at one moment, still compressed.
type page struct {
	from   int64
	to     int64 // what follows begins here
	chunks []store.LogChunk
	gaps   []store.LogGap
	rests  []*store.LogText
	done   bool // to is the end of the log
	closed bool
	rev    int64
}

// page reads the stretch that begins at from. Events are immutable, so reading a log page by page gives the log,
// without a long transaction.
func (l *Log) page(ctx context.Context, attemptID string, from int64) (page, error) {
	return l.smallPage(ctx, attemptID, from, pageChunks, pageData)
}

// smallPage is page with at most so many chunks and, give or take one chunk, compressed bytes.
func (l *Log) smallPage(ctx context.Context, attemptID string, from int64, maxChunks, maxData int) (page, error) {
	var p page
	err := l.store.ReadLog(ctx, func(t *store.LogTx) error {
		p = page{from: from}
		h, err := t.Log(attemptID)
		if err != nil {
			return err
		}
		p.closed, p.rev = !h.ClosedAt.IsZero(), h.Rev
		if p.chunks, err = t.LogChunks(attemptID, from, maxChunks, maxData); err != nil {
			return err
		}
		p.to = max(from, h.Next)
		// One chunk may have one gap before it and one behind; a longer row of gaps ends the page.
		limit := 2*maxChunks + 2
		if p.gaps, err = t.LogGaps(attemptID, from, h.Next, limit); err != nil {
			return err
		}
		if len(p.chunks) == maxChunks || chunkBytes(p.chunks) >= maxData {
			last := p.chunks[len(p.chunks)-1]
			p.to = last.First + last.Count
		}
		if len(p.gaps) == limit {
			p.to = min(p.to, p.gaps[limit-1].To)
		}
		if h.Rests > 0 {
			if p.rests, err = t.LogRests(attemptID, from, p.to, limit); err != nil {
				return err
			}
			if len(p.rests) == limit && p.rests[limit-1].Before > from {
				p.to = min(p.to, p.rests[limit-1].Before)
			}
		}
		p.done = p.to >= h.Next
		return nil
	})
	return p, err
}

func chunkBytes(chunks []store.LogChunk) int {
	n := 0
	for _, c := range chunks {
		n += len(c.Data)
	}
	return n
}

// each calls fn for every stretch of a page in order; one chunk is decompressed at a time.
func (l *Log) each(p page, fn func(Batch) error) error {
	at := p.from
	chunks, gaps, rests := p.chunks, p.gaps, p.rests
	rest := func() error {
		for len(rests) > 0 && rests[0].Before <= at {
			b := Batch{From: at, Events: []json.RawMessage{agentapi.AppendOutput(nil, 0, rests[0].Data)}, rest: true}
			rests = rests[1:]
			if err := fn(b); err != nil {
				return err
			}
		}
		return nil
	}
	for at < p.to {
		if err := rest(); err != nil {
			return err
		}
		for len(gaps) > 0 && gaps[0].To <= at {
			gaps = gaps[1:]
		}
		for len(chunks) > 0 && chunks[0].First+chunks[0].Count <= at {
			chunks = chunks[1:]
		}
		switch {
		case len(gaps) > 0 && gaps[0].From <= at:
			to := min(gaps[0].To, p.to)
			if err := fn(Batch{From: at, Gap: &Gap{From: at, To: to, Why: gaps[0].Why}}); err != nil {
				return err
			}
			at = to
		case len(chunks) > 0 && chunks[0].First <= at:
			events, err := l.decode(chunks[0])
			if err != nil {
				return err
			}
			events = events[at-chunks[0].First:]
			if len(rests) > 0 && rests[0].Before-at < int64(len(events)) {
				events = events[:rests[0].Before-at]
			}
			if err := fn(Batch{From: at, Events: events}); err != nil {
				return err
			}
			at += int64(len(events))
		default:
			// Neither events nor a gap: a row was lost. Say so, and go on with what there is.
			to := p.to
			if len(gaps) > 0 {
				to = min(to, gaps[0].From)
			}
			if len(chunks) > 0 {
				to = min(to, chunks[0].First)
			}
			if err := fn(Batch{From: at, Gap: &Gap{From: at, To: to, Why: WhyMissing}}); err != nil {
				return err
			}
			at = to
		}
	}
	if p.done && p.closed {
		return rest() // nothing follows that it could stand before
	}
	return nil
}

// scan calls fn for everything that is there now.
func (l *Log) scan(ctx context.Context, attemptID string, from int64, fn func(Batch) error) (next int64, closed bool, err error) {
	if err := checkIndex(from); err != nil {
		return from, false, err
	}
	for {
		p, err := l.page(ctx, attemptID, from)
		if err != nil {
			return from, false, err
		}
		if err := l.each(p, fn); err != nil {
			return from, false, err
		}
		from = p.to
		if p.done {
			return from, p.closed, nil
		}
	}
}

func checkIndex(from int64) error {
	if from < 0 {
		return signalbox.Errorf(signalbox.CodeInvalid, "the index of the first event is %d; it must not be negative", from)
	}
	return nil
}
