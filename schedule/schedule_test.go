package schedule

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// world is a real store with a project, and a starter that stores workflows without a repository.
type world struct {
	*testing.T
	st      *store.Store
	project *signalbox.Project

	mu     sync.Mutex
	starts []start
	fail   func(n int) error // of start number n, from 1
	takes  time.Duration     // that a start waits
	leave  bool              // pipelines that are not done
}

// bubble runs a test in virtual time, which begins at midnight, 2000-01-01 UTC.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	dir := storetest.Folder(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, project: &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: "ci.yml"}}
		var err error
		if w.st, err = store.Open(context.Background(), store.Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		defer w.st.Close()
		w.write(func(tx *store.Tx) error { return tx.CreateProject(w.project, "test") })
		test(w)
	})
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.st.Write(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// start is what was asked of the starter.
type start struct {
	signalbox.TaskRun
	Project *signalbox.Project
	Actor   string
}

// StartTask implements Starter.
func (w *world) StartTask(ctx context.Context, p *signalbox.Project, run *signalbox.TaskRun, actor string) (*signalbox.Workflow, error) {
	r := start{*run, p, actor}
	w.mu.Lock()
	w.starts = append(w.starts, r)
	n := len(w.starts)
	w.mu.Unlock()
	select {
	case <-time.After(w.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w.fail != nil {
		if err := w.fail(n); err != nil {
			return nil, err
		}
	}
	var wf *signalbox.Workflow
	err := w.st.Write(ctx, func(tx *store.Tx) (err error) {
		var isNew bool
		wf, isNew, err = tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: r.Project.ID, Ref: r.Ref, RefType: "branch", BranchName: "main", Label: "main", CommitSHA: "x", TriggeredBy: r.TriggeredBy(),
			Requester: r.Requester, RequestToken: r.RequestToken(),
		}, r.Actor)
		if err != nil || !isNew {
			return err
		}
		ppl := &signalbox.Pipeline{WorkflowID: wf.ID, ProjectID: r.Project.ID, Name: "P", File: r.PipelineFile, State: signalbox.PipelineDone}
		if w.leave {
			ppl.State = signalbox.PipelineRunning
		}
		return tx.CreatePipeline(ppl, r.Actor)
	})
	return wf, err
}

func (w *world) scheduler() *Scheduler {
	w.Helper()
	s, err := New(Options{Store: w.st, Starter: w})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// serve runs a scheduler until the function it returns is called.
func (w *world) serve() (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	s := w.scheduler()
	go func() { ended <- s.Run(ctx) }()
	synctest.Wait()
	return func() {
		w.Helper()
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	}
}

func (w *world) task(at string, change func(*signalbox.Task)) *signalbox.Task {
	w.Helper()
	k := &signalbox.Task{
		ProjectID: w.project.ID, Name: "nightly " + at, Recurring: true, At: at, Ref: "main", PipelineFile: "nightly.yml", Owner: "ann",
		Parameters: []signalbox.TaskParameter{{Name: "LEVEL", Required: true, Default: "2"}, {Name: "NAME", Required: true}},
	}
	if change != nil {
		change(k)
	}
	w.write(func(tx *store.Tx) error { return Create(tx, k, "user:ann") })
	return k
}

func (w *world) workflows() (out []*signalbox.Workflow) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) {
		out, err = tx.Workflows(store.WorkflowFilter{Limit: 10000})
		return err
	})
	return out
}

// runs returns a line for each run of a task, oldest first: when it was due and made, its status, attempts and texts.
func (w *world) runs(k *signalbox.Task) (out []string) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		all, err := tx.TaskRuns(k.ID, 10000)
		out = nil
		for i := len(all) - 1; i >= 0; i-- {
			r := all[i]
			line := fmt.Sprintf("%s made %s %s %d", r.DueAt.Format("2 15:04"), r.CreatedAt.Format("2 15:04:05"), r.Status, r.Attempts)
			for _, text := range []string{r.Error, r.Note} {
				if text != "" {
					line += " | " + text
				}
			}
			if (r.WorkflowID != "") != (r.Status == signalbox.TaskRunPassed) {
				line += " | workflow " + r.WorkflowID
			}
			out = append(out, line)
		}
		return err
	})
	return out
}

