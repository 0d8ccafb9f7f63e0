package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

const goodPassword = "correct horse battery"

// account stores somebody; "ana" gets the id of whoever asks in tests.
func (s *site) account(name string, role signalbox.Role, password string) *signalbox.User {
	s.t.Helper()
	u := &signalbox.User{Name: name, Email: "someone@example.com", Role: role}
	if name == "ana" {
		u.ID = "u"
	}
	if password != "" {
		var err error
		if u.PasswordHash, err = auth.HashPassword(s.t.Context(), password); err != nil {
			s.t.Fatal(err)
		}
	}
	s.write(func(tx *store.Tx) error { return tx.CreateUser(u) })
	return u
}

func (s *site) user(id string) (u *signalbox.User) {
	s.t.Helper()
	if err := s.store.Read(s.t.Context(), func(tx *store.Tx) (err error) { u, err = tx.User(id); return err }); err != nil {
		s.t.Fatal(err)
	}
	return u
}

// harbourPeople is a page with everything on it.
func (s *site) harbourPeople() (mei, zoe *signalbox.User) {
	s.account("ana", signalbox.RoleAdmin, goodPassword)
	mei = s.account("lars", signalbox.RoleMember, goodPassword)
	zoe = s.account("zoe-with-a-rather-long-name-of-"+strings.Repeat("x", 40), signalbox.RoleViewer, "")
	tom := s.account("tom", signalbox.RoleMember, goodPassword)
	s.write(func(tx *store.Tx) error {
		if err := tx.SavePasswordLink(&signalbox.PasswordLink{UserID: zoe.ID, Hash: "h", ExpiresAt: tx.Now.Add(time.Hour)}, "user:ana"); err != nil {
			return err
		}
		for i, b := range []string{"Firefox on Linux", "Safari on iPhone"} {
			if err := tx.CreateSession(&signalbox.Session{UserID: "u", Browser: b, Address: "192.0.2.7", ExpiresAt: tx.Now.Add(time.Hour)}, fmt.Sprint(i)); err != nil {
				return err
			}
		}
		if err := tx.CreateAPIToken(&signalbox.APIToken{UserID: "u", Name: "laptop", ExpiresAt: tx.Now.Add(time.Hour)}, "t", "user:ana"); err != nil {
			return err
		}
		return tx.DisableUser(tom, "user:ana")
	})
	return mei, zoe
}

var linkText = regexp.MustCompile(`/welcome#code=([0-9a-f]+)`)

// Whoever may not, gets none of it, whatever they send.
func TestPeoplePagesByRole(t *testing.T) {
	s := newSite(t)
	mei, _ := s.harbourPeople()
	for _, rt := range s.web.Routes() {
		method, path, _ := strings.Cut(rt.Pattern, " ")
		if !strings.HasPrefix(path, "/people") && !strings.HasPrefix(path, "/settings") && !strings.HasPrefix(path, "/account") {
			continue
		}
		path = strings.NewReplacer("{user}", mei.ID, "{token}", "laptop", "{session}", "x").Replace(path)
		form := url.Values{"name": {"x"}, "email": {"x@example.com"}, "role": {"admin"}}
		for _, role := range []signalbox.Role{signalbox.RoleMember, signalbox.RoleViewer, ""} {
			s.as(role)
			if method == http.MethodGet {
				form = nil
			}
			status, _, text := s.do(method, path, form)
			mine := strings.HasPrefix(path, "/account")
			if role == "" && status != 403 || role != "" && mine == (status == 403) {
				t.Errorf("%s as %q: %d %.200s", rt.Pattern, role, status, text)
			}
		}
	}
	if u := s.user(mei.ID); u.Role != signalbox.RoleMember || u.State() != signalbox.UserActive {
		t.Errorf("somebody without the right has changed %+v", u)
	}
	s.as(signalbox.RoleMember)
	if _, text := s.get("/account"); strings.Contains(text, `href="/people"`) || strings.Contains(text, `href="/settings"`) {
		t.Error("a member is offered what they may not do")
	}
	s.as(signalbox.RoleAdmin)
	if _, text := s.get("/get_started"); !strings.Contains(text, `href="/people"`) || !strings.Contains(text, `href="/settings"`) {
		t.Error("an administrator is not offered people and settings")
	}
}

