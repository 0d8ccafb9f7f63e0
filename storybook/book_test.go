package storybook

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/storybook/scene"
	"github.com/signalbox-ci/signalbox/web"
)

var at = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

// shared is one book for all tests, because making it takes a while.
var shared struct {
	once sync.Once
	book *Book
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.book != nil {
		if err := shared.book.Close(); err != nil {
			panic(err)
		}
	}
	os.Exit(code)
}

func book(t *testing.T) *Book {
	t.Helper()
	shared.once.Do(func() { shared.book, shared.err = New(t.Context(), Options{Now: at}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.book
}

// reader is a browser without scripts.
type reader struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newReader(t *testing.T, b *Book) *reader {
	t.Helper()
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, server.URL, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (r *reader) ask(method, path string, form url.Values) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Type") == "application/gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			r.t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(text)
}

// open opens a story as the list does and returns what its page answers.
func (r *reader) open(s *story) (*http.Response, string) {
	r.t.Helper()
	method := http.MethodGet
	if s.Form != nil {
		method = http.MethodPost
	}
	resp, _ := r.ask(method, Path+"/open?story="+s.id(), s.Form)
	if got := resp.Header.Get("Location"); got != s.Path {
		r.t.Fatalf("%s: opening leads to %q, want %q", s.id(), got, s.Path)
	}
	path, _, _ := strings.Cut(s.Path, "#")
	return r.ask(method, path, s.Form)
}

var (
	heading    = regexp.MustCompile(`<h1[ >]`)
	rawControl = regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
	idAttr     = regexp.MustCompile(` id="([^"]+)"`)
)

// hostileMarkup is what scene.Hostile would be if somebody forgot to escape it.
var hostileMarkup = []string{"<script>", "<img", `href="javascript:`, `evil.example/x.png"`, "ZgotmplZ", "<no value>"}

func TestStories(t *testing.T) {
	b := book(t)
	r := newReader(t, b)
	for _, s := range b.stories {
		t.Run(s.id(), func(t *testing.T) {
			r.t = t
			resp, text := r.open(s)
			if resp.StatusCode != s.status() {
				t.Errorf("%s answers %d, the story says %d: %.300s", s.Path, resp.StatusCode, s.status(), text)
			}
			for _, want := range s.Says {
				if !strings.Contains(text, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || resp.StatusCode == http.StatusSeeOther || s.Part {
				return
			}
			if n := len(heading.FindAllString(text, -1)); n != 1 {
				t.Errorf("the page has %d first headings", n)
			}
			if !strings.HasSuffix(strings.TrimSpace(text), "</html>") {
				t.Error("the page breaks off")
			}
			if m := rawControl.FindString(text); m != "" {
				t.Errorf("the page holds the control character %q", m)
			}
			for _, bad := range hostileMarkup {
				if strings.Contains(text, bad) {
					t.Errorf("%q is in the page unescaped", bad)
				}
			}
			seen := map[string]bool{}
			for _, m := range idAttr.FindAllStringSubmatch(text, -1) {
				if seen[m[1]] {
					t.Errorf("two elements have the id %q", m[1])
				}
				seen[m[1]] = true
			}
		})
	}
}

// noViews are addresses of pages that show nothing of their own.
var noViews = map[string]string{
	"GET /assets/{hash}/{file...}": "a part of other pages",
	"GET /favicon.ico":             "a picture",
}

func TestEveryPageHasAStory(t *testing.T) {
	b := book(t)
	mux := http.NewServeMux()
	told := map[string]bool{}
	routes := b.worlds[worldNormal].pages.Routes()
	for _, rt := range routes {
		mux.HandleFunc(rt.Pattern, func(http.ResponseWriter, *http.Request) {})
	}
	for _, s := range b.stories {
		req := httptest.NewRequest(http.MethodGet, s.Path, nil)
		_, pattern := mux.Handler(req)
		told[pattern] = true
	}
	pages := 0
	placeholder := regexp.MustCompile(`\{[^}]*\}`)
	for _, rt := range routes {
		if rt.Style != route.Page || !strings.HasPrefix(rt.Pattern, "GET ") || noViews[rt.Pattern] != "" {
			continue
		}
		pages++
		if told[rt.Pattern] {
			continue
		}
		// An address that only leads to another one shows nothing.
		path := placeholder.ReplaceAllString(strings.TrimSuffix(strings.TrimPrefix(rt.Pattern, "GET "), "{$}"), "x")
		rec := httptest.NewRecorder()
		w := b.worlds[worldNormal]
		w.as(signalbox.RoleAdmin, w.pages, w.handler).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != http.StatusSeeOther {
			t.Errorf("the page %q has no story. Add to tell.go one for each of its states (empty, normal, hostile, error): "+
				"&story{View: ..., State: ..., World: worldNormal, Role: member, Path: %q}; what it shows is put into the worlds in normal.go, stages.go and extreme.go",
				rt.Pattern, strings.TrimPrefix(rt.Pattern, "GET "))
		}
	}
	if pages < 20 {
		t.Errorf("only %d pages found: the search is broken", pages)
	}
}

func TestEveryLampHasAStory(t *testing.T) {
	b := book(t)
	r := newReader(t, b)
	missing := map[web.Lamp]*regexp.Regexp{}
	for _, l := range web.Lamps() {
		missing[l] = regexp.MustCompile(`(?s)is-` + l.Class + `["\s].{0,400}?` + regexp.QuoteMeta(l.Word))
	}
	for _, s := range b.stories {
		if s.World != worldNormal {
			continue
		}
		_, text := r.open(s)
		for l, shown := range missing {
			if shown.MatchString(text) {
				delete(missing, l)
			}
		}
	}
	for l := range missing {
		t.Errorf("no story shows the lamp %q (%s); put something that has it into the world in normal.go or stages.go", l.Word, l.Class)
	}
}

func TestNothingChanges(t *testing.T) {
	b := book(t)
	r := newReader(t, b)
	var s *story
	for _, each := range b.stories {
		if each.View == "Job" && each.State == "running" {
			s = each
		}
	}
	r.open(s)
	for _, path := range []string{s.Path + "/stop", "/people", "/logout", "/get_started/dismiss", "/anything"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			resp, text := r.ask(method, path, url.Values{"name": {"x"}})
			if resp.StatusCode != http.StatusConflict || !strings.Contains(text, "This is the storybook") {
				t.Errorf("%s %s: %d", method, path, resp.StatusCode)
			}
		}
	}
	if _, text := r.open(s); !strings.Contains(text, "Stop this job?") {
		t.Error("the job does not run any more")
	}
	// The form of a story is taken to the letter only.
	for _, each := range b.stories {
		if each.Form == nil {
			continue
		}
		r.open(each)
		other := url.Values{"more": {"x"}}
		for k, v := range each.Form {
			other[k] = v
		}
		if resp, _ := r.ask(http.MethodPost, each.Path, other); resp.StatusCode != http.StatusConflict {
			t.Errorf("%s: another form answers %d", each.id(), resp.StatusCode)
		}
	}
}

func TestIndex(t *testing.T) {
	b := book(t)
	r := newReader(t, b)
	if resp, _ := r.ask(http.MethodGet, "/", nil); resp.Header.Get("Location") != Path {
		t.Errorf("the beginning leads to %q", resp.Header.Get("Location"))
	}
	resp, text := r.ask(http.MethodGet, Path, nil)
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src") {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	for _, s := range b.stories {
		if !strings.Contains(text, `"`+Path+"/open?story="+s.id()+`"`) {
			t.Errorf("the list does not lead to %s", s.id())
		}
	}
	if strings.Contains(text, "ZgotmplZ") || strings.Contains(text, "<script>") || strings.Contains(text, scene.Hostile[:20]) {
		t.Error("the list holds hostile text")
	}
	if resp, _ := r.ask(http.MethodGet, Path+"/open?story=none", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a story that is not told: %d", resp.StatusCode)
	}
	if resp, _ := r.ask(http.MethodPost, displayPath, url.Values{"theme": {"dark"}, "back": {Path}}); resp.Header.Get("Location") != Path {
		t.Errorf("the theme: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if _, text := r.ask(http.MethodGet, Path, nil); !strings.Contains(text, `data-theme="dark"`) || !strings.Contains(text, `value="dark" aria-pressed="true"`) {
		t.Error("the list does not have the theme that was chosen")
	}
}

func TestCloseRemovesTheWorlds(t *testing.T) {
	b, err := New(t.Context(), Options{Now: at})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
		t.Errorf("the folder %s is still there: %v", b.dir, err)
	}
}
