package agent

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

func codes(ps []agentapi.Problem) (out []string) {
	for _, p := range ps {
		out = append(out, p.Code)
	}
	return out
}

func TestProblemsOfTheMachine(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const huge = 1 << 62
	for _, c := range []struct {
		name   string
		change func(a *Agent)
		want   []string
	}{
		{"nothing", func(*Agent) {}, nil},
		{"little room", func(a *Agent) { a.cfg.LowDisk = huge }, []string{"disk_low"}},
		{"little room, and nobody wants to know", func(a *Agent) { a.cfg.LowDisk = -1 }, nil},
		{"a workspace that is not there yet", func(a *Agent) { a.cfg.Workspace = filepath.Join(dir, "none") }, nil},
		{"a clock ahead", func(a *Agent) { a.client.clockOff.Store(int64(time.Hour)) }, []string{"clock_off"}},
		{"a clock behind", func(a *Agent) { a.client.clockOff.Store(-int64(31 * time.Second)) }, []string{"clock_off"}},
		{"a clock as it should be", func(a *Agent) { a.client.clockOff.Store(int64(2 * time.Second)) }, nil},
		{"an engine", func(a *Agent) { a.cfg.DockerHost = "unix://" + socket }, nil},
		{"no engine", func(a *Agent) { a.cfg.DockerHost = "unix://" + socket + ".none" }, []string{"no_engine"}},
		{"all of it", func(a *Agent) {
			a.cfg.LowDisk, a.cfg.DockerHost = huge, "tcp://127.0.0.1:1"
			a.client.clockOff.Store(int64(time.Hour))
		}, []string{"disk_low", "clock_off", "no_engine"}},
	} {
		a, err := New(Config{Endpoint: "localhost", Token: "x", StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		a.dir = dir
		a.cfg.LowDisk = 1
		c.change(a)
		got := a.checker.look()
		if !slices.Equal(codes(got), c.want) {
			t.Errorf("%s: %+v, want %v", c.name, got, c.want)
		}
		for _, p := range got {
			if p.Detail == "" || strings.ContainsAny(p.Detail, "\n") {
				t.Errorf("%s: %q", c.name, p.Detail)
			}
		}
	}
}

func TestALogThatFillsItsQuotaIsAProblem(t *testing.T) {
	a, err := New(Config{Endpoint: "localhost", Token: "x", StateDir: t.TempDir(), SpoolQuota: 1000, LowDisk: -1})
	if err != nil {
		t.Fatal(err)
	}
	a.dir = t.TempDir()
	s, err := createSpool(a.spoolDir(), "one", 0, a.log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got := a.checker.look(); len(got) != 0 {
		t.Errorf("an empty spool: %+v", got)
	}
	if err := s.Output(t.Context(), time.Now(), make([]byte, 950)); err != nil {
		t.Fatal(err)
	}
	if got := codes(a.checker.look()); !slices.Equal(got, []string{signalbox.ProblemSpoolFull}) {
		t.Errorf("%v", got)
	}
}

// What is wrong is told at registration and with every sync; the clock is compared with the Date of the answers.
func TestProblemsAreReported(t *testing.T) {
	t.Parallel()
	h := newHub(t, "true")
	cfg := h.config()
	cfg.LowDisk = 1 << 62
	if reason, err := h.run(cfg); reason != ExitRequested || err != nil {
		t.Fatalf("%s, %v", reason, err)
	}
	h.do(func() {
		if len(h.problems) != 1 || h.problems[0].Code != signalbox.ProblemDiskLow {
			t.Errorf("at registration: %+v", h.problems)
		}
		for _, s := range h.seen {
			if !slices.Equal(codes(s.Problems), []string{signalbox.ProblemDiskLow}) {
				t.Fatalf("in a sync: %+v", s)
			}
		}
	})
}

func TestTheClockIsComparedWithTheServers(t *testing.T) {
	h := newHub(t, "true")
	h.ahead = time.Hour
	c := newClient(h.config())
	if _, err := c.register(t.Context(), "x", agentapi.RegisterRequest{}); err != nil {
		t.Fatal(err)
	}
	if off := time.Duration(c.clockOff.Load()); off > -59*time.Minute || off < -61*time.Minute {
		t.Errorf("our clock is %s ahead of one that is an hour ahead", off)
	}
	if p := clockProblem(time.Duration(c.clockOff.Load())); len(p) != 1 || !strings.Contains(p[0].Detail, "behind") {
		t.Errorf("%+v", p)
	}
}
