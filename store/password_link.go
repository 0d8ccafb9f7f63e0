package store

import "github.com/signalbox-ci/signalbox"

const passwordLinkColumns = `account_id, hash, created_by, created_at, expires_at`

func scanPasswordLink(s scanner, l *signalbox.PasswordLink) error {
	return s.Scan(&l.UserID, &l.Hash, &l.CreatedBy, at{&l.CreatedAt}, at{&l.ExpiresAt})
}

// SavePasswordLink stores the link of an account by the hash of its code; the one before it ends.
func (t *Tx) SavePasswordLink(l *signalbox.PasswordLink, actor string) error {
	l.CreatedAt, l.CreatedBy = t.Now, actor
	if _, err := t.exec(`INSERT INTO password_link (`+passwordLinkColumns+`) VALUES (`+list(1, 5)+`)
		ON CONFLICT (account_id) DO UPDATE SET hash = excluded.hash, created_by = excluded.created_by, created_at = excluded.created_at, expires_at = excluded.expires_at`,
		l.UserID, l.Hash, l.CreatedBy, ms(l.CreatedAt), ms(l.ExpiresAt)); err != nil {
		return err
	}
	t.Wake(KeyUser(l.UserID))
	return t.Record("user", l.UserID, actor, "password link made", "")
}

// PasswordLink returns the link whose code has a hash, if it has not expired.
func (t *Tx) PasswordLink(hash string) (*signalbox.PasswordLink, error) {
	return one(t, "link", "with that code", scanPasswordLink, `SELECT `+passwordLinkColumns+` FROM password_link WHERE hash = $1 AND expires_at > $2`, hash, ms(t.Now))
}

// UsePasswordLink ends a link that somebody uses; of two the second is CodeConflict.
func (t *Tx) UsePasswordLink(l *signalbox.PasswordLink) error {
	n, err := t.exec(`DELETE FROM password_link WHERE account_id = $1 AND hash = $2`, l.UserID, l.Hash)
	if err != nil {
		return err
	}
	return changed(n, "link", "with that code")
}

// DeletePasswordLink ends the link of an account, if there is one.
func (t *Tx) DeletePasswordLink(userID string) error {
	_, err := t.exec(`DELETE FROM password_link WHERE account_id = $1`, userID)
	return err
}
