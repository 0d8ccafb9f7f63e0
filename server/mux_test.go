package server

import (
	"context"
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
