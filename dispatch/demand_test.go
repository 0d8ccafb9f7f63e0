package dispatch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// scaler asks a route as an autoscaler does.
func (r *replay) scaler(path, want string) {
	r.Helper()
	if w := r.call("GET", agentapi.Base+path, "Token "+r.registration, nil); w.Code != http.StatusOK || w.Body.String() != want {
		r.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
	}
}

func TestAutoscalersSeeAJobFromQueueToEnd(t *testing.T) {
	bubble(t, func(r *replay) {
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":0,"running":0},"agents":{"idle":0,"occupied":0},"desired_agents":0}`)
		r.scaler(agentapi.PathJobs, `{"jobs":[]}`)
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.job()
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":1,"running":0},"agents":{"idle":1,"occupied":0},"desired_agents":1}`)
		r.scaler(agentapi.PathOccupancy, `{"queued":1,"running":0}`)
		r.scaler(agentapi.PathJobs, `{"jobs":[{"id":"`+job+`"}]}`)

		// Offered: official autoscalers know queued and running only, and an agent has it already.
		r.say(token, waits)
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":1,"running":0},"agents":{"idle":0,"occupied":1},"desired_agents":1}`)
		r.scaler(agentapi.PathJobs, `{"jobs":[]}`)

		r.fetch(token, job)
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":0,"running":1},"agents":{"idle":0,"occupied":1},"desired_agents":1}`)
		r.scaler(agentapi.PathOccupancy, `{"queued":0,"running":1}`)

		r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "passed"})
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":0,"running":0},"agents":{"idle":1,"occupied":0},"desired_agents":0}`)
	})
}

// The official autoscaler for AWS adds up every number of jobs and publishes every number of agents.
func TestNoFieldOfOursStandsWhereAutoscalersAddUp(t *testing.T) {
	bubble(t, func(r *replay) {
		w := r.call("GET", agentapi.Base+agentapi.PathMetrics, "Token "+r.registration, nil)
		var m map[string]json.RawMessage
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			r.Fatal(err)
		}
		for part, want := range map[string][]string{"jobs": {"queued", "running"}, "agents": {"idle", "occupied"}} {
			var fields map[string]int
			if err := json.Unmarshal(m[part], &fields); err != nil || len(fields) != 2 {
				r.Errorf("%s: %s (%v)", part, m[part], err)
			}
			for _, f := range want {
				if _, ok := fields[f]; !ok {
					r.Errorf("%s has no %s", part, f)
				}
			}
		}
	})
}

func TestOnlyAgentsThatWouldGetAJobAreIdle(t *testing.T) {
	idle := func(r *replay, n string) {
		r.Helper()
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":0,"running":0},"agents":{"idle":`+n+`,"occupied":0},"desired_agents":0}`)
	}
	change := func(r *replay, fn func(*signalbox.Agent)) {
		r.Helper()
		r.write(func(tx *store.Tx) error {
			ag, err := tx.AgentByName("one-agent")
			if err != nil {
				return err
			}
			fn(ag)
			return tx.UpdateAgent(ag, "", "test", "", "")
		})
	}
	for name, fn := range map[string]func(*signalbox.Agent){
		"disabled":    func(a *signalbox.Agent) { a.DisabledAt = time.Now() },
		"quarantined": func(a *signalbox.Agent) { a.QuarantinedAt = time.Now() },
		"draining":    func(a *signalbox.Agent) { a.DrainAt = time.Now() },
		"interrupted": func(a *signalbox.Agent) { a.InterruptedAt = time.Now() },
		"gone":        func(a *signalbox.Agent) { a.GoneAt = time.Now() },
		"left":        func(a *signalbox.Agent) { a.State = signalbox.AgentDisconnected },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *replay) {
				r.register(agentapi.RegisterRequest{Name: "one-agent"})
				idle(r, "1")
				change(r, fn)
				idle(r, "0")
			})
		})
	}
	t.Run("silent", func(t *testing.T) {
		bubble(t, func(r *replay) {
			token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
			time.Sleep(2*time.Minute + 30*time.Second)
			idle(r, "0")
			r.say(token, waits)
			time.Sleep(11 * time.Second) // heartbeats are stored at intervals
			idle(r, "1")
		})
	})
}

