package people

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

type world struct {
	*testing.T
	store  *store.Store
	people *People
	now    time.Time
	ana    route.Actor // the only administrator
}

const password = "correct horse battery"

// each runs a test on both databases.
func each(t *testing.T, test func(w *world)) {
	run := func(name string, options func(t *testing.T) store.Options) {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, now: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)}
			now := func() time.Time { return w.now }
			o := options(t)
			o.Now = now
			var err error
			if w.store, err = store.Open(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = w.store.Close() })
			if w.people, err = New(Options{Store: w.store, Now: now}); err != nil {
				t.Fatal(err)
			}
			w.ana = w.account("ana", signalbox.RoleAdmin)
			test(w)
		})
	}
	run("sqlite", func(t *testing.T) store.Options { return store.Options{Dir: storetest.Folder(t)} })
	run("postgres", func(t *testing.T) store.Options { return store.Options{URL: storetest.PostgresURL(t)} })
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.Helper()
	if err := w.store.Write(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

// account makes somebody with the password of all.
func (w *world) account(name string, role signalbox.Role) route.Actor {
	w.Helper()
	hash, err := auth.HashPassword(w.Context(), password)
	if err != nil {
		w.Fatal(err)
	}
	u := &signalbox.User{Name: name, Email: name + "@example.com", Role: role, PasswordHash: hash}
	w.write(func(tx *store.Tx) error { return tx.CreateUser(u) })
	return route.Actor{User: u}
}

func (w *world) user(name string) (u *signalbox.User) {
	w.Helper()
	if err := w.store.Read(w.Context(), func(tx *store.Tx) (err error) { u, err = tx.UserByName(name); return err }); err != nil {
		w.Fatal(err)
	}
	return u
}

func (w *world) reasons(id string) string {
	w.Helper()
	var out []string
	if err := w.store.Read(w.Context(), func(tx *store.Tx) error {
		all, err := tx.Events("user", id)
		for _, e := range all {
			out = append(out, e.Reason+" by "+e.Actor)
		}
		return err
	}); err != nil {
		w.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func (w *world) session(u *signalbox.User, hash string) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		return tx.CreateSession(&signalbox.Session{UserID: u.ID, ExpiresAt: tx.Now.Add(time.Hour)}, hash)
	})
}

func (w *world) signedIn(hash string) bool {
	w.Helper()
	err := w.store.Read(w.Context(), func(tx *store.Tx) error { _, _, err := tx.UserBySession(hash); return err })
	if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		w.Fatal(err)
	}
	return err == nil
}

