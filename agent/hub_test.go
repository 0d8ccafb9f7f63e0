package agent

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// hub is a small server that behaves: it hands out one job, keeps its log by the rules, and sends the agent away when
// the result is there. A test makes it misbehave through its fields, under mu.
type hub struct {
	t       *testing.T
	server  *httptest.Server
	payload agentapi.JobPayload

	mu       sync.Mutex
	down     bool           // connections break
	frozen   chan struct{}  // until it is closed questions stay without an answer; nil is not at all
	holds    bool           // syncs in running-job are held until the agent drops them
	revoked  bool           // the agent is unknown
	stop     bool           // the next running-job sync is told to stop
	answers  map[string]int // status by kind instead of a proper answer, until deleted
	token    string         // the log token that is accepted
	log      []string
	repeats  int // events that came more than once
	gaps     int
	seen     []agentapi.SyncRequest
	result   string
	when     map[string]func() // by kind, called under mu when such a request comes
	disconns int
	ahead    time.Duration      // of the clock that its answers tell
	problems []agentapi.Problem // told at registration
	lease    int                // seconds, told with the job
	lose     int                // answers to pushes that do not reach the agent although the events were stored
	trigger  string             // when an event holds this, reached is called under mu, once
	reached  func()
}

func newHub(t *testing.T, commands ...string) *hub {
	h := &hub{t: t, token: "log-1", answers: map[string]int{}, when: map[string]func(){}}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	h.payload = agentapi.JobPayload{JobID: "job-1", JobName: "Test"}
	for _, c := range commands {
		h.payload.Commands = append(h.payload.Commands, agentapi.Command{Directive: c})
	}
	h.payload.Logger = agentapi.Logger{Method: "push", URL: h.server.URL + agentapi.LogsBase + "/job-1", Token: "log-1"}
	return h
}

func (h *hub) config() Config {
	return Config{
		Endpoint: strings.TrimPrefix(h.server.URL, "http://"), NoHTTPS: true, Token: "type-token", Name: "test-agent",
		StateDir: h.t.TempDir(), Timing: quickTiming,
	}
}

// run lets an agent work until it leaves.
func (h *hub) run(c Config) (ExitReason, error) {
	h.t.Helper()
	a, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	reason, err := a.Run(ctx)
	if ctx.Err() != nil {
		h.t.Error("the agent did not leave in time")
	}
	return reason, err
}

