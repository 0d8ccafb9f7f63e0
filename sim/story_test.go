package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/store"
)

// run lets things happen, then lets them come to rest, and checks what has become of them.
func (w *world) run() {
	dice := w.dice(1)
	ctx, stop := context.WithCancel(w.end)
	defer stop()
	go w.nurse(ctx)
	w.setRules(w.dice(4))
	agents := 0
	hire := func() {
		agents++
		a := newAgent(w, w.dice(uint64(1000+agents)), fmt.Sprintf("agent-%d", agents))
		w.tasks.Go(func() { a.live(ctx) })
	}
	steps := 5 + dice.IntN(4)
	if dice.IntN(6) == 0 {
		steps = 14
	}
	if w.lonely = dice.IntN(4) == 0; w.lonely {
		hire()
	} else {
		for range 2 + dice.IntN(3) {
			hire()
		}
	}
	w.changeType(dice)
	for step := range steps {
		sleep(ctx, time.Duration(dice.Int64N(int64(3*time.Minute))))
		w.look()
		switch k := dice.IntN(22); {
		case step == 0 || k < 5:
			w.push(dice, step+1)
		case k < 8:
			w.killServer(ctx, dice)
		case k < 11:
			w.stopSomething(dice)
		case k < 14:
			w.changeFleet(dice)
		case k < 15:
			w.resetTokens(time.Duration(dice.IntN(2))*10*time.Minute, dice.IntN(4) == 0)
		case k < 16:
			w.changeType(dice)
		case k < 17:
			hire()
		case k < 18:
			w.fillDisk(dice)
		case k < 20:
			w.turnClock(dice)
		default:
			w.repeat(dice)
		}
	}
	w.rest(ctx, dice, hire)
	stop()
	w.settle(dice)
	w.check()
}

// rest is the time in which nothing fails any more and there are agents; everything must come to its end.
func (w *world) rest(ctx context.Context, dice *rand.Rand, hire func()) {
	w.mu.Lock()
	w.calm, w.refuses, w.fuse = true, "", 0
	w.mu.Unlock()
	w.note("calm")
	for !w.resetTokens(0, false) { // the newest may be one that nobody was told
		sleep(ctx, 10*time.Second)
	}
	deadline := time.Now().Add(6 * time.Hour)
	for n := 0; ; n++ {
		open := w.open()
		if len(open) == 0 {
			break
		}
		if time.Now().After(deadline) {
			w.wrong("six hours after the last fault these have not ended: %v (I1)", open)
			break
		}
		if n%2 == 0 {
			hire()
		}
		sleep(ctx, 2*time.Minute)
	}
	sleep(ctx, time.Duration(dice.Int64N(int64(time.Minute))))
}

// settle lets what is still under way arrive, after everybody has left, and starts the server once more.
func (w *world) settle(dice *rand.Rand) {
	close(w.flush)
	time.Sleep(2 * time.Second)
	w.down(dice.IntN(2) == 0)
	w.boot()
	time.Sleep(time.Second)
}

