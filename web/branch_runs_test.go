package web

import (
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

func TestBranchRuns(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	run := func(result signalbox.Result, took time.Duration) []*signalbox.Pipeline {
		p := &signalbox.Pipeline{ID: "p", State: signalbox.PipelineDone, Result: result, RunningAt: now.Add(-took), DoneAt: now}
		if result == signalbox.ResultFailed {
			p.Reason = signalbox.ReasonTest
		}
		return []*signalbox.Pipeline{p}
	}
	running := []*signalbox.Pipeline{{State: signalbox.PipelineRunning, RunningAt: now.Add(-time.Hour)}}
	repeated := append(run(failed, time.Minute), &signalbox.Pipeline{ID: "q", State: signalbox.PipelineDone, Result: passed, Origin: signalbox.Origin{RerunOf: "p"}, RunningAt: now, DoneAt: now.Add(time.Minute)})
	r := newBranchRuns([][]*signalbox.Pipeline{nil, run(passed, time.Minute), run(failed, 2*time.Minute), run(stopped, time.Second), repeated, running}, now)
	want := branchRuns{
		Ended: 3, Passed: 2, Percent: 66, Median: "1:30", Green: "M3.5 22v-14h4v14zM21.5 22v-22h4v22z", Red: "M9.5 22v-22h4v22z", Grey: "M15.5 22v-5h4v5z",
	}
	if *r != want {
		t.Errorf("%+v, want %+v", *r, want)
	}
	if r.Words() != "2 of 3 passed" {
		t.Error(r.Words())
	}
	var many [][]*signalbox.Pipeline
	for range 40 {
		many = append(many, run(passed, time.Minute))
	}
	if r := newBranchRuns(many, now); r.Ended != 40 || strings.Count(r.Green, "M") != runsDrawn {
		t.Errorf("%+v", r)
	}
}

func TestRunsOnPages(t *testing.T) {
	s := newSite(t)
	p, other := s.project("parcel-api"), s.project("dispatch-web")
	s.ended(s.workflow(p, "main", "One"), passed)
	s.ended(s.workflow(p, "main", "Two"), failed)
	s.ended(s.workflow(p, "topic", "Three"), passed)
	s.workflow(p, "main", "Four")
	s.says("/projects", []string{">1 of 2 passed<", `<path class="g" d="M`, `<path class="f" d="M`}, []string{"of 3 passed"})
	s.says("/projects/parcel-api", []string{`id="trunk"`, "<dt>Green on main</dt><dd>50\u00a0% <small>of the last 2", "Preparing</a>"}, nil)
	s.says("/projects/parcel-api/branches", []string{">1 of 2 passed<", ">1 of 1 passed<"}, nil)
	s.says("/projects/dispatch-web", nil, []string{`id="trunk"`})
	s.workflow(other, "main", "First")
	s.says("/projects/dispatch-web", []string{"<small>none has ended</small>", "<dt>Median run on main</dt><dd>--:--</dd>"}, nil)
}

func TestKeysToNeighbours(t *testing.T) {
	s := newBusySite(t)
	first, second := s.site.workflow(s.project, "keys", "One"), s.site.workflow(s.project, "keys", "Two")
	s.site.workflow(s.project, "other", "Three")
	to := func(wf *signalbox.Workflow, rel, key string) string {
		return `<a class="link" href="/workflows/` + wf.ID + `" rel="` + rel + `" data-key="` + key + `">`
	}
	s.says("/workflows/"+first.ID, []string{to(second, "next", "]")}, []string{`data-key="["`})
	s.says("/workflows/"+second.ID, []string{to(first, "prev", "[")}, []string{`data-key="]"`})

	blocks := withKeys([]blockView{{Jobs: []jobView{{URL: "/1"}, {URL: ""}}}, {Jobs: []jobView{{URL: "/2"}, {URL: "/3"}}}}, "/2")
	if a, b, c := blocks[0].Jobs[0].Key, blocks[1].Jobs[0].Key, blocks[1].Jobs[1].Key; a != "[" || b != "" || c != "]" {
		t.Errorf("%q %q %q", a, b, c)
	}
	for _, j := range withKeys([]blockView{{Jobs: []jobView{{URL: "/1"}}}}, "/none")[0].Jobs {
		if j.Key != "" {
			t.Error(j.Key)
		}
	}
	_, text := s.get("/jobs/" + s.failed.ID)
	if !strings.Contains(text, `data-key="]"`) {
		t.Error("no key leads to the next job")
	}
}
