package store

import "time"

// maxSetupCodes is how many one-time codes count at once: those of servers that share a database.
const maxSetupCodes = 8

// AddSetupCode stores one more one-time code by its hash. The newest few count.
func (t *Tx) AddSetupCode(hash string) error {
	if _, err := t.exec(`INSERT INTO setup_code (hash, created_at) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE SET created_at = excluded.created_at`,
		hash, ms(t.Now)); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM setup_code WHERE hash NOT IN (SELECT hash FROM setup_code ORDER BY created_at DESC, hash LIMIT $1)`, maxSetupCodes)
	return err
}

// SetupCodes returns the hashes of the codes that were stored at or after a time.
func (t *Tx) SetupCodes(since time.Time) ([]string, error) {
	return t.strings(`SELECT hash FROM setup_code WHERE created_at >= $1 ORDER BY created_at DESC, hash`, ms(since))
}

// DeleteSetupCodes ends all codes.
func (t *Tx) DeleteSetupCodes() error {
	_, err := t.exec(`DELETE FROM setup_code`)
	return err
}
