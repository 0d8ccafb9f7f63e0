package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func workflowID(w *signalbox.Workflow) string { return w.ID }

func testWorkflow(s *suite) {
	w := s.world()
	first := w.workflow
	s.equal("by id", get(s, func(t *store.Tx) (*signalbox.Workflow, error) { return t.Workflow(first.ID) }), first)
	second := s.workflow(w.project.ID, "main", "token 2")
	branch := s.workflow(w.project.ID, "topic", "token 3")
	s.equal("numbers", []int{first.Number, second.Number, branch.Number}, []int{1, 2, 1})

	// The same request token gives the same workflow and stores nothing.
	var old *signalbox.Workflow
	var created bool
	s.write(func(t *store.Tx) (err error) {
		old, created, err = t.CreateWorkflow(&signalbox.Workflow{ProjectID: w.project.ID, BranchName: "other", RequestToken: "token"}, "test")
		return err
	})
	if created {
		s.Error("a repeated request made a second workflow")
	}
	s.equal("the workflow of a repeated request", old, first)
	s.equal("by token", get(s, func(t *store.Tx) (*signalbox.Workflow, error) { return t.FindWorkflow(w.project.ID, "token") }), first)
	s.missing("unknown token", func(t *store.Tx) error { _, err := t.FindWorkflow(w.project.ID, "none"); return err })

	list := func(f store.WorkflowFilter) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Workflow, error) { return t.Workflows(f) }), workflowID)
	}
	s.equal("all", list(store.WorkflowFilter{}), []string{branch.ID, second.ID, first.ID})
	s.equal("of a branch", list(store.WorkflowFilter{ProjectID: w.project.ID, BranchName: "main"}), []string{second.ID, first.ID})
	s.equal("a page", list(store.WorkflowFilter{Limit: 1, Offset: 1}), []string{second.ID})
	s.equal("of nobody", list(store.WorkflowFilter{ProjectID: "nobody"}), []string(nil))
	count := func(limit int) int {
		return get(s, func(t *store.Tx) (int, error) { return t.CountWorkflows(w.project.ID, limit) })
	}
	s.equal("counted, and counted up to a limit", []int{count(10), count(2)}, []int{3, 2})
	s.equal("history", s.reasons("workflow", first.ID), []string{"created"})
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Workflow(signalbox.NewID()); return err })
}

func testWorkflowNumbersUnderLoad(s *suite) {
	w := s.world()
	var group sync.WaitGroup
	var mu sync.Mutex
	var numbers []int
	for i := range 16 {
		group.Go(func() {
			var n int
			err := s.s.Write(context.Background(), func(t *store.Tx) error {
				x, _, err := t.CreateWorkflow(&signalbox.Workflow{
					ProjectID: w.project.ID, Ref: "r", RefType: "branch", BranchName: "busy", Label: "busy", CommitSHA: "x",
					TriggeredBy: signalbox.TriggeredByAPI, RequestToken: fmt.Sprint("load ", i/2),
				}, "test")
				if err == nil {
					n = x.Number
				}
				return err
			})
			if err != nil {
				s.Error(err)
			}
			mu.Lock()
			numbers = append(numbers, n)
			mu.Unlock()
		})
	}
	group.Wait()
	slices.Sort(numbers)
	s.equal("numbers, each given to two equal requests", numbers, []int{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8})
}
