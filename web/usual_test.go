package web

import (
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestUsual(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		past []time.Duration
		want time.Duration
	}{{nil, 0}, {[]time.Duration{s, s}, 0}, {[]time.Duration{9 * s, s, 2 * s}, 2 * s}, {[]time.Duration{4 * s, s, 2 * s, 100 * s}, 3 * s}} {
		if got := usual(c.past); got != c.want {
			t.Errorf("%v: %v", c.past, got)
		}
	}
	for _, c := range []struct {
		took, usual time.Duration
		want        string
	}{
		{100 * s, 0, ""},
		{100 * s, 90 * s, ""},
		{7 * s, 4 * s, ""},
		{130 * s, 100 * s, "30 % slower than usual"},
		{70 * s, 100 * s, "30 % faster than usual"},
		{250 * s, 100 * s, "2.5 times as long as usual"},
	} {
		if got := compared(c.took, c.usual); got != c.want {
			t.Errorf("%v of %v: %q", c.took, c.usual, got)
		}
	}
}

// A job's page says what is usual once enough jobs of its name have passed; what failed, was repeated or is of another project tells nothing.
func TestUsualOnThePage(t *testing.T) {
	s := newSite(t)
	p, other := s.project("train"), s.project("tram")
	run := func(p *signalbox.Project, j signalbox.Job, took time.Duration) *signalbox.Job {
		l := s.pipeline(s.workflow(p, "main", "a change"), signalbox.Pipeline{State: signalbox.PipelineDone, Result: signalbox.ResultPassed})
		j.Name, j.State, j.StartedAt, j.FinishedAt = "unit", signalbox.JobFinished, s.ago(took), s.ago(0)
		return s.job(l, s.block(l, signalbox.Block{Name: "Test", State: signalbox.BlockDone}), j)
	}
	passed := signalbox.Job{Result: signalbox.JobPassed}
	for range 2 {
		run(p, passed, time.Minute)
	}
	for range 5 {
		run(other, passed, time.Hour)
		run(p, signalbox.Job{Result: signalbox.JobFailed}, time.Hour)
		run(p, signalbox.Job{Result: signalbox.JobPassed, OriginalID: signalbox.NewID()}, time.Hour)
	}
	slow := run(p, signalbox.Job{Result: signalbox.JobFailed}, 90*time.Second)
	if _, text := s.get("/jobs/" + slow.ID); strings.Contains(text, "than usual") || strings.Contains(text, "Usually") {
		t.Error("two runs are said to be usual")
	}
	run(p, passed, time.Minute)
	_, text := s.get("/jobs/" + slow.ID)
	for _, want := range []string{"50 % slower than usual", "<dt>Usually</dt><dd>1:00</dd>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	var past []time.Duration
	s.write(func(tx *store.Tx) (err error) {
		past, err = tx.PassedRuns(p.ID, "unit", 2)
		return err
	})
	if len(past) != 2 {
		t.Errorf("asked for two runs and got %v", past)
	}
}
