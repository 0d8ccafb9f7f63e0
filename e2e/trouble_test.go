package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWrongClocks kills the server again and again while agents run jobs, and each new one has another time, hours before or after
// the last.
func TestWrongClocks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; not with -short")
	}
	next := nextRelease(t)
	databasesAtOnce(t, func(t *testing.T, database string) {
		w := emptyWorld(t, database)
		w.serve(next)
		w.agentsAt(w.listen, 3)
		l := w.hold(3, 3, 150)
		clocks := []string{"1h", "-1h", "11h", "-11h", "0s", "-3h"} // less than a day apart, which is how long a job may run
		for n := 0; !l.over(1500*time.Millisecond) && n < 60; n++ {
			if n == len(clocks) {
				l.release()
			}
			w.server.kill()
			w.serve(next, "SIGNALBOX_WRONG_CLOCK="+clocks[n%len(clocks)])
		}
		l.check()
	})
}

// echo is a reverse proxy that sends requests again: some soon, and all of them at the end, in any order. It never repeats a
// registration before its agent has synced, because that is how an agent tells that its answer was lost.
type echo struct {
	*httptest.Server
	target string
	wg     sync.WaitGroup
	mu     sync.Mutex
	dice   *rand.Rand
	all    []request
	bad    []string
}

type request struct {
	method, path string
	header       http.Header
	body         []byte
}

func newEcho(t *testing.T, target string, seed uint64) *echo {
	e := &echo{target: target, dice: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a test
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: target})
			r.Out.Host = r.In.Host
			e.note(r.Out)
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	e.Server = httptest.NewServer(p)
	e.Config.ErrorLog = nil
	t.Cleanup(func() { e.wg.Wait(); e.Close() })
	return e
}

func (e *echo) note(r *http.Request) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	again := request{r.Method, r.URL.RequestURI(), r.Header.Clone(), body}
	again.header.Set("X-Forwarded-Host", r.Host)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, again)
	if e.dice.IntN(3) > 0 {
		return
	}
	after := time.Duration(e.dice.IntN(3000)) * time.Millisecond
	if strings.HasSuffix(r.URL.Path, "/register") {
		after += 5 * time.Second
	}
	e.wg.Go(func() {
		time.Sleep(after)
		e.send(again)
	})
}

// send sends a request again. Whatever is answered, it must not be a failure of the server.
func (e *echo) send(again request) {
	// A copy that is held would take the place of the agent's own request; nobody waits for the answer of a copy.
	r, err := http.NewRequest(again.method, "http://"+e.target+again.path, bytes.NewReader(again.body))
	if err != nil {
		panic(err)
	}
	r.Header = again.header.Clone()
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	if resp.StatusCode >= 500 {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.bad = append(e.bad, fmt.Sprintf("%s %s: %s %s", again.method, again.path, resp.Status, text))
	}
}

// TestRepeatedRequests: everything that agents say arrives a second time, later and in another order, also after their jobs have
// ended and after they have left. Nothing changes by it.
func TestRepeatedRequests(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; not with -short")
	}
	databasesAtOnce(t, func(t *testing.T, database string) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		w := emptyWorld(t, database)
		w.serve(program)
		e := newEcho(t, w.listen, seed)
		w.agentsAt(strings.TrimPrefix(e.URL, "http://"), 3)
		l := w.begin(3, 3, 100)
		for !l.over(time.Minute) {
		}
		e.wg.Wait()
		for _, a := range w.agents[:2] { // these leave, so their disconnects are repeated too
			_ = a.cmd.Process.Signal(os.Interrupt)
			<-a.done
		}
		before := w.run("--output", "json", "workflow", "follow", l.id)
		e.mu.Lock()
		all := e.all
		e.dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		e.mu.Unlock()
		var group sync.WaitGroup
		lanes := make(chan request)
		for range 8 {
			group.Go(func() {
				for r := range lanes {
					e.send(r)
				}
			})
		}
		for _, r := range all {
			lanes <- r
		}
		close(lanes)
		group.Wait()
		if after := w.run("--output", "json", "workflow", "follow", l.id); after != before {
			t.Errorf("repeats changed the workflow from\n%s\nto\n%s", before, after)
		}
		l.check()
		for _, b := range e.bad {
			t.Errorf("a repeat was answered: %s", b)
		}
		t.Logf("%d requests repeated", len(all))
	})
}
