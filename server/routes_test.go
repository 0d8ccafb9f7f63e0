package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

func open(t *testing.T) *Server {
	t.Helper()
	s, err := New(context.Background(), Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// token makes a user of a role and returns an API token of theirs.
func (s *Server) token(t *testing.T, role signalbox.Role) string {
	t.Helper()
	plain, hash := auth.NewToken(auth.TokenAPI)
	if err := s.store.Write(context.Background(), func(tx *store.Tx) error {
		u := &signalbox.User{Name: string(role) + plain[:12], Role: role}
		if err := tx.CreateUser(u); err != nil {
			return err
		}
		return tx.CreateAPIToken(&signalbox.APIToken{UserID: u.ID, Name: "test"}, hash, "test")
	}); err != nil {
		t.Fatal(err)
	}
	return plain
}

func (s *Server) ask(method, path, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Token "+token)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// example is a path that a pattern matches.
func example(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	parts := strings.Split(strings.ReplaceAll(path, "{$}", ""), "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = "01900000-0000-7000-8000-000000000000"
		}
	}
	return method, strings.Join(parts, "/")
}

// public is every route that asks nobody who they are. A new one has to be added here, on purpose.
var public = []string{
	"GET /login", "POST /login", "POST /logout", "GET /assets/{hash}/{file...}", "GET /favicon.ico", "GET /healthz",
	"GET /download/signalbox/{file}", "GET /download/ca.crt", "GET /setup", "POST /setup", "GET /setup/check", "GET /welcome", "POST /welcome",
}

func TestEveryRouteHasAnAccessDecision(t *testing.T) {
	s := open(t)
	known := auth.Permissions()
	for _, rt := range s.Routes() {
		p := rt.Access.Permission()
		switch {
		case !rt.Access.Decided():
			t.Errorf("%s: nobody decided who may call it", rt.Pattern)
		case p != "" && !slices.Contains(known, auth.Permission(p)):
			t.Errorf("%s needs %q, which is no permission", rt.Pattern, p)
		case rt.Access == route.Public && !slices.Contains(public, rt.Pattern):
			t.Errorf("%s answers anybody; if that is meant, list it in this test", rt.Pattern)
		}
	}
}

func TestAccessIsCheckedOnEveryRoute(t *testing.T) {
	s := open(t)
	tokens := map[signalbox.Role]string{}
	for _, r := range []signalbox.Role{signalbox.RoleViewer, signalbox.RoleMember} {
		tokens[r] = s.token(t, r)
	}
	for _, rt := range s.Routes() {
		method, path := example(rt.Pattern)
		need := rt.Access.Permission()
		switch {
		case rt.Access == route.OwnToken:
			if w := s.ask(method, path, ""); w.Code != http.StatusUnauthorized {
				t.Errorf("%s without a token: %d", rt.Pattern, w.Code)
			}
			continue
		case need == "":
			continue
		case rt.Style == route.Page:
			w := s.ask(method, path, tokens[signalbox.RoleMember]) // pages take cookies only
			if w.Code != http.StatusSeeOther && w.Code != http.StatusUnauthorized {
				t.Errorf("%s without a session: %d", rt.Pattern, w.Code)
			}
			continue
		}
		for _, wrong := range []string{"", "nope", strings.Repeat("x", 10000)} {
			if w := s.ask(method, path, wrong); w.Code != http.StatusUnauthorized {
				t.Errorf("%s with token %.10q: %d", rt.Pattern, wrong, w.Code)
			}
		}
		for role, token := range tokens {
			if auth.Can(role, auth.Permission(need)) {
				continue
			}
			if w := s.ask(method, path, token); w.Code != http.StatusForbidden {
				t.Errorf("%s as %s: %d, although it needs %s", rt.Pattern, role, w.Code, need)
			}
		}
	}
}

func TestErrorsHaveOneTable(t *testing.T) {
	s := open(t)
	full := &signalbox.Error{Code: signalbox.CodeUnavailable, Message: "disk full"}
	secret := context.DeadlineExceeded
	m, err := newMux(s.store, s.o.Logger, func(*http.Request) string { return "" }, nil, []route.Route{
		{Pattern: "POST /api/full", Access: route.Public, Style: route.JSON, Handler: func(http.ResponseWriter, *http.Request) error { return full }},
		{Pattern: "GET /api/broken", Access: route.Public, Style: route.JSON, Handler: func(http.ResponseWriter, *http.Request) error { return secret }},
		{Pattern: "GET /api/panic", Access: route.Public, Style: route.Agent, Handler: func(http.ResponseWriter, *http.Request) error { panic("the password is x") }},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		status       int
		has, hasNot  string
	}{
		{"POST", "/api/full", 503, "disk full", ""},
		{"GET", "/api/broken", 500, "internal error", "deadline"},
		{"GET", "/api/panic", 500, "internal error", "password"},
		{"GET", "/api/nothing", 404, "there is nothing at", ""},
		{"DELETE", "/api/full", 405, "POST", ""},
	} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) || c.hasNot != "" && strings.Contains(w.Body.String(), c.hasNot) {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
		if c.status == 503 && w.Header().Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", c.path)
		}
	}
	if _, err := newMux(s.store, s.o.Logger, nil, nil, []route.Route{{Pattern: "GET /x"}}); err == nil {
		t.Error("a route without an access decision was accepted")
	}
}

func TestForwardedHeadersOnlyFromTrustedProxies(t *testing.T) {
	s := open(t)
	r := httptest.NewRequest("GET", "http://inside:8080/", nil)
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-Host", "evil.example")
	if got := s.publicURL(r); got != "http://inside:8080" {
		t.Errorf("a stranger's headers were believed: %s", got)
	}
}

func TestClientAddress(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		name, remote string
		trusted      string
		forwarded    []string
		want         string
	}{
		{"nobody between", "192.0.2.7:1234", "", nil, "192.0.2.7"},
		{"a stranger's word", "192.0.2.7:1234", "", []string{"10.0.0.1"}, "192.0.2.7"},
		{"a proxy of ours", "10.0.0.1:1", "10.0.0.0/8", []string{"192.0.2.7"}, "192.0.2.7"},
		{"two proxies of ours", "10.0.0.1:1", "10.0.0.0/8", []string{"192.0.2.7, 10.0.0.2"}, "192.0.2.7"},
		{"two header lines", "10.0.0.1:1", "10.0.0.0/8", []string{"192.0.2.7", "10.0.0.2"}, "192.0.2.7"},
		{"what the client made up before it", "10.0.0.1:1", "10.0.0.0/8", []string{"10.9.9.9, 198.51.100.3, 192.0.2.7"}, "192.0.2.7"},
		{"all of them ours", "10.0.0.1:1", "10.0.0.0/8", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1", "10.0.0.0/8", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1", "10.0.0.0/8", []string{"192.0.2.7, unknown"}, "10.0.0.1"},
		{"IPv6", "[::1]:1", "::1/128", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv4 as IPv6 writes it", "[::ffff:10.0.0.1]:1", "10.0.0.0/8", []string{"::ffff:192.0.2.7"}, "192.0.2.7"},
	} {
		s.o.TrustedProxies = nil
		if c.trusted != "" {
			s.o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := s.clientIP(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Weakness 15 of the list in docs/invariants.md: who somebody is and what belongs to whom never comes from a header that a
// client can write.
func TestWeakness15OrganizationFromAHeader(t *testing.T) {
	s := open(t)
	token := s.token(t, signalbox.RoleAdmin)
	for _, path := range []string{"/api/v1alpha/projects", "/api/v1alpha/self_hosted_agent_types", "/api/v1alpha/organization", "/api/v1beta/secrets"} {
		plain := s.ask("GET", path, token)
		for _, header := range []string{"X-Semaphore-Org-Id", "X-Semaphore-Org-Username", "X-Semaphore-User-Id"} {
			for _, auth := range []string{token, ""} {
				r := httptest.NewRequest("GET", path, nil)
				r.Header.Set(header, signalbox.NewID())
				if auth != "" {
					r.Header.Set("Authorization", "Token "+auth)
				}
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				if auth == "" && w.Code != http.StatusUnauthorized {
					t.Errorf("%s with %s alone: %d", path, header, w.Code)
				}
				if auth != "" && (w.Code != http.StatusOK || w.Body.String() != plain.Body.String()) {
					t.Errorf("%s with %s: %d %s, without %s", path, header, w.Code, w.Body, plain.Body)
				}
			}
		}
	}
}