func TestPeoplePage(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	mei, zoe := s.harbourPeople()
	status, text := s.get("/people")
	checkPage(t, text)
	for _, want := range []string{"lars", "someone@example.com", "Invited", "Disabled", "link until 23 Nov 2026, 15:00:00 UTC", "/people/" + mei.ID + "/disable", `<span class="tag">you</span>`} {
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("status %d, the page does not say %q", status, want)
		}
	}
	if strings.Contains(text, "/people/u/") {
		t.Error("it offers to change the account of whoever looks")
	}
	if status, text := s.get("/people?after=zzz"); status != 200 || !strings.Contains(text, "Nobody here") {
		t.Errorf("behind the end: %d", status)
	}

	// An invitation with a mistake keeps what was written; a good one shows its link once.
	status, _, text = s.do("POST", "/people", url.Values{"name": {"lars"}, "email": {"nobody"}, "role": {"viewer"}})
	checkPage(t, text)
	for _, want := range []string{`value="lars"`, `value="nobody"`, "That is not an e-mail address", `value="viewer" checked`} {
		if status != 422 || !strings.Contains(text, want) {
			t.Errorf("status %d, the page does not say %q", status, want)
		}
	}
	if status, _, text = s.do("POST", "/people", url.Values{"name": {"lars"}, "email": {"lars@example.com"}, "role": {"viewer"}}); status != 422 || !strings.Contains(text, "That name is in use") {
		t.Errorf("a name in use: %d", status)
	}
	status, h, text := s.do("POST", "/people", url.Values{"name": {"Jo Smith"}, "email": {"jo@example.com"}, "role": {"member"}})
	checkPage(t, text)
	m := linkText.FindStringSubmatch(text)
	if status != 200 || m == nil || h.Get("Cache-Control") != "no-store" || strings.Contains(text, "data-topics") {
		t.Fatalf("status %d, link %v", status, m)
	}
	if _, text := s.get("/people"); strings.Contains(text, m[1]) || !strings.Contains(text, "Jo Smith") {
		t.Error("the link is shown again, or the person is not there")
	}

	post := func(path string, form url.Values, want int, words string) {
		t.Helper()
		status, _, text := s.do("POST", path, form)
		if status != want || !strings.Contains(text, words) {
			t.Errorf("%s: %d without %q", path, status, words)
		}
		if text != "" {
			checkPage(t, text)
		}
	}
	post("/people/"+zoe.ID+"/link", url.Values{}, 200, "/welcome#code=")
	post("/people/"+mei.ID+"/link", url.Values{}, 200, "The present password goes on")
	post("/people/"+mei.ID+"/role", url.Values{"from": {"viewer"}, "role": {"admin"}}, 409, "look again")
	post("/people/"+mei.ID+"/role", url.Values{"from": {"member"}, "role": {"root"}}, 422, "not known")
	post("/people/"+mei.ID+"/role", url.Values{"from": {"member"}, "role": {"viewer"}}, 303, "")
	post("/people/u/role", url.Values{"role": {"viewer"}}, 404, "There is no such person")
	post("/people/ana/role", url.Values{"from": {"admin"}, "role": {"viewer"}}, 409, "last administrator")
	post("/people/ana/disable", url.Values{}, 422, "your own account")
	post("/people/nobody/disable", url.Values{}, 404, "There is no such person")
	post("/people/"+mei.ID+"/disable", url.Values{}, 303, "")
	if u := s.user(mei.ID); u.Role != signalbox.RoleViewer || u.State() != signalbox.UserDisabled {
		t.Errorf("mei is %+v", u)
	}
	post("/people/"+mei.ID+"/link", url.Values{}, 409, "enable the account first")
	post("/people/"+mei.ID+"/enable", url.Values{}, 303, "")
}

