// Package joblog keeps what jobs print: the events that agents push, each attempt's in a log of its own. What was
// acknowledged is durable and is never altered by anything that comes later; what is missing is said to be missing.
// It hands logs out as events, as text, live to followers, and folded into commands for pages.
package joblog

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/redact"
	"github.com/signalbox-ci/signalbox/store"
)

// Options say where logs are kept. Only Store is needed.
type Options struct {
	Store *store.Store
	// Quota is how many bytes of events an attempt may store, 0 or less for no bound. The push that reaches it is still stored
	// whole; events after it are counted and noted as a gap, and nothing that was stored is removed.
	Quota int64
	// Recheck is how long a follower trusts that a wake-up would have reached it. Default 2 s.
	Recheck time.Duration
	// Heartbeat is how long a stream of server-sent events may be silent. Default 15 s.
	Heartbeat time.Duration
	// Secrets knows what must not be in the logs, and Keys seal what is held back. Without them nothing is redacted.
	Secrets Vault
	Keys    *auth.Keyring
	// OnAppend is told what became of every push, and how many bytes of JSON lines were stored, once that is durable. By
	// default nobody is.
	OnAppend func(out Outcome, stored int64)
	// OnClose is told of every log that this process closed, once that is durable. By default nobody is.
	OnClose func(attemptID string)
}

// Log is the logs of all attempts. It may be used by many goroutines.
type Log struct {
	store     *store.Store
	quota     int64
	recheck   time.Duration
	heartbeat time.Duration
	keys      *auth.Keyring
	onAppend  func(Outcome, int64)
	onClose   func(string)
	guards    guards
	enc       *zstd.Encoder
	dec       *zstd.Decoder
}

