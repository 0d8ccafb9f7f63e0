package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

var noon = time.UnixMilli(1_700_000_000_000).UTC()

func (v Verdict) String() string {
	return fmt.Sprintf("%s|%s %s %s|%s %s", v.Deed, v.Action, v.JobID, v.Shutdown, v.Result, v.Reason)
}

func TestDecide(t *testing.T) {
	free := func(change func(*signalbox.Agent)) View {
		a := &signalbox.Agent{ID: "a"}
		if change != nil {
			change(a)
		}
		return View{Agent: a, Limits: Timing{}.withDefaults()}
	}
	busy := func(state signalbox.AttemptState, change func(*signalbox.Agent, *signalbox.Attempt)) View {
		v := free(nil)
		v.Attempt = &signalbox.Attempt{ID: "at", JobID: "j", State: state}
		v.Agent.AttemptID, v.Agent.JobID = "at", "j"
		if change != nil {
			change(v.Agent, v.Attempt)
		}
		return v
	}
	disabled := func(a *signalbox.Agent) { a.DisabledAt = noon }
	interrupted := func(a *signalbox.Agent) { a.InterruptedAt, a.GracePeriod = noon.Add(-5*time.Second), 10*time.Second }
	waiting := agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
	running := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: "j"}
	finished := func(result string) agentapi.SyncRequest {
		return agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: "j", JobResult: result}
	}
	because := func(result, reason string) agentapi.SyncRequest {
		r := finished(result)
		r.JobReason = reason
		return r
	}
	with := func(v View, change func(*View)) View { change(&v); return v }

	for _, c := range []struct {
		name string
		view View
		req  agentapi.SyncRequest
		want string
	}{
		{"free agent waits", free(nil), waiting, "hold|continue  |"},
		{"disabled free agent goes", free(disabled), waiting, "|shutdown  requested|"},
		{"interrupted free agent goes", free(interrupted), waiting, "|shutdown  interrupted|"},
		{"single-job agent goes after its job", free(func(a *signalbox.Agent) { a.SingleJob, a.DrainAt = true, noon }), waiting, "|shutdown  job-finished|"},
		{"draining agent goes", free(func(a *signalbox.Agent) { a.DrainAt = noon }), waiting, "|shutdown  requested|"},
		{
			"idle agent is retired before it is told", with(free(func(a *signalbox.Agent) { a.IdleTimeout = time.Minute }), func(v *View) { v.Idle = time.Minute }),
			waiting, "retire|shutdown  idle|",
		},
		{
			"not idle for long enough", with(free(func(a *signalbox.Agent) { a.IdleTimeout = time.Minute }), func(v *View) { v.Idle = 59 * time.Second }),
			waiting, "hold|continue  |",
		},
		{"a lost run-job answer is given again", busy(signalbox.AttemptOffered, nil), waiting, "|run-job j |"},
		{
			"a leaving agent gets no offer", busy(signalbox.AttemptOffered, func(a *signalbox.Agent, _ *signalbox.Attempt) { disabled(a) }), waiting,
			"withdraw|shutdown  requested|",
		},
		{
			"a job beats the idle timeout", busy(signalbox.AttemptOffered, func(a *signalbox.Agent, _ *signalbox.Attempt) { a.IdleTimeout = time.Nanosecond }),
			waiting, "|run-job j |",
		},
		{"one waiting sync does not end a running job", busy(signalbox.AttemptRunning, nil), waiting, "|continue  |"},
		{
			"waiting on and on means that it forgot", with(busy(signalbox.AttemptRunning, nil), func(v *View) { v.Forgot = 20 * time.Second }),
			waiting, "forgotten|continue  | agent_restarted",
		},

		{"starting", busy(signalbox.AttemptFetched, nil), agentapi.SyncRequest{State: agentapi.StateStartingJob, JobID: "j"}, "|continue  |"},
		{
			"never stop-job while starting",
			busy(signalbox.AttemptFetched, func(a *signalbox.Agent, at *signalbox.Attempt) { disabled(a); at.StopRequestedAt = noon }),
			agentapi.SyncRequest{State: agentapi.StateStartingJob, JobID: "j"},
			"|continue  |",
		},
		{"stopping", busy(signalbox.AttemptRunning, nil), agentapi.SyncRequest{State: agentapi.StateStoppingJob, JobID: "j"}, "|continue  |"},

		{"first running sync", busy(signalbox.AttemptFetched, nil), running, "running|continue  |"},
		{"running what was only offered", busy(signalbox.AttemptOffered, nil), running, "fetched|continue  |"},
		{"running", busy(signalbox.AttemptRunning, nil), running, "hold busy|continue  |"},
		{
			"stop requested", busy(signalbox.AttemptRunning, func(_ *signalbox.Agent, at *signalbox.Attempt) { at.StopRequestedAt = noon }),
			running, "|stop-job j |",
		},
		{"disabled while running", busy(signalbox.AttemptRunning, func(a *signalbox.Agent, _ *signalbox.Attempt) { disabled(a) }), running, "|stop-job j |"},
		{"within the grace period", busy(signalbox.AttemptRunning, func(a *signalbox.Agent, _ *signalbox.Attempt) { interrupted(a) }), running, "hold busy|continue  |"},
		{
			"grace period over",
			busy(signalbox.AttemptRunning, func(a *signalbox.Agent, _ *signalbox.Attempt) { interrupted(a); a.GracePeriod = 5 * time.Second }),
			running, "|stop-job j |",
		},
		{"running a job that is over", free(nil), running, "|stop-job j |"},
		{"running another job", busy(signalbox.AttemptRunning, nil), agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: "k"}, "|stop-job k |"},

		{"passed", busy(signalbox.AttemptRunning, nil), finished("passed"), "finish|wait-for-jobs  |passed"},
		{"failed", busy(signalbox.AttemptRunning, nil), finished("failed"), "finish|wait-for-jobs  |failed test"},
		{"without a result", busy(signalbox.AttemptRunning, nil), finished(""), "finish|wait-for-jobs  |failed test"},
		{"failed without ever reading the payload", busy(signalbox.AttemptOffered, nil), finished("failed"), "finish|wait-for-jobs  |failed start_failed"},
		{"no image", busy(signalbox.AttemptRunning, nil), because("failed", "image_pull"), "finish|wait-for-jobs  |failed image_pull"},
		{"no shell", busy(signalbox.AttemptRunning, nil), because("failed", "agent_error"), "finish|wait-for-jobs  |failed agent_error"},
		{"restarted and found its job", busy(signalbox.AttemptRunning, nil), because("failed", "agent_restarted"), "finish|wait-for-jobs  |failed agent_restarted"},
		{"could not start", busy(signalbox.AttemptFetched, nil), because("failed", "start_failed"), "finish|wait-for-jobs  |failed start_failed"},
		{"its reason beats the guess from the state", busy(signalbox.AttemptOffered, nil), because("failed", "agent_error"), "finish|wait-for-jobs  |failed agent_error"},
		{"a reason that is not its to give", busy(signalbox.AttemptRunning, nil), because("failed", "agent_lost"), "finish|wait-for-jobs  |failed test"},
		{"a reason of no list", busy(signalbox.AttemptRunning, nil), because("failed", "<b>moon phase</b>"), "finish|wait-for-jobs  |failed test"},
		{"no reason for a success", busy(signalbox.AttemptRunning, nil), because("passed", "agent_error"), "finish|wait-for-jobs  |passed"},
		{"no reason for a stop", busy(signalbox.AttemptRunning, nil), because("stopped", "agent_error"), "finish|wait-for-jobs  |stopped"},
		{"a reason without a result", busy(signalbox.AttemptRunning, nil), because("", "image_pull"), "finish|wait-for-jobs  |failed image_pull"},
		{"stopped by itself", busy(signalbox.AttemptRunning, nil), finished("stopped"), "finish|wait-for-jobs  |stopped"},
		{
			"stopped by the end of the grace period", busy(signalbox.AttemptRunning, func(a *signalbox.Agent, _ *signalbox.Attempt) { interrupted(a) }),
			finished("stopped"), "finish|shutdown  interrupted|stopped interrupted",
		},
		{
			"single job", busy(signalbox.AttemptRunning, func(a *signalbox.Agent, _ *signalbox.Attempt) { a.SingleJob = true }),
			finished("passed"), "finish|shutdown  job-finished|passed",
		},
		{
			"old agent that could not fetch", busy(signalbox.AttemptOffered, nil),
			agentapi.SyncRequest{State: agentapi.StateFailedToFetchJob},
			"finish|wait-for-jobs  |failed start_failed",
		},
		{"finish of somebody else's job", busy(signalbox.AttemptRunning, nil), agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: "k", JobResult: "passed"}, "late|wait-for-jobs  |passed"},
		{"finish said twice", free(nil), finished("passed"), "late|wait-for-jobs  |passed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := Decide(c.view, c.req, noon)
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if got := trim(v.String()); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	for _, req := range []agentapi.SyncRequest{{State: "dancing"}, {State: ""}, finished("exploded")} {
		if _, err := Decide(free(nil), req, noon); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

func trim(s string) string {
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}
