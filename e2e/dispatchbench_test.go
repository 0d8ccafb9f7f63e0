package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// BenchmarkDispatchBurst queues 1,000 pipelines of one job each at once while 1,000 agents of the official kind wait, and
// measures from the commit to each agent having read run-job. The limit for p99 is 1 s. Then it queues single jobs; the
// limit for p99 is 50 ms, and 250 ms when the jobs are queued on one of two servers and the agents wait on the other. The agents are a process of their own and speak over TLS.
func BenchmarkDispatchBurst(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchBurst(b, "", 1) })
	b.Run("postgres", func(b *testing.B) { benchBurst(b, storetest.PostgresURL(b), 1) })
	b.Run("postgres-2-servers", func(b *testing.B) { benchBurst(b, storetest.PostgresURL(b), 2) })
}

const (
	burst   = 1000
	singles = 300
)

func benchBurst(b *testing.B, database string, servers int) {
	dir := b.TempDir()
	s := runServer(b, filepath.Join(dir, "0"), database)
	front := s // where agents are
	if servers > 1 {
		key, err := os.ReadFile(filepath.Join(dir, "0", "master.key"))
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, "1"), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "1", "master.key"), key, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
		front = runServer(b, filepath.Join(dir, "1"), database)
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	var projects []*signalbox.Project
	write(b, s, func(tx *store.Tx) error {
		projects = nil
		t := &signalbox.AgentType{Name: "s1-bench"}
		if err := tx.CreateAgentType(t, "bench"); err != nil {
			return err
		}
		if err := tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "bench"}, hash, "bench"); err != nil {
			return err
		}
		for i := range 10 {
			p := &signalbox.Project{Name: fmt.Sprintf("bench%d", i), GitURL: "/srv/bench.git", PipelineFile: "p.yml"}
			if err := tx.CreateProject(p, "bench"); err != nil {
				return err
			}
			projects = append(projects, p)
		}
		return nil
	})
	l := startLoad(b, map[string]any{
		"address": strings.TrimPrefix(front.URL(), "https://"), "ca_file": front.CAFile(), "token": token, "agents": burst, "prefix": "bench-agent-",
	})
	l.await("registered")
	l.order("serve", nil)
	eng := engine.New(engine.Options{Store: s.Store()})
	n := 0
	// queueAll queues jobs in one transaction and returns when it was about to be committed.
	queueAll := func(jobs int) (begin time.Time) {
		write(b, s, func(tx *store.Tx) error {
			for range jobs {
				n++
				branch := "b" + strconv.Itoa(n)
				w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
					ProjectID: projects[n%len(projects)].ID, Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch,
					TriggeredBy: signalbox.TriggeredByAPI, RequestToken: strconv.Itoa(n),
				}, "bench")
				if err != nil {
					return err
				}
				if _, err = eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
					"version: v1.0\nagent: {machine: {type: s1-bench}}\nblocks:\n  - task: {jobs: [{commands: [\"true\"]}]}\n")}, "bench"); err != nil {
					return err
				}
			}
			begin = time.Now()
			return nil
		})
		return begin
	}
	collect := func(begin time.Time, jobs int) (took []time.Duration) {
		for range jobs {
			took = append(took, time.Unix(0, l.await("job").At).Sub(begin))
		}
		return took
	}
	var all, one []time.Duration
	for b.Loop() {
		time.Sleep(6 * time.Second) // until every agent waits: a hold is 5 s, and they came at different times
		all = append(all, collect(queueAll(burst), burst)...)
		time.Sleep(6 * time.Second)
		for range singles {
			one = append(one, collect(queueAll(1), 1)...)
		}
	}
	report := func(name string, took []time.Duration) {
		slices.Sort(took)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(took[(len(took)-1)*p/100])/float64(time.Millisecond), fmt.Sprintf("%s-p%d-ms", name, p))
		}
	}
	report("burst", all)
	report("single", one)
	b.ReportMetric(0, "ns/op")
}

// runServer runs a server in this process until the test ends.
func runServer(b testing.TB, dir, database string) *server.Server {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.New(ctx, server.Options{Dir: dir, DatabaseURL: database, Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}
