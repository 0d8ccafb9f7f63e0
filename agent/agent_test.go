package agent

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// after calls f once, at the n-th request of a kind.
func (h *hub) after(kind string, n int, f func()) {
	h.when[kind] = func() {
		if n--; n == 0 {
			f()
		}
	}
}

// asleep calls f once, when the server knows that the job sleeps.
func (h *hub) asleep(f func()) { h.trigger, h.reached = `"directive":"sleep 60"`, f }

func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	const count = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; command sleep 0.1; done"
	want := jobLog("passed", "$ "+count, "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "= 0")
	for name, trouble := range map[string]func(h *hub){
		"nothing wrong": func(*hub) {},
		// The server is away from the first or the second push on, and comes back after the job ended.
		"server away": func(h *hub) {
			h.after("log", 2, func() {
				h.down = true
				time.AfterFunc(1500*time.Millisecond, func() { h.do(func() { h.down = false }) })
			})
		},
		"server errors": func(h *hub) {
			h.after("log", 1, func() {
				h.answers["log"], h.answers["sync"] = 500, 503
				time.AfterFunc(1200*time.Millisecond, func() { h.do(func() { delete(h.answers, "log"); delete(h.answers, "sync") }) })
			})
		},
		"answers lost":  func(h *hub) { h.lose = 3 },
		"token expires": func(h *hub) { h.after("log", 3, func() { h.token = "log-2" }) },
		"refresh fails at first": func(h *hub) {
			h.after("log", 2, func() { h.token, h.answers["refresh"] = "log-2", 500 })
			n := 0
			h.when["refresh"] = func() {
				if n++; n == 3 {
					delete(h.answers, "refresh")
				}
			}
		},
		"result is refused at first": func(h *hub) {
			n := 0
			h.when["sync"] = func() {
				delete(h.answers, "sync")
				if len(h.log) > 0 && strings.Contains(h.log[len(h.log)-1], "job_finished") && n < 3 {
					n++
					h.answers["sync"] = 500
				}
			}
		},
		"syncs are held": func(h *hub) { h.holds = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, count)
			trouble(h)
			c := h.config()
			c.Timing.LogRefused, c.Timing.Hold, c.Timing.Request = time.Minute, 20*time.Second, 10*time.Second
			start := time.Now()
			reason, err := h.run(c)
			if reason != ExitRequested || err != nil {
				t.Errorf("%s, %v", reason, err)
			}
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("it took %v: a held sync was not dropped", took)
			}
			h.check("passed", want)
			if name == "answers lost" && h.repeats == 0 {
				t.Error("no push was repeated")
			}
			if left := leftSpools(filepath.Join(c.StateDir, "1", "spool")); left != nil {
				t.Errorf("spools are left: %v", left)
			}
		})
	}
}

