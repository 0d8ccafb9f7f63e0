package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// session makes somebody who can sign in, and a session of theirs.
func (s *Server) session(t *testing.T, name string, role signalbox.Role) (u *signalbox.User, cookie *http.Cookie) {
	t.Helper()
	plain, hash := auth.NewToken(auth.TokenSession)
	u = &signalbox.User{Name: name, Role: role, PasswordHash: "x"}
	if err := s.store.Write(context.Background(), func(tx *store.Tx) error {
		if err := tx.CreateUser(u); err != nil {
			return err
		}
		return tx.CreateSession(&signalbox.Session{UserID: u.ID, ExpiresAt: tx.Now.Add(time.Hour)}, hash)
	}); err != nil {
		t.Fatal(err)
	}
	return u, &http.Cookie{Name: "signalbox", Value: plain}
}

func (s *Server) page(method, path string, cookie *http.Cookie, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://ci.test"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != nil {
		r.AddCookie(cookie)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// What may only be done by administrators is done by nobody else with a session, and by no other site in an administrator's browser.
func TestSessionsAndPagesOfPeople(t *testing.T) {
	s := open(t)
	admin, boss := s.session(t, "ana", signalbox.RoleAdmin)
	mei, member := s.session(t, "mei", signalbox.RoleMember)
	invite := url.Values{"name": {"x"}, "email": {"x@example.com"}, "role": {"admin"}}
	for _, rt := range s.Routes() {
		need := auth.Permission(rt.Access.Permission())
		if rt.Style != route.Page || need == "" || auth.Can(signalbox.RoleMember, need) {
			continue
		}
		method, path := example(rt.Pattern)
		if w := s.page(method, path, member, invite); w.Code != http.StatusForbidden {
			t.Errorf("%s as a member: %d", rt.Pattern, w.Code)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		for _, path := range []string{"/people", "/people/" + mei.ID + "/disable", "/settings", "/account/password", "/account/tokens", "/welcome"} {
			if w := s.page("POST", path, boss, invite, header...); w.Code != http.StatusForbidden {
				t.Errorf("POST %s from another site (%s): %d", path, header[0], w.Code)
			}
		}
	}
	if w := s.page("POST", "/people", boss, invite, "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/welcome#code=") {
		t.Errorf("the administrator's own form: %d", w.Code)
	}
	if w := s.page("GET", "/welcome?code=x", nil, nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), `value="x"`) {
		t.Errorf("a code in the query: %d; it must count nowhere but behind the #", w.Code)
	}
	if _, err := s.people.Disable(context.Background(), mei.ID, route.Actor{User: admin}); err != nil {
		t.Fatal(err)
	}
	if w := s.page("GET", "/", member, nil); w.Code != http.StatusSeeOther || !strings.HasPrefix(w.Header().Get("Location"), "/login") {
		t.Errorf("the session of somebody who is disabled: %d", w.Code)
	}
}

// A data folder of an earlier version whose administrator was disabled gets an account of the server's own.
func TestLocalUserIsNotDisabled(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		old := &signalbox.User{Name: oldAdmin, Role: signalbox.RoleAdmin, PasswordHash: "x"}
		if err := tx.CreateUser(old); err != nil {
			return err
		}
		if u, err := localUser(tx); err != nil || u.ID != old.ID {
			t.Errorf("at first %+v, %v", u, err)
		}
		if err := tx.DisableUser(old, "user:ana"); err != nil {
			return err
		}
		u, err := localUser(tx)
		if err == nil && !u.Own() {
			t.Errorf("afterwards %+v", u)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