func (w *world) expect(k *signalbox.Task, want ...string) {
	w.Helper()
	if d := cmp.Diff(want, w.runs(k)); d != "" {
		w.Errorf("runs (-want +got):\n%s", d)
	}
}

func TestATaskRunsAtItsTimes(t *testing.T) {
	bubble(t, func(w *world) {
		time.Sleep(30 * time.Second)
		defer w.serve()()
		soon := w.task("1 0 * * *", nil)
		time.Sleep(45 * time.Second) // a look that nothing wakes would come at 0:01:30
		w.expect(soon, "1 00:01 made 1 00:01:00 passed 1")
		w.write(func(tx *store.Tx) error { return tx.DeleteTask(soon, "test") })
		k := w.task("0 3 * * *", func(k *signalbox.Task) { k.TimeZone = "Europe/Berlin" })
		time.Sleep(72 * time.Hour)
		w.expect(k, "1 02:00 made 1 02:00:00 passed 1", "2 02:00 made 2 02:00:00 passed 1", "3 02:00 made 3 02:00:00 passed 1")
		if n := len(w.workflows()); n != 4 {
			t.Errorf("%d workflows", n)
		}
		r := w.starts[1]
		if d := cmp.Diff([]signalbox.EnvVar{{Name: "LEVEL", Value: "2"}}, r.Parameters); d != "" {
			t.Errorf("parameters: %s", d)
		}
		if r.TriggeredBy() != signalbox.TriggeredBySchedule || r.Requester != "ann" || r.Ref != "refs/heads/main" || r.PipelineFile != "nightly.yml" || r.Project.ID != w.project.ID {
			t.Errorf("it asked for %+v", r)
		}
	})
}

func TestMissedRunsAreRunOnce(t *testing.T) {
	bubble(t, func(w *world) {
		hourly := w.task("@hourly", nil)
		once := w.task("0 3 * * *", nil)
		often := w.task("@minutely", nil)
		skip := w.task("0 4,5 * * *", func(k *signalbox.Task) { k.CatchUp = signalbox.CatchUpSkip })
		time.Sleep(24*time.Hour + 10*time.Minute) // nobody is there
		stop := w.serve()
		synctest.Wait()
		stop()
		w.expect(hourly, "2 00:00 made 2 00:10:00 passed 1 | missed: 24 runs between 2000-01-01 01:00 UTC and 2000-01-02 00:00 UTC, run once")
		w.expect(once, "1 03:00 made 2 00:10:00 passed 1 | missed: 1 run at 2000-01-01 03:00 UTC, run once")
		w.expect(often, "2 00:10 made 2 00:10:00 passed 1 | missed: more than 1000 runs between 2000-01-01 00:01 UTC and 2000-01-02 00:10 UTC, run once")
		w.expect(skip, "1 05:00 made 2 00:10:00 failed 0 | Skipped: no server was there to start it in time, and catch_up is skip."+
			" | missed: 2 runs between 2000-01-01 04:00 UTC and 2000-01-01 05:00 UTC, not run")
		if n := len(w.workflows()); n != 3 {
			t.Errorf("%d workflows", n)
		}
		defer w.serve()()
		time.Sleep(51 * time.Minute)
		if got := w.runs(hourly); len(got) != 2 || got[1] != "2 01:00 made 2 01:00:00 passed 1" {
			t.Errorf("afterwards: %q", got)
		}
	})
}

func TestSeveralServersStartOneWorkflow(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("@hourly", nil)
		for range 3 {
			defer w.serve()()
		}
		time.Sleep(5*time.Hour + time.Minute)
		w.expect(k, "1 01:00 made 1 01:00:00 passed 1", "1 02:00 made 1 02:00:00 passed 1", "1 03:00 made 1 03:00:00 passed 1",
			"1 04:00 made 1 04:00:00 passed 1", "1 05:00 made 1 05:00:00 passed 1")
		if n := len(w.starts); n != 5 {
			t.Errorf("%d starts", n)
		}
	})
}

// A server that looked long ago, or whose clock is ahead, makes no second run of what another one has planned.
func TestAStaleLookMakesNoRun(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("@hourly", nil)
		time.Sleep(time.Hour)
		if err := w.scheduler().Plan(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.write(func(tx *store.Tx) error { return makeRun(tx, k) })
		w.expect(k, "1 01:00 made 1 01:00:00 running 0")
	})
}

