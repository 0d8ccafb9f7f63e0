package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/route"
)

// parking is a listener that also accepts connections a second time. A request that will wait for long gives up everything
// that net/http keeps for it but its connection: two goroutines with deep stacks, buffers, headers. When it has its answer and
// the next request is one to wait again, it is read here; with anything else the connection comes in again, as if it were new. Ten
// thousand waiting agents fit into memory that way.
type parking struct {
	net.Listener
	conns   *connections
	handler http.Handler
	base    context.Context // of requests
	arrived chan arrival
	over    chan struct{} // closed when the listener is
	ending  atomic.Bool
	readers sync.Pool
	common  atomic.Pointer[http.Header] // of the last answer that waited
}

type arrival struct {
	conn net.Conn
	err  error
}

func newParking(base context.Context, l net.Listener, conns *connections, handler http.Handler) *parking {
	p := &parking{Listener: l, conns: conns, handler: handler, base: base, arrived: make(chan arrival), over: make(chan struct{})}
	p.readers.New = func() any { return bufio.NewReaderSize(nil, 4096) }
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
	if pw, ok := w.(*parkedWriter); ok {
		pw.header, pw.common = nil, p.share(pw.Header())
		pw.rest, pw.fail = rest, fail
		return true
	}
	header, keep := w.Header().Clone(), !r.Close && r.ProtoAtLeast(1, 1)
	p.conns.parked(1)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.conns.parked(-1)
		return false
	}
	if again, ok := conn.(*replayed); ok && again.before.Len() == 0 {
		conn = again.Conn
	}
	pw := p.writer(conn, keep && rw.Reader.Buffered() == 0)
	pw.header, pw.common = nil, p.share(header)
	pw.rest, pw.fail = rest, fail
	go p.answer(pw)
	return true
}

// share returns a header that nobody changes any more, or the same one that others have: all that wait answer alike.
func (p *parking) share(h http.Header) http.Header {
	if known := p.common.Load(); known != nil && maps.EqualFunc(*known, h, slices.Equal) {
		return *known
	}
	p.common.Store(&h)
	return h
}

func (p *parking) writer(conn net.Conn, keep bool) *parkedWriter {
	return &parkedWriter{conn: conn, header: http.Header{}, last: func() bool { return !keep || p.ending.Load() }}
}

// answer answers a parked request and looks what comes after it.
func (p *parking) answer(w *parkedWriter) {
	if err := guarded(func() error { return w.rest(p.base, w) }); err != nil && !w.sent {
		w.fail(w, err)
	}
	p.after(w)
}

// after sends an answer and takes the next request of its connection.
func (p *parking) after(w *parkedWriter) {
	for w != nil {
		if err := w.FlushError(); err != nil || w.closes {
			_ = w.conn.Close()
			break
		}
		if w = p.next(w.conn); w != nil && w.rest != nil {
			go p.answer(w) // on a stack that has not been deep
			return
		}
	}
	p.conns.parked(-1)
}

// soon is for how long the next request of a connection is waited for before net/http waits for it: whoever waited asks again at once.
const soon = 100 * time.Millisecond

// next reads the next request and lets the handler answer it, if it is a sync like the last one. Otherwise it gives the connection
// away and returns nil.
func (p *parking) next(conn net.Conn) *parkedWriter {
	br := p.readers.Get().(*bufio.Reader)
	defer p.readers.Put(br)
	br.Reset(&io.LimitedReader{R: conn, N: 64<<10 + 16<<10}) // more of it must wait for the next turn
	defer br.Reset(nil)
	_ = conn.SetReadDeadline(time.Now().Add(soon))
	line, err := br.Peek(len(syncLine))
	_ = conn.SetReadDeadline(time.Time{})
	var timeout net.Error
	switch {
	case err != nil && br.Buffered() == 0 && (!errors.As(err, &timeout) || !timeout.Timeout()):
		_ = conn.Close()
		return nil
	case string(line) != syncLine:
		p.giveBack(conn, br)
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r, err := http.ReadRequest(br)
	if err == nil {
		if r.Header.Get("Expect") != "" {
			_, err = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r.Body)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	_ = conn.SetDeadline(time.Time{})
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = conn.Close()
		return nil
	}
	r.RemoteAddr = conn.RemoteAddr().String()
	if t, ok := conn.(*tls.Conn); ok {
		state := t.ConnectionState()
		r.TLS = &state
	}
	w := p.writer(conn, !r.Close && br.Buffered() == 0)
	if err := guarded(func() error { p.handler.ServeHTTP(w, r.WithContext(p.base)); return nil }); err != nil {
		_ = conn.Close() // the handler wanted no answer
		return nil
	}
	return w
}

const syncLine = "POST " + agentapi.Base + agentapi.PathSync + " HTTP/1.1\r\n"

// giveBack lets net/http go on with a connection of which something may have been read.
func (p *parking) giveBack(conn net.Conn, br *bufio.Reader) {
	if n := br.Buffered(); n > 0 {
		read, _ := br.Peek(n)
		conn = &replayed{Conn: conn, before: bytes.NewReader(bytes.Clone(read))}
	}
	if !p.ending.Load() {
		select {
		case p.arrived <- arrival{conn, nil}:
			return
		case <-p.over:
		}
	}
	_ = conn.Close()
}

// replayed is a connection of which the beginning of a request was read.
type replayed struct {
	net.Conn
	before *bytes.Reader
}

func (r *replayed) Read(b []byte) (int, error) {
	if r.before.Len() > 0 {
		return r.before.Read(b)
	}
	return r.Conn.Read(b)
}

type encryptedKey struct{}

// context is http.Server's ConnContext: net/http does not see that a replayed connection is encrypted.
func (p *parking) context(ctx context.Context, c net.Conn) context.Context {
	if again, ok := c.(*replayed); ok {
		if t, ok := again.Conn.(*tls.Conn); ok {
			state := t.ConnectionState()
			return context.WithValue(ctx, encryptedKey{}, &state)
		}
	}
	return ctx
}

// encrypted completes a request that came over a replayed connection.
func encrypted(r *http.Request) *http.Request {
	if r.TLS == nil {
		r.TLS, _ = r.Context().Value(encryptedKey{}).(*tls.ConnectionState)
	}
	return r
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
	header http.Header                                            // nil while it is the common one
	common http.Header                                            // of many; nobody changes it
	last   func() bool                                            // whether this is the last answer on the connection
	rest   func(ctx context.Context, w http.ResponseWriter) error // what waits and answers; nil when the handler has answered
	fail   func(http.ResponseWriter, error)
	status int
	body   []byte
	sent   bool
	closes bool // what the answer said
	err    error
}

func (w *parkedWriter) Header() http.Header {
	if w.header == nil {
		w.header = w.common.Clone()
	}
	return w.header
}

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
	header := w.Header()
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	header.Set("Content-Length", strconv.Itoa(len(w.body)))
	if w.closes = w.last(); w.closes {
		header.Set("Connection", "close")
	}
	var b bytes.Buffer
	b.Grow(512 + len(w.body))
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	if w.err = header.Write(&b); w.err != nil {
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
		status := route.Status(err)
		if status >= 500 {
			s.o.Logger.Error("request failed", "request_id", id, "method", http.MethodPost, "path", path, "error", err)
		}
		failAgent(w, status, err)
	})
}
