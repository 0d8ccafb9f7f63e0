package storybook

import (
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// load is what agents of a type did in the last day, for a project that there is no more: more jobs by day than by night, and for
// two hours more than agents.
func (w *world) load(t *signalbox.AgentType) {
	const day = 24 * time.Hour
	w.back(day + time.Hour)
	p := w.Project("retired")
	ppl := w.Pipeline(w.Workflow(p, "main", "Everything"), signalbox.Pipeline{Name: "Build", State: signalbox.PipelineDone, Result: signalbox.ResultPassed})
	b := w.Block(ppl, signalbox.Block{Name: "Build", State: signalbox.BlockDone, Result: signalbox.ResultPassed})
	var agents []*signalbox.Agent
	for i := range 8 {
		agents = append(agents, w.Agent(t, fmt.Sprintf("old-%02d", i+1)))
	}
	free := make([]time.Time, len(agents)) // when each has no job any more
	w.at = w.now
	const step = 12 * time.Minute
	w.Write(func(tx *store.Tx) error {
		n := 0
		for at := w.Ago(day - step); at.Before(w.Ago(time.Hour)); at = at.Add(step) {
			hour := int(day-w.now.Sub(at)) / int(time.Hour)
			jobs := []int{1, 2, 4, 3, 2, 1}[hour/4]
			if hour == 9 || hour == 10 {
				jobs = 9
			}
			for k := range jobs {
				first := slices.Index(free, slices.MinFunc(free, time.Time.Compare))
				start := at.Add(2 * time.Second)
				if free[first].After(start) {
					start = free[first]
				}
				free[first] = start.Add(time.Duration(9+5*k%7) * time.Minute)
				if err := tx.CreateJob(&signalbox.Job{
					PipelineID: ppl.ID, BlockID: b.ID, WorkflowID: ppl.WorkflowID, ProjectID: p.ID, AgentType: t.Name, Index: n, Name: fmt.Sprintf("Build %d", n),
					State: signalbox.JobFinished, Result: signalbox.JobPassed, QueuedAt: at, StartedAt: start, FinishedAt: free[first],
				}, "engine"); err != nil {
					return err
				}
				n++
			}
		}
		return tx.DeleteProject(p.ID, "user:ana")
	})
	for i, a := range agents {
		w.ChangeAgent(a, "server", "gone", func(a *signalbox.Agent) {
			a.State, a.GoneAt, a.GoneReason = signalbox.AgentDisconnected, w.Ago(time.Duration(8-i)*30*time.Minute+time.Hour), signalbox.ReasonAgentLost
		})
	}
}
