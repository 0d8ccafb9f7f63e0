package dispatch

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// setType changes the agent type.
func (r *replay) setType(change func(*signalbox.AgentType)) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		typ, err := tx.AgentType("s1-linux")
		if err != nil {
			return err
		}
		change(typ)
		return tx.UpdateAgentType(typ, "test", "")
	})
}

func (r *replay) agentRow(name string) (a *signalbox.Agent) {
	r.Helper()
	r.write(func(tx *store.Tx) (err error) { a, err = tx.AgentByName(name); return err })
	return a
}

func (r *replay) changeAgent(name string, change func(*signalbox.Agent)) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		a, err := tx.AgentByName(name)
		if err != nil {
			return err
		}
		change(a)
		return tx.UpdateAgent(a, a.AttemptID, "test", "changed", "")
	})
}

// ours syncs as an agent of ours does.
func (r *replay) ours(token string, req agentapi.SyncRequest) agentapi.SyncResponse {
	r.Helper()
	res, err := r.hub.Sync(r.Context(), auth.HashToken(token), req, 50*time.Millisecond)
	if err != nil {
		r.Fatal(err)
	}
	return res
}

func (r *replay) agentHistory(id string) (out []string) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		all, err := tx.Events("agent", id)
		out = nil
		for _, e := range all {
			out = append(out, e.Reason)
		}
		return err
	})
	return out
}

func TestAQuarantinedAgentWaitsWithoutOffers(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.say(token, waits)
		r.changeAgent("one-agent", func(a *signalbox.Agent) {
			a.QuarantinedAt, a.Quarantine = time.Now(), &signalbox.Quarantine{By: "test", Why: "test"}
		})
		job := r.job()
		for range 3 {
			begin := time.Now()
			if res := r.say(token, waits); res.Action != agentapi.ActionContinue {
				r.Fatalf("%+v", res)
			}
			// Were it in line, it would be sent away at once, and again and again.
			if took := time.Since(begin); took < 100*time.Millisecond {
				r.Errorf("it was held for %s only", took)
			}
		}
		if j := r.jobRow(job); j.State != signalbox.JobQueued || j.AttemptN != 0 {
			r.Fatalf("the job is %s after %d offers", j.State, j.AttemptN)
		}
		got := make(chan agentapi.SyncResponse)
		go func() { got <- r.say(token, waits) }()
		synctest.Wait()
		r.changeAgent("one-agent", func(a *signalbox.Agent) { a.QuarantinedAt, a.Quarantine = time.Time{}, nil })
		if res := <-got; res.Action != agentapi.ActionRunJob || res.JobID != job {
			r.Errorf("after its release: %+v", res)
		}
	})
}

// It was in line when it was set aside, and nothing has told its sync yet.
func TestAnAgentThatIsSetAsideInLineGetsNothing(t *testing.T) {
	bubble(t, func(r *replay) {
		r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.changeAgent("one-agent", func(a *signalbox.Agent) { a.QuarantinedAt = time.Now() })
		job := r.job()
		w := &waiter{agentType: "s1-linux", agentID: r.agentRow("one-agent").ID}
		offers, unfit, _, err := r.hub.offer(r.Context(), "s1-linux", []*waiter{w})
		if err != nil || offers[0] != nil || !unfit[0] {
			r.Errorf("%+v, %v, %v", offers, unfit, err)
		}
		if j := r.jobRow(job); j.State != signalbox.JobQueued {
			r.Errorf("the job is %s", j.State)
		}
	})
}

// Every start ends a job as agent_restarted; a name that comes back does not begin anew.
func TestACrashLoopEndsInQuarantine(t *testing.T) {
	bubble(t, func(r *replay) {
		r.setType(func(y *signalbox.AgentType) { y.Quarantine = signalbox.QuarantineRule{Failures: 2, Of: 3} })
		crashes := agentapi.RegisterRequest{Name: "bad-agent", Hostname: "box"}
		token := r.register(crashes)
		r.register(agentapi.RegisterRequest{Name: "good-agent", Hostname: "other"})
		for i := range 2 {
			if g := r.agentRow("bad-agent"); !g.QuarantinedAt.IsZero() {
				r.Fatalf("after %d crashes: %+v", i, g.Quarantine)
			}
			job := r.job()
			r.say(token, waits)
			r.fetch(token, job)
			r.say(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job})
			time.Sleep(time.Second)
			crashes.PID++
			token = r.register(crashes)
		}
		g := r.agentRow("bad-agent")
		if g.QuarantinedAt.IsZero() || len(g.Quarantine.Evidence) != 2 || g.Quarantine.Evidence[0].Reason != signalbox.ReasonAgentRestarted {
			r.Fatalf("after two crashes: %+v", g.Quarantine)
		}
		r.say(token, waits)
		crashes.PID++
		r.register(crashes)
		if g := r.agentRow("bad-agent"); g.QuarantinedAt.IsZero() {
			r.Error("starting it anew released it")
		}
	})
}

