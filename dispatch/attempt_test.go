package dispatch

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// tell syncs as an agent of ours does, which allows holding and repeats the attempt that it was told.
func (r *replay) tell(token string, req agentapi.SyncRequest) agentapi.SyncResponse {
	r.Helper()
	res, err := r.hub.Sync(r.Context(), auth.HashToken(token), req, time.Second)
	if err != nil {
		r.Fatal(err)
	}
	return res
}

func (r *replay) attemptsOf(job string) (out []*signalbox.Attempt) {
	r.Helper()
	r.write(func(tx *store.Tx) (err error) { out, err = tx.Attempts(job); return err })
	return out
}

// An agent that repeats which try of a job it speaks of may get the job again; late words about the first try change
// nothing of the second. One that does not repeat it gets other jobs.
func TestAJobOnTheSameAgentTwice(t *testing.T) {
	restarted := agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobResult: "failed", JobReason: string(signalbox.ReasonAgentRestarted)}
	bubble(t, func(r *replay) {
		ids := r.jobsOf("demo", 0, 2)
		twice, behind := ids[0], ids[1]
		official := r.register(agentapi.RegisterRequest{Name: "official"})
		if res := r.say(official, waits); res.JobID != twice || res.Attempt != "" {
			t.Fatalf("%+v", res)
		}
		r.fetch(official, twice)
		restarted.JobID = twice
		r.say(official, restarted)
		if j := r.jobRow(twice); j.State != signalbox.JobQueued || j.Retries != 1 {
			t.Fatalf("%s %d", j.State, j.Retries)
		}
		if res := r.say(official, waits); res.JobID != behind {
			t.Fatalf("after it had tried %s: %+v", twice, res)
		}

		ours := r.register(agentapi.RegisterRequest{Name: "ours-agent"})
		first := r.tell(ours, waits)
		if first.JobID != twice || first.Attempt != r.jobRow(twice).AttemptID {
			t.Fatalf("%+v", first)
		}
		if w := r.fetch(ours, twice+"?attempt="+first.Attempt); w.Code != http.StatusOK {
			t.Fatalf("fetch: %d", w.Code)
		}
		report := restarted
		report.Attempt = first.Attempt
		r.tell(ours, report)
		second := r.tell(ours, waits)
		if second.JobID != twice || second.Attempt == first.Attempt {
			t.Fatalf("%+v", second)
		}
		if w := r.fetch(ours, twice+"?attempt="+first.Attempt); w.Code != http.StatusNotFound {
			t.Errorf("a late request for the first try: %d", w.Code)
		}
		late := agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: twice, JobResult: "passed", Attempt: first.Attempt}
		r.tell(ours, late)
		r.fetch(ours, twice+"?attempt="+second.Attempt)
		r.tell(ours, late)
		running := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: twice, Attempt: first.Attempt}
		if res := r.tell(ours, running); res.Action != agentapi.ActionStopJob {
			t.Errorf("the first try still runs: %+v", res)
		}
		if j := r.jobRow(twice); j.State != signalbox.JobRunning {
			t.Errorf("late words about the first try: %s %s", j.State, j.Result)
		}
		all := r.attemptsOf(twice)
		if len(all) != 3 || all[1].LateResult != signalbox.JobPassed || all[2].State != signalbox.AttemptFetched {
			t.Errorf("%+v", all)
		}
		late.Attempt = second.Attempt
		r.tell(ours, late)
		if j := r.jobRow(twice); j.Result != signalbox.JobPassed {
			t.Errorf("the second try: %s %s", j.State, j.Result)
		}
		late.Attempt = signalbox.NewID()
		if res := r.tell(ours, late); res.Action != agentapi.ActionWaitForJobs {
			t.Errorf("an attempt that never was: %+v", res)
		}
	})
}

// One job asks one agent, and if that may not take it, the others at once.
func TestAJobPassesTheAgentThatMayNotTakeIt(t *testing.T) {
	restarted := agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobResult: "failed", JobReason: string(signalbox.ReasonAgentRestarted)}
	bubble(t, func(r *replay) {
		job := r.jobsOf("demo", 0, 1)[0]
		first := r.register(agentapi.RegisterRequest{Name: "first"})
		if res := r.say(first, waits); res.JobID != job {
			t.Fatalf("%+v", res)
		}
		r.fetch(first, job)
		restarted.JobID = job
		r.say(first, restarted)
		told := make(chan agentapi.SyncResponse, 1)
		go func() { told <- r.say(first, waits) }()
		synctest.Wait()
		other := r.register(agentapi.RegisterRequest{Name: "other"})
		begin := time.Now()
		if res := r.say(other, waits); res.JobID != job || time.Since(begin) > 10*time.Millisecond {
			t.Errorf("after %s: %+v", time.Since(begin), res)
		}
		if res := <-told; res.Action != agentapi.ActionContinue && res.Action != agentapi.ActionWaitForJobs || res.JobID != "" {
			t.Errorf("%+v", res)
		}
	})
}
