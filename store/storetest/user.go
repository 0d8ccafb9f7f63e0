package storetest

import (
	"errors"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func (s *suite) user(name string) *signalbox.User {
	s.Helper()
	u := &signalbox.User{Name: name, Email: name + "@example.com", Role: signalbox.RoleMember, PasswordHash: "$argon2id$x"}
	s.write(func(t *store.Tx) error { return t.CreateUser(u) })
	return u
}

func testUser(s *suite) {
	u := s.user("zoe")
	s.user("ann")
	s.equal("by id", get(s, func(t *store.Tx) (*signalbox.User, error) { return t.User(u.ID) }), u)
	s.equal("by name", get(s, func(t *store.Tx) (*signalbox.User, error) { return t.UserByName("zoe") }), u)
	s.equal("all", ids(get(s, (*store.Tx).Users), func(u *signalbox.User) string { return u.Name }), []string{"ann", "zoe"})
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.CreateUser(&signalbox.User{Name: "zoe", Role: signalbox.RoleAdmin}) })
	s.write(func(t *store.Tx) error { return t.SetPasswordHash(u.ID, "new", "user:zoe") })
	if got := get(s, func(t *store.Tx) (*signalbox.User, error) { return t.User(u.ID) }); got.PasswordHash != "new" {
		s.Errorf("the password hash is %q", got.PasswordHash)
	}
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.SetPasswordHash("nobody", "x", "y") })
	s.equal("history", s.reasons("user", u.ID), []string{"created", "password changed"})
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.User(signalbox.NewID()); return err })
	s.missing("unknown name", func(t *store.Tx) error { _, err := t.UserByName("nobody"); return err })
}

func testAPIToken(s *suite) {
	u, now := s.user("ann"), time.Now()
	var tokens []*signalbox.APIToken
	for _, a := range []*signalbox.APIToken{{Name: "ci"}, {Name: "old", ExpiresAt: now.Add(-time.Hour).UTC().Truncate(time.Millisecond)}} {
		a.UserID = u.ID
		s.write(func(t *store.Tx) error { return t.CreateAPIToken(a, "hash of "+a.Name, "ann") })
		tokens = append(tokens, a)
	}
	s.equal("of the user", get(s, func(t *store.Tx) ([]*signalbox.APIToken, error) { return t.APITokens(u.ID) }), tokens)
	s.read(func(t *store.Tx) error {
		owner, a, err := t.UserByToken("hash of ci")
		if err != nil {
			return err
		}
		s.equal("owner", owner, u)
		s.equal("token", a, tokens[0])
		return nil
	})
	find := func(hash string) func(*store.Tx) error {
		return func(t *store.Tx) error { _, _, err := t.UserByToken(hash); return err }
	}
	s.missing("an expired token", find("hash of old"))
	s.missing("an unknown token", find("x"))
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateAPIToken(&signalbox.APIToken{UserID: u.ID}, "hash of ci", "ann")
	})
	s.write(func(t *store.Tx) error { return t.UseAPIToken(tokens[0].ID, time.Time{}) })
	seen := get(s, func(t *store.Tx) ([]*signalbox.APIToken, error) { return t.APITokens(u.ID) })[0].LastUsedAt
	s.write(func(t *store.Tx) error { return t.UseAPIToken(tokens[0].ID, seen.Add(-time.Minute)) }) // it knew of an older use
	if again := get(s, func(t *store.Tx) ([]*signalbox.APIToken, error) { return t.APITokens(u.ID) })[0].LastUsedAt; seen.IsZero() || !again.Equal(seen) {
		s.Errorf("used at %v and then at %v", seen, again)
	}
	for range 2 {
		s.write(func(t *store.Tx) error { return t.RevokeAPIToken(tokens[0].ID, "ann") })
	}
	s.missing("a revoked token", find("hash of ci"))
	s.equal("history", s.reasons("api_token", tokens[0].ID), []string{"created", "revoked"})
}