func TestBigOutputIsDeliveredInBoundedMemory(t *testing.T) {
	h := newHub(t, "seq 1 2000000")
	h.answers["log"] = 500 // the server takes nothing while it is printed
	c := h.config()
	c.Timing.LogRefused = time.Minute
	h.when["sync"] = func() { // when it lies in the spool
		var size int64
		for _, p := range leftSpools(filepath.Join(c.StateDir, "1", "spool")) {
			if i, err := os.Stat(p); err == nil {
				size = i.Size()
			}
		}
		if size > 14<<20 {
			delete(h.answers, "log")
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if _, err := h.run(c); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	// The test's own server keeps the log; the agent keeps a push and some buffers.
	if grown := int64(after.HeapSys-before.HeapSys) >> 20; grown > 120 {
		t.Errorf("the heap grew by %d MiB", grown)
	}
	total := 0
	for _, l := range h.delivered() {
		if strings.HasPrefix(l, "1\n2\n3\n") {
			total = len(l)
		}
	}
	if total != 14888896 {
		t.Errorf("%d bytes", total)
	}
}

func TestLogIsRefusedForLong(t *testing.T) {
	t.Parallel()
	h := newHub(t, "echo hello")
	h.answers["log"] = 503
	c := h.config()
	c.Timing.LogRefused, c.Timing.FlushAtExit = 200*time.Millisecond, 200*time.Millisecond
	if _, err := h.run(c); err != nil {
		t.Error(err)
	}
	if h.result != "passed" || len(h.log) != 0 {
		t.Errorf("result %q, %d events", h.result, len(h.log))
	}
	// The next agent with this state directory delivers it.
	delete(h.answers, "log")
	c.Timing.FlushAtExit = 30 * time.Second
	if _, err := h.run(c); err != nil {
		t.Error(err)
	}
	h.check("passed", jobLog("passed", "$ echo hello", "hello\n", "= 0"))
	if left := leftSpools(filepath.Join(c.StateDir, "1", "spool")); left != nil {
		t.Errorf("spools are left: %v", left)
	}
}

func TestRevokedAgentStopsItsJob(t *testing.T) {
	t.Parallel()
	h := newHub(t, "sleep 60")
	h.asleep(func() { h.revoked = true })
	reason, err := h.run(h.config())
	if reason != ExitUnableToSync || signalbox.ErrorCode(err) != signalbox.CodeForbidden || h.disconns != 0 {
		t.Errorf("%s, %v, %d disconnects", reason, err, h.disconns)
	}
}

func TestIdleAgentGivesUp(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.answers["sync"] = 503
	c := h.config()
	c.Timing.UnableToSync, c.Timing.DisconnectTries = 300*time.Millisecond, 2
	reason, err := h.run(c)
	if reason != ExitUnableToSync || signalbox.ErrorCode(err) != signalbox.CodeUnavailable || h.disconns != 1 {
		t.Errorf("%s, %v, %d disconnects", reason, err, h.disconns)
	}
}

func TestStopJob(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(h *hub)
		want    []string
	}{
		"in a command": {
			func(h *hub) { h.asleep(func() { h.stop = true }) },
			jobLog("stopped", "$ echo start", "start\n", "= 0", "$ sleep 60", stopNote, "= 1"),
		},
		"in an epilogue": {
			func(h *hub) {
				h.payload.Commands = nil
				h.payload.EpilogueAlways = []agentapi.Command{{Directive: "sleep 60"}, {Directive: "echo never"}}
				h.payload.EpilogueOnPass = []agentapi.Command{{Directive: "echo never"}}
				h.asleep(func() { h.stop = true })
			},
			jobLog("stopped", "$ Exporting environment variables", "Exporting SEMAPHORE_JOB_RESULT\n", "= 0", "$ sleep 60", stopNote, "= 1"),
		},
		"before it starts": {
			func(h *hub) { h.stop, h.answers["job"] = true, 500 },
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, "echo start", "sleep 60", "echo never")
			tt.prepare(h)
			c := h.config()
			c.Timing.GetJobPause = 10 * time.Second
			if _, err := h.run(c); err != nil {
				t.Error(err)
			}
			h.check("stopped", tt.want)
		})
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	t.Run("reported although the sync is held", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, "sleep 60")
		h.holds = true
		c := h.config()
		c.Timing.Hold, c.Timing.Request = 20*time.Second, 20*time.Second
		interrupt := make(chan struct{})
		c.Interrupt = interrupt
		h.asleep(func() { close(interrupt) })
		h.when["sync"] = func() {
			for _, s := range h.seen {
				if s.InterruptedAt != 0 {
					h.stop = true
				}
			}
		}
		if reason, err := h.run(c); reason != ExitInterrupted || err != nil {
			t.Errorf("%s, %v", reason, err)
		}
		h.check("stopped", jobLog("stopped", "$ sleep 60", stopNote, "= 1"))
	})
	t.Run("while registering", func(t *testing.T) {
		t.Parallel()
		h := newHub(t)
		h.answers["register"] = 503
		c := h.config()
		c.Timing.RegisterPause = time.Minute
		interrupt := make(chan struct{})
		c.Interrupt = interrupt
		h.after("register", 1, func() { close(interrupt) })
		if reason, err := h.run(c); reason != ExitInterrupted || err != nil {
			t.Errorf("%s, %v", reason, err)
		}
	})
	t.Run("idle while the server is away", func(t *testing.T) {
		t.Parallel()
		h := newHub(t)
		h.result = "passed" // there is no other job
		h.when["register"] = func() { h.answers["sync"], h.answers["disconnect"] = 503, 503 }
		c := h.config()
		c.Timing.SyncMin, c.Timing.SyncMax, c.Timing.DisconnectPause = time.Minute, time.Minute, time.Millisecond
		interrupt := make(chan struct{})
		c.Interrupt = interrupt
		h.after("sync", 1, func() { close(interrupt) })
		if reason, err := h.run(c); reason != ExitInterrupted || err != nil {
			t.Errorf("%s, %v", reason, err)
		}
		if _, ok := loadJSON[access](filepath.Join(c.StateDir, "1", "access.json")); !ok {
			t.Error("the agent could not say good-bye, and yet the next process will not be the same agent")
		}
	})
	t.Run("canceled with a job", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, "sleep 60")
		a, err := New(h.config())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		h.asleep(cancel)
		if reason, err := a.Run(ctx); reason != ExitInterrupted || err != nil || h.disconns != 1 {
			t.Errorf("%s, %v, %d disconnects", reason, err, h.disconns)
		}
	})
}

