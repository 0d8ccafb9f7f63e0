package queue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestDesired(t *testing.T) {
	line := func(queued, room int) LineView { return LineView{Line: Line{Room: room}, Queued: queued} }
	for _, c := range []struct {
		name    string
		holding int
		lines   []LineView
		room    int
		want    int
	}{
		{"nothing to do", 0, nil, NoLimit, 0},
		{"only running", 3, nil, NoLimit, 3},
		{"no limits", 2, []LineView{line(5, NoLimit), line(1, NoLimit)}, NoLimit, 8},
		{"a project's limit", 0, []LineView{line(5, 2), line(1, NoLimit)}, NoLimit, 3},
		{"a project without room", 1, []LineView{line(5, 0)}, NoLimit, 1},
		{"a limit of all", 2, []LineView{line(5, NoLimit), line(4, 3)}, 4, 6},
		{"no room at all", 7, []LineView{line(5, NoLimit)}, 0, 7},
		{"more room than jobs", 1, []LineView{line(2, 9)}, 50, 3},
	} {
		if got := Desired(c.holding, c.lines, c.room); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSeenSince(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	if got := SeenSince(start.Add(signalbox.SuspectAfter-time.Second), start); !got.IsZero() {
		t.Errorf("a server that listens for less than %s calls agents silent since %s", signalbox.SuspectAfter, got)
	}
	if got, want := SeenSince(start.Add(time.Hour), start), start.Add(time.Hour-signalbox.SuspectAfter); !got.Equal(want) {
		t.Errorf("silent since %s, want %s", got, want)
	}
}

func TestDemands(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	types := []*signalbox.AgentType{{Name: "s1-linux", MaxRunningJobs: 5}, {Name: "s1-mac"}}
	jobs := []*store.JobCount{
		{AgentType: "s1-gone", ProjectID: "a", Queued: 4, Oldest: now.Add(-time.Minute)},
		{AgentType: "s1-linux", ProjectID: "a", Queued: 10, Running: 2, Oldest: now.Add(-time.Second)},
		{AgentType: "s1-linux", ProjectID: "b", Queued: 3, Offered: 1, Limit: 2, Oldest: now.Add(-time.Hour)},
		{AgentType: "s1-mac", ProjectID: "b", Queued: 3, Running: 1, Limit: 2, Oldest: now},
		{AgentType: "s1-other", ProjectID: "b", Queued: 1, Oldest: now.Add(-time.Second)},
	}
	reg, left := signalbox.AgentRegistered, signalbox.AgentDisconnected
	agents := []*store.AgentCount{
		{AgentType: "s1-linux", State: reg, Agents: 1},
		{AgentType: "s1-linux", State: reg, Busy: true, Agents: 2},
		{AgentType: "s1-linux", State: reg, Busy: true, Silent: true, Agents: 4},
		{AgentType: "s1-linux", State: reg, Silent: true, Agents: 8},
		{AgentType: "s1-linux", State: reg, Quarantined: true, Busy: true, Agents: 256},
		{AgentType: "s1-linux", State: reg, Draining: true, Agents: 16},
		{AgentType: "s1-linux", State: reg, Interrupted: true, Busy: true, Agents: 32},
		{AgentType: "s1-linux", State: reg, Disabled: true, Draining: true, Agents: 64},
		{AgentType: "s1-linux", State: left, Silent: true, Disabled: true, Agents: 128},
	}
	got := demands(now, types, 0, jobs, agents)
	want := []Demand{
		// Project b has no room: its two jobs hold agents of both types.
		{
			AgentType: "s1-linux", Queued: 13, Offered: 1, Running: 2, Desired: 5, Oldest: time.Hour,
			Agents: AgentCount{Free: 1, Busy: 2, Suspect: 12, Draining: 48, Disabled: 64, Aside: 256}, Left: 128, Occupied: 294,
		},
		{AgentType: "s1-mac", Queued: 3, Running: 1, Desired: 1},
		{Queued: 5, Oldest: time.Minute},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for limit, desired := range map[int]int{4: 3, 5: 4, 6: 5, 60: 5} {
		if got := demands(now, types, limit, jobs, agents)[0].Desired; got != desired {
			t.Errorf("with a limit of %d for the organization %d agents of s1-linux are desired, want %d", limit, got, desired)
		}
	}
}
