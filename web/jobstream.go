package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// logPush is what a page gets to know of its log: heads of commands and lines that are new or have grown, all in the
// order of their numbers.
type logPush struct {
	Commands []commandPush `json:"commands,omitempty"`
	Lines    []linePush    `json:"lines,omitempty"`
	Total    string        `json:"total"`
}

type linePush struct {
	N       int64  `json:"n,omitempty"`
	Runs    []Run  `json:"r,omitempty"`
	Silence int64  `json:"s,omitempty"`
	Lost    string `json:"x,omitempty"`
}

type commandPush struct {
	N       int64  `json:"n"`
	Text    string `json:"text"`
	Class   string `json:"class"`
	Word    string `json:"word"`
	Took    string `json:"took"`
	Since   int64  `json:"since,omitempty"`
	Exit    *int   `json:"exit,omitempty"`
	Running bool   `json:"running"`
}

// getJobEvents sends "log" with new lines, "changed" when the job's state changed and "end" when nothing will come
// any more.
func (w *Web) getJobEvents(rw http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	woken, stop := w.o.Store.Watch(store.KeyJob(id))
	defer stop()
	job, attempt, err := w.attemptOf(r)
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
	from, _ := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		from = max(from, last)
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
	if attempt != nil && r.URL.Query().Get("attempt") != "" {
		g.Go(func() error {
			err := w.followLog(ctx, s, attempt.ID, from)
			if err == nil && ctx.Err() == nil {
				err = s.send("end", "", struct{}{})
			}
			// A job that is still open has more to say about itself than its log.
			if job.State == signalbox.JobFinished {
				cancel()
			}
			return err
		})
	}
	_ = g.Wait() // it fails when the browser is gone; a log that cannot be read is asked for again by the browser
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

// followLog sends what comes after the event from. It reads the log from its beginning, because numbers, colours and
// the command of a line depend on all lines before it.
func (w *Web) followLog(ctx context.Context, s *stream, attemptID string, from int64) error {
	f := newFold(0)
	return w.o.Logs.Follow(ctx, attemptID, 0, func(b joblog.Batch) error {
		if cut := from - b.From; !f.live && cut > 0 && cut < int64(len(b.Events)) {
			f.batch(joblog.Batch{From: b.From, Events: b.Events[:cut]})
			b = joblog.Batch{From: b.From + cut, Events: b.Events[cut:]}
		}
		if !f.live && b.From >= from {
			f.live = true
			clear(f.changed)
		}
		f.batch(b)
		push, any := f.take()
		if !any {
			return nil
		}
		return s.send("log", strconv.FormatInt(f.Next, 10), push)
	})
}

// take returns what changed since the last take.
func (f *fold) take() (logPush, bool) {
	if !f.live {
		return logPush{}, false
	}
	push := logPush{Total: count(f.Lines) + " lines, " + size(f.Bytes)}
	for _, l := range f.dirty[max(0, len(f.dirty)-maxDirty):] {
		p := linePush{N: l.N, Silence: l.Silence, Lost: l.Lost}
		if l.Lost == "" {
			p.Runs = l.Runs()
		}
		push.Lines = append(push.Lines, p)
	}
	for _, c := range f.Commands {
		if !f.changed[c] {
			continue
		}
		t, l := c.Took(), c.Lamp()
		push.Commands = append(push.Commands, commandPush{
			N: c.N, Text: c.Directive, Class: l.Class, Word: l.Word, Took: t.Text, Since: t.Since, Exit: c.Exit, Running: c.Running,
		})
	}
	f.dirty = nil
	clear(f.changed)
	return push, len(push.Commands) > 0 || len(push.Lines) > 0
}
