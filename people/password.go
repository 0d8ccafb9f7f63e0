package people

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

// FieldCode and FieldPresent are the fields of the forms about passwords that setup does not have.
const (
	FieldCode    = "code"
	FieldPresent = "present"
)

// errLink is the one answer for links that never were, were used, replaced or withdrawn, or are too old.
var errLink = setup.Problems{FieldCode: "That link does not count: it was used already, a newer one was made, or it is too old. Ask an administrator for a new one."}

// Accept gives the account of a link the password that its owner has chosen, and ends the link and every session. After five
// tries from one address the next may come a minute later; wait says when, and such a try does not count.
func (p *People) Accept(ctx context.Context, address, code, password string) (u *signalbox.User, wait time.Duration, err error) {
	if wait := p.tries.Take(address, p.o.Now()); wait > 0 {
		return nil, wait, nil
	}
	hash := auth.HashToken(code)
	err = p.o.Store.Read(ctx, func(tx *store.Tx) error { u, _, err = ofLink(tx, hash); return err })
	if err != nil {
		return nil, 0, err
	}
	p.tries.GiveBack(address)
	if problem := setup.CheckPassword(password, u.Name, u.Email); problem != "" {
		return nil, 0, setup.Problems{setup.FieldPassword: problem}
	}
	passwordHash, err := auth.HashPassword(ctx, password)
	if err != nil {
		return nil, 0, err
	}
	err = p.o.Store.Write(ctx, func(tx *store.Tx) error {
		found, l, err := ofLink(tx, hash)
		if err != nil {
			return err
		}
		// Of two that use a link at once the second finds nothing to end.
		if err := tx.UsePasswordLink(l); signalbox.ErrorCode(err) == signalbox.CodeConflict {
			return errLink
		} else if err != nil {
			return err
		}
		if err := tx.ReplacePasswordHash(found, passwordHash, "user:"+found.Name, "password chosen by link"); err != nil {
			return err
		}
		u = found
		return tx.DeleteSessions(u.ID, "")
	})
	if err != nil {
		return nil, 0, err
	}
	return u, 0, nil
}

// ofLink returns whose link has a hash.
func ofLink(tx *store.Tx, hash string) (*signalbox.User, *signalbox.PasswordLink, error) {
	l, err := tx.PasswordLink(hash)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return nil, nil, errLink
	}
	if err != nil {
		return nil, nil, err
	}
	if subtle.ConstantTimeCompare([]byte(l.Hash), []byte(hash)) != 1 {
		return nil, nil, errLink
	}
	u, err := tx.User(l.UserID)
	if err == nil && u.State() == signalbox.UserDisabled {
		return nil, nil, errLink
	}
	return u, l, err
}

// ChangePassword gives somebody who knows their present password another one, and signs them out everywhere but in the session
// whose cookie has a hash. Whoever calls it bounds the tries.
func (p *People) ChangePassword(ctx context.Context, userID, sessionHash, present, password string) error {
	var u *signalbox.User
	if err := p.o.Store.Read(ctx, func(tx *store.Tx) (err error) { u, err = tx.User(userID); return err }); err != nil {
		return err
	}
	ok, err := auth.VerifyPassword(ctx, u.PasswordHash, present)
	if err != nil {
		return err
	}
	if !ok {
		return setup.Problems{FieldPresent: "That is not your present password."}
	}
	if problem := setup.CheckPassword(password, u.Name, u.Email); problem != "" {
		return setup.Problems{setup.FieldPassword: problem}
	}
	hash, err := auth.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return p.o.Store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.ReplacePasswordHash(u, hash, "user:"+u.Name, "password changed"); err != nil {
			return err
		}
		if err := tx.DeletePasswordLink(u.ID); err != nil {
			return err
		}
		return tx.DeleteSessions(u.ID, sessionHash)
	})
}
