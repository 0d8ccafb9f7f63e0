package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

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

// UseAPIToken notes that a token was used, unless somebody has noted another use than the last one that is known.
func (t *Tx) UseAPIToken(id string, last time.Time) error {
	_, err := t.exec(`UPDATE api_token SET last_used_at = $1 WHERE id = $2 AND last_used_at = $3`, ms(t.Now), id, ms(last))
	return err
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
