package queue

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

var now = time.UnixMilli(1_700_000_000_000).UTC()

func agentAt(name string, seen time.Duration, change func(*signalbox.Agent)) AgentView {
	a := &signalbox.Agent{Name: name, State: signalbox.AgentRegistered}
	if change != nil {
		change(a)
	}
	return AgentView{Agent: a, Seen: now.Add(-seen)}
}

func busy(name string) AgentView {
	return agentAt(name, 0, func(a *signalbox.Agent) { a.AttemptID = "x" })
}

func TestExplain(t *testing.T) {
	linux := &signalbox.AgentType{Name: "s1-linux"}
	line := func(project string, running, queued int) LineView {
		return LineView{Line: Line{ProjectID: project, Running: running, Room: NoLimit}, Queued: queued}
	}
	base := func(change func(*Snapshot)) Snapshot {
		s := Snapshot{
			Now: now, Job: &signalbox.Job{ID: "j", ProjectID: "a", AgentType: "s1-linux", State: signalbox.JobQueued}, Agent: "box", Type: linux,
			Lines: []LineView{line("a", 0, 1)}, Agents: []AgentView{busy("one")},
			Limits: []Limit{{"project", "demo", 0, 5}, {"agent_type", "s1-linux", 0, 5}, {"organization", "", 0, 5}},
		}
		change(&s)
		return s
	}
	for _, c := range []struct {
		name    string
		s       Snapshot
		want    string
		blocked bool
	}{
		{"it runs", base(func(s *Snapshot) { s.Job.State = signalbox.JobRunning }), "The job does not wait: it runs on agent box.", false},
		{"it is offered", base(func(s *Snapshot) { s.Job.State = signalbox.JobOffered }), "Agent box was offered the job and is about to fetch it.", false},
		{
			"it has ended", base(func(s *Snapshot) { s.Job.State, s.Job.Result = signalbox.JobFinished, signalbox.JobFailed }),
			"The job does not wait: it has ended and is failed.", false,
		},
		{
			"no such type", base(func(s *Snapshot) { s.Type, s.Types = nil, []string{"s1-mac", "s1-win"} }),
			"No agent can take the job: there is no agent type s1-linux. There is s1-mac, s1-win.", true,
		},
		{"no agents ever", base(func(s *Snapshot) { s.Agents = nil }), "No agent can take the job: no agent of type s1-linux was ever connected.", true},
		{
			"no agents any more", base(func(s *Snapshot) { s.Agents, s.Gone = nil, now.Add(-3*time.Hour) }),
			"No agent can take the job: no agent of type s1-linux is connected; the last one went 3 hours ago.", true,
		},
		{"nobody takes jobs", base(func(s *Snapshot) {
			s.Agents = []AgentView{
				agentAt("a", 0, func(a *signalbox.Agent) { a.DisabledAt = now }), agentAt("b", 0, func(a *signalbox.Agent) { a.DrainAt = now }),
				agentAt("c", time.Hour, nil), agentAt("d", 0, func(a *signalbox.Agent) { a.State = signalbox.AgentDisconnected }),
			}
		}), "No agent can take the job: of those of type s1-linux 1 is taking no new jobs, 1 is disabled, 2 are silent.", true},
		{
			"quarantine", base(func(s *Snapshot) {
				s.Agents = []AgentView{agentAt("a", 0, func(a *signalbox.Agent) { a.QuarantinedAt = now })}
			}), "No agent can take the job: of those of type s1-linux 1 is in quarantine.", true,
		},
		{
			"the server has just started", base(func(s *Snapshot) {
				s.Server = now.Add(-10 * time.Second)
				s.Agents = []AgentView{agentAt("a", time.Hour, nil), agentAt("b", 11*time.Second, nil)}
			}), "The server started 10 seconds ago: 2 agents of type s1-linux are to come back.", false,
		},
		{
			"the server started a minute ago", base(func(s *Snapshot) {
				s.Server = now.Add(-time.Minute)
				s.Agents = []AgentView{agentAt("a", time.Hour, nil)}
			}), "No agent can take the job: of those of type s1-linux 1 is silent.", true,
		},
		{
			"one has come back", base(func(s *Snapshot) {
				s.Server = now.Add(-10 * time.Second)
				s.Agents = []AgentView{agentAt("a", time.Hour, nil), agentAt("b", time.Second, nil)}
			}), "An agent of type s1-linux is free; the job is about to be offered.", false,
		},
		{
			"the limit of its project", base(func(s *Snapshot) { s.Limits[0].Limit = 5 }),
			"The job waits for room: project demo may run 5 jobs at once and runs 5.", false,
		},
		{
			"a limit with room", base(func(s *Snapshot) { s.Limits[0].Limit = 6 }),
			"Number 1 of 1 in line for an agent of type s1-linux: the only one that is connected is busy.", false,
		},
		{
			"the limit of all", base(func(s *Snapshot) { s.Limits[2].Limit = 1 }),
			"The job waits for room: the organization may run 1 job at once and runs 5.", false,
		},
		{
			"an agent is free", base(func(s *Snapshot) { s.Agents = append(s.Agents, agentAt("two", 0, nil)) }),
			"An agent of type s1-linux is free; the job is about to be offered.", false,
		},
		{
			"behind others", base(func(s *Snapshot) {
				s.Ahead, s.Lines = 1, []LineView{line("a", 0, 2), line("b", 0, 9)}
				s.Lines[0].Turn, s.Lines[1].Turn = 2, 1
				s.Agents = []AgentView{busy("one"), busy("two")}
			}), "Number 4 of 11 in line for an agent of type s1-linux: all 2 are busy.", false,
		},
	} {
		e := Explain(c.s)
		if e.Text != c.want || e.Blocked != c.blocked {
			t.Errorf("%s:\n got %s %v\nwant %s %v", c.name, e.Text, e.Blocked, c.want, c.blocked)
		}
	}
	e := Explain(base(func(s *Snapshot) {
		s.Agents = append(s.Agents, agentAt("x", 0, func(a *signalbox.Agent) { a.DrainAt = now }))
	}))
	low := []signalbox.Problem{{Code: "disk_low", Detail: "1 GB is free"}}
	troubled := Explain(base(func(s *Snapshot) {
		s.Agents = []AgentView{
			agentAt("well", 0, nil), agentAt("able", 0, func(a *signalbox.Agent) { a.Problems = low }),
			agentAt("not", 61*time.Second, func(a *signalbox.Agent) { a.Problems = low }),
		}
	}))
	if len(troubled.Problems) != 1 || troubled.Problems[0] != (Almost{"able", "1 GB is free"}) || troubled.Agents.Free != 2 ||
		len(troubled.Almost) != 1 || !strings.HasSuffix(troubled.Almost[0].Missing, "it has problems: 1 GB is free") {
		t.Errorf("%+v", troubled)
	}
	if len(e.Almost) != 1 || e.Almost[0].Agent != "x" || e.Almost[0].Missing == "" || e.Agents.Draining != 1 {
		t.Errorf("%+v", e)
	}
}

