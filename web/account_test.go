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

func TestAccountPage(t *testing.T) {
	s := newSite(t)
	status, text := s.get("/account") // nothing is stored of whoever asks
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, "You have none") {
		t.Errorf("status %d", status)
	}
	s.harbourPeople()
	_, text = s.get("/account")
	checkPage(t, text)
	for _, want := range []string{"laptop", "Firefox on Linux", "192.0.2.7", "Sign out everywhere else", "Starts, stops and debugs work"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "sbt_") {
		t.Error("a token is shown")
	}

	status, h, text := s.do("POST", "/account/tokens", url.Values{"name": {"ci"}, "expires_in": {"86400"}})
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, "sbt_") || !strings.Contains(text, "sem connect") || h.Get("Cache-Control") != "no-store" {
		t.Errorf("a new token: %d", status)
	}
	if status, _, text = s.do("POST", "/account/tokens", url.Values{"name": {strings.Repeat("x", 101)}}); status != 422 || !strings.Contains(text, "needs a name") {
		t.Errorf("a long name: %d", status)
	}
	if status, _, _ = s.do("POST", "/account/tokens", url.Values{"name": {"x"}, "expires_in": {"-1"}}); status != 400 {
		t.Errorf("a time that is not offered: %d", status)
	}
	if status, _, _ = s.do("POST", "/account/tokens/ci/revoke", url.Values{}); status != 303 {
		t.Errorf("revoking: %d", status)
	}
	if status, _, text = s.do("POST", "/account/tokens/ci/revoke", url.Values{}); status != 404 || !strings.Contains(text, "There is no such API token") {
		t.Errorf("once more: %d", status)
	}
	if _, text = s.get("/account"); strings.Contains(text, ">ci<") {
		t.Error("a token that was revoked is shown")
	}
	s.do("POST", "/account/sessions/end", url.Values{})
	if _, text = s.get("/account"); strings.Contains(text, "Firefox on Linux") {
		t.Error("the other sessions go on")
	}
}

func TestChangePasswordPage(t *testing.T) {
	s := newSite(t)
	s.account("ana", signalbox.RoleMember, goodPassword)
	for _, hash := range []string{auth.HashToken("here"), auth.HashToken("there")} {
		s.write(func(tx *store.Tx) error {
			return tx.CreateSession(&signalbox.Session{UserID: "u", ExpiresAt: tx.Now.Add(time.Hour)}, hash)
		})
	}
	const fresh = "staple staple staple"
	send := func(present, password string) (int, string) {
		t.Helper()
		r := httptest.NewRequest("POST", "/account/password", strings.NewReader(url.Values{"present": {present}, "password": {password}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: "signalbox", Value: "here"})
		rec := httptest.NewRecorder()
		s.handler().ServeHTTP(rec, r)
		if text := rec.Body.String(); strings.Contains(text, fresh) || strings.Contains(text, goodPassword) {
			t.Error("the page repeats a password")
		}
		return rec.Code, rec.Body.String()
	}
	if status, text := send("wrong", fresh); status != 422 || !strings.Contains(text, "not your present password") {
		t.Errorf("a wrong one: %d", status)
	}
	if status, text := send(goodPassword, "short"); status != 422 || !strings.Contains(text, "needs at least 12") {
		t.Errorf("a short one: %d", status)
	}
	if status, _ := send(goodPassword, fresh); status != 303 {
		t.Errorf("a good one: %d", status)
	}
	if err := s.store.Read(t.Context(), func(tx *store.Tx) error {
		if _, _, err := tx.UserBySession(auth.HashToken("there")); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			t.Errorf("the other session: %v", err)
		}
		_, _, err := tx.UserBySession(auth.HashToken("here"))
		return err
	}); err != nil {
		t.Error(err)
	}
	send("wrong", fresh)
	send("wrong", fresh)
	if status, text := send("wrong", fresh); status != 429 || !strings.Contains(text, "Too many tries") {
		t.Errorf("the sixth try: %d", status)
	}
}