func TestRegistrationRefused(t *testing.T) {
	t.Parallel()
	for status, tries := range map[int]int{401: 1, 404: 1, 422: 1, 400: 1, 500: 3, 503: 3} {
		h := newHub(t)
		h.answers["register"] = status
		n := 0
		h.when["register"] = func() { n++ }
		c := h.config()
		c.Timing.RegisterAttempts = 3
		_, err := h.run(c)
		if err == nil || !strings.Contains(err.Error(), "because the test says so") || n != tries {
			t.Errorf("%d: %d attempts, %v", status, n, err)
		}
	}
	if !mayRegisterLater(&statusError{http.StatusBadRequest, "job not available"}) {
		t.Error("a dedicated agent does not wait for its job")
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Endpoint: "ci.example.com", Token: "t", StateDir: t.TempDir()}
	for name, change := range map[string]func(*Config){
		"no endpoint":    func(c *Config) { c.Endpoint = "" },
		"url":            func(c *Config) { c.Endpoint = "https://ci.example.com" },
		"no token":       func(c *Config) { c.Token = "" },
		"short name":     func(c *Config) { c.Name = "short" },
		"job id alone":   func(c *Config) { c.JobID = "x" },
		"negative idle":  func(c *Config) { c.DisconnectAfterIdleTimeout = -1 },
		"negative grace": func(c *Config) { c.InterruptionGracePeriod = -1 },
		"no state":       func(c *Config) { c.StateDir = "" },
		"CA missing":     func(c *Config) { c.CAFile = "/does/not/exist" },
		"CA is no CA":    func(c *Config) { c.CAFile = "agent_test.go" },
	} {
		c := good
		change(&c)
		if _, err := New(c); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, err := New(good)
	if err != nil || len(a.cfg.Name) != 20 {
		t.Errorf("%v, %v", a, err)
	}
}

func TestTwoAgentsShareAStateDirectory(t *testing.T) {
	c := Config{Endpoint: "ci.example.com", Token: "t", StateDir: t.TempDir()}
	var dirs []string
	for range 2 {
		a, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		lock, err := a.prepareState()
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		dirs = append(dirs, filepath.Base(a.dir))
	}
	if d := cmp.Diff([]string{"1", "2"}, dirs); d != "" {
		t.Error(d)
	}
}

// A job whose state cannot be written down is not begun: after a crash nobody would know that it was.
func TestAJobThatCannotBeNotedDoesNotRun(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "ran")
	h := newHub(t, "touch "+mark)
	c := h.config()
	h.when["job"] = func() { // nothing can replace a folder that is not empty
		if err := os.MkdirAll(filepath.Join(c.StateDir, "1", "job.json.new", "x"), 0o700); err != nil {
			t.Error(err)
		}
	}
	if reason, err := h.run(c); reason != ExitRequested || err != nil {
		t.Errorf("%s, %v", reason, err)
	}
	if _, err := os.Stat(mark); err == nil || h.result != string(signalbox.JobFailed) {
		t.Errorf("the job ran (%v) and is %s", err == nil, h.result)
	}
	if got := strings.Join(h.delivered(), "\n"); !strings.Contains(got, "the state of the job cannot be saved") {
		t.Errorf("the log does not say why:\n%s", got)
	}
}

// TestServerIsAwayWhenTheJobIsFetched: an agent that cannot reach the server goes on asking for its job; one that is
// refused gives up after some tries.
func TestServerIsAwayWhenTheJobIsFetched(t *testing.T) {
	h := newHub(t, "true")
	n := 0
	h.when["job"] = func() { n++; h.down = n <= 15 }
	h.when["sync"] = func() { h.down = false }
	if reason, err := h.run(h.config()); reason != ExitRequested || err != nil || h.result != "passed" || n != 16 {
		t.Errorf("away: %s, %v, %q after %d requests", reason, err, h.result, n)
	}
	h = newHub(t, "true")
	refused := 0
	h.when["job"] = func() { refused++ }
	h.answers["job"] = 500
	if reason, err := h.run(h.config()); reason != ExitRequested || err != nil || h.result != "failed" || refused != 10 {
		t.Errorf("refused: %s, %v, %q after %d requests", reason, err, h.result, refused)
	}
}
