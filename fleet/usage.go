package fleet

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// UsageSpan is a time that usage is asked about, up to now.
type UsageSpan struct {
	Name string        // as addresses and commands have it
	Long time.Duration // a whole number of steps
	Step time.Duration
}

// UsageSpans are those there are; the first is the default.
var UsageSpans = []UsageSpan{
	{"24h", 24 * time.Hour, 15 * time.Minute},
	{"7d", 7 * 24 * time.Hour, time.Hour},
}

// UsageSpanNamed finds a span; "" is the default one, an unknown name is CodeInvalid.
func UsageSpanNamed(name string) (UsageSpan, error) {
	if name == "" {
		return UsageSpans[0], nil
	}
	for _, s := range UsageSpans {
		if s.Name == name {
			return s, nil
		}
	}
	return UsageSpan{}, signalbox.Errorf(signalbox.CodeInvalid, "range is %.40q, but it can be 24h or 7d", name)
}

// Usage is what was asked of an agent type over some time, and how many agents there were for it.
type Usage struct {
	From, To time.Time
	Step     time.Duration
	Points   []UsagePoint
	// Cut tells that more jobs ended than are read; From is then where those that were read begin.
	Cut bool

	Ended    int // jobs
	Projects int // that have any of the jobs
	Started  int // jobs that began on an agent; the waits are theirs
	// Half and 95 % of them had begun within Half and Most of being queued.
	Half, Most, Longest time.Duration

	AgentHours, BusyHours float64 // of all agents and of all jobs together
	// Needed is the largest number of jobs that ran or waited at one moment, so many agents would have kept none waiting.
	Needed   int
	NeededAt time.Time
	There    int // agents that there were then
}

// UsagePoint is one step: how many there were on average, and of jobs that ran or waited the most at one moment.
type UsagePoint struct {
	At                    time.Time // where the step begins
	Agents, Busy, Waiting float64
	Needed                int
}

// BusyShare is the part of the agents' time that jobs took, from 0 to 1; known is false where no agent was there.
func (u *Usage) BusyShare() (share float64, known bool) {
	if u.AgentHours <= 0 {
		return 0, false
	}
	return min(1, u.BusyHours/u.AgentHours), true
}

// mostUsage bounds how many jobs, and how many agents that have left, are read for one type, and mostUsages for all of them together.
const (
	mostUsage  = 100_000
	mostUsages = 40_000
)

// Usage tells how much an agent type was used.
func (f *Fleet) Usage(ctx context.Context, typeName string, span UsageSpan) (u *Usage, err error) {
	err = f.o.Store.Read(ctx, func(tx *store.Tx) error {
		t, err := tx.AgentType(typeName)
		if err != nil {
			return err
		}
		u, err = readUsage(tx, t, span, mostUsage)
		return err
	})
	return u, err
}

// usageKept is how old what Usages tells may be: many look at it, and it is many rows.
const usageKept = time.Minute

// keptUsages is what Usages told last, by span.
type keptUsages struct {
	mu   sync.Mutex
	last map[string]usages
}

type usages struct {
	at  time.Time
	all map[string]*Usage
}

// Usages tells it of all agent types that there are, by name. It is up to a minute old.
func (f *Fleet) Usages(ctx context.Context, span UsageSpan) (map[string]*Usage, error) {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	last := f.kept.last[span.Name]
	if err := f.o.Store.Read(ctx, func(tx *store.Tx) error {
		if old := tx.Now.Sub(last.at); last.all != nil && old >= 0 && old < usageKept {
			return nil
		}
		types, err := tx.AgentTypes()
		if err != nil {
			return err
		}
		all := make(map[string]*Usage, len(types))
		for _, t := range types {
			if all[t.Name], err = readUsage(tx, t, span, max(1, mostUsages/len(types))); err != nil {
				return err
			}
		}
		last = usages{tx.Now, all}
		return nil
	}); err != nil {
		return nil, err
	}
	f.kept.last[span.Name] = last
	return last.all, nil
}

func readUsage(tx *store.Tx, t *signalbox.AgentType, span UsageSpan, n int) (*Usage, error) {
	from := tx.Now.Add(-span.Long)
	ended, open, err := tx.JobTimes(t.Name, from, n)
	if err != nil {
		return nil, err
	}
	agents, err := tx.AgentTimes(t.ID, from, n)
	if err != nil {
		return nil, err
	}
	cut := len(ended) == n && n > 0
	if cut {
		// What ended before the oldest of them is not known, so the steps that hold such a time have no points.
		steps := (ended[n-1].FinishedAt.Sub(from) + span.Step - 1) / span.Step
		from = from.Add(min(steps, span.Long/span.Step-1) * span.Step)
	}
	u := usageOf(append(ended, open...), agents, from, tx.Now, span.Step)
	u.Cut = cut
	return u, nil
}

