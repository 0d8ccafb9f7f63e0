package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/sts"
)

const httptestAddress = "192.0.2.1" // where requests of httptest come from

func (r *replay) agentType() *signalbox.AgentType {
	r.Helper()
	var types []*signalbox.AgentType
	r.write(func(tx *store.Tx) (err error) { types, err = tx.AgentTypes(); return err })
	return types[0]
}

// newToken makes one more registration token.
func (r *replay) newToken(t signalbox.RegistrationToken) string {
	r.Helper()
	text, hash := auth.NewToken(auth.TokenRegistration)
	t.AgentTypeID = r.agentType().ID
	r.write(func(tx *store.Tx) error { t.ID = ""; return tx.CreateRegistrationToken(&t, hash, "test") })
	return text
}

// tryRegister returns status and text of a registration.
func (r *replay) tryRegister(token string, req agentapi.RegisterRequest) (int, string) {
	r.Helper()
	authorization := "Token " + token
	if token == "" {
		authorization = ""
	}
	w := r.call("POST", agentapi.Base+agentapi.PathRegister, authorization, req)
	return w.Code, w.Body.String()
}

func (r *replay) refusedRows() []*signalbox.RefusedRegistration {
	r.Helper()
	time.Sleep(2 * r.hub.Timing.Revalidate)
	synctest.Wait()
	var rows []*signalbox.RefusedRegistration
	r.write(func(tx *store.Tx) (err error) { rows, err = tx.Refused("*", 1000); return err })
	return rows
}

func (r *replay) fleet() *fleet.Fleet {
	r.Helper()
	f, err := fleet.New(fleet.Options{Store: r.st, Engine: r.eng, Log: r.logs})
	if err != nil {
		r.Fatal(err)
	}
	return f
}

func (r *replay) agentNamed(name string) *signalbox.Agent {
	r.Helper()
	var a *signalbox.Agent
	r.write(func(tx *store.Tx) (err error) { a, err = tx.AgentByName(name); return err })
	return a
}

