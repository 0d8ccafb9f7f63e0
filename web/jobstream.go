package web

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// getJobEvents sends "changed" when the job's state changed. Its log has a stream of its own.
func (w *Web) getJobEvents(rw http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	woken, stop := w.o.Store.Watch(store.KeyJob(id))
	defer stop()
	job, _, err := w.attemptOf(r)
	if err != nil {
		return err
	}
	// What a job in line is told changes with every other job of the line.
	var moved <-chan struct{}
	if job.State == signalbox.JobQueued {
		var stop func()
		moved, stop = w.o.Store.Watch(store.KeyQueue, store.KeyRoom)
		defer stop()
	}
	ctx, cancel := context.WithTimeout(r.Context(), w.o.StreamTTL)
	defer cancel()
	s, err := newStream(rw)
	if err != nil {
		return nil // the browser is gone
	}
	changed := r.URL.Query().Get("state") != stateMark(job)
	if job.DebugOf == "" && r.URL.Query().Has("sessions") {
		err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
			sessions, err := tx.DebugJobsOf(job.ID)
			changed = changed || r.URL.Query().Get("sessions") != sessionMark(sessions)
			return err
		})
		if err != nil {
			return err
		}
	}
	if changed {
		if err := s.send("changed", "", struct{}{}); err != nil {
			return nil
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := w.changes(ctx, s, woken)
		cancel()
		return err
	})
	if moved != nil {
		g.Go(func() error { return w.moves(ctx, s, job.ID, moved) })
	}
	_ = g.Wait() // it fails when the browser is gone, which is how streams end
	return nil
}

// moves sends "changed" when the line of a job moved, at most every two seconds, for as long as the job waits in it.
func (w *Web) moves(ctx context.Context, s *stream, jobID string, moved <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
			waits := false
			if err := w.o.Store.Read(ctx, func(tx *store.Tx) error {
				j, err := tx.Job(jobID)
				waits = err == nil && j.State == signalbox.JobQueued
				return err
			}); err != nil || !waits {
				return err
			}
			if err := s.send("changed", "", struct{}{}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}
