package storetest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func taskName(k *signalbox.Task) string        { return k.Name }
func taskRunToken(r *signalbox.TaskRun) string { return r.Token }

// minutesOn is a time that both databases can hold exactly.
func minutesOn(n int) time.Time {
	return time.UnixMilli(1_800_000_000_000).UTC().Add(time.Duration(n) * time.Minute)
}

func (s *suite) task(projectID, name string, next time.Time) *signalbox.Task {
	s.Helper()
	k := &signalbox.Task{
		ProjectID: projectID, Name: name, Recurring: true, At: "0 3 * * *", Ref: "refs/heads/main", PipelineFile: "nightly.yml",
		Overlap: signalbox.OverlapAllow, CatchUp: signalbox.CatchUpOne, Owner: "ann", NextRunAt: next,
	}
	s.write(func(t *store.Tx) error { return t.CreateTask(k, "user:ann") })
	return k
}

func testTask(s *suite) {
	w := s.world()
	k := s.task(w.project.ID, "nightly", minutesOn(0))
	read := func(id string) *signalbox.Task {
		return get(s, func(t *store.Tx) (*signalbox.Task, error) { return t.Task(id) })
	}
	s.equal("by id", read(k.ID), k)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateTask(&signalbox.Task{ProjectID: w.project.ID, Name: "nightly"}, "test")
	})

	old := *k
	k.Name, k.Description, k.Recurring, k.At, k.TimeZone = "release", "says what", false, "", "Europe/Berlin"
	k.Ref, k.PipelineFile = "refs/tags/v1", "release.yml"
	k.Paused, k.PausedBy, k.PausedAt = true, "bob", minutesOn(1)
	k.Overlap, k.CatchUp, k.NextRunAt = signalbox.OverlapSkip, signalbox.CatchUpSkip, time.Time{}
	k.Parameters = []signalbox.TaskParameter{{Name: "LEVEL", Required: true, Default: "1", Options: []string{"1", "2"}, Validate: true, Pattern: "^[12]$", Description: "d"}}
	s.write(func(t *store.Tx) error { return t.UpdateTask(k, "user:bob", "changed", "name") })
	s.equal("after a change", read(k.ID), k)
	if k.Version != old.Version+1 {
		s.Errorf("the version went from %d to %d", old.Version, k.Version)
	}
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { stale := old; return t.UpdateTask(&stale, "test", "changed", "") })

	other := s.task(w.project.ID, "another", time.Time{})
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		taken := *other
		taken.Name = "release"
		return t.UpdateTask(&taken, "test", "changed", "")
	})
	elsewhere := &signalbox.Project{Name: "elsewhere", GitURL: "x", PipelineFile: "y"}
	s.write(func(t *store.Tx) error { return t.CreateProject(elsewhere, "test") })
	s.task(elsewhere.ID, "another", time.Time{}) // a name belongs to its project

	list := func(f store.TaskFilter) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Task, error) { return t.Tasks(f) }), taskName)
	}
	s.equal("of a project", list(store.TaskFilter{ProjectID: w.project.ID}), []string{"another", "release"})
	s.equal("a page", list(store.TaskFilter{ProjectID: w.project.ID, Limit: 1, Offset: 1}), []string{"release"})
	s.equal("by name", list(store.TaskFilter{ProjectID: w.project.ID, Name: "release"}), []string{"release"})
	for f, want := range map[store.TaskFilter]int{{}: 3, {ProjectID: w.project.ID, Limit: 1}: 2, {Name: "another"}: 2} {
		if n := get(s, func(t *store.Tx) (int, error) { return t.CountTasks(f) }); n != want {
			s.Errorf("%+v counts %d, want %d", f, n, want)
		}
	}

	after := func(name string, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Task, error) { return t.TasksAfter(w.project.ID, name, limit) }), taskName)
	}
	s.equal("the first page", after("", 1), []string{"another"})
	s.equal("the page after", after("another", 10), []string{"release"})
	s.equal("after the last", after("release", 10), []string(nil))

	s.write(func(t *store.Tx) error { _, err := t.LockTask(k.ID); return err })
	s.write(func(t *store.Tx) error { return t.DeleteTask(k, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DeleteTask(k, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { gone := read(k.ID); return t.UpdateTask(gone, "test", "changed", "") })
	s.refused(signalbox.CodeNotFound, func(t *store.Tx) error { _, err := t.LockTask(k.ID); return err })
	if read(k.ID).DeletedAt.IsZero() {
		s.Error("a deleted task does not say since when")
	}
	s.equal("history", s.reasons("task", k.ID), []string{"created", "changed", "deleted"})
	s.task(w.project.ID, "release", minutesOn(5))

	s.write(func(t *store.Tx) error { return t.DeleteProject(w.project.ID, "user:ann") })
	s.equal("after its project's end", list(store.TaskFilter{}), []string{"another"})
	s.equal("due then", get(s, func(t *store.Tx) ([]*signalbox.Task, error) { return t.DueTasks(minutesOn(100), 10) }), []*signalbox.Task(nil))
}

func testTaskTimes(s *suite) {
	w := s.world()
	next := func() time.Time { return get(s, (*store.Tx).NextTaskTime) }
	if n := next(); !n.IsZero() {
		s.Errorf("without tasks something is due at %v", n)
	}
	s.task(w.project.ID, "never", time.Time{})
	late := s.task(w.project.ID, "late", minutesOn(9))
	early := s.task(w.project.ID, "early", minutesOn(3))
	due := func(at time.Time, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Task, error) { return t.DueTasks(at, limit) }), taskName)
	}
	s.equal("due before", due(minutesOn(2), 10), []string(nil))
	s.equal("due exactly", due(minutesOn(3), 10), []string{"early"})
	s.equal("due both", due(minutesOn(9), 10), []string{"early", "late"})
	s.equal("the first of them", due(minutesOn(9), 1), []string{"early"})
	s.equal("next", next(), minutesOn(3))

	// Planning is a compare-and-set: of two servers that saw the same time one wins.
	stale := *early
	for i, want := range []bool{true, false} {
		k := []*signalbox.Task{early, &stale}[i]
		var won bool
		s.write(func(t *store.Tx) (err error) { won, err = t.AdvanceTask(k, minutesOn(20)); return err })
		if won != want {
			s.Errorf("server %d: planned %t", i+1, won)
		}
	}
	s.equal("after planning", get(s, func(t *store.Tx) (*signalbox.Task, error) { return t.Task(early.ID) }), early)
	// A change of the task meanwhile wins too, even one that leaves the time.
	seen := *late
	s.write(func(t *store.Tx) error { return t.UpdateTask(late, "user:ann", "changed", "") })
	var won bool
	s.write(func(t *store.Tx) (err error) { won, err = t.AdvanceTask(&seen, minutesOn(30)); return err })
	if won {
		s.Error("a task that was changed meanwhile was planned as it was before")
	}
	s.equal("next after all", next(), minutesOn(9))
	s.write(func(t *store.Tx) error { return t.DeleteTask(late, "test") })
	s.equal("next after a deletion", next(), minutesOn(20))
}

