package fleet

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/store"
)

// TestUsageAgainstMoments looks at random histories moment by moment and holds the sums against that.
func TestUsageAgainstMoments(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	from := time.UnixMilli(1_800_000_000_000)
	const steps, step = 6, 10 * time.Second
	to := from.Add(steps * step)
	some := func() time.Time { return from.Add(time.Duration(rnd.IntN(100)-20) * time.Second) } // also before and after
	for range 300 {
		var agents []*store.AgentTimes
		for range rnd.IntN(6) {
			a := &store.AgentTimes{CreatedAt: some()}
			if rnd.IntN(2) == 0 {
				a.GoneAt = a.CreatedAt.Add(time.Duration(rnd.IntN(60)) * time.Second)
			}
			agents = append(agents, a)
		}
		var jobs []*store.JobTimes
		for range rnd.IntN(12) {
			j := &store.JobTimes{QueuedAt: some()}
			at := j.QueuedAt
			if rnd.IntN(4) > 0 {
				at = at.Add(time.Duration(rnd.IntN(30)) * time.Second)
				j.StartedAt = at
			}
			if rnd.IntN(4) > 0 {
				j.FinishedAt = at.Add(time.Duration(rnd.IntN(30)) * time.Second)
			}
			jobs = append(jobs, j)
		}
		u := usageOf(jobs, agents, from, to, step)
		if len(u.Points) != steps {
			t.Fatalf("%d points", len(u.Points))
		}
		within := func(at, begin, end time.Time) bool {
			return !at.Before(begin) && (end.IsZero() || at.Before(end))
		}
		needed, there, busyHours, agentHours := 0, 0, 0.0, 0.0
		for i, p := range u.Points {
			var want UsagePoint
			for s := range int(step / time.Second) {
				at := from.Add(time.Duration(i)*step + time.Duration(s)*time.Second)
				n, here := 0, 0
				for _, a := range agents {
					if within(at, a.CreatedAt, a.GoneAt) {
						here++
						want.Agents += 0.1
					}
				}
				for _, j := range jobs {
					switch {
					case !j.StartedAt.IsZero() && within(at, j.StartedAt, j.FinishedAt):
						want.Busy += 0.1
						n++
					case within(at, j.QueuedAt, j.FinishedAt) && (j.StartedAt.IsZero() || at.Before(j.StartedAt)):
						want.Waiting += 0.1
						n++
					}
				}
				want.Needed = max(want.Needed, n)
				if n > needed {
					needed, there = n, here
				}
			}
			busyHours, agentHours = busyHours+want.Busy/360, agentHours+want.Agents/360
			near := func(what string, got, want float64) {
				if math.Abs(got-want) > 1e-6 {
					t.Fatalf("step %d: %s %g, want %g\n%+v", i, what, got, want, jobs)
				}
			}
			near("agents", p.Agents, want.Agents)
			near("busy", p.Busy, want.Busy)
			near("waiting", p.Waiting, want.Waiting)
			near("needed", float64(p.Needed), float64(want.Needed))
		}
		if u.Needed != needed || u.There != there || math.Abs(u.BusyHours-busyHours) > 1e-6 || math.Abs(u.AgentHours-agentHours) > 1e-6 {
			t.Fatalf("needed %d, want %d; busy %g, want %g; agents %g, want %g", u.Needed, needed, u.BusyHours, busyHours, u.AgentHours, agentHours)
		}
	}
}

func TestUsageFigures(t *testing.T) {
	from := time.UnixMilli(1_800_000_000_000)
	at := func(seconds int) time.Time { return from.Add(time.Duration(seconds) * time.Second) }
	job := func(queued, started, finished int) *store.JobTimes {
		j := &store.JobTimes{QueuedAt: at(queued)}
		if started != 0 {
			j.StartedAt = at(started)
		}
		if finished != 0 {
			j.FinishedAt = at(finished)
		}
		return j
	}
	jobs := []*store.JobTimes{
		job(-50, -10, 20),              // began before
		job(1, 2, 3), job(10, 14, 100), // one that ends after what is looked at
		job(20, 0, 30),  // stopped in line
		job(30, 32, 0),  // runs
		job(50, 40, 55), // clocks that disagree
		job(58, 0, 0),
	}
	u := usageOf(jobs, []*store.AgentTimes{{CreatedAt: at(-100)}}, from, at(60), 30*time.Second)
	if u.Ended != 5 || u.Started != 4 || u.Half != time.Second || u.Most != 4*time.Second || u.Longest != 4*time.Second {
		t.Errorf("%+v", u)
	}
	if share, known := u.BusyShare(); !known || share != 1 {
		t.Errorf("%g of the time was busy", share) // more jobs than agents: one of them was another agent's that is not known
	}
	none := usageOf(nil, nil, from, at(60), 30*time.Second)
	if _, known := none.BusyShare(); known || len(none.Points) != 2 || none.Needed != 0 {
		t.Errorf("%+v", none)
	}
	for n, want := range map[int]time.Duration{1: 1, 2: 2, 19: 19, 20: 19, 21: 20, 100: 95} {
		var waits []time.Duration
		for i := range n {
			waits = append(waits, time.Duration(i+1))
		}
		if got := quantile(waits, 95); got != want {
			t.Errorf("95 %% of %d: %d, want %d", n, got, want)
		}
	}
}

func TestCoarse(t *testing.T) {
	points := []UsagePoint{{Agents: 1, Busy: 1, Needed: 1}, {Agents: 3, Waiting: 4, Needed: 9}, {Agents: 5, Busy: 2, Needed: 2}}
	if got := Coarse(points, 2); len(got) != 2 || got[0] != (UsagePoint{Agents: 2, Busy: 0.5, Waiting: 2, Needed: 9}) || got[1] != points[2] {
		t.Errorf("%+v", got)
	}
	if got := Coarse(points, 24); len(got) != 3 || got[1] != points[1] {
		t.Errorf("%+v", got)
	}
	if got := Coarse(nil, 24); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestUsageSpans(t *testing.T) {
	for _, s := range UsageSpans {
		if got, err := UsageSpanNamed(s.Name); err != nil || got != s || s.Long%s.Step != 0 {
			t.Errorf("%s: %+v, %v", s.Name, got, err)
		}
	}
	if s, err := UsageSpanNamed(""); err != nil || s.Name != "24h" {
		t.Error(s, err)
	}
	if _, err := UsageSpanNamed("1y"); err == nil || err.Error() != `range is "1y", but it can be 24h or 7d` {
		t.Error(err)
	}
}
