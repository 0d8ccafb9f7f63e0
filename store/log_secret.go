package store

import "errors"

// LogText is held-back text of a log: a tail, which is sealed, or a rest.
type LogText struct {
	Before int64 // the index of the event that it stands before
	Data   []byte
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SetLogKey gives a log that the transaction holds its sealed key, once.
func (l *LogTx) SetLogKey(attemptID string, key []byte) error {
	n, err := l.t.exec(`UPDATE log SET secret_key = $1 WHERE attempt_id = $2 AND length(secret_key) = 0`, key, attemptID)
	if err != nil {
		return err
	}
	return changed(n, "log of attempt", attemptID)
}

// LogKeyPlace names the row that the sealed key of a log belongs to.
func LogKeyPlace(attemptID string) string { return "log/" + attemptID }

// LogKeys returns the logs with a key whose attempts come after one, in order; only AttemptID and SecretKey are set.
func (l *LogTx) LogKeys(after string, limit int) ([]*LogHead, error) {
	return many(l.t, "log key", func(s scanner, h *LogHead) error { return s.Scan(&h.AttemptID, &h.SecretKey) },
		`SELECT attempt_id, secret_key FROM log WHERE attempt_id > $1 AND length(secret_key) > 0 ORDER BY attempt_id LIMIT $2`, after, limit)
}

// ResealLog replaces the sealed key of a log, if it is still from.
func (l *LogTx) ResealLog(attemptID string, key, from []byte) error {
	n, err := l.t.exec(`UPDATE log SET secret_key = $1 WHERE attempt_id = $2 AND secret_key = $3`, key, attemptID, from)
	if err != nil {
		return err
	}
	return changed(n, "log of attempt", attemptID)
}

func scanLogText(s scanner, x *LogText) error { return s.Scan(&x.Before, &x.Data) }

// LogTails returns the tails of a log before the events from .. to, in order.
func (l *LogTx) LogTails(attemptID string, from, to int64) ([]*LogText, error) {
	return many(l.t, "log tail", scanLogText, `SELECT before_event, data FROM log_tail
		WHERE attempt_id = $1 AND before_event >= $2 AND before_event <= $3 ORDER BY before_event`, attemptID, from, to)
}

// SetLogTail stores the tail before an event, or with no data removes it.
func (l *LogTx) SetLogTail(attemptID string, x LogText) error {
	if len(x.Data) == 0 {
		_, err := l.t.exec(`DELETE FROM log_tail WHERE attempt_id = $1 AND before_event = $2`, attemptID, x.Before)
		return err
	}
	_, err := l.t.exec(`INSERT INTO log_tail (attempt_id, before_event, data) VALUES ($1, $2, $3)
		ON CONFLICT (attempt_id, before_event) DO UPDATE SET data = excluded.data`, attemptID, x.Before, x.Data)
	return err
}

// LogRests returns the rests of a log before the events from .. to, in order, at most limit of them.
func (l *LogTx) LogRests(attemptID string, from, to int64, limit int) ([]*LogText, error) {
	return many(l.t, "log rest", scanLogText, `SELECT before_event, data FROM log_rest
		WHERE attempt_id = $1 AND before_event >= $2 AND before_event <= $3 ORDER BY before_event LIMIT $4`, attemptID, from, to, limit)
}

// AddLogRest stores the rest before an event, behind one that is there already, and counts it.
func (l *LogTx) AddLogRest(h *LogHead, x LogText) error {
	if len(x.Data) == 0 {
		return errors.New("a rest without text")
	}
	old, err := l.LogRests(h.AttemptID, x.Before, x.Before, 1)
	if err != nil {
		return err
	}
	if len(old) > 0 {
		_, err := l.t.exec(`UPDATE log_rest SET data = $1 WHERE attempt_id = $2 AND before_event = $3`, append(old[0].Data, x.Data...), h.AttemptID, x.Before)
		return err
	}
	if _, err := l.t.exec(`INSERT INTO log_rest (attempt_id, before_event, data) VALUES ($1, $2, $3)`, h.AttemptID, x.Before, x.Data); err != nil {
		return err
	}
	h.Rests++
	_, err = l.t.exec(`UPDATE log SET rests = rests + 1 WHERE attempt_id = $1`, h.AttemptID)
	return err
}
