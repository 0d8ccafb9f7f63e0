package storetest

import (
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testActivity(s *suite) {
	w := s.world()
	low, first, high := s.job(w, 0, 10), s.job(w, 1, 50), s.job(w, 2, 90)
	other := s.secondProject("other", 0)
	theirs := s.job(other, 3, 50)

	waiting := func(n int) (out []string) {
		for _, v := range get(s, func(t *store.Tx) ([]*store.Waiting, error) { return t.WaitingOf("s1-linux", n) }) {
			out = append(out, v.Job.ID+" "+strings.Repeat("|", v.Ahead))
		}
		return out
	}
	s.equal("the front of all lines comes first", waiting(9), []string{high.ID + " ", theirs.ID + " ", first.ID + " |", low.ID + " ||"})
	s.equal("so many at most", waiting(2), []string{high.ID + " ", theirs.ID + " "})
	s.equal("nothing waits for another type", get(s, func(t *store.Tx) ([]*store.Waiting, error) { return t.WaitingOf("s1-none", 9) }), []*store.Waiting(nil))
	counts := get(s, (*store.Tx).LineCounts)
	if len(counts) != 1 || counts[0].AgentType != "s1-linux" || counts[0].Queued != 4 || !counts[0].Oldest.Equal(low.QueuedAt) {
		s.Errorf("lines are counted as %+v, the oldest is of %v", counts, low.QueuedAt)
	}

	// One job is on an agent and was asked to stop, one has passed.
	a := s.agent(w, "one")
	at := &signalbox.Attempt{ID: signalbox.NewID(), JobID: high.ID, N: 1, AgentID: a.ID, AgentName: a.Name, State: signalbox.AttemptOffered}
	s.write(func(t *store.Tx) error {
		if err := t.CreateAttempt(at, "dispatch"); err != nil {
			return err
		}
		j := *high
		j.State, j.AttemptID, j.AttemptN, j.StartedAt = signalbox.JobRunning, at.ID, 1, t.Now
		if err := t.UpdateJob(&j, signalbox.JobQueued, "dispatch", "running", ""); err != nil {
			return err
		}
		asked := *at
		asked.StopRequestedAt = t.Now
		if err := t.UpdateAttempt(&asked, at.State, "ann", "stop", ""); err != nil {
			return err
		}
		j = *first
		j.State, j.Result, j.StartedAt, j.FinishedAt = signalbox.JobFinished, signalbox.JobPassed, j.QueuedAt.Add(2*time.Second), j.QueuedAt.Add(9*time.Second)
		return t.UpdateJob(&j, signalbox.JobQueued, "dispatch", "passed", "")
	})
	paths := get(s, func(t *store.Tx) (map[string]*store.JobPath, error) {
		return t.PathsOf([]string{high.ID, theirs.ID, "none"})
	})
	if len(paths) != 2 {
		s.Fatalf("%d paths", len(paths))
	}
	running, queued := *paths[high.ID], *paths[theirs.ID]
	if running.StopAskedAt.IsZero() {
		s.Error("the stop request is not there")
	}
	running.StopAskedAt = time.Time{}
	s.equal("where a running job stands", running, store.JobPath{
		JobID: high.ID, Project: "demo", WorkflowID: w.workflow.ID, Label: "main", Pipeline: "Pipeline", Block: "Build", Agent: "one", AgentType: "s1-linux",
	})
	s.equal("where a queued job stands", queued, store.JobPath{JobID: theirs.ID, Project: "other", WorkflowID: other.workflow.ID, Label: "main", Pipeline: "Pipeline", Block: "Block"})
	s.equal("no paths", len(get(s, func(t *store.Tx) (map[string]*store.JobPath, error) { return t.PathsOf(nil) })), 0)

	open := get(s, func(t *store.Tx) ([]*store.ActivePipeline, error) { return t.ActivePipelines(9) })
	if len(open) != 2 {
		s.Fatalf("%d pipelines are open", len(open))
	}
	p := *open[0]
	p.CreatedAt = time.Time{}
	s.equal("an open pipeline", p, store.ActivePipeline{
		ID: w.pipeline.ID, Name: "Pipeline", WorkflowID: w.workflow.ID, Label: "main", Project: "demo", QueueKey: "queue", State: signalbox.PipelineInitializing, Jobs: 3, Done: 1, Running: 1,
	})
	s.equal("so many pipelines at most", len(get(s, func(t *store.Tx) ([]*store.ActivePipeline, error) { return t.ActivePipelines(1) })), 1)
	s.write(func(t *store.Tx) error {
		done := *w.pipeline
		done.State = signalbox.PipelineDone
		return t.UpdatePipeline(&done, "engine", "done", "")
	})
	s.equal("what is done is not open", ids(get(s, func(t *store.Tx) ([]*store.ActivePipeline, error) { return t.ActivePipelines(9) }),
		func(p *store.ActivePipeline) string { return p.ID }), []string{other.pipeline.ID})

	waited := func(since time.Time) []time.Duration {
		return get(s, func(t *store.Tx) ([]time.Duration, error) { return t.WaitedFor("s1-linux", since, 9) })
	}
	s.equal("how long jobs had waited", waited(time.Time{}), []time.Duration{2 * time.Second})
	s.equal("how long later ones had", waited(first.QueuedAt.Add(time.Minute)), []time.Duration{})
}

func testSearch(s *suite) {
	w := s.world()
	find := func(query string) []string {
		return ids(get(s, func(t *store.Tx) ([]*store.FoundWorkflow, error) { return t.FindWorkflows(query, 9) }),
			func(f *store.FoundWorkflow) string { return f.Project + " " + f.BranchName })
	}
	s.workflow(w.project.ID, "50%_off", "second")
	s.equal("by branch", find("MAI"), []string{"demo main"})
	s.equal("by the beginning of a commit", find("0123456"), []string{"demo 50%_off", "demo main"})
	s.equal("not by its middle", find("3456789"), []string(nil))
	s.equal("by id", find(w.workflow.ID), []string{"demo main"})
	for _, pattern := range []string{"m_in", "%", "!", `\`, "'"} {
		for _, got := range find(pattern) {
			if pattern != "%" || got != "demo 50%_off" {
				s.Errorf("%q finds %s: a pattern is no pattern here", pattern, got)
			}
		}
	}
	s.equal("signs of patterns are letters", find("0%_O"), []string{"demo 50%_off"})

	for _, name := range []string{"build-1", "BUILD-2", "other"} {
		s.agent(w, name)
	}
	agents := func(words string, n int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Agent, error) { return t.FindAgents(words, n) }), func(a *signalbox.Agent) string { return a.Name })
	}
	s.equal("how many agents hold a word", len(agents("build", 9)), 2)
	s.equal("so many at most", len(agents("build", 1)), 1)
	s.equal("none", agents("build_", 9), []string(nil))
	s.write(func(t *store.Tx) error { return t.DeleteProject(w.project.ID, "ann") })
	s.equal("nothing of a deleted project", find("main"), []string(nil))
}
