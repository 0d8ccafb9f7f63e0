package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStatusOfAnAgent(t *testing.T) {
	t.Parallel()
	h := newHub(t, "true", "false")
	h.after("log", 1, func() { // two pushes fail
		h.answers["log"] = 500
		time.AfterFunc(500*time.Millisecond, func() { h.do(func() { delete(h.answers, "log") }) })
	})
	c := h.config()
	var mu sync.Mutex
	var states []string
	running := false
	c.Observe = func(s Status) {
		mu.Lock()
		defer mu.Unlock()
		if n := len(states); n == 0 || states[n-1] != s.State {
			states = append(states, s.State)
		}
		if s.State != "running-job" || running {
			return
		}
		running = true
		// The file says the same as the observer is told, and the lock tells that the agent is there.
		all, err := ReadStatus(c.StateDir)
		if err != nil || len(all) != 1 {
			t.Errorf("reading the status: %v, %v", all, err)
			return
		}
		if d := cmp.Diff(s, all[0]); d != "" {
			t.Errorf("the file differs:\n%s", d)
		}
		if !all[0].Running || all[0].Job == nil || all[0].Job.ID != "job-1" || all[0].PID != os.Getpid() || all[0].Name != "test-agent" {
			t.Errorf("the status is %+v", all[0])
		}
	}
	if _, err := h.run(c); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"registering", "waiting-for-jobs", "starting-job", "running-job", "finished-job", "waiting-for-jobs", "leaving", "ended"}
	// A job that is quick may go from one state to the one after the next.
	left := slices.DeleteFunc(slices.Clone(states), func(s string) bool { return s == "starting-job" })
	if d := cmp.Diff(slices.DeleteFunc(want, func(s string) bool { return s == "starting-job" }), left); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
	all, err := ReadStatus(c.StateDir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	s := all[0]
	if s.Running || s.State != StatusEnded || s.Job != nil || s.Jobs != (StatusCounts{Failed: 1}) || s.PushesFailed == 0 || s.Spool != (StatusSpool{}) || s.Sync == nil || s.Sync.Error != "" {
		t.Errorf("at the end: %+v", s)
	}
	info, err := os.Stat(filepath.Join(s.Dir, statusFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, statusFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"type-token", "agent-token", "log-1"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the status holds %s", secret)
		}
	}
}

