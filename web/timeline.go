package web

import (
	"slices"
	"strconv"
	"time"
)

// Measures of the timeline in pixels.
const (
	barsFrom   = 318 // where bars begin
	barsRoom   = 760 // their room
	barsAfter  = 76  // room for the duration right of a bar
	barStep    = 25
	barHeight  = 13
	barsTop    = 28 // room for the scale
	mostBars   = 300
	fewestTick = 4
)

// Timeline is a drawing of when each job of a pipeline waited and ran.
type Timeline struct {
	Width, Height int
	Bands         []timelineBand
	Rows          []timelineRow
	Ticks         []timelineTick
	Now           int    // 0 when nothing runs any more
	WaitedOnIt    string // how long the critical path waited for agents
	Total         string
	Slowest       string
	More          int // jobs that are not drawn
}

type timelineBand struct{ Y, H int }

type timelineTick struct {
	X     int
	Label string
}

type timelineRow struct {
	Y                    int
	Name, Full, URL      string
	Lamp                 Lamp
	WaitX, WaitW         int
	RunX, RunW           int
	Critical             bool
	PathX, PathW         int
	Text                 string
	TextX                int
	Words                string // for those who do not see the bars
	queued, start, ended time.Time
}

// TextY is where the words of a row stand.
func (r timelineRow) TextY() int { return r.Y + 17 }

// BarY is the top of a row's bar.
func (r timelineRow) BarY() int { return r.Y + (barStep-barHeight)/2 }

// PathY is the top of the frame around a bar on the critical path.
func (r timelineRow) PathY() int { return r.BarY() - 2 }

