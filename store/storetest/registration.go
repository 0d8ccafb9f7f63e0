package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func tokenName(r *signalbox.RegistrationToken) string { return r.Name }

func (s *suite) token(w world, r signalbox.RegistrationToken) *signalbox.RegistrationToken {
	s.Helper()
	r.AgentTypeID = w.agentType.ID
	s.write(func(t *store.Tx) error { return t.CreateRegistrationToken(&r, "hash of "+r.Name, "user:ann") })
	return &r
}

func (s *suite) findToken(hash string) *signalbox.RegistrationToken {
	s.Helper()
	return get(s, func(t *store.Tx) (*signalbox.RegistrationToken, error) { return t.RegistrationToken(hash) })
}

func testRegistrationTokenUse(s *suite) {
	w := s.world()
	limited := s.token(w, signalbox.RegistrationToken{
		Name: "limited", OneTime: true, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		ExpiresAt: time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond),
	})
	open := s.token(w, signalbox.RegistrationToken{Name: "open"})
	sameToken := func(what string, got, want *signalbox.RegistrationToken) {
		s.Helper()
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			s.Errorf("%s:\n%+v, want\n%+v", what, got, want)
		}
	}
	sameToken("with limits", s.findToken("hash of limited"), limited)
	sameToken("without", s.findToken("hash of open"), open)
	use := func(r *signalbox.RegistrationToken, agent string) func(*store.Tx) error {
		return func(t *store.Tx) error { return t.UseRegistrationToken(r, "10.0.0.1", agent) }
	}
	s.write(use(limited, "one"))
	s.refused(signalbox.CodeConflict, use(limited, "two"))
	if r := s.findToken("hash of limited"); r.LastUsedBy != "one" || r.LastUsedIP != "10.0.0.1" || !r.Spent() {
		s.Errorf("used once: %+v", r)
	}
	s.write(use(open, "one"))
	s.write(use(open, "two"))
	if r := s.findToken("hash of open"); r.LastUsedBy != "one" {
		s.Errorf("the second use within a minute was written: %+v", r)
	}
	s.write(func(t *store.Tx) error {
		t.Now = t.Now.Add(2 * time.Minute)
		return t.UseRegistrationToken(open, "10.0.0.2", "three")
	})
	if r := s.findToken("hash of open"); r.LastUsedBy != "three" || r.LastUsedIP != "10.0.0.2" {
		s.Errorf("two minutes later: %+v", r)
	}
	s.write(func(t *store.Tx) error { return t.ExpireRegistrationToken(open, t.Now, "user:ann") })
	s.refused(signalbox.CodeConflict, use(open, "late"))
	s.write(func(t *store.Tx) error { return t.ExpireRegistrationToken(open, t.Now.Add(time.Hour), "user:ann") }) // no way back
	if r := s.findToken("hash of open"); r.RevokedAt.IsZero() {
		s.Errorf("a revoked token is back: %+v", r)
	}
	s.equal("history", s.reasons("agent_type", w.agentType.ID), []string{"created", "token created", "token created", "token revoked"})
}