func (s *suite) run(k *signalbox.Task, token string, due time.Time, lease time.Duration) *signalbox.TaskRun {
	s.Helper()
	r := &signalbox.TaskRun{
		TaskID: k.ID, ProjectID: k.ProjectID, Token: token, DueAt: due, Requester: k.Owner, Ref: k.Ref, PipelineFile: k.PipelineFile,
		Parameters: []signalbox.EnvVar{{Name: "LEVEL", Value: "2"}}, Status: signalbox.TaskRunRunning, Note: "note",
	}
	s.write(func(t *store.Tx) error {
		r.Attempts = 0
		ok, err := t.CreateTaskRun(r, lease, "server")
		if err == nil && !ok {
			return signalbox.Errorf(signalbox.CodeConflict, "the run %s is there already", token)
		}
		return err
	})
	return r
}

func testTaskRun(s *suite) {
	w := s.world()
	k := s.task(w.project.ID, "nightly", time.Time{})
	r := s.run(k, "due 1", minutesOn(0), 0)
	read := func(id string) *signalbox.TaskRun {
		return get(s, func(t *store.Tx) (*signalbox.TaskRun, error) { return t.TaskRun(id) })
	}
	s.equal("by id", read(r.ID), r)
	s.equal("by token", get(s, func(t *store.Tx) (*signalbox.TaskRun, error) { return t.FindTaskRun(k.ID, "due 1") }), r)
	var fresh bool
	s.write(func(t *store.Tx) (err error) {
		again := *r
		again.ID = ""
		fresh, err = t.CreateTaskRun(&again, 0, "server")
		return err
	})
	if fresh {
		s.Error("a token gave two runs")
	}
	s.equal("the time of a run that waits", get(s, (*store.Tx).NextTaskTime), r.RunAt)

	claim := func() (out []*signalbox.TaskRun) {
		s.write(func(t *store.Tx) (err error) { out, err = t.ClaimTaskRuns(10, time.Hour); return err })
		return out
	}
	mine := claim()
	r.Attempts = 1
	s.equal("claimed", mine, []*signalbox.TaskRun{r})
	s.equal("claimed by another", claim(), []*signalbox.TaskRun(nil))
	if n := get(s, (*store.Tx).NextTaskTime); !n.After(r.RunAt) {
		s.Errorf("a leased run is due at %v", n)
	}
	lease := get(s, (*store.Tx).NextTaskTime)
	s.write(func(t *store.Tx) error { return t.KeepTaskRun(r.ID, 3*time.Hour) })
	if n := get(s, (*store.Tx).NextTaskTime); n.Sub(lease) < time.Hour {
		s.Errorf("a lease until %v was made longer until %v", lease, n)
	}

	r.Error = "the repository is away"
	s.write(func(t *store.Tx) error { return t.RetryTaskRun(r, minutesOn(1), "server") })
	s.equal("given back", read(r.ID), r)
	s.equal("claimed before its time", claim(), []*signalbox.TaskRun(nil))
	s.equal("its time", get(s, (*store.Tx).NextTaskTime), minutesOn(1))
	s.write(func(t *store.Tx) error { return t.RetryTaskRun(r, t.Now, "server") })
	if got := claim(); len(got) != 1 || got[0].Attempts != 2 {
		s.Errorf("claimed again: %+v", got)
	}

	r = read(r.ID)
	r.Status, r.WorkflowID, r.Error = signalbox.TaskRunPassed, w.workflow.ID, ""
	s.write(func(t *store.Tx) error { return t.FinishTaskRun(r, "server") })
	s.equal("ended", read(r.ID), r)
	if r.ScheduledAt.IsZero() {
		s.Error("an ended run does not say when")
	}
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		late := *r
		late.Status = signalbox.TaskRunFailed
		return t.FinishTaskRun(&late, "server")
	})
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.RetryTaskRun(read(r.ID), minutesOn(3), "server") })
	s.equal("claimed after its end", claim(), []*signalbox.TaskRun(nil))
	s.equal("history", s.reasons("task_run", r.ID), []string{"due", "tried again later", "tried again later", "passed"})

	// Whoever makes a run may try it at once: then nobody else does.
	now := s.run(k, "now", time.Time{}, time.Hour)
	if !now.Manual() || now.Attempts != 1 {
		s.Errorf("a run that was asked for: %+v", now)
	}
	s.equal("claimed by another", claim(), []*signalbox.TaskRun(nil))
	now.Status, now.Error = signalbox.TaskRunFailed, "é"+strings.Repeat("x", 400)
	s.write(func(t *store.Tx) error { return t.FinishTaskRun(now, "server") })
	if got := read(now.ID); len(got.Error) > signalbox.MaxTaskError || got.Error[:2] != "é" {
		s.Errorf("the error has %d bytes", len(got.Error))
	}
	list := func(n int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.TaskRun, error) { return t.TaskRuns(k.ID, n) }), taskRunToken)
	}
	s.equal("newest first", list(10), []string{"now", "due 1"})
	s.equal("the newest", list(1), []string{"now"})
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.TaskRun(signalbox.NewID()); return err })
	s.missing("unknown token", func(t *store.Tx) error { _, err := t.FindTaskRun(k.ID, "none"); return err })
}

