package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const userColumns = `id, name, email, role, password_hash, created_at, disabled_at, signed_in_at`

func scanUser(s scanner, u *signalbox.User) error {
	return s.Scan(&u.ID, &u.Name, &u.Email, &u.Role, &u.PasswordHash, at{&u.CreatedAt}, at{&u.DisabledAt}, at{&u.SignedInAt})
}

// CreateUser stores a user; a taken name is CodeConflict.
func (t *Tx) CreateUser(u *signalbox.User) error { return t.CreateUserBy(u, "server") }

// CreateUserBy is CreateUser for somebody whom the history names.
func (t *Tx) CreateUserBy(u *signalbox.User, actor string) error {
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
	t.Wake(KeyUser(u.ID))
	return t.Record("user", u.ID, actor, "created", string(u.Role))
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

// ReplacePasswordHash is SetPasswordHash for whoever has seen the one that it replaces; another one meanwhile is CodeConflict.
func (t *Tx) ReplacePasswordHash(u *signalbox.User, hash, actor, reason string) error {
	n, err := t.exec(`UPDATE account SET password_hash = $1 WHERE id = $2 AND password_hash = $3 AND disabled_at = 0`, hash, u.ID, u.PasswordHash)
	if err != nil {
		return err
	}
	if err := changed(n, "user", u.Name); err != nil {
		return err
	}
	t.Wake(KeyUser(u.ID))
	return t.Record("user", u.ID, actor, reason, "")
}

// SetUserRole gives somebody another role, if they still have the one they had.
func (t *Tx) SetUserRole(u *signalbox.User, to signalbox.Role, actor string) error {
	n, err := t.exec(`UPDATE account SET role = $1 WHERE id = $2 AND role = $3`, to, u.ID, u.Role)
	if err != nil {
		return err
	}
	if err := changed(n, "user", u.Name); err != nil {
		return err
	}
	t.Wake(KeyUser(u.ID))
	return t.Record("user", u.ID, actor, "role changed", string(u.Role)+" to "+string(to))
}

// DisableUser keeps somebody out: their sessions and their link end at once, their API tokens work only once they are enabled again.
func (t *Tx) DisableUser(u *signalbox.User, actor string) error {
	n, err := t.exec(`UPDATE account SET disabled_at = $1 WHERE id = $2 AND disabled_at = 0`, ms(t.Now), u.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "user", u.Name); err != nil {
		return err
	}
	if err := t.DeleteSessions(u.ID, ""); err != nil {
		return err
	}
	if err := t.DeletePasswordLink(u.ID); err != nil {
		return err
	}
	t.Wake(KeyUser(u.ID))
	return t.Record("user", u.ID, actor, "disabled", "")
}

// EnableUser lets somebody in again who was disabled.
func (t *Tx) EnableUser(u *signalbox.User, actor string) error {
	n, err := t.exec(`UPDATE account SET disabled_at = 0 WHERE id = $1 AND disabled_at <> 0`, u.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "user", u.Name); err != nil {
		return err
	}
	t.Wake(KeyUser(u.ID))
	return t.Record("user", u.ID, actor, "enabled", "")
}

// OtherAdmins counts the administrators who can sign in, one account aside.
func (t *Tx) OtherAdmins(userID string) (n int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COUNT(*) FROM account WHERE role = $1 AND id <> $2 AND password_hash <> '' AND disabled_at = 0`,
		signalbox.RoleAdmin, userID).Scan(&n)
	return n, err
}

// UserWithLink is somebody, and until when their link counts.
type UserWithLink struct {
	signalbox.User
	LinkExpiresAt time.Time // zero when there is none
}

// People returns accounts by name, from the one after a name on. The server's own is no person's.
func (t *Tx) People(after string, limit int) ([]*UserWithLink, error) {
	return many(t, "user", func(s scanner, u *UserWithLink) error {
		return s.Scan(&u.ID, &u.Name, &u.Email, &u.Role, &u.PasswordHash, at{&u.CreatedAt}, at{&u.DisabledAt}, at{&u.SignedInAt}, at{&u.LinkExpiresAt})
	}, `SELECT a.id, a.name, a.email, a.role, a.password_hash, a.created_at, a.disabled_at, a.signed_in_at, COALESCE(l.expires_at, 0)
		FROM account a LEFT JOIN password_link l ON l.account_id = a.id AND l.expires_at > $1
		WHERE a.name > $2 AND NOT (a.name = $3 AND a.password_hash = '') ORDER BY a.name LIMIT $4`, ms(t.Now), after, signalbox.ServerUser, limit)
}