func testSession(s *suite) {
	u, now := s.user("ann"), time.Now().UTC().Truncate(time.Millisecond)
	for hash, expires := range map[string]time.Time{"living": now.Add(time.Hour), "ended": now.Add(-time.Hour)} {
		s.write(func(t *store.Tx) error {
			return t.CreateSession(&signalbox.Session{UserID: u.ID, ExpiresAt: expires}, hash)
		})
	}
	find := func(hash string) func(*store.Tx) error {
		return func(t *store.Tx) error { _, _, err := t.UserBySession(hash); return err }
	}
	u = get(s, func(t *store.Tx) (*signalbox.User, error) { return t.User(u.ID) })
	s.equal("that they signed in is noted", u.SignedInAt.IsZero(), false)
	s.equal("who is signed in", get(s, func(t *store.Tx) (*signalbox.User, error) { u, _, err := t.UserBySession("living"); return u, err }), u)
	session := func() *signalbox.Session {
		return get(s, func(t *store.Tx) (*signalbox.Session, error) { _, x, err := t.UserBySession("living"); return x, err })
	}
	s.equal("until when", session().ExpiresAt, now.Add(time.Hour))
	for _, until := range []time.Time{now.Add(2 * time.Hour), now.Add(time.Minute)} { // never shorter
		s.write(func(t *store.Tx) error { return t.ProlongSession(session().ID, until) })
		s.equal("until when it was prolonged", session().ExpiresAt, now.Add(2*time.Hour))
	}
	s.missing("an ended session", find("ended"))
	s.missing("an unknown session", find("x"))
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateSession(&signalbox.Session{UserID: u.ID, ExpiresAt: now}, "living")
	})
	s.write((*store.Tx).DeleteExpiredSessions)
	s.read(find("living"))
	// What was removed may be made again.
	s.write(func(t *store.Tx) error {
		return t.CreateSession(&signalbox.Session{UserID: u.ID, ExpiresAt: now}, "ended")
	})
	s.write(func(t *store.Tx) error { return errors.Join(t.DeleteSession("living"), t.DeleteSession("unknown")) })
	s.missing("a session after signing out", find("living"))
}

