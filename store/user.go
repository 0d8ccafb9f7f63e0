package store

import (
	"github.com/signalbox-ci/signalbox"
)

const userColumns = `id, name, email, role, password_hash, created_at, disabled_at`

func scanUser(s scanner, u *signalbox.User) error {
	return s.Scan(&u.ID, &u.Name, &u.Email, &u.Role, &u.PasswordHash, at{&u.CreatedAt}, at{&u.DisabledAt})
}

// CreateUser stores a user; a taken name is CodeConflict.
func (t *Tx) CreateUser(u *signalbox.User) error {
	if u.ID == "" {
		u.ID = signalbox.NewID()
	}
	u.CreatedAt = t.Now
	_, err := t.exec(`INSERT INTO account (id, name, email, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		u.ID, u.Name, u.Email, u.Role, u.PasswordHash, ms(u.CreatedAt))
	if isUnique(err) {
		return signalbox.Errorf(signalbox.CodeConflict, "a user named %q exists already", u.Name)
	}
	if err != nil {
		return err
	}
	return t.Record("user", u.ID, "server", "created", string(u.Role))
}

// User returns a user by id, disabled or not.
func (t *Tx) User(id string) (*signalbox.User, error) {
	return one(t, "user", id, scanUser, `SELECT `+userColumns+` FROM account WHERE id = $1`, id)
}

// UserByName returns a user by name, disabled or not.
func (t *Tx) UserByName(name string) (*signalbox.User, error) {
	return one(t, "user", name, scanUser, `SELECT `+userColumns+` FROM account WHERE name = $1`, name)
}

// Users returns everybody, by name.
func (t *Tx) Users() ([]*signalbox.User, error) {
	return many(t, "user", scanUser, `SELECT `+userColumns+` FROM account ORDER BY name`)
}

// SignInPossible tells whether there is anybody who has a password and is not disabled.
func (t *Tx) SignInPossible() (bool, error) {
	n := 0
	err := t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM account WHERE password_hash <> '' AND disabled_at = 0`).Scan(&n)
	return n > 0, err
}

// SetPasswordHash replaces a user's password.
func (t *Tx) SetPasswordHash(userID, hash, actor string) error {
	n, err := t.exec(`UPDATE account SET password_hash = $1 WHERE id = $2`, hash, userID)
	if err != nil {
		return err
	}
	if err := changed(n, "user", userID); err != nil {
		return err
	}
	return t.Record("user", userID, actor, "password changed", "")
}

const tokenColumns = `id, account_id, name, created_at, expires_at, last_used_at, revoked_at`

func scanToken(s scanner, a *signalbox.APIToken) error {
	return s.Scan(&a.ID, &a.UserID, &a.Name, at{&a.CreatedAt}, at{&a.ExpiresAt}, at{&a.LastUsedAt}, at{&a.RevokedAt})
}

// CreateAPIToken stores a token by the hash of its text.
func (t *Tx) CreateAPIToken(a *signalbox.APIToken, hash, actor string) error {
	if a.ID == "" {
		a.ID = signalbox.NewID()
	}
	a.CreatedAt = t.Now
	if _, err := t.exec(`INSERT INTO api_token (id, account_id, name, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.ID, a.UserID, a.Name, hash, ms(a.CreatedAt), ms(a.ExpiresAt)); err != nil {
		return err
	}
	return t.Record("api_token", a.ID, actor, "created", a.Name)
}

// APITokens returns the tokens of one user, oldest first.
func (t *Tx) APITokens(userID string) ([]*signalbox.APIToken, error) {
	return many(t, "API token", scanToken, `SELECT `+tokenColumns+` FROM api_token WHERE account_id = $1 ORDER BY created_at`, userID)
}

// RevokeAPIToken ends a token for good.
func (t *Tx) RevokeAPIToken(id, actor string) error {
	n, err := t.exec(`UPDATE api_token SET revoked_at = $1 WHERE id = $2 AND revoked_at = 0`, ms(t.Now), id)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	return t.Record("api_token", id, actor, "revoked", "")
}

// UserByToken returns the owner of a token that is neither revoked nor expired and whose owner is not disabled.
func (t *Tx) UserByToken(hash string) (*signalbox.User, *signalbox.APIToken, error) {
	a, err := one(t, "API token", "of that value", scanToken, `SELECT `+tokenColumns+` FROM api_token
		WHERE token_hash = $1 AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $2)`, hash, ms(t.Now))
	if err != nil {
		return nil, nil, err
	}
	u, err := one(t, "user", a.UserID, scanUser, `SELECT `+userColumns+` FROM account WHERE id = $1 AND disabled_at = 0`, a.UserID)
	return u, a, err
}

// CreateSession stores a browser session by the hash of its cookie.
func (t *Tx) CreateSession(s *signalbox.Session, hash string) error {
	if s.ID == "" {
		s.ID = signalbox.NewID()
	}
	s.CreatedAt = t.Now
	_, err := t.exec(`INSERT INTO session (id, id_hash, account_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		s.ID, hash, s.UserID, ms(s.CreatedAt), ms(s.ExpiresAt))
	return err
}

// UserBySession returns who is signed in with a cookie.
func (t *Tx) UserBySession(hash string) (*signalbox.User, error) {
	return one(t, "session", "of that cookie", scanUser, `SELECT a.id, a.name, a.email, a.role, a.password_hash, a.created_at, a.disabled_at
		FROM session s JOIN account a ON a.id = s.account_id WHERE s.id_hash = $1 AND s.expires_at > $2 AND a.disabled_at = 0`, hash, ms(t.Now))
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