// newTimeline draws the blocks of a pipeline that began at a time; nil when none of its jobs has been queued yet.
func newTimeline(blocks []blockView, begin, end, now time.Time) *Timeline {
	t := &Timeline{Width: barsFrom + barsRoom + barsAfter}
	last := begin
	path := criticalPath(blocks, now)
	on := map[string]bool{}
	var waited time.Duration
	for _, j := range path {
		on[j.URL] = true
		if !j.queued.IsZero() {
			waited += max(0, firstTime(j.started, now).Sub(j.queued))
		}
	}
	var slowest jobView
	y, drawn := barsTop, 0
	for _, b := range blocks {
		bandY := y
		for _, j := range b.Jobs {
			if j.queued.IsZero() || j.reused() {
				continue
			}
			if drawn == mostBars {
				t.More++
				continue
			}
			drawn++
			if begin.IsZero() || j.queued.Before(begin) {
				begin = j.queued
			}
			row := timelineRow{Y: y, Name: fit(j.Name, 250, 12.5), Full: b.Name + " › " + j.Name, URL: j.URL, Lamp: j.Lamp, Critical: on[j.URL], queued: j.queued, start: j.started, ended: j.ended}
			if over := firstTime(j.ended, now); over.After(last) {
				last = over
			}
			if !j.started.IsZero() && j.span(now) > slowest.span(now) {
				slowest = j
			}
			t.Rows = append(t.Rows, row)
			y += barStep
		}
		if y > bandY {
			t.Bands = append(t.Bands, timelineBand{bandY, y - bandY})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	t.Height = y + 8
	span := max(last.Sub(begin), time.Second)
	at := func(when time.Time) int { return barsFrom + int(int64(barsRoom)*int64(when.Sub(begin))/int64(span)) }
	for i := range t.Rows {
		t.Rows[i].draw(at, now)
	}
	t.scale(span)
	if end.IsZero() {
		t.Now = at(now)
		t.Total = clock(now.Sub(begin))
	} else {
		t.Total = clock(end.Sub(begin))
	}
	t.WaitedOnIt = clock(waited)
	if slowest.URL != "" {
		t.Slowest = slowest.Block + " › " + slowest.Name + ", " + clock(slowest.span(now))
	}
	return t
}

func (r *timelineRow) draw(at func(time.Time) int, now time.Time) {
	start, end := firstTime(r.start, firstTime(r.ended, now)), firstTime(r.ended, now)
	r.WaitX = at(r.queued)
	r.WaitW = max(0, at(start)-r.WaitX)
	r.RunX, r.PathX = at(start), r.WaitX-2
	if !r.start.IsZero() {
		r.RunW = max(2, at(end)-r.RunX)
	}
	r.PathW = r.WaitW + r.RunW + 4
	r.TextX = r.RunX + r.RunW + 7
	waited := clock(start.Sub(r.queued))
	if r.start.IsZero() {
		r.Text, r.Words = waited, r.Lamp.Word+", waits for "+waited
		return
	}
	r.Text = clock(end.Sub(r.start))
	r.Words = r.Lamp.Word + ", waited " + waited + ", ran " + r.Text
	if r.Critical {
		r.Words += ", on the critical path"
	}
}

// scale marks round times from the beginning on.
func (t *Timeline) scale(span time.Duration) {
	step := time.Second
	for _, s := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
	} {
		if step = s; span/s <= 2*fewestTick {
			break
		}
	}
	for at := time.Duration(0); at <= span; at += step {
		t.Ticks = append(t.Ticks, timelineTick{barsFrom + int(int64(barsRoom)*int64(at)/int64(span)), clock(at)})
		if len(t.Ticks) > 100 {
			return
		}
	}
}

// criticalPath is the chain of jobs that decided how long the pipeline took: of the block that ended last its last job, then the same of
// the block before that let it start, and so on.
func criticalPath(blocks []blockView, now time.Time) []jobView {
	lastJob := func(b blockView) (jobView, bool) {
		var best jobView
		for _, j := range b.Jobs {
			if !j.queued.IsZero() && !j.reused() && (best.queued.IsZero() || firstTime(j.ended, now).After(firstTime(best.ended, now))) {
				best = j
			}
		}
		return best, !best.queued.IsZero()
	}
	at, when := -1, time.Time{}
	for i, b := range blocks {
		if j, ok := lastJob(b); ok && (at < 0 || firstTime(j.ended, now).After(when)) {
			at, when = i, firstTime(j.ended, now)
		}
	}
	var path []jobView
	seen := map[int]bool{}
	for at >= 0 && !seen[at] {
		seen[at] = true
		if j, ok := lastJob(blocks[at]); ok {
			path = append(path, j)
		}
		next, when := -1, time.Time{}
		for _, d := range blocks[at].Deps {
			if d < 0 || d >= len(blocks) {
				continue
			}
			// A block without jobs of its own, a skipped one, passes the path on.
			j, ok := lastJob(blocks[d])
			if end := firstTime(j.ended, now); next < 0 || ok && end.After(when) {
				next = d
				if ok {
					when = end
				}
			}
		}
		at = next
	}
	slices.Reverse(path)
	return path
}

// reused tells whether the job ran in an earlier pipeline.
func (j jobView) reused() bool { return j.Lamp == lampReused }

// span is how long the job ran.
func (j jobView) span(now time.Time) time.Duration {
	if j.started.IsZero() {
		return 0
	}
	return firstTime(j.ended, now).Sub(j.started)
}

// again says what repeating the failed jobs of a pipeline runs and what it takes over.
func (p *pipelineView) again() (runs []string, kept int) {
	for _, b := range p.Blocks {
		whole := b.whole && b.Lamp != lampPassed
		for _, j := range b.Jobs {
			if !whole && (j.Lamp == lampPassed || j.Lamp == lampReused) {
				kept++
				continue
			}
			if b.Lamp != lampSkipped {
				runs = append(runs, j.Block+" › "+j.Name)
			}
		}
	}
	return runs, kept
}

// counted says a list of names with how many there are.
func counted(names []string, n int) (shown []string, more string) {
	if len(names) <= n {
		return names, ""
	}
	return names[:n], "and " + strconv.Itoa(len(names)-n) + " more"
}