func TestAServerThatHasJustStartedCallsNobodySilent(t *testing.T) {
	bubble(t, func(r *replay) {
		r.register(agentapi.RegisterRequest{Name: "one-agent"})
		time.Sleep(2*time.Minute + 30*time.Second)
		r.hub.started = time.Now()
		r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":0,"running":0},"agents":{"idle":1,"occupied":0},"desired_agents":0}`)
	})
}

func TestDesiredAgentsKeepLimits(t *testing.T) {
	bubble(t, func(r *replay) {
		for range 5 {
			r.job()
		}
		desired := func(n string) {
			r.Helper()
			r.scaler(agentapi.PathMetrics, `{"jobs":{"queued":5,"running":0},"agents":{"idle":0,"occupied":0},"desired_agents":`+n+`}`)
		}
		desired("5")
		r.write(func(tx *store.Tx) error {
			typ, err := tx.AgentType("s1-linux")
			if err != nil {
				return err
			}
			typ.MaxRunningJobs = 3
			return tx.UpdateAgentType(typ, "test", "")
		})
		desired("3")
		r.write(func(tx *store.Tx) error {
			o, err := tx.Organization()
			if err != nil {
				return err
			}
			o.MaxRunningJobs = 2
			return tx.UpdateOrganization(o, "test", "")
		})
		desired("2")
	})
}

func TestTokensOfAutoscalers(t *testing.T) {
	bubble(t, func(r *replay) {
		token := func(t signalbox.RegistrationToken) string {
			r.Helper()
			plain, hash := auth.NewToken(auth.TokenRegistration)
			r.write(func(tx *store.Tx) error {
				typ, err := tx.AgentType("s1-linux")
				if err != nil {
					return err
				}
				t.AgentTypeID, t.Name = typ.ID, plain[:20]
				return tx.CreateRegistrationToken(&t, hash, "test")
			})
			return plain
		}
		ask := func(authorization string) int {
			return r.call("GET", agentapi.Base+agentapi.PathMetrics, authorization, nil).Code
		}
		once := token(signalbox.RegistrationToken{OneTime: true})
		near := token(signalbox.RegistrationToken{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}) // httptest asks from there
		far := token(signalbox.RegistrationToken{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		brief := token(signalbox.RegistrationToken{ExpiresAt: time.Now().Add(time.Minute)})
		agent := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		for name, c := range map[string]struct {
			authorization string
			want          int
		}{
			"one time, unused": {"Token " + once, 200}, "from its network": {"Token " + near, 200}, "from elsewhere": {"Token " + far, 404},
			"not expired": {"Token " + brief, 200}, "unknown": {"Token x", 404}, "none": {"", 401}, "another scheme": {"Bearer " + near, 401},
			"an agent's own": {"Token " + agent, 404},
		} {
			if got := ask(c.authorization); got != c.want {
				r.Errorf("%s: %d, want %d", name, got, c.want)
			}
		}
		if w := r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+once, agentapi.RegisterRequest{Name: "another-agent"}); w.Code != 201 {
			r.Errorf("asking used the token up: %d %s", w.Code, w.Body)
		}
		time.Sleep(2 * time.Minute)
		for name, authorization := range map[string]string{"one time, used": "Token " + once, "expired": "Token " + brief} {
			if got := ask(authorization); got != 404 {
				r.Errorf("%s: %d, want 404", name, got)
			}
		}
	})
}

func TestAHoldIsNoLatency(t *testing.T) {
	bubble(t, func(r *replay) {
		var took []time.Duration
		r.hub.OnSync = func(d time.Duration) { took = append(took, d) }
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.hub.Timing.Hold = 5 * time.Second
		begin := time.Now()
		r.say(token, waits)
		if d := time.Since(begin); d < 4*time.Second {
			r.Fatalf("the sync was held for %s only", d)
		}
		synctest.Wait()
		if len(took) != 1 || took[0] > time.Millisecond {
			r.Errorf("told %v, want one sync that took no time", took)
		}
		if w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token x", waits); w.Code != 404 || len(took) != 1 {
			r.Errorf("%d, told %v: a sync that was refused counts", w.Code, took)
		}
	})
}