func testOneTimeTokensExcludeOneAnother(s *suite) {
	w := s.world()
	for i := range 5 {
		r := s.token(w, signalbox.RegistrationToken{Name: fmt.Sprint("once-", i), OneTime: true})
		var won sync.Map
		var wg sync.WaitGroup
		for j := range 8 {
			wg.Go(func() {
				err := s.s.Write(context.Background(), func(t *store.Tx) error { return t.UseRegistrationToken(r, "ip", fmt.Sprint("agent-", j)) })
				switch signalbox.ErrorCode(err) {
				case "":
					won.Store(j, true)
				case signalbox.CodeConflict:
				default:
					s.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		won.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			s.Errorf("%d of 8 used up the same token", n)
		}
	}
}

func testRegistrationTokenLists(s *suite) {
	w := s.world()
	now := time.Now()
	a := s.token(w, signalbox.RegistrationToken{Name: "a"})
	spent := s.token(w, signalbox.RegistrationToken{Name: "spent", OneTime: true})
	s.token(w, signalbox.RegistrationToken{Name: "expired", ExpiresAt: now.Add(-time.Hour)})
	b := s.token(w, signalbox.RegistrationToken{Name: "b", ExpiresAt: now.Add(time.Hour)})
	revoked := s.token(w, signalbox.RegistrationToken{Name: "revoked"})
	s.token(w, signalbox.RegistrationToken{Name: "c", OneTime: true})
	s.write(func(t *store.Tx) error {
		if err := t.UseRegistrationToken(spent, "ip", "x"); err != nil {
			return err
		}
		return t.ExpireRegistrationToken(revoked, t.Now, "user:ann")
	})
	list := func(after string, all bool, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.RegistrationToken, error) {
			return t.RegistrationTokens(w.agentType.ID, after, all, limit)
		}), tokenName)
	}
	s.equal("live ones", list("", false, 10), []string{"a", "b", "c"})
	s.equal("all", list("", true, 10), []string{"a", "spent", "expired", "b", "revoked", "c"})
	s.equal("a page", list("", false, 2), []string{"a", "b"})
	s.equal("the next page", list(b.ID, false, 2), []string{"c"})
	find := func(what string) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.RegistrationToken, error) {
			return t.FindRegistrationTokens(w.agentType.ID, what)
		}), tokenName)
	}
	s.equal("by name", find("a"), []string{"a"})
	s.equal("by id", find(a.ID), []string{"a"})
	s.equal("revoked", find("revoked"), []string(nil))
	s.equal("expired", find("expired"), []string(nil))

	s.write(func(t *store.Tx) error {
		return t.ExpireRegistrationTokens(w.agentType.ID, b.ID, t.Now.Add(time.Minute), "user:ann")
	})
	if r := s.findToken("hash of a"); r.ExpiresAt.IsZero() || r.ExpiresAt.After(now.Add(2*time.Minute)) {
		s.Errorf("with an overlap: %+v", r)
	}
	if r := s.findToken("hash of b"); r.ExpiresAt.Before(now.Add(50 * time.Minute)) {
		s.Errorf("the one that stays: %+v", r)
	}
	s.write(func(t *store.Tx) error {
		return t.ExpireRegistrationTokens(w.agentType.ID, "", t.Now.Add(30*time.Minute), "user:ann")
	})
	if r := s.findToken("hash of a"); r.ExpiresAt.After(now.Add(2 * time.Minute)) {
		s.Errorf("a later end replaced an earlier one: %+v", r)
	}
}

func testRefused(s *suite) {
	w := s.world()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	row := func(typeID, ip string, n int) *signalbox.RefusedRegistration {
		return &signalbox.RefusedRegistration{
			AgentTypeID: typeID, Reason: signalbox.RefusedExpired, IP: ip, Name: "agent", Detail: fmt.Sprint("detail ", n), Host: "host", Token: "01234567", Count: n,
			FirstAt: at, LastAt: at.Add(time.Duration(n) * time.Second),
		}
	}
	save := func(rows ...*signalbox.RefusedRegistration) {
		s.Helper()
		s.write(func(t *store.Tx) error { return t.SaveRefused(rows) })
	}
	list := func(typeID string) []*signalbox.RefusedRegistration {
		s.Helper()
		return get(s, func(t *store.Tx) ([]*signalbox.RefusedRegistration, error) { return t.Refused(typeID, 1000) })
	}
	save(row(w.agentType.ID, "10.0.0.1", 1), row("", "10.0.0.2", 2))
	later := row(w.agentType.ID, "10.0.0.1", 3)
	later.FirstAt = later.LastAt
	save(later)
	want := row(w.agentType.ID, "10.0.0.1", 3)
	want.Count, want.AgentType = 4, "s1-linux"
	s.equal("the same twice", list(w.agentType.ID), []*signalbox.RefusedRegistration{want})
	s.equal("of no type", list(""), []*signalbox.RefusedRegistration{row("", "10.0.0.2", 2)})
	if n := len(list("*")); n != 2 {
		s.Errorf("%d in all, want 2", n)
	}
	var many []*signalbox.RefusedRegistration
	for i := range 300 { // all at the same moment
		r := row(w.agentType.ID, fmt.Sprintf("10.1.%d.%d", i/250, i%250), 10)
		r.Name = strings.Repeat("x", i%80)
		many = append(many, r)
	}
	save(many...)
	if n := len(list(w.agentType.ID)); n != signalbox.RefusedLimit {
		s.Errorf("%d are kept, want %d", n, signalbox.RefusedLimit)
	}
	if n := len(list("")); n != 1 {
		s.Errorf("%d without a type, want 1: those of a type pushed them out", n)
	}
	save(row(w.agentType.ID, "192.0.2.9", 20))
	if got := list(w.agentType.ID); len(got) != signalbox.RefusedLimit || got[0].IP != "192.0.2.9" {
		s.Errorf("the newest is not among those that are kept: %d, %+v", len(got), got[0])
	}
	s.write(func(t *store.Tx) error { return t.DeleteAgentType(w.agentType.ID, "user:ann") })
	if got := list("*"); got[0].AgentType != "" {
		s.Errorf("a deleted type has the name %q", got[0].AgentType)
	}
}
