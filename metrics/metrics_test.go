package metrics

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

func newMetrics(t *testing.T) *Metrics {
	t.Helper()
	m, err := New(Options{Registry: NewRegistry(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scrape reads everything as Prometheus does.
func scrape(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	found, err := p.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// series returns the one series of a metric with all of some labels ("name=value"), nil when there is none.
func series(t *testing.T, f *dto.MetricFamily, labels ...string) *dto.Metric {
	t.Helper()
	var found []*dto.Metric
	for _, m := range f.GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		all := true
		for _, l := range labels {
			all = all && has[l]
		}
		if all {
			found = append(found, m)
		}
	}
	if len(found) > 1 {
		t.Fatalf("%d series of %s with %v", len(found), f.GetName(), labels)
	}
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

func histogram(t *testing.T, all map[string]*dto.MetricFamily, name string, labels ...string) (n uint64, sum float64) {
	t.Helper()
	h := series(t, all[name], labels...).GetHistogram()
	return h.GetSampleCount(), h.GetSampleSum()
}

var begin = time.Unix(1_000_000, 0)

func started(retries int) store.JobChange {
	return store.JobChange{
		AgentType: "s1-linux", From: signalbox.JobOffered, To: signalbox.JobRunning, Retries: retries, QueuedAt: begin, StartedAt: begin.Add(3 * time.Second),
	}
}

func TestAJobsTimesComeFromItsRow(t *testing.T) {
	m := newMetrics(t)
	m.Job(started(0))
	m.Job(started(1)) // it was queued again: its place in the queue is that of its first try
	ended := store.JobChange{
		AgentType: "s1-linux", From: signalbox.JobRunning, To: signalbox.JobFinished, Result: signalbox.JobFailed,
		QueuedAt: begin, StartedAt: begin.Add(3 * time.Second), FinishedAt: begin.Add(63 * time.Second),
	}
	m.Job(ended)
	stopped := ended
	stopped.From, stopped.Result, stopped.StartedAt = signalbox.JobQueued, signalbox.JobStopped, time.Time{} // it never ran
	m.Job(stopped)
	back := started(0)
	back.From, back.To = signalbox.JobOffered, signalbox.JobQueued // nobody fetched it
	m.Job(back)
	early := ended
	early.Result, early.FinishedAt = signalbox.JobPassed, early.StartedAt.Add(-time.Hour) // the clock was set back
	m.Job(early)

	all := scrape(t, m)
	if n, sum := histogram(t, all, "signalbox_job_wait_seconds", "agent_type=s1-linux"); n != 1 || sum != 3 {
		t.Errorf("waits: %d, %v s together; want 1 of 3 s", n, sum)
	}
	if n, sum := histogram(t, all, "signalbox_job_run_seconds", "agent_type=s1-linux", "result=failed"); n != 1 || sum != 60 {
		t.Errorf("runs that failed: %d, %v s together; want 1 of 60 s", n, sum)
	}
	if n, sum := histogram(t, all, "signalbox_job_run_seconds", "agent_type=s1-linux", "result=passed"); n != 1 || sum != 0 {
		t.Errorf("runs that ended before they began: %d, %v s together; want 1 of 0 s", n, sum)
	}
	if s := series(t, all["signalbox_job_run_seconds"], "result=stopped"); s != nil {
		t.Errorf("a job that never ran has a run time: %v", s)
	}
}

func TestCounters(t *testing.T) {
	m := newMetrics(t)
	m.Registered("s1-linux")
	m.Refused(signalbox.RefusedSpent)
	m.Refused(signalbox.RefusedSpent)
	m.Log(joblog.Outcome{Stored: 3, Duplicate: 9, Refused: 2}, 1000)
	m.Sync(time.Millisecond)
	m.Transaction(store.Transaction{Log: true, Write: true, Took: time.Second})
	m.Transaction(store.Transaction{Took: 2 * time.Second})
	all := scrape(t, m)
	for _, c := range []struct {
		name   string
		want   float64
		labels []string
	}{
		{"signalbox_registrations_total", 1, []string{"agent_type=s1-linux"}},
		{"signalbox_registrations_refused_total", 2, []string{"reason=" + string(signalbox.RefusedSpent)}},
		{"signalbox_log_bytes_total", 1000, nil},
		{"signalbox_log_events_total", 3, nil},
		{"signalbox_log_events_refused_total", 2, nil},
	} {
		if got := series(t, all[c.name], c.labels...).GetCounter().GetValue(); got != c.want {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
	if series(t, all["signalbox_build_info"], "version=1.2.3").GetGauge().GetValue() != 1 {
		t.Error("the version is not there")
	}
	if n, _ := histogram(t, all, "signalbox_sync_seconds"); n != 1 {
		t.Errorf("%d syncs", n)
	}
	for _, c := range []struct {
		database, kind string
		n              uint64
		sum            float64
	}{{"main", "read", 1, 2}, {"main", "write", 0, 0}, {"log", "read", 0, 0}, {"log", "write", 1, 1}} {
		if n, sum := histogram(t, all, "signalbox_store_transaction_seconds", "database="+c.database, "kind="+c.kind); n != c.n || sum != c.sum {
			t.Errorf("%s %s: %d, %v s; want %d, %v s", c.database, c.kind, n, sum, c.n, c.sum)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if all[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestJobsAndAgentsAreReadAtEachScrape(t *testing.T) {
	m := newMetrics(t)
	var now []queue.Demand
	var fails error
	if err := m.Watch(func(context.Context) ([]queue.Demand, error) { return now, fails }); err != nil {
		t.Fatal(err)
	}
	now = []queue.Demand{
		{
			AgentType: "s1-linux", Queued: 1, Offered: 2, Running: 3, Desired: 5, Oldest: time.Minute,
			Agents: queue.AgentCount{Free: 6, Busy: 7, Draining: 8, Disabled: 9, Suspect: 10, Aside: 12}, Left: 11, Problems: map[string]int{"disk_low": 2, "made_up": 1, "other_word": 3},
		},
		{Queued: 4},
	}
	m.Job(started(0))
	m.Registered("s1-linux")
	all := scrape(t, m)
	for what, want := range map[string]float64{
		"signalbox_jobs queued": 1, "signalbox_jobs offered": 2, "signalbox_jobs running": 3,
		"signalbox_agents idle": 6, "signalbox_agents busy": 7, "signalbox_agents draining": 8, "signalbox_agents disabled": 9,
		"signalbox_agents suspect": 10, "signalbox_agents disconnected": 11, "signalbox_agents quarantined": 12, "signalbox_agents_desired": 5, "signalbox_queue_oldest_seconds": 60,
	} {
		name, state, _ := strings.Cut(what, " ")
		labels := []string{"agent_type=s1-linux"}
		if state != "" {
			labels = append(labels, "state="+state)
		}
		if got := series(t, all[name], labels...).GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	for problem, want := range map[string]float64{"disk_low": 2, "clock_off": 0, "other": 4} {
		if got := series(t, all["signalbox_agents_with_problems"], "agent_type=s1-linux", "problem="+problem).GetGauge().GetValue(); got != want {
			t.Errorf("%v agents with %s, want %v", got, problem, want)
		}
	}
	if got := series(t, all["signalbox_jobs"], "agent_type=unknown", "state=queued").GetGauge().GetValue(); got != 4 {
		t.Errorf("%v jobs are queued for types that do not exist, want 4", got)
	}
	if series(t, all["signalbox_agents_desired"], "agent_type=unknown") != nil {
		t.Error("agents of a type that does not exist are wanted")
	}

	// The store is away: what is counted in memory is still shown, and nobody is told that there are no jobs.
	fails = errors.New("away")
	all = scrape(t, m)
	if all["signalbox_jobs"] != nil || all["signalbox_store_up"].GetMetric()[0].GetGauge().GetValue() != 0 || all["signalbox_job_wait_seconds"] == nil {
		t.Errorf("without the store: %v, %v", all["signalbox_jobs"], all["signalbox_store_up"])
	}
	// An agent type was deleted: its series go.
	fails, now = nil, now[1:]
	scrape(t, m)
	all = scrape(t, m) // histograms may have been collected before they were forgotten
	for _, name := range []string{"signalbox_job_wait_seconds", "signalbox_registrations_total", "signalbox_agents"} {
		if all[name] != nil {
			t.Errorf("series of a deleted type are left: %v", all[name])
		}
	}
	if all["signalbox_store_up"].GetMetric()[0].GetGauge().GetValue() != 1 {
		t.Error("the store is still away")
	}
}

func TestARegistryIsNeeded(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("metrics without a registry would be global")
	}
	r := NewRegistry()
	if _, err := New(Options{Registry: r}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Registry: r}); err == nil {
		t.Error("two servers share a registry")
	}
}

func TestScrapesAtOnceAreBounded(t *testing.T) {
	m := newMetrics(t)
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	if err := m.Watch(func(context.Context) ([]queue.Demand, error) {
		entered <- struct{}{}
		<-leave
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	h := m.Handler()
	done := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			done <- w.Code
		}()
	}
	for range maxScrapes {
		<-entered
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 503 {
		t.Errorf("one more scrape than allowed: %d", w.Code)
	}
	close(leave)
	for range maxScrapes {
		if code := <-done; code != 200 {
			t.Errorf("%d", code)
		}
	}
}
