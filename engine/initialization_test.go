package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// TestEveryEndOfAnInitialization takes each way that an initialization job can end, with and without a stop of its
// pipeline, in both orders.
func TestEveryEndOfAnInitialization(t *testing.T) {
	type end struct {
		state  signalbox.JobState
		result signalbox.JobResult
		reason signalbox.Reason
	}
	ends := map[string]end{
		"queued":  {state: signalbox.JobQueued},
		"running": {state: signalbox.JobRunning},
		"passed":  {signalbox.JobFinished, signalbox.JobPassed, ""},
		"failed":  {signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonTest},
		"lost":    {signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonAgentLost},
		"none":    {signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonStartFailed},
		"stopped": {signalbox.JobFinished, signalbox.JobStopped, signalbox.ReasonUser},
		"late":    {signalbox.JobFinished, signalbox.JobStopped, signalbox.ReasonTimeout},
	}
	want := map[string]string{
		"queued":  "initializing | init running",
		"running": "initializing | init running",
		"passed":  "initializing | init done passed",
		"failed":  "initializing | init done failed/test",
		"lost":    "done failed/agent_lost | init done failed/agent_lost",
		"none":    "done failed/start_failed | init done failed/start_failed",
		"stopped": "done stopped/user | init done stopped",
		"late":    "done stopped/timeout | init done stopped/timeout",
	}
	for name, e := range ends {
		for _, stopped := range []bool{false, true} {
			s := State{
				Pipeline: &signalbox.Pipeline{State: signalbox.PipelineInitializing},
				Init:     &signalbox.Block{ID: "init", Kind: signalbox.BlockInit, Index: signalbox.InitIndex, State: signalbox.BlockRunning},
				Jobs:     []*signalbox.Job{{ID: "j", BlockID: "init", State: e.state, Result: e.result, Reason: e.reason, FailureReason: "because"}},
			}
			wanted := want[name]
			if stopped {
				s.Pipeline.Terminate, s.Pipeline.TerminateReason = "stop", signalbox.ReasonUser
				wanted = "done canceled/user | init done stopped/user"
			}
			c := Step(s, now)
			if open := e.state != signalbox.JobFinished; (len(c.Stop) == 1) != (stopped && open) {
				t.Errorf("%s, stopped %v: %d jobs are stopped", name, stopped, len(c.Stop))
			}
			if c.Pipeline != nil {
				s.Pipeline = c.Pipeline
			}
			for _, b := range c.Blocks {
				s.Init = b.Block
			}
			for _, j := range c.Stop {
				j.Job.State, j.Job.Result = signalbox.JobFinished, signalbox.JobStopped
			}
			if got := picture(s); got != wanted {
				t.Errorf("%s, stopped %v:\ngot  %s\nwant %s", name, stopped, got, wanted)
			}
			if d := s.Pipeline.ErrorDescription; (d == "because") != (!stopped && slices.Contains([]string{"lost", "none", "stopped", "late"}, name)) {
				t.Errorf("%s, stopped %v: described as %q", name, stopped, d)
			}
			if again := Step(s, now.Add(time.Hour)); !again.empty() {
				t.Errorf("%s, stopped %v: a second step finds something to do: %+v", name, stopped, again)
			}
		}
	}
}
