package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/dispatch"
	"github.com/signalbox-ci/signalbox/store"
)

// lane is one connection of an agent.
type lane struct {
	net.Conn
	in    *bufio.Reader
	t     *testing.T
	token string
}

// running starts a server that answers on the network, over TLS or not.
func running(t *testing.T, insecure bool, timing dispatch.Timing) (s *Server, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := New(ctx, Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Insecure: insecure, Timing: timing})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	over := false
	stop = func() {
		if over {
			return
		}
		over = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func (s *Server) dial(t *testing.T, token string) *lane {
	t.Helper()
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if s.certs != nil {
		ca, err := os.ReadFile(s.CAFile())
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		c = tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13})
	}
	t.Cleanup(func() { _ = c.Close() })
	return &lane{Conn: c, in: bufio.NewReader(c), t: t, token: token}
}

func (l *lane) send(method, path string, in any, headers ...string) {
	l.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		l.t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: here\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n", method, agentapi.Base, path, l.token, len(body))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	if _, err := l.Write(b.Bytes()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lane) answer(out any) *http.Response {
	l.t.Helper()
	_ = l.SetReadDeadline(time.Now().Add(30 * time.Second))
	res, err := http.ReadResponse(l.in, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			l.t.Fatalf("%s: %q", res.Status, body)
		}
	}
	return res
}

// enroll registers an agent on a connection of its own.
func (s *Server) enroll(t *testing.T, registration, name string) *lane {
	t.Helper()
	l := s.dial(t, registration)
	var reg agentapi.RegisterResponse
	l.send("POST", agentapi.PathRegister, agentapi.RegisterRequest{Name: name})
	l.answer(&reg)
	l.token = reg.Token
	return l
}

var waitingSync = agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}

// TestHeldSyncs holds syncs on real connections: one connection serves many requests, held or not, and headers say what they say
// of any other answer.
func TestHeldSyncs(t *testing.T) {
	for name, insecure := range map[string]bool{"over TLS": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			s, _ := running(t, insecure, dispatch.Timing{Hold: 50 * time.Millisecond})
			registration, job := s.oneJob(t)
			l := s.enroll(t, registration, "first-agent")
			var res agentapi.SyncResponse
			l.send("POST", agentapi.PathSync, waitingSync)
			if l.answer(&res); res.Action != agentapi.ActionRunJob || res.JobID != job {
				t.Fatalf("%+v", res)
			}
			l.send("GET", agentapi.PathJobs+"/"+job, nil)
			if a := l.answer(nil); a.StatusCode != http.StatusOK {
				t.Fatal(a.Status)
			}
			l.send("POST", agentapi.PathSync, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "passed"})
			l.answer(&res)
			for range 5 {
				l.send("POST", agentapi.PathSync, waitingSync)
				a := l.answer(&res)
				if res.Action != agentapi.ActionContinue {
					t.Fatalf("%+v", res)
				}
				if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Date") == "" ||
					!strings.HasPrefix(a.Header.Get("Server-Timing"), "hold;dur=") || a.Close || (a.Header.Get("Strict-Transport-Security") == "") != insecure {
					t.Fatalf("close %v %v", a.Close, a.Header)
				}
			}
			// Another request on the same connection, and a sync after a while, when net/http reads it again.
			for range 2 {
				l.send("GET", agentapi.PathJobs+"/"+job, nil)
				if a := l.answer(nil); a.StatusCode != http.StatusNotFound || (a.Header.Get("Strict-Transport-Security") == "") != insecure {
					t.Errorf("%s %v", a.Status, a.Header)
				}
				l.send("POST", agentapi.PathSync, waitingSync)
				l.answer(&res)
				time.Sleep(2 * soon)
				l.send("POST", agentapi.PathSync, waitingSync, "Expect: 100-continue")
				for l.answer(nil).StatusCode == http.StatusContinue {
				}
			}
			l.send("POST", agentapi.PathSync, agentapi.SyncRequest{State: "dancing"})
			if a := l.answer(nil); a.StatusCode != http.StatusUnprocessableEntity || a.Close {
				t.Errorf("a state that nobody knows: %s", a.Status)
			}
			l.send("POST", agentapi.PathSync, waitingSync, "Connection: close")
			if a := l.answer(&res); !a.Close {
				t.Errorf("the last answer: %v", a.Header)
			}
			if _, err := l.in.ReadByte(); err != io.EOF {
				t.Errorf("after the last answer: %v", err)
			}
		})
	}
}

