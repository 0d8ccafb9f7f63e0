package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/logline"
)

// logPush is what a page gets to know of a log that grows.
type logPush struct {
	Rev      string             `json:"rev"`
	Lines    int64              `json:"lines"` // of the whole log
	Bytes    int64              `json:"bytes"`
	Open     bool               `json:"open,omitempty"`
	Reset    bool               `json:"reset,omitempty"` // all lines that are known are to be asked for again
	Skip     int64              `json:"skip,omitempty"`  // lines up to this one are new and not here
	From     int64              `json:"from,omitempty"`  // number of the first line that is here
	Append   []logLine          `json:"append,omitempty"`
	Commands []*logline.Command `json:"commands,omitempty"`
	Notes    []logNote          `json:"notes,omitempty"`
	Complete bool               `json:"complete,omitempty"`
}

func pushOf(u logline.Update) logPush {
	p := logPush{
		Rev: u.Index.Tag(), Lines: u.Index.Lines, Bytes: u.Index.Text, Open: u.Index.Open, Reset: u.Reset, Skip: u.Skip, Complete: u.Index.Closed,
	}
	for i := range u.Lines {
		p.Append = append(p.Append, logLineOf(&u.Lines[i]))
	}
	if len(u.Lines) > 0 {
		p.From = u.Lines[0].N
	}
	if len(u.Commands) > 0 {
		p.Commands = shownCommands(u.Commands)
	}
	if len(u.Notes) > 0 {
		p.Notes = notesOf(u.Notes)
	}
	return p
}

// getLogStream sends "append" as the log grows and "final" when it is complete. The id of each event says what the page has
// then, and a browser that connects again goes on from there, whichever server it reaches.
func (w *Web) getLogStream(rw http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	from, err := number(q, "from", 0, 0, 1<<52)
	if err != nil {
		return err
	}
	a, err := w.logOf(r)
	if err != nil {
		return err
	}
	at := logline.Position{Rev: -1, Line: from}
	seen := q.Get("rev")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		var line int64
		var rev string
		if _, err := fmt.Sscanf(last, "%d/%s", &line, &rev); err == nil && line >= 0 {
			at.Line, seen = line, rev
		}
	}
	var format int64
	if _, err := fmt.Sscanf(seen, "%d.%d", &at.Rev, &format); err != nil {
		at.Rev = -1
	}
	ctx, cancel := context.WithTimeout(r.Context(), w.o.StreamTTL)
	defer cancel()
	ctx, end := w.untilChanged(ctx, r)
	defer end()
	s, err := newStream(rw)
	if err != nil {
		return nil // the browser is gone
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		err := w.o.Lines.Follow(ctx, a.ID, at, func(u logline.Update) error {
			p := pushOf(u)
			return s.send("append", fmt.Sprintf("%d/%s", p.Lines, p.Rev), p)
		})
		if err == nil {
			return s.send("final", "", struct{}{})
		}
		if signalbox.ErrorCode(err) == signalbox.CodeUnavailable && ctx.Err() == nil {
			return s.send("trouble", "", map[string]string{"message": clip(signalbox.ErrorMessage(err), 300)})
		}
		return err
	})
	g.Go(func() error { return s.beat(ctx) })
	_ = g.Wait() // it fails when the browser is gone, which is how streams end
	return nil
}

// beat says now and then that the stream is alive.
func (s *stream) beat(ctx context.Context) error {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := s.comment("alive"); err != nil {
				return err
			}
		}
	}
}
