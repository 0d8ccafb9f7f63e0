package joblog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// writeTimeout is how long a reader may take for one piece of a stream before it is given up.
const writeTimeout = 30 * time.Second

// ServeSSE streams a log as server-sent events from an index on, or from where a reconnecting browser says it was
// (Last-Event-ID). "log" carries a JSON array of events, "gap" {from, to, why}, each with the index of what follows as
// its id; "end" says that the log is closed and complete. Between them comments keep the connection alive. It returns
// nil when the log ended or the reader left, and an error only when the log cannot be read; then the stream just ends
// and the browser comes back.
func (l *Log) ServeSSE(w http.ResponseWriter, r *http.Request, attemptID string, from int64) error {
	if n, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil && n >= 0 {
		from = n
	}
	if err := checkIndex(from); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a buffering proxy would hold everything back
	s := &stream{w: w, c: http.NewResponseController(w)}
	if err := s.send(": following\n\n"); err != nil {
		return nil //nolint:nilerr // the reader left
	}
	err := l.follow(r.Context(), attemptID, from, s.batch, l.heartbeat, func() error { return s.send(": still here\n\n") })
	if err == nil {
		err = s.send("event: end\ndata: {}\n\n")
	}
	var gone *readerGone
	if errors.As(err, &gone) || r.Context().Err() != nil {
		return nil
	}
	return err
}

// stream writes pieces of server-sent events.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

// readerGone wraps failures to write to the reader, which are nobody's fault.
type readerGone struct{ err error }

func (g *readerGone) Error() string { return "the reader left: " + g.err.Error() }
func (g *readerGone) Unwrap() error { return g.err }

func (s *stream) batch(b Batch) error {
	if b.Gap != nil {
		data, err := json.Marshal(b.Gap)
		if err != nil {
			return err
		}
		return s.send(fmt.Sprintf("id: %d\nevent: gap\ndata: %s\n\n", b.Next(), data))
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "id: %d\nevent: log\ndata: [", b.Next())
	for i, e := range b.Events {
		if i > 0 {
			text.WriteByte(',')
		}
		// Compact, because a carriage return between two tokens would end the field.
		if err := json.Compact(&text, bytes.ToValidUTF8(e, []byte("\ufffd"))); err != nil {
			return fmt.Errorf("event %d: %w", b.From+int64(i), err)
		}
	}
	text.WriteString("]\n\n")
	return s.send(text.String())
}

func (s *stream) send(text string) error {
	if err := s.c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return &readerGone{err}
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return &readerGone{err}
	}
	if err := s.c.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return &readerGone{err}
	}
	return nil
}
