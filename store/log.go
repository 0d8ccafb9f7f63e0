package store

import (
	"context"
	"fmt"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// LogTx is one transaction in the log database. On SQLite that is a file of its own with a writer of its own, so that
// logs never wait for jobs nor jobs for logs.
type LogTx struct {
	Now time.Time
	t   *Tx
}

// WriteLog is Write for the log database.
func (s *Store) WriteLog(ctx context.Context, fn func(*LogTx) error) error {
	defer s.timed(true, true)()
	return s.writeTo(ctx, s.logs, false, func(t *Tx) error { return fn(&LogTx{Now: t.Now, t: t}) })
}

// ReadLog is Read for the log database.
func (s *Store) ReadLog(ctx context.Context, fn func(*LogTx) error) error {
	defer s.timed(true, false)()
	return s.readFrom(ctx, s.logs, false, func(t *Tx) error { return fn(&LogTx{Now: t.Now, t: t}) })
}

// Wake notifies the waiters of these keys once the transaction is durable.
func (l *LogTx) Wake(keys ...string) { l.t.Wake(keys...) }

// LogHead is the one row that every log has. Events are counted from 0; Next is the index after the highest one that
// was pushed, whether it was stored or not.
type LogHead struct {
	AttemptID string
	JobID     string // "" when the log was closed before anything was pushed
	Next      int64
	Bytes     int64 // what the stored events measure as JSON lines
	Refused   int64 // events that a quota kept out
	Differing int64 // pushes that contradicted what was acknowledged
	CreatedAt time.Time
	UpdatedAt time.Time
	ClosedAt  time.Time // zero while events may come
	SecretKey []byte    // the key of an attempt whose log is redacted, sealed; set once, see SetLogKey
	Rests     int64     // rests that there are; kept by AddLogRest
	Rev       int64     // counts changes of what was readable before, see joblog
}

// LogChunk holds the events First .. First+Count-1. The store does not look into Data.
type LogChunk struct {
	First int64
	Count int64
	At    time.Time
	Data  []byte
	// Hashes stand for the events as they were pushed, where Data holds something else; all of one length.
	Hashes []byte
}

// LogGap says that the events From .. To-1 are not there, and why.
type LogGap struct {
	From int64
	To   int64
	Why  string
	At   time.Time
}

const logColumns = `attempt_id, job_id, next_event, bytes, refused, differing, created_at, updated_at, closed_at, secret_key, rests, rev`

func scanLogHead(s scanner, h *LogHead) error {
	return s.Scan(&h.AttemptID, &h.JobID, &h.Next, &h.Bytes, &h.Refused, &h.Differing, at{&h.CreatedAt}, at{&h.UpdatedAt}, at{&h.ClosedAt},
		&h.SecretKey, &h.Rests, &h.Rev)
}

// Log returns the head of a log; an attempt that has none is CodeNotFound.
func (l *LogTx) Log(attemptID string) (*LogHead, error) {
	return one(l.t, "log of attempt", attemptID, scanLogHead, `SELECT `+logColumns+` FROM log WHERE attempt_id = $1`, attemptID)
}

// LockLog returns the head of a log, making an empty one when there is none, and holds it until the transaction ends.
// A job id that is not known yet may be "".
func (l *LogTx) LockLog(attemptID, jobID string) (*LogHead, error) {
	if _, err := l.t.exec(`INSERT INTO log (attempt_id, job_id, created_at, updated_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (attempt_id) DO NOTHING`, attemptID, jobID, ms(l.Now)); err != nil {
		return nil, err
	}
	return one(l.t, "log of attempt", attemptID, scanLogHead,
		`SELECT `+logColumns+` FROM log WHERE attempt_id = $1`+l.t.forUpdate(), attemptID)
}

// UpdateLog writes the head of a log that the transaction holds.
func (l *LogTx) UpdateLog(h *LogHead) error {
	h.UpdatedAt = l.Now
	n, err := l.t.exec(`UPDATE log SET job_id = $1, next_event = $2, bytes = $3, refused = $4, differing = $5, updated_at = $6,
		closed_at = $7, rev = $8 WHERE attempt_id = $9`, h.JobID, h.Next, h.Bytes, h.Refused, h.Differing, ms(h.UpdatedAt), ms(h.ClosedAt), h.Rev, h.AttemptID)
	if err != nil {
		return err
	}
	return changed(n, "log of attempt", h.AttemptID)
}

// AddLogChunk stores events. A chunk that begins where another one does is CodeConflict; that chunks do not overlap
// otherwise is the caller's duty, under LockLog.
func (l *LogTx) AddLogChunk(attemptID string, c LogChunk) error {
	n, err := l.t.exec(`INSERT INTO log_chunk (attempt_id, first_event, count, at, data, hashes) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (attempt_id, first_event) DO NOTHING`, attemptID, c.First, c.Count, ms(l.Now), c.Data, notNil(c.Hashes))
	if err != nil {
		return err
	}
	if n == 0 {
		return signalbox.Errorf(signalbox.CodeConflict, "event %d of attempt %s is stored already", c.First, attemptID)
	}
	return nil
}

// LogChunks returns the chunks that hold events at or after from, in order: at most limit of them, and no further one
// once they measure maxData bytes.
func (l *LogTx) LogChunks(attemptID string, from int64, limit, maxData int) ([]LogChunk, error) {
	rows, err := l.t.q.QueryContext(l.t.ctx, `SELECT first_event, count, at, data, hashes FROM log_chunk
		WHERE attempt_id = $1 AND first_event >= COALESCE((SELECT MAX(first_event) FROM log_chunk WHERE attempt_id = $1 AND first_event <= $2), 0)
		AND first_event + count > $2 ORDER BY first_event LIMIT $3`, attemptID, from, limit)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	defer rows.Close()
	var out []LogChunk
	for size := 0; size < maxData && rows.Next(); {
		var c LogChunk
		if err := rows.Scan(&c.First, &c.Count, at{&c.At}, &c.Data, &c.Hashes); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		size += len(c.Data)
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return out, nil
}

// LogGaps returns the gaps that touch the events from .. to-1, borders included, in order, at most limit of them.
func (l *LogTx) LogGaps(attemptID string, from, to int64, limit int) ([]LogGap, error) {
	rows, err := many(l.t, "log gap", func(s scanner, g *LogGap) error { return s.Scan(&g.From, &g.To, &g.Why, at{&g.At}) },
		`SELECT from_event, to_event, why, at FROM log_gap WHERE attempt_id = $1 AND to_event >= $2 AND from_event <= $3
		ORDER BY from_event LIMIT $4`, attemptID, from, to, limit)
	if err != nil {
		return nil, err
	}
	out := make([]LogGap, len(rows))
	for i, g := range rows {
		out[i] = *g
	}
	return out, nil
}

// ReplaceLogGaps removes some gaps, known by where they begin, and stores others.
func (l *LogTx) ReplaceLogGaps(attemptID string, remove, add []LogGap) error {
	for _, g := range remove {
		if _, err := l.t.exec(`DELETE FROM log_gap WHERE attempt_id = $1 AND from_event = $2`, attemptID, g.From); err != nil {
			return err
		}
	}
	for _, g := range add {
		if g.At.IsZero() {
			g.At = l.Now
		}
		if _, err := l.t.exec(`INSERT INTO log_gap (attempt_id, from_event, to_event, why, at) VALUES ($1, $2, $3, $4, $5)`,
			attemptID, g.From, g.To, g.Why, ms(g.At)); err != nil {
			return err
		}
	}
	return nil
}

// AddLogEvidence keeps pushed events that contradict what was acknowledged.
func (l *LogTx) AddLogEvidence(attemptID string, first int64, data []byte) error {
	_, err := l.t.exec(`INSERT INTO log_evidence (id, attempt_id, first_event, at, data) VALUES ($1, $2, $3, $4, $5)`,
		signalbox.NewID(), attemptID, first, ms(l.Now), data)
	return err
}

// LogEvidence returns what was kept as evidence, oldest first; Count is not known and 0.
func (l *LogTx) LogEvidence(attemptID string) ([]LogChunk, error) {
	rows, err := many(l.t, "piece of evidence", func(s scanner, c *LogChunk) error { return s.Scan(&c.First, at{&c.At}, &c.Data) },
		`SELECT first_event, at, data FROM log_evidence WHERE attempt_id = $1 ORDER BY id`, attemptID)
	if err != nil {
		return nil, err
	}
	out := make([]LogChunk, len(rows))
	for i, c := range rows {
		out[i] = *c
	}
	return out, nil
}

// DeleteLog removes a log with everything that belongs to it; one that is not there is fine.
func (l *LogTx) DeleteLog(attemptID string) error {
	for _, table := range []string{"log_chunk", "log_gap", "log_evidence", "log_tail", "log_rest", "log_index", "log"} {
		if _, err := l.t.exec(`DELETE FROM `+table+` WHERE attempt_id = $1`, attemptID); err != nil {
			return err
		}
	}
	return nil
}

// OpenLogs returns the attempts whose logs may still grow.
func (l *LogTx) OpenLogs() ([]string, error) {
	return l.t.strings(`SELECT attempt_id FROM log WHERE closed_at = 0 ORDER BY created_at`)
}
