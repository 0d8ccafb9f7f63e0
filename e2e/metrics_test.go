package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// scrape reads the metrics of the yard's server as Prometheus does, with the token of a viewer.
func (y *yard) scrape(token string) (string, map[string]*dto.MetricFamily) {
	y.Helper()
	text := y.get("/metrics", token)
	p := expfmt.NewTextParser(model.UTF8Validation)
	found, err := p.TextToMetricFamilies(bytes.NewReader([]byte(text)))
	if err != nil {
		y.Fatal(err)
	}
	return text, found
}

// Real jobs on a real agent show up with their times, and nothing that is a secret or grows with jobs or agents does.
func TestMetricsOfRealJobs(t *testing.T) {
	y := newYard(t)
	viewer, hash := auth.NewToken(auth.TokenAPI)
	y.write(func(tx *store.Tx) error {
		u := &signalbox.User{Name: "prometheus", Role: signalbox.RoleViewer}
		if err := tx.CreateUser(u); err != nil {
			return err
		}
		return tx.CreateAPIToken(&signalbox.APIToken{UserID: u.ID, Name: "test"}, hash, "test")
	})
	agent := y.agentCommand("first-agent")
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Signal(os.Interrupt); _ = agent.Wait() })
	jobs := []string{y.queue("echo a-line-of-the-log", "sleep 1"), y.queue("false")}
	for i, want := range []signalbox.JobResult{signalbox.JobPassed, signalbox.JobFailed} {
		if j := y.finish(jobs[i], time.Minute); j.Result != want {
			t.Fatalf("job %d ended %s %s", i, j.Result, j.FailureReason)
		}
	}
	text, all := y.scrape(viewer)
	histogram := func(name string, labels ...string) *dto.Histogram {
		t.Helper()
		for _, m := range all[name].GetMetric() {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetName()+"="+l.GetValue())
			}
			if slices.Equal(has, labels) {
				return m.GetHistogram()
			}
		}
		t.Fatalf("no %s %v", name, labels)
		return nil
	}
	if h := histogram("signalbox_job_wait_seconds", "agent_type="+yardType); h.GetSampleCount() != 2 {
		t.Errorf("%d waits, want 2", h.GetSampleCount())
	}
	passed := histogram("signalbox_job_run_seconds", "agent_type="+yardType, "result=passed")
	j := y.job(jobs[0])
	if ran := j.FinishedAt.Sub(j.StartedAt).Seconds(); passed.GetSampleCount() != 1 || passed.GetSampleSum() < 1 || passed.GetSampleSum() != ran {
		t.Errorf("%d passed in %v s together, want 1 in %v s", passed.GetSampleCount(), passed.GetSampleSum(), ran)
	}
	if h := histogram("signalbox_job_run_seconds", "agent_type="+yardType, "result=failed"); h.GetSampleCount() != 1 {
		t.Errorf("%d failed, want 1", h.GetSampleCount())
	}
	if h := histogram("signalbox_sync_seconds"); h.GetSampleCount() < 4 || h.GetSampleSum() > 2 {
		t.Errorf("%d syncs took %v s: held time counts", h.GetSampleCount(), h.GetSampleSum())
	}
	for _, name := range []string{"signalbox_log_bytes_total", "signalbox_log_events_total"} {
		if n := all[name].GetMetric()[0].GetCounter().GetValue(); n < 10 {
			t.Errorf("%s is %v", name, n)
		}
	}
	for _, hidden := range []string{y.token, viewer, jobs[0], jobs[1], "first-agent", "a-line-of-the-log", `"` + y.project.Name + `"`, y.project.ID} {
		if strings.Contains(text, hidden) {
			t.Errorf("%q is in the metrics", hidden)
		}
	}
	allowed := map[string]bool{
		"agent_type": true, "state": true, "result": true, "reason": true, "problem": true, "database": true, "kind": true, "version": true, "go_version": true, "quantile": true,
	}
	for name, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !allowed[l.GetName()] {
					t.Errorf("%s has a label %s: is the number of its values bounded?", name, l.GetName())
				}
			}
		}
	}
	checkDeployed(t, all)
	checkDocumented(t, all)
}

// checkDeployed holds every expression of the dashboard and of the alerts against a scrape.
func checkDeployed(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	read := func(file string) []byte {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var board struct {
		UID           string
		SchemaVersion int
		Panels        []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
	}
	if err := json.Unmarshal(read("../deploy/grafana/signalbox.json"), &board); err != nil {
		t.Fatal(err)
	}
	known, ids := []string{"__rate_interval"}, map[int]bool{}
	for _, v := range board.Templating.List {
		known = append(known, v.Name)
		if q, ok := v.Query.(map[string]any); ok {
			checkExpression(t, "the variable "+v.Name, q["query"].(string), all, nil)
		}
	}
	panels := 0
	for i, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d (%q): its id, title or place is wrong", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, o := range board.Panels[:i] {
			if a, b := p.GridPos, o.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q lie over one another", p.Title, o.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		panels++
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkExpression(t, "panel "+p.Title, target.Expr, all, known)
		}
	}
	if board.UID == "" || board.SchemaVersion < 30 || panels < 15 {
		t.Errorf("uid %q, schema %d, %d panels", board.UID, board.SchemaVersion, panels)
	}

	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Load(read("../deploy/prometheus/signalbox-alerts.yml"), &rules); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("rule %d has no name, severity or summary", n)
			}
			if r.For != "" {
				if _, err := time.ParseDuration(r.For); err != nil {
					t.Errorf("%s: %v", r.Alert, err)
				}
			}
			checkExpression(t, "alert "+r.Alert, r.Expr, all, nil)
		}
	}
	if n < 8 {
		t.Errorf("%d alerts", n)
	}
	var config map[string]any
	if err := yaml.Load(read("../deploy/prometheus/scrape.yml"), &config); err != nil || config["scrape_configs"] == nil {
		t.Errorf("%v %v", config, err)
	}
}

