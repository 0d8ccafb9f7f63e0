package web

import (
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

func TestTookLonger(t *testing.T) {
	for _, c := range []struct {
		now, before time.Duration
		want        string
	}{
		{100 * time.Second, 60 * time.Second, "0:40 longer"},
		{60 * time.Second, 100 * time.Second, "0:40 shorter"},
		{64 * time.Second, 60 * time.Second, ""},
		{time.Hour + 5*time.Minute, time.Hour, ""},
		{2 * time.Hour, time.Hour, "1:00:00 longer"},
		{time.Minute, 0, ""},
		{0, time.Minute, ""},
		{-time.Minute, time.Minute, ""},
	} {
		if got := tookLonger(c.now, c.before); got != c.want {
			t.Errorf("%v after %v: %q, want %q", c.now, c.before, got, c.want)
		}
	}
}

// Jobs are compared by their names and that of their block; what the machinery failed, was stopped, or is new says nothing.
func TestCompareJobs(t *testing.T) {
	blocks := func(lamps ...Lamp) []blockView {
		b := blockView{Name: "Unit"}
		for i, l := range lamps {
			b.Jobs = append(b.Jobs, jobView{Name: string(rune('a' + i)), Lamp: l})
		}
		return []blockView{b}
	}
	words := func(jobs []jobView) (out string) {
		for _, j := range jobs {
			out += j.Name
		}
		return out
	}
	before := map[jobName]Lamp{}
	for i, l := range []Lamp{lampPassed, lampFailed, lampPassed, lampFailed, lampInfra, lampReused, lampTimedOut, lampStopped} {
		before[jobName{"Unit", string(rune('a' + i))}] = l
	}
	now := blocks(lampFailed, lampPassed, lampInfra, lampInfra, lampPassed, lampTimedOut, lampReused, lampFailed, lampFailed)
	failing, passing := compareJobs(now, before)
	if words(failing) != "af" || words(passing) != "bg" {
		t.Errorf("newly failing %q, passing again %q", words(failing), words(passing))
	}
	other := blocks(lampPassed)
	other[0].Name = "Lint"
	if failing, passing := compareJobs(other, before); len(failing)+len(passing) > 0 {
		t.Error("jobs of blocks with other names are compared")
	}
}

// A workflow is compared with the last one of its branch whose pipeline of the same file passed or failed.
func TestWorkflowCompared(t *testing.T) {
	s := newSite(t)
	p := s.project("shop")
	run := func(branch, file string, result signalbox.Result, took time.Duration, unit, lint signalbox.JobResult) *signalbox.Workflow {
		wf := s.workflow(p, branch, "Commit")
		l := s.pipeline(wf, signalbox.Pipeline{Name: "Build", File: file, State: signalbox.PipelineDone, Result: result, RunningAt: s.ago(took), DoneAt: s.now()})
		block := s.block(l, signalbox.Block{Name: "Test", State: signalbox.BlockDone, Result: result})
		for i, r := range []signalbox.JobResult{unit, lint} {
			reason := signalbox.Reason("")
			if r == signalbox.JobFailed {
				reason = signalbox.ReasonTest
			}
			s.job(l, block, signalbox.Job{Index: i, Name: []string{"Unit", "Lint"}[i], State: signalbox.JobFinished, Result: r, Reason: reason, StartedAt: s.ago(took), FinishedAt: s.now()})
		}
		s.pass(time.Minute)
		return wf
	}
	text := func(wf *signalbox.Workflow) string {
		_, page := s.get("/workflows/" + wf.ID)
		_, line, _ := strings.Cut(page, `id="compared">`)
		line, _, _ = strings.Cut(line, "</p>")
		return line
	}
	const file = ".semaphore/semaphore.yml"
	first := run("main", file, signalbox.ResultPassed, time.Minute, signalbox.JobPassed, signalbox.JobPassed)
	if got := text(first); got != "" {
		t.Errorf("the first of a branch is compared: %s", got)
	}
	run("main", "other.yml", signalbox.ResultFailed, time.Minute, signalbox.JobFailed, signalbox.JobFailed)
	run("topic", file, signalbox.ResultFailed, time.Minute, signalbox.JobFailed, signalbox.JobFailed)
	run("main", file, signalbox.ResultStopped, time.Minute, signalbox.JobStopped, signalbox.JobStopped)
	broke := run("main", file, signalbox.ResultFailed, time.Minute, signalbox.JobFailed, signalbox.JobPassed)
	for _, want := range []string{`">#1</a>`, "newly failing", "Test › Unit"} {
		if got := text(broke); !strings.Contains(got, want) || strings.Contains(got, "Lint") || strings.Contains(got, "passes again") {
			t.Errorf("%q is not in %q, or something else is", want, got)
		}
	}
	fixed := run("main", file, signalbox.ResultPassed, 2*time.Minute, signalbox.JobPassed, signalbox.JobPassed)
	if got := text(fixed); !strings.Contains(got, "passes again") || strings.Contains(got, "newly") || strings.Contains(got, "took") {
		t.Errorf("mended: %q", got)
	}
	slow := run("main", file, signalbox.ResultPassed, 5*time.Minute, signalbox.JobPassed, signalbox.JobPassed)
	if got := text(slow); !strings.Contains(got, "took 3:00 longer") || strings.Contains(got, "failing") {
		t.Errorf("slower: %q", got)
	}
	same := run("main", file, signalbox.ResultPassed, 5*time.Minute, signalbox.JobPassed, signalbox.JobPassed)
	if got := text(same); got != "" {
		t.Errorf("the same again: %q", got)
	}
}
