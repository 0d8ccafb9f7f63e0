package dispatch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// recordings is what the official agent was seen to send, and answers that satisfied it.
const recordings = "../agent/testdata/wire"

// otherAnswers reads the page that lists where our answer differs from a recorded one on purpose: recording and kind of
// request to the recorded and our status.
func otherAnswers(t *testing.T) map[string]map[string][2]int {
	t.Helper()
	page, err := os.ReadFile("../docs/design/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string][2]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `server/([a-z0-9-]+)` \\| ([a-z]+) (\\d+) \\| (\\d+) \\| .+ \\|$").FindAllStringSubmatch(string(page), -1) {
		recorded, _ := strconv.Atoi(m[3])
		ours, _ := strconv.Atoi(m[4])
		if out[m[1]] == nil {
			out[m[1]] = map[string][2]int{}
		}
		out[m[1]][m[2]] = [2]int{recorded, ours}
	}
	if len(out) == 0 {
		t.Fatal("no line of the page could be read")
	}
	return out
}

type exchange struct {
	Meta *struct {
		Server string   `json:"server"`
		Argv   []string `json:"argv"`
	} `json:"meta"`
	Time int    `json:"t_ms"`
	Note string `json:"note"`
	Req  *struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Query   map[string]string `json:"query"`
		Headers map[string]any    `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"req"`
	Resp *struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	} `json:"resp"`
}

func readRecording(t *testing.T, path string) []exchange {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []exchange
	s := bufio.NewScanner(f)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var x exchange
		if err := json.Unmarshal(s.Bytes(), &x); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, x)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRecordedAgents sends what official agents sent and compares the shape of our answers with those that were
// recorded: status, JSON types, the words of the protocol, and what is in the log in the end.
func TestRecordedAgents(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordings, "*.jsonl"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d recordings in %s, %v", len(files), recordings, err)
	}
	others := otherAnswers(t)
	n := 0
	for _, f := range files {
		xs := readRecording(t, f)
		if s := xs[0].Meta.Server; s != "normal" && s != "refusal" {
			continue // the recorded server misbehaved on purpose
		}
		n++
		name := strings.TrimSuffix(filepath.Base(f), ".jsonl")
		t.Run(name, func(t *testing.T) {
			dir := storetest.Folder(t)
			synctest.Test(t, func(t *testing.T) {
				r := newReplay(t, name, dir)
				r.other = others[name]
				r.play(xs[1:])
			})
		})
	}
	if n < 30 {
		t.Errorf("only %d recordings were replayed", n)
	}
}

type replay struct {
	*testing.T
	name         string
	st           *store.Store
	hub          *Hub
	eng          *engine.Engine
	logs         *joblog.Log
	mux          *http.ServeMux
	registration string
	token        string
	jobs         map[string]string // recorded id to ours
	logToken     string
	attempts     []string
	events       map[string][]string // our job id: events that were pushed with 200
	over         bool                // the agent was sent home
	differed     map[string]bool
	other        map[string][2]int
}

