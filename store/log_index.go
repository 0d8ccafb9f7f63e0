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
	n, err := l.t.exec(`INSERT INTO log_index (attempt_id, rev, next_event, format, at, data)
		SELECT attempt_id, rev, next_event, $4, $5, $6 FROM log WHERE attempt_id = $1 AND rev = $2 AND next_event = $3 AND closed_at <> 0
		ON CONFLICT (attempt_id) DO UPDATE SET rev = excluded.rev, next_event = excluded.next_event, format = excluded.format,
		at = excluded.at, data = excluded.data`, attemptID, x.Rev, x.Next, x.Format, ms(l.Now), x.Data)
	return n > 0, err
}
