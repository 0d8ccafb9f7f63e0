package sim

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

var (
	seeds = flag.Int("seeds", 0, "how many seeds to play; 0 is a few with -short or -race, many otherwise")
	first = flag.Uint64("seed", 0, "the first seed; 0 is a random one")
)

// epoch is when virtual time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestSimulation plays worlds with faults until everything in them has come to its end, and checks what is stored.
func TestSimulation(t *testing.T) {
	n, from := *seeds, *first
	if n == 0 {
		n = defaultSeeds
		if testing.Short() {
			n = 20
		}
	}
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds %d to %d; -seed=%d -seeds=1 plays one again", from, from+uint64(n)-1, from)
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "sim"); err == nil {
		dir = shm
		t.Cleanup(func() { os.RemoveAll(shm) })
	}
	var next atomic.Uint64
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for {
				i := next.Add(1) - 1
				if i >= uint64(n) || t.Failed() {
					return
				}
				seed, folder := from+i, filepath.Join(dir, fmt.Sprint(i))
				play(t, seed, folder)
				if t.Failed() {
					t.Fatalf("seed %d failed: go test ./sim -run TestSimulation -seed=%d -seeds=1 -v", seed, seed)
				}
				if err := os.RemoveAll(folder); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func play(t *testing.T, seed uint64, dir string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, dir)
		defer func() {
			if t.Failed() || *seeds == 1 && testing.Verbose() {
				t.Logf("seed %d:\n%s", seed, strings.Join(w.events, "\n"))
			}
		}()
		w.run()
	})
}

func (w *world) run() {
	dice := w.dice(1)
	ctx, stop := context.WithCancel(w.end)
	defer stop()
	agents := 0
	hire := func() {
		agents++
		a := &agent{w: w, dice: w.dice(uint64(1000 + agents)), name: fmt.Sprintf("agent-%d", agents), ours: dice.IntN(2) == 0, once: dice.IntN(4) == 0}
		w.tasks.Go(func() { a.live(ctx) })
	}
	for range 2 + dice.IntN(4) {
		hire()
	}
	var pipelines []string
	for step := range 12 {
		sleep(ctx, time.Duration(dice.Int64N(int64(4*time.Minute))))
		switch k := dice.IntN(14); {
		case step < 2 || k < 4:
			pipelines = append(pipelines, w.push(dice))
		case k < 6:
			w.note("the server is killed")
			w.down()
			sleep(ctx, time.Duration(dice.Int64N(int64(3*time.Minute))))
			w.boot()
			w.note("the server is back")
		case k < 8:
			w.stopSomething(dice, pipelines)
		case k < 9:
			w.changeFleet(dice)
		case k < 11:
			hire()
		case k < 12:
			w.mu.Lock()
			w.skew += time.Duration(dice.Int64N(int64(2*time.Hour))) - time.Hour
			w.mu.Unlock()
			w.note("the clock jumps")
		}
	}
	// From here on nothing fails, and there are agents.
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.note("calm")
	deadline := time.Now().Add(6 * time.Hour)
	for open := w.open(pipelines); len(open) > 0; open = w.open(pipelines) {
		if time.Now().After(deadline) {
			w.Errorf("seed %d: six hours after the last fault these have not ended: %v", w.seed, open)
			break
		}
		hire()
		sleep(ctx, 5*time.Minute)
	}
	sleep(ctx, time.Minute)
	stop()
	w.check(pipelines)
}

// push starts a pipeline of some blocks.
func (w *world) push(dice *rand.Rand) (id string) {
	var y strings.Builder
	y.WriteString("version: v1.0\nagent: {machine: {type: s1-sim}}\n")
	if dice.IntN(3) == 0 {
		y.WriteString("fail_fast: {" + []string{"stop", "cancel"}[dice.IntN(2)] + ": {when: \"true\"}}\n")
	}
	y.WriteString("blocks:\n")
	blocks := 1 + dice.IntN(3)
	for b := range blocks {
		fmt.Fprintf(&y, "  - name: B%d\n    dependencies: [", b)
		if b > 0 && dice.IntN(3) > 0 {
			fmt.Fprintf(&y, "B%d", dice.IntN(b))
		}
		y.WriteString("]\n    task:\n      jobs:\n")
		for j := range 1 + dice.IntN(3) {
			name := "good"
			if dice.IntN(6) == 0 {
				name = "bad"
			}
			fmt.Fprintf(&y, "        - {name: %s %d, commands: [\"true\"]", name, j)
			if dice.IntN(2) == 0 {
				y.WriteString(", retry: {on: [agent_lost, agent_restarted, start_failed, interrupted, agent_disconnected], limit: 3}")
			}
			y.WriteString("}\n")
		}
	}
	w.write(func(tx *store.Tx) error {
		p, err := tx.FindProject("demo")
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			p = &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: "p.yml"}
			err = tx.CreateProject(p, "test")
		}
		if err != nil {
			return err
		}
		wf, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: signalbox.NewID(), TriggeredBy: signalbox.TriggeredByHook, RequestToken: signalbox.NewID(),
		}, "test")
		if err != nil {
			return err
		}
		ppl, err := w.eng.Create(tx, wf, engine.Source{File: "p.yml", YAML: []byte(y.String())}, "test")
		if err != nil {
			return err
		}
		id = ppl.ID
		return nil
	})
	w.note("pipeline %s", id)
	return id
}

func (w *world) stopSomething(dice *rand.Rand, pipelines []string) {
	id := pipelines[dice.IntN(len(pipelines))]
	whole := dice.IntN(2) == 0
	pick := dice.Uint64()
	w.write(func(tx *store.Tx) error {
		if whole {
			return w.eng.StopPipeline(tx, id, "user:ann", signalbox.ReasonUser)
		}
		jobs, err := tx.JobsOf(id)
		if err != nil || len(jobs) == 0 {
			return err
		}
		return w.eng.StopJob(tx, jobs[pick%uint64(len(jobs))].ID, "user:ann", signalbox.ReasonUser)
	})
	w.note("stop in %s, all of it: %v", id, whole)
}

func (w *world) changeFleet(dice *rand.Rand) {
	pick, drain := dice.Uint64(), dice.IntN(2) == 0
	w.write(func(tx *store.Tx) error {
		all, err := tx.Agents("")
		if err != nil || len(all) == 0 {
			return err
		}
		g, err := tx.LockAgent(all[pick%uint64(len(all))].ID)
		if err != nil {
			return err
		}
		if drain {
			g.DrainAt = tx.Now
		} else {
			g.DisabledAt = tx.Now
		}
		w.note("%s is to leave, after its job: %v", g.Name, drain)
		return tx.UpdateAgent(g, g.AttemptID, "user:ann", "changed", "")
	})
}

func (w *world) open(pipelines []string) (open []string) {
	w.write(func(tx *store.Tx) error {
		open = nil
		for _, id := range pipelines {
			p, err := tx.Pipeline(id)
			if err != nil {
				return err
			}
			if p.State != signalbox.PipelineDone {
				open = append(open, id)
			}
		}
		return nil
	})
	return open
}
