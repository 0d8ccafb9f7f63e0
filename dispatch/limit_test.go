package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// project makes a project of a name.
func makeProject(tx *store.Tx, name string, limit int) (*signalbox.Project, error) {
	p := &signalbox.Project{Name: name, GitURL: "/srv/" + name + ".git", PipelineFile: "p.yml", MaxRunningJobs: limit}
	return p, tx.CreateProject(p, "test")
}

// queueJobs queues n pipelines of one job each and returns the jobs.
func queueJobs(tx *store.Tx, e *engine.Engine, p *signalbox.Project, agentType string, n int) ([]string, error) {
	var ids []string
	for range n {
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: signalbox.NewID(), TriggeredBy: signalbox.TriggeredByHook,
			RequestToken: signalbox.NewID(),
		}, "test")
		if err != nil {
			return nil, err
		}
		ppl, err := e.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
			"version: v1.0\nagent: {machine: {type: " + agentType + "}}\nblocks:\n  - task: {jobs: [{commands: [\"true\"], retry: {on: [agent_restarted], limit: 3}}]}\n")}, "test")
		if err != nil {
			return nil, err
		}
		jobs, err := tx.JobsOf(ppl.ID)
		if err != nil {
			return nil, err
		}
		ids = append(ids, jobs[0].ID)
	}
	return ids, nil
}

func (r *replay) jobsOf(name string, limit, n int) (ids []string) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		p, err := tx.FindProject(name)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			p, err = makeProject(tx, name, limit)
		}
		if err != nil {
			return err
		}
		ids, err = queueJobs(tx, r.eng, p, "s1-linux", n)
		return err
	})
	return ids
}

// agents lets n agents wait at once and returns what they were told, by agent.
func (r *replay) hold(tokens []string) (answers []agentapi.SyncResponse, wait func()) {
	answers = make([]agentapi.SyncResponse, len(tokens))
	var group sync.WaitGroup
	for i, token := range tokens {
		group.Go(func() { answers[i] = r.say(token, waits) })
	}
	return answers, group.Wait
}

func (r *replay) agents(n int) (tokens []string) {
	for i := range n {
		tokens = append(tokens, r.register(agentapi.RegisterRequest{Name: fmt.Sprintf("agent-%d", i)}))
	}
	return tokens
}

func TestASingleJobIsNotBehindAThousand(t *testing.T) {
	bubble(t, func(r *replay) {
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		r.jobsOf("big", 0, 100)
		first := r.say(token, waits).JobID
		small := r.jobsOf("small", 0, 1)[0]
		r.fetch(token, first)
		r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: first, JobResult: "passed"})
		if res := r.say(token, waits); res.JobID != small {
			r.Errorf("the next job is %+v, want %s", res, small)
		}
	})
}

func TestLimitsHoldAndLetGoAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(tx *store.Tx, n int) error
	}{
		{"organization", func(tx *store.Tx, n int) error {
			return tx.UpdateOrganization(&signalbox.Organization{MaxRunningJobs: n}, "test", "")
		}},
		{"agent type", func(tx *store.Tx, n int) error {
			typ, err := tx.AgentType("s1-linux")
			if err != nil {
				return err
			}
			typ.MaxRunningJobs = n
			return tx.UpdateAgentType(typ, "test", "")
		}},
		{"project", func(tx *store.Tx, n int) error {
			p, err := tx.FindProject("demo")
			if err != nil {
				return err
			}
			p.MaxRunningJobs = n
			return tx.UpdateProject(p, "test", "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *replay) {
				r.hub.Timing.Hold = 8 * time.Second
				tokens := r.agents(4)
				r.jobsOf("demo", 0, 0)
				r.write(func(tx *store.Tx) error { return c.set(tx, 2) })
				answers, wait := r.hold(tokens)
				synctest.Wait()
				r.jobsOf("demo", 0, 4)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				var busy []int
				for i, a := range answers {
					if a.Action == agentapi.ActionRunJob {
						busy = append(busy, i)
					}
				}
				if len(busy) != 2 {
					r.Fatalf("%d of 4 agents got a job with a limit of 2", len(busy))
				}
				running := func() (n int) {
					for _, a := range answers {
						if a.Action == agentapi.ActionRunJob {
							n++
						}
					}
					return n
				}
				// A job ends: the next one starts on an agent that waits already, without a pause.
				begin := time.Now()
				job := answers[busy[0]].JobID
				r.fetch(tokens[busy[0]], job)
				r.say(tokens[busy[0]], agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "passed"})
				synctest.Wait()
				if running() != 3 || time.Since(begin) > 0 {
					r.Errorf("%d agents had a job %s after one had ended, want 3 at once", running(), time.Since(begin))
				}
				// The limit is lifted: the last one starts too.
				r.write(func(tx *store.Tx) error { return c.set(tx, 0) })
				synctest.Wait()
				if running() != 4 || time.Since(begin) > 0 {
					r.Errorf("%d agents had a job %s after the limit was lifted, want 4 at once", running(), time.Since(begin))
				}
				wait()
			})
		})
	}
}