func (w *world) invite(name string, role signalbox.Role) *Link {
	w.Helper()
	l, err := w.people.Invite(w.Context(), Invitation{name, name + "@example.com", string(role)}, w.ana)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func (w *world) setRole(ctx context.Context, which string, from, to signalbox.Role, by route.Actor) error {
	u, err := w.people.SetRole(ctx, which, from, to, by)
	if err == nil && u.Role != to {
		w.Errorf("%s is %s and not %s", which, u.Role, to)
	}
	return err
}

func (w *world) disable(ctx context.Context, which string, by route.Actor) error {
	u, err := w.people.Disable(ctx, which, by)
	if err == nil && u.State() != signalbox.UserDisabled {
		w.Errorf("%s is %s", which, u.State())
	}
	return err
}

func (w *world) enable(ctx context.Context, which string, by route.Actor) error {
	u, err := w.people.Enable(ctx, which, by)
	if err == nil && u.State() == signalbox.UserDisabled {
		w.Errorf("%s is %s", which, u.State())
	}
	return err
}

func problem(err error, field string) string {
	var p setup.Problems
	if !errors.As(err, &p) {
		return ""
	}
	return p[field]
}

func (w *world) refused(what string, err error, code signalbox.Code, words string) {
	w.Helper()
	if signalbox.ErrorCode(err) != code || !strings.Contains(err.Error(), words) {
		w.Errorf("%s: %v, want %s with %q", what, err, code, words)
	}
}

func TestInvitation(t *testing.T) {
	each(t, func(w *world) {
		l := w.invite("mei", signalbox.RoleMember)
		if got := w.user("mei"); got.State() != signalbox.UserInvited || got.Role != signalbox.RoleMember || got.Email != "mei@example.com" {
			w.Errorf("invited is %+v", got)
		}
		if !l.ExpiresAt.Equal(w.now.Add(LinkLife)) || len(l.Code) < 40 || l.Path() != "/welcome#code="+l.Code {
			w.Errorf("the link is %+v", l)
		}
		if _, _, err := w.people.Accept(w.Context(), "1", l.Code, "short"); problem(err, setup.FieldPassword) == "" {
			w.Errorf("a short password: %v", err)
		}
		if _, _, err := w.people.Accept(w.Context(), "1", l.Code, "MEI@example.com"); problem(err, setup.FieldPassword) == "" {
			w.Errorf("the address as a password: %v", err)
		}
		w.session(l.User, "a session from nowhere")
		u, wait, err := w.people.Accept(w.Context(), "1", l.Code, password)
		if err != nil || wait > 0 || u.ID != l.User.ID {
			w.Fatal(u, wait, err)
		}
		if ok, err := auth.VerifyPassword(w.Context(), w.user("mei").PasswordHash, password); !ok || err != nil {
			w.Errorf("the password was not set: %v", err)
		}
		if w.signedIn("a session from nowhere") {
			w.Error("a session from before the password goes on")
		}
		if _, _, err := w.people.Accept(w.Context(), "1", l.Code, "another good password"); problem(err, FieldCode) == "" {
			w.Errorf("a link counts twice: %v", err)
		}
		if got, want := w.reasons(l.User.ID), "created by user:ana, password link made by user:ana, password chosen by link by user:mei"; got != want {
			w.Errorf("history %q, want %q", got, want)
		}
	})
}

func TestInvitationProblems(t *testing.T) {
	for field, i := range map[string]Invitation{
		setup.FieldName:  {" ", "a@example.com", "member"},
		setup.FieldEmail: {"mei", "mei", "member"},
		FieldRole:        {"mei", "mei@example.com", "owner"},
	} {
		if _, p := i.Checked(); len(p) != 1 || p[field] == "" {
			t.Errorf("%+v: %v", i, p)
		}
	}
	each(t, func(w *world) {
		for _, name := range []string{"ana", "server", "a\u202eb", strings.Repeat("x", 81)} {
			l, err := w.people.Invite(w.Context(), Invitation{name, "a@example.com", "member"}, w.ana)
			if problem(err, setup.FieldName) == "" || l != nil && l.Code != "" {
				w.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestLinksEnd(t *testing.T) {
	each(t, func(w *world) {
		first := w.invite("mei", signalbox.RoleMember)
		second, err := w.people.NewLink(w.Context(), "mei", w.ana)
		if err != nil {
			w.Fatal(err)
		}
		if _, _, err := w.people.Accept(w.Context(), "1", first.Code, password); problem(err, FieldCode) == "" {
			w.Errorf("the link that was replaced: %v", err)
		}
		w.now = w.now.Add(LinkLife)
		if _, _, err := w.people.Accept(w.Context(), "2", second.Code, password); problem(err, FieldCode) == "" {
			w.Errorf("a link that is too old: %v", err)
		}
		third, err := w.people.NewLink(w.Context(), second.User.ID, w.ana)
		if err != nil {
			w.Fatal(err)
		}
		if err := w.disable(w.Context(), "mei", w.ana); err != nil {
			w.Fatal(err)
		}
		if _, _, err := w.people.Accept(w.Context(), "3", third.Code, password); problem(err, FieldCode) == "" {
			w.Errorf("the link of somebody who is disabled: %v", err)
		}
		_, err = w.people.NewLink(w.Context(), "mei", w.ana)
		w.refused("a link for somebody who is disabled", err, signalbox.CodeConflict, "enable the account first")
		if err := w.enable(w.Context(), "mei", w.ana); err != nil {
			w.Fatal(err)
		}
		if _, _, err := w.people.Accept(w.Context(), "4", third.Code, password); problem(err, FieldCode) == "" {
			w.Errorf("being enabled brings the link back: %v", err)
		}
	})
}

func TestOnlyOneUsesALink(t *testing.T) {
	each(t, func(w *world) {
		l := w.invite("mei", signalbox.RoleMember)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 4 {
			wg.Go(func() {
				_, _, err := w.people.Accept(context.Background(), "1", l.Code, password)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if problem(err, FieldCode) == "" {
					w.Errorf("the slower one: %v", err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			w.Errorf("%d have used the link", won)
		}
	})
}

func TestGuessingIsSlow(t *testing.T) {
	each(t, func(w *world) {
		l := w.invite("mei", signalbox.RoleMember)
		for i := range 5 {
			if _, wait, err := w.people.Accept(w.Context(), "10.0.0.1", strings.Repeat("x", i*100), password); wait > 0 || problem(err, FieldCode) == "" {
				w.Errorf("guess %d: %v %v", i, wait, err)
			}
		}
		if _, wait, _ := w.people.Accept(w.Context(), "10.0.0.1", l.Code, password); wait < 50*time.Second {
			w.Errorf("after five wrong ones the right one waits %v", wait)
		}
		if _, wait, err := w.people.Accept(w.Context(), "10.0.0.2", l.Code, password); wait > 0 || err != nil {
			w.Errorf("from another address: %v %v", wait, err)
		}
	})
}

func TestRolesAndDisabling(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.Context()
		mei := w.account("mei", signalbox.RoleMember)
		w.refused("a member changes somebody", w.setRole(ctx, "ana", "", signalbox.RoleViewer, mei), signalbox.CodeForbidden, "user.manage")
		w.refused("nobody changes somebody", w.disable(ctx, "mei", route.Actor{}), signalbox.CodeUnauthorized, "")
		w.refused("the last administrator as a member", w.setRole(ctx, "ana", "", signalbox.RoleMember, w.ana), signalbox.CodeConflict, "last administrator")
		w.refused("a role that is none", w.setRole(ctx, "mei", "", "owner", w.ana), signalbox.CodeInvalid, "not known")
		w.refused("somebody who is not there", w.disable(ctx, "nobody", w.ana), signalbox.CodeNotFound, "nobody")
		w.refused("oneself", w.disable(ctx, "ana", w.ana), signalbox.CodeInvalid, "your own account")
		_, err := w.people.NewLink(ctx, "ana", w.ana)
		w.refused("a link for oneself", err, signalbox.CodeInvalid, "/account")

		// The server's account acts, but nobody acts on it.
		own := &signalbox.User{Name: signalbox.ServerUser, Role: signalbox.RoleAdmin}
		w.write(func(tx *store.Tx) error { return tx.CreateUser(own) })
		w.refused("the server's account", w.disable(ctx, signalbox.ServerUser, w.ana), signalbox.CodeInvalid, "server's own")
		w.refused("the last administrator, by the command line", w.disable(ctx, "ana", route.Actor{User: own}), signalbox.CodeConflict, "last administrator")

		// An administrator who cannot sign in yet does not count.
		w.invite("zoe", signalbox.RoleAdmin)
		w.refused("the last who can sign in", w.setRole(ctx, "ana", "", signalbox.RoleViewer, w.ana), signalbox.CodeConflict, "last administrator")

		if err := w.setRole(ctx, "mei", signalbox.RoleMember, signalbox.RoleAdmin, w.ana); err != nil {
			w.Fatal(err)
		}
		w.refused("a role that was seen before", w.setRole(ctx, "mei", signalbox.RoleMember, signalbox.RoleViewer, w.ana), signalbox.CodeConflict, "look again")
		w.session(mei.User, "mei")
		if err := w.disable(ctx, "mei", w.ana); err != nil || w.signedIn("mei") {
			w.Errorf("disabled: %v, signed in: %v", err, w.signedIn("mei"))
		}
		if err := w.disable(ctx, "mei", w.ana); err != nil {
			w.Errorf("once more: %v", err)
		}
		w.refused("an administrator who was disabled meanwhile", w.setRole(ctx, "zoe", "", signalbox.RoleViewer, mei), signalbox.CodeForbidden, "any more")
		if err := w.enable(ctx, "mei", w.ana); err != nil {
			w.Fatal(err)
		}
		if got, want := w.reasons(mei.User.ID), "created by server, role changed by user:ana, disabled by user:ana, enabled by user:ana"; got != want {
			w.Errorf("history %q, want %q", got, want)
		}
	})
}

// Two administrators who demote each other at the same moment leave one.
func TestOneAdministratorStays(t *testing.T) {
	each(t, func(w *world) {
		for range 5 {
			mei := w.account("mei"+signalbox.NewID(), signalbox.RoleAdmin)
			var wg sync.WaitGroup
			for by, of := range map[*route.Actor]string{&w.ana: mei.User.Name, &mei: "ana"} {
				wg.Go(func() { _ = w.setRole(context.Background(), of, "", signalbox.RoleMember, *by) })
			}
			wg.Wait()
			left := 0
			if err := w.store.Read(w.Context(), func(tx *store.Tx) (err error) { left, err = tx.OtherAdmins(""); return err }); err != nil {
				w.Fatal(err)
			}
			if left != 1 {
				w.Fatalf("%d administrators are left", left)
			}
			w.write(func(tx *store.Tx) error { // as at first
				for _, u := range []*signalbox.User{w.user("ana"), w.user(mei.User.Name)} {
					to := map[bool]signalbox.Role{true: signalbox.RoleAdmin, false: signalbox.RoleMember}[u.Name == "ana"]
					if err := tx.SetUserRole(u, to, "test"); err != nil {
						return err
					}
				}
				return nil
			})
		}
	})
}

func TestMayChange(t *testing.T) {
	hash, then := "x", time.Unix(1, 0)
	admin := &signalbox.User{ID: "1", Name: "ana", Role: signalbox.RoleAdmin, PasswordHash: hash}
	for _, c := range []struct {
		name          string
		by            string
		before, after signalbox.User
		others        int
		want          signalbox.Code
	}{
		{"a member is disabled", "1", signalbox.User{ID: "2", Role: signalbox.RoleMember, PasswordHash: hash}, signalbox.User{ID: "2", Role: signalbox.RoleMember, PasswordHash: hash, DisabledAt: then}, 0, ""},
		{"the last one is demoted", "1", *admin, signalbox.User{ID: "1", Role: signalbox.RoleMember, PasswordHash: hash}, 0, signalbox.CodeConflict},
		{"one of two is demoted", "1", *admin, signalbox.User{ID: "1", Role: signalbox.RoleMember, PasswordHash: hash}, 1, ""},
		{"the last one stays", "1", *admin, *admin, 0, ""},
		{"one of two disables the other", "2", *admin, signalbox.User{ID: "1", Role: signalbox.RoleAdmin, PasswordHash: hash, DisabledAt: then}, 1, ""},
		{"oneself", "1", *admin, signalbox.User{ID: "1", Role: signalbox.RoleAdmin, PasswordHash: hash, DisabledAt: then}, 5, signalbox.CodeInvalid},
		{"an administrator who was never there", "1", signalbox.User{ID: "3", Role: signalbox.RoleAdmin}, signalbox.User{ID: "3", Role: signalbox.RoleAdmin, DisabledAt: then}, 0, ""},
	} {
		if err := mayChange(&signalbox.User{ID: c.by}, &c.before, &c.after, c.others); (err == nil) != (c.want == "") || err != nil && signalbox.ErrorCode(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestChangePassword(t *testing.T) {
	each(t, func(w *world) {
		u := w.ana.User
		w.session(u, "here")
		w.session(u, "there")
		const fresh = "staple staple staple"
		if err := w.people.ChangePassword(w.Context(), u.ID, "here", "wrong", fresh); problem(err, FieldPresent) == "" {
			w.Errorf("without the present password: %v", err)
		}
		if err := w.people.ChangePassword(w.Context(), u.ID, "here", password, "short"); problem(err, setup.FieldPassword) == "" {
			w.Errorf("a short one: %v", err)
		}
		if !w.signedIn("there") {
			w.Error("what was refused has signed somebody out")
		}
		if err := w.people.ChangePassword(w.Context(), u.ID, "here", password, fresh); err != nil {
			w.Fatal(err)
		}
		if !w.signedIn("here") || w.signedIn("there") {
			w.Errorf("here %v, there %v", w.signedIn("here"), w.signedIn("there"))
		}
		if ok, err := auth.VerifyPassword(w.Context(), w.user("ana").PasswordHash, fresh); !ok || err != nil {
			w.Errorf("the password is another one: %v", err)
		}
	})
}

func TestTokens(t *testing.T) {
	each(t, func(w *world) {
		ctx, mei := w.Context(), w.account("mei", signalbox.RoleMember)
		a, text, err := w.people.CreateToken(ctx, " ci ", time.Hour, w.ana)
		if err != nil || a.Name != "ci" || !a.ExpiresAt.Equal(w.now.Add(time.Hour)) || !strings.HasPrefix(text, auth.APITokenPrefix) {
			w.Fatal(a, err)
		}
		_, _, err = w.people.CreateToken(ctx, " ", 0, w.ana)
		w.refused("no name", err, signalbox.CodeInvalid, "name")
		_, _, err = w.people.CreateToken(ctx, "x", MaxTokenLife+1, w.ana)
		w.refused("too long", err, signalbox.CodeInvalid, "days")
		w.refused("somebody else's", w.people.RevokeToken(ctx, a.ID, mei), signalbox.CodeNotFound, "you have no API token")
		if err := w.people.RevokeToken(ctx, "ci", w.ana); err != nil {
			w.Error(err)
		}
		w.refused("once more", w.people.RevokeToken(ctx, a.ID, w.ana), signalbox.CodeNotFound, "you have no API token")
	})
}
