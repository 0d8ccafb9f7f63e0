package store

// LogIndex is what was derived from a closed log: where its lines are. The store does not look into Data.
type LogIndex struct {
	Rev    int64 // of the log that it was made from
	Next   int64 // its Next
	Format int64 // of Data
	Data   []byte
}

// LogIndex returns the index of a log; one that has none is CodeNotFound.
func (l *LogTx) LogIndex(attemptID string) (*LogIndex, error) {
	return one(l.t, "line index of attempt", attemptID, func(s scanner, x *LogIndex) error { return s.Scan(&x.Rev, &x.Next, &x.Format, &x.Data) },
		`SELECT rev, next_event, format, data FROM log_index WHERE attempt_id = $1`, attemptID)
}

// SetLogIndex stores the index of a log, unless the log is not what it was made from any more. It tells whether it did.
func (l *LogTx) SetLogIndex(attemptID string, x LogIndex) (bool, error) {
	h, err := one(l.t, "log of attempt", attemptID, scanLogHead, `SELECT `+logColumns+` FROM log WHERE attempt_id = $1`+l.t.forUpdate(), attemptID)
	if err != nil || h.Rev != x.Rev || h.Next != x.Next || h.ClosedAt.IsZero() {
		return false, err
	}
	_, err = l.t.exec(`INSERT INTO log_index (attempt_id, rev, next_event, format, at, data) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (attempt_id) DO UPDATE SET rev = excluded.rev, next_event = excluded.next_event, format = excluded.format,
		at = excluded.at, data = excluded.data`, attemptID, x.Rev, x.Next, x.Format, ms(l.Now), x.Data)
	return err == nil, err
}