func testPeople(s *suite) {
	s.write(func(t *store.Tx) error {
		return t.CreateUser(&signalbox.User{Name: signalbox.ServerUser, Role: signalbox.RoleAdmin})
	})
	zoe, ann := s.user("zoe"), s.user("ann")
	people := func(after string, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*store.UserWithLink, error) { return t.People(after, limit) }), func(u *store.UserWithLink) string {
			return u.Name + " " + string(u.State())
		})
	}
	s.equal("people, without the server's account", people("", 10), []string{"ann active", "zoe active"})
	s.equal("the rest of them", people("ann", 1), []string{"zoe active"})

	admins := func() int {
		return get(s, func(t *store.Tx) (int, error) { return t.OtherAdmins(ann.ID) })
	}
	s.equal("other administrators at first", admins(), 0)
	s.write(func(t *store.Tx) error { return t.SetUserRole(zoe, signalbox.RoleAdmin, "user:ann") })
	s.equal("other administrators", admins(), 1)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.SetUserRole(zoe, signalbox.RoleViewer, "user:ann") })

	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	link := func(hash string, ends time.Time) {
		s.Helper()
		s.write(func(t *store.Tx) error {
			return t.SavePasswordLink(&signalbox.PasswordLink{UserID: zoe.ID, Hash: hash, ExpiresAt: ends}, "user:ann")
		})
	}
	of := func(hash string) func(*store.Tx) error {
		return func(t *store.Tx) error { _, err := t.PasswordLink(hash); return err }
	}
	link("first", expires)
	link("second", expires)
	s.missing("a link that was replaced", of("first"))
	l := get(s, func(t *store.Tx) (*signalbox.PasswordLink, error) { return t.PasswordLink("second") })
	s.equal("the link", []string{l.UserID, l.CreatedBy, l.ExpiresAt.String()}, []string{zoe.ID, "user:ann", expires.String()})
	s.equal("until when it counts", get(s, func(t *store.Tx) ([]*store.UserWithLink, error) { return t.People("ann", 1) })[0].LinkExpiresAt, expires)
	s.write(func(t *store.Tx) error { return t.UsePasswordLink(l) })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.UsePasswordLink(l) })
	link("old", time.Now().Add(-time.Second))
	s.missing("a link that is too old", of("old"))
	link("third", expires)

	s.write(func(t *store.Tx) error { return t.ReplacePasswordHash(zoe, "new", "user:zoe", "password changed") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.ReplacePasswordHash(zoe, "newer", "user:zoe", "password changed") })

	for _, hash := range []string{"here", "there"} {
		s.write(func(t *store.Tx) error {
			return t.CreateSession(&signalbox.Session{UserID: zoe.ID, Browser: "Firefox on Linux", Address: "192.0.2.7", ExpiresAt: expires}, hash)
		})
	}
	sessions := func() []*store.SessionWithHash {
		return get(s, func(t *store.Tx) ([]*store.SessionWithHash, error) { return t.Sessions(zoe.ID, 10) })
	}
	if all := sessions(); len(all) != 2 || all[0].Browser != "Firefox on Linux" || all[0].Address != "192.0.2.7" {
		s.Errorf("sessions are %+v", all)
	}
	s.write(func(t *store.Tx) error { return t.DeleteSessions(zoe.ID, "here") })
	left := sessions()
	s.equal("what is left", len(left), 1)
	s.write(func(t *store.Tx) error { return t.EndSession(ann.ID, left[0].ID) })
	s.equal("what others end", len(sessions()), 1)
	s.write(func(t *store.Tx) error {
		return t.CreateAPIToken(&signalbox.APIToken{UserID: zoe.ID, Name: "ci"}, "token", "user:zoe")
	})

	s.write(func(t *store.Tx) error { return t.DisableUser(zoe, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DisableUser(zoe, "user:ann") })
	s.equal("sessions of somebody who is disabled", len(sessions()), 0)
	s.missing("their link", of("third"))
	token := func(t *store.Tx) error { _, _, err := t.UserByToken("token"); return err }
	s.missing("their token", token)
	s.equal("other administrators, one disabled", admins(), 0)
	s.write(func(t *store.Tx) error { return t.EnableUser(zoe, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.EnableUser(zoe, "user:ann") })
	s.read(token)
	s.equal("history", s.reasons("user", zoe.ID), []string{
		"created", "role changed", "password link made", "password link made", "password link made", "password link made", "password changed", "disabled", "enabled",
	})
}

func testSetup(s *suite) {
	possible := func(want bool, when string) {
		s.Helper()
		s.equal("whether anybody can sign in "+when, get(s, (*store.Tx).SignInPossible), want)
	}
	possible(false, "at first")
	u := &signalbox.User{Name: signalbox.ServerUser, Role: signalbox.RoleAdmin}
	s.write(func(t *store.Tx) error { return t.CreateUser(u) })
	possible(false, "with the server's account alone")
	s.equal("the server's account", u.Own(), true)
	ann := s.user("ann")
	possible(true, "with a person")
	s.equal("a person's account", ann.Own(), false)

	codes := func() []string {
		return get(s, func(t *store.Tx) ([]string, error) { return t.SetupCodes(time.Time{}) })
	}
	for _, c := range []string{"a", "b", "a"} {
		s.write(func(t *store.Tx) error { return t.AddSetupCode(c) })
	}
	s.equal("codes", len(codes()), 2)
	for _, c := range []string{"c", "d", "e", "f", "g", "h", "i", "j"} {
		s.write(func(t *store.Tx) error { return t.AddSetupCode(c) })
	}
	s.equal("how many codes are kept", len(codes()), 8)
	s.write(func(t *store.Tx) error { return t.DeleteSetupCodes() })
	s.equal("codes that are left", len(codes()), 0)

	dismissed := func(what string) bool {
		return get(s, func(t *store.Tx) (bool, error) { return t.Dismissed(ann.ID, what) })
	}
	s.equal("dismissed at first", dismissed("x"), false)
	for range 2 {
		s.write(func(t *store.Tx) error { return t.Dismiss(ann.ID, "x") })
	}
	s.equal("dismissed", dismissed("x"), true)
	s.equal("something else", dismissed("y"), false)
}
