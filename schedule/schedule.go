// Package schedule runs tasks: workflows that start at set times, or when somebody asks for one. A time that is due
// becomes a run in the store before anything is started, and the run's token makes one workflow of it, so that a crash
// at any point and servers that share a database neither lose nor double one. It waits for the next time that is known
// and for changes, and looks again now and then in case a wake-up was lost.
package schedule

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Actor is who starts what is due, in histories.
const Actor = "schedule"

const (
	longestWait = time.Minute // for the next look, if a wake-up was lost or the clock was set
	afterError  = 5 * time.Second
	lease       = 30 * time.Second
	parallel    = 4 // runs that are started at once; each may have to fetch a repository
	batch       = 100
)

// Starter starts the workflow of a run; package trigger's does.
type Starter interface {
	StartTask(ctx context.Context, p *signalbox.Project, r *signalbox.TaskRun, actor string) (*signalbox.Workflow, error)
}

// Options for New. Store and Starter are required.
type Options struct {
	Store   *store.Store
	Starter Starter
	Logger  *slog.Logger // default: discard
}

// Scheduler starts what is due.
type Scheduler struct {
	o Options
}

// New returns a scheduler.
func New(o Options) (*Scheduler, error) {
	if o.Store == nil || o.Starter == nil {
		return nil, errors.New("schedule: a store and something that starts workflows are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Scheduler{o}, nil
}

// Run starts what is due until ctx ends. Runs that are being started then are given back.
func (s *Scheduler) Run(ctx context.Context) error {
	woken, end := s.o.Store.Watch(store.KeyTasks)
	defer end()
	var group sync.WaitGroup
	defer group.Wait()
	free := make(chan struct{}, parallel)
	for range parallel {
		free <- struct{}{}
	}
	for {
		wait, err := s.look(ctx, free, &group)
		if err != nil && ctx.Err() == nil {
			s.o.Logger.Error("tasks cannot be looked at now", "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-woken:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// look makes runs of what is due, begins as many as there is room for, and returns how long nothing is to be done.
func (s *Scheduler) look(ctx context.Context, free chan struct{}, group *sync.WaitGroup) (time.Duration, error) {
	var runs []*signalbox.TaskRun
	var next, now time.Time
	if err := s.o.Store.Read(ctx, func(tx *store.Tx) (err error) { now = tx.Now; next, err = tx.NextTaskTime(); return err }); err != nil {
		return afterError, err
	}
	if next.IsZero() || next.After(now) { // the common case writes nothing
		return until(next, now), nil
	}
	if err := s.Plan(ctx); err != nil {
		return afterError, err
	}
	room := len(free) // only this goroutine takes from it
	if err := s.o.Store.Write(ctx, func(tx *store.Tx) (err error) {
		runs, now = nil, tx.Now
		if room > 0 {
			if runs, err = tx.ClaimTaskRuns(room, lease); err != nil {
				return err
			}
		}
		next, err = tx.NextTaskTime()
		return err
	}); err != nil {
		return afterError, err
	}
	for _, r := range runs {
		<-free
		group.Go(func() {
			if err := s.try(ctx, r); err != nil && ctx.Err() == nil {
				s.o.Logger.Error("what became of a task's run could not be written down", "task", r.TaskID, "run", r.ID, "error", err)
			}
			free <- struct{}{}
			s.o.Store.Notify(store.KeyTasks) // there is room again
		})
	}
	if len(runs) == room {
		return longestWait, nil // the end of a run comes first
	}
	return until(next, now), nil
}

// until is how long to wait for a time. What is due already is held by another server, or will be seen at once.
func until(next, now time.Time) time.Duration {
	if next.IsZero() {
		return longestWait
	}
	return min(max(next.Sub(now), 50*time.Millisecond), longestWait)
}
