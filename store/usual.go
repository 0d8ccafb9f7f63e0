package store

import "time"

// PassedRuns returns how long the last n jobs of a name in a project ran that passed, newest first. Jobs that repeat others do not count,
// nor do those that took over what an earlier one had done.
func (t *Tx) PassedRuns(projectID, name string, n int) ([]time.Duration, error) {
	rows, err := many(t, "job", func(s scanner, d *time.Duration) error { return s.Scan(span{d, time.Millisecond}) },
		`SELECT finished_at - started_at FROM job WHERE project_id = $1 AND name = $2 AND state = 'finished' AND result = 'passed' AND original_id = ''
		AND started_at > 0 ORDER BY finished_at DESC LIMIT $3`, projectID, name, n)
	out := make([]time.Duration, len(rows))
	for i, d := range rows {
		out[i] = *d
	}
	return out, err
}