func TestManyPeople(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	s.write(func(tx *store.Tx) error {
		for i := range 150 {
			name := fmt.Sprintf("p%03d", i)
			if i == 7 {
				name += hostile
			}
			if err := tx.CreateUser(&signalbox.User{Name: name, Email: hostile, Role: signalbox.RoleViewer, PasswordHash: "x"}); err != nil {
				return err
			}
		}
		return nil
	})
	_, text := s.get("/people")
	checkPage(t, text)
	if strings.Contains(text, "<script>alert") || !strings.Contains(text, `href="/people?after=p099"`) || strings.Contains(text, "p100") {
		t.Error("the first page is not what it should be")
	}
	if _, text = s.get("/people?after=p099"); !strings.Contains(text, "p149") || strings.Contains(text, "More people") {
		t.Error("the second page is not what it should be")
	}
}

func TestWelcome(t *testing.T) {
	s := newSite(t)
	s.harbourPeople()
	l, err := s.web.o.People.Invite(t.Context(), people.Invitation{Name: "jo", Email: "jo@example.com", Role: "member"}, route.Actor{User: s.user("u")})
	if err != nil {
		t.Fatal(err)
	}
	s.as("")
	status, text := s.get("/welcome")
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, "Choose your password") {
		t.Errorf("status %d", status)
	}
	send := func(code, password string) (int, http.Header, string) {
		t.Helper()
		status, h, text := s.do("POST", "/welcome", url.Values{"code": {code}, "password": {password}})
		if text != "" {
			checkPage(t, text)
			if strings.Contains(text, password) {
				t.Error("the page repeats the password")
			}
		}
		return status, h, text
	}
	status, _, text = send(l.Code, "short pass")
	if status != 422 || !strings.Contains(text, "needs at least 12") || !strings.Contains(text, l.Code) {
		t.Errorf("a short password: %d", status)
	}
	status, h, _ := send(l.Code, goodPassword)
	cookie, err := http.ParseSetCookie(h.Get("Set-Cookie"))
	if status != 303 || h.Get("Location") != "/" || err != nil || !cookie.HttpOnly {
		t.Fatalf("status %d, %v", status, err)
	}
	if err := s.store.Read(t.Context(), func(tx *store.Tx) error {
		u, _, err := tx.UserBySession(auth.HashToken(cookie.Value))
		if err == nil && u.Name != "jo" {
			t.Errorf("the browser is signed in as %s", u.Name)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	// A link that was used and one that never was get the same answer, and after five there is a pause.
	_, _, used := send(l.Code, goodPassword)
	_, _, never := send(strings.Repeat("0", len(l.Code)), goodPassword)
	if !strings.Contains(used, "That link does not count") || strings.ReplaceAll(used, l.Code, "") != strings.ReplaceAll(never, strings.Repeat("0", len(l.Code)), "") {
		t.Error("the answers tell which links there were")
	}
	for range 3 {
		send("x", goodPassword)
	}
	status, h, text = send("x", goodPassword)
	if status != 429 || h.Get("Retry-After") == "" || !strings.Contains(text, "Too many") {
		t.Errorf("the sixth: %d", status)
	}
}

func TestBrowserName(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                           "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":    "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":            "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile Safari/604.1": "Safari on iPhone",
		"": "Unknown browser", "curl/8.0": "curl", "Mozilla/5.0 (Linux)": "Browser on Linux", hostile: "Unknown browser",
	} {
		if got := browserName(agent); got != want {
			t.Errorf("%.60q is %q, want %q", agent, got, want)
		}
	}
}

// A stream of somebody ends when something is done to their account.
func TestStreamsEndWithTheAccount(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleMember)
	u := s.account("ana", signalbox.RoleMember, goodPassword)
	ended := make(chan error, 1)
	resp, err := http.Get(s.url + "/ui/events?topics=queue")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go func() {
		b := make([]byte, 1024)
		for {
			if _, err := resp.Body.Read(b); err != nil {
				ended <- err
				return
			}
		}
	}()
	s.write(func(tx *store.Tx) error { return tx.DisableUser(u, "user:mei") })
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the stream goes on")
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/ui/events?topics=queue", nil)
	s.handler().ServeHTTP(rec, r) // it is over at once, because the account is looked at
	if rec.Code != 200 {
		t.Errorf("status %d", rec.Code)
	}
}
