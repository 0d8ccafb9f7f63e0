package agent

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// recording is one run of the official agent against a scripted server.
type recording struct {
	meta struct {
		Argv     []string `json:"argv"`
		ExitCode int      `json:"exit_code"`
	}
	lines []line
}

// line is an exchange, or a note about what was done from outside at that moment.
type line struct {
	Note string `json:"note"`
	Req  *asked `json:"req"`
	Resp *reply `json:"resp"`
}

type asked struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   map[string]string `json:"query"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
}

type reply struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
	After  int             `json:"after_ms"`
	Note   string          `json:"note"`
	held   bool            // the agent gave up before it was answered
}

func readRecording(t *testing.T, path string) *recording {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &recording{}
	lines := bufio.NewReader(f)
	for first := true; ; first = false {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			if first {
				m := struct{ Meta any }{&r.meta}
				if err := json.Unmarshal(text, &m); err != nil {
					t.Fatal(err)
				}
			} else {
				var l line
				if err := json.Unmarshal(text, &l); err != nil {
					t.Fatal(err)
				}
				if l.Resp != nil && l.Resp.Status == 0 {
					l.Resp.held = l.Resp.After > 0 || strings.HasPrefix(l.Resp.Note, "still waiting")
				}
				r.lines = append(r.lines, l)
			}
		}
		if err == io.EOF {
			return r
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// kind names what an exchange is about: register, sync, job, log, refresh, disconnect or artifact.
func (q *asked) kind() string {
	switch rest, ok := strings.CutPrefix(q.Path, agentapi.Base); {
	case ok && strings.HasPrefix(rest, agentapi.PathJobs+"/"):
		return "job"
	case ok:
		return strings.Trim(rest, "/")
	case strings.HasPrefix(q.Path, agentapi.LogsBase):
		return "log"
	default:
		return "artifact"
	}
}

func (q *asked) sync() (s agentapi.SyncRequest) {
	_ = json.Unmarshal(q.Body, &s)
	return s
}

func (p *reply) sync() (s agentapi.SyncResponse) {
	_ = json.Unmarshal(p.Body, &s)
	return s
}

// informational tells whether a sync changed nothing: how many of them there are depends on time alone.
func (l *line) informational() bool {
	if l.Req.sync().State == agentapi.StateFinishedJob {
		return false
	}
	a := l.Resp.sync().Action
	return l.Resp.Status != http.StatusOK || (a != agentapi.ActionRunJob && a != agentapi.ActionStopJob && a != agentapi.ActionShutdown)
}

// eventsBefore counts the events, other than output, that the server had at line i.
func (r *recording) eventsBefore(i int) int {
	var before recording
	before.lines = r.lines[:i]
	return len(steps(before.events()))
}

// events is the log as the server has it after all pushes that it acknowledged.
func (r *recording) events() []map[string]any {
	var stored []map[string]any
	var last json.RawMessage
	for _, l := range r.lines {
		if l.Req == nil || l.Req.kind() != "log" {
			continue
		}
		if strings.Contains(string(l.Req.Body[:min(40, len(l.Req.Body))]), "_same_body_as_previous_push") {
			l.Req.Body = last
		}
		last = l.Req.Body
		if l.Resp.Status == http.StatusOK {
			stored = store(stored, l.Req)
		}
	}
	return stored
}

// store does what a server does with a push.
func store(stored []map[string]any, q *asked) []map[string]any {
	var batch []map[string]any
	if err := json.Unmarshal(q.Body, &batch); err != nil {
		panic(err)
	}
	var from int
	fmt.Sscan(q.Query["start_from"], &from)
	// Some recordings leave output events out of a push, which shifts what follows; there is only one push in those.
	return append(stored[:min(from, len(stored)):len(stored)], batch...)
}

func steps(events []map[string]any) []map[string]any {
	var out []map[string]any
	for _, e := range events {
		if w, _ := e["event"].(string); w != "" && w != agentapi.EventCmdOutput {
			out = append(out, e)
		}
	}
	return out
}

// stage is a server that gives the recorded answers to our agent and records what it asks.
type stage struct {
	t         *testing.T
	r         *recording
	host      string
	interrupt func()

	mu     sync.Mutex
	cursor int            // in r.lines, for syncs
	at     map[string]int // in r.lines, for the others
	states map[agentapi.AgentState]bool
	fired  bool
	heard  recording
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // given up by the agent
	}
	q := &asked{Method: r.Method, Path: r.URL.Path, Query: map[string]string{}, Headers: map[string]string{}, Body: body}
	for k := range r.URL.Query() {
		q.Query[k] = r.URL.Query().Get(k)
	}
	for _, k := range []string{"Authorization", "User-Agent", "Content-Type", "Accept-Encoding", "Prefer", "Transfer-Encoding"} {
		if v := r.Header.Get(k); v != "" {
			q.Headers[k] = v
		}
	}
	if r.Method == http.MethodPost && r.ContentLength == 0 {
		q.Headers["Content-Length"] = "0"
	}
	if q.kind() == "log" { // lines become the array of the recordings
		q.Body = []byte("[" + strings.ReplaceAll(strings.TrimSuffix(string(body), "\n"), "\n", ",") + "]")
		if !json.Valid(q.Body) {
			s.t.Errorf("a log push that is not JSON lines: %q", body)
			q.Body = []byte("[]")
		}
	}
	if len(q.Body) == 0 {
		q.Body = nil
	}
	s.mu.Lock()
	answer := s.answer(q)
	s.heard.lines = append(s.heard.lines, line{Req: q, Resp: answer})
	s.cue()
	s.mu.Unlock()

	if answer.held {
		<-r.Context().Done() // held until the agent gives up
		return
	}
	if answer.After > 0 {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	if answer.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(answer.Status)
	var text string
	if json.Unmarshal(answer.Body, &text) == nil {
		_, _ = io.WriteString(w, text)
		return
	}
	_, _ = io.WriteString(w, s.fill(string(answer.Body)))
}

// recordedHost is where the recording server had its own store of artifacts.
var recordedHost = regexp.MustCompile(`^http://localhost:\d+`)