func (h *hub) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	q := asked{Path: r.URL.Path}
	kind := q.kind()
	h.mu.Lock()
	if f := h.when[kind]; f != nil {
		f()
	}
	if h.down {
		h.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	if frozen := h.frozen; frozen != nil {
		h.mu.Unlock()
		select {
		case <-frozen:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	if h.revoked && kind != "register" {
		h.mu.Unlock()
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	if status := h.answers[kind]; status != 0 {
		h.mu.Unlock()
		http.Error(w, "because the test says so", status)
		return
	}
	if h.ahead != 0 {
		w.Header().Set("Date", time.Now().Add(h.ahead).UTC().Format(http.TimeFormat))
	}
	var answer any
	status, hold := http.StatusOK, false
	switch kind {
	case "register":
		var reg agentapi.RegisterRequest
		if err := json.Unmarshal(body, &reg); err != nil {
			h.t.Errorf("register %q: %v", body, err)
		}
		h.problems = reg.Problems
		status, answer = http.StatusCreated, agentapi.RegisterResponse{Name: "test-agent", Token: "agent-token"}
	case "sync":
		var s agentapi.SyncRequest
		if err := json.Unmarshal(body, &s); err != nil {
			h.t.Errorf("sync %q: %v", body, err)
		}
		h.seen = append(h.seen, s)
		answer, hold = h.sync(s)
	case "job":
		answer = h.payload
	case "refresh":
		h.token = "log-2"
		answer = agentapi.RefreshResponse{Token: h.token}
	case "disconnect":
		h.disconns++
		answer = "disconnected"
	case "log":
		status = h.append(r, body)
		if h.lose > 0 {
			h.lose--
			h.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
	}
	h.mu.Unlock()
	if hold {
		<-r.Context().Done()
		return
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (h *hub) sync(s agentapi.SyncRequest) (agentapi.SyncResponse, bool) {
	a := agentapi.SyncResponse{Action: agentapi.ActionContinue, NextSyncAfter: 10}
	switch s.State {
	case agentapi.StateWaitingForJobs:
		switch {
		case s.InterruptedAt != 0:
			a.Action, a.ShutdownReason = agentapi.ActionShutdown, agentapi.ShutdownInterrupted
		case h.result == "":
			a.Action, a.JobID, a.Lease = agentapi.ActionRunJob, h.payload.JobID, h.lease
		default:
			a.Action, a.ShutdownReason = agentapi.ActionShutdown, agentapi.ShutdownRequested
		}
	case agentapi.StateRunningJob, agentapi.StateStartingJob:
		if h.stop {
			a.Action, a.JobID = agentapi.ActionStopJob, h.payload.JobID
			return a, false
		}
		return a, h.holds && s.State == agentapi.StateRunningJob && s.InterruptedAt == 0
	case agentapi.StateFinishedJob:
		h.result = s.JobResult
		a.Action = agentapi.ActionWaitForJobs
	}
	return a, false
}

func (h *hub) append(r *http.Request, body []byte) int {
	if r.Header.Get("Authorization") != "Bearer "+h.token {
		return http.StatusUnauthorized
	}
	var from int
	fmt.Sscan(r.URL.Query().Get("start_from"), &from)
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if len(lines) > agentapi.MaxLogBatch || len(body) > maxPushBytes+100<<10 {
		h.t.Errorf("a push of %d events and %d bytes", len(lines), len(body))
	}
	if from > len(h.log) {
		h.gaps++
	}
	for i, l := range lines {
		if n := from + i; n < len(h.log) {
			if h.log[n] != l {
				h.t.Errorf("event %d was %s and is now %s", n, h.log[n], l)
			}
			h.repeats++
			continue
		}
		h.log = append(h.log, l)
		if h.reached != nil && strings.Contains(l, h.trigger) {
			h.reached()
			h.reached = nil
		}
	}
	return http.StatusOK
}

// delivered is the log in a short form: the words of the steps and the output, joined and exact.
func (h *hub) delivered() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gaps > 0 {
		h.t.Errorf("%d gaps in the log", h.gaps)
	}
	var events []agentapi.Event
	for _, l := range h.log {
		var e agentapi.Event
		d := json.NewDecoder(bytes.NewReader([]byte(l)))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			h.t.Errorf("event %q: %v", l, err)
		}
		events = append(events, e)
	}
	return short(events)
}

// short is a log for comparisons.
func short(events []agentapi.Event) []string {
	var out []string
	var text []byte
	flush := func() {
		if len(text) > 0 {
			out = append(out, string(text))
		}
		text = nil
	}
	for _, e := range events {
		switch e.Event {
		case agentapi.EventCmdOutput:
			b := []byte(e.Output)
			if e.OutputB64 != "" {
				b, _ = base64.StdEncoding.DecodeString(e.OutputB64)
			}
			text = append(text, b...)
			continue
		case agentapi.EventCmdStarted:
			flush()
			out = append(out, "$ "+e.Directive)
		case agentapi.EventCmdFinished:
			flush()
			out = append(out, fmt.Sprintf("= %d", *e.ExitCode))
		case agentapi.EventJobFinished:
			flush()
			out = append(out, e.Event+" "+e.Result)
		default:
			flush()
			out = append(out, e.Event)
		}
	}
	flush()
	return out
}

// jobLog is the log of a job without variables and files around the given lines.
func jobLog(result string, lines ...string) []string {
	out := []string{"job_started", "$ Exporting environment variables", "= 0", "$ Injecting Files", "= 0"}
	out = append(out, lines...)
	if result != "stopped" {
		out = append(out, "$ Exporting environment variables", "Exporting SEMAPHORE_JOB_RESULT\n", "= 0")
	}
	return append(out, "job_finished "+result)
}

func (h *hub) check(result string, want []string) {
	h.t.Helper()
	h.mu.Lock()
	got := h.result
	h.mu.Unlock()
	if got != result {
		h.t.Errorf("result %q, want %q", got, result)
	}
	if d := cmp.Diff(want, h.delivered()); d != "" {
		h.t.Errorf("log (-want +got):\n%s", d)
	}
}