func TestRegistrationTokensHaveLimits(t *testing.T) {
	bubble(t, func(r *replay) {
		here := netip.MustParsePrefix(httptestAddress + "/24").Masked()
		expiring := r.newToken(signalbox.RegistrationToken{Name: "expiring", ExpiresAt: time.Now().Add(time.Hour)})
		near := r.newToken(signalbox.RegistrationToken{Name: "near", Networks: []netip.Prefix{here}})
		far := r.newToken(signalbox.RegistrationToken{Name: "far", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		try := func(token, name string, status int, text string) {
			r.Helper()
			code, got := r.tryRegister(token, agentapi.RegisterRequest{Name: name})
			if code != status || !strings.Contains(got, text) {
				r.Errorf("%s: %d %s, want %d with %q", name, code, got, status, text)
			}
		}
		try(expiring, "in-time-1", 201, "")
		try(near, "near-one-1", 201, "")
		try(far, "far-away-1", 404, "may not be used from the address "+httptestAddress)
		if w := r.call("GET", agentapi.Base+agentapi.PathMetrics, "Token "+far, nil); w.Code != 404 {
			r.Errorf("the queue is told to an address that may not register: %d %s", w.Code, w.Body)
		}
		if a := r.agentNamed("near-one-1"); a.TokenID == "" || a.IP != httptestAddress {
			r.Errorf("the agent does not say how it came: %+v", a)
		}
		time.Sleep(time.Hour)
		try(expiring, "too-late-1", 404, "expired at")
	})
}

func TestATokenForOneAgent(t *testing.T) {
	bubble(t, func(r *replay) {
		once := r.newToken(signalbox.RegistrationToken{Name: "once", OneTime: true})
		req := agentapi.RegisterRequest{Name: "first-agent", Hostname: "box"}
		code, first := r.tryRegister(once, req)
		if code != 201 {
			r.Fatalf("%d %s", code, first)
		}
		// The answer was lost: the same agent asks again, and gets a token that works.
		code, again := r.tryRegister(once, req)
		if code != 201 || again == first {
			r.Fatalf("repeat: %d %s", code, again)
		}
		if code, got := r.tryRegister(once, agentapi.RegisterRequest{Name: "second-agent", Hostname: "box"}); code != 404 || !strings.Contains(got, "was for one agent") {
			r.Errorf("a second agent: %d %s", code, got)
		}
		var res agentapi.RegisterResponse
		if err := json.Unmarshal([]byte(again), &res); err != nil {
			r.Fatal(err)
		}
		r.say(res.Token, waits)
		req.PID++
		if code, got := r.tryRegister(once, req); code != 404 {
			r.Errorf("the same again after it was at work: %d %s", code, got)
		}
		r.register(agentapi.RegisterRequest{Name: "other-agent", Hostname: "box"})
		if code, got := r.tryRegister(once, agentapi.RegisterRequest{Name: "other-agent", Hostname: "box"}); code != 404 {
			r.Errorf("the place of an agent that came with another token: %d %s", code, got)
		}
		if w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token "+res.Token, waits); w.Code != 200 {
			r.Errorf("the agent was harmed: %d %s", w.Code, w.Body)
		}
	})
}

func TestOneOfManyGetsATokenForOneAgent(t *testing.T) {
	bubble(t, func(r *replay) {
		once := r.newToken(signalbox.RegistrationToken{Name: "once", OneTime: true})
		var mu sync.Mutex
		codes := map[int]int{}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				code, _ := r.tryRegister(once, agentapi.RegisterRequest{Name: fmt.Sprint("racing-agent-", i)})
				mu.Lock()
				codes[code]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if codes[201] != 1 || codes[404] != 9 {
			r.Errorf("answers %v, want one 201 and nine 404", codes)
		}
	})
}

func TestLabelsAndWhatAgentsSay(t *testing.T) {
	bubble(t, func(r *replay) {
		r.register(agentapi.RegisterRequest{Name: "labelled-1", Labels: map[string]string{"zone": "eu-1", "gpu": ""}})
		if a := r.agentNamed("labelled-1"); len(a.Labels) != 2 || a.Labels["zone"] != "eu-1" {
			r.Errorf("labels %v", a.Labels)
		}
		many := map[string]string{}
		for i := range 40 {
			many[fmt.Sprint("l", i)] = "x"
		}
		for name, req := range map[string]agentapi.RegisterRequest{
			"too many labels": {Labels: many}, "a label of its own kind": {Labels: map[string]string{"<b>": "x"}},
			"a NUL": {Hostname: "a\x00b"}, "an escape": {OS: "\x1b[2J"}, "a long name": {Arch: strings.Repeat("x", 301)}, "less than no time": {IdleTimeout: -1},
		} {
			req.Name = "hostile-one"
			if code, got := r.tryRegister(r.registration, req); code != 400 {
				r.Errorf("%s: %d %s", name, code, got)
			}
		}
		for _, name := range []string{"", "a b", "a\x00", strings.Repeat("x", 81), "https://sts.amazonaws.com/?X-Amz-Signature=SIGNED", "../x?SIGNED"} {
			if code, got := r.tryRegister(r.registration, agentapi.RegisterRequest{Name: name}); code != 400 || strings.Contains(got, "SIGNED") {
				r.Errorf("name %q: %d %s", name, code, got)
			}
		}
	})
}

func TestNamesFromAWS(t *testing.T) {
	bubble(t, func(r *replay) {
		who := sts.Identity{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/ci-agent/i-0abc"}
		asked := 0
		var fail error
		var during func()
		r.hub.Identify = func(_ context.Context, address string) (sts.Identity, error) {
			if asked++; during != nil {
				during()
			}
			return who, fail
		}
		set := func(n signalbox.AgentNaming) {
			typ := r.agentType()
			typ.Naming = n
			r.write(func(tx *store.Tx) error { return tx.UpdateAgentType(typ, "test", "") })
		}
		aws := signalbox.AgentNaming{Origin: signalbox.NamesFromAWS, Account: "123456789012", Roles: []string{"ci-*"}}
		set(aws)
		const address = "https://sts.amazonaws.com/?X-Amz-Signature=SIGNED"
		code, got := r.tryRegister(r.registration, agentapi.RegisterRequest{Name: address})
		if code != 201 || !strings.Contains(got, `"name":"i-0abc"`) {
			r.Fatalf("%d %s", code, got)
		}
		who.ARN = "arn:aws:sts::123456789012:assumed-role/other/i-0def"
		if code, got := r.tryRegister(r.registration, agentapi.RegisterRequest{Name: address}); code != 400 || !strings.Contains(got, "no pattern") {
			r.Errorf("another role: %d %s", code, got)
		}
		fail = signalbox.Errorf(signalbox.CodeUnavailable, "AWS could not be asked")
		_, err := r.hub.Register(r.Context(), Registrant{TokenHash: auth.HashToken(r.registration)}, r.agentType(), agentapi.RegisterRequest{Name: address})
		if signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
			r.Errorf("AWS is away: %v", err)
		}
		fail, during = nil, func() { set(signalbox.AgentNaming{}) }
		if code, got := r.tryRegister(r.registration, agentapi.RegisterRequest{Name: address}); code != 400 {
			r.Errorf("the settings changed meanwhile: %d %s", code, got)
		}
		during = nil
		n := asked
		if code, _ := r.tryRegister("f"+r.registration[1:]+"0", agentapi.RegisterRequest{Name: address}); code != 404 || asked != n {
			r.Errorf("a stranger made the server ask AWS: %d", code)
		}
		for _, row := range r.refusedRows() {
			if strings.Contains(fmt.Sprintf("%+v", *row), "SIGNED") {
				r.Errorf("a signed address is kept: %+v", row)
			}
		}
	})
}

func TestRefusedRegistrationsAreKept(t *testing.T) {
	bubble(t, func(r *replay) {
		expired := r.newToken(signalbox.RegistrationToken{Name: "expired", ExpiresAt: time.Now().Add(-time.Hour)})
		unknown := strings.Repeat("0", 80)
		for range 3 {
			r.tryRegister(unknown, agentapi.RegisterRequest{Name: "wrong-token", Hostname: "box"})
		}
		r.tryRegister(expired, agentapi.RegisterRequest{Name: "late-agent"})
		r.tryRegister("", agentapi.RegisterRequest{Name: "no-token"})
		r.tryRegister(r.registration, agentapi.RegisterRequest{Name: "bad name \x1b[2J"})
		r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration, []byte("{"))
		r.tryRegister(r.registration, agentapi.RegisterRequest{Name: "early-agent", SingleJob: true, JobID: signalbox.NewID()})
		got := map[string]*signalbox.RefusedRegistration{}
		for _, row := range r.refusedRows() {
			got[string(row.Reason)+" "+row.Name] = row
			text := fmt.Sprintf("%+v", *row)
			for _, secret := range []string{unknown, expired, r.registration, auth.HashToken(expired), "\x1b"} {
				if strings.Contains(text, secret) {
					r.Errorf("kept too much: %s", text)
				}
			}
		}
		typ := r.agentType().Name
		for key, want := range map[string]struct {
			count int
			typ   string
		}{
			"unknown token wrong-token": {3, ""}, "expired token late-agent": {1, typ}, "no token ": {1, ""}, "name not allowed bad name [2J": {1, typ},
			"wrong request ": {1, typ}, "job not available early-agent": {1, typ},
		} {
			row := got[key]
			if row == nil {
				r.Errorf("%q was not kept", key)
			} else if row.Count != want.count || row.AgentType != want.typ || row.IP != httptestAddress || row.Detail == "" || row.LastAt.IsZero() {
				r.Errorf("%q: %+v", key, *row)
			}
		}
		if len(got) != 6 {
			r.Errorf("%d were kept", len(got))
		}
		if w := got["unknown token wrong-token"]; w != nil && (w.Host != "box" || len(w.Token) != 8) {
			r.Errorf("%+v", w)
		}
	})
}

