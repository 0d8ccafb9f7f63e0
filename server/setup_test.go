package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

// visit is a request as a browser elsewhere makes it.
func (s *Server) visit(method, path string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://ci.example.com"+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func anaForm(code string) url.Values {
	return url.Values{
		"code": {code}, "name": {"ana"}, "email": {"ana@example.com"}, "password": {"correct horse battery"},
		"organization": {"Harbour"}, "public_url": {""},
	}
}

func TestSetup(t *testing.T) {
	var log bytes.Buffer
	s, err := New(context.Background(), Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	address, err := url.Parse(s.SetupURL())
	if err != nil || address.Path != "/setup" || address.RawQuery != "" {
		t.Fatal(address, err)
	}
	code, err := url.QueryUnescape(strings.TrimPrefix(address.Fragment, "code="))
	if err != nil || len(code) < 20 {
		t.Fatal(code, err)
	}
	if err := s.announceSetup(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), code) {
		t.Errorf("the log does not say where to set up: %s", log.String())
	}

	// Every page leads there; what is no page does not.
	for _, path := range []string{"/", "/login", "/agents", "/projects/x", "/jobs/x", "/agents/self_hosted/s1-x?connect=1"} {
		if w := s.visit("GET", path, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/setup" {
			t.Errorf("%s: %d to %q", path, w.Code, w.Header().Get("Location"))
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/favicon.ico": 200, "/api/v1alpha/projects": 401, "/download/ca.crt": 200} {
		if w := s.visit("GET", path, nil); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	token, err := os.ReadFile(filepath.Join(s.o.Dir, LocalTokenFile))
	if err != nil {
		t.Fatal(err)
	}
	if w := s.ask("GET", "/api/v1alpha/projects", strings.TrimSpace(string(token))); w.Code != http.StatusOK {
		t.Errorf("the local command line: %d %s", w.Code, w.Body)
	}
	w := s.visit("GET", "/setup", nil)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `name="code"`) || strings.Contains(w.Body.String(), code) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}

	for name, form := range map[string]url.Values{"without a code": anaForm(""), "with a wrong one": anaForm("wrong")} {
		if w := s.visit("POST", "/setup", form); w.Code != http.StatusUnprocessableEntity || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	cross := s.visit("POST", "/setup", anaForm(code), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if cross.Code != http.StatusForbidden {
		t.Errorf("a form of another site: %d", cross.Code)
	}
	// What was typed stays, but for the password; text stays text.
	form := anaForm(code)
	form.Set("name", `<script>alert(1)</script>`)
	form.Set("email", "no address")
	form.Set("password", "tooshort--11")
	form.Set("organization", `"><img src=x>`)
	w = s.visit("POST", "/setup", form)
	text := w.Body.String()
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(text, "&lt;script&gt;") || strings.Contains(text, "<script>alert") || strings.Contains(text, "<img") ||
		strings.Contains(text, "tooshort--11") || !strings.Contains(text, "no address") || strings.Count(text, `aria-invalid="true"`) != 1 {
		t.Errorf("%d %s", w.Code, text)
	}
	w = s.visit("POST", "/setup", anaForm(code))
	text = w.Body.String()
	cookie, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
	if err != nil || w.Code != http.StatusOK || !strings.Contains(text, "sem connect ci.example.com "+auth.APITokenPrefix) {
		t.Fatalf("%d %v %s", w.Code, err, text)
	}
	signedIn := func(r *http.Request) { r.AddCookie(cookie) }
	if w := s.visit("GET", "/agents", nil, signedIn); w.Code != http.StatusOK {
		t.Errorf("signed in: %d", w.Code)
	}
	for _, r := range []*httptest.ResponseRecorder{
		s.visit("GET", "/setup", nil), s.visit("POST", "/setup", anaForm(code)), s.visit("GET", "/setup", nil, signedIn), s.visit("GET", "/setup/check?word=x", nil),
	} {
		if r.Code != http.StatusNotFound {
			t.Errorf("afterwards: %d", r.Code)
		}
	}
	if w := s.visit("GET", "/", nil); w.Header().Get("Location") != "/login?return=%2F" {
		t.Errorf("afterwards / leads to %q", w.Header().Get("Location"))
	}
	again, err := New(context.Background(), Options{Dir: s.o.Dir, Listen: "127.0.0.1:0", SetupCode: "anybody could try"})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.SetupURL() != "" {
		t.Errorf("the next start sets up again: %s", again.SetupURL())
	}
}

// On the server's own machine no code is asked for, but only when nothing stands between.
func TestSetupAtHome(t *testing.T) {
	home := func(r *http.Request) { r.RemoteAddr, r.Host = "127.0.0.1:5000", "localhost:8443" }
	header := func(name string) func(*http.Request) {
		return func(r *http.Request) { home(r); r.Header.Set(name, "192.0.2.7") }
	}
	asks := map[string]func(*http.Request){
		"another machine":                func(r *http.Request) { r.Host = "localhost" },
		"the machine by its public name": func(r *http.Request) { r.RemoteAddr = "127.0.0.1:5000" },
		"a name that begins like it":     func(r *http.Request) { r.RemoteAddr, r.Host = "127.0.0.1:5000", "localhost.evil.example" },
		"X-Forwarded-For":                header("X-Forwarded-For"),
		"X-Forwarded-Host":               header("X-Forwarded-Host"),
		"X-Forwarded-Proto":              header("X-Forwarded-Proto"),
		"Forwarded":                      header("Forwarded"),
		"X-Real-IP":                      header("X-Real-IP"),
		"Via":                            header("Via"),
	}
	s := open(t)
	for name, change := range asks {
		if w := s.visit("GET", "/setup", nil, change); !strings.Contains(w.Body.String(), `name="code"`) {
			t.Errorf("%s: no code is asked for (%d)", name, w.Code)
		}
		if w := s.visit("POST", "/setup", anaForm(""), change); w.Code == http.StatusOK {
			t.Fatalf("%s: set up without a code", name)
		}
	}
	for _, host := range []string{"localhost:8443", "127.0.0.1", "[::1]:8443"} {
		w := s.visit("GET", "/setup", nil, home, func(r *http.Request) { r.Host = host })
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `name="code"`) {
			t.Errorf("%s: a code is asked for (%d)", host, w.Code)
		}
	}
	if w := s.visit("POST", "/setup", anaForm(""), home); w.Code != http.StatusOK {
		t.Errorf("at home: %d %s", w.Code, w.Body)
	}
}

func TestSetupCodesAreSlowedDown(t *testing.T) {
	s := open(t)
	for i := range 7 {
		w := s.visit("POST", "/setup", anaForm("wrong"))
		want := http.StatusUnprocessableEntity
		if i >= 5 {
			want = http.StatusTooManyRequests
		}
		if w.Code != want || (i >= 5) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("try %d: %d", i+1, w.Code)
		}
	}
}

