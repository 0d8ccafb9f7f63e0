package dispatch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// The tests below are about weaknesses that other systems have, by the numbers of the list in docs/invariants.md.

// busy registers an agent and lets it run a job.
func (r *replay) busy(name string) (token, job string, running agentapi.SyncRequest) {
	r.Helper()
	token = r.register(agentapi.RegisterRequest{Name: name})
	job = r.job()
	r.say(token, waits)
	r.fetch(token, job)
	running = agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job}
	r.say(token, running)
	return token, job, running
}

func finished(job, result string) agentapi.SyncRequest {
	return agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: result}
}

// A report ends the reporter's own job and no other, whoever knows its id.
func TestWeakness01ForeignFinish(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job, running := r.busy("agent-one")
		for _, req := range []agentapi.RegisterRequest{{Name: "agent-two"}, {Name: "agent-three", SingleJob: true}} {
			thief := r.register(req)
			for _, result := range []string{"passed", "failed", ""} {
				if res := r.say(thief, finished(job, result)); res.Action != agentapi.ActionWaitForJobs && res.Action != agentapi.ActionShutdown {
					r.Errorf("%s: %+v", req.Name, res)
				}
			}
		}
		if j := r.jobRow(job); j.State != signalbox.JobRunning {
			r.Fatalf("another agent has ended it: %s %s", j.State, j.Result)
		}
		if res := r.say(token, running); res.Action != agentapi.ActionContinue {
			r.Errorf("%+v", res)
		}
		r.say(token, finished(job, "failed"))
		if j := r.jobRow(job); j.Result != signalbox.JobFailed {
			r.Errorf("%s %s", j.State, j.Result)
		}
	})
}

// A sync of an official agent is held only while it waits, and not for longer than it would sleep; whoever runs a job is
// answered at once, so that a signal or the end of the job is told with the next request.
func TestWeakness07HeldWhileItRuns(t *testing.T) {
	bubble(t, func(r *replay) {
		r.hub.Timing.Hold = 10 * time.Second
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		begin := time.Now()
		r.say(token, waits)
		if d := time.Since(begin); d < 8*time.Second || d > 12*time.Second {
			r.Errorf("a waiting agent was held for %s", d)
		}
		job := r.job()
		r.say(token, waits)
		r.fetch(token, job)
		begin = time.Now()
		for _, state := range []agentapi.AgentState{agentapi.StateStartingJob, agentapi.StateRunningJob, agentapi.StateRunningJob, agentapi.StateStoppingJob} {
			r.say(token, agentapi.SyncRequest{State: state, JobID: job})
		}
		r.say(token, finished(job, "passed"))
		if d := time.Since(begin); d != 0 {
			r.Errorf("an agent that does not wait was held for %s", d)
		}
	})
}

// All agents that are lost at once are found at once.
func TestWeakness08ManyLostAtOnce(t *testing.T) {
	bubble(t, func(r *replay) {
		r.agents(350)
		count := func() (n int) {
			r.write(func(tx *store.Tx) error { all, err := tx.Agents(""); n = len(all); return err })
			return n
		}
		time.Sleep(2*time.Minute + 50*time.Second)
		if n := count(); n != 350 {
			r.Fatalf("%d of 350 agents before their time was up", n)
		}
		time.Sleep(20 * time.Second)
		if n := count(); n != 0 {
			r.Errorf("20 s after their time was up %d agents are left", n)
		}
	})
}

// What a job's secrets hold is not in its log, whatever prints it.
func TestWeakness09SecretsInTheLog(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		r.logs = joblog.New(joblog.Options{Store: r.st, Secrets: r.hub.Secrets, Keys: r.hub.Keys})
		r.hub.Log = r.logs
		r.secret("", "one", signalbox.SecretAccess{}, "PASSWORD=correct horse battery")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.secretJob(p, "branch", signalbox.JobSpec{Secrets: []string{"one"}})
		payload := r.payload(token, job)
		lines := `{"event":"cmd_output","timestamp":1,"output":"export PASSWORD=correct horse battery\nuser:correct hor"}
{"event":"cmd_output","timestamp":1,"output":"se battery@host\n"}
`
		if w := r.call("POST", agentapi.LogsBase+"/"+job+"?start_from=0", "Bearer "+payload.Logger.Token, []byte(lines)); w.Code != http.StatusOK {
			r.Fatalf("%d %s", w.Code, w.Body)
		}
		r.end(token, job)
		var log strings.Builder
		if err := r.logs.Text(r.Context(), r.attemptOf(job), &log); err != nil {
			r.Fatal(err)
		}
		if got := log.String(); strings.Contains(got, "horse") || strings.Contains(got, "battery") || !strings.Contains(got, "export PASSWORD=") {
			r.Errorf("the log is %q", got)
		}
	})
}