func TestRegistrationsAreTold(t *testing.T) {
	bubble(t, func(r *replay) {
		var told []string
		r.hub.OnRegistered = func(agentType string) { told = append(told, agentType) }
		r.hub.OnRefused = func(why signalbox.Refusal) { told = append(told, string(why)) }
		r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.call("POST", agentapi.Base+agentapi.PathRegister, "Token x", agentapi.RegisterRequest{Name: "two-agent"})
		r.call("POST", agentapi.Base+agentapi.PathRegister, "", agentapi.RegisterRequest{Name: "two-agent"})
		r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration, agentapi.RegisterRequest{Name: "ü"})
		want := []string{"s1-linux", string(signalbox.RefusedUnknown), string(signalbox.RefusedNoToken), string(signalbox.RefusedName)}
		if len(told) == 4 {
			want[3] = told[3] // which of the two kinds a bad name is belongs to another test
		}
		if !slices.Equal(told, want) {
			r.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestWhatAutoscalersAskCostsTheSameForAnyNumber(t *testing.T) {
	var statements atomic.Int64
	st, eng, h := hubOn(t, store.Options{Dir: storetest.Folder(t), OnStatement: func(string) { statements.Add(1) }})
	write := func(fn func(*store.Tx) error) {
		t.Helper()
		if err := st.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	typ := &signalbox.AgentType{Name: "s1-linux"}
	token, hash := auth.NewToken(auth.TokenRegistration)
	write(func(tx *store.Tx) error {
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: typ.ID, Name: "first"}, hash, "test")
	})
	measure := func() (one, all int64) {
		t.Helper()
		r := httptest.NewRequest("GET", agentapi.Base+agentapi.PathMetrics, nil)
		r.Header.Set("Authorization", "Token "+token)
		statements.Store(0)
		if _, err := h.demand(r); err != nil {
			t.Fatal(err)
		}
		one = statements.Swap(0)
		if _, err := h.Demands(t.Context()); err != nil {
			t.Fatal(err)
		}
		return one, statements.Load()
	}
	one, all := measure()
	for p := range 3 {
		write(func(tx *store.Tx) error {
			project, err := makeProject(tx, fmt.Sprintf("p%d", p), p)
			if err != nil {
				return err
			}
			other := &signalbox.AgentType{Name: fmt.Sprintf("s1-%d", p)}
			if err := tx.CreateAgentType(other, "test"); err != nil {
				return err
			}
			for i := range 20 {
				name := fmt.Sprintf("agent-%d-%d", p, i)
				if err := tx.CreateAgent(&signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: name, State: signalbox.AgentRegistered}, name); err != nil {
					return err
				}
			}
			_, err = queueJobs(tx, eng, project, typ.Name, 20)
			return err
		})
	}
	if one2, all2 := measure(); one2 != one || all2 != all {
		t.Errorf("%d and %d statements with nothing there, %d and %d with 60 jobs, 60 agents and 4 types", one, all, one2, all2)
	}
}

func TestQueuedJobsComeInPages(t *testing.T) {
	bubble(t, func(r *replay) {
		const jobs = maxListed + 120
		r.write(func(tx *store.Tx) error {
			project, err := makeProject(tx, "many", 0)
			if err != nil {
				return err
			}
			_, err = queueJobs(tx, r.eng, project, "s1-linux", jobs)
			return err
		})
		get := func(cursor string) (l agentapi.JobList) {
			w := r.call("GET", agentapi.Base+agentapi.PathJobs+"?cursor="+cursor, "Token "+r.registration, nil)
			if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != http.StatusOK {
				r.Fatalf("%d %s", w.Code, w.Body)
			}
			return l
		}
		seen := map[string]bool{}
		first := get("")
		second := get(first.Cursor)
		for _, j := range append(first.Jobs, second.Jobs...) {
			seen[j.ID] = true
		}
		if len(first.Jobs) != maxListed || len(second.Jobs) != jobs-maxListed || second.Cursor != "" || len(seen) != jobs {
			r.Errorf("%d and %d jobs, %d different ones, cursors %q and %q", len(first.Jobs), len(second.Jobs), len(seen), first.Cursor, second.Cursor)
		}
		for _, odd := range []string{"x", "1.2", "." + second.Jobs[0].ID} {
			if w := r.call("GET", agentapi.Base+agentapi.PathJobs+"?cursor="+odd, "Token "+r.registration, nil); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "begin without one") {
				r.Errorf("cursor %s: %d %s", odd, w.Code, w.Body)
			}
		}
	})
}
