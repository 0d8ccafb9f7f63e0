package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func jobID(j *signalbox.Job) string { return j.ID }

func testJob(s *suite) {
	w := s.world()
	j := &signalbox.Job{
		BlockID: w.block.ID, PipelineID: w.pipeline.ID, WorkflowID: w.workflow.ID, ProjectID: w.project.ID, Name: "Unit",
		AgentType: "s1-linux", Priority: 50, State: signalbox.JobQueued,
		Spec: signalbox.JobSpec{MachineType: "s1-linux", EnvVars: []signalbox.EnvVar{{Name: "A", Value: "ü\n\"'"}}, Commands: []string{"make"}},
	}
	s.write(func(t *store.Tx) error { return t.CreateJob(j, "engine") })
	read := func() *signalbox.Job {
		return get(s, func(t *store.Tx) (*signalbox.Job, error) { return t.Job(j.ID) })
	}
	s.equal("by id", read(), j)
	if !j.QueuedAt.Equal(j.CreatedAt) {
		s.Errorf("queued at %v, created at %v", j.QueuedAt, j.CreatedAt)
	}
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { same := *j; same.ID = ""; return t.CreateJob(&same, "engine") })

	at := time.UnixMilli(1_700_000_000_123).UTC()
	j.State, j.Result, j.Reason, j.FailureReason = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonAgentLost, "why"
	j.AttemptID, j.AttemptN, j.QueuedAt, j.StartedAt, j.FinishedAt = "attempt", 2, at, at.Add(1e6), at.Add(2e6)
	s.write(func(t *store.Tx) error {
		if _, err := t.LockJob(j.ID); err != nil {
			return err
		}
		return t.UpdateJob(j, signalbox.JobQueued, "engine", "finished", "agent_lost")
	})
	s.equal("after an update", read(), j)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		late := *j
		late.Result = signalbox.JobPassed
		return t.UpdateJob(&late, signalbox.JobQueued, "engine", "again", "")
	})
	s.equal("after a late update", read(), j)
	s.equal("history", s.reasons("job", j.ID), []string{"queued", "finished"})
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Job(signalbox.NewID()); return err })
	s.refused(signalbox.CodeNotFound, func(t *store.Tx) error { _, err := t.LockJob(signalbox.NewID()); return err })
}

func testJobLists(s *suite) {
	w := s.world()
	var jobs []*signalbox.Job
	for i := range 4 {
		jobs = append(jobs, s.job(w, i, 50))
	}
	for i, state := range []signalbox.JobState{signalbox.JobOffered, signalbox.JobRunning, signalbox.JobFinished} {
		s.write(func(t *store.Tx) error {
			j := *jobs[i]
			j.State = state
			return t.UpdateJob(&j, signalbox.JobQueued, "engine", string(state), "")
		})
	}
	of := get(s, func(t *store.Tx) ([]*signalbox.Job, error) { return t.JobsOf(w.pipeline.ID) })
	s.equal("of the pipeline", ids(of, jobID), ids(jobs, jobID))
	list := func(f store.JobFilter) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Job, error) { return t.Jobs(f) }), jobID)
	}
	s.equal("all", list(store.JobFilter{}), []string{jobs[3].ID, jobs[2].ID, jobs[1].ID, jobs[0].ID})
	s.equal("in two states", list(store.JobFilter{States: []signalbox.JobState{signalbox.JobOffered, signalbox.JobQueued}, AgentType: "s1-linux"}),
		[]string{jobs[3].ID, jobs[0].ID})
	after := store.JobPlace{CreatedAt: jobs[3].CreatedAt, ID: jobs[3].ID}
	s.equal("a page", list(store.JobFilter{Limit: 2, After: after}), []string{jobs[2].ID, jobs[1].ID})
	s.equal("a page of some states", list(store.JobFilter{States: []signalbox.JobState{signalbox.JobOffered, signalbox.JobFinished}, After: after}), []string{jobs[2].ID, jobs[0].ID})
	s.equal("of another type", list(store.JobFilter{AgentType: "s1-other"}), []string(nil))
	s.equal("types with work", get(s, (*store.Tx).QueuedAgentTypes), []string{"s1-linux"})
	queued := func(after store.QueuedRef, n int) []string {
		refs := get(s, func(t *store.Tx) ([]*store.QueuedRef, error) { return t.QueuedRefs("s1-linux", after, n) })
		return ids(refs, func(r *store.QueuedRef) string { return r.ID })
	}
	s.equal("queued", queued(store.QueuedRef{}, 9), []string{jobs[3].ID})
	s.read(func(t *store.Tx) error {
		queued, running, err := t.CountJobs("s1-linux")
		if queued != 2 || running != 1 {
			s.Errorf("%d wait and %d run, want 2 and 1", queued, running)
		}
		return err
	})
	newer := s.job(w, 9, 0)
	s.equal("queued, newest first", queued(store.QueuedRef{}, 9), []string{newer.ID, jobs[3].ID})
	s.equal("queued, one of them", queued(store.QueuedRef{}, 1), []string{newer.ID})
	s.equal("queued, the next one", queued(store.QueuedRef{ID: newer.ID, QueuedAt: newer.QueuedAt}, 9), []string{jobs[3].ID})
	s.equal("queued, none after the last", queued(store.QueuedRef{ID: jobs[3].ID, QueuedAt: jobs[3].QueuedAt}, 9), []string(nil))
}