func TestWhatAnAgentReportsOfItsMachine(t *testing.T) {
	bubble(t, func(r *replay) {
		low := agentapi.Problem{Code: signalbox.ProblemDiskLow, Detail: "1.2 GB are free"}
		token := r.register(agentapi.RegisterRequest{Name: "one-agent", Problems: []agentapi.Problem{low}})
		if g := r.agentRow("one-agent"); len(g.Problems) != 1 || g.Problems[0].Detail != low.Detail || g.ProblemsAt.IsZero() {
			r.Fatalf("at registration: %+v", g.Problems)
		}
		report := func(ps ...agentapi.Problem) *signalbox.Agent {
			req := waits
			req.Problems = ps
			r.say(token, req)
			return r.agentRow("one-agent")
		}
		time.Sleep(20 * time.Second)
		odd := []agentapi.Problem{low, {Code: "clock_off", Detail: "line\nfeed \x1b[31m" + strings.Repeat("x", 500)}, {Code: "Not a word"}, low}
		g := report(odd...)
		if len(g.Problems) != 2 || strings.ContainsAny(g.Problems[1].Detail, "\n\x1b") || len([]rune(g.Problems[1].Detail)) != 200 {
			r.Fatalf("%+v", g.Problems)
		}
		changed := g.ChangedAt
		low.Detail = "1.1 GB are free"
		if g := report(low, odd[1]); !g.ChangedAt.Equal(changed) {
			r.Errorf("a detail was written again within a minute: %+v", g.Problems)
		}
		time.Sleep(time.Minute)
		if g := report(low, odd[1]); g.Problems[0].Detail != low.Detail {
			r.Errorf("after a minute: %+v", g.Problems)
		}
		time.Sleep(20 * time.Second)
		g = report()
		if len(g.Problems) != 0 {
			r.Errorf("all is well again: %+v", g.Problems)
		}
		if h := r.agentHistory(g.ID); !slices.Equal(h, []string{"registered", "reports problems", "reports no problems"}) {
			r.Errorf("history %v", h)
		}
		job := r.job()
		if res := func() agentapi.SyncResponse { req := waits; req.Problems = odd; return r.say(token, req) }(); res.JobID != job {
			r.Errorf("an agent with problems gets jobs: %+v", res)
		}
	})
}

// leased brings an agent to run a job under a lease of two minutes, which it confirms or not.
func (r *replay) leased(confirm bool) (token, job string) {
	r.Helper()
	r.setType(func(y *signalbox.AgentType) { y.Lease = 2 * time.Minute })
	token = r.register(agentapi.RegisterRequest{Name: "one-agent"})
	job = r.job()
	res := r.ours(token, waits)
	if res.JobID != job || res.Lease != 120 {
		r.Fatalf("%+v", res)
	}
	r.fetch(token, job)
	running := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job, Attempt: res.Attempt}
	if confirm {
		running.Lease = res.Lease
	}
	r.ours(token, running)
	return token, job
}

func TestALeaseMakesALossSooner(t *testing.T) {
	bubble(t, func(r *replay) {
		_, job := r.leased(true)
		time.Sleep(2*time.Minute + 50*time.Second)
		if j := r.jobRow(job); j.State != signalbox.JobRunning {
			r.Fatalf("before the margin is over: %s %s", j.State, j.Reason)
		}
		time.Sleep(20 * time.Second)
		if j := r.jobRow(job); j.Reason != signalbox.ReasonAgentLost || j.State != signalbox.JobFinished {
			r.Fatalf("after the lease: %s %s", j.State, j.Reason)
		}
	})
}

// Another server that shares the database would give up the job of an agent that this one keeps alive.
func TestALeaseThatCannotBeStoredIsNotRenewed(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job := r.leased(true)
		r.hub.shared = true
		running := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job, Lease: 120}
		r.ours(token, running)
		r.hub.savedAt.Store(r.hub.Now().Add(-signalbox.LeaseMargin / 2).UnixNano())
		if _, err := r.hub.Sync(r.Context(), auth.HashToken(token), running, time.Minute); signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
			r.Errorf("the lease was renewed: %v", err)
		}
		time.Sleep(r.hub.Timing.Flush + time.Second)
		r.ours(token, running)
	})
}

// A heartbeat that could not be stored is stored the next time, whether or not its agent has said more since.
func TestAHeartbeatThatWasNotStoredIsNotForgotten(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job := r.leased(true)
		time.Sleep(30 * time.Second)
		r.ours(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job, Lease: 120})
		heard := r.hub.seenHere(r.agentRow("one-agent").ID)
		away, cancel := context.WithCancel(r.Context())
		cancel()
		r.hub.saveHeartbeats(away)
		r.hub.saveHeartbeats(r.Context())
		var seen store.Seen
		row := r.agentRow("one-agent")
		r.write(func(tx *store.Tx) (err error) { seen, err = tx.SeenOf(row.ID); return err })
		if seen.At.Before(heard.Truncate(time.Millisecond)) {
			r.Errorf("heard at %s, stored as %s", heard, seen.At)
		}
	})
}

