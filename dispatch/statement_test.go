package dispatch

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// TestNoStatementPerJob counts what the server asks of the database from "1,000 jobs are queued" to "1,000 agents have
// their job": a number for each bundle of jobs, none for each job.
func TestNoStatementPerJob(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { countStatements(t, store.Options{Dir: storetest.Folder(t)}) })
	t.Run("postgres", func(t *testing.T) { countStatements(t, store.Options{URL: storetest.PostgresURL(t)}) })
}

func countStatements(t *testing.T, o store.Options) {
	const n = 1000
	var statements atomic.Int64
	o.OnStatement = func(string) { statements.Add(1) }
	st, eng, h := hubOn(t, o)
	var hashes []string
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		hashes = nil
		typ := &signalbox.AgentType{Name: "s1-many"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		for i := range n {
			ag := &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: fmt.Sprintf("agent-%d", i), State: signalbox.AgentRegistered}
			hashes = append(hashes, auth.HashToken(ag.Name))
			if err := tx.CreateAgent(ag, hashes[i]); err != nil {
				return err
			}
		}
		for p := range 4 {
			project, err := makeProject(tx, fmt.Sprintf("p%d", p), 0)
			if err != nil {
				return err
			}
			if _, err := queueJobs(tx, eng, project, typ.Name, n/4); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// The matcher does not run yet: all agents come to wait first.
	answers := make(chan agentapi.SyncResponse, n)
	for _, hash := range hashes {
		go func() {
			res, err := h.Sync(t.Context(), hash, waits, time.Minute)
			if err != nil {
				t.Error(err)
			}
			answers <- res
		}()
	}
	for waiting := 0; waiting < n; runtime.Gosched() {
		h.mu.Lock()
		waiting = h.line("s1-many").len()
		h.mu.Unlock()
	}
	statements.Store(0)
	h.matchAll(t.Context())
	jobs := map[string]bool{}
	for range n {
		res := <-answers
		if res.Action != agentapi.ActionRunJob || jobs[res.JobID] {
			t.Fatalf("%+v", res)
		}
		jobs[res.JobID] = true
	}
	bundles := int64((n + maxMatch - 1) / maxMatch)
	if got, limit := statements.Load(), 20*bundles; got > limit {
		t.Errorf("%d statements gave %d jobs to agents; at most %d are expected for %d bundles", got, n, limit, bundles)
	} else {
		t.Logf("%d statements for %d jobs in %d bundles", got, n, bundles)
	}
}

// hubOn is a hub on a store of its own, which does nothing by itself.
func hubOn(t *testing.T, o store.Options) (*store.Store, *engine.Engine, *Hub) {
	t.Helper()
	st := storetest.Open(t, o)
	keys, err := auth.NewKeyring(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	eng := engine.New(engine.Options{Store: st})
	h, err := New(Options{Store: st, Engine: eng, Log: joblog.New(joblog.Options{Store: st}), Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return st, eng, h
}
