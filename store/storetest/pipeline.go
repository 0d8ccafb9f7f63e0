package storetest

import (
	"slices"
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
	look := func(p *signalbox.Pipeline) store.Queued {
		return get(s, func(t *store.Tx) (store.Queued, error) { return t.Queued(p) })
	}
	open := func(except string) []string {
		return get(s, func(t *store.Tx) ([]string, error) { return t.OpenInQueue("one at a time", except) })
	}
	move := func(p *signalbox.Pipeline, state signalbox.PipelineState) {
		s.write(func(t *store.Tx) error {
			now, err := t.LockPipeline(p.ID)
			if err != nil {
				return err
			}
			now.State = state
			return t.UpdatePipeline(now, "engine", string(state), "")
		})
	}
	for _, p := range queue {
		move(p, signalbox.PipelinePending)
	}
	for i, p := range queue {
		s.equal("what is ahead", look(p), store.Queued{Ahead: i})
	}
	s.equal("open", open(""), []string{queue[0].ID, queue[1].ID, queue[2].ID})
	s.equal("open but one", open(queue[1].ID), []string{queue[0].ID, queue[2].ID})
	move(queue[1], signalbox.PipelineRunning)
	s.equal("seen by an older one", look(queue[0]), store.Queued{Running: 1})
	s.equal("seen by a younger one", look(queue[2]), store.Queued{Ahead: 2, Running: 1})
	move(queue[0], signalbox.PipelineDone)
	s.equal("after the first is done", look(queue[2]), store.Queued{Ahead: 1, Running: 1})
	s.equal("open then", open(""), []string{queue[1].ID, queue[2].ID})

	// What is not read yet is in no queue; then it may ask for the end of older ones, while it lasts.
	unread := *queue[0]
	unread.ID, unread.State, unread.AutoCancel = "", signalbox.PipelineInitializing, ""
	s.write(func(t *store.Tx) error { return t.CreatePipeline(&unread, "hook") })
	s.equal("an unread one counts for nobody", open(""), []string{queue[1].ID, queue[2].ID})
	if all := get(s, func(t *store.Tx) ([]string, error) { return t.InitializingPipelines(99) }); !slices.Contains(all, unread.ID) {
		s.Errorf("the unread one is not among %v", all)
	}
	s.write(func(t *store.Tx) error {
		unread.YAML, unread.AutoCancel, unread.Plan = "version: v1.0", signalbox.StrategyStop, &signalbox.Plan{Name: "Read"}
		unread.Queue = signalbox.Queue{Name: "mine", Parallel: true}
		if err := t.InitializePipeline(&unread); err != nil {
			return err
		}
		unread.State = signalbox.PipelinePending
		return t.UpdatePipeline(&unread, "engine", "pending", "")
	})
	s.equal("as read", get(s, func(t *store.Tx) (*signalbox.Pipeline, error) { return t.Pipeline(unread.ID) }), &unread)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.InitializePipeline(&unread) })
	s.equal("it wants the older ones stopped", look(queue[1]), store.Queued{Cancel: signalbox.StrategyStop, By: unread.ID})
	s.equal("and not itself", look(&unread), store.Queued{Ahead: 2, Running: 1})
	move(&unread, signalbox.PipelineDone)
	s.equal("that ends with it", look(queue[1]), store.Queued{})
}

// testOverdue covers the deadlines of pipelines and blocks.
func testOverdue(s *suite) {
	w := s.world()
	overdue := func(at time.Time) []string {
		return get(s, func(t *store.Tx) ([]string, error) { return t.OverduePipelines(at, 9) })
	}
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	b := &signalbox.Block{PipelineID: w.pipeline.ID, Index: 7, Name: "B", State: signalbox.BlockWaiting}
	s.write(func(t *store.Tx) error { return t.CreateBlock(b) })
	s.write(func(t *store.Tx) error {
		b.State, b.Deadline = signalbox.BlockRunning, soon
		return t.UpdateBlock(b, signalbox.BlockWaiting, "engine", "running", "")
	})
	s.equal("before", overdue(soon.Add(-time.Second)), []string{})
	s.equal("a block", overdue(soon), []string{w.pipeline.ID})
	s.write(func(t *store.Tx) error {
		b.State = signalbox.BlockDone
		return t.UpdateBlock(b, signalbox.BlockRunning, "engine", "passed", "")
	})
	s.equal("the block is done", overdue(soon), []string{})
	s.write(func(t *store.Tx) error {
		p, err := t.LockPipeline(w.pipeline.ID)
		if err != nil {
			return err
		}
		p.State, p.Deadline = signalbox.PipelineRunning, soon
		return t.UpdatePipeline(p, "engine", "running", "")
	})
	s.equal("a pipeline", overdue(soon), []string{w.pipeline.ID})
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