func newReplay(t *testing.T, name, dir string) *replay {
	r := &replay{T: t, name: name, jobs: map[string]string{}, events: map[string][]string{}, differed: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if r.st, err = store.Open(ctx, store.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	r.eng = engine.New(engine.Options{Store: r.st})
	r.logs = joblog.New(joblog.Options{Store: r.st})
	keys, err := auth.NewKeyring(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if r.hub, err = New(Options{Store: r.st, Engine: r.eng, Log: r.logs, Keys: keys, Timing: Timing{Hold: 200 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.st.Close(); err != nil {
			t.Error(err)
		}
	})
	r.mux = http.NewServeMux()
	for _, rt := range r.hub.Routes() {
		r.mux.HandleFunc(rt.Pattern, func(w http.ResponseWriter, req *http.Request) {
			if err := rt.Handler(w, req); err != nil {
				t.Errorf("%s: %v", rt.Pattern, err)
				w.WriteHeader(http.StatusInternalServerError)
			}
			if rt.Access != route.OwnToken {
				t.Errorf("%s: access %s", rt.Pattern, rt.Access)
			}
		})
	}
	var hash string
	r.registration, hash = auth.NewToken(auth.TokenRegistration)
	r.write(func(tx *store.Tx) error {
		typ := &signalbox.AgentType{Name: "s1-linux"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: typ.ID, Name: "first"}, hash, "test")
	})
	return r
}

func (r *replay) write(fn func(*store.Tx) error) {
	r.Helper()
	if err := r.st.Write(context.Background(), fn); err != nil {
		r.Fatal(err)
	}
}

// queue makes one job for each that the recording hands out.
func (r *replay) queue(xs []exchange) {
	for _, x := range xs {
		var b agentapi.SyncResponse
		if x.Resp == nil || json.Unmarshal(x.Resp.Body, &b) != nil || b.Action != agentapi.ActionRunJob || r.jobs[b.JobID] != "" {
			continue
		}
		n := len(r.jobs) + 1
		var id string
		r.write(func(tx *store.Tx) error {
			p := &signalbox.Project{Name: fmt.Sprintf("demo%d", n), GitURL: "/srv/demo.git", PipelineFile: "p.yml"}
			if err := tx.CreateProject(p, "test"); err != nil {
				return err
			}
			w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
				ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByHook, RequestToken: "x",
			}, "test")
			if err != nil {
				return err
			}
			ppl, err := r.eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
				"version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - task:\n      epilogue: {always: {commands: [echo]}}\n      jobs: [{commands: [\"true\"]}]\n")}, "test")
			if err != nil {
				return err
			}
			jobs, err := tx.JobsOf(ppl.ID)
			id = jobs[0].ID
			return err
		})
		r.jobs[b.JobID] = id
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *replay) play(xs []exchange) {
	start := time.Now()
	for i := 0; i < len(xs); i++ {
		x := xs[i]
		if d := time.Duration(x.Time)*time.Millisecond - time.Since(start); d > 0 {
			time.Sleep(d)
		}
		if x.Req == nil {
			r.note(x.Note)
			continue
		}
		if strings.Contains(string(x.Req.Body), `"single_job":true`) {
			r.queue(xs) // it may be dedicated to its job
		}
		r.queue(xs[i : i+1])
		r.exchange(x)
		if x.Note != "" {
			r.note(x.Note)
		}
	}
	for kind := range r.other {
		if !r.differed[kind] {
			r.Errorf("%s is listed as answered differently, but is not", kind)
		}
	}
	r.compareLogs()
}

func (r *replay) note(n string) {
	switch {
	case strings.Contains(n, "stop requested"):
		for _, id := range r.jobs {
			r.write(func(tx *store.Tx) error { return r.eng.StopJob(tx, id, "test", signalbox.ReasonUser) })
		}
	case strings.Contains(n, "agent disabled"):
		r.disable()
	}
}

func (r *replay) disable() {
	r.write(func(tx *store.Tx) error {
		ag, err := tx.AgentByToken(auth.HashToken(r.token))
		if err != nil {
			return err
		}
		ag.DisabledAt = tx.Now
		return tx.UpdateAgent(ag, ag.AttemptID, "test", "disabled", "")
	})
}

func (r *replay) exchange(x exchange) {
	r.Helper()
	p := x.Req.Path
	switch {
	case strings.HasSuffix(p, agentapi.PathRegister):
		if x.Resp.Status == 404 {
			r.check("register", x, r.send(x, "wrong"))
			return
		}
		body := r.check("register", x, r.send(x, r.registration))
		var res agentapi.RegisterResponse
		if json.Unmarshal(body, &res) == nil && res.Token != "" {
			r.token = res.Token
		}
	case strings.HasSuffix(p, agentapi.PathSync):
		r.sync(x)
	case strings.HasSuffix(p, agentapi.PathRefresh):
		body := r.check("refresh", x, r.send(x, r.token))
		var res agentapi.RefreshResponse
		if json.Unmarshal(body, &res) == nil {
			r.logToken = res.Token
		}
	case strings.HasSuffix(p, agentapi.PathDisconnect):
		r.check("disconnect", x, r.send(x, r.token))
	case strings.HasPrefix(p, agentapi.Base+agentapi.PathJobs+"/"):
		if x.Resp.Status == 404 {
			for _, id := range r.jobs {
				r.write(func(tx *store.Tx) error { return r.eng.StopJob(tx, id, "test", signalbox.ReasonUser) })
			}
		}
		body := r.check("job", x, r.send(x, r.token))
		var res agentapi.JobPayload
		if json.Unmarshal(body, &res) == nil && res.Logger.Token != "" {
			r.logToken = res.Logger.Token
		}
	case strings.HasPrefix(p, agentapi.LogsBase+"/"):
		token := r.logToken
		if x.Resp.Status == 401 {
			token = "expired"
		}
		r.check("push", x, r.send(x, token))
		r.keep(x)
	case strings.Contains(p, "artifacts"), strings.Contains(p, "_store"):
		// The artifact store is not part of the agent protocol.
	default:
		r.Errorf("unknown request %s", p)
	}
}