// TestAHeldAgentThatHangsUpKeepsNoJob: nobody reads the connection of a held sync; its end is found when there is a job.
func TestAHeldAgentThatHangsUpKeepsNoJob(t *testing.T) {
	for name, insecure := range map[string]bool{"over TLS": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			s, _ := running(t, insecure, dispatch.Timing{Hold: 10 * time.Second})
			registration, first := s.oneJob(t)
			gone, stays := s.enroll(t, registration, "gone-agent"), s.enroll(t, registration, "staying-agent")
			var res agentapi.SyncResponse
			gone.send("POST", agentapi.PathSync, waitingSync)
			gone.answer(&res)
			gone.send("GET", agentapi.PathJobs+"/"+first, nil)
			gone.answer(nil)
			gone.send("POST", agentapi.PathSync, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: first, JobResult: "failed"})
			gone.answer(&res)
			gone.send("POST", agentapi.PathSync, waitingSync, "Prefer: wait=30")
			s.untilAway(t, 1)
			stays.send("POST", agentapi.PathSync, waitingSync, "Prefer: wait=30")
			s.untilAway(t, 2)
			if err := gone.Close(); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			second := s.again(t)
			if stays.answer(&res); res.JobID != second {
				t.Fatalf("%+v, want job %s", res, second)
			}
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("the agent that stays got the job after %v", took)
			}
		})
	}
}

// TestHeldSyncsAreAnsweredWhenTheServerEnds: and no request gets lost on their connections, because the answer says that it is the last.
func TestHeldSyncsAreAnsweredWhenTheServerEnds(t *testing.T) {
	s, stop := running(t, false, dispatch.Timing{Hold: 10 * time.Second})
	registration, job := s.oneJob(t)
	busy := s.enroll(t, registration, "busy-agent")
	var res agentapi.SyncResponse
	busy.send("POST", agentapi.PathSync, waitingSync)
	if busy.answer(&res); res.JobID != job {
		t.Fatalf("%+v", res)
	}
	s.untilAway(t, 0) // its next request is waited for no longer, so those that are away now are the others
	var all []*lane
	for i := range 20 {
		l := s.enroll(t, registration, fmt.Sprint("waiting-agent-", i))
		l.send("POST", agentapi.PathSync, waitingSync)
		all = append(all, l)
	}
	s.untilAway(t, len(all))
	done := make(chan struct{})
	go func() { defer close(done); stop() }()
	for _, l := range all {
		if a := l.answer(&res); a.StatusCode != http.StatusOK || !a.Close || res.Action != agentapi.ActionContinue {
			t.Errorf("%s %v %+v", a.Status, a.Header, res)
		}
	}
	<-done
}

func (s *Server) untilAway(t *testing.T, n int) {
	t.Helper()
	for range 5000 {
		s.parking.conns.mu.Lock()
		away := s.parking.conns.away
		s.parking.conns.mu.Unlock()
		if away == n {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatalf("%d syncs are never held", n)
}

// again reruns the pipeline of oneJob and returns the new job.
func (s *Server) again(t *testing.T) (jobID string) {
	t.Helper()
	if err := s.store.Write(t.Context(), func(tx *store.Tx) error {
		p, err := tx.FindProject("demo")
		if err != nil {
			return err
		}
		jobID, err = s.queueJob(tx, p, signalbox.NewID())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return jobID
}
