package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const outboxColumns = `id, key, kind, payload, created_at, run_at, attempts, last_error, done_at`

func scanOutbox(s scanner, o *signalbox.Outbox) error {
	return s.Scan(&o.ID, &o.Key, &o.Kind, &o.Payload, at{&o.CreatedAt}, at{&o.RunAt}, &o.Attempts, &o.LastError, at{&o.DoneAt})
}

// AddOutbox stores a side effect to be carried out after the commit. A key that is there already changes nothing.
func (t *Tx) AddOutbox(o *signalbox.Outbox) error {
	if o.ID == "" {
		o.ID = signalbox.NewID()
	}
	o.CreatedAt = t.Now
	if o.RunAt.IsZero() {
		o.RunAt = t.Now
	}
	_, err := t.exec(`INSERT INTO outbox (id, key, kind, payload, created_at, run_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (key) DO NOTHING`, o.ID, o.Key, o.Kind, o.Payload, ms(o.CreatedAt), ms(o.RunAt))
	return err
}

// ClaimOutbox takes up to n entries that are due and leases them: if they are neither done nor failed by then,
// somebody else may take them.
func (t *Tx) ClaimOutbox(n int, lease time.Duration) ([]*signalbox.Outbox, error) {
	return many(t, "outbox entry", scanOutbox, `UPDATE outbox SET lease_until = $1, attempts = attempts + 1
		WHERE id IN (SELECT id FROM outbox WHERE done_at = 0 AND run_at <= $2 AND lease_until <= $2 ORDER BY run_at LIMIT $3`+
		t.skipLocked()+`) RETURNING `+outboxColumns, ms(t.Now.Add(lease)), ms(t.Now), n)
}

// FinishOutbox marks an entry as carried out.
func (t *Tx) FinishOutbox(id string) error {
	_, err := t.exec(`UPDATE outbox SET done_at = $1, last_error = '' WHERE id = $2 AND done_at = 0`, ms(t.Now), id)
	return err
}

// FailOutbox gives an entry back, to be tried again at a time.
func (t *Tx) FailOutbox(id, lastError string, again time.Time) error {
	_, err := t.exec(`UPDATE outbox SET lease_until = 0, run_at = $1, last_error = $2 WHERE id = $3 AND done_at = 0`,
		ms(again), lastError, id)
	return err
}
