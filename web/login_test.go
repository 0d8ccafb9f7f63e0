package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

func TestSignInAndOut(t *testing.T) {
	s := newSite(t)
	s.as("")
	hash, err := auth.HashPassword(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	s.write(func(tx *store.Tx) error {
		return tx.CreateUser(&signalbox.User{Name: "ana", Role: signalbox.RoleMember, PasswordHash: hash})
	})
	status, text := s.get("/login?next=/jobs/x%3Fattempt=2")
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, `value="/jobs/x?attempt=2"`) {
		t.Errorf("status %d, the form does not keep where to go", status)
	}
	for _, form := range []url.Values{
		{"name": {"ana"}, "password": {"wrong"}}, {"name": {"nobody"}, "password": {"correct horse"}}, {"name": {"ana"}},
	} {
		status, h, text := s.do("POST", "/login", form)
		if status != 422 || !strings.Contains(text, "Name and password do not match.") || h.Get("Set-Cookie") != "" {
			t.Errorf("%v: status %d", form, status)
		}
	}
	status, h, _ := s.do("POST", "/login", url.Values{"name": {"ana"}, "password": {"correct horse"}, "next": {"/agents"}})
	cookie, err := http.ParseSetCookie(h.Get("Set-Cookie"))
	if err != nil {
		t.Fatalf("status %d without a cookie: %v", status, err)
	}
	if status != 303 || h.Get("Location") != "/agents" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Secure {
		t.Errorf("status %d to %q with cookie %v", status, h.Get("Location"), cookie)
	}
	find := func() (u *signalbox.User, err error) {
		err = s.store.Read(t.Context(), func(tx *store.Tx) error {
			u, _, err = tx.UserBySession(auth.HashToken(cookie.Value))
			return err
		})
		return u, err
	}
	if u, err := find(); err != nil || u.Name != "ana" {
		t.Errorf("the session belongs to %v, %v", u, err)
	}
	r := httptest.NewRequest("POST", "/logout", nil)
	r.AddCookie(cookie)
	rec := httptest.NewRecorder()
	s.handler().ServeHTTP(rec, r)
	if _, err := find(); rec.Code != 303 || signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("after signing out: status %d, session %v", rec.Code, err)
	}
	if c := rec.Header().Get("Set-Cookie"); !strings.Contains(c, "Max-Age=0") {
		t.Errorf("signing out sets the cookie %q", c)
	}
}

func TestCookieName(t *testing.T) {
	s := newSite(t)
	r := httptest.NewRequest("GET", "https://ci.example/", nil)
	r.AddCookie(&http.Cookie{Name: "signalbox", Value: "planted"})
	if got := s.web.SessionCookie(r); got != "" {
		t.Errorf("over TLS a cookie without the prefix is taken: %q", got)
	}
	r.AddCookie(&http.Cookie{Name: "__Host-signalbox", Value: "own"})
	if got := s.web.SessionCookie(r); got != "own" {
		t.Errorf("over TLS the cookie is %q", got)
	}
	rec := httptest.NewRecorder()
	s.web.setCookie(rec, r, "v", time.Hour)
	if c := rec.Header().Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-signalbox=v;") || !strings.Contains(c, "Secure") || strings.Contains(c, "Domain") {
		t.Errorf("over TLS the cookie is set as %q", c)
	}
}

func TestRelative(t *testing.T) {
	for in, want := range map[string]string{
		"/jobs/x?attempt=2#L5": "/jobs/x?attempt=2#L5", "/": "/", "": "/", "//evil.example": "/", "/\\evil.example": "/", "https://evil.example/": "/",
		"javascript:alert(1)": "/", "evil.example": "/", "/a\r\nSet-Cookie: x": "/", "/\tx": "/", "///evil.example": "/", "/" + strings.Repeat("a", 3000): "/",
	} {
		if got := relative(in); got != want {
			t.Errorf("relative(%.40q) = %q, want %q", in, got, want)
		}
	}
}

func TestTries(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tr := newTries()
	for i := range 5 {
		if wait := tr.take("ana", "192.0.2.1", now); wait != 0 {
			t.Fatalf("try %d has to wait %v", i+1, wait)
		}
	}
	if wait := tr.take("ana", "192.0.2.1", now); wait != 6*time.Second {
		t.Errorf("the sixth try has to wait %v", wait)
	}
	if wait := tr.take("ana", "192.0.2.2", now); wait != 0 {
		t.Errorf("another address has to wait %v", wait)
	}
	if wait := tr.take("ana", "192.0.2.1", now.Add(6*time.Second)); wait != 0 {
		t.Errorf("after the wait there is another of %v", wait)
	}
	blocked := false
	for i := range 70 {
		blocked = blocked || tr.take(strings.Repeat("x", i), "192.0.2.3", now) > 0
	}
	if !blocked {
		t.Error("one address may try any number of names")
	}
	for i := range maxTries + 1000 {
		tr.take("n", strings.Repeat("y", i%7)+time.Duration(i).String(), now)
	}
	if len(tr.byID) > maxTries+2 {
		t.Errorf("%d tries are remembered", len(tr.byID))
	}

	s := newSite(t)
	s.as("")
	for range 5 {
		s.do("POST", "/login", url.Values{"name": {"bob"}, "password": {"x"}})
	}
	status, h, text := s.do("POST", "/login", url.Values{"name": {"bob"}, "password": {"x"}})
	if status != 429 || h.Get("Retry-After") != "6" || !strings.Contains(text, "You can try again in 6") {
		t.Errorf("the sixth try answers %d, %q", status, h.Get("Retry-After"))
	}
}

// Somebody whose password was changed, or who was disabled, while theirs was being checked is not signed in.
func TestSignInWhileTheAccountChanges(t *testing.T) {
	s := newSite(t)
	u := s.account("mei", signalbox.RoleMember, goodPassword)
	for what, change := range map[string]func(tx *store.Tx) error{
		"a new password": func(tx *store.Tx) error { return tx.SetPasswordHash(u.ID, "another", "user:mei") },
		"disabled":       func(tx *store.Tx) error { return tx.DisableUser(u, "user:ana") },
	} {
		seen := s.user(u.ID)
		s.write(change)
		rec := httptest.NewRecorder()
		if err := s.web.signIn(rec, httptest.NewRequest("POST", "/login", nil), seen, goodPassword, "/"); err != nil {
			t.Fatal(err)
		}
		if rec.Code != 422 || rec.Header().Get("Set-Cookie") != "" || !strings.Contains(rec.Body.String(), noMatch) {
			t.Errorf("%s: status %d", what, rec.Code)
		}
	}
}
