package fleet_test

import (
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/fleet"
)

func TestQuarantineAndRelease(t *testing.T) {
	onBoth(t, func(y *yard) {
		a := y.agent("one-agent")
		do := func(action fleet.Action, want string) *signalbox.Agent {
			y.Helper()
			out, err := y.f.ChangeAgents(t.Context(), fleet.Selection{Names: []string{a.Name}}, action, "user:ann")
			y.must(err)
			if len(out) != 1 || (out[0].Why != "") != (want != "") {
				y.Fatalf("%s: %+v, want %q", action, out, want)
			}
			return y.row(a.ID)
		}
		do(fleet.Release, "it is not in quarantine")
		g := do(fleet.Quarantine, "")
		if g.QuarantinedAt.IsZero() || g.Quarantine == nil || g.Quarantine.By != "user:ann" {
			t.Fatalf("%+v", g)
		}
		at := g.QuarantinedAt
		time.Sleep(2 * time.Millisecond)
		if g = do(fleet.Quarantine, ""); !g.QuarantinedAt.Equal(at) {
			t.Error("doing it twice moved the time")
		}
		g = do(fleet.Release, "")
		if !g.QuarantinedAt.IsZero() || g.Quarantine != nil || !g.CountsSince.After(at) {
			t.Errorf("released: %+v", g)
		}
	})
}

func TestAMachineThatIsGone(t *testing.T) {
	onBoth(t, func(y *yard) {
		y.must2(y.f.ChangeType(t.Context(), y.typ.Name, func(t *signalbox.AgentType) error { t.Ephemeral = true; return nil }, "user:ann"))
		for action, want := range map[fleet.Action]signalbox.JobState{fleet.Gone: signalbox.JobQueued, fleet.Force: signalbox.JobFinished} {
			a := y.agent("agent-" + string(action))
			j := y.busyJob(a)
			out, err := y.f.ChangeAgents(t.Context(), fleet.Selection{Names: []string{a.Name}}, action, "user:ann")
			y.must(err)
			if got := y.jobRow(j.ID); len(out) != 1 || out[0].Why != "" || got.State != want {
				t.Errorf("%s: %+v, the job is %s %s", action, out, got.State, got.Reason)
			}
			if g := y.row(a.ID); g.GoneAt.IsZero() {
				t.Errorf("%s: the agent is still there", action)
			}
		}
		a := y.agent("idle-agent")
		y.must2(y.f.ChangeAgents(t.Context(), fleet.Selection{Names: []string{a.Name}}, fleet.Gone, "user:ann"))
		if g := y.row(a.ID); g.GoneAt.IsZero() {
			t.Error("an idle agent whose machine is gone is still there")
		}
	})
}
