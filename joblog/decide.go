package joblog

import "github.com/signalbox-ci/signalbox/store"

// Why events are not there.
const (
	WhyMissing  = "missing"   // they were never pushed; a later push may still bring them
	WhyQuota    = "quota"     // the log had reached its quota
	WhyTooLarge = "too large" // a single event is larger than MaxEvent
	WhyWithheld = "withheld"  // they came when nobody knew any more which secrets might be in them
)

// run is the events from .. to-1.
type run struct{ from, to int64 }

// plan is what one push does to a log.
type plan struct {
	store        []run          // events of the push to be stored, in order
	differing    []run          // events of the push that contradict stored ones
	closed       []store.LogGap // gap rows to remove
	opened       []store.LogGap // gap rows to store
	newlyRefused int            // refused events that were not refused before
	out          Outcome
}

func (p *plan) changed() bool { return len(p.store)+len(p.closed)+len(p.opened) > 0 }

// decide compares a push with a log. next is the log's next index; gaps are those that touch the push or lie between
// the log's end and the push, borders included; stored has the events of the push whose index is stored already, and tells
// whether they are equal to what is stored; refuse is why new events are not stored, "" when they are. An event of the push
// that is nil is too large to be stored.
func decide(next int64, gaps []store.LogGap, from int64, events [][]byte, stored map[int64]bool, refuse string) plan {
	p := plan{out: Outcome{Gap: from > next, OverQuota: refuse == WhyQuota}}
	g := gapEdit{before: gaps, after: append([]store.LogGap(nil), gaps...)}
	if from > next {
		g.add(next, from, WhyMissing)
	}
	for i, event := range events {
		n := from + int64(i)
		equal, isStored := stored[n]
		switch {
		case isStored && equal:
			p.out.Duplicate++
		case isStored:
			p.out.Differing++
			p.differing = extend(p.differing, n)
		case refuse != "" || event == nil:
			p.out.Refused++
			if n < next {
				break // it lies in a gap, which stays as it is
			}
			if refuse != "" {
				p.newlyRefused++
				g.add(n, n+1, refuse)
			} else {
				g.add(n, n+1, WhyTooLarge)
			}
		default:
			p.out.Stored++
			p.store = extend(p.store, n)
			if n < next {
				g.fill(n)
			}
		}
	}
	p.closed, p.opened = g.diff()
	return p
}

// extend adds the next index to a list of runs.
func extend(runs []run, n int64) []run {
	if k := len(runs); k > 0 && runs[k-1].to == n {
		runs[k-1].to++
		return runs
	}
	return append(runs, run{n, n + 1})
}

// gapEdit changes a sorted list of gaps.
type gapEdit struct{ before, after []store.LogGap }

// add appends a gap at the end of the log, joined with the last one when it goes on for the same reason.
func (g *gapEdit) add(from, to int64, why string) {
	if k := len(g.after); k > 0 && g.after[k-1].To == from && g.after[k-1].Why == why {
		g.after[k-1].To = to
		return
	}
	g.after = append(g.after, store.LogGap{From: from, To: to, Why: why})
}

// fill takes one event out of the gap that it lies in.
func (g *gapEdit) fill(n int64) {
	for i, old := range g.after {
		if n < old.From || n >= old.To {
			continue
		}
		left, right := old, old
		left.To, right.From = n, n+1
		var parts []store.LogGap
		if left.From < left.To {
			parts = append(parts, left)
		}
		if right.From < right.To {
			parts = append(parts, right)
		}
		g.after = append(g.after[:i:i], append(parts, g.after[i+1:]...)...)
		return
	}
}

// diff returns the rows that differ between before and after.
func (g *gapEdit) diff() (removed, added []store.LogGap) {
	has := func(list []store.LogGap, x store.LogGap) bool {
		for _, y := range list {
			if x.From == y.From && x.To == y.To && x.Why == y.Why {
				return true
			}
		}
		return false
	}
	for _, x := range g.before {
		if !has(g.after, x) {
			removed = append(removed, x)
		}
	}
	for _, x := range g.after {
		if !has(g.before, x) {
			added = append(added, x)
		}
	}
	return removed, added
}