func TestSetupUnattended(t *testing.T) {
	dir := t.TempDir()
	admin := setup.Request{Name: "ops", Email: "ops@example.com", Password: "correct horse battery"}
	s, err := New(context.Background(), Options{Dir: dir, Listen: "127.0.0.1:0", Admin: &admin})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.SetupURL() != "" {
		t.Error("there is something to set up")
	}
	other := setup.Request{Name: "mallory", Email: "m@example.com", Password: "correct horse battery"}
	again, err := New(context.Background(), Options{Dir: dir, Listen: "127.0.0.1:0", Admin: &other})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	var names []string
	if err := s.store.Read(context.Background(), func(tx *store.Tx) error {
		all, err := tx.Users()
		for _, u := range all {
			names = append(names, u.Name)
		}
		return err
	}); err != nil || strings.Join(names, " ") != "ops server" {
		t.Errorf("users %q, %v", names, err)
	}
	bad := setup.Request{Name: "x"}
	if s, err := New(context.Background(), Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Admin: &bad}); err == nil {
		s.Close()
		t.Error("half an administrator was accepted")
	}
}

// The data folder of a version that made "admin" goes on as it is.
func TestOldDataFolderKeepsItsAdministrator(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := auth.HashPassword(context.Background(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	plain, tokenHash := auth.NewToken(auth.TokenAPI)
	if err := st.Write(context.Background(), func(tx *store.Tx) error {
		u := &signalbox.User{Name: "admin", Role: signalbox.RoleAdmin, PasswordHash: hash}
		if err := tx.CreateUser(u); err != nil {
			return err
		}
		return tx.CreateAPIToken(&signalbox.APIToken{UserID: u.ID, Name: "local command line"}, tokenHash, "server")
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, LocalTokenFile), []byte(plain+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = st.Close()
	for _, lost := range []bool{false, true} {
		if lost {
			if err := os.Remove(filepath.Join(dir, LocalTokenFile)); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(context.Background(), Options{Dir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		token, err := os.ReadFile(filepath.Join(dir, LocalTokenFile))
		if err != nil {
			t.Fatal(err)
		}
		if !lost && strings.TrimSpace(string(token)) != plain {
			t.Error("the token was replaced")
		}
		if err := s.store.Read(context.Background(), func(tx *store.Tx) error {
			u, _, err := tx.UserByToken(auth.HashToken(strings.TrimSpace(string(token))))
			if err == nil && u.Name != "admin" {
				t.Errorf("the token belongs to %s", u.Name)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if s.SetupURL() != "" {
			t.Error("there is something to set up")
		}
		_ = s.Close()
	}
}

// The public address is checked by the server asking itself, and what somebody chose there is what links begin with.
func TestPublicAddressIsTried(t *testing.T) {
	s := open(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if err := s.reach(ctx, s.URL()); err != nil {
		t.Errorf("itself: %v", err)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Query().Get("word")) }))
	defer echo.Close()
	if err := s.reach(ctx, echo.URL); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("another server: %v", err)
	}
	if err := s.reach(ctx, "https://127.0.0.1:1"); err == nil {
		t.Error("nobody answers there, and that is fine")
	}
	if _, err := s.setup.Finish(ctx, setup.Request{Name: "ana", Email: "a@example.com", Password: "correct horse battery", PublicURL: "https://ci.example.org"}); err != nil {
		t.Fatal(err)
	}
	if err := s.readAddress(ctx); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "https://other.example/", nil)
	if got := s.publicURL(r); got != "https://ci.example.org" {
		t.Errorf("links begin with %s", got)
	}
}
