package store

// Dismiss notes that a user does not want to be shown something any more; twice is fine.
func (t *Tx) Dismiss(userID, what string) error {
	_, err := t.exec(`INSERT INTO dismissal (account_id, what, at) VALUES ($1, $2, $3) ON CONFLICT (account_id, what) DO NOTHING`, userID, what, ms(t.Now))
	return err
}

// Dismissed tells whether a user does not want to be shown something any more.
func (t *Tx) Dismissed(userID, what string) (bool, error) {
	n := 0
	err := t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM dismissal WHERE account_id = $1 AND what = $2`, userID, what).Scan(&n)
	return n > 0, err
}
