package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// heartbeat is how often a stream says that it is alive; proxies close connections on which nothing happens.
const heartbeat = 15 * time.Second

// stream writes server-sent events. Its methods may be called from several goroutines of one handler.
type stream struct {
	mu sync.Mutex
	rw http.ResponseWriter
	rc *http.ResponseController
}

func newStream(rw http.ResponseWriter) (*stream, error) {
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s := &stream{rw: rw, rc: http.NewResponseController(rw)}
	// The server's limit for writing an answer does not fit one that is meant to last.
	_ = s.rc.SetWriteDeadline(time.Time{})
	rw.WriteHeader(http.StatusOK)
	return s, s.comment("hello")
}

func (s *stream) comment(text string) error { return s.write(": " + text + "\n\n") }

// send writes one event. id, when not "", is what the browser sends back as Last-Event-ID when it connects again.
func (s *stream) send(name, id string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	head := ""
	if id != "" {
		head = "id: " + id + "\n"
	}
	return s.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", head, name, visible(text)))
}

func (s *stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.rw.Write([]byte(text)); err != nil {
		return err
	}
	return s.rc.Flush()
}
