package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const artifactPath = "artifacts/jobs/7c0ffee0-0000-4000-8000-000000000001/agent/job_logs.txt"

// artifactStore answers like an artifact store; script changes single answers: 0 hangs up, 1 does not.
type artifactStore struct {
	mu     sync.Mutex
	asked  []string
	script map[string][]int
	held   map[string]string
	answer string // to the question for URLs, instead of the right one
}

func (s *artifactStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	line := fmt.Sprintf("%s %s auth=%q type=%q length=%d %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.ContentLength, body)
	s.asked = append(s.asked, strings.TrimSuffix(line, " "))
	if list := s.script[r.Method]; len(list) > 0 {
		s.script[r.Method] = list[1:]
		if list[0] == 0 {
			panic(http.ErrAbortHandler)
		}
		if list[0] != 1 {
			w.WriteHeader(list[0])
			fmt.Fprintf(w, "status %d", list[0])
			return
		}
	}
	name := strings.TrimPrefix(r.URL.Path, "/_store/v1/")
	switch r.Method {
	case http.MethodPost:
		if s.answer != "" {
			io.WriteString(w, s.answer)
			return
		}
		base := "http://" + r.Host + "/_store/v1/" + artifactPath
		fmt.Fprintf(w, `{"urls":[{"url":"%s?m=HEAD&s=SECRET","method":"HEAD"},{"url":"%s?m=PUT&s=SECRET","method":"PUT"}]}`, base, base)
	case http.MethodHead:
		if _, ok := s.held[name]; !ok {
			w.WriteHeader(http.StatusNotFound)
		}
	case http.MethodPut:
		if err != nil || int64(len(body)) != r.ContentLength {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.held[name] = string(body)
	}
}

// pushTo pushes in virtual time, over a network in memory, and returns how long it took.
func pushTo(t *testing.T, s *artifactStore, content string) (took time.Duration, err error) {
	t.Helper()
	if s.held == nil {
		s.held = map[string]string{}
	}
	if s.script == nil {
		s.script = map[string][]int{}
	}
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		srv := &http.Server{Handler: s}
		go func() { _ = srv.Serve(l) }()
		hc := &http.Client{Transport: &http.Transport{DialContext: l.dial}}
		begin := time.Now()
		err = PushArtifact(t.Context(), hc, ArtifactTarget{URL: "http://ci.example.com/some/where", Token: "TOKEN", Path: artifactPath}, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		})
		took = time.Since(begin)
		hc.CloseIdleConnections()
		_ = srv.Close()
		synctest.Wait()
	})
	return took, err
}

// pipeListener is a network of this process alone, which virtual time needs.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case l.conns <- a:
		return b, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestPushArtifactIsTheRecordedExchange(t *testing.T) {
	// What the official agent's helper asked, without what only a machine decides.
	rec := readRecording(t, "testdata/wire/upload-job-logs-always.jsonl")
	var want []string
	content := ""
	for _, l := range rec.lines {
		if l.Req == nil || l.Req.kind() != "artifact" {
			continue
		}
		q := l.Req
		body, length := "", 0
		switch q.Method {
		case http.MethodPut:
			if err := json.Unmarshal(q.Body, &content); err != nil {
				t.Fatal(err)
			}
			body, length = content, len(content)
		case http.MethodPost:
			body, length = string(q.Body)+"\n", len(q.Body)+1
		}
		auth := strings.ReplaceAll(q.Headers["Authorization"], "{{ARTIFACT_TOKEN}}", "TOKEN")
		line := fmt.Sprintf("%s %s auth=%q type=%q length=%d %s", q.Method, q.Path, auth, q.Headers["Content-Type"], length, body)
		want = append(want, strings.TrimSuffix(line, " "))
	}
	if len(want) != 3 {
		t.Fatalf("%d requests are recorded", len(want))
	}
	s := &artifactStore{}
	if _, err := pushTo(t, s, content); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, s.asked); d != "" {
		t.Errorf("-recorded +asked:\n%s", d)
	}
	if s.held[artifactPath] != content {
		t.Errorf("stored %q", s.held[artifactPath])
	}
	var exists *artifactExistsError
	if _, err := pushTo(t, s, content); !errors.As(err, &exists) {
		t.Errorf("a second time: %v", err)
	}
	if n := len(s.asked); n != 5 {
		t.Errorf("%d requests; the second push must stop after looking", n)
	}
}

func TestPushArtifactTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		script map[string][]int
		asks   int
		took   time.Duration
		err    string // "" means that it worked
	}{
		"empty script":          {nil, 3, 0, ""},
		"asking: away, then up": {map[string][]int{"POST": {0, 503}}, 5, 2 * time.Second, ""},
		"asking: 500 for ever":  {map[string][]int{"POST": {500, 500, 500, 500, 500}}, 5, 4 * time.Second, "answered 500"},
		"asking: too often":     {map[string][]int{"POST": {429}}, 4, time.Second, ""},
		"asking: 401":           {map[string][]int{"POST": {401}}, 1, 0, "answered 401"},
		"asking: 501":           {map[string][]int{"POST": {501}}, 1, 0, "answered 501"},
		"looking: 503":          {map[string][]int{"HEAD": {503}}, 4, time.Second, ""},
		"looking: 403":          {map[string][]int{"HEAD": {403}}, 3, 0, ""},
		"looking: it is there":  {map[string][]int{"HEAD": {200}}, 2, 0, "already"},
		"upload: hangs up":      {map[string][]int{"PUT": {0, 0}}, 5, 2 * time.Second, ""},
		"upload: never answers": {map[string][]int{"PUT": {0, 0, 0, 0, 0}}, 7, 4 * time.Second, "no answer in 5 tries"},
		"upload: 403":           {map[string][]int{"PUT": {403}}, 3, 0, "answered 403: status 403"},
		"upload: it appeared":   {map[string][]int{"PUT": {412}}, 3, 0, "already"},
		"upload: 301":           {map[string][]int{"PUT": {301}}, 3, 0, "301"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &artifactStore{script: c.script}
			took, err := pushTo(t, s, "log")
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "TOKEN")) {
				t.Errorf("the error gives a secret away: %v", err)
			}
			if len(s.asked) != c.asks || took != c.took {
				t.Errorf("%d requests in %s, want %d in %s\n%s", len(s.asked), took, c.asks, c.took, strings.Join(s.asked, "\n"))
			}
			if got := s.held[artifactPath]; (got == "log") != (c.err == "") {
				t.Errorf("stored %q", got)
			}
		})
	}
}

func TestPushArtifactRefusesNonsense(t *testing.T) {
	for answer, want := range map[string]string{
		"<html>":                        "not the JSON",
		`{}`:                            "answered 0 URLs",
		`{"urls":[{"method":"PUT"}]}`:   "answered 1 URLs",
		`{"error":"quota","urls":null}`: "quota",
		`{"urls":[{"url":"http://[/?s=SECRET","method":"HEAD"},{"url":"x","method":"PUT"}]}`: "http://[/",
	} {
		_, err := pushTo(t, &artifactStore{answer: answer}, "log")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want %q", answer, err, want)
		}
	}
	for _, base := range []string{"", "ci.example.com", "http://", "%"} {
		if err := PushArtifact(t.Context(), http.DefaultClient, ArtifactTarget{URL: base, Token: "TOKEN", Path: "p"}, 1, nil); err == nil || strings.Contains(err.Error(), "TOKEN") {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestPushArtifactOfNothingAndOfAFileThatIsGone(t *testing.T) {
	s := &artifactStore{}
	if _, err := pushTo(t, s, ""); err != nil {
		t.Error(err)
	}
	if last := s.asked[len(s.asked)-1]; !strings.Contains(last, "length=0") {
		t.Errorf("%s", last)
	}
	srv := httptest.NewServer(&artifactStore{held: map[string]string{}})
	defer srv.Close()
	gone := errors.New("the spool is gone")
	err := PushArtifact(t.Context(), srv.Client(), ArtifactTarget{URL: srv.URL, Token: "TOKEN", Path: artifactPath}, 5, func() (io.ReadCloser, error) { return nil, gone })
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := PushArtifact(ctx, srv.Client(), ArtifactTarget{URL: srv.URL, Token: "TOKEN", Path: artifactPath}, 5, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	srv.CloseClientConnections()
}
