package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// parking is a listener that also accepts connections a second time. A request that will wait for long gives up everything
// that net/http keeps for it but its connection: two goroutines with deep stacks, buffers, headers. When it has its answer
// the connection comes in again, as if it were new. Ten thousand waiting agents fit into memory that way.
type parking struct {
	net.Listener
	conns   *connections
	arrived chan arrival
	over    chan struct{} // closed when the listener is
	ending  atomic.Bool
}

type arrival struct {
	conn net.Conn
	err  error
}

func newParking(l net.Listener, conns *connections) *parking {
	p := &parking{Listener: l, conns: conns, arrived: make(chan arrival), over: make(chan struct{})}
	go p.listen()
	return p
}

func (p *parking) listen() {
	defer close(p.over)
	for {
		c, err := p.Listener.Accept()
		p.arrived <- arrival{c, err}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// Accept is http.Server's; it asks until it gets net.ErrClosed.
func (p *parking) Accept() (net.Conn, error) {
	a := <-p.arrived
	return a.conn, a.err
}

// end lets no connection come in again.
func (p *parking) end() { p.ending.Store(true) }

// park takes a request out of net/http and lets rest answer it, in its own time. It returns false when that is not possible;
// then nothing has happened. rest must not use the request.
func (p *parking) park(w http.ResponseWriter, r *http.Request, rest func(ctx context.Context, w http.ResponseWriter) error, fail func(http.ResponseWriter, error)) bool {
	header, keep := w.Header().Clone(), !r.Close && r.ProtoAtLeast(1, 1)
	p.conns.parked(1)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.conns.parked(-1)
		return false
	}
	keep = keep && rw.Reader.Buffered() == 0
	go p.answer(conn, keep, header, rest, fail)
	return true
}

func (p *parking) answer(conn net.Conn, keep bool, header http.Header, rest func(context.Context, http.ResponseWriter) error, fail func(http.ResponseWriter, error)) {
	defer p.conns.parked(-1)
	w := &parkedWriter{conn: conn, header: header, close: func() bool { return !keep || p.ending.Load() }}
	if err := guarded(func() error { return rest(context.Background(), w) }); err != nil && !w.sent {
		fail(w, err)
	}
	err := w.FlushError()
	if err != nil || w.closes || p.ending.Load() {
		_ = conn.Close()
		return
	}
	select {
	case p.arrived <- arrival{conn, nil}:
	case <-p.over:
		_ = conn.Close()
	}
}

// guarded turns a panic into an error.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}

// parkedWriter writes one whole answer to a connection.
type parkedWriter struct {
	conn   net.Conn
	header http.Header
	close  func() bool // whether this is the last answer on the connection
	status int
	body   []byte
	sent   bool
	closes bool // what the answer said
	err    error
}

func (w *parkedWriter) Header() http.Header { return w.header }

func (w *parkedWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *parkedWriter) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

// FlushError sends the answer; nothing can be added to it then.
func (w *parkedWriter) FlushError() error {
	if w.sent {
		return w.err
	}
	w.sent = true
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.header.Set("Content-Length", strconv.Itoa(len(w.body)))
	if w.closes = w.close(); w.closes {
		w.header.Set("Connection", "close")
	}
	var b bytes.Buffer
	b.Grow(512 + len(w.body))
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	if w.err = w.header.Write(&b); w.err != nil {
		return w.err
	}
	b.WriteString("\r\n")
	b.Write(w.body)
	_ = w.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_, w.err = w.conn.Write(b.Bytes())
	_ = w.conn.SetWriteDeadline(time.Time{})
	return w.err
}

// Gone tells whether the other end has hung up. Nobody reads the connection meanwhile, so it must be asked.
func (w *parkedWriter) Gone() bool { return hungUp(w.conn) }

// failAgent answers an agent with an error.
func failAgent(w http.ResponseWriter, status int, err error) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(signalbox.ErrorMessage(err) + "\n"))
}

// park is dispatch.Options.Park.
func (s *Server) park(w http.ResponseWriter, r *http.Request, rest func(context.Context, http.ResponseWriter) error) bool {
	if s.parking == nil {
		return false
	}
	id, path := requestID(r), r.URL.Path
	return s.parking.park(w, r, rest, func(w http.ResponseWriter, err error) {
		status := statusOf(err)
		if status >= 500 {
			s.o.Logger.Error("request failed", "request_id", id, "method", http.MethodPost, "path", path, "error", err)
		}
		failAgent(w, status, err)
	})
}
