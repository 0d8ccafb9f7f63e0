package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// The last use of an API token is noted, once a minute, and not for a token that does not count.
func TestUseOfTokensIsNoted(t *testing.T) {
	now := time.Now()
	s, err := New(context.Background(), Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	plain := s.token(t, signalbox.RoleMember)
	used := func() (at time.Time) {
		if err := s.store.Read(t.Context(), func(tx *store.Tx) error {
			_, token, err := tx.UserByToken(auth.HashToken(plain))
			at = token.LastUsedAt
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return at
	}
	s.ask("GET", "/api/v1alpha/projects", plain+"x")
	if at := used(); !at.IsZero() {
		t.Errorf("used at %v by somebody who does not have it", at)
	}
	first := now.UTC().Truncate(time.Millisecond)
	for _, c := range []struct {
		after time.Duration
		want  time.Time
	}{{0, first}, {usedEvery - time.Millisecond, first}, {usedEvery, first.Add(usedEvery)}} {
		now = first.Add(c.after)
		if w := s.ask("GET", "/api/v1alpha/projects", plain); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
		if at := used(); !at.Equal(c.want) {
			t.Errorf("%v later: used at %v, want %v", c.after, at, c.want)
		}
	}
}

// A session lasts for half a day after somebody last went to a page, and two weeks in all. What an open page does by itself does not count.
func TestSessionsEnd(t *testing.T) {
	begin := time.Now().UTC().Truncate(time.Millisecond)
	now := begin
	s, err := New(context.Background(), Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	signIn := func(name string) *http.Cookie {
		u, _ := s.session(t, name, signalbox.RoleMember)
		plain, hash := auth.NewToken(auth.TokenSession)
		if err := s.store.Write(t.Context(), func(tx *store.Tx) error {
			return tx.CreateSession(&signalbox.Session{UserID: u.ID, ExpiresAt: tx.Now.Add(signalbox.SessionIdle)}, hash)
		}); err != nil {
			t.Fatal(err)
		}
		return &http.Cookie{Name: "signalbox", Value: plain}
	}
	left, open, used := signIn("left"), signIn("open"), signIn("used")
	at := func(hours int) { now = begin.Add(time.Duration(hours) * time.Hour) }
	status := func(c *http.Cookie, path string, header ...string) int {
		return s.page("GET", path, c, nil, header...).Code
	}
	at(11)
	for path, header := range map[string][]string{"/ui/changed?topics=queue": nil, "/projects": {"Sec-Fetch-Mode", "cors"}} {
		if code := status(open, path, header...); code != 200 {
			t.Errorf("an open page's %s: %d", path, code)
		}
	}
	if code := status(used, "/projects", "Sec-Fetch-Mode", "navigate"); code != 200 {
		t.Errorf("a page: %d", code)
	}
	at(13)
	for name, c := range map[string]*http.Cookie{"a browser that nobody used": left, "a page that was only open": open} {
		if code := status(c, "/projects"); code != http.StatusSeeOther {
			t.Errorf("%s is still signed in: %d", name, code)
		}
	}
	last := int(signalbox.SessionLife / time.Hour)
	for h := 13; h < last; h += 10 {
		at(h)
		if code := status(used, "/projects"); code != 200 {
			t.Fatalf("after %d hours: %d", h, code)
		}
	}
	at(last)
	if code := status(used, "/projects"); code != http.StatusSeeOther {
		t.Errorf("after two weeks: %d", code)
	}
}