// Somebody who wonders whether a job that was given up was done finds what its agent said.
func TestTheReportOfAnAgentThatWasGivenUpIsKept(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job := r.leased(true)
		time.Sleep(4 * time.Minute)
		if j := r.jobRow(job); j.Reason != signalbox.ReasonAgentLost {
			r.Fatalf("%s %s", j.State, j.Reason)
		}
		for _, result := range []string{"unheard-of", "passed", "stopped"} {
			late := agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: result}
			if w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token "+token, late); w.Code != 404 {
				r.Errorf("%d %s", w.Code, w.Body)
			}
		}
		var a *signalbox.Attempt
		row := r.jobRow(job)
		r.write(func(tx *store.Tx) (err error) { a, err = tx.Attempt(row.AttemptID); return err })
		if a.LateResult != signalbox.JobPassed || a.Result != signalbox.JobFailed || a.Reason != signalbox.ReasonAgentLost {
			r.Errorf("%+v", a)
		}
		if j := r.jobRow(job); j.Result != signalbox.JobFailed {
			r.Errorf("%+v", j)
		}
	})
}

// The sweep looks at all agents and then ends them one after the other.
func TestAnAgentThatCameBackDuringASweepStays(t *testing.T) {
	bubble(t, func(r *replay) {
		r.setType(func(y *signalbox.AgentType) { y.Ephemeral = true })
		token, job := r.leased(true)
		looked := r.hub.Now()
		time.Sleep(time.Minute)
		id := r.agentRow("one-agent").ID
		r.ours(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job, Lease: 120})
		for _, last := range []time.Time{looked.Add(-time.Hour), r.hub.Now()} {
			if err := r.hub.lose(r.Context(), id, last); err != nil {
				r.Fatal(err)
			}
			want := map[bool]signalbox.JobState{true: signalbox.JobRunning, false: signalbox.JobFinished}[last.Before(looked)]
			if j := r.jobRow(job); j.State != want {
				r.Fatalf("heard of after %s: %s %s", last, j.State, j.Reason)
			}
		}
	})
}

func TestALeaseNobodyKeepsCountsForNothing(t *testing.T) {
	bubble(t, func(r *replay) {
		_, job := r.leased(false)
		time.Sleep(14 * time.Minute)
		if j := r.jobRow(job); j.State != signalbox.JobRunning {
			r.Fatalf("the agent never said that it ends its job: %s %s", j.State, j.Reason)
		}
	})
	bubble(t, func(r *replay) {
		r.setType(func(y *signalbox.AgentType) { y.Lease = 2 * time.Minute })
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.job()
		if res := r.say(token, waits); res.Action != agentapi.ActionRunJob || res.Lease != 0 {
			r.Errorf("an official agent is told of a lease: %+v", res)
		}
	})
}

func TestAJobOnAMachineOfItsOwnIsRunAgainWhenTheFirstRunIsOver(t *testing.T) {
	bubble(t, func(r *replay) {
		r.setType(func(y *signalbox.AgentType) { y.Ephemeral = true })
		_, job := r.leased(true)
		time.Sleep(4 * time.Minute)
		if j := r.jobRow(job); j.State != signalbox.JobQueued || j.Retries != 1 {
			r.Fatalf("%s %s, %d retries", j.State, j.Reason, j.Retries)
		}
	})
	bubble(t, func(r *replay) {
		r.setType(func(y *signalbox.AgentType) { y.Ephemeral = true })
		_, job := r.leased(false)
		time.Sleep(16 * time.Minute)
		if j := r.jobRow(job); j.State != signalbox.JobFinished || j.Reason != signalbox.ReasonAgentLost {
			r.Fatalf("the first run may go on: %s %s", j.State, j.Reason)
		}
	})
}

func TestTheEndOfALeaseIsReported(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job := r.leased(true)
		time.Sleep(2*time.Minute + 30*time.Second)
		r.ours(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "failed", JobReason: "lease_ended"})
		if j := r.jobRow(job); j.Reason != signalbox.ReasonLeaseEnded || j.Result != signalbox.JobFailed {
			r.Errorf("%s %s", j.Result, j.Reason)
		}
	})
}

// TestNobodyIsHeldUntilSuspect holds the bounds together: an agent that is held, and whose heartbeat waits to be stored,
// must not look as if it was silent; and nobody who is suspect can be in line for an offer.
func TestNobodyIsHeldUntilSuspect(t *testing.T) {
	d := Timing{}.withDefaults()
	if d.HoldLimit > signalbox.SuspectAfter {
		t.Errorf("a sync can be held for %s, and after %s of silence an agent is suspect", d.HoldLimit, signalbox.SuspectAfter)
	}
	if h := 12 * d.Hold / 10; h+d.Flush >= signalbox.SuspectAfter {
		t.Errorf("an official agent that is held looks silent after %s", h+d.Flush)
	}
}
