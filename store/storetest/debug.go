package storetest

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// debugJob makes a debug job of a job.
func (s *suite) debugJob(of *signalbox.Job, limit time.Duration) *signalbox.Job {
	s.Helper()
	d := *of
	d.ID, d.DebugOf, d.TimeLimit, d.Priority, d.Name, d.State = "", of.ID, limit, -1, "Debug", signalbox.JobQueued
	d.Spec.Files = []signalbox.File{{Path: "commands", Content: []byte("ü\x00\xff"), Mode: "0644"}}
	s.write(func(t *store.Tx) error { return t.CreateJob(&d, "user:ann") })
	return &d
}

func testDebugJobs(s *suite) {
	w := s.world()
	j := s.job(w, 0, 50)
	// Two sessions of one job share its place in the block with it.
	one, two := s.debugJob(j, 90*time.Minute), s.debugJob(j, time.Hour)
	s.equal("by id", get(s, func(t *store.Tx) (*signalbox.Job, error) { return t.Job(one.ID) }), one)
	s.equal("jobs of the pipeline", ids(get(s, func(t *store.Tx) ([]*signalbox.Job, error) { return t.JobsOf(w.pipeline.ID) }), jobID), []string{j.ID})
	open := func(id string) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Job, error) { return t.DebugJobsOf(id) }), jobID)
	}
	s.equal("open sessions", open(j.ID), []string{one.ID, two.ID})
	s.equal("open sessions of a session", open(one.ID), []string(nil))
	s.equal("open sessions of nothing", open(""), []string(nil))
	later := s.job(w, 1, 0)
	for i, q := range []*signalbox.Job{j, later, one, two} {
		s.equal("ahead in the queue", get(s, func(t *store.Tx) (int, error) { return t.AheadInLine(q) }), i)
	}
	s.write(func(t *store.Tx) error {
		got, err := t.ClaimJobs("s1-linux", 9)
		s.equal("claimed in this order", ids(got, jobID), []string{j.ID, later.ID, one.ID, two.ID})
		return err
	})

	wake, stop := s.s.Watch(store.KeyJob(j.ID))
	defer stop()
	one.State, one.Result = signalbox.JobFinished, signalbox.JobStopped
	s.write(func(t *store.Tx) error { return t.UpdateJob(one, signalbox.JobQueued, "user:ann", "stopped", "") })
	select {
	case <-wake:
	case <-time.After(10 * time.Second):
		s.Error("who watches the original hears nothing of its session")
	}
	s.equal("open sessions after one ended", open(j.ID), []string{two.ID})
}

func testJobsOverLimit(s *suite) {
	w := s.world()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	run := func(j *signalbox.Job, state signalbox.JobState, started time.Time) {
		j.State, j.StartedAt = state, started
		s.write(func(t *store.Tx) error { return t.UpdateJob(j, signalbox.JobQueued, "test", "started", "") })
	}
	of := s.job(w, 0, 50)
	run(of, signalbox.JobRunning, at.Add(-24*time.Hour)) // has no limit
	short, long, over := s.debugJob(of, time.Minute), s.debugJob(of, time.Hour), s.debugJob(of, time.Minute)
	run(short, signalbox.JobRunning, at.Add(-2*time.Minute))
	run(long, signalbox.JobRunning, at.Add(-time.Hour))
	s.debugJob(of, time.Millisecond) // waits
	run(over, signalbox.JobFinished, at.Add(-time.Hour))
	list := func(at time.Time, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Job, error) { return t.JobsOverLimit(at, limit) }), jobID)
	}
	s.equal("over their limit", list(at, 10), []string{short.ID, long.ID})
	s.equal("the longest over", list(at, 1), []string{short.ID})
	s.equal("a millisecond before", list(at.Add(-time.Millisecond), 10), []string{short.ID})
}
