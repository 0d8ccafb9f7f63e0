package schedule

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// Three servers share a database and see many due tasks at the same time: each task runs once.
func TestServersThatShareADatabase(t *testing.T) {
	const count = 25
	url := storetest.PostgresURL(t)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	w := &world{T: t, st: storetest.Open(t, store.Options{URL: url}), project: &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: "ci.yml"}}
	w.write(func(tx *store.Tx) error { return tx.CreateProject(w.project, "test") })
	var all []*signalbox.Task
	for i := range count {
		all = append(all, w.task("@yearly", func(k *signalbox.Task) { k.Name = fmt.Sprint("task ", i) }))
	}
	w.write(func(tx *store.Tx) error {
		for _, k := range all {
			seen := *k
			if _, err := tx.AdvanceTask(&seen, tx.Now); err != nil {
				return err
			}
		}
		return nil
	})
	woken, stop := w.st.Watch(store.KeyTasks)
	defer stop()
	group.Go(func() { _ = w.st.Run(ctx) })
	for range 3 {
		s, err := New(Options{Store: storetest.Open(t, store.Options{URL: url}), Starter: w})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() { _ = s.o.Store.Run(ctx) })
		group.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	limit := time.After(time.Minute)
	for len(w.workflows()) < count {
		select {
		case <-woken:
		case <-limit:
			t.Fatalf("%d workflows of %d after a minute", len(w.workflows()), count)
		}
	}
	cancel()
	group.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.starts) != count {
		t.Errorf("%d starts of %d tasks", len(w.starts), count)
	}
	for _, k := range all {
		if runs := w.runs(k); len(runs) != 1 {
			t.Errorf("%s: %q", k.Name, runs)
		}
	}
}
