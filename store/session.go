package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// CreateSession stores a browser session by the hash of its cookie and notes when its owner signed in.
func (t *Tx) CreateSession(s *signalbox.Session, hash string) error {
	if s.ID == "" {
		s.ID = signalbox.NewID()
	}
	s.CreatedAt = t.Now
	if _, err := t.exec(`INSERT INTO session (id, id_hash, account_id, browser, address, created_at, expires_at) VALUES (`+list(1, 7)+`)`,
		s.ID, hash, s.UserID, s.Browser, s.Address, ms(s.CreatedAt), ms(s.ExpiresAt)); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE account SET signed_in_at = $1 WHERE id = $2`, ms(t.Now), s.UserID)
	return err
}

// UserBySession returns who is signed in with a cookie, and the session.
func (t *Tx) UserBySession(hash string) (*signalbox.User, *signalbox.Session, error) {
	type both struct {
		user    signalbox.User
		session signalbox.Session
	}
	b, err := one(t, "session", "of that cookie", func(s scanner, b *both) error {
		u, x := &b.user, &b.session
		return s.Scan(&u.ID, &u.Name, &u.Email, &u.Role, &u.PasswordHash, at{&u.CreatedAt}, at{&u.DisabledAt}, at{&u.SignedInAt},
			&x.ID, &x.UserID, &x.Browser, &x.Address, at{&x.CreatedAt}, at{&x.ExpiresAt})
	}, `SELECT a.id, a.name, a.email, a.role, a.password_hash, a.created_at, a.disabled_at, a.signed_in_at,
			s.id, s.account_id, s.browser, s.address, s.created_at, s.expires_at
		FROM session s JOIN account a ON a.id = s.account_id WHERE s.id_hash = $1 AND s.expires_at > $2 AND a.disabled_at = 0`, hash, ms(t.Now))
	if err != nil {
		return nil, nil, err
	}
	return &b.user, &b.session, nil
}

// ProlongSession lets a session last until a time; one that lasts longer, or has ended, stays as it is.
func (t *Tx) ProlongSession(id string, until time.Time) error {
	_, err := t.exec(`UPDATE session SET expires_at = $1 WHERE id = $2 AND expires_at < $1 AND expires_at > $3`, ms(until), id, ms(t.Now))
	return err
}

// DeleteSession signs a browser out; an unknown one is fine.
func (t *Tx) DeleteSession(hash string) error {
	_, err := t.exec(`DELETE FROM session WHERE id_hash = $1`, hash)
	return err
}

// DeleteExpiredSessions removes what can no longer be used.
func (t *Tx) DeleteExpiredSessions() error {
	_, err := t.exec(`DELETE FROM session WHERE expires_at <= $1`, ms(t.Now))
	return err
}

// SessionWithHash is a session that has not ended, and how its cookie is known.
type SessionWithHash struct {
	signalbox.Session
	Hash string
}

// Sessions returns the newest sessions of somebody that have not ended.
func (t *Tx) Sessions(userID string, limit int) ([]*SessionWithHash, error) {
	return many(t, "session", func(s scanner, x *SessionWithHash) error {
		return s.Scan(&x.ID, &x.UserID, &x.Browser, &x.Address, at{&x.CreatedAt}, at{&x.ExpiresAt}, &x.Hash)
	}, `SELECT id, account_id, browser, address, created_at, expires_at, id_hash FROM session
		WHERE account_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id LIMIT $3`, userID, ms(t.Now), limit)
}

// EndSession signs one of somebody's browsers out; an unknown one is fine.
func (t *Tx) EndSession(userID, id string) error {
	_, err := t.exec(`DELETE FROM session WHERE account_id = $1 AND id = $2`, userID, id)
	return err
}

// DeleteSessions signs somebody out of every browser but the one whose cookie has a hash, "" for none.
func (t *Tx) DeleteSessions(userID, exceptHash string) error {
	_, err := t.exec(`DELETE FROM session WHERE account_id = $1 AND id_hash <> $2`, userID, exceptHash)
	return err
}