// sync repeats a sync until it gets the word that was recorded, as an agent would: "continue" may come more often, and
// since our server holds syncs, what the recorded one said later may come at once.
func (r *replay) sync(x exchange) {
	r.Helper()
	if r.over {
		return
	}
	var want agentapi.SyncResponse
	_ = json.Unmarshal(x.Resp.Body, &want)
	if want.ShutdownReason == agentapi.ShutdownRequested && len(r.attempts) == 0 {
		r.disable()
	}
	if x.Resp.Status == 404 {
		r.write(func(tx *store.Tx) error {
			ag, err := tx.AgentByToken(auth.HashToken(r.token))
			if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
				return nil
			}
			if err != nil {
				return err
			}
			return gone(tx, ag, signalbox.ReasonAgentLost)
		})
		r.check("sync", x, r.send(x, r.token))
		return
	}
	for range 100 {
		body := r.check("sync", x, r.send(x, r.token))
		var got agentapi.SyncResponse
		if err := json.Unmarshal(body, &got); err != nil {
			r.Fatalf("sync: %v", err)
		}
		r.over = got.Action == agentapi.ActionShutdown
		if got.Action == want.Action {
			if got.ShutdownReason != want.ShutdownReason {
				r.Errorf("shutdown_reason %q, recorded %q", got.ShutdownReason, want.ShutdownReason)
			}
			if got.JobID != r.jobs[want.JobID] {
				r.Errorf("%s of job %q, recorded %q", got.Action, got.JobID, want.JobID)
			}
			return
		}
		if got.Action != agentapi.ActionContinue {
			if want.Action == agentapi.ActionContinue && r.over && got.ShutdownReason == agentapi.ShutdownIdle {
				return // told while held; the rest of the waiting is not needed
			}
			r.Fatalf("%s: answered %s %s, recorded %s", string(x.Req.Body), got.Action, got.ShutdownReason, want.Action)
		}
		if want.ShutdownReason == agentapi.ShutdownRequested {
			r.disable()
		}
		time.Sleep(time.Duration(max(got.NextSyncAfter, 1)) * time.Millisecond)
	}
	r.Fatalf("%s: never answered %s", string(x.Req.Body), want.Action)
}

// send sends a recorded request with our ids and tokens.
func (r *replay) send(x exchange, token string) *httptest.ResponseRecorder {
	r.Helper()
	swap := func(s string) string {
		for recorded, ours := range r.jobs {
			s = strings.ReplaceAll(s, recorded, ours)
		}
		return s
	}
	var body []byte
	if strings.HasPrefix(x.Req.Path, agentapi.LogsBase) {
		for _, e := range events(r.T, x) {
			body = append(append(body, e...), '\n')
		}
	} else if len(x.Req.Body) > 0 {
		body = []byte(swap(string(x.Req.Body)))
	}
	target := swap(x.Req.Path)
	if from, ok := x.Req.Query["start_from"]; ok {
		target += "?start_from=" + from
	}
	req := httptest.NewRequest(x.Req.Method, target, bytes.NewReader(body))
	if a, ok := x.Req.Headers["Authorization"].(string); ok {
		scheme, _, _ := strings.Cut(a, " ")
		req.Header.Set("Authorization", scheme+" "+token)
	}
	w := httptest.NewRecorder()
	r.mux.ServeHTTP(w, req)
	return w
}

