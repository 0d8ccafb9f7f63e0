package queue_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// What is said of many waiting jobs at once is what is said of each alone, in the order of their places.
func TestExplainWaiting(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: storetest.Folder(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	var jobs []*signalbox.Job
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		typ := &signalbox.AgentType{Name: "s1-linux", MaxRunningJobs: 9}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		for i := range 3 {
			ag := &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: "agent-" + strconv.Itoa(i), State: signalbox.AgentRegistered}
			if err := tx.CreateAgent(ag, strconv.Itoa(i)); err != nil {
				return err
			}
		}
		for i, n := range []int{5, 2, 4} {
			made, err := makeLine(tx, fmt.Sprintf("p%d", i), i, n)
			if err != nil {
				return err
			}
			jobs = append(jobs, made...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := st.Read(t.Context(), func(tx *store.Tx) error {
		all, err := queue.ExplainWaiting(tx, "s1-linux", 100, time.Time{})
		if err != nil {
			return err
		}
		if len(all) != len(jobs) {
			t.Errorf("%d jobs are explained, %d wait", len(all), len(jobs))
		}
		var places []int
		for _, w := range all {
			alone, err := queue.ExplainJob(tx, w.Job, time.Time{})
			if err != nil {
				return err
			}
			if diff := cmp.Diff(alone, w.Why); diff != "" {
				t.Errorf("job %s, alone and among others: %s", w.Job.Name, diff)
			}
			places = append(places, w.Why.Position)
		}
		if !slices.IsSorted(places) || places[0] != 1 {
			t.Errorf("the order of places is %v", places)
		}
		few, err := queue.ExplainWaiting(tx, "s1-linux", 2, time.Time{})
		if err != nil || len(few) != 2 || few[0].Job.ID != all[0].Job.ID {
			t.Errorf("of two: %d, %v", len(few), err)
		}
		none, err := queue.ExplainWaiting(tx, "s1-none", 2, time.Time{})
		if err != nil || none != nil {
			t.Errorf("of a type that nobody waits for: %v, %v", none, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// makeLine makes a project with n queued jobs of different priorities; limit 0 is none.
func makeLine(tx *store.Tx, name string, limit, n int) (jobs []*signalbox.Job, err error) {
	p := &signalbox.Project{Name: name, GitURL: "/srv/x.git", PipelineFile: "p.yml", MaxRunningJobs: limit}
	if err := tx.CreateProject(p, "test"); err != nil {
		return nil, err
	}
	w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
		ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByAPI, RequestToken: name,
	}, "test")
	if err != nil {
		return nil, err
	}
	l := &signalbox.Pipeline{WorkflowID: w.ID, ProjectID: p.ID, Name: "Pipeline", QueueKey: name, State: signalbox.PipelineRunning}
	if err := tx.CreatePipeline(l, "test"); err != nil {
		return nil, err
	}
	b := &signalbox.Block{PipelineID: l.ID, Name: "Block", State: signalbox.BlockRunning}
	if err := tx.CreateBlock(b); err != nil {
		return nil, err
	}
	for i := range n {
		j := &signalbox.Job{
			BlockID: b.ID, PipelineID: l.ID, WorkflowID: w.ID, ProjectID: p.ID, Index: i, Name: fmt.Sprintf("%s job %d", name, i), AgentType: "s1-linux",
			Priority: 50 + 10*(i%2), State: signalbox.JobQueued, Spec: signalbox.JobSpec{MachineType: "s1-linux"},
		}
		if err := tx.CreateJob(j, "test"); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}
