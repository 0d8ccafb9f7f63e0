package fleet

import (
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// BenchmarkUsage adds up a day with as many jobs as are read at most.
func BenchmarkUsage(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.OpenSQLite, "postgres": storetest.OpenPostgres} {
		b.Run(name, func(b *testing.B) {
			st := open(b)
			w := scene.Scene{Context: b.Context(), Store: st, Log: joblog.New(joblog.Options{Store: st}), Now: time.Now, OnError: func(err error) { b.Fatal(err) }}
			typ := w.AgentType("s1-linux")
			p := w.Pipeline(w.Workflow(w.Project("demo"), "main", "x"), signalbox.Pipeline{State: signalbox.PipelineRunning})
			block := w.Block(p, signalbox.Block{State: signalbox.BlockRunning})
			now := time.Now()
			for from := 0; from < mostUsage; from += 1000 {
				w.Write(func(tx *store.Tx) error {
					for i := range 1000 {
						end := now.Add(-time.Duration(from+i) * 23 * time.Hour / mostUsage)
						if err := tx.CreateJob(&signalbox.Job{
							PipelineID: p.ID, BlockID: block.ID, WorkflowID: p.WorkflowID, ProjectID: p.ProjectID, AgentType: typ.Name, Index: from + i, State: signalbox.JobFinished,
							Result: signalbox.JobPassed, QueuedAt: end.Add(-2 * time.Minute), StartedAt: end.Add(-time.Minute), FinishedAt: end,
						}, "bench"); err != nil {
							return err
						}
					}
					return nil
				})
			}
			read := func() {
				if err := st.Read(b.Context(), func(tx *store.Tx) error {
					_, err := readUsage(tx, typ, UsageSpans[0], mostUsage+1)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
			read()
			at := time.Now()
			n := 0
			for b.Loop() {
				read()
				n++
			}
			b.ReportMetric(float64(time.Since(at).Milliseconds())/float64(n), "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