func TestAFloodOfRefusalsIsBounded(t *testing.T) {
	bubble(t, func(r *replay) {
		for i := range 2 * maxRefused {
			r.hub.refused.note(refuse(signalbox.RefusedUnknown, signalbox.Errorf(signalbox.CodeNotFound, "x")), nil, Registrant{IP: fmt.Sprint(i)}, agentapi.RegisterRequest{}, time.Now())
		}
		r.hub.refused.mu.Lock()
		n := len(r.hub.refused.new)
		r.hub.refused.mu.Unlock()
		if n != maxRefused {
			r.Errorf("%d wait in memory, want %d", n, maxRefused)
		}
		if n := len(r.refusedRows()); n != signalbox.RefusedLimit {
			r.Errorf("%d are kept, want %d", n, signalbox.RefusedLimit)
		}
	})
}

func TestResettingTokens(t *testing.T) {
	bubble(t, func(r *replay) {
		f, typ := r.fleet(), r.agentType().Name
		worker := r.register(agentapi.RegisterRequest{Name: "worker-agent"})
		job := r.job()
		r.say(worker, waits)
		r.fetch(worker, job)
		running := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job}
		r.say(worker, running)

		second, err := f.ResetTokens(r.Context(), typ, 10*time.Minute, false, "user:ann")
		if err != nil {
			r.Fatal(err)
		}
		for _, token := range []string{r.registration, second} {
			if code, got := r.tryRegister(token, agentapi.RegisterRequest{Name: "agent-" + token[:8]}); code != 201 {
				r.Errorf("during the overlap: %d %s", code, got)
			}
		}
		time.Sleep(10 * time.Minute)
		if code, got := r.tryRegister(r.registration, agentapi.RegisterRequest{Name: "agent-old"}); code != 404 {
			r.Errorf("the old token after the overlap: %d %s", code, got)
		}
		if res := r.say(worker, running); res.Action != agentapi.ActionContinue {
			r.Errorf("a reset without disconnecting: %+v", res)
		}
		third, err := f.ResetTokens(r.Context(), typ, 0, true, "user:ann")
		if err != nil {
			r.Fatal(err)
		}
		if code, _ := r.tryRegister(second, agentapi.RegisterRequest{Name: "agent-late"}); code != 404 {
			r.Error("a token lives on after a reset without overlap")
		}
		if code, got := r.tryRegister(third, agentapi.RegisterRequest{Name: "agent-new"}); code != 201 {
			r.Errorf("the new token: %d %s", code, got)
		}
		if res := r.say(worker, running); res.Action != agentapi.ActionStopJob {
			r.Errorf("a reset with disconnecting, while running: %+v", res)
		}
		if res := r.say(worker, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "stopped"}); res.ShutdownReason != agentapi.ShutdownRequested {
			r.Errorf("and afterwards: %+v", res)
		}
	})
}

