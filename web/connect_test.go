package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/download"
	"github.com/signalbox-ci/signalbox/store"
)

// builds are programs for some platforms.
type builds struct {
	platforms []string
	ca        []byte
}

func (b builds) Available() []string { return b.platforms }
func (b builds) CA() ([]byte, error) { return b.ca, nil }

// with is a page as a browser gets it that has a cookie and says what it is.
func (s *site) with(path, userAgent string, cookies ...*http.Cookie) string {
	s.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("User-Agent", userAgent)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	s.handler().ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
	}
	checkPage(s.t, rec.Body.String())
	return rec.Body.String()
}

func TestConnect(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	s.web.o.Builds = builds{[]string{"linux-amd64"}, []byte("certificate")}
	const base = "/agents/self_hosted/s1-new"
	_, h, _ := s.do("POST", "/agents/self_hosted", url.Values{"name": {"new"}})
	cookie, err := http.ParseSetCookie(h.Get("Set-Cookie"))
	if err != nil || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != base || cookie.MaxAge > 3600 || len(cookie.Value) != 80 {
		t.Fatalf("%v %v", cookie, err)
	}
	token := cookie.Value

	// The browser that made the token has whole lines, with the visible text masked; no other has them.
	text := s.with(base+"?connect=1", "Mozilla/5.0 (X11; Linux x86_64)", cookie)
	if !strings.Contains(text, "Your browser says Linux") || !strings.Contains(text, "SEMAPHORE_AGENT_TOKEN="+token+" ./signalbox agent start") ||
		!strings.Contains(text, "••••"+token[76:]) || !strings.Contains(text, "Waiting for your first agent") {
		t.Error(text)
	}
	if other := s.with(base+"?connect=1", ""); strings.Contains(other, token) || !strings.Contains(other, "Make a token") {
		t.Error("the token is shown to another browser")
	}
	s.write(func(tx *store.Tx) error {
		return tx.CreateAgentType(&signalbox.AgentType{Name: "s1-other"}, "user:ana")
	})
	if other := s.with("/agents/self_hosted/s1-other?connect=1", "", cookie); strings.Contains(other, token) {
		t.Error("the token is shown as that of another type")
	}
	s.as(signalbox.RoleMember)
	if other := s.with(base+"?connect=1", "", cookie); strings.Contains(other, token) {
		t.Error("the token is shown to a member")
	}
	if status, _, _ := s.do("POST", base+"/connect", url.Values{}); status != http.StatusForbidden {
		t.Errorf("a member makes a token: %d", status)
	}
	s.as(signalbox.RoleAdmin)
	if status, h, _ := s.do("POST", base+"/connect", url.Values{}); status != http.StatusSeeOther || h.Get("Location") != base+"?connect=1" || h.Get("Set-Cookie") == "" {
		t.Errorf("another token: %d", status)
	}

	// What is seen, in the order in which it happens.
	at := s.now()
	see := func(want ...string) {
		t.Helper()
		text := s.with(base+"?connect=1", "", cookie)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("the page does not say %q", w)
			}
		}
	}
	s.pass(44 * time.Second)
	if strings.Contains(s.with(base+"?connect=1", "", cookie), `id="checklist" data-open-at="`+fmt.Sprint(at.Add(45*time.Second).UnixMilli())+`" open`) {
		t.Error("the checklist is open already")
	}
	s.pass(time.Second)
	see(`" open><summary class="card-head"><h2>Nothing yet?`, ">0:45</span> so far")
	s.write(func(tx *store.Tx) error {
		return tx.SaveRefused([]*signalbox.RefusedRegistration{
			{Reason: signalbox.RefusedUnknown, Name: "<img src=x>", IP: "10.0.4.17", Token: "81aa", Count: 3, FirstAt: s.now(), LastAt: s.now()},
			{Reason: signalbox.RefusedUnknown, Name: "of-yesterday", IP: "10.0.4.18", Token: "81aa", Count: 3, FirstAt: at.Add(-24 * time.Hour), LastAt: at.Add(-24 * time.Hour)},
		})
	})
	see("Refused: unknown token", "10.0.4.17", "3 times", "&lt;img src=x&gt;", "Copy the whole command again")
	if strings.Contains(s.with(base+"?connect=1", "", cookie), "of-yesterday") {
		t.Error("a refusal of yesterday is shown")
	}
	var typ *signalbox.AgentType
	s.write(func(tx *store.Tx) (err error) { typ, err = tx.AgentType("s1-new"); return err })
	a := s.agent(typ, "build-01")
	see("build-01 has registered", "first sync")
	s.write(func(tx *store.Tx) error {
		return tx.SaveSeen([]store.Seen{{AgentID: a.ID, At: s.now().Add(time.Second), State: "waiting-for-jobs"}})
	})
	see("build-01 is connected", "build-01.harbour.example", "linux, x86_64", "agent 1.4.0", "192.0.2.7", "Add another", `href="/new_project"`, "Try it with a demo project", `name="agent_type" value="s1-new"`, "Use it in a project")
	if text := s.with(fmt.Sprintf("%s?connect=1&after=%d", base, s.now().Add(time.Second).UnixMilli()), "", cookie); !strings.Contains(text, "Waiting for") || strings.Contains(text, "is connected") {
		t.Error("another agent is waited for, and the first one counts")
	}
}

func TestInstallLines(t *testing.T) {
	i := download.Install{BaseURL: "https://ci.example.com:8443", CA: []byte("certificate"), Token: strings.Repeat("0123456789abcdef", 5)}
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)": "windows", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15)": "macos", "Mozilla/5.0 (X11; Linux x86_64)": "linux", "": "linux",
	} {
		if got := platformOf(agent); got != want {
			t.Errorf("%q is taken for %s", agent, got)
		}
	}
	for _, p := range platforms {
		for name, available := range map[string][]string{"all": {"linux-amd64", "linux-arm64", "darwin-arm64", "windows-amd64", "freebsd-amd64"}, "none": nil, "another": {"freebsd-amd64"}} {
			v := newInstallView(p.key, i, available)
			token, fetched := false, false
			for _, s := range v.Snippets {
				if strings.Contains(s.Shown, i.Token) {
					t.Errorf("%s, %s: the token can be read over a shoulder: %s", p.key, name, s.Shown)
				}
				token = token || strings.Contains(s.Text, i.Token)
				fetched = fetched || strings.Contains(s.Text, download.Base)
			}
			has := name == "all" && p.key != "official"
			if !token || fetched != has || (v.Missing == "") != (has || p.key == "official") {
				t.Errorf("%s, %s: token %v, fetched %v, missing %q", p.key, name, token, fetched, v.Missing)
			}
		}
	}
}