// TestPositionIsTheOrderOfAssign gives every job of a random queue its position by arithmetic and by handing all jobs out.
func TestPositionIsTheOrderOfAssign(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 3))
	for range 3000 {
		v := randomQueue(r)
		v.Room = NoLimit
		total := 0
		var views []LineView
		for i := range v.Lines {
			l := &v.Lines[i]
			l.Room = NoLimit
			total += len(l.Jobs)
			if len(l.Jobs) > 0 {
				views = append(views, LineView{Line: *l, Queued: len(l.Jobs)})
			}
		}
		order := map[string]int{}
		for i, p := range Assign(v, total, nil) {
			order[p.Job.ID] = i + 1
		}
		for _, l := range v.Lines {
			for ahead, j := range l.Jobs {
				s := Snapshot{Job: &signalbox.Job{ProjectID: l.ProjectID}, Lines: views, Ahead: ahead}
				if got := position(s); got != order[j.ID] {
					t.Fatalf("seed %d: %s is number %d, but said to be %d: %+v", seed, j.ID, order[j.ID], got, views)
				}
			}
		}
	}
}

func TestExpectedStart(t *testing.T) {
	ran := func(n int) (out []time.Duration) {
		for range n {
			out = append(out, 10*time.Minute)
		}
		return out
	}
	s := Snapshot{
		Now: now, Job: &signalbox.Job{ProjectID: "a", AgentType: "s1-linux", State: signalbox.JobQueued}, Type: &signalbox.AgentType{},
		Agents: []AgentView{busy("one"), busy("two")}, Started: []time.Time{now.Add(-9 * time.Minute), now.Add(-4 * time.Minute)},
		Lines: []LineView{{Line: Line{ProjectID: "a", Room: NoLimit}, Queued: 9}}, RanFor: append(ran(20), time.Hour, time.Second),
	}
	for ahead, want := range []time.Duration{time.Minute, 6 * time.Minute, 11 * time.Minute, 16 * time.Minute, 21 * time.Minute} {
		s.Ahead = ahead
		if e := Explain(s); e.Expected.Sub(now) != want {
			t.Errorf("%d ahead: in %s, want %s", ahead, e.Expected.Sub(now), want)
		}
	}
	s.Ahead, s.Started[0] = 0, now.Add(-time.Hour)
	if e := Explain(s); !e.Expected.Equal(now) {
		t.Errorf("with a job that takes longer than usual: %s", e.Expected)
	}
	for name, change := range map[string]func(*Snapshot){
		"too few jobs":  func(s *Snapshot) { s.RanFor = ran(9) },
		"no agents":     func(s *Snapshot) { s.Agents = nil },
		"held by limit": func(s *Snapshot) { s.Limits = []Limit{{"project", "demo", 1, 1}} },
		"instant jobs": func(s *Snapshot) {
			s.RanFor, s.Ahead = make([]time.Duration, 20), 500
			s.Started[0], s.Started[1] = now, now
		},
	} {
		o := s
		o.Started = append([]time.Time(nil), s.Started...)
		change(&o)
		if e := Explain(o); e.Expected.IsZero() == (name == "instant jobs") {
			t.Errorf("%s: expected at %s", name, e.Expected)
		}
	}
}

func TestAgoHasOneUnit(t *testing.T) {
	var got string
	for _, d := range []time.Duration{time.Second, 59 * time.Second, time.Minute, 90 * time.Minute, 47 * time.Hour, 49 * time.Hour} {
		got += fmt.Sprintln(ago(d))
	}
	if want := "1 second ago\n59 seconds ago\n1 minute ago\n1 hour ago\n47 hours ago\n2 days ago\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
