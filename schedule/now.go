package schedule

import (
	"context"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Now asks for a run of a task at once.
type Now struct {
	Ref          string            // full; "" is the task's
	PipelineFile string            // "" is the task's
	Parameters   map[string]string // by name
	By           string            // user name
	Token        string            // the same token gives the same run; "" makes one
}

// RunNow starts a task's workflow for somebody, also when the task is paused, and returns the run. What is wrong with
// the request is refused before there is a run; what goes wrong later stands in the run too.
func (s *Scheduler) RunNow(ctx context.Context, taskID string, n Now) (*signalbox.TaskRun, error) {
	if n.Token == "" {
		n.Token = signalbox.NewID()
	}
	var r *signalbox.TaskRun
	var isNew bool
	if err := s.o.Store.Write(ctx, func(tx *store.Tx) error {
		r, isNew = nil, false
		k, err := tx.Task(taskID)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && !k.DeletedAt.IsZero() {
			return signalbox.Errorf(signalbox.CodeNotFound, "Scheduler with id:'%s' not found.", taskID)
		}
		if err != nil {
			return err
		}
		var problems []Problem
		if r, problems = manual(k, n); len(problems) > 0 {
			return first(problems)
		}
		if isNew, err = tx.CreateTaskRun(r, lease, "user:"+n.By); err != nil || isNew {
			return err
		}
		r, err = tx.FindTaskRun(k.ID, r.Token)
		return err
	}); err != nil {
		return nil, err
	}
	if !isNew {
		switch r.Status {
		case signalbox.TaskRunPassed:
			return r, nil
		case signalbox.TaskRunFailed:
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "%s", r.Error)
		}
	}
	workflow, failure := s.startKept(ctx, r)
	if ctx.Err() != nil && failure != nil {
		return nil, failure // Run goes on when the lease ends
	}
	if failure == nil {
		r.Status, r.WorkflowID = signalbox.TaskRunPassed, workflow
	} else {
		r.Status, r.Error = signalbox.TaskRunFailed, sentence(failure, r)
	}
	if err := s.o.Store.Write(ctx, func(tx *store.Tx) error { return finish(tx, r) }); err != nil {
		return nil, err
	}
	return r, asked(failure, r)
}

// NowProblems tells all that RunNow would refuse of a request: at reference, pipeline_file or parameters.NAME.
func NowProblems(k *signalbox.Task, n Now) []Problem {
	_, problems := manual(k, n)
	return problems
}

// manual is the run that somebody asks for, and what is wrong with asking.
func manual(k *signalbox.Task, n Now) (*signalbox.TaskRun, []Problem) {
	r := &signalbox.TaskRun{
		TaskID: k.ID, ProjectID: k.ProjectID, Token: "now " + n.Token, Requester: n.By, Ref: k.Ref, PipelineFile: k.PipelineFile,
		Status: signalbox.TaskRunRunning,
	}
	if n.Ref != "" {
		r.Ref = signalbox.ParseRef(n.Ref)
	}
	if n.PipelineFile != "" {
		r.PipelineFile = n.PipelineFile
	}
	var out []Problem
	if r.Ref == "" {
		out = append(out, Problem{"reference", signalbox.Errorf(signalbox.CodeInvalid, "You have to provide reference for this task")})
	}
	if r.PipelineFile == "" {
		out = append(out, Problem{"pipeline_file", signalbox.Errorf(signalbox.CodeInvalid, "You have to provide pipeline file for this task")})
	}
	values, problems := values(k.Parameters, n.Parameters)
	r.Parameters = values
	return r, append(out, problems...)
}

// asked is the error for whoever asked for a run.
func asked(err error, r *signalbox.TaskRun) error {
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return err
	}
	switch kind, name := signalbox.RefParts(r.Ref); kind {
	case "BRANCH":
		return signalbox.Errorf(signalbox.CodeInvalid, "Branch '%s' does not exist in the repository", name)
	case "TAG":
		return signalbox.Errorf(signalbox.CodeInvalid, "Tag '%s' does not exist in the repository", name)
	}
	return signalbox.Errorf(signalbox.CodeInvalid, "Cannot find git reference %s.", r.Ref)
}
