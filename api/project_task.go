package api

import (
	"net/http"
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

// projectTask is a task as a project shows it.
type projectTask struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	Scheduled    bool            `json:"scheduled"`
	Branch       string          `json:"branch"`
	Reference    *referenceBody  `json:"reference,omitempty"`
	At           string          `json:"at"`
	TimeZone     string          `json:"time_zone,omitempty"`
	PipelineFile string          `json:"pipeline_file"`
	Status       string          `json:"status"`
	Parameters   []parameterBody `json:"parameters"`
}

type referenceBody struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

func projectTasks(all []*signalbox.Task) []any {
	out := []any{}
	for _, k := range all {
		b := projectTask{
			ID: k.ID, Name: k.Name, Description: k.Description, Scheduled: k.Recurring, Branch: k.Ref, At: k.At, TimeZone: k.TimeZone,
			PipelineFile: k.PipelineFile, Status: "ACTIVE", Parameters: parameterBodies(k.Parameters),
		}
		if k.Paused {
			b.Status = "INACTIVE"
		}
		switch kind, name := signalbox.RefParts(k.Ref); kind {
		case "BRANCH":
			b.Branch, b.Reference = name, &referenceBody{"branch", name}
		case "TAG":
			b.Reference = &referenceBody{"tag", name}
		}
		out = append(out, b)
	}
	return out
}

func tasksOf(tx *store.Tx, projectID string) ([]*signalbox.Task, error) {
	return tx.Tasks(store.TaskFilter{ProjectID: projectID, Limit: 1 << 30})
}

// taskLists are the two lists of a project. Where either is named, the one that holds something is all that the project
// has: tasks that are not in it are deleted. Where neither is, the tasks stay.
type taskLists struct {
	Schedulers *[]taskInput `json:"schedulers"`
	Tasks      *[]taskInput `json:"tasks"`
}

func (l taskLists) apply(tx *store.Tx, r *http.Request, p *signalbox.Project) error {
	if l.Tasks == nil && l.Schedulers == nil {
		return nil
	}
	var items []taskInput
	full := l.Tasks != nil && len(*l.Tasks) > 0
	if full {
		items = *l.Tasks
	} else if l.Schedulers != nil {
		items = *l.Schedulers
	}
	there, err := tasksOf(tx, p.ID)
	if err != nil {
		return err
	}
	of := make([]*signalbox.Task, len(items))
	for i := range items {
		in := &items[i]
		if in.Name == nil || *in.Name == "" {
			return signalbox.Errorf(signalbox.CodeInvalid, "task %d of the project has no name", i+1)
		}
		if full {
			in.complete()
		}
		of[i] = taskLike(there, in)
		if of[i] != nil && slices.Contains(of[:i], of[i]) {
			return signalbox.Errorf(signalbox.CodeInvalid, "task %q stands in the project twice; give each task a name of its own", *in.Name)
		}
	}
	for _, k := range there { // first, so that their names are free
		if slices.Contains(of, k) {
			continue
		}
		if err := tx.DeleteTask(k, actor(r)); err != nil {
			return err
		}
	}
	for i, k := range of {
		if k != nil {
			if _, err := schedule.Update(tx, k.ID, userName(r), actor(r), items[i].apply); err != nil {
				return err
			}
			continue
		}
		k = newTask(r, p)
		if err := items[i].apply(k); err != nil {
			return err
		}
		if err := schedule.Create(tx, k, actor(r)); err != nil {
			return err
		}
	}
	return nil
}

// complete sets what an item of the list leaves out because it is empty.
func (in *taskInput) complete() {
	yes := true
	if in.Scheduled == nil && in.Recurring == nil {
		in.Scheduled = &yes
	}
	if in.Description == nil {
		in.Description = new(string)
	}
	if in.Parameters == nil {
		in.Parameters = &[]parameterInput{}
	}
}

// taskLike finds the task that an item means: the one with its id, else the one with its name.
func taskLike(all []*signalbox.Task, in *taskInput) *signalbox.Task {
	for _, same := range []func(*signalbox.Task) bool{
		func(k *signalbox.Task) bool { return k.ID == in.ID },
		func(k *signalbox.Task) bool { return k.Name == *in.Name },
	} {
		if i := slices.IndexFunc(all, same); i >= 0 {
			return all[i]
		}
	}
	return nil
}