func TestReadStatusOfWhatIsLeft(t *testing.T) {
	dir := t.TempDir()
	write := func(n, text string) {
		if err := os.MkdirAll(filepath.Join(dir, n), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, n, statusFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	crashed, err := json.Marshal(Status{Name: "a", PID: os.Getpid(), Running: true, State: "running-job", Job: &StatusJob{ID: "j"}})
	if err != nil {
		t.Fatal(err)
	}
	write("10", string(crashed)) // the process id is in use, the lock is not
	write("2", `{"name": "b", "pid": 999999999, "running": true, "state": "waiting-for-jobs"}`)
	write("1", `{"na`)
	write("lost", "x")
	if err := os.MkdirAll(filepath.Join(dir, "3"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := ReadStatus(dir)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if all[0].Problem == "" || all[1].Name != "b" || all[1].Running || all[2].Name != "a" || all[2].Running || all[2].Job.ID != "j" {
		t.Errorf("%+v", all)
	}
	if all, err := ReadStatus(filepath.Join(dir, "nowhere")); err != nil || all != nil {
		t.Errorf("a folder that is not there: %v, %v", all, err)
	}
	if _, err := ReadStatus(filepath.Join(dir, "1", statusFile)); err == nil {
		t.Error("a file passed for a folder")
	}
}

// The watchdog must not bite because a server is away, hangs or holds a sync, or because a job takes long; it must when
// the conversation stands still.
func TestWedged(t *testing.T) {
	t.Parallel()
	h := newHub(t, "command sleep 1")
	h.holds = true
	n := 0
	h.when["sync"] = func() {
		switch n++; n {
		case 2:
			h.answers["sync"] = 500
		case 3:
			delete(h.answers, "sync")
			h.down = true
			time.AfterFunc(300*time.Millisecond, func() { h.do(func() { h.down = false }) })
		}
	}
	c := h.config()
	c.Timing.Hold, c.Timing.Request = 2*time.Second, time.Second
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var sampled atomic.Int64
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				sampled.Add(1)
				if a.Wedged(now) {
					t.Errorf("it counts as wedged while it is %+v", a.Status())
					return
				}
			case <-stop:
				return
			}
		}
	})
	if _, err := a.Run(t.Context()); err != nil {
		t.Error(err)
	}
	close(stop)
	watch.Wait()
	if sampled.Load() < 100 {
		t.Errorf("only %d samples", sampled.Load())
	}
	h.check("passed", jobLog("passed", "$ command sleep 1", "= 0"))

	h = newHub(t, "true")
	c = h.config()
	c.Timing.Request = 100 * time.Millisecond
	free := make(chan struct{})
	stuck := make(chan struct{})
	var once sync.Once
	c.Observe = func(s Status) {
		if s.Job != nil {
			once.Do(func() { close(stuck); <-free })
		}
	}
	if a, err = New(c); err != nil {
		t.Fatal(err)
	}
	var run sync.WaitGroup
	run.Go(func() { _, _ = a.Run(t.Context()) })
	<-stuck
	deadline := time.Now().Add(10 * time.Second)
	for !a.Wedged(time.Now()) {
		if time.Now().After(deadline) {
			t.Fatal("a conversation that stands still is not noticed")
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(free)
	run.Wait()
}

func TestHealth(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	well := Status{Name: "a\"1", Server: "ci", State: "waiting-for-jobs", Running: true, StartedAt: now.Add(-time.Hour), AnsweredAt: now.Add(-time.Minute), Jobs: StatusCounts{Passed: 3, Failed: 2, Stopped: 1}, Spool: StatusSpool{Bytes: 12345, Logs: 2}, PushesFailed: 4}
	with := func(f func(*Status)) Status { s := well; f(&s); return s }
	for name, c := range map[string]struct {
		s    Status
		want string // "" is healthy
	}{
		"idle":             {well, ""},
		"answer too old":   {with(func(s *Status) { s.AnsweredAt = now.Add(-3 * time.Minute) }), `has had no answer from ci since 2026-01-02T03:01:05Z`},
		"says why":         {with(func(s *Status) { s.AnsweredAt, s.Sync = now.Add(-3*time.Minute), &StatusSync{Error: "refused"} }), ": refused"},
		"runs a job":       {with(func(s *Status) { s.AnsweredAt, s.Job = now.Add(-3*time.Hour), &StatusJob{ID: "j"} }), ""},
		"not registered":   {with(func(s *Status) { s.State = StatusRegistering }), "has not registered yet"},
		"just registered":  {with(func(s *Status) { s.AnsweredAt, s.StartedAt = time.Time{}, now }), ""},
		"never answered":   {with(func(s *Status) { s.AnsweredAt = time.Time{} }), "has never had an answer"},
		"has ended itself": {with(func(s *Status) { s.State, s.AnsweredAt = StatusEnded, time.Time{} }), ""},
	} {
		srv := httptest.NewServer(HealthHandler(func() []Status { return []Status{well, c.s} }, func() time.Time { return now }))
		code, body := get(t, srv.URL+"/healthz")
		if (code == 200) != (c.want == "") || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %q, want %q", name, code, body, c.want)
		}
		srv.Close()
	}
	srv := httptest.NewServer(HealthHandler(func() []Status { return []Status{well} }, func() time.Time { return now }))
	defer srv.Close()
	_, body := get(t, srv.URL+"/metrics")
	for _, line := range []string{
		`signalbox_agent_jobs_total{agent="a\"1",result="passed"} 3`, `signalbox_agent_jobs_total{agent="a\"1",result="failed"} 2`,
		`signalbox_agent_jobs_total{agent="a\"1",result="stopped"} 1`, `signalbox_agent_job_running{agent="a\"1"} 0`,
		`signalbox_agent_last_answer_age_seconds{agent="a\"1"} 60`, `signalbox_agent_spool_bytes{agent="a\"1"} 12345`,
		`signalbox_agent_pushes_failed_total{agent="a\"1"} 4`, "# TYPE signalbox_agent_jobs_total counter",
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("the metrics lack %s:\n%s", line, body)
		}
	}
	var got []Status
	if _, body := get(t, srv.URL+"/status"); json.Unmarshal([]byte(body), &got) != nil || cmp.Diff([]Status{well}, got) != "" {
		t.Errorf("status: %s", body)
	}
	if code, _ := get(t, srv.URL+"/other"); code != 404 {
		t.Errorf("another path: %d", code)
	}
	if r, err := http.Post(srv.URL+"/status", "", nil); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %v, %v", r.StatusCode, err)
	} else {
		r.Body.Close()
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}