// push starts a pipeline of some blocks.
func (w *world) push(dice *rand.Rand, n int) {
	var y strings.Builder
	y.WriteString("version: v1.0\nagent: {machine: {type: " + typeName + "}}\n")
	if dice.IntN(3) == 0 {
		y.WriteString("fail_fast: {" + []string{"stop", "cancel"}[dice.IntN(2)] + ": {when: \"true\"}}\n")
	}
	if dice.IntN(8) == 0 {
		y.WriteString("execution_time_limit: {minutes: 4}\n")
	}
	y.WriteString("blocks:\n")
	for b := range 1 + dice.IntN(3) {
		fmt.Fprintf(&y, "  - name: B%d\n    dependencies: [", b)
		if b > 0 && dice.IntN(3) > 0 {
			fmt.Fprintf(&y, "B%d", dice.IntN(b))
		}
		y.WriteString("]\n    task:\n      jobs:\n")
		for j := range 1 + dice.IntN(3) {
			kind := "good"
			if dice.IntN(6) == 0 {
				kind = "bad"
			}
			fmt.Fprintf(&y, "        - {name: %s p%d B%d %d, commands: [\"true\"]", kind, n, b, j)
			if dice.IntN(4) == 0 {
				fmt.Fprintf(&y, ", priority: [{value: %d, when: \"true\"}]", dice.IntN(100))
			}
			if w.lonely || dice.IntN(2) == 0 {
				on := []string{"agent_restarted", "agent_lost", "start_failed", "interrupted", "agent_disconnected"}
				if !w.lonely {
					on = on[dice.IntN(len(on)):]
				}
				fmt.Fprintf(&y, ", retry: {on: [%s], limit: %d}", strings.Join(on, ", "), 1+dice.IntN(3))
			}
			y.WriteString("}\n")
		}
	}
	w.act("push", func(ctx context.Context, s *server) error {
		return s.tx(ctx, func(tx *store.Tx, eng *engine.Engine) error {
			p, err := tx.FindProject("demo")
			if err != nil {
				return err
			}
			wf, _, err := tx.CreateWorkflow(&signalbox.Workflow{
				ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: fmt.Sprint("push ", n), TriggeredBy: signalbox.TriggeredByHook, RequestToken: signalbox.NewID(),
			}, "test")
			if err != nil {
				return err
			}
			_, err = eng.Create(tx, wf, engine.Source{File: "p.yml", YAML: []byte(y.String())}, "test")
			return err
		})
	})
}

// killServer ends the process: politely, at once, or in one of its next transactions.
func (w *world) killServer(ctx context.Context, dice *rand.Rand) {
	how, n, away := dice.IntN(5), 1+dice.IntN(60), time.Duration(dice.Int64N(int64(3*time.Minute)))
	if how < 3 {
		w.mu.Lock()
		if w.server != nil {
			w.fuse = n
		}
		w.mu.Unlock()
		return
	}
	w.mu.Lock()
	there := w.server != nil && !w.dying
	if there {
		w.fuse = 0
	}
	w.mu.Unlock()
	if !there {
		return
	}
	w.count([]string{"server stopped", "server killed"}[how-3])
	w.note("the server ends, politely: %v", how == 3)
	w.down(how == 4)
	sleep(ctx, away)
	if dice.IntN(4) == 0 {
		w.turnClock(dice)
		w.count("clock is another after a restart")
	}
	w.boot()
	w.note("the server is back")
}

// turnClock moves the server's clock.
func (w *world) turnClock(dice *rand.Rand) {
	d := time.Duration(dice.Int64N(int64(2*time.Hour))) - time.Hour
	w.mu.Lock()
	w.skew += d
	w.jumps++
	w.mu.Unlock()
	w.note("the clock jumps by %s", d)
	if d > 0 {
		w.count("clock jumps forward")
	} else {
		w.count("clock jumps back")
	}
}

// fillDisk lets the server's disk refuse writes for a while: all, those of logs, or those of jobs.
func (w *world) fillDisk(dice *rand.Rand) {
	what, d := []string{" ", " log", "job"}[dice.IntN(3)], time.Duration(dice.Int64N(int64(2*time.Minute)))
	w.mu.Lock()
	w.refuses = what
	w.mu.Unlock()
	w.note("the disk refuses%q for %s", what, d)
	time.AfterFunc(d, func() {
		w.mu.Lock()
		w.refuses = ""
		w.mu.Unlock()
	})
}

func (w *world) stopSomething(dice *rand.Rand) {
	whole, pick, which := dice.IntN(3) == 0, dice.Uint64(), dice.Uint64()
	var running []string
	var halted string
	what := map[bool]string{false: "stop a job", true: "stop a pipeline"}[whole]
	if !w.act(what, func(ctx context.Context, s *server) error {
		return s.tx(ctx, func(tx *store.Tx, eng *engine.Engine) error {
			running, halted = nil, ""
			pipelines, _, jobs, err := tx.PipelinesAfter("", 1000)
			if err != nil || len(pipelines) == 0 {
				return err
			}
			p := pipelines[pick%uint64(len(pipelines))]
			jobs = slices.DeleteFunc(jobs, func(j *signalbox.Job) bool { return j.PipelineID != p.ID })
			if len(jobs) == 0 {
				return nil // a repeat of which nothing has begun yet
			}
			if !whole {
				jobs = jobs[which%uint64(len(jobs)):][:1]
			}
			for _, j := range jobs {
				if j.State != signalbox.JobFinished {
					running = append(running, j.ID)
				}
			}
			if !whole {
				return eng.StopJob(tx, jobs[0].ID, "user:ann", signalbox.ReasonUser)
			}
			if p.State != signalbox.PipelineDone {
				halted = p.ID
			}
			return eng.StopPipeline(tx, p.ID, "user:ann", signalbox.ReasonUser)
		})
	}) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range running {
		w.stopped[j] = true
	}
	w.halted[halted] = true
}