func testOpenTaskRuns(s *suite) {
	w := s.world()
	k := s.task(w.project.ID, "nightly", time.Time{})
	open := func() []string {
		return get(s, func(t *store.Tx) ([]string, error) { return t.OpenTaskRuns(k.ID) })
	}
	s.equal("at first", open(), []string{})
	r := s.run(k, "1", minutesOn(0), 0)
	s.equal("not started", open(), []string{r.ID})
	r.Status, r.WorkflowID = signalbox.TaskRunPassed, w.workflow.ID
	s.write(func(t *store.Tx) error { return t.FinishTaskRun(r, "server") })
	s.equal("its pipeline is not done", open(), []string{r.ID})
	p := w.pipeline
	p.State = signalbox.PipelineDone
	s.write(func(t *store.Tx) error { return t.UpdatePipeline(p, "test", "done", "") })
	s.equal("done", open(), []string{})
	f := s.run(k, "2", minutesOn(1), 0)
	f.Status, f.Error = signalbox.TaskRunFailed, "no"
	s.write(func(t *store.Tx) error { return t.FinishTaskRun(f, "server") })
	s.equal("failed", open(), []string{})
}

// Servers that see the same due task at the same time make one run of it, and one of them tries it.
func testTaskRunsExcludeOneAnother(s *suite) {
	w := s.world()
	k := s.task(w.project.ID, "nightly", minutesOn(0))
	var group sync.WaitGroup
	var mu sync.Mutex
	planned, made, claimed := 0, 0, 0
	for i := range 8 {
		group.Go(func() {
			seen := *k
			var won, fresh bool
			var runs []*signalbox.TaskRun
			err := s.s.Write(context.Background(), func(t *store.Tx) (err error) {
				seen = *k
				if won, err = t.AdvanceTask(&seen, minutesOn(60)); err != nil {
					return err
				}
				fresh, err = t.CreateTaskRun(&signalbox.TaskRun{
					TaskID: k.ID, ProjectID: k.ProjectID, Token: "due", DueAt: minutesOn(0), Requester: strconv.Itoa(i), Status: signalbox.TaskRunRunning,
				}, 0, "server")
				return err
			})
			if err == nil {
				err = s.s.Write(context.Background(), func(t *store.Tx) (err error) { runs, err = t.ClaimTaskRuns(5, time.Hour); return err })
			}
			if err != nil {
				s.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			claimed += len(runs)
			if won {
				planned++
			}
			if fresh {
				made++
			}
		})
	}
	group.Wait()
	s.equal("planned, made, claimed", []int{planned, made, claimed}, []int{1, 1, 1})
}

func testTaskHistory(s *suite) {
	w := s.world()
	k, other := s.task(w.project.ID, "nightly", time.Time{}), s.task(w.project.ID, "other", time.Time{})
	never := s.task(w.project.ID, "never", time.Time{})
	var want []string
	for i := range 7 {
		r := s.run(k, "due "+strconv.Itoa(i), minutesOn(i), 0)
		if i == 2 {
			r.Status, r.WorkflowID = signalbox.TaskRunPassed, w.workflow.ID
			s.write(func(t *store.Tx) error { return t.FinishTaskRun(r, "test") })
		}
	}
	s.run(other, "due 1", minutesOn(1), 0)
	all := get(s, func(t *store.Tx) ([]*signalbox.TaskRun, error) { return t.TaskRuns(k.ID, 100) })
	for _, r := range all {
		want = append(want, r.ID)
	}
	id := func(r *signalbox.TaskRun) string { return r.ID }
	place := func(i int) store.TaskRunPlace { return store.TaskRunPlace{CreatedAt: all[i].CreatedAt, ID: all[i].ID} }
	before := func(p store.TaskRunPlace, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.TaskRun, error) { return t.TaskRunsBefore(k.ID, p, limit) }), id)
	}
	after := func(i, limit int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.TaskRun, error) { return t.TaskRunsAfter(k.ID, place(i), limit) }), id)
	}
	// Runs of the same moment have an order too.
	s.equal("the newest", before(store.TaskRunPlace{}, 3), want[:3])
	s.equal("older", before(place(2), 3), want[3:6])
	s.equal("the oldest", before(place(5), 3), want[6:])
	s.equal("newer", after(6, 3), want[3:6])
	s.equal("the newest again", after(2, 3), want[:2])

	last := get(s, func(t *store.Tx) (map[string]*signalbox.TaskRun, error) {
		return t.LastTaskRuns([]string{k.ID, other.ID, never.ID})
	})
	if len(last) != 2 || last[k.ID].ID != want[0] || last[other.ID] == nil {
		s.Errorf("the newest runs are %v", last)
	}
	started := get(s, func(t *store.Tx) (*signalbox.TaskRun, error) { return t.LastStartedTaskRun(k.ID) })
	if started.WorkflowID != w.workflow.ID {
		s.Errorf("the newest run that started something is %+v", started)
	}
	s.refused(signalbox.CodeNotFound, func(t *store.Tx) error { _, err := t.LastStartedTaskRun(other.ID); return err })
	for limit, want := range map[int]int{3: 3, 100: 7} {
		if n := get(s, func(t *store.Tx) (int, error) { return t.CountTaskRuns(k.ID, limit) }); n != want {
			s.Errorf("up to %d there are %d runs, want %d", limit, n, want)
		}
	}
}
