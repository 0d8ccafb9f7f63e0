package web

import (
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

var begin = time.Date(2026, 11, 3, 14, 0, 0, 0, time.UTC)

// ran makes a job that was queued, started and ended so many seconds after the beginning; -1 is not yet.
func ran(block, name string, queued, started, ended int) jobView {
	at := func(s int) time.Time {
		if s < 0 {
			return time.Time{}
		}
		return begin.Add(time.Duration(s) * time.Second)
	}
	j := jobView{Name: name, Block: block, URL: "/jobs/" + name, Lamp: lampPassed, queued: at(queued), started: at(started), ended: at(ended)}
	switch {
	case started < 0:
		j.Lamp = lampQueued
	case ended < 0:
		j.Lamp = lampRunning
	}
	return j
}

func TestCriticalPath(t *testing.T) {
	skipped := blockView{Name: "Docs", Lamp: lampSkipped, Deps: []int{0}}
	reused := ran("Old", "reused", 0, 0, 900)
	reused.Lamp = lampReused
	for _, c := range []struct {
		name   string
		blocks []blockView
		want   string
	}{
		{"nothing", nil, ""},
		{"nothing has been queued", []blockView{{Jobs: []jobView{{Name: "a"}}}}, ""},
		{"the last job of each block", []blockView{
			{Jobs: []jobView{ran("A", "a1", 0, 1, 10), ran("A", "a2", 0, 2, 20)}},
			{Deps: []int{0}, Jobs: []jobView{ran("B", "b1", 20, 21, 50), ran("B", "b2", 20, 40, 45)}},
		}, "a2 b1"},
		{"the slower of two ways", []blockView{
			{Jobs: []jobView{ran("A", "a", 0, 1, 10)}},
			{Jobs: []jobView{ran("B", "b", 0, 1, 30)}},
			{Deps: []int{0, 1}, Jobs: []jobView{ran("C", "c", 30, 31, 40)}},
		}, "b c"},
		{"what runs goes on until now", []blockView{
			{Jobs: []jobView{ran("A", "a", 0, 1, 10)}},
			{Deps: []int{0}, Jobs: []jobView{ran("B", "b", 10, 11, 90)}},
			{Deps: []int{0}, Jobs: []jobView{ran("C", "c", 10, -1, -1)}},
		}, "a c"},
		{"through a skipped block", []blockView{
			{Jobs: []jobView{ran("A", "a", 0, 1, 10)}},
			skipped,
			{Deps: []int{1}, Jobs: []jobView{ran("C", "c", 10, 11, 20)}},
		}, "a c"},
		{"not over what ran in an earlier pipeline", []blockView{
			{Jobs: []jobView{reused}},
			{Deps: []int{0}, Jobs: []jobView{ran("B", "b", 0, 1, 2)}},
		}, "b"},
		{"a circle ends", []blockView{{Deps: []int{1}, Jobs: []jobView{ran("A", "a", 0, 1, 10)}}, {Deps: []int{0, 7, -1}, Jobs: []jobView{ran("B", "b", 0, 1, 5)}}}, "b a"},
	} {
		var got []string
		for _, j := range criticalPath(c.blocks, begin.Add(100*time.Second)) {
			got = append(got, j.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

func TestTimeline(t *testing.T) {
	blocks := []blockView{
		{Name: "A", Jobs: []jobView{ran("A", "a", 0, 10, 40)}},
		{Name: "B", Deps: []int{0}, Jobs: []jobView{ran("B", "b", 40, 60, -1), ran("B", "c", 40, -1, -1), {Name: "not made yet"}}},
	}
	now := begin.Add(100 * time.Second)
	l := newTimeline(blocks, begin, time.Time{}, now)
	if len(l.Rows) != 3 || len(l.Bands) != 2 || l.Total != "1:40" || l.WaitedOnIt != "0:30" || l.Slowest != "B › b, 0:40" {
		t.Fatalf("%d rows, %d bands, total %s, waited %s, slowest %s", len(l.Rows), len(l.Bands), l.Total, l.WaitedOnIt, l.Slowest)
	}
	a, b, c := l.Rows[0], l.Rows[1], l.Rows[2]
	if a.WaitX != barsFrom || a.WaitW != 76 || a.RunX != barsFrom+76 || a.RunW != 228 || !a.Critical || a.Words != "Passed, waited 0:10, ran 0:30, on the critical path" {
		t.Errorf("a is drawn as %+v", a)
	}
	if !b.Critical || b.RunX+b.RunW != barsFrom+barsRoom || b.Text != "0:40" || l.Now != barsFrom+barsRoom {
		t.Errorf("b is drawn as %+v, now %d", b, l.Now)
	}
	if c.RunW != 0 || c.WaitW != 456 || c.Critical || c.Words != "Waiting for an agent, waits for 1:00" {
		t.Errorf("c is drawn as %+v", c)
	}
	if n := len(l.Ticks); n < fewestTick || n > 2*fewestTick+1 || l.Ticks[1].Label != "0:30" {
		t.Errorf("the scale is %+v", l.Ticks)
	}
	if newTimeline([]blockView{{Jobs: []jobView{{Name: "x"}}}}, begin, time.Time{}, now) != nil {
		t.Error("a pipeline without a queued job has a timeline")
	}
	many := blockView{Name: "many"}
	for range mostBars + 7 {
		many.Jobs = append(many.Jobs, ran("many", "j", 0, 1, 2))
	}
	if l := newTimeline([]blockView{many}, begin, begin.Add(2*time.Second), now); l.More != 7 || len(l.Rows) != mostBars || l.Now != 0 || l.Total != "0:02" {
		t.Errorf("%d rows, %d more, now %d, total %s", len(l.Rows), l.More, l.Now, l.Total)
	}
}

func TestAgain(t *testing.T) {
	job := func(name string, l Lamp) jobView { return jobView{Name: name, Block: "B", Lamp: l} }
	p := pipelineView{Blocks: []blockView{
		{Lamp: lampPassed, Jobs: []jobView{job("a", lampPassed), job("b", lampReused)}},
		{Lamp: lampFailed, Jobs: []jobView{job("c", lampPassed), job("d", lampFailed), job("e", lampInfra)}},
		{Lamp: lampCanceled, Jobs: []jobView{job("f", lampCanceled)}},
		{Lamp: lampSkipped, Jobs: []jobView{job("g", lampSkipped)}},
	}}
	if runs, kept := p.again(); strings.Join(runs, ", ") != "B › d, B › e, B › f" || kept != 3 {
		t.Errorf("by jobs %v run again and %d are kept", runs, kept)
	}
	p.Blocks[1].whole = true
	if runs, kept := p.again(); strings.Join(runs, ", ") != "B › c, B › d, B › e, B › f" || kept != 2 {
		t.Errorf("by blocks %v run again and %d are kept", runs, kept)
	}
}

// How a pipeline ended that was repeated is history: the repeat counts.
func TestARepeatedPipelineDoesNotCount(t *testing.T) {
	done := func(id, of string, r signalbox.Result) *signalbox.Pipeline {
		return &signalbox.Pipeline{ID: id, State: signalbox.PipelineDone, Result: r, Reason: signalbox.ReasonTest, Origin: signalbox.Origin{RerunOf: of}}
	}
	failed, passed := done("a", "", signalbox.ResultFailed), done("b", "a", signalbox.ResultPassed)
	if l := workflowLamp([]*signalbox.Pipeline{failed, passed}); l != lampPassed {
		t.Errorf("failed, then repeated and passed is %v", l)
	}
	if l := workflowLamp([]*signalbox.Pipeline{failed, passed, done("c", "b", signalbox.ResultFailed)}); l != lampFailed {
		t.Errorf("repeated twice and failed at last is %v", l)
	}
	if l := workflowLamp([]*signalbox.Pipeline{failed, done("promoted", "", signalbox.ResultPassed)}); l != lampFailed {
		t.Errorf("failed with another that passed is %v", l)
	}
}