func testClaimOrder(s *suite) {
	w := s.world()
	low, first, second, high := s.job(w, 0, 0), s.job(w, 1, 50), s.job(w, 2, 50), s.job(w, 3, 100)
	claim := func(n int) (out []string) {
		s.write(func(t *store.Tx) error {
			list, err := t.ClaimJobs("s1-linux", n)
			out = ids(list, jobID)
			return err
		})
		return out
	}
	s.equal("all", claim(10), []string{high.ID, first.ID, second.ID, low.ID})
	s.equal("two", claim(2), []string{high.ID, first.ID})
	// A job keeps its place when an offer is withdrawn: queued_at decides, not when it came back.
	s.write(func(t *store.Tx) error {
		j := *first
		j.State = signalbox.JobOffered
		if err := t.UpdateJob(&j, signalbox.JobQueued, "dispatch", "offered", ""); err != nil {
			return err
		}
		j.State = signalbox.JobQueued
		return t.UpdateJob(&j, signalbox.JobOffered, "dispatch", "withdrawn", "")
	})
	s.equal("after a withdrawal", claim(2), []string{high.ID, first.ID})
	s.equal("of another type", get(s, func(t *store.Tx) ([]*signalbox.Job, error) {
		if s.s.Dialect() == "postgres" {
			return nil, nil // a view may not lock rows there; nobody claims in one
		}
		return t.ClaimJobs("s1-other", 1)
	}), []*signalbox.Job(nil))
}

func testClaimsExcludeOneAnother(s *suite) {
	w := s.world()
	const jobs, agents = 30, 8
	for i := range jobs {
		s.job(w, i, 50)
	}
	var mu sync.Mutex
	claims := map[string]int{}
	var group sync.WaitGroup
	for range agents {
		group.Go(func() {
			for {
				var got []string
				err := s.s.Write(context.Background(), func(t *store.Tx) error {
					got = nil
					list, err := t.ClaimJobs("s1-linux", 2)
					if err != nil {
						return err
					}
					for _, j := range list {
						j.State = signalbox.JobOffered
						if err := t.UpdateJob(j, signalbox.JobQueued, "dispatch", "offered", ""); err != nil {
							return err
						}
						got = append(got, j.ID)
					}
					return nil
				})
				if err != nil {
					s.Error(err)
					return
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, id := range got {
					claims[id]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for id, n := range claims {
		if n != 1 {
			s.Errorf("job %s was claimed %d times", id, n)
		}
	}
	// With SKIP LOCKED an agent may see nothing while another holds the last rows, but nothing may be left behind.
	if len(claims) != jobs {
		s.Errorf("%d jobs were claimed, want %d", len(claims), jobs)
	}
}
