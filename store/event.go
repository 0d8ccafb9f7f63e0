package store

import "github.com/signalbox-ci/signalbox"

// Record appends one line to the history of a thing. It belongs into the transaction that changes the thing.
func (t *Tx) Record(noun, id, actor, reason, detail string) error {
	_, err := t.exec(`INSERT INTO event (noun, id, n, at, actor, reason, detail)
		VALUES ($1, $2, (SELECT COALESCE(MAX(n), 0) + 1 FROM event WHERE noun = $1 AND id = $2), $3, $4, $5, $6)`,
		noun, id, ms(t.Now), actor, reason, detail)
	return err
}

// Events returns the history of a thing, oldest first.
func (t *Tx) Events(noun, id string) ([]*signalbox.Event, error) {
	return many(t, "event", func(s scanner, e *signalbox.Event) error {
		return s.Scan(&e.Noun, &e.ID, &e.N, at{&e.At}, &e.Actor, &e.Reason, &e.Detail)
	}, `SELECT noun, id, n, at, actor, reason, detail FROM event WHERE noun = $1 AND id = $2 ORDER BY n`, noun, id)
}