// usageOf adds up what is known of jobs and agents between two times, in steps that end at the second one.
func usageOf(jobs []*store.JobTimes, agents []*store.AgentTimes, from, to time.Time, step time.Duration) *Usage {
	u := &Usage{From: from, To: to, Step: step, Points: make([]UsagePoint, to.Sub(from)/step)}
	for i := range u.Points {
		u.Points[i].At = from.Add(time.Duration(i) * step)
	}
	var w tally
	var waits []time.Duration
	projects := map[string]bool{}
	for _, a := range agents {
		w.add(a.CreatedAt, orLater(a.GoneAt, to), change{agents: 1})
	}
	for _, j := range jobs {
		projects[j.ProjectID] = true
		end := orLater(j.FinishedAt, to)
		begin := j.StartedAt
		if begin.IsZero() {
			begin = end
		} else {
			w.add(begin, end, change{busy: 1})
		}
		w.add(j.QueuedAt, begin, change{waiting: 1})
		if !j.StartedAt.IsZero() && !begin.Before(from) && begin.Before(to) {
			waits = append(waits, max(0, begin.Sub(j.QueuedAt)))
		}
		if !j.FinishedAt.IsZero() && !j.FinishedAt.Before(from) {
			u.Ended++
		}
	}
	u.Projects = len(projects)
	if u.Started = len(waits); u.Started > 0 {
		slices.Sort(waits)
		u.Half, u.Most, u.Longest = quantile(waits, 50), quantile(waits, 95), waits[len(waits)-1]
	}
	u.sweep(w)
	return u
}

// quantile is the smallest of sorted values that so many percent of them do not exceed.
func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

func orLater(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// change is by how much the numbers change at a moment.
type change struct {
	at                    time.Time
	agents, busy, waiting int
}

type tally []change

// add notes that something was there between two times.
func (w *tally) add(begin, end time.Time, c change) {
	if begin.Before(end) {
		c.at = begin
		*w = append(*w, c, change{end, -c.agents, -c.busy, -c.waiting})
	}
}

// sweep goes through the changes in the order of time and adds up what was there between them, from the first point to the end of the last.
func (u *Usage) sweep(w tally) {
	slices.SortFunc(w, func(a, b change) int { return a.at.Compare(b.at) })
	var now change
	now.at = u.From
	advance := func(to time.Time) {
		for at := now.at; at.Before(to); {
			i := int(at.Sub(u.From) / u.Step)
			if i >= len(u.Points) {
				break
			}
			p := &u.Points[i]
			until := p.At.Add(u.Step)
			if until.After(to) {
				until = to
			}
			long := until.Sub(at)
			p.Agents += float64(now.agents) * float64(long)
			p.Busy += float64(now.busy) * float64(long)
			p.Waiting += float64(now.waiting) * float64(long)
			u.AgentHours += float64(now.agents) * long.Hours()
			u.BusyHours += float64(now.busy) * long.Hours()
			if n := now.busy + now.waiting; n > p.Needed {
				p.Needed = n
				if n > u.Needed {
					u.Needed, u.NeededAt, u.There = n, at, now.agents
				}
			}
			at = until
		}
		now.at = to
	}
	for _, c := range w {
		if c.at.After(now.at) {
			advance(c.at)
		}
		now.agents, now.busy, now.waiting = now.agents+c.agents, now.busy+c.busy, now.waiting+c.waiting
	}
	advance(u.To)
	for i := range u.Points {
		p := &u.Points[i]
		p.Agents, p.Busy, p.Waiting = p.Agents/float64(u.Step), p.Busy/float64(u.Step), p.Waiting/float64(u.Step)
	}
}

// Coarse joins neighbouring points until there are at most n.
func Coarse(points []UsagePoint, n int) (out []UsagePoint) {
	join := max(1, (len(points)+n-1)/n)
	for part := range slices.Chunk(points, join) {
		sum := UsagePoint{At: part[0].At}
		for _, p := range part {
			sum.Agents, sum.Busy, sum.Waiting, sum.Needed = sum.Agents+p.Agents, sum.Busy+p.Busy, sum.Waiting+p.Waiting, max(sum.Needed, p.Needed)
		}
		long := float64(len(part))
		sum.Agents, sum.Busy, sum.Waiting = sum.Agents/long, sum.Busy/long, sum.Waiting/long
		out = append(out, sum)
	}
	return out
}
