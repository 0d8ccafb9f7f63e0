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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/server/servertest"
	"github.com/signalbox-ci/signalbox/store"
)

// serverProcess is a server in a process of its own, which can be killed and started again.
type serverProcess struct {
	data, database, address, token string
	tls                            bool
	cmd                            *exec.Cmd
}

// newServerProcess prepares a database with an agent type and queued jobs, and starts the program on it.
func newServerProcess(b testing.TB, database string, tls bool, jobs int) *serverProcess {
	b.Helper()
	s := &serverProcess{data: filepath.Join(b.TempDir(), "data"), database: database, address: servertest.Address(b), tls: tls}
	ctx := context.Background()
	in, err := server.New(ctx, server.Options{Dir: s.data, DatabaseURL: database, Listen: "127.0.0.1:0", Insecure: !tls})
	if err != nil {
		b.Fatal(err)
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	s.token = token
	eng := engine.New(engine.Options{Store: in.Store()})
	var project *signalbox.Project
	var name string
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
		project, name = p, t.Name
		return nil
	})
	for from := 0; from < jobs; from += 200 { // rows that one transaction changes again and again make PostgreSQL slow
		write(b, in, func(tx *store.Tx) error {
			for i := from; i < min(from+200, jobs); i++ {
				if err := queueOne(tx, eng, project, name, "b"+strconv.Itoa(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := in.Close(); err != nil {
		b.Fatal(err)
	}
	s.start(b)
	b.Cleanup(s.kill)
	return s
}

// queueOne queues a pipeline of one job.
func queueOne(tx *store.Tx, eng *engine.Engine, p *signalbox.Project, agentType, branch string) error {
	w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
		ProjectID: p.ID, Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch, TriggeredBy: signalbox.TriggeredByAPI, RequestToken: branch,
	}, "bench")
	if err != nil {
		return err
	}
	_, err = eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
		"version: v1.0\nagent: {machine: {type: " + agentType + "}}\nblocks:\n  - task: {jobs: [{commands: [\"true\"]}]}\n")}, "bench")
	return err
}

func (s *serverProcess) start(b testing.TB) {
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
func (s *serverProcess) cpu(b testing.TB) time.Duration {
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
	testing.TB
	stop   func()
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
func (s *serverProcess) load(b testing.TB, fleet map[string]any) *load {
	b.Helper()
	fleet["address"], fleet["token"] = s.address, s.token
	if fleet["prefix"] == nil {
		fleet["prefix"] = "bench-agent-"
	}
	if s.tls {
		fleet["ca_file"] = filepath.Join(s.data, "ca.crt")
	}
	return startLoad(b, fleet)
}

func startLoad(b testing.TB, fleet map[string]any) *load {
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
	stop := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	b.Cleanup(stop)
	l := &load{TB: b, stop: stop, in: json.NewEncoder(in), events: make(chan loadEvent, 100000)}
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
