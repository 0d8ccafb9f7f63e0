package storybook

import (
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// taskSet is the tasks of a world: one with a long history, one that people run by hand, one that was paused.
type taskSet struct {
	nightly, release, paused *signalbox.Task
	failed                   string // a run that could not start
}

// tasks stores them for a project. The runs start its workflows in turn.
func (w *world) tasks(p *signalbox.Project, started ...*signalbox.Workflow) *taskSet {
	t := &taskSet{
		nightly: &signalbox.Task{
			ID: signalbox.NewID(), ProjectID: p.ID, Name: "Nightly build", Description: "Everything, on every platform", Recurring: true, At: "30 2 * * MON-FRI",
			TimeZone: "Europe/Berlin", Ref: "main", PipelineFile: ".semaphore/nightly.yml", Owner: "ana", Overlap: signalbox.OverlapSkip,
		},
		release: &signalbox.Task{
			ID: signalbox.NewID(), ProjectID: p.ID, Name: "Release", Owner: "mei", Ref: "refs/tags/v1.4.0", PipelineFile: ".semaphore/release.yml",
			Parameters: []signalbox.TaskParameter{
				{Name: "VERSION", Required: true, Description: "What to ship", Validate: true, Pattern: `^\d+\.\d+$`},
				{Name: "WHERE", Required: true, Options: []string{"staging", "production"}, Default: "staging"},
				{Name: "NOTE", Default: "none"},
			},
		},
		paused: &signalbox.Task{ID: signalbox.NewID(), ProjectID: p.ID, Name: "Weekly clean-up", Recurring: true, At: "@weekly", Ref: "main", PipelineFile: "clean.yml", Owner: "mei"},
	}
	w.Write(func(tx *store.Tx) error {
		for _, k := range []*signalbox.Task{t.nightly, t.release, t.paused} {
			if err := schedule.Create(tx, k, "user:ana"); err != nil {
				return err
			}
		}
		_, err := schedule.Update(tx, t.paused.ID, "mei", "user:mei", func(k *signalbox.Task) error { k.Paused = true; return nil })
		return err
	})
	for i := range 45 {
		w.back(time.Duration(45-i) * 24 * time.Hour)
		w.taskRun(t, i, started[i%len(started)])
	}
	w.at = w.now
	return t
}

func (w *world) taskRun(t *taskSet, i int, wf *signalbox.Workflow) {
	w.Write(func(tx *store.Tx) error {
		r := &signalbox.TaskRun{
			TaskID: t.nightly.ID, ProjectID: t.nightly.ProjectID, Token: "due " + strconv.Itoa(i), DueAt: tx.Now, Ref: t.nightly.Ref, PipelineFile: t.nightly.PipelineFile,
			Status: signalbox.TaskRunRunning,
		}
		if i == 40 {
			r.Requester, r.DueAt = "mei", time.Time{}
		}
		if _, err := tx.CreateTaskRun(r, 0, "storybook"); err != nil {
			return err
		}
		r.Status, r.WorkflowID = signalbox.TaskRunPassed, wf.ID
		if i == 43 {
			r.Status, r.WorkflowID, r.Error = signalbox.TaskRunFailed, "", "Cannot find git reference refs/heads/main."
			t.failed = r.ID
		}
		return tx.FinishTaskRun(r, "storybook")
	})
}

// hostileTask stores a task that is full of what people should not write.
func (w *world) hostileTask(p *signalbox.Project) *signalbox.Task {
	const most = 100
	text := string([]rune(scene.Hostile)[:most])
	k := &signalbox.Task{ID: signalbox.NewID(), ProjectID: p.ID, Name: text, Description: scene.Hostile, Ref: "main", PipelineFile: text, Owner: scene.Hostile}
	w.Write(func(tx *store.Tx) error { return tx.CreateTask(k, "user:ana") })
	return k
}

func taskPath(p, more string) string { return "/projects/" + p + "/schedulers" + more }

func tellTasks(n *normal) []*story {
	nightly, release := "/"+n.tasks.nightly.ID, "/"+n.tasks.release.ID
	project := n.Project.Name
	return []*story{
		{View: "Tasks", State: "none", World: worldBegun, Role: admin, Path: taskPath("parcel-api", "")},
		{View: "Tasks", State: "in every state", World: worldNormal, Role: member, Path: taskPath(project, "")},
		{View: "Tasks", State: "for who may only look", World: worldNormal, Role: viewer, Path: taskPath(project, "")},
		{View: "Tasks", State: "behind the end of the list", World: worldNormal, Role: member, Path: taskPath(project, "?after=zzz")},
		{View: "Task", State: "with a history", World: worldNormal, Role: member, Path: taskPath(project, nightly)},
		{View: "Task", State: "whose run could not start", World: worldNormal, Role: member, Path: taskPath(project, nightly+"?run="+n.tasks.failed)},
		{View: "Task", State: "run by hand", World: worldNormal, Role: member, Path: taskPath(project, release)},
		{View: "Task", State: "paused", World: worldNormal, Role: member, Path: taskPath(project, "/"+n.tasks.paused.ID)},
		{View: "Task", State: "latest run", World: worldNormal, Role: member, Path: taskPath(project, nightly+"/latest"), Status: 303},
		{View: "Task", State: "older address of its history", World: worldNormal, Role: member, Path: taskPath(project, nightly+"/history"), Status: 303},
		{View: "Task form", State: "new", World: worldNormal, Role: member, Path: taskPath(project, "/new")},
		{View: "Task form", State: "change", World: worldNormal, Role: member, Path: taskPath(project, release+"/edit")},
		{View: "Task form", State: "next runs", World: worldNormal, Role: member, Path: taskPath(project, "/expression?at=0+3+*+*+*"), Part: true},
		{View: "Task run", State: "with parameters", World: worldNormal, Role: member, Path: taskPath(project, release+"/just_run")},
	}
}