// A job is given to a second agent only as another attempt; what the first one still says changes nothing and ends with
// its being told to stop.
func TestWeakness10SecondAgentWithoutAFence(t *testing.T) {
	bubble(t, func(r *replay) {
		job := r.jobsOf("demo", 0, 1)[0]
		one := r.register(agentapi.RegisterRequest{Name: "agent-one"})
		r.say(one, waits)
		r.fetch(one, job)
		r.say(one, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job})
		// The agent is alive, and says that it was restarted; its first process may still run.
		again := finished(job, "failed")
		again.JobReason = string(signalbox.ReasonAgentRestarted)
		r.say(one, again)
		two := r.register(agentapi.RegisterRequest{Name: "agent-two"})
		if res := r.say(two, waits); res.JobID != job {
			r.Fatalf("%+v", res)
		}
		r.fetch(two, job)
		if res := r.say(one, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job}); res.Action != agentapi.ActionStopJob {
			r.Errorf("the first agent goes on: %+v", res)
		}
		r.say(one, finished(job, "passed"))
		if j := r.jobRow(job); j.State != signalbox.JobRunning {
			r.Errorf("the first agent has ended the second attempt: %s %s", j.State, j.Result)
		}
		r.say(two, finished(job, "failed"))
		all := r.attemptsOf(job)
		if len(all) != 2 || all[0].Reason != signalbox.ReasonAgentRestarted || all[0].LateResult != signalbox.JobPassed || all[1].Result != signalbox.JobFailed {
			r.Errorf("%+v", all)
		}
	})
}

// A heartbeat touches no row that decides anything, and one that is written late cannot undo a change.
func TestWeakness11HeartbeatsInTheAgentsRow(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job, running := r.busy("one-agent")
		before := r.agentNamed("one-agent")
		for range 50 {
			time.Sleep(2 * time.Second)
			r.say(token, running)
		}
		after := r.agentNamed("one-agent")
		if !after.ChangedAt.Equal(before.ChangedAt) {
			r.Errorf("the row was written at %s", after.ChangedAt)
		}
		r.write(func(tx *store.Tx) error {
			g, err := tx.LockAgent(after.ID)
			if err != nil {
				return err
			}
			g.DisabledAt = tx.Now
			return tx.UpdateAgent(g, g.AttemptID, "user:ann", "disabled", "")
		})
		r.hub.saveHeartbeats(r.Context())
		if a := r.agentNamed("one-agent"); a.DisabledAt.IsZero() || a.JobID != job {
			r.Errorf("after a heartbeat: %+v", a)
		}
	})
}

// An end that is the machinery's has its own reason, and is no cancellation.
func TestWeakness12InterruptionsLookLikeCancellations(t *testing.T) {
	bubble(t, func(r *replay) {
		for i, c := range []struct {
			end  func(token, job string)
			want string
		}{
			{func(token, job string) { // a machine that is taken away
				now := time.Now().Unix()
				r.say(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job, InterruptedAt: now})
				res := finished(job, "stopped")
				res.InterruptedAt = now
				r.say(token, res)
			}, "stopped interrupted"},
			{func(token, job string) { time.Sleep(20 * time.Minute) }, "failed agent_lost"},
			{func(token, job string) {
				res := finished(job, "failed")
				res.JobReason = string(signalbox.ReasonAgentRestarted)
				r.say(token, res)
			}, "failed agent_restarted"},
			{func(token, job string) { r.say(token, finished(job, "failed")) }, "failed test"},
			{func(token, job string) {
				r.write(func(tx *store.Tx) error { return r.eng.StopJob(tx, job, "user:ann", signalbox.ReasonUser) })
				r.say(token, finished(job, "stopped"))
			}, "stopped user"},
		} {
			token, job, _ := r.busy(fmt.Sprintf("agent-%d", i))
			c.end(token, job)
			if j := r.jobRow(job); string(j.Result)+" "+string(j.Reason) != c.want {
				r.Errorf("%s %s, want %s", j.Result, j.Reason, c.want)
			}
		}
	})
}

// A reset leaves the old token working for as long as the fleet needs to learn the new one.
func TestWeakness14ResetKillsTheOnlyToken(t *testing.T) {
	bubble(t, func(r *replay) {
		next, err := r.fleet().ResetTokens(r.Context(), r.agentType().Name, time.Hour, false, "user:ann")
		if err != nil {
			r.Fatal(err)
		}
		for i, token := range []string{r.registration, next} {
			if code, got := r.tryRegister(token, agentapi.RegisterRequest{Name: fmt.Sprintf("agent-%d", i)}); code != http.StatusCreated {
				r.Errorf("token %d during the overlap: %d %s", i, code, got)
			}
		}
		time.Sleep(61 * time.Minute)
		if code, _ := r.tryRegister(r.registration, agentapi.RegisterRequest{Name: "agent-late"}); code != http.StatusNotFound {
			r.Errorf("the old token after the overlap: %d", code)
		}
	})
}

// A state that nobody knows is refused with a sentence, and the agent stays what it is.
func TestWeakness16UnknownState(t *testing.T) {
	bubble(t, func(r *replay) {
		token, job, running := r.busy("one-agent")
		before := r.agentNamed("one-agent")
		for _, body := range []any{
			agentapi.SyncRequest{State: "dancing", JobID: job}, agentapi.SyncRequest{}, []byte(`{"state": 7}`), []byte(`[]`), []byte(``), []byte(`{"state":"running-job","job_id":{}}`),
		} {
			w := r.call("POST", agentapi.Base+agentapi.PathSync, "Token "+token, body)
			if w.Code != http.StatusUnprocessableEntity || len(strings.TrimSpace(w.Body.String())) < 10 {
				r.Errorf("%v: %d %q", body, w.Code, w.Body)
			}
		}
		if a := r.agentNamed("one-agent"); a.ChangedAt != before.ChangedAt || a.JobID != job {
			r.Errorf("%+v", a)
		}
		if res := r.say(token, running); res.Action != agentapi.ActionContinue {
			r.Errorf("%+v", res)
		}
	})
}