// check compares status and shape with the recorded answer and returns our body.
func (r *replay) check(kind string, x exchange, w *httptest.ResponseRecorder) []byte {
	r.Helper()
	want := x.Resp.Status
	if other, ok := r.other[kind]; ok && other[0] == want && want != w.Code {
		want = other[1]
		r.differed[kind] = true
	}
	if w.Code != want {
		r.Errorf("%s: status %d, recorded %d: %s", kind, w.Code, want, w.Body)
	}
	if x.Resp.Status < 300 && len(x.Resp.Body) > 0 && x.Resp.Body[0] == '{' {
		var recorded, ours any
		_ = json.Unmarshal(x.Resp.Body, &recorded)
		if err := json.Unmarshal(w.Body.Bytes(), &ours); err != nil {
			r.Errorf("%s: %v in %s", kind, err, w.Body)
		}
		sameShape(r.T, kind, recorded, ours)
	}
	return w.Body.Bytes()
}

// sameShape wants every recorded field to be there with the same JSON type; of lists the first elements are compared.
func sameShape(t *testing.T, where string, recorded, ours any) {
	t.Helper()
	if recorded == nil {
		return
	}
	if fmt.Sprintf("%T", recorded) != fmt.Sprintf("%T", ours) {
		t.Errorf("%s is a %T, recorded as %T", where, ours, recorded)
		return
	}
	switch recorded := recorded.(type) {
	case map[string]any:
		for k, v := range recorded {
			o, ok := ours.(map[string]any)[k]
			if !ok {
				t.Errorf("%s has no %q", where, k)
				continue
			}
			sameShape(t, where+"."+k, v, o)
		}
	case []any:
		if o := ours.([]any); len(recorded) > 0 && len(o) > 0 {
			if m, ok := recorded[0].(map[string]any); ok {
				delete(m, "alias") // only there when a command has one
			}
			sameShape(t, where+"[0]", recorded[0], o[0])
		}
	}
}

// events returns the lines of a recorded push; left out ones are made up.
func events(t *testing.T, x exchange) []string {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal(x.Req.Body, &list); err != nil {
		t.Fatalf("push: %v in %.200s", err, x.Req.Body)
	}
	var out []string
	for _, e := range list {
		var omitted struct {
			N int `json:"_omitted_events"`
		}
		if json.Unmarshal(e, &omitted) == nil && omitted.N > 0 {
			for i := range omitted.N {
				out = append(out, fmt.Sprintf(`{"event":"cmd_output","timestamp":1,"output":"left out %d\n"}`, i))
			}
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, e); err != nil {
			t.Fatal(err)
		}
		out = append(out, b.String())
	}
	return out
}

// keep remembers what was acknowledged; a repeat overwrites itself.
func (r *replay) keep(x exchange) {
	if x.Resp.Status == 401 {
		return
	}
	id := r.jobs[strings.TrimPrefix(x.Req.Path, agentapi.LogsBase+"/")]
	var from int
	_, _ = fmt.Sscan(x.Req.Query["start_from"], &from)
	for i, e := range events(r.T, x) {
		if from+i == len(r.events[id]) {
			r.events[id] = append(r.events[id], e)
		}
	}
}

func (r *replay) compareLogs() {
	r.Helper()
	for id, want := range r.events {
		var at string
		r.write(func(tx *store.Tx) error {
			j, err := tx.Job(id)
			at = j.AttemptID
			return err
		})
		var got []string
		if err := r.logs.Follow(ended(), at, 0, func(b joblog.Batch) error {
			for _, e := range b.Events {
				got = append(got, string(e))
			}
			return nil
		}); err != nil && len(got) < len(want) {
			r.Errorf("read the log: %v", err)
		}
		if len(got) != len(want) {
			r.Errorf("the log has %d events, %d were pushed", len(got), len(want))
			continue
		}
		for i := range want {
			var a, b any
			if json.Unmarshal([]byte(got[i]), &a) != nil || json.Unmarshal([]byte(want[i]), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
				r.Errorf("event %d is %s, pushed was %s", i, got[i], want[i])
			}
		}
	}
}

// ended is a context that ends soon: what is stored is read at once, and nothing more comes.
func ended() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}
