package dispatch

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// TestAgentsThatComeTogether registers a group in one transaction, with everything in it that must not harm the others.
func TestAgentsThatComeTogether(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { comeTogether(t, store.Options{Dir: storetest.Folder(t)}) })
	t.Run("postgres", func(t *testing.T) { comeTogether(t, store.Options{URL: storetest.PostgresURL(t)}) })
}

func comeTogether(t *testing.T, o store.Options) {
	var statements atomic.Int64
	o.OnStatement = func(string) { statements.Add(1) }
	st, _, h := hubOn(t, o)
	typ := &signalbox.AgentType{Name: "s1-crowd"}
	tokens := map[string]*signalbox.RegistrationToken{}
	hashOf := func(name string) string { return auth.HashToken("token " + name) }
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		*typ = signalbox.AgentType{Name: "s1-crowd"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		for name, k := range map[string]signalbox.RegistrationToken{
			"many": {}, "once": {OneTime: true}, "elsewhere": {Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "revoked": {},
		} {
			k.AgentTypeID, k.Name, tokens[name] = typ.ID, name, &k
			if err := tx.CreateRegistrationToken(&k, hashOf(name), "test"); err != nil {
				return err
			}
		}
		return tx.ExpireRegistrationToken(tokens["revoked"], tx.Now, "test")
	}); err != nil {
		t.Fatal(err)
	}

	type come struct{ token, name string }
	type outcome struct {
		come
		res agentapi.RegisterResponse
		err error
	}
	comeAll := func(all []come) (out []outcome) {
		out = make([]outcome, len(all))
		var do []func() error
		for i, c := range all {
			do = append(do, func() (err error) {
				out[i].come = c
				out[i].res, err = h.Register(t.Context(), Registrant{TokenHash: hashOf(c.token), IP: "192.0.2.1"}, typ, agentapi.RegisterRequest{
					Name: c.name, Version: "v2", OS: "linux", Arch: "x86_64", Hostname: c.name, PID: 1, Labels: map[string]string{"k": `a.b-c`},
				})
				return err
			})
		}
		for i, err := range atOnce(t, h.arrivals, do) {
			out[i].err = err
		}
		return out
	}

	group := []come{
		{"many", "taken twice"},
		{"many", "taken twice"},
		{"once", "first-or-second"},
		{"once", "second-or-first"},
		{"elsewhere", "from-afar"},
		{"revoked", "too-late"},
		{"unknown", "stranger"},
	}
	for i := range 20 {
		group = append(group, come{"many", fmt.Sprintf("plain-%d", i)})
	}
	group[0].name, group[1].name = "taken-twice", "taken-twice"
	passed := map[string]int{}
	for _, o := range comeAll(group) {
		if o.err == nil {
			passed[o.token]++
			if o.res.Name != o.name || o.res.Token == "" {
				t.Errorf("%+v", o)
			}
			continue
		}
		// Of two that use up a token at the same moment, the later one is told so.
		want := map[string]string{"once": "for one agent|used up", "elsewhere": "address", "revoked": "revoked", "unknown": "unknown"}[o.token]
		if want == "" || !regexp.MustCompile(want).MatchString(o.err.Error()) {
			t.Errorf("%+v: %v", o.come, o.err)
		}
	}
	// The second of the same name is taken for a repeat of the first, whose answer was lost.
	if passed["many"] != 22 || passed["once"] != 1 || len(passed) != 2 {
		t.Errorf("%v", passed)
	}
	if err := st.Read(t.Context(), func(tx *store.Tx) error {
		agents, err := tx.Agents("")
		if err != nil || len(agents) != 22 {
			t.Errorf("%d agents, %v", len(agents), err)
		}
		a := agents[slices.IndexFunc(agents, func(a *signalbox.Agent) bool { return a.Name == "plain-7" })]
		events, err := tx.Events("agent", a.ID)
		if err != nil || len(events) != 1 || events[0].Reason != "registered" || events[0].Actor != "agent:plain-7" || events[0].Detail != "plain-7" || events[0].N != 1 {
			t.Errorf("%+v %v", events, err)
		}
		if a.Version != "v2" || a.OS != "linux" || a.PID != 1 || a.SingleJob || a.IP != "192.0.2.1" || a.Labels["k"] != `a.b-c` || a.TokenID != tokens["many"].ID || time.Since(a.CreatedAt) > time.Minute {
			t.Errorf("%+v", a)
		}
		seen, err := tx.SeenOf(a.ID)
		if err != nil || seen.At.IsZero() {
			t.Errorf("%+v %v", seen, err)
		}
		used, err := tx.RegistrationToken(hashOf("many"))
		if err != nil || used.LastUsedAt.IsZero() {
			t.Errorf("%+v %v", used, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	// As many statements for many as for one.
	count := func(n int, name string) int64 {
		var all []come
		for i := range n {
			all = append(all, come{"many", fmt.Sprintf("%s-%d", name, i)})
		}
		statements.Store(0)
		for _, o := range comeAll(all) {
			if o.err != nil {
				t.Error(o.err)
			}
		}
		return statements.Load()
	}
	if one, many := count(1, "single"), count(maxTogether, "crowd"); many != one {
		t.Errorf("%d statements registered one agent, %d registered %d", one, many, maxTogether)
	}
}

// TestATokenThatEndsWhileItIsKnown revokes a token that the gate still knows.
func TestATokenThatEndsWhileItIsKnown(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.newToken(signalbox.RegistrationToken{Name: "short"})
		if code, text := r.tryRegister(token, agentapi.RegisterRequest{Name: "early", Hostname: "h"}); code != 201 {
			t.Fatal(code, text)
		}
		r.write(func(tx *store.Tx) error {
			k, err := tx.RegistrationToken(auth.HashToken(token))
			if err != nil {
				return err
			}
			return tx.ExpireRegistrationToken(k, tx.Now, "test")
		})
		if code, text := r.tryRegister(token, agentapi.RegisterRequest{Name: "late", Hostname: "h"}); code != 404 || !strings.Contains(text, "revoked") {
			t.Error(code, text)
		}
	})
}