func TestDrainedAndDisabledAgentsGetNoOffer(t *testing.T) {
	for _, action := range []fleet.Action{fleet.Drain, fleet.Disable, fleet.Stop} {
		t.Run(string(action), func(t *testing.T) {
			bubble(t, func(r *replay) {
				f := r.fleet()
				r.hub.Timing.Hold = 5 * time.Second
				// Some are sent away while jobs arrive for them: each job goes to one that stays, or waits.
				var stay, leave []string
				answers := map[string]chan agentapi.SyncResponse{}
				for i := range 10 {
					name := fmt.Sprint("racing-agent-", i)
					token, answer := r.register(agentapi.RegisterRequest{Name: name}), make(chan agentapi.SyncResponse, 1)
					answers[name] = answer
					go func() { answer <- r.say(token, waits) }()
					if i%2 == 0 {
						leave = append(leave, name)
					} else {
						stay = append(stay, name)
					}
				}
				synctest.Wait()
				done := make(chan error)
				go func() {
					_, err := f.ChangeAgents(r.Context(), fleet.Selection{Names: leave}, action, "user:ann")
					done <- err
				}()
				for range 3 {
					r.job()
				}
				if err := <-done; err != nil {
					r.Fatal(err)
				}
				after := r.job() // certainly after they were sent away
				for _, name := range leave {
					res := <-answers[name]
					if res.JobID == after || res.Action == agentapi.ActionContinue {
						r.Errorf("%s, which was sent away, got %+v", name, res)
					}
				}
				for _, name := range stay {
					<-answers[name]
				}
				if j := r.jobRow(after); j.State == signalbox.JobQueued {
					r.Errorf("the last job still waits although %d agents are free", len(stay))
				}
			})
		})
	}
}

func TestStatusesOfStrangers(t *testing.T) {
	bubble(t, func(r *replay) {
		if code, _ := r.tryRegister("", agentapi.RegisterRequest{}); code != http.StatusUnauthorized {
			r.Errorf("no token: %d", code)
		}
		if code, _ := r.tryRegister("unknown", agentapi.RegisterRequest{}); code != http.StatusNotFound {
			r.Errorf("unknown token: %d", code)
		}
	})
}