// fill replaces the recordings' placeholders, also in base64 values, and the seconds between syncs by moments.
func (s *stage) fill(body string) string {
	var v any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if k == "next_sync_after" {
					v[k] = 10
				} else {
					v[k] = walk(e)
				}
			}
			return v
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
			return v
		case string:
			if b, err := base64.StdEncoding.DecodeString(v); err == nil && strings.Contains(string(b), "{{") {
				return base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(b), "{{HOST}}", s.host)))
			}
			return recordedHost.ReplaceAllString(strings.ReplaceAll(v, "{{HOST}}", s.host), "http://"+s.host)
		default:
			return v
		}
	}
	b, err := json.Marshal(walk(v))
	if err != nil {
		s.t.Error(err)
	}
	return string(b)
}

func (s *stage) answer(q *asked) *reply {
	if q.kind() == "sync" {
		return s.answerSync(q.sync())
	}
	next := -1
	for i := s.at[q.kind()]; i < len(s.r.lines); i++ {
		l := s.r.lines[i]
		if l.Req != nil && l.Req.kind() == q.kind() && (q.kind() != "job" || l.Req.Path == q.Path) {
			next = i
			break
		}
	}
	if next < 0 { // the last one again
		for i, l := range s.r.lines {
			if l.Req != nil && l.Req.kind() == q.kind() {
				next = i
			}
		}
		if next < 0 && q.kind() == "disconnect" {
			return &reply{Status: http.StatusOK, Body: json.RawMessage(`"disconnected"`)}
		}
		if next < 0 {
			s.t.Errorf("%s %s is in no recording", q.Method, q.Path)
			return &reply{Status: http.StatusNotFound}
		}
		return s.r.lines[next].Resp
	}
	l := s.r.lines[next]
	if q.kind() == "log" && l.Resp.Status != http.StatusOK && l.Resp.Status != 0 {
		// Our agent pushes more often: a refusal waits for the push that was refused.
		var ours, theirs int
		fmt.Sscan(q.Query["start_from"], &ours)
		fmt.Sscan(l.Req.Query["start_from"], &theirs)
		if ours < theirs {
			return &reply{Status: http.StatusOK}
		}
	}
	s.at[q.kind()] = next + 1
	return l.Resp
}

// answerSync gives the next recorded answer for this state. An answer that matters is given when the log is as far as
// it was in the recording, until then the agent is told to continue.
func (s *stage) answerSync(q agentapi.SyncRequest) *reply {
	s.states[q.State] = true
	more := false
	for i := s.cursor; i < len(s.r.lines); i++ {
		l := s.r.lines[i]
		if l.Req == nil || l.Req.kind() != "sync" {
			continue
		}
		more = true
		then := l.Req.sync()
		if then.State == q.State && (then.InterruptedAt != 0) == (q.InterruptedAt != 0) {
			if q.State == agentapi.StateRunningJob && !l.informational() && len(steps(s.heard.events())) < s.r.eventsBefore(i) {
				break
			}
			s.cursor = i + 1
			return l.Resp
		}
		if !l.informational() {
			break
		}
	}
	body := `{"action":"continue","next_sync_after":10}`
	switch { // where the recorded agent was gone already
	case !more && q.State == agentapi.StateFinishedJob:
		body = `{"action":"wait-for-jobs","next_sync_after":10}`
	case !more && q.State == agentapi.StateWaitingForJobs:
		body = `{"action":"shutdown","shutdown_reason":"requested"}`
	}
	return &reply{Status: http.StatusOK, Body: json.RawMessage(body)}
}

// cue sends the signal when the agent is where it was in the recording.
func (s *stage) cue() {
	if s.fired {
		return
	}
	var state agentapi.AgentState
	for i, l := range s.r.lines {
		if l.Req != nil && l.Req.kind() == "sync" {
			state = l.Req.sync().State
		}
		if strings.Contains(l.Note, "SIGTERM") && s.states[state] && len(steps(s.heard.events())) >= s.r.eventsBefore(i) {
			s.fired = true
			s.interrupt()
		}
	}
}