func TestADedicatedAgentKeepsTheLimits(t *testing.T) {
	bubble(t, func(r *replay) {
		ids := r.jobsOf("demo", 1, 2)
		r.register(agentapi.RegisterRequest{Name: "agent-one", SingleJob: true, JobID: ids[0]})
		w := r.call("POST", agentapi.Base+agentapi.PathRegister, "Token "+r.registration,
			agentapi.RegisterRequest{Name: "agent-two", SingleJob: true, JobID: ids[1]})
		if w.Code < 400 {
			r.Errorf("a second job of a project that may have one: %d %s", w.Code, w.Body)
		}
	})
}

// TestServersTogetherKeepALimit lets several servers on one PostgreSQL assign at the same moment.
func TestServersTogetherKeepALimit(t *testing.T) {
	const servers, agents, limit = 3, 12, 7
	url := storetest.PostgresURL(t)
	var stores []*store.Store
	var hubs []*Hub
	for range servers {
		st, err := store.Open(t.Context(), store.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		h := &Hub{Options: Options{Store: st, Engine: engine.New(engine.Options{Store: st})}, pokeC: make(chan struct{}, 1)}
		stores, hubs = append(stores, st), append(hubs, h)
	}
	var waiting [servers][]*waiter
	var ids []string
	if err := stores[0].Write(t.Context(), func(tx *store.Tx) error {
		ids = nil
		typ := &signalbox.AgentType{Name: "s1-many"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		if err := tx.UpdateOrganization(&signalbox.Organization{MaxRunningJobs: limit}, "test", ""); err != nil {
			return err
		}
		for s := range servers {
			waiting[s] = nil
			for i := range agents {
				ag := &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: fmt.Sprintf("agent-%d-%d", s, i), State: signalbox.AgentRegistered}
				if err := tx.CreateAgent(ag, ag.Name); err != nil {
					return err
				}
				waiting[s] = append(waiting[s], &waiter{agentType: typ.Name, agentID: ag.ID})
			}
		}
		for i := range 3 {
			p, err := makeProject(tx, fmt.Sprintf("p%d", i), 0)
			if err != nil {
				return err
			}
			more, err := queueJobs(tx, hubs[0].Engine, p, typ.Name, 10)
			if err != nil {
				return err
			}
			ids = append(ids, more...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for s, h := range hubs {
		for _, w := range waiting[s] { // one transaction each, all at once
			group.Go(func() {
				if _, _, _, err := h.offer(context.Background(), "s1-many", []*waiter{w}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	active := map[string]int{}
	if err := stores[0].Read(t.Context(), func(tx *store.Tx) error {
		for _, id := range ids {
			j, err := tx.Job(id)
			if err != nil {
				return err
			}
			if j.State.Active() {
				active[j.ProjectID]++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	total := 0
	for p, n := range active {
		if total += n; n > 3 {
			t.Errorf("project %s has %d of %d", p, n, limit)
		}
	}
	if total != limit {
		t.Errorf("%d jobs were assigned with a limit of %d", total, limit)
	}
}