var (
	exprSelector = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\{([^}]*)\}`)
	exprMatcher  = regexp.MustCompile(`([a-zA-Z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	exprGroup    = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\(([^)]*)\)`)
	exprWord     = regexp.MustCompile(`\$?[a-zA-Z_][a-zA-Z0-9_]*\s*\(?`)
	exprRange    = regexp.MustCompile(`\[[^\]]*\]`)
)

// ofPrometheus is what Prometheus itself adds to every scrape.
var ofPrometheus = []string{"job", "instance", "up", "le"}

// checkExpression checks that the metrics an expression names exist, and so do their labels and the values of those that
// have a fixed set.
func checkExpression(t *testing.T, where, expr string, all map[string]*dto.MetricFamily, variables []string) {
	t.Helper()
	for _, v := range regexp.MustCompile(`\$([a-zA-Z_]+)`).FindAllStringSubmatch(expr, -1) {
		if !slices.Contains(variables, v[1]) {
			t.Errorf("%s: there is no variable %s", where, v[0])
		}
	}
	if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
		t.Errorf("%s: brackets do not match in %s", where, expr)
	}
	family := func(name string) *dto.MetricFamily {
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			if f := all[strings.TrimSuffix(name, suffix)]; f != nil && strings.HasSuffix(name, suffix) && (suffix == "" || f.GetType() == dto.MetricType_HISTOGRAM) {
				return f
			}
		}
		return nil
	}
	values := func(f *dto.MetricFamily, label string) (out []string) {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					out = append(out, l.GetValue())
				}
			}
		}
		return out
	}
	for _, s := range exprSelector.FindAllStringSubmatch(expr, -1) {
		for _, m := range exprMatcher.FindAllStringSubmatch(s[2], -1) {
			if slices.Contains(ofPrometheus, m[1]) {
				continue
			}
			there := values(family(s[1]), m[1])
			if len(there) == 0 {
				t.Errorf("%s: %s has no label %s", where, s[1], m[1])
			}
			for _, v := range strings.Split(m[3], "|") {
				if !strings.Contains(v, "$") && !slices.Contains(there, v) {
					t.Errorf("%s: %s has no %s=%q", where, s[1], m[1], v)
				}
			}
		}
	}
	rest := exprRange.ReplaceAllString(exprSelector.ReplaceAllString(expr, "$1 "), " ")
	var metrics []string
	for _, w := range exprWord.FindAllString(exprGroup.ReplaceAllString(rest, " "), -1) {
		name := strings.TrimSpace(w)
		if strings.HasSuffix(name, "(") || name == "unless" || name == "job" || name == "agent_type" || slices.Contains(ofPrometheus, name) {
			continue
		}
		metrics = append(metrics, name)
		if family(name) == nil {
			t.Errorf("%s: there is no metric %s", where, name)
		}
	}
	if len(metrics) == 0 && !strings.Contains(expr, "up{") {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, g := range exprGroup.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.Split(g[2], ",") {
			label = strings.TrimSpace(label)
			ok := slices.Contains(ofPrometheus, label)
			for _, m := range metrics {
				ok = ok || len(values(family(m), label)) > 0
			}
			if !ok {
				t.Errorf("%s: nothing has a label %s", where, label)
			}
		}
	}
}

// checkDocumented holds the page that lists our metrics against a scrape, both ways.
func checkDocumented(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(signalbox_[a-z_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(string(page), -1) {
		listed[m[1]] = m[2]
	}
	for name, f := range all {
		if !strings.HasPrefix(name, "signalbox_") {
			continue
		}
		if kind := strings.ToLower(f.GetType().String()); listed[name] != kind {
			t.Errorf("docs/metrics.md lists %s as %q, it is a %s", name, listed[name], kind)
		}
		delete(listed, name)
	}
	if len(listed) > 0 {
		t.Errorf("docs/metrics.md lists what is not there: %v", listed)
	}
}

// get asks the yard's server for something that must be there.
func (y *yard) get(path, token string) string {
	y.Helper()
	r, err := http.NewRequestWithContext(y.Context(), http.MethodGet, y.server.URL()+path, nil)
	if err != nil {
		y.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	client := trusting(y, y.server.CAFile(), 1)
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err != nil {
		y.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		y.Fatalf("GET %s: %d %s (%v)", path, res.StatusCode, b, err)
	}
	return string(b)
}
