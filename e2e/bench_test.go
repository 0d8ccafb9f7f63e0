package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// BenchmarkDispatch measures from "the job is about to be queued" to "an agent has read run-job", over TLS, with 200
// agents waiting. The limit for p99 is 50 ms.
func BenchmarkDispatch(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchDispatch(b, "", 200) })
	b.Run("postgres", func(b *testing.B) { benchDispatch(b, storetest.PostgresURL(b), 200) })
}

func benchDispatch(b *testing.B, database string, agents int) {
	s := runServer(b, b.TempDir(), database)
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	token, hash := auth.NewToken(auth.TokenRegistration)
	project := &signalbox.Project{Name: "bench", GitURL: "/srv/bench.git", PipelineFile: "p.yml"}
	write(b, s, func(tx *store.Tx) error {
		t := &signalbox.AgentType{Name: "s1-bench"}
		if err := tx.CreateAgentType(t, "bench"); err != nil {
			return err
		}
		if err := tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "bench"}, hash, "bench"); err != nil {
			return err
		}
		return tx.CreateProject(project, "bench")
	})
	f := &fleet{base: s.URL() + agentapi.Base, got: make(chan time.Time, agents), client: trusting(b, s.CAFile(), agents)}
	ready := make(chan error, agents)
	for i := range agents {
		go f.agent(ctx, fmt.Sprintf("bench-agent-%d", i), token, ready)
	}
	for range agents {
		if err := <-ready; err != nil {
			b.Fatal(err)
		}
	}
	eng := engine.New(engine.Options{Store: s.Store()})
	var took []time.Duration
	n := 0
	for b.Loop() {
		n++
		begin := time.Now()
		write(b, s, func(tx *store.Tx) error {
			w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
				ProjectID: project.ID, Ref: "refs/heads/b" + strconv.Itoa(n), RefType: "branch", BranchName: "b" + strconv.Itoa(n), Label: "b" + strconv.Itoa(n),
				TriggeredBy: signalbox.TriggeredByAPI, RequestToken: strconv.Itoa(n),
			}, "bench")
			if err != nil {
				return err
			}
			_, err = eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
				"version: v1.0\nagent: {machine: {type: s1-bench}}\nblocks:\n  - task: {jobs: [{commands: [\"true\"]}]}\n")}, "bench")
			return err
		})
		select {
		case at := <-f.got:
			took = append(took, at.Sub(begin))
		case <-time.After(10 * time.Second):
			b.Fatal("no agent got the job within 10 s")
		}
	}
	slices.Sort(took)
	ms := func(p int) float64 { return float64(took[(len(took)-1)*p/100]) / float64(time.Millisecond) }
	b.ReportMetric(ms(50), "p50-ms")
	b.ReportMetric(ms(99), "p99-ms")
	b.ReportMetric(float64(agents), "agents")
	b.ReportMetric(0, "ns/op")
}

func write(b testing.TB, s *server.Server, fn func(*store.Tx) error) {
	b.Helper()
	if err := s.Store().Write(context.Background(), fn); err != nil {
		b.Fatal(err)
	}
}

func trusting(b testing.TB, caFile string, conns int) *http.Client {
	b.Helper()
	text, err := os.ReadFile(caFile)
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: conns}}
}

// fleet is agents that take jobs and report them as passed at once, in the official agent's words.
type fleet struct {
	base   string
	client *http.Client
	got    chan time.Time
}

func (f *fleet) call(ctx context.Context, method, path, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, f.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Token "+token)
	res, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode > 299 {
		return fmt.Errorf("%s: %s: %s", path, res.Status, text)
	}
	return json.Unmarshal(text, out)
}

func (f *fleet) agent(ctx context.Context, name, registration string, ready chan<- error) {
	var reg agentapi.RegisterResponse
	err := f.call(ctx, http.MethodPost, agentapi.PathRegister, registration, agentapi.RegisterRequest{Name: name}, &reg)
	ready <- err
	if err != nil {
		return
	}
	req := agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
	for ctx.Err() == nil {
		var res agentapi.SyncResponse
		if err := f.call(ctx, http.MethodPost, agentapi.PathSync, reg.Token, req, &res); err != nil {
			continue
		}
		switch res.Action {
		case agentapi.ActionRunJob:
			f.got <- time.Now()
			var p agentapi.JobPayload
			_ = f.call(ctx, http.MethodGet, agentapi.PathJobs+"/"+res.JobID, reg.Token, nil, &p)
			req = agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: res.JobID, JobResult: "passed"}
		case agentapi.ActionWaitForJobs:
			req = agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
		}
	}
}

// BenchmarkIdleMemory measures what an idle server and an idle agent hold: at most 64 MB and 25 MB.
func BenchmarkIdleMemory(b *testing.B) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("memory is read from /proc, which this system does not have")
	}
	for b.Loop() {
		dir := b.TempDir()
		data := filepath.Join(dir, "data")
		srv := exec.Command(program, "server", "--data", data, "--listen", "127.0.0.1:0")
		out, err := srv.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := srv.Start(); err != nil {
			b.Fatal(err)
		}
		awaitLine(b, out, "Signalbox answers")
		var t struct {
			Token    string `json:"registration_token"`
			Endpoint string `json:"endpoint"`
		}
		text, err := exec.Command(program, "--data", data, "--output", "json", "agent-type", "create", "s1-idle").Output()
		if err != nil {
			b.Fatal(err)
		}
		if err := json.Unmarshal(text, &t); err != nil {
			b.Fatal(err)
		}
		ag := exec.Command(program, "agent", "start", "--endpoint", t.Endpoint, "--ca-file", filepath.Join(data, "ca.crt"), "--token", t.Token, "--state", filepath.Join(dir, "agent"))
		errs, err := ag.StderrPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := ag.Start(); err != nil {
			b.Fatal(err)
		}
		awaitLine(b, errs, "registered")
		time.Sleep(3 * time.Second) // until start-up is over and both only wait
		b.ReportMetric(stateNumber(b, srv.Process.Pid, "VmRSS"), "server-MB")
		b.ReportMetric(stateNumber(b, ag.Process.Pid, "VmRSS"), "agent-MB")
		for _, c := range []*exec.Cmd{ag, srv} {
			_ = c.Process.Signal(os.Interrupt)
			_ = c.Wait()
		}
	}
	b.ReportMetric(0, "ns/op")
}

func awaitLine(b *testing.B, r io.Reader, text string) {
	b.Helper()
	s := bufio.NewScanner(r)
	for s.Scan() {
		if strings.Contains(s.Text(), text) {
			go func() { _, _ = io.Copy(io.Discard, r) }()
			return
		}
	}
	b.Fatalf("never printed %q", text)
}

// BenchmarkDemoFirstResult measures from the start of `signalbox demo` to the end of its first job, which is later than
// that job's first output: at most 3 s.
func BenchmarkDemoFirstResult(b *testing.B) {
	var total time.Duration
	n := 0
	for b.Loop() {
		n++
		cmd := exec.Command(program, "demo", "--once")
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		awaitLine(b, out, "Check / syntax passed")
		total += time.Since(begin)
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "file already closed") {
			b.Fatal(err)
		}
	}
	b.ReportMetric(total.Seconds()/float64(n), "s/first-result")
	b.ReportMetric(0, "ns/op")
}