// repeat runs what failed in a pipeline once more.
func (w *world) repeat(dice *rand.Rand) {
	pick := dice.Uint64()
	w.act("repeat what failed", func(ctx context.Context, s *server) error {
		return s.tx(ctx, func(tx *store.Tx, eng *engine.Engine) error {
			all, _, _, err := tx.PipelinesAfter("", 1000)
			all = slices.DeleteFunc(all, func(p *signalbox.Pipeline) bool {
				return p.State != signalbox.PipelineDone || p.Result != signalbox.ResultFailed
			})
			if err != nil || len(all) == 0 {
				return err
			}
			w.count("pipeline repeated")
			_, err = eng.Rerun(tx, all[pick%uint64(len(all))].ID, signalbox.NewID(), "ann", "user:ann")
			return err
		})
	})
}

var fleetActions = []fleet.Action{fleet.Drain, fleet.Undrain, fleet.Disable, fleet.Disable, fleet.Enable, fleet.Stop, fleet.Delete, fleet.Force, fleet.Quarantine, fleet.Release}

func (w *world) changeFleet(dice *rand.Rand) {
	pick, action := dice.Uint64(), fleetActions[dice.IntN(len(fleetActions))]
	w.act(string(action)+" an agent", func(ctx context.Context, s *server) error {
		var all []*signalbox.Agent
		if err := s.st.Read(ctx, func(tx *store.Tx) (err error) { all, err = tx.Agents(""); return err }); err != nil || len(all) == 0 {
			return err
		}
		name := all[pick%uint64(len(all))].Name
		w.note("%s %s", action, name)
		_, err := s.fleet.ChangeAgents(ctx, fleet.Selection{Names: []string{name}}, action, "user:ann")
		return err
	})
}

// resetTokens makes a new registration token. The old ones end after a while, or at once.
func (w *world) resetTokens(overlap time.Duration, disconnect bool) bool {
	return w.act("reset the tokens", func(ctx context.Context, s *server) error {
		token, err := s.fleet.ResetTokens(ctx, typeName, overlap, disconnect, "user:ann")
		if token != "" {
			w.mu.Lock()
			w.token = token
			w.mu.Unlock()
		}
		return err
	})
}

// changeType changes after how long agents are lost, and how many jobs may run at once.
func (w *world) changeType(dice *rand.Rand) {
	lost, limit := time.Duration(dice.IntN(3))*5*time.Minute, max(0, dice.IntN(6)-2)
	w.act("change the agent type", func(ctx context.Context, s *server) error {
		_, err := s.fleet.ChangeType(ctx, typeName, func(t *signalbox.AgentType) error {
			t.LostAfter, t.MaxRunningJobs = lost, limit
			t.Lease, t.Ephemeral, t.Quarantine = w.rules.Lease, w.rules.Ephemeral, w.rules.Quarantine
			return nil
		}, "user:ann")
		return err
	})
}

// open returns the pipelines that have not ended, and the agents that have an attempt.
func (w *world) open() (open []string) {
	w.own(func(tx *store.Tx) error {
		open = nil
		all, _, _, err := tx.PipelinesAfter("", 1000)
		for _, p := range all {
			if p.State != signalbox.PipelineDone {
				open = append(open, p.ID)
			}
		}
		if err != nil {
			return err
		}
		agents, err := tx.Agents("")
		for _, g := range agents {
			if g.AttemptID != "" {
				open = append(open, g.Name)
			}
		}
		return err
	})
	return open
}
