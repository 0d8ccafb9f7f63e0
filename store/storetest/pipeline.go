package storetest

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func pipelineID(p *signalbox.Pipeline) string { return p.ID }

func testPipeline(s *suite) {
	w := s.world()
	at := time.UnixMilli(1_700_000_000_123).UTC()
	p := &signalbox.Pipeline{
		WorkflowID: w.workflow.ID, ProjectID: w.project.ID, Name: "Deploy", File: "deploy.yml", YAML: "x: 1\n", QueueKey: "q",
		Plan: &signalbox.Plan{Name: "Deploy", Blocks: []signalbox.PlanBlock{{
			Name: "One", Dependencies: []int{}, Jobs: []signalbox.PlanJob{{Name: "Job", Spec: signalbox.JobSpec{Commands: []string{"a\x01ü"}}}},
		}}},
		State: signalbox.PipelinePending, PendingAt: at,
	}
	s.write(func(t *store.Tx) error { return t.CreatePipeline(p, "engine") })
	read := func(id string) *signalbox.Pipeline {
		return get(s, func(t *store.Tx) (*signalbox.Pipeline, error) { return t.Pipeline(id) })
	}
	s.equal("by id", read(p.ID), p)
	if got := read(w.pipeline.ID); got.Plan != nil {
		s.Errorf("a pipeline without a plan has %+v", got.Plan)
	}

	// Every field that may change is written, under the version.
	stale := *p
	p.Name, p.State, p.Result, p.Reason, p.ErrorDescription = "Renamed", signalbox.PipelineDone, signalbox.ResultFailed, signalbox.ReasonTest, "why"
	p.Terminate, p.TerminateReason, p.TerminatedBy = "stop", signalbox.ReasonUser, "ann"
	p.QueuingAt, p.RunningAt, p.StoppingAt, p.DoneAt = at.Add(1e6), at.Add(2e6), at.Add(3e6), at.Add(4e6)
	s.write(func(t *store.Tx) error {
		locked, err := t.LockPipeline(p.ID)
		if err != nil {
			return err
		}
		next := *p
		next.Version = locked.Version
		return t.UpdatePipeline(&next, "engine", "done", "failed")
	})
	p.Version = 1
	s.equal("after an update", read(p.ID), p)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { c := stale; return t.UpdatePipeline(&c, "engine", "stale", "") })
	s.equal("after a stale update", read(p.ID), p)
	s.equal("history", s.reasons("pipeline", p.ID), []string{"created", "done"})

	of := get(s, func(t *store.Tx) ([]*signalbox.Pipeline, error) { return t.PipelinesOf(w.workflow.ID) })
	s.equal("of the workflow", ids(of, pipelineID), []string{w.pipeline.ID, p.ID})
	other := s.pipeline(s.workflow(w.project.ID, "topic", "token 2"), "q2")
	list := func(f store.PipelineFilter) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Pipeline, error) { return t.Pipelines(f) }), pipelineID)
	}
	s.equal("all", list(store.PipelineFilter{}), []string{other.ID, p.ID, w.pipeline.ID})
	s.equal("of a project's branch", list(store.PipelineFilter{ProjectID: w.project.ID, BranchName: "main"}), []string{p.ID, w.pipeline.ID})
	s.equal("of a workflow", list(store.PipelineFilter{WorkflowID: other.WorkflowID}), []string{other.ID})
	s.equal("a page", list(store.PipelineFilter{Limit: 1, Offset: 2}), []string{w.pipeline.ID})
	s.equal("open", get(s, (*store.Tx).OpenPipelines), []string{w.pipeline.ID, other.ID})

	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Pipeline(signalbox.NewID()); return err })
	s.refused(signalbox.CodeNotFound, func(t *store.Tx) error { _, err := t.LockPipeline(signalbox.NewID()); return err })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.UpdatePipeline(&signalbox.Pipeline{ID: signalbox.NewID()}, "engine", "x", "")
	})
}

func testQueue(s *suite) {
	w := s.world()
	var queue []*signalbox.Pipeline
	for range 3 {
		queue = append(queue, s.pipeline(w.workflow, "one at a time"))
	}
	ahead := func(p *signalbox.Pipeline) int {
		return get(s, func(t *store.Tx) (int, error) { return t.QueueAhead(p) })
	}
	next := func(key string) string {
		return get(s, func(t *store.Tx) (string, error) { return t.NextInQueue(key) })
	}
	for i, p := range queue {
		if n := ahead(p); n != i {
			s.Errorf("%d are ahead of number %d", n, i)
		}
	}
	s.equal("next", next("one at a time"), queue[0].ID)
	s.equal("next of an empty queue", next("nobody"), "")
	s.write(func(t *store.Tx) error {
		p := *queue[0]
		p.State = signalbox.PipelineDone
		return t.UpdatePipeline(&p, "engine", "done", "")
	})
	s.equal("next after the first is done", next("one at a time"), queue[1].ID)
	if n := ahead(queue[2]); n != 1 {
		s.Errorf("%d are ahead of the last, want 1", n)
	}
}

func testBlock(s *suite) {
	w := s.world()
	b := &signalbox.Block{PipelineID: w.pipeline.ID, Index: 1, Name: "Test", Dependencies: []int{0}, State: signalbox.BlockWaiting}
	s.write(func(t *store.Tx) error { return t.CreateBlock(b) })
	read := func() *signalbox.Block {
		return get(s, func(t *store.Tx) (*signalbox.Block, error) { return t.Block(b.ID) })
	}
	s.equal("by id", read(), b)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateBlock(&signalbox.Block{PipelineID: w.pipeline.ID, Index: 1, Name: "Same index", State: signalbox.BlockWaiting})
	})
	at := time.UnixMilli(1_700_000_000_123).UTC()
	b.State, b.Result, b.Reason, b.ErrorDescription, b.TerminateReason = signalbox.BlockDone, signalbox.ResultStopped, signalbox.ReasonUser, "why", signalbox.ReasonUser
	b.RunningAt, b.DoneAt = at, at.Add(time.Second)
	s.write(func(t *store.Tx) error { return t.UpdateBlock(b, signalbox.BlockWaiting, "engine", "stopped", "") })
	s.equal("after an update", read(), b)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.UpdateBlock(b, signalbox.BlockWaiting, "engine", "again", "")
	})
	list := get(s, func(t *store.Tx) ([]*signalbox.Block, error) { return t.Blocks(w.pipeline.ID) })
	s.equal("of the pipeline", ids(list, func(b *signalbox.Block) string { return b.ID }), []string{w.block.ID, b.ID})
	s.equal("history", s.reasons("block", b.ID), []string{"stopped"})
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Block(signalbox.NewID()); return err })
}
