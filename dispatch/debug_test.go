package dispatch

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// debug lets an agent run a debug job of a new job and returns the id and payload.
func (r *replay) debug(token string, limit time.Duration) (string, agentapi.JobPayload) {
	r.Helper()
	of := r.job()
	if res := r.say(token, waits); res.JobID != of {
		r.Fatalf("%+v", res)
	}
	r.fetch(token, of)
	r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: of, JobResult: "failed"})
	var d *signalbox.Job
	r.write(func(tx *store.Tx) error {
		j, err := tx.Job(of)
		if err != nil {
			return err
		}
		d, err = r.hub.Engine.Debug(tx, j, limit, "user:ann")
		return err
	})
	if res := r.say(token, waits); res.JobID != d.ID {
		r.Fatalf("%+v", res)
	}
	w := r.fetch(token, d.ID)
	var p agentapi.JobPayload
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		r.Fatalf("%d %s", w.Code, w.Body)
	}
	return d.ID, p
}

func TestADebugJobTellsTheAgentWhatItIs(t *testing.T) {
	bubble(t, func(r *replay) {
		_, p := r.debug(r.register(agentapi.RegisterRequest{Name: "one-agent"}), 5*time.Minute)
		if d := cmp.Diff([]agentapi.Command{{Directive: "sleep 300"}}, p.Commands); d != "" {
			t.Error(d)
		}
		if n := len(p.EpilogueAlways) + len(p.EpilogueOnPass) + len(p.EpilogueOnFail); n != 0 {
			t.Errorf("%d epilogues", n)
		}
		if len(p.Files) != 1 || p.Files[0].Path != "commands" || p.Files[0].Mode != "0644" {
			t.Errorf("files %+v", p.Files)
		}
		for _, v := range p.EnvVars {
			if v.Name == "SEMAPHORE_JOB_TYPE" {
				if b, _ := base64.StdEncoding.DecodeString(v.Value); string(b) != "debug_job" {
					t.Errorf("SEMAPHORE_JOB_TYPE is %q", b)
				}
				return
			}
		}
		t.Error("SEMAPHORE_JOB_TYPE is not there")
	})
}

func TestADebugJobEndsAtItsLimit(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		id, _ := r.debug(token, time.Minute)
		running := agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: id}
		if res := r.say(token, running); res.Action != agentapi.ActionContinue {
			t.Fatalf("%+v", res)
		}
		time.Sleep(59 * time.Second)
		if j := r.jobRow(id); j.State != signalbox.JobRunning {
			t.Fatalf("before its limit the session is %s", j.State)
		}
		time.Sleep(time.Second + r.hub.Timing.Sweep)
		if j := r.jobRow(id); j.Result != signalbox.JobStopped || j.Reason != signalbox.ReasonTimeout {
			t.Fatalf("%s after its limit the session is %s %s %s", r.hub.Timing.Sweep, j.State, j.Result, j.Reason)
		}
		if res := r.say(token, running); res.Action != agentapi.ActionStopJob || res.JobID != id {
			t.Errorf("the agent is told %+v", res)
		}
		r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: id, JobResult: "stopped"})
		attempt := r.jobRow(id).AttemptID
		r.write(func(tx *store.Tx) error {
			a, err := tx.Attempt(attempt)
			if err == nil && (a.State != signalbox.AttemptEnded || a.Reason != signalbox.ReasonTimeout) {
				t.Errorf("the attempt is %s %s", a.State, a.Reason)
			}
			return err
		})
	})
}

// The wait of an agent may end before the sweep comes by.
func TestADebugJobWhoseWaitEndedHasUsedUpItsTime(t *testing.T) {
	for _, c := range []struct {
		after  time.Duration
		result signalbox.JobResult
		reason signalbox.Reason
	}{{time.Hour, signalbox.JobStopped, signalbox.ReasonTimeout}, {time.Minute, signalbox.JobPassed, signalbox.ReasonNone}} {
		bubble(t, func(r *replay) {
			token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
			id, _ := r.debug(token, time.Hour)
			for range int(c.after / time.Minute) {
				r.say(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: id})
				time.Sleep(time.Minute)
			}
			r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: id, JobResult: "passed"})
			if j := r.jobRow(id); j.Result != c.result || j.Reason != c.reason {
				t.Errorf("after %s: %s %s", c.after, j.Result, j.Reason)
			}
		})
	}
}