// New returns the logs in a store.
func New(o Options) *Log {
	if o.Recheck <= 0 {
		o.Recheck = 2 * time.Second
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	l := &Log{store: o.Store, quota: o.Quota, recheck: o.Recheck, heartbeat: o.Heartbeat, onAppend: o.OnAppend, onClose: o.OnClose}
	if o.Secrets != nil && o.Keys != nil {
		l.keys, l.guards.vault, l.guards.by = o.Keys, o.Secrets, map[string]*list.Element{}
	}
	l.enc, l.dec = newCodec()
	return l
}

// Outcome says what became of the events of one push. Every event is in exactly one of Stored, Duplicate, Differing
// and Refused.
type Outcome struct {
	Stored    int  // new, durable now
	Duplicate int  // equal to what was stored before
	Differing int  // not what was stored before: kept as evidence, the log is as it was
	Refused   int  // kept out by the quota, by MaxEvent, or because of secrets; a gap says so
	Gap       bool // events before this push have never come
	OverQuota bool
}

const (
	// maxIndex bounds event indexes, so that sums of them cannot overflow.
	maxIndex = 1 << 52
	// maxEvidence bounds how many contradicting pushes of one attempt are kept; later ones are only counted.
	maxEvidence = 50
)

// Append stores one push of events: JSON lines, the first of which has index from. It returns when everything it
// stored is durable. Order, repetition and gaps are never an error; the
// Outcome tells of them.
func (l *Log) Append(ctx context.Context, attemptID, jobID string, from int64, body []byte) (Outcome, error) {
	if from < 0 || from > maxIndex {
		return Outcome{}, signalbox.Errorf(signalbox.CodeInvalid, "the index of the first event is %d; it must be between 0 and %d", from, int64(maxIndex))
	}
	events := split(body)
	if len(events) == 0 {
		return Outcome{}, nil
	}
	m, err := l.guards.of(ctx, attemptID)
	if err != nil {
		return Outcome{}, err
	}
	// The usual push is stored as it is, so its work is done before the transaction, not under everybody's writer.
	var ready []store.LogChunk
	if m == nil {
		ready = l.encode(from, events)
	}
	var out Outcome
	var stored int64
	err = l.store.WriteLog(ctx, func(t *store.LogTx) error {
		head, err := t.LockLog(attemptID, jobID)
		if err != nil {
			return err
		}
		w := &writer{l: l, t: t, head: head, from: from, events: events, ready: ready, m: m, end: head.Next}
		if head.JobID == "" {
			head.JobID = jobID
		}
		before := head.Bytes
		if err := w.write(); err != nil {
			return err
		}
		out = w.out
		stored = head.Bytes - before
		return nil
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("store events %d to %d of attempt %s: %w", from, from+int64(len(events))-1, attemptID, err)
	}
	if l.onAppend != nil {
		l.onAppend(out, stored)
	}
	return out, nil
}

// writer carries out one push within one transaction.
type writer struct {
	l      *Log
	t      *store.LogTx
	head   *store.LogHead
	from   int64
	events [][]byte
	ready  []store.LogChunk // all events, encoded
	m      *redact.Matcher  // nil when nothing is redacted
	opened *logKey
	out    Outcome
	end    int64 // where the log ended before
	past   bool  // something before that was changed
}

func (w *writer) write() error {
	h, to := w.head, w.from+int64(len(w.events))
	var gaps []store.LogGap
	var err error
	if gaps, err = w.t.LogGaps(h.AttemptID, min(w.from, h.Next), to, maxIndex); err != nil {
		return err
	}
	overlap, err := w.stored(w.from, min(to, h.Next))
	if err != nil {
		return err
	}
	refuse := ""
	switch {
	case w.l.quota > 0 && h.Bytes >= w.l.quota:
		refuse = WhyQuota
	case w.m == nil && len(h.SecretKey) > 0:
		refuse = WhyWithheld
	}
	p := decide(h.Next, gaps, w.from, w.events, overlap, refuse)
	// Readers of a closed log have read its very end.
	w.past = p.changed() && !h.ClosedAt.IsZero()
	for _, r := range p.store {
		w.past = w.past || r.from < w.end
		if w.m != nil {
			if err := w.redacted(r); err != nil {
				return err
			}
			continue
		}
		chunks := w.ready
		if r.from != w.from || r.to != to {
			chunks = w.l.encode(r.from, w.events[r.from-w.from:r.to-w.from])
		}
		for _, c := range chunks {
			if err := w.t.AddLogChunk(h.AttemptID, c); err != nil {
				return err
			}
		}
		for _, e := range w.events[r.from-w.from : r.to-w.from] {
			h.Bytes += int64(len(e)) + 1
		}
	}
	if w.m != nil && !h.ClosedAt.IsZero() {
		if err := w.release(); err != nil { // nobody closes it again
			return err
		}
	}
	if err := w.t.ReplaceLogGaps(h.AttemptID, p.closed, p.opened); err != nil {
		return err
	}
	if err := w.evidence(p.differing); err != nil {
		return err
	}
	w.out = p.out
	h.Next = max(h.Next, to)
	h.Refused += int64(p.newlyRefused)
	if w.past {
		h.Rev++
	}
	if p.changed() || len(p.differing) > 0 {
		if err := w.t.UpdateLog(h); err != nil {
			return err
		}
	}
	if p.changed() {
		w.t.Wake(store.KeyLog(h.AttemptID))
	}
	return nil
}

// stored tells of the events from .. to-1 that are stored whether they are equal to those of the push.
func (w *writer) stored(from, to int64) (map[int64]bool, error) {
	found := map[int64]bool{}
	for from < to {
		chunks, err := w.t.LogChunks(w.head.AttemptID, from, 64, pageData)
		if err != nil {
			return nil, err
		}
		if len(chunks) == 0 {
			break
		}
		for _, c := range chunks {
			if c.First >= to {
				return found, nil
			}
			equal, err := w.compare(c)
			if err != nil {
				return nil, err
			}
			for n := max(from, c.First); n < min(to, c.First+c.Count); n++ {
				found[n] = equal(n-c.First, w.events[n-w.from])
			}
			from = c.First + c.Count
		}
	}
	return found, nil
}

// compare returns how to compare a raw event with the one at a place of a chunk.
func (w *writer) compare(c store.LogChunk) (func(i int64, event []byte) bool, error) {
	if len(c.Hashes) > 0 {
		key, err := w.key()
		if err != nil {
			return nil, err
		}
		if int64(len(c.Hashes)) != c.Count*hashSize {
			return nil, fmt.Errorf("the chunk at event %d has %d bytes of hashes for %d events", c.First, len(c.Hashes), c.Count)
		}
		return func(i int64, event []byte) bool {
			return event != nil && bytes.Equal(c.Hashes[i*hashSize:(i+1)*hashSize], key.hash(event))
		}, nil
	}
	events, err := w.l.decode(c)
	if err != nil {
		return nil, err
	}
	return func(i int64, event []byte) bool { return bytes.Equal(events[i], event) }, nil
}

func (w *writer) evidence(runs []run) error {
	for _, r := range runs {
		w.head.Differing++
		if w.head.Differing > maxEvidence {
			continue
		}
		data := w.l.enc.EncodeAll(bytes.Join(w.events[r.from-w.from:r.to-w.from], []byte("\n")), nil)
		if w.m != nil || len(w.head.SecretKey) > 0 {
			key, err := w.key()
			if err != nil {
				return err
			}
			data = key.ring.Seal(data, "evidence")
		}
		if err := w.t.AddLogEvidence(w.head.AttemptID, r.from, data); err != nil {
			return err
		}
	}
	return nil
}

// Close says that no more events are expected: followers end when they have everything. Events that come nevertheless
// are stored. Closing twice is fine.
func (l *Log) Close(ctx context.Context, attemptID string) error {
	m, err := l.guards.of(ctx, attemptID)
	if err != nil {
		return fmt.Errorf("close the log of attempt %s: %w", attemptID, err)
	}
	err = l.store.WriteLog(ctx, func(t *store.LogTx) error {
		h, err := t.LockLog(attemptID, "")
		if err != nil || !h.ClosedAt.IsZero() {
			return err
		}
		if len(h.SecretKey) > 0 {
			w := &writer{l: l, t: t, head: h, m: m, end: h.Next}
			if err := w.release(); err != nil {
				return err
			}
			if w.past {
				h.Rev++
			}
		}
		h.ClosedAt = t.Now
		t.Wake(store.KeyLog(attemptID))
		return t.UpdateLog(h)
	})
	if err != nil {
		return fmt.Errorf("close the log of attempt %s: %w", attemptID, err)
	}
	l.guards.forget(attemptID)
	if l.onClose != nil {
		l.onClose(attemptID)
	}
	return nil
}

// Gap says that the events From .. To-1 are not there, and why: WhyMissing, WhyQuota, WhyTooLarge or WhyWithheld.
type Gap struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Why  string `json:"why"`
}

// Info is what is known about a log without reading it.
type Info struct {
	AttemptID string
	JobID     string
	NextEvent int64 // index after the highest event that was pushed
	Bytes     int64 // stored events as JSON lines
	Refused   int64 // events kept out by the quota
	Differing int64 // pushes that contradicted what was acknowledged
	Rev       int64 // counts changes of what could be read before, by filling gaps or after the end
	Closed    bool
	CreatedAt time.Time
	UpdatedAt time.Time
	ClosedAt  time.Time
	Gaps      []Gap // the first 1000
}

// Info returns what is known about a log; an attempt that has none is CodeNotFound.
func (l *Log) Info(ctx context.Context, attemptID string) (Info, error) {
	var in Info
	err := l.store.ReadLog(ctx, func(t *store.LogTx) error {
		h, err := t.Log(attemptID)
		if err != nil {
			return err
		}
		in = Info{
			AttemptID: h.AttemptID, JobID: h.JobID, NextEvent: h.Next, Bytes: h.Bytes, Refused: h.Refused, Differing: h.Differing, Rev: h.Rev,
			Closed: !h.ClosedAt.IsZero(), CreatedAt: h.CreatedAt, UpdatedAt: h.UpdatedAt, ClosedAt: h.ClosedAt,
		}
		gaps, err := t.LogGaps(attemptID, 0, h.Next, 1000)
		for _, g := range gaps {
			in.Gaps = append(in.Gaps, Gap{From: g.From, To: g.To, Why: g.Why})
		}
		return err
	})
	return in, err
}

// Delete removes a log; one that is not there is fine.
func (l *Log) Delete(ctx context.Context, attemptID string) error {
	return l.store.WriteLog(ctx, func(t *store.LogTx) error {
		t.Wake(store.KeyLog(attemptID))
		return t.DeleteLog(attemptID)
	})
}