// A server dies between any two steps; the next one goes on from there.
func TestACrashLosesAndDoublesNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		until func(w *world, s *Scheduler, k *signalbox.Task)
		want  string
	}{
		{"before the run was made", func(*world, *Scheduler, *signalbox.Task) {}, "1 01:00 made 1 01:10:00 passed 1 | missed: 1 run at 2000-01-01 01:00 UTC, run once"},
		{"before the run was tried", func(w *world, s *Scheduler, k *signalbox.Task) {
			if err := s.Plan(context.Background()); err != nil {
				w.Fatal(err)
			}
		}, "1 01:00 made 1 01:00:00 passed 1"},
		{"before the workflow was made", func(w *world, s *Scheduler, k *signalbox.Task) {
			if err := s.Plan(context.Background()); err != nil {
				w.Fatal(err)
			}
			w.write(func(tx *store.Tx) error { _, err := tx.ClaimTaskRuns(1, lease); return err })
		}, "1 01:00 made 1 01:00:00 passed 2"},
		{"before the workflow was written into the run", func(w *world, s *Scheduler, k *signalbox.Task) {
			if err := s.Plan(context.Background()); err != nil {
				w.Fatal(err)
			}
			var runs []*signalbox.TaskRun
			w.write(func(tx *store.Tx) (err error) { runs, err = tx.ClaimTaskRuns(1, lease); return err })
			if _, err := s.start(context.Background(), runs[0]); err != nil {
				w.Fatal(err)
			}
			// The branch is gone since: what was started is found all the same.
			w.fail = func(int) error { return signalbox.Errorf(signalbox.CodeNotFound, "gone") }
		}, "1 01:00 made 1 01:00:00 passed 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				k := w.task("@hourly", nil)
				time.Sleep(time.Hour)
				c.until(w, w.scheduler(), k)
				time.Sleep(10 * time.Minute)
				defer w.serve()()
				time.Sleep(time.Minute)
				w.expect(k, c.want)
				if n := len(w.workflows()); n != 1 {
					t.Errorf("%d workflows", n)
				}
			})
		})
	}
}

func TestAServerThatStopsGivesItsRunsBack(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("@hourly", nil)
		w.takes = time.Hour
		stop := w.serve()
		time.Sleep(time.Hour + time.Second)
		stop()
		w.expect(k, "1 01:00 made 1 01:00:00 running 1")
		w.takes = 0
		defer w.serve()()
		w.expect(k, "1 01:00 made 1 01:00:00 passed 2") // at once, not when the lease ends
	})
}

func TestASlowStartIsLeftAlone(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("@hourly", nil)
		w.takes = 10 * time.Minute
		for range 2 {
			defer w.serve()()
		}
		time.Sleep(time.Hour + 30*time.Minute)
		w.expect(k, "1 01:00 made 1 01:00:00 passed 1")
		if n := len(w.starts); n != 1 {
			t.Errorf("%d starts", n)
		}
	})
}

func TestAFullServerGoesOn(t *testing.T) {
	bubble(t, func(w *world) {
		w.takes = time.Second
		for i := range 3 * parallel {
			w.task("@hourly", func(k *signalbox.Task) { k.Name = fmt.Sprint("task ", i) })
		}
		defer w.serve()()
		time.Sleep(time.Hour + 4*time.Second)
		if n := len(w.workflows()); n != 3*parallel {
			t.Errorf("%d workflows of %d", n, 3*parallel)
		}
	})
}

