package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// woken returns which of the keys are notified while act runs. Wake-ups within one server come before act returns.
func (s *suite) woken(keys []string, act func()) []string {
	s.Helper()
	channels := map[string]<-chan struct{}{}
	for _, k := range keys {
		c, stop := s.s.Watch(k)
		defer stop()
		channels[k] = c
	}
	before := s.s.Moment()
	act()
	var out, since []string
	for _, k := range keys {
		select {
		case <-channels[k]:
			out = append(out, k)
		default:
		}
		if s.s.ChangedSince(before, k) {
			since = append(since, k)
		}
		if s.s.ChangedSince(s.s.Moment(), k) {
			s.Errorf("%s has changed since now", k)
		}
	}
	s.equal("what has changed since", since, out)
	slices.Sort(out)
	return out
}

func testWakeUps(s *suite) {
	w := s.world()
	j := s.job(w, 0, 50)
	a := s.agent(w, "one")
	attempt := &signalbox.Attempt{JobID: j.ID, N: 1, AgentID: a.ID, AgentName: a.Name, State: signalbox.AttemptOffered}
	s.write(func(t *store.Tx) error { return t.CreateAttempt(attempt, "dispatch") })
	logID := signalbox.NewID()

	project, workflow, pipeline := store.KeyProject(w.project.ID), store.KeyWorkflow(w.workflow.ID), store.KeyPipeline(w.pipeline.ID)
	job, agent, log := store.KeyJob(j.ID), store.KeyAgent(a.ID), store.KeyLog(logID)
	all := []string{project, workflow, pipeline, job, agent, log, store.KeyQueue, "custom", store.AnyAgent, store.AnyJob, store.AnyWorkflow, store.AnyProject}
	for _, c := range []struct {
		name string
		act  func()
		want []string
	}{
		{"a workflow", func() { s.workflow(w.project.ID, "main", "x") }, []string{project, store.AnyProject, store.AnyWorkflow}},
		{"a pipeline", func() { s.pipeline(w.workflow, "q") }, []string{project, workflow, store.AnyWorkflow, store.AnyProject}},
		{"a pipeline's change", func() {
			s.write(func(t *store.Tx) error { p := *w.pipeline; return t.UpdatePipeline(&p, "engine", "x", "") })
		}, []string{project, workflow, pipeline, store.AnyWorkflow, store.AnyProject}},
		{"a job", func() { s.job(w, 1, 50) }, []string{store.KeyQueue}},
		{"an offer", func() {
			s.write(func(t *store.Tx) error {
				n := *j
				n.State = signalbox.JobOffered
				return t.UpdateJob(&n, j.State, "x", "y", "")
			})
		}, []string{job, pipeline, workflow, store.AnyJob, store.AnyWorkflow}},
		{"a withdrawal", func() {
			s.write(func(t *store.Tx) error { return t.UpdateJob(j, signalbox.JobOffered, "x", "y", "") })
		}, []string{job, pipeline, workflow, store.KeyQueue, store.AnyJob, store.AnyWorkflow}},
		{"an attempt's change", func() {
			s.write(func(t *store.Tx) error {
				n := *attempt
				n.State = signalbox.AttemptFetched
				return t.UpdateAttempt(&n, attempt.State, "x", "y", "")
			})
		}, []string{agent, store.AnyAgent}},
		{"an agent's change", func() {
			s.write(func(t *store.Tx) error { n := *a; return t.UpdateAgent(&n, "", "x", "", "") })
		}, []string{agent, store.AnyAgent}},
		{"an agent's new token", func() {
			s.write(func(t *store.Tx) error { return t.SetAgentToken(a.ID, "new") })
		}, []string{agent, store.AnyAgent}},
		{"a log", func() {
			s.writeLog(func(t *store.LogTx) error { t.Wake(log); return nil })
		}, []string{log}},
		{"a key of the caller", func() { s.write(func(t *store.Tx) error { t.Wake("custom"); return nil }) }, []string{"custom"}},
		{"a notification", func() { s.s.Notify("custom", job) }, []string{"custom", job, store.AnyJob}},
		{"a view", func() { s.read(func(t *store.Tx) error { t.Wake("custom"); return nil }) }, nil},
		{"a failed write", func() {
			_ = s.s.Write(context.Background(), func(t *store.Tx) error { t.Wake("custom"); return errors.New("no") })
		}, nil},
		{"a deleted project", func() {
			s.write(func(t *store.Tx) error { return t.DeleteProject(w.project.ID, "ann") })
		}, []string{project, store.AnyProject}},
	} {
		slices.Sort(c.want)
		s.equal("woken by "+c.name, s.woken(all, c.act), c.want)
	}
}

func testWakers(s *suite) {
	waiting := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	both, stopBoth := s.s.Watch("a", "b")
	only, stopOnly := s.s.Watch("a")
	defer stopOnly()
	s.s.Notify("a")
	s.s.Notify("a", "b")
	if !waiting(both) || waiting(both) {
		s.Error("any number of notifications make one wake-up")
	}
	if !waiting(only) {
		s.Error("the second watcher was not woken")
	}
	s.s.Notify("b")
	if !waiting(both) || waiting(only) {
		s.Error("b must wake the watcher of b alone")
	}
	stopBoth()
	stopBoth()
	s.s.Notify("a", "b", "nobody's")
	if waiting(both) || !waiting(only) {
		s.Error("after stop only the other watcher must be woken")
	}

	// Run ends with its context.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.s.Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		s.Errorf("Run ended with %v", err)
	}
}
