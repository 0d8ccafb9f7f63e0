package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
)

// BenchmarkHistory measures what people and agents wait for while the database holds more and more jobs that have ended. No figure
// may grow with them.
func BenchmarkHistory(b *testing.B) {
	perDatabase(b, func(b *testing.B, database func(testing.TB) string) { benchHistory(b, database(b)) })
}

// bundle is how many jobs a finished pipeline has.
const bundle = 10

func benchHistory(b *testing.B, database string) {
	s := newServerProcess(b, database, true, 0)
	s.kill()
	h := &history{serverProcess: s, TB: b}
	h.open()
	h.agents()
	h.jobs(bundle, true) // the template
	for _, finished := range []int{bundle, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("finished=%d", finished), func(b *testing.B) {
			h.close()
			h.grow(finished / bundle)
			h.open()
			h.agents()
			for b.Loop() {
				h.measure(b)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	h.close()
}

// history is a server in this process, whose database other programs fill while it is closed.
type history struct {
	*serverProcess
	testing.TB
	server  *server.Server
	end     func()
	fleet   *load
	client  *http.Client
	token   string
	project *signalbox.Project
	typ     string
	grown   int // pipelines
	n       int
}

func (h *history) open() {
	h.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.New(ctx, server.Options{Dir: h.data, DatabaseURL: h.database, Listen: h.address})
	if err != nil {
		h.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	h.end = func() {
		cancel()
		if err := <-ended; err != nil {
			h.Error(err)
		}
		if err := s.Close(); err != nil {
			h.Error(err)
		}
	}
	h.server, h.client = s, trusting(h, s.CAFile(), 4)
	text, err := os.ReadFile(filepath.Join(h.data, server.LocalTokenFile))
	if err != nil {
		h.Fatal(err)
	}
	h.token = strings.TrimSpace(string(text))
	if err := s.Store().Read(ctx, func(tx *store.Tx) error {
		all, err := tx.Projects()
		if err == nil {
			h.project = all[0]
			h.typ = strings.TrimPrefix(h.project.Name, "p")
		}
		return err
	}); err != nil {
		h.Fatal(err)
	}
}

// agents starts a fleet whose agents report every job as passed at once.
func (h *history) agents() {
	h.fleet = h.load(h, map[string]any{"agents": 50, "prefix": fmt.Sprintf("h%d-agent-", h.grown)})
	h.fleet.await("registered")
	h.fleet.order("serve", nil)
	time.Sleep(2 * time.Second)
}

func (h *history) close() {
	h.fleet.stop()
	h.client.CloseIdleConnections()
	h.end()
}

// jobs runs a pipeline and returns when each of its jobs reached an agent.
func (h *history) jobs(n int, andEnd bool) (took []time.Duration) {
	h.Helper()
	h.n++
	name := fmt.Sprintf("h%d-%d", h.grown, h.n)
	var y strings.Builder
	y.WriteString("version: v1.0\nagent: {machine: {type: " + h.typ + "}}\nblocks:\n  - task:\n      jobs:\n")
	for i := range n {
		fmt.Fprintf(&y, "        - {name: job %d, commands: [\"true\"]}\n", i)
	}
	eng := engine.New(engine.Options{Store: h.server.Store()})
	var id string
	var begin time.Time
	write(h, h.server, func(tx *store.Tx) error {
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: h.project.ID, Ref: "refs/heads/" + name, RefType: "branch", BranchName: name, Label: name, TriggeredBy: signalbox.TriggeredByAPI, RequestToken: name,
		}, "bench")
		if err != nil {
			return err
		}
		p, err := eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(y.String())}, "bench")
		if err == nil {
			id = p.ID
		}
		begin = time.Now()
		return err
	})
	for range n {
		took = append(took, time.Unix(0, h.fleet.await("job").At).Sub(begin))
	}
	for andEnd {
		if err := h.server.Store().Read(context.Background(), func(tx *store.Tx) error {
			p, err := tx.Pipeline(id)
			andEnd = err == nil && p.State != signalbox.PipelineDone
			return err
		}); err != nil {
			h.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return took
}

func (h *history) measure(b *testing.B) {
	b.Helper()
	var took []time.Duration
	for range 100 {
		took = append(took, h.jobs(1, true)...)
	}
	slices.Sort(took)
	b.ReportMetric(ms(took[len(took)/2]), "job-p50-ms")
	b.ReportMetric(ms(took[len(took)-1]), "job-max-ms")
	for name, path := range map[string]string{
		"jobs-api": "/api/v1alpha/jobs?states=FINISHED", "workflows-api": "/api/v1alpha/plumber-workflows?project_id=" + h.project.ID,
		"project-api": "/api/v1alpha/projects/" + h.project.Name, "metrics": "/metrics", "agents-api": "/api/v1alpha/agents",
	} {
		var took []time.Duration
		for range 7 {
			begin := time.Now()
			h.get(path)
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		b.ReportMetric(ms(took[len(took)/2]), name+"-ms")
	}
}

func (h *history) get(path string) {
	h.Helper()
	r, err := http.NewRequest(http.MethodGet, h.server.URL()+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+h.token)
	res, err := h.client.Do(r)
	if err != nil {
		h.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		h.Fatalf("%s: %s %v", path, res.Status, err)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// grow copies the template until there are so many finished pipelines: every row of it, with ids of their own.
func (h *history) grow(pipelines int) {
	h.Helper()
	db, err := sql.Open("sqlite", filepath.Join(h.data, "signalbox.db")+"?_pragma=busy_timeout(10000)")
	concat, number := "printf('%08x', s.n)", "WITH RECURSIVE s(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM s WHERE n + 1 < %d)"
	if h.database != "" {
		db, err = sql.Open("pgx", h.database)
		concat, number = "lpad(to_hex(s.n), 8, '0')", "WITH s(n) AS (SELECT generate_series(%d, %d - 1))"
	}
	if err != nil {
		h.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	one := func(query string) (v string) {
		if err := db.QueryRowContext(ctx, query).Scan(&v); err != nil {
			h.Fatalf("%s: %v", query, err)
		}
		return v
	}
	// The template is the oldest workflow.
	if h.grown == 0 {
		h.grown = 1
	}
	wf := one("SELECT id FROM workflow WHERE branch_name = 'h0-1'")
	ppl := one("SELECT id FROM pipeline WHERE workflow_id = '" + wf + "'")
	jobs := "(SELECT id FROM job WHERE pipeline_id = '" + ppl + "')"
	for _, t := range []struct {
		table, where string
		ids          []string
	}{
		{"workflow", "id = '" + wf + "'", []string{"id", "request_token", "branch_name"}},
		{"pipeline", "id = '" + ppl + "'", []string{"id", "workflow_id", "artefact_id"}},
		{"block", "pipeline_id = '" + ppl + "'", []string{"id", "pipeline_id"}},
		{"job", "pipeline_id = '" + ppl + "'", []string{"id", "block_id", "pipeline_id", "workflow_id", "attempt_id"}},
		{"attempt", "job_id IN " + jobs, []string{"id", "job_id"}},
		{"event", "id IN " + jobs + " OR id IN ('" + wf + "', '" + ppl + "')", []string{"id"}},
	} {
		rows, err := db.QueryContext(ctx, "SELECT * FROM "+t.table+" LIMIT 0")
		if err != nil {
			h.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			h.Fatal(err)
		}
		_ = rows.Close()
		values := slices.Clone(columns)
		for i, c := range columns {
			if slices.Contains(t.ids, c) {
				values[i] = fmt.Sprintf("CASE WHEN t.%s = '' THEN '' ELSE %s || substr(t.%s, 9) END", c, concat, c)
				if c == "branch_name" || c == "request_token" {
					values[i] = concat
				}
			} else {
				values[i] = "t." + c
			}
		}
		insert := fmt.Sprintf("INSERT INTO %s (%s) %s SELECT %s FROM %s t CROSS JOIN s WHERE t.%s", t.table, strings.Join(columns, ", "),
			fmt.Sprintf(number, h.grown, pipelines), strings.Join(values, ", "), t.table, strings.ReplaceAll(t.where, " OR id", " OR t.id"))
		if pipelines > h.grown {
			if _, err := db.ExecContext(ctx, insert); err != nil {
				h.Fatalf("%v: %s", err, insert)
			}
		}
	}
	h.grown = max(h.grown, pipelines)
	if h.database != "" {
		if _, err := db.ExecContext(ctx, "ANALYZE"); err != nil { // its own daemon does so within a minute
			h.Fatal(err)
		}
	}
}
