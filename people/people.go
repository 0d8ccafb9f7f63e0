// Package people says what may be done to the accounts of people, and does it: invite, give a role, disable and enable,
// make the one-time link with which somebody chooses a password, and what they do to their own password and API tokens.
// It has no face; the pages and the API call it.
package people

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

// LinkLife is how long a link with which somebody chooses a password counts.
const LinkLife = 3 * 24 * time.Hour

// Options for New. Store is required.
type Options struct {
	Store *store.Store
	Now   func() time.Time
}

// People changes accounts.
type People struct {
	o     Options
	tries *setup.Tries
}

// New checks the options.
func New(o Options) (*People, error) {
	if o.Store == nil {
		return nil, errors.New("people: a store is needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &People{o: o, tries: setup.NewTries()}, nil
}

// Link is what was made for somebody. Code is stored nowhere: whoever asked has to hand it on.
type Link struct {
	User      *signalbox.User
	Code      string
	ExpiresAt time.Time
}

// Path is where the link leads to on the server. The code stands behind the #, which browsers send to nobody.
func (l *Link) Path() string { return "/welcome#code=" + l.Code }

// Invitation is a new account as somebody asks for it.
type Invitation struct {
	Name, Email, Role string
}

// FieldRole is the field of an invitation that setup does not have.
const FieldRole = "role"

// Checked returns the invitation as it is used, and what is wrong with it.
func (i Invitation) Checked() (Invitation, setup.Problems) {
	p := setup.Problems{}
	i.Name, i.Email = strings.TrimSpace(i.Name), strings.TrimSpace(i.Email)
	for field, problem := range map[string]string{setup.FieldName: setup.CheckName(i.Name), setup.FieldEmail: setup.CheckEmail(i.Email)} {
		if problem != "" {
			p[field] = problem
		}
	}
	if _, err := auth.ParseRole(i.Role); err != nil {
		p[FieldRole] = "Choose a role: admin, member or viewer."
	}
	return i, p
}

// Invite makes an account that has no password yet, and the link with which its owner chooses one. What is wrong with the
// invitation is an error of type setup.Problems.
func (p *People) Invite(ctx context.Context, i Invitation, by route.Actor) (*Link, error) {
	i, problems := i.Checked()
	if len(problems) > 0 {
		return nil, problems
	}
	l := &Link{User: &signalbox.User{Name: i.Name, Email: i.Email, Role: signalbox.Role(i.Role)}}
	return l, p.write(ctx, by, func(tx *store.Tx) error {
		u := *l.User
		_, err := tx.UserByName(u.Name)
		if err == nil {
			return setup.Problems{setup.FieldName: "That name is in use on this server; choose another one."}
		}
		if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return err
		}
		if err := tx.CreateUserBy(&u, by.Name()); err != nil {
			return err
		}
		l.User = &u
		return l.save(tx, by)
	})
}

// save makes a new code and stores the link.
func (l *Link) save(tx *store.Tx, by route.Actor) error {
	code, hash := auth.NewToken(auth.TokenPassword)
	l.Code, l.ExpiresAt = code, tx.Now.Add(LinkLife)
	return tx.SavePasswordLink(&signalbox.PasswordLink{UserID: l.User.ID, Hash: hash, ExpiresAt: l.ExpiresAt}, by.Name())
}

// NewLink makes a link for somebody who has lost theirs, or their password; the one before it ends. which is an id or a name.
func (p *People) NewLink(ctx context.Context, which string, by route.Actor) (*Link, error) {
	l := &Link{}
	_, err := p.change(ctx, which, by, func(tx *store.Tx, u *signalbox.User) error {
		if err := mayLink(by.User, u); err != nil {
			return err
		}
		l.User = u
		return l.save(tx, by)
	})
	return l, err
}

// SetRole gives somebody another role. from is the role that whoever asks believes they have, "" when that makes no difference.
func (p *People) SetRole(ctx context.Context, which string, from, to signalbox.Role, by route.Actor) (*signalbox.User, error) {
	if _, err := auth.ParseRole(string(to)); err != nil {
		return nil, err
	}
	return p.change(ctx, which, by, func(tx *store.Tx, u *signalbox.User) error {
		if from != "" && from != u.Role {
			return signalbox.Errorf(signalbox.CodeConflict, "%s is %s by now, not %s; look again before you change it", u.Name, u.Role, from)
		}
		after := *u
		after.Role = to
		if err := permit(tx, by.User, u, &after); err != nil || u.Role == to {
			return err
		}
		return tx.SetUserRole(u, to, by.Name())
	})
}

// Disable signs somebody out everywhere and lets them, their API tokens and their link in no more.
func (p *People) Disable(ctx context.Context, which string, by route.Actor) (*signalbox.User, error) {
	return p.change(ctx, which, by, func(tx *store.Tx, u *signalbox.User) error {
		after := *u
		after.DisabledAt = tx.Now
		if err := permit(tx, by.User, u, &after); err != nil || !u.DisabledAt.IsZero() {
			return err
		}
		return tx.DisableUser(u, by.Name())
	})
}

// Enable lets somebody in again. Their password and API tokens are those they had.
func (p *People) Enable(ctx context.Context, which string, by route.Actor) (*signalbox.User, error) {
	return p.change(ctx, which, by, func(tx *store.Tx, u *signalbox.User) error {
		if u.DisabledAt.IsZero() {
			return nil
		}
		return tx.EnableUser(u, by.Name())
	})
}

// write runs a change for somebody who may still make it. Changes of accounts come one after another, because which of two
// administrators is the last one depends on who was first.
func (p *People) write(ctx context.Context, by route.Actor, fn func(tx *store.Tx) error) error {
	if by.User == nil {
		return signalbox.Errorf(signalbox.CodeUnauthorized, "changing accounts needs somebody who is signed in")
	}
	return p.o.Store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.LockOrganization(); err != nil {
			return err
		}
		me, err := tx.User(by.User.ID)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && (!me.DisabledAt.IsZero() || !auth.Can(me.Role, auth.UserManage)) {
			return signalbox.Errorf(signalbox.CodeForbidden, "this needs the permission %s, which you do not have any more", auth.UserManage)
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// change returns somebody as they are afterwards.
func (p *People) change(ctx context.Context, which string, by route.Actor, fn func(*store.Tx, *signalbox.User) error) (after *signalbox.User, err error) {
	err = p.write(ctx, by, func(tx *store.Tx) error {
		u, err := find(tx, which)
		if err != nil {
			return err
		}
		if u.Own() {
			return signalbox.Errorf(signalbox.CodeInvalid, "the account %s is the server's own and cannot be changed", u.Name)
		}
		if err := fn(tx, u); err != nil {
			return err
		}
		after, err = tx.User(u.ID)
		return err
	})
	return after, err
}

// find returns somebody by id or name.
func find(tx *store.Tx, which string) (*signalbox.User, error) {
	if signalbox.IsID(which) {
		if u, err := tx.User(which); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return u, err
		}
	}
	u, err := tx.UserByName(which)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is nobody named %.100s", which)
	}
	return u, err
}