func TestARepositoryThatIsAway(t *testing.T) {
	away := signalbox.Errorf(signalbox.CodeUnavailable, "cannot fetch from git.example.com: no route to host")
	bubble(t, func(w *world) {
		w.fail = func(n int) error {
			if n < 6 {
				return away
			}
			return nil
		}
		back := w.task("0 1 * * *", nil)
		defer w.serve()()
		time.Sleep(time.Hour + 134*time.Second)
		w.expect(back, "1 01:00 made 1 01:00:00 running 5 | cannot fetch from git.example.com: no route to host")
		time.Sleep(2 * time.Second) // 5+10+20+40+60 s after the first
		w.expect(back, "1 01:00 made 1 01:00:00 passed 6")
	})
	bubble(t, func(w *world) {
		w.fail = func(int) error { return away }
		never := w.task("0 1 * * *", nil)
		defer w.serve()()
		time.Sleep(time.Hour + 13*time.Minute)
		if got := w.runs(never)[0]; !strings.Contains(got, "running") {
			t.Errorf("after 13 minutes: %s", got)
		}
		time.Sleep(3 * time.Minute)
		got := w.runs(never)
		if len(got) != 1 || !strings.Contains(got[0], "failed") || !strings.Contains(got[0], "Gave up after 15 minutes. cannot fetch from git.example.com: no route to host") {
			t.Errorf("after 16 minutes: %q", got)
		}
	})
	// What is no sentence for people stays in the log.
	bubble(t, func(w *world) {
		w.fail = func(int) error { return fmt.Errorf("open /srv/secret: input/output error") }
		k := w.task("0 1 * * *", nil)
		defer w.serve()()
		time.Sleep(time.Hour + time.Minute)
		if got := w.runs(k)[0]; strings.Contains(got, "secret") || !strings.Contains(got, "running") || !strings.Contains(got, "the server's log says why") {
			t.Error(got)
		}
	})
}

func TestWhatCannotHelpIsNotTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		meanwhile func(w *world, k *signalbox.Task)
		want      string
	}{
		{"no branch", signalbox.Errorf(signalbox.CodeNotFound, "the repository has no branch"), nil, "Cannot find git reference refs/heads/main."},
		{"refused", signalbox.Errorf(signalbox.CodeInvalid, "The file is wrong."), nil, "The file is wrong."},
		{"paused", nil, func(w *world, k *signalbox.Task) {
			w.write(func(tx *store.Tx) error {
				_, err := Update(tx, k.ID, "bob", "user:bob", func(k *signalbox.Task) error { k.Paused = true; return nil })
				return err
			})
		}, "The task is paused."},
		{"deleted", nil, func(w *world, k *signalbox.Task) {
			w.write(func(tx *store.Tx) error { return tx.DeleteTask(k, "user:bob") })
		}, "The task was deleted."},
		{"project deleted", nil, func(w *world, k *signalbox.Task) {
			w.write(func(tx *store.Tx) error { return tx.DeleteProject(w.project.ID, "user:bob") })
		}, "The project was deleted."},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.fail = func(int) error { return c.err }
				k := w.task("0 1 * * *", nil)
				time.Sleep(time.Hour)
				if err := w.scheduler().Plan(context.Background()); err != nil {
					t.Fatal(err)
				}
				if c.meanwhile != nil {
					c.meanwhile(w, k)
				}
				defer w.serve()()
				time.Sleep(30 * time.Minute)
				w.expect(k, "1 01:00 made 1 01:00:00 failed 1 | "+c.want)
			})
		})
	}
}

func TestOverlap(t *testing.T) {
	bubble(t, func(w *world) {
		w.leave = true
		both := w.task("@hourly", nil)
		one := w.task("0 * * * *", func(k *signalbox.Task) { k.Overlap = signalbox.OverlapSkip })
		defer w.serve()()
		time.Sleep(2*time.Hour + time.Minute)
		w.expect(both, "1 01:00 made 1 01:00:00 passed 1", "1 02:00 made 1 02:00:00 passed 1")
		w.expect(one, "1 01:00 made 1 01:00:00 passed 1",
			"1 02:00 made 1 02:00:00 failed 0 | Skipped: the workflow of an earlier run has not ended, and overlap is skip.")
		w.write(func(tx *store.Tx) error {
			all, err := tx.OpenPipelines()
			for _, id := range all {
				p, err := tx.Pipeline(id)
				if err != nil {
					return err
				}
				p.State = signalbox.PipelineDone
				if err := tx.UpdatePipeline(p, "test", "done", ""); err != nil {
					return err
				}
			}
			return err
		})
		time.Sleep(time.Hour)
		if got := w.runs(one); len(got) != 3 || !strings.Contains(got[2], "passed") {
			t.Errorf("after their end: %q", got)
		}
	})
}

func TestATaskThatEndsPlansNothing(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("0 1 1 1 * 2000", nil)
		defer w.serve()()
		time.Sleep(48 * time.Hour)
		w.expect(k, "1 01:00 made 1 01:00:00 passed 1")
		w.write(func(tx *store.Tx) (err error) { k, err = tx.Task(k.ID); return err })
		if !k.NextRunAt.IsZero() {
			t.Errorf("planned for %s", k.NextRunAt)
		}
	})
}
