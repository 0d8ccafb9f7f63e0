package setup

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

type world struct {
	*testing.T
	store *store.Store
	setup *Setup
	now   time.Time
	reach error
}

func open(t *testing.T, o store.Options) *world {
	t.Helper()
	w := &world{T: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	o.Now = func() time.Time { return w.now }
	var err error
	if w.store, err = store.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	w.setup = w.server()
	return w
}

// server is one more server of the same database.
func (w *world) server() *Setup {
	s, err := New(Options{Store: w.store, Now: func() time.Time { return w.now }, Reach: func(context.Context, string) error { return w.reach }})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func ana() Request {
	return Request{Name: "ana", Email: "ana@example.com", Password: "correct horse battery", Organization: "Harbour", PublicURL: "https://ci.example.com"}
}

func TestFinish(t *testing.T) {
	w := open(t, store.Options{Dir: storetest.Folder(t)})
	if _, err := w.setup.NewCode(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	d, err := w.setup.Finish(t.Context(), ana())
	if err != nil || d.Warning != "" {
		t.Fatal(d, err)
	}
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		u, _, err := tx.UserByToken(auth.HashToken(d.Token))
		if err != nil || u.Name != "ana" || u.Email != "ana@example.com" || u.Role != signalbox.RoleAdmin || u.Own() {
			t.Errorf("the token is of %+v, %v", u, err)
		}
		if ok, err := auth.VerifyPassword(t.Context(), u.PasswordHash, "correct horse battery"); err != nil || !ok {
			t.Errorf("the password does not fit: %v", err)
		}
		o, err := tx.Organization()
		if err != nil || o.Name != "Harbour" || o.PublicURL != "https://ci.example.com" || o.PublicURLProblem != "" {
			t.Errorf("the organization is %+v, %v", o, err)
		}
		codes, err := tx.SetupCodes(time.Time{})
		if err != nil || len(codes) != 0 {
			t.Errorf("%d codes are left, %v", len(codes), err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	second := ana()
	second.Name = "mallory"
	for name, s := range map[string]*Setup{"the same server": w.setup, "another server": w.server()} {
		if needed, err := s.Needed(t.Context()); needed || err != nil {
			t.Errorf("%s: set-up is still needed, %v", name, err)
		}
		if _, err := s.Finish(t.Context(), second); signalbox.ErrorCode(err) != signalbox.CodeConflict {
			t.Errorf("%s: a second set-up: %v", name, err)
		}
	}
}

// Of many that set up at once, on servers that know nothing of each other, one wins.
func TestRace(t *testing.T) {
	test := func(t *testing.T, o store.Options) {
		w := open(t, o)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for _, name := range []string{"ann", "bob", "cleo", "dan"} {
			s := w.server()
			wg.Go(func() {
				r := ana()
				r.Name = name
				_, err := s.Finish(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if signalbox.ErrorCode(err) != signalbox.CodeConflict {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
		users := 0
		if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
			all, err := tx.Users()
			users = len(all)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if won != 1 || users != 1 {
			t.Errorf("%d have won, there are %d users", won, users)
		}
	}
	t.Run("sqlite", func(t *testing.T) { test(t, store.Options{Dir: storetest.Folder(t)}) })
	t.Run("postgres", func(t *testing.T) { test(t, store.Options{URL: storetest.PostgresURL(t)}) })
}

func TestProblems(t *testing.T) {
	w := open(t, store.Options{Dir: storetest.Folder(t)})
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.CreateUser(&signalbox.User{Name: "taken", Role: signalbox.RoleMember})
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, field string
		change      func(*Request)
	}{
		{"no name", FieldName, func(r *Request) { r.Name = "  " }},
		{"the server's name", FieldName, func(r *Request) { r.Name = "server" }},
		{"a name in use", FieldName, func(r *Request) { r.Name = "taken" }},
		{"a line end in the name", FieldName, func(r *Request) { r.Name = "a\nb" }},
		{"turned text", FieldName, func(r *Request) { r.Name = "a\u202eb" }},
		{"a long name", FieldName, func(r *Request) { r.Name = strings.Repeat("x", 10_000) }},
		{"no text at all", FieldName, func(r *Request) { r.Name = "\xff" }},
		{"no address", FieldEmail, func(r *Request) { r.Email = "" }},
		{"half an address", FieldEmail, func(r *Request) { r.Email = "ana" }},
		{"a name with the address", FieldEmail, func(r *Request) { r.Email = "Ana <ana@example.com>" }},
		{"a header in the address", FieldEmail, func(r *Request) { r.Email = "ana@example.com\r\nBcc: x@y.z" }},
		{"a short password", FieldPassword, func(r *Request) { r.Password = "elevenchars" }},
		{"a password that is no secret", FieldPassword, func(r *Request) { r.Name, r.Password = "anastasia-kovac", "Anastasia-Kovac" }},
		{"a huge password", FieldPassword, func(r *Request) { r.Password = strings.Repeat("x", 5000) }},
		{"a long organization", FieldOrganization, func(r *Request) { r.Organization = strings.Repeat("x", 101) }},
		{"another protocol", FieldPublicURL, func(r *Request) { r.PublicURL = "javascript:alert(1)" }},
		{"no protocol", FieldPublicURL, func(r *Request) { r.PublicURL = "ci.example.com" }},
		{"a path", FieldPublicURL, func(r *Request) { r.PublicURL = "https://ci.example.com/ci" }},
		{"a password in the address", FieldPublicURL, func(r *Request) { r.PublicURL = "https://u:p@ci.example.com" }},
	} {
		r := ana()
		c.change(&r)
		_, err := w.setup.Finish(t.Context(), r)
		var p Problems
		if !errors.As(err, &p) || len(p) != 1 || p[c.field] == "" || signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%s: %v", c.name, err)
		}
		if strings.Contains(err.Error(), r.Password) {
			t.Errorf("%s: the error repeats the password", c.name)
		}
	}
	if needed, err := w.setup.Needed(t.Context()); !needed || err != nil {
		t.Errorf("something was set up: %v", err)
	}
}

func TestPublicAddress(t *testing.T) {
	for _, c := range []struct {
		given, stored string
		reach         error
		warning       string
	}{
		{"HTTPS://CI.Example.com/", "https://ci.example.com", nil, ""},
		{"http://10.0.0.7:8443", "http://10.0.0.7:8443", errors.New("connection refused"), "connection refused"},
		{"https://localhost:8443", "https://localhost:8443", errors.New("not asked"), "other machines cannot reach"},
		{"https://[::1]:8443", "https://[::1]:8443", nil, "other machines cannot reach"},
		{"", "", errors.New("not asked"), ""},
	} {
		w := open(t, store.Options{Dir: storetest.Folder(t)})
		w.reach = c.reach
		r := ana()
		r.PublicURL = c.given
		d, err := w.setup.Finish(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var o *signalbox.Organization
		if err := w.store.Read(t.Context(), func(tx *store.Tx) (err error) { o, err = tx.Organization(); return err }); err != nil {
			t.Fatal(err)
		}
		if o.PublicURL != c.stored || o.PublicURLProblem != d.Warning || !strings.Contains(d.Warning, c.warning) || c.warning == "" && d.Warning != "" {
			t.Errorf("%q is stored as %q with %q", c.given, o.PublicURL, d.Warning)
		}
	}
}

func TestCode(t *testing.T) {
	w := open(t, store.Options{Dir: storetest.Folder(t)})
	first, err := w.setup.NewCode(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	other := w.server()
	second, err := other.NewCode(t.Context(), "Chosen By Somebody")
	if err != nil || second != "Chosen By Somebody" || first == second {
		t.Fatal(first, second, err)
	}
	check := func(s *Setup, address, code string) (bool, time.Duration) {
		t.Helper()
		ok, wait, err := s.CheckCode(t.Context(), address, code)
		if err != nil {
			t.Fatal(err)
		}
		return ok, wait
	}
	// Each server takes the code of the other, however it is written.
	for _, code := range []string{first, strings.ToUpper(first), " " + strings.ReplaceAll(first, "-", "") + "\n", "chosenbysomebody"} {
		for _, s := range []*Setup{w.setup, other} {
			if ok, _ := check(s, "10.0.0.1", code); !ok {
				t.Errorf("the code %q is not taken", code)
			}
		}
	}
	for i, code := range []string{"", "x", first + "x", strings.Repeat("x", 100_000), "\x00"} {
		if ok, wait := check(w.setup, "10.0.0.2", code); ok || wait > 0 {
			t.Errorf("wrong code %d: %v %v", i, ok, wait)
		}
	}
	// The sixth is not looked at, right or wrong; others are not held back by it.
	if ok, wait := check(w.setup, "10.0.0.2", first); ok || wait < 50*time.Second || wait > time.Minute {
		t.Errorf("after five wrong codes: %v %v", ok, wait)
	}
	if ok, _ := check(w.setup, "10.0.0.3", first); !ok {
		t.Error("another address is held back")
	}
	w.now = w.now.Add(61 * time.Second)
	if ok, wait := check(w.setup, "10.0.0.2", "wrong"); ok || wait > 0 {
		t.Errorf("a minute later: %v %v", ok, wait)
	}
	if _, wait := check(w.setup, "10.0.0.2", first); wait < 50*time.Second {
		t.Errorf("it is one a minute from then on, not %v", wait)
	}
	w.now = w.now.Add(CodeLife)
	if ok, _ := check(w.setup, "10.0.0.4", first); ok {
		t.Error("a code of yesterday is taken")
	}
	if _, err := w.setup.NewCode(t.Context(), "too - short"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("a short code: %v", err)
	}
	// Nothing in the database says what the code is.
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error {
		hashes, err := tx.SetupCodes(time.Time{})
		for _, h := range hashes {
			if len(h) != 64 || strings.Contains(first, h) {
				t.Errorf("%q is stored", h)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
