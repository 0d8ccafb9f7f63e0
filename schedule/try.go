package schedule

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	firstPause   = 5 * time.Second
	longestPause = time.Minute
	patience     = 15 * time.Minute // for a repository that is away
)

// try starts the workflow of a run that this server has leased, and writes down what became of it.
func (s *Scheduler) try(ctx context.Context, r *signalbox.TaskRun) error {
	workflow, err := s.startKept(ctx, r)
	// What is known now is written down even while the server stops: else the next one waits for the lease.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.o.Store.Write(end, func(tx *store.Tx) error {
		r := *r
		if err == nil {
			r.Status, r.WorkflowID, r.Error = signalbox.TaskRunPassed, workflow, ""
			return finish(tx, &r)
		}
		if ctx.Err() != nil {
			return settled(tx.RetryTaskRun(&r, tx.Now, Actor))
		}
		again := tx.Now.Add(pause(r.Attempts))
		r.Error = sentence(err, &r)
		switch {
		case permanent(err):
			r.Status = signalbox.TaskRunFailed
			return finish(tx, &r)
		case again.After(r.CreatedAt.Add(patience)):
			r.Status, r.Error = signalbox.TaskRunFailed, "Gave up after 15 minutes. "+r.Error
			return finish(tx, &r)
		}
		s.o.Logger.Warn("a task's workflow cannot be started now", "task", r.TaskID, "run", r.ID, "again", again, "error", err)
		return settled(tx.RetryTaskRun(&r, again, Actor))
	})
}

// finish ends a run, unless another server has.
func finish(tx *store.Tx, r *signalbox.TaskRun) error { return settled(tx.FinishTaskRun(r, Actor)) }

func settled(err error) error {
	if signalbox.ErrorCode(err) == signalbox.CodeConflict {
		return nil
	}
	return err
}

// startKept is start with the lease made longer as long as it takes.
func (s *Scheduler) startKept(ctx context.Context, r *signalbox.TaskRun) (workflowID string, err error) {
	keep, done := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { s.keep(keep, r.ID) })
	defer group.Wait()
	defer done()
	return s.start(ctx, r)
}

// keep holds on to a run while it is being started.
func (s *Scheduler) keep(ctx context.Context, id string) {
	tick := time.NewTicker(lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := s.o.Store.Write(ctx, func(tx *store.Tx) error { return tx.KeepTaskRun(id, lease) }); err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("a task's run cannot be kept", "run", id, "error", err)
		}
	}
}

// pause is how long to wait after a number of attempts.
func pause(attempts int) time.Duration {
	d := firstPause
	for i := 1; i < attempts && d < longestPause; i++ {
		d *= 2
	}
	return min(d, longestPause)
}

// start starts the workflow, or finds the one that an attempt before a crash has started.
func (s *Scheduler) start(ctx context.Context, r *signalbox.TaskRun) (workflowID string, err error) {
	var project *signalbox.Project
	if err := s.o.Store.Read(ctx, func(tx *store.Tx) error {
		w, err := tx.FindWorkflow(r.ProjectID, r.RequestToken())
		if err == nil {
			workflowID = w.ID
			return nil
		}
		if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return err
		}
		project, err = allowed(tx, r)
		return err
	}); err != nil || workflowID != "" {
		return workflowID, err
	}
	actor := Actor
	if r.Manual() {
		actor = "user:" + r.Requester
	}
	w, err := s.o.Starter.StartTask(ctx, project, r, actor)
	if err != nil {
		return "", err
	}
	return w.ID, nil
}

// allowed tells whether a run may still start.
func allowed(tx *store.Tx, r *signalbox.TaskRun) (*signalbox.Project, error) {
	p, err := tx.Project(r.ProjectID)
	if err != nil {
		return nil, err
	}
	if !p.DeletedAt.IsZero() {
		return nil, signalbox.Errorf(signalbox.CodeConflict, "The project was deleted.")
	}
	k, err := tx.Task(r.TaskID)
	if err != nil {
		return nil, err
	}
	switch {
	case !k.DeletedAt.IsZero():
		return nil, signalbox.Errorf(signalbox.CodeConflict, "The task was deleted.")
	case k.Paused && !r.Manual():
		return nil, signalbox.Errorf(signalbox.CodeConflict, "The task is paused.")
	}
	return p, nil
}

// permanent tells whether trying again cannot help.
func permanent(err error) bool {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeInvalid, signalbox.CodeNotFound, signalbox.CodeConflict, signalbox.CodeForbidden:
		return true
	}
	return false
}

// sentence is what people read about an error.
func sentence(err error, r *signalbox.TaskRun) string {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeNotFound:
		return fmt.Sprintf("Cannot find git reference %s.", r.Ref)
	case signalbox.CodeInternal:
		return "The repository cannot be read; the server's log says why."
	}
	return signalbox.ErrorMessage(err)
}
