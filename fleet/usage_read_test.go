package fleet

import (
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// TestUsageOfManyJobs reads fewer jobs than there are: the time before them has no points, so that no figure is wrong.
func TestUsageOfManyJobs(t *testing.T) {
	st := storetest.OpenSQLite(t)
	w := scene.Scene{Context: t.Context(), Store: st, Log: joblog.New(joblog.Options{Store: st}), Now: time.Now, OnError: func(err error) { t.Fatal(err) }}
	typ := w.AgentType("s1-linux")
	p := w.Pipeline(w.Workflow(w.Project("demo"), "main", "x"), signalbox.Pipeline{State: signalbox.PipelineRunning})
	b := w.Block(p, signalbox.Block{State: signalbox.BlockRunning})
	now := time.Now()
	for i := range 30 {
		end := now.Add(-time.Duration(i)*30*time.Minute - time.Minute)
		w.Job(p, b, signalbox.Job{
			Index: i, State: signalbox.JobFinished, Result: signalbox.JobPassed, QueuedAt: end.Add(-20 * time.Second), StartedAt: end.Add(-10 * time.Second), FinishedAt: end,
		})
	}
	read := func(n int) (u *Usage) {
		if err := st.Read(t.Context(), func(tx *store.Tx) (err error) {
			u, err = readUsage(tx, typ, UsageSpans[0], n)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return u
	}
	if u := read(31); u.Cut || len(u.Points) != 96 || u.Ended != 30 || u.Started != 30 || u.Half != 10*time.Second || u.Needed != 1 {
		t.Errorf("all: %+v", u)
	}
	u := read(5)
	// The oldest of them ended two hours and a minute ago; that step may hold others, which were not read.
	if oldest := now.Add(-2*time.Hour - time.Minute); !u.Cut || len(u.Points) != 8 || u.From.Before(oldest) || u.From.Sub(oldest) > 15*time.Minute || u.Points[0].At != u.From || u.Ended != 4 {
		t.Errorf("the newest five: from %v, %d points, %+v", u.From, len(u.Points), u)
	}
	busy := 0.0
	for _, point := range u.Points {
		busy += point.Busy * 15 * 60
	}
	if busy < 39.9 || busy > 40.1 {
		t.Errorf("jobs took %g s", busy)
	}
}

// Many look at the list of all types; it is worked out once a minute.
func TestUsagesAreKeptForAMinute(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	st, err := store.Open(t.Context(), store.Options{Dir: storetest.Folder(t), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	f, err := New(Options{Store: st, Engine: engine.New(engine.Options{Store: st}), Log: joblog.New(joblog.Options{Store: st})})
	if err != nil {
		t.Fatal(err)
	}
	w := scene.Scene{Context: t.Context(), Store: st, Log: joblog.New(joblog.Options{Store: st}), Now: func() time.Time { return now }, OnError: func(err error) { t.Fatal(err) }}
	w.AgentType("s1-linux")
	types := func(span UsageSpan) int {
		all, err := f.Usages(t.Context(), span)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := types(UsageSpans[0]); n != 1 {
		t.Errorf("%d types", n)
	}
	w.AgentType("s1-mac")
	now = now.Add(59 * time.Second)
	if day, week := types(UsageSpans[0]), types(UsageSpans[1]); day != 1 || week != 2 {
		t.Errorf("%d types in a day, %d in a week", day, week)
	}
	if now = now.Add(time.Second); types(UsageSpans[0]) != 2 {
		t.Error("what is a minute old is told still")
	}
	w.AgentType("s1-arm")
	if now = now.Add(-time.Hour); types(UsageSpans[0]) != 3 {
		t.Error("a clock that was put back keeps what is known")
	}
}
