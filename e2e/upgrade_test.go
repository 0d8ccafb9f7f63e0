package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/server/servertest"
)

// front is how agents reach servers that are replaced: it passes their requests to the first server that takes them, and
// counts what becomes of them. Where none does, the agent's connection ends without an answer, as it does without a proxy.
type front struct {
	*httptest.Server
	servers []string

	answered, refused, reset, broken atomic.Int64
	mu                               sync.Mutex
	errors                           []string // answers that an agent counts as errors
	last                             time.Time
	longest                          time.Duration // between two answers
}

type nobody struct{ error }

func newFront(t *testing.T, servers ...string) *front {
	f := &front{servers: servers}
	transport := &http.Transport{DisableKeepAlives: true} // a connection of its own, so that a refused one is no lost request
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: servers[0]})
			r.Out.Host = r.In.Host
		},
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			var body []byte
			if r.Body != nil {
				var err error
				if body, err = io.ReadAll(r.Body); err != nil {
					return nil, err
				}
			}
			for _, s := range f.servers {
				r.URL.Host, r.Body = s, io.NopCloser(bytes.NewReader(body))
				resp, err := transport.RoundTrip(r)
				if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
					return resp, err
				}
			}
			return nil, nobody{syscall.ECONNREFUSED}
		}),
		ModifyResponse: func(r *http.Response) error { f.count(r); return nil },
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			switch {
			case r.Context().Err() != nil: // the agent itself hung up
			case errors.As(err, &nobody{}):
				f.refused.Add(1)
			case errors.Is(err, syscall.ECONNRESET): // it was in the listener's line when that was closed; nobody had taken it
				f.reset.Add(1)
			default:
				f.broken.Add(1)
				t.Logf("%s %s: %v", r.Method, r.URL.Path, err)
			}
			panic(http.ErrAbortHandler)
		},
	}
	f.Server = httptest.NewServer(p)
	f.Config.ErrorLog = nil
	t.Cleanup(f.Close)
	return f
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (f *front) count(r *http.Response) {
	f.answered.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.last.IsZero() {
		f.longest = max(f.longest, now.Sub(f.last))
	}
	f.last = now
	if r.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(r.Body, 300))
		f.errors = append(f.errors, fmt.Sprintf("%s %s: %s %s", r.Request.Method, r.Request.URL.Path, r.Status, text))
	}
}

// TestUpgradeUnderLoad replaces the server by the next release, with a schema of its own, and by the old one again, while
// agents run jobs. No answer of a server that is told to end is an error, every request that it took gets one, no job is lost
// or runs twice, and every log is whole. On PostgreSQL there are two servers, and one of them always answers.
func TestUpgradeUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	next := nextRelease(t)
	databases(t, func(t *testing.T, database string) { upgradeUnderLoad(t, database, next) })
}

// serve starts a build of the program as the server, without TLS.
func (w *world) serve(program string, env ...string) {
	w.Helper()
	info := filepath.Join(w.data(), "server.json")
	_ = os.Remove(info)
	args := []string{"server", "--data", w.data(), "--listen", w.listen, "--log-level", "warn", "--insecure-http"}
	if w.database != "" {
		w.artifacts = filepath.Join(filepath.Dir(w.dir), "artifacts")
		args = append(args, w.place()...)
	}
	w.server = startProgram(w.T, program, env, args...)
	w.until("the server is up", func() bool {
		select {
		case <-w.server.done:
			w.Fatalf("the server ended:\n%s", w.server.out)
		default:
		}
		_, err := os.Stat(info)
		return err == nil
	})
}

// replace ends a server as a service manager does and starts another build in its place.
func (w *world) replace(program string) (away time.Duration) {
	w.Helper()
	begin := time.Now()
	if err := w.server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.Fatal(err)
	}
	select {
	case <-w.server.done:
	case <-time.After(time.Minute):
		w.Fatal("the server does not end")
	}
	if !w.server.cmd.ProcessState.Success() {
		w.Errorf("the server ended with %v:\n%s", w.server.cmd.ProcessState, w.server.out)
	}
	w.serve(program)
	return time.Since(begin)
}

func upgradeUnderLoad(t *testing.T, database, next string) {
	root := t.TempDir()
	replicas := 1
	if database != "" {
		replicas = 2
	}
	var all []*world
	var addresses []string
	for i := range replicas {
		w := &world{T: t, dir: filepath.Join(root, fmt.Sprint(i)), listen: servertest.Address(t), database: database}
		if err := os.MkdirAll(w.data(), 0o700); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // servers that share a database have the same key
			key, err := os.ReadFile(filepath.Join(all[0].data(), "master.key"))
			if err == nil {
				err = os.WriteFile(filepath.Join(w.data(), "master.key"), key, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.serve(program)
		all, addresses = append(all, w), append(addresses, w.listen)
	}
	w := all[0]
	f := newFront(t, addresses...)
	const agents, blocks, jobs, lines = 3, 4, 3, 150
	w.agentsAt(strings.TrimPrefix(f.URL, "http://"), agents)
	l := w.hold(blocks, jobs, lines)
	swaps, away := 0, time.Duration(0)
	for over := false; !over; {
		if swaps >= 4 {
			l.release()
		}
		for _, build := range []string{next, program} {
			for _, replica := range all {
				away = max(away, replica.replace(build))
				swaps++
				over = l.over(3*time.Second) || over
			}
		}
	}
	l.check()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.errors {
		t.Errorf("an agent was answered: %s", e)
	}
	if n := f.broken.Load(); n > 0 {
		t.Errorf("%d requests that a server had taken got no answer in %d swaps", n, swaps)
	}
	if n := f.refused.Load(); n > 0 && replicas > 1 {
		t.Errorf("%d requests found no server, of %d", n, replicas)
	}
	if n := f.reset.Load(); n > int64(swaps) {
		t.Errorf("%d connections were reset in %d swaps", n, swaps)
	}
	t.Logf("%d swaps, each at most %v; %d requests answered, %d connections refused while no server ran, %d reset unread, %d left without an answer, at most %v without an answer",
		swaps, away.Round(time.Millisecond), f.answered.Load(), f.refused.Load(), f.reset.Load(), f.broken.Load(), f.longest.Round(time.Millisecond))
}
