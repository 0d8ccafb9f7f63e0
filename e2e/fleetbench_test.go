package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// BenchmarkFleet measures what agents of the official kind cost a server that does nothing else, over TLS 1.3, both in processes
// of their own. With 10,000 agents the limits are: a sync is answered within 20 ms beyond the intended hold (p99), 300 MB resident,
// half a core; after a SIGKILL of the server all are back within 30 s of its next start, and none is answered with an error.
func BenchmarkFleet(b *testing.B) {
	perDatabase(b, func(b *testing.B, database string) {
		for _, n := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) { benchFleet(b, database, n) })
		}
	})
}

func benchFleet(b *testing.B, database string, agents int) {
	s := newServerProcess(b, database, true, 0)
	l := s.load(b, map[string]any{"agents": agents})
	reg := l.await("registered")
	b.ReportMetric(float64(agents)/reg.Seconds, "registrations/s")
	l.order("serve", nil)
	time.Sleep(15 * time.Second) // until their holds are spread
	for b.Loop() {
		const window = 20 * time.Second
		before := s.cpu(b)
		l.order("measure", nil)
		time.Sleep(window)
		used := s.cpu(b) - before
		r := l.report()
		if r.Refused+r.Cut > 0 {
			b.Errorf("%d syncs were refused, %d cut", r.Refused, r.Cut)
		}
		b.ReportMetric(float64(r.Syncs)/window.Seconds(), "syncs/s")
		b.ReportMetric(r.P50, "late-p50-ms")
		b.ReportMetric(r.P99, "late-p99-ms")
		b.ReportMetric(100*used.Seconds()/window.Seconds(), "%-of-a-core")
		b.ReportMetric(used.Seconds()*1000/float64(r.Syncs), "cpu-ms/sync")
		b.ReportMetric(stateNumber(b, s.cmd.Process.Pid, "VmRSS"), "MB")

		s.kill()
		time.Sleep(time.Second)
		l.order("measure", nil)
		begin := time.Now()
		s.start(b)
		for time.Since(begin) < 40*time.Second {
			time.Sleep(500 * time.Millisecond)
			if r = l.report(); r.Back == agents {
				break
			}
		}
		if r.Back != agents || r.Refused > 0 {
			b.Errorf("%d of %d agents are back after %v; %d were answered with an error", r.Back, agents, time.Since(begin), r.Refused)
		}
		b.ReportMetric(float64(r.BackAt-begin.UnixNano())/1e9, "s-until-all-are-back")
		b.ReportMetric(stateNumber(b, s.cmd.Process.Pid, "VmHWM"), "MB-peak-of-the-storm")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSaturation measures how many syncs of running agents a server answers when they come as fast as it can: at least 20,000 a
// second over plain HTTP, at most 0.1 CPU-ms each over TLS, with 1,000 and with 10,000 agents.
func BenchmarkSaturation(b *testing.B) {
	perDatabase(b, func(b *testing.B, database string) {
		for _, n := range []int{1000, 10000} {
			for _, tls := range []bool{false, true} {
				b.Run(fmt.Sprintf("agents=%d/tls=%v", n, tls), func(b *testing.B) { benchSaturation(b, database, n, tls) })
			}
		}
	})
}

func benchSaturation(b *testing.B, database string, agents int, tls bool) {
	s := newServerProcess(b, database, tls, agents)
	l := s.load(b, map[string]any{"agents": agents, "hold": true, "park": true})
	l.await("registered")
	l.order("serve", nil)
	l.await("parked")
	for b.Loop() {
		l.order("flood", map[string]any{"seconds": 1}) // each agent's first sync is stored
		l.await("flooded")
		before := s.cpu(b)
		l.order("flood", map[string]any{"seconds": 10})
		f := l.await("flooded")
		used := s.cpu(b) - before
		b.ReportMetric(float64(f.Syncs)/f.Seconds, "syncs/s")
		b.ReportMetric(used.Seconds()*1000/float64(f.Syncs), "cpu-ms/sync")
		b.ReportMetric(stateNumber(b, s.cmd.Process.Pid, "VmRSS"), "MB")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRegistrations measures how many agents register in a second over 32 kept connections: at least 2,000. Each is on the
// disk before it is answered.
func BenchmarkRegistrations(b *testing.B) {
	perDatabase(b, func(b *testing.B, database string) {
		for _, tls := range []bool{false, true} {
			b.Run(fmt.Sprintf("tls=%v", tls), func(b *testing.B) {
				for b.Loop() {
					const agents = 10000
					s := newServerProcess(b, database, tls, 0)
					before := s.cpu(b)
					r := s.load(b, map[string]any{"agents": agents, "kept": 32}).await("registered")
					b.ReportMetric(agents/r.Seconds, "registrations/s")
					b.ReportMetric((s.cpu(b)-before).Seconds()*1000/agents, "cpu-ms/registration")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

// BenchmarkStopOfficial measures from a stop request to the agent being told, with 1,000 agents of the official kind that run a job:
// at most 2 s. They may not be held while they run, so this is how often they ask.
func BenchmarkStopOfficial(b *testing.B) {
	perDatabase(b, func(b *testing.B, database string) {
		const agents, stops = 1000, 50
		s := newServerProcess(b, database, true, agents)
		l := s.load(b, map[string]any{"agents": agents, "hold": true})
		l.await("registered")
		l.order("serve", nil)
		var jobs []string
		for len(jobs) < agents {
			jobs = append(jobs, l.await("job").Job)
		}
		time.Sleep(12 * time.Second) // until the server has counted who runs
		var took []time.Duration
		for b.Loop() {
			for _, j := range jobs[:stops] {
				begin := time.Now()
				if out, err := exec.Command(program, "--data", s.data, "job", "stop", j).CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				took = append(took, time.Unix(0, l.await("stop").At).Sub(begin))
			}
			jobs = jobs[stops:]
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
		b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
		b.ReportMetric(0, "ns/op")
	})
}

func perDatabase(b *testing.B, bench func(b *testing.B, database string)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, "") })
	b.Run("postgres", func(b *testing.B) { bench(b, storetest.PostgresURL(b)) })
}

// serverProcess is a server in a process of its own, which can be killed and started again.
type serverProcess struct {
	data, database, address, token string
	tls                            bool
	cmd                            *exec.Cmd
}

// newServerProcess prepares a database with an agent type and queued jobs, and starts the program on it.
func newServerProcess(b *testing.B, database string, tls bool, jobs int) *serverProcess {
	b.Helper()
	s := &serverProcess{data: filepath.Join(b.TempDir(), "data"), database: database, address: freeAddress(b), tls: tls}
	ctx := context.Background()
	in, err := server.New(ctx, server.Options{Dir: s.data, DatabaseURL: database, Listen: "127.0.0.1:0", Insecure: !tls})
	if err != nil {
		b.Fatal(err)
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	s.token = token
	eng := engine.New(engine.Options{Store: in.Store()})
	write(b, in, func(tx *store.Tx) error {
		t := &signalbox.AgentType{Name: "s1-bench" + strconv.FormatInt(time.Now().UnixNano(), 36)}
		if err := tx.CreateAgentType(t, "bench"); err != nil {
			return err
		}
		if err := tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "bench"}, hash, "bench"); err != nil {
			return err
		}
		p := &signalbox.Project{Name: "p" + t.Name, GitURL: "/srv/bench.git", PipelineFile: "p.yml"}
		if err := tx.CreateProject(p, "bench"); err != nil {
			return err
		}
		for i := range jobs {
			name := "b" + strconv.Itoa(i)
			w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
				ProjectID: p.ID, Ref: "refs/heads/" + name, RefType: "branch", BranchName: name, Label: name, TriggeredBy: signalbox.TriggeredByAPI, RequestToken: name,
			}, "bench")
			if err != nil {
				return err
			}
			if _, err = eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
				"version: v1.0\nagent: {machine: {type: " + t.Name + "}}\nblocks:\n  - task: {jobs: [{commands: [\"true\"]}]}\n")}, "bench"); err != nil {
				return err
			}
		}
		return nil
	})
	if err := in.Close(); err != nil {
		b.Fatal(err)
	}
	s.start(b)
	b.Cleanup(s.kill)
	return s
}

func (s *serverProcess) start(b *testing.B) {
	b.Helper()
	info := filepath.Join(s.data, "server.json")
	_ = os.Remove(info)
	args := []string{"server", "--data", s.data, "--listen", s.address, "--log-level", "warn"}
	if s.database != "" {
		args = append(args, "--database", s.database)
	}
	if !s.tls {
		args = append(args, "--insecure-http")
	}
	s.cmd = exec.Command(program, args...)
	var errs strings.Builder
	s.cmd.Stderr = &errs
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for range 2000 {
		if _, err := os.Stat(info); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	b.Fatalf("the server did not start: %s", errs.String())
}

func (s *serverProcess) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// cpu is the processor time that the server has used so far.
func (s *serverProcess) cpu(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// load is a fleet in a process of its own.
type load struct {
	*testing.B
	in     *json.Encoder
	events chan loadEvent
}

type loadEvent struct {
	Event, Job, Text          string
	At                        int64
	Seconds, P50, P99         float64
	Syncs, Refused, Cut, Back int
	BackAt                    int64 `json:"back_at"`
}

// load starts a fleet, which begins to register.
func (s *serverProcess) load(b *testing.B, fleet map[string]any) *load {
	b.Helper()
	fleet["address"], fleet["token"], fleet["prefix"] = s.address, s.token, "bench-agent-"
	if s.tls {
		fleet["ca_file"] = filepath.Join(s.data, "ca.crt")
	}
	return startLoad(b, fleet)
}

func startLoad(b *testing.B, fleet map[string]any) *load {
	b.Helper()
	path := filepath.Join(b.TempDir(), "load")
	if out, err := exec.Command("go", "build", "-o", path, "./load").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	l := &load{B: b, in: json.NewEncoder(in), events: make(chan loadEvent, 100000)}
	go func() {
		defer close(l.events)
		d := json.NewDecoder(bufio.NewReader(out))
		for {
			var e loadEvent
			if err := d.Decode(&e); err != nil {
				if err != io.EOF {
					e.Text = err.Error()
				}
				l.events <- loadEvent{Event: "error", Text: strings.TrimSpace(e.Text + " " + errs.String())}
				return
			}
			l.events <- e
		}
	}()
	l.order("register", fleet)
	return l
}

func (l *load) order(do string, more map[string]any) {
	l.Helper()
	o := map[string]any{"do": do}
	for k, v := range more {
		o[k] = v
	}
	if err := l.in.Encode(o); err != nil {
		l.Fatal(err)
	}
}

// await returns the next event of a kind; others are dropped.
func (l *load) await(kind string) loadEvent {
	l.Helper()
	limit := time.After(3 * time.Minute)
	for {
		select {
		case e := <-l.events:
			if e.Event == kind {
				return e
			}
			if e.Event == "error" || e.Event == "" {
				l.Fatalf("the fleet: %s", e.Text)
			}
		case <-limit:
			l.Fatalf("the fleet never said %q", kind)
		}
	}
}

func (l *load) report() loadEvent {
	l.Helper()
	l.order("report", nil)
	return l.await("report")
}
