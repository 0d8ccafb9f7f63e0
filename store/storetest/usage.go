package storetest

import (
	"fmt"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testUsage(s *suite) {
	w := s.world()
	since := time.UnixMilli(1_800_000_000_000).UTC()
	end := func(j *signalbox.Job, at time.Time, started bool) {
		from := j.State
		j.State, j.Result, j.FinishedAt = signalbox.JobFinished, signalbox.JobStopped, at
		if started {
			j.StartedAt = at.Add(-time.Second)
		}
		s.write(func(t *store.Tx) error { return t.UpdateJob(j, from, "test", "ended", "") })
	}
	var jobs []*signalbox.Job
	for i := range 6 {
		jobs = append(jobs, s.job(w, i, 50))
	}
	end(jobs[0], since.Add(-time.Millisecond), true) // before
	end(jobs[1], since, true)
	end(jobs[2], since.Add(time.Minute), false) // in line
	end(jobs[3], since.Add(2*time.Minute), true)
	running := jobs[4]
	running.State, running.StartedAt = signalbox.JobRunning, since.Add(time.Hour)
	s.write(func(t *store.Tx) error {
		if err := t.UpdateJob(running, signalbox.JobQueued, "test", "running", ""); err != nil {
			return err
		}
		copied := &signalbox.Job{ // took over what another had done
			BlockID: jobs[0].BlockID, PipelineID: w.pipeline.ID, WorkflowID: w.workflow.ID, ProjectID: w.project.ID, Index: 99, AgentType: "s1-linux", OriginalID: jobs[3].ID, Copied: true,
			State: signalbox.JobFinished, Result: signalbox.JobPassed, StartedAt: since, FinishedAt: since.Add(time.Minute),
		}
		return t.CreateJob(copied, "test")
	})
	times := func(agentType string, n int) (ended, open []store.JobTimes) {
		s.write(func(t *store.Tx) error {
			ended, open = nil, nil
			e, o, err := t.JobTimes(agentType, since, n)
			for _, j := range e {
				ended = append(ended, *j)
			}
			for _, j := range o {
				open = append(open, *j)
			}
			return err
		})
		return ended, open
	}
	of := func(i int) store.JobTimes {
		return store.JobTimes{ProjectID: w.project.ID, QueuedAt: jobs[i].QueuedAt, StartedAt: jobs[i].StartedAt, FinishedAt: jobs[i].FinishedAt}
	}
	ended, open := times("s1-linux", 9)
	s.equal("the times of jobs that ended, the newest first", ended, []store.JobTimes{of(3), of(2), of(1)})
	s.equal("and of those that have not", open, []store.JobTimes{of(4), of(5)})
	ended, open = times("s1-linux", 1)
	s.equal("so many at most", ended, []store.JobTimes{of(3)})
	s.equal("so many of each at most", len(open), 2)
	ended, open = times("s1-none", 9)
	s.equal("nothing of another type", len(ended)+len(open), 0)

	s.equal("no builds", get(s, (*store.Tx).Builds), []*store.Build(nil))
	here, gone, left := s.agent(w, "here"), s.agent(w, "gone"), s.agent(w, "left")
	for a, at := range map[*signalbox.Agent]time.Time{gone: since.Add(-time.Millisecond), left: since.Add(time.Minute)} {
		a.State, a.GoneAt, a.GoneReason = signalbox.AgentDisconnected, at, signalbox.ReasonAgentLost
		s.write(func(t *store.Tx) error { return t.UpdateAgent(a, "", "test", "gone", "") })
	}
	agents := func(n int) (out []store.AgentTimes) {
		for _, a := range get(s, func(t *store.Tx) ([]*store.AgentTimes, error) { return t.AgentTimes(w.agentType.ID, since, n) }) {
			out = append(out, *a)
		}
		return out
	}
	s.equal("the times of agents", agents(9), []store.AgentTimes{{CreatedAt: here.CreatedAt}, {CreatedAt: left.CreatedAt, GoneAt: left.GoneAt}})
	s.equal("the living and no others", agents(0), []store.AgentTimes{{CreatedAt: here.CreatedAt}})
}

func testTypeJobs(s *suite) {
	w := s.world()
	other := s.secondProject("other", 0)
	since := time.UnixMilli(1_800_000_000_000).UTC()
	a := s.agent(w, "one")
	end := func(of world, i int, at time.Time) *signalbox.Job {
		j := s.job(of, i, 50)
		attempt := &signalbox.Attempt{ID: signalbox.NewID(), JobID: j.ID, N: 1, AgentID: a.ID, AgentName: a.Name, State: signalbox.AttemptEnded}
		s.write(func(t *store.Tx) error {
			if i > 0 {
				if err := t.CreateAttempt(attempt, "dispatch"); err != nil {
					return err
				}
				j.AttemptID, j.AttemptN = attempt.ID, 1
			}
			j.State, j.Result, j.Reason, j.FinishedAt = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonTest, at
			return t.UpdateJob(j, signalbox.JobQueued, "test", "ended", "")
		})
		return j
	}
	old, stopped, newest := end(w, 1, since), end(w, 0, since.Add(time.Hour)), end(w, 2, since.Add(2*time.Hour))
	end(other, 1, since.Add(3*time.Hour))
	s.job(w, 3, 50)
	s.write(func(t *store.Tx) error { return t.DeleteProject(other.project.ID, "test") })
	list := func(n int) (out []string) {
		for _, j := range get(s, func(t *store.Tx) ([]*store.AgentJob, error) { return t.TypeJobs("s1-linux", n) }) {
			out = append(out, j.JobID+" "+j.Project+" "+j.Pipeline+" "+j.Agent+" "+string(j.Reason))
		}
		return out
	}
	s.equal("the newest first, without those of a deleted project", list(9), []string{newest.ID + " demo Pipeline one test", stopped.ID + " demo Pipeline  test", old.ID + " demo Pipeline one test"})
	s.equal("so many at most", len(list(2)), 1)
}

func testBuilds(s *suite) {
	w := s.world()
	mac := &signalbox.AgentType{Name: "s1-mac"}
	s.write(func(t *store.Tx) error { return t.CreateAgentType(mac, "test") })
	for i, a := range []signalbox.Agent{
		{AgentTypeID: mac.ID, OS: "macOS", Arch: "arm64", Version: "2"},
		{AgentTypeID: w.agentType.ID, OS: "linux", Arch: "x86_64", Version: "1"},
		{AgentTypeID: w.agentType.ID, OS: "linux", Arch: "x86_64", Version: "1"},
		{AgentTypeID: w.agentType.ID, OS: "linux", Arch: "arm64", Version: "1"},
		{AgentTypeID: w.agentType.ID, OS: "gone", GoneAt: time.UnixMilli(1)},
	} {
		a.Name, a.State = fmt.Sprint("agent-", i), signalbox.AgentRegistered
		s.write(func(t *store.Tx) error {
			gone := a.GoneAt
			if err := t.CreateAgent(&a, a.Name); err != nil || gone.IsZero() {
				return err
			}
			a.GoneAt, a.State = gone, signalbox.AgentDisconnected
			return t.UpdateAgent(&a, "", "test", "gone", "")
		})
	}
	var got []store.Build
	for _, b := range get(s, (*store.Tx).Builds) {
		got = append(got, *b)
	}
	s.equal("builds", got, []store.Build{
		{AgentType: "s1-linux", OS: "linux", Arch: "arm64", Version: "1"},
		{AgentType: "s1-linux", OS: "linux", Arch: "x86_64", Version: "1"},
		{AgentType: "s1-mac", OS: "macOS", Arch: "arm64", Version: "2"},
	})
}
