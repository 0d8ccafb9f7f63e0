package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/store"
)

// A recording is one run of the official command line against a server that satisfied it.
type recording struct {
	name      string
	exchanges []exchange
}

type exchange struct {
	Req *struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Query   map[string]any    `json:"query"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"req"`
	Resp struct {
		Status int `json:"status"`
		Body   any `json:"body"`
	} `json:"resp"`
}

func recordings(t *testing.T) []recording {
	files, err := filepath.Glob("testdata/sem/*.jsonl")
	if err != nil || len(files) < 30 {
		t.Fatalf("only %d recordings: %v", len(files), err)
	}
	var out []recording
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rec := recording{name: strings.TrimSuffix(filepath.Base(f), ".jsonl")}
		for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			var x exchange
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if x.Req != nil {
				rec.exchanges = append(rec.exchanges, x)
			}
		}
		out = append(out, rec)
	}
	return out
}

// differences reads the page that lists on purpose what we answer otherwise: recording to status.
func differences(t *testing.T) map[string]string {
	b, err := os.ReadFile("../docs/design/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `sem/([a-z0-9-]+)` \\| (\\d+) \\| (\\d+) \\| .+ \\|$").FindAllStringSubmatch(string(b), -1) {
		out[m[1]] = m[2] + " became " + m[3]
	}
	if len(out) == 0 {
		t.Fatal("no line of the page could be read")
	}
	return out
}

func TestTheOfficialCommandLineIsServed(t *testing.T) {
	known := differences(t)
	fields := requiredFields(t)
	for _, rec := range recordings(t) {
		t.Run(rec.name, func(t *testing.T) {
			w := newWorld(t)
			prepare(w, rec.name)
			found := ""
			for _, x := range rec.exchanges {
				a, path := w.send(x)
				if strings.HasSuffix(path, "/debug") {
					w.runDebug(a)
				}
				if a.status != x.Resp.Status {
					found = fmt.Sprintf("%d became %d", x.Resp.Status, a.status)
					if known[rec.name] != found {
						t.Errorf("%s %s: status %d, recorded %d\n%s", x.Req.Method, path, a.status, x.Resp.Status, a.body)
					}
					continue
				}
				if a.status != 200 {
					continue
				}
				var got any
				if a.body != "" {
					got = w.expect(200, a)
				}
				for _, problem := range compare("", x.Resp.Body, got) {
					t.Errorf("%s %s: %s\n%s", x.Req.Method, path, problem, a.body)
				}
				checkRequired(t, fields, x.Req.Method, x.Req.Path, got)
			}
			if known[rec.name] != found {
				t.Errorf("listed as %q, but it is %q", known[rec.name], found)
			}
		})
	}
}

// prepare makes the state that a recording began with.
func prepare(w *world, name string) {
	if strings.HasPrefix(name, "create-agent-type") || name == "init" {
		return
	}
	w.fill()
	w.keepSecret(name)
	w.keepTarget(name)
	switch name {
	case "delete-agent-type", "get-agents-of-type":
		w.write(func(tx *store.Tx) error {
			for _, g := range w.agents {
				from := g.AttemptID
				g.GoneAt = tx.Now
				if err := tx.UpdateAgent(g, from, "test", "left", ""); err != nil {
					return err
				}
			}
			return nil
		})
	case "get-task", "get-tasks", "run-task", "run-task-400", "run-task-params":
		w.git(w.dir, "branch", "dev", "main")
		w.write(func(tx *store.Tx) error {
			return schedule.Create(tx, &signalbox.Task{
				ID: "7a5c0000-0000-4000-8000-000000000001", ProjectID: w.project.ID, Name: "nightly", Recurring: true, At: "0 3 * * *", Ref: "main",
				PipelineFile: signalbox.DefaultPipelineFile, Owner: "ann",
				Parameters: []signalbox.TaskParameter{{Name: "LEVEL", Required: true, Default: "1", Options: []string{"1", "2"}}},
			}, "user:ann")
		})
		if name == "get-task" {
			w.expect(200, w.call("POST", "/api/v1alpha/tasks/7a5c0000-0000-4000-8000-000000000001/run_now", ""))
		}
	case "get-pipeline", "get-pipelines", "attach-finished", "rebuild-pipeline":
		w.finish(signalbox.JobFailed)
	}
}

// keepSecret makes the secret aws of the recordings that read, change or remove it.
func (w *world) keepSecret(name string) {
	w.Helper()
	if !strings.Contains(name, "secret") || strings.HasPrefix(name, "create") && name != "create-secret-duplicate" || name == "get-secret-404" {
		return
	}
	s := &signalbox.Secret{Name: "aws", EnvVars: []signalbox.SecretVar{{Name: "A", Value: signalbox.NewSecretValue("b")}}}
	if strings.Contains(name, "project-secret") {
		s.ProjectID = w.project.ID
	}
	if err := w.secrets.Create(w.Context(), s, "user:ann"); err != nil {
		w.Fatal(err)
	}
	w.secret = s.ID
}

// runDebug gives the debug job that was just started to the free agent.
func (w *world) runDebug(a answer) {
	w.Helper()
	w.debug = w.expect(200, a).(map[string]any)["metadata"].(map[string]any)["id"].(string)
	w.write(func(tx *store.Tx) error {
		j, err := tx.Job(w.debug)
		if err != nil {
			return err
		}
		at, err := engine.Offer(tx, j, w.agents[0], "dispatch")
		if err != nil {
			return err
		}
		_, _, err = engine.Fetched(tx, at.ID, "agent:golden-agent-1")
		return err
	})
}

// finish ends all jobs, the first with a result.
func (w *world) finish(result signalbox.JobResult) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		if err := w.en.Finish(tx, w.attempt.ID, result, signalbox.ReasonNone, "", "agent:golden-agent-2"); err != nil {
			return err
		}
		return w.en.StopJob(tx, w.jobs[1].ID, "user:ann", signalbox.ReasonUser)
	})
}

// send sends a recorded request with our ids, tokens and repository in the place of the recorded ones.
func (w *world) send(x exchange) (answer, string) {
	old := []string{"{{USER_TOKEN}}", w.token, "git@git.example.com:me/demo.git", w.dir}
	if w.project != nil {
		old = append(old, "b1a2c3d4-0000-4000-8000-000000000001", w.project.ID, "f10f10f1-0000-4000-8000-000000000001", w.flow.ID,
			"e1e1e1e1-0000-4000-8000-000000000001", w.ppl.ID, "7c0ffee0-0000-4000-8000-000000000001", w.jobs[0].ID,
			"7c0ffee0-0000-4000-8000-000000000002", w.jobs[1].ID, "7c0ffee0-0000-4000-8000-00000000000d", w.debug,
			"5ec0e700-0000-4000-8000-000000000001", w.secret, "de910000-0000-4000-8000-000000000001", w.target)
	}
	if w.flow != nil && x.Resp.Status == 404 { // what is asked for is not there
		old = append([]string{"f10f10f1-0000-4000-8000-000000000001", "f10f10f1-0000-4000-8000-00000000dead"}, old...)
	}
	mine := strings.NewReplacer(old...)
	q := url.Values{}
	for k, v := range x.Req.Query {
		switch v := v.(type) {
		case string:
			q.Add(k, mine.Replace(v))
		case []any:
			for _, e := range v {
				q.Add(k, fmt.Sprint(e))
			}
		}
	}
	if q.Has("created_after") { // 90 days back from the recording's now
		q.Set("created_after", fmt.Sprint(epoch.Unix()-90*86400))
		q.Set("created_before", fmt.Sprint(epoch.Unix()))
	}
	path := mine.Replace(x.Req.Path)
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var header []string
	for k, v := range x.Req.Headers {
		if k != "Accept-Encoding" && k != "Content-Length" {
			header = append(header, k, mine.Replace(v))
		}
	}
	return w.call(x.Req.Method, path, mine.Replace(string(x.Req.Body)), header...), path
}

// compare reports where got has another JSON type than want, and what of want is missing.
func compare(at string, want, got any) []string {
	if want == nil || got == nil {
		return nil
	}
	if kind(want) != kind(got) {
		if at == ".[].triggered_by" {
			return nil // a word where a number was recorded: no client reads it
		}
		return []string{fmt.Sprintf("%s is of kind %s, recorded as %s", at, kind(got), kind(want))}
	}
	var out []string
	switch want := want.(type) {
	case map[string]any:
		got := got.(map[string]any)
		for k, v := range want {
			if g, ok := got[k]; ok {
				out = append(out, compare(at+"."+k, v, g)...)
			}
		}
	case []any:
		if got := got.([]any); len(want) > 0 && len(got) > 0 {
			out = compare(at+".[]", want[0], got[0])
		}
	}
	return out
}

func kind(v any) string {
	switch v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "bool"
	}
	return "null"
}

type requirement struct {
	method   string
	path     *regexp.Regexp
	required map[string]string
}

// requiredFields reads what the official command line breaks without.
func requiredFields(t *testing.T) []requirement {
	b, err := os.ReadFile("testdata/load-bearing.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Request  string            `json:"request"`
		Required map[string]string `json:"required"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	var out []requirement
	for _, e := range list {
		method, path, _ := strings.Cut(e.Request, " ")
		path, _, _ = strings.Cut(path, "?")
		re := regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+")
		out = append(out, requirement{method, regexp.MustCompile("^" + re + "$"), e.Required})
	}
	return out
}

func checkRequired(t *testing.T, all []requirement, method, path string, got any) {
	t.Helper()
	for _, r := range all {
		if r.method != method || !r.path.MatchString(path) {
			continue
		}
		for field, want := range r.required {
			values := pick(got, strings.Split(strings.ReplaceAll(field, "[]", ".[]"), "."))
			for _, v := range values {
				if !fits(want, v) {
					t.Errorf("%s %s: %s is %v, must be %s", method, path, field, v, want)
				}
			}
		}
	}
}

// missing stands for a field that is not there.
type missing struct{}

// pick returns all values at a path; an empty list gives none.
func pick(v any, path []string) []any {
	for len(path) > 0 && path[0] == "" {
		path = path[1:]
	}
	if len(path) == 0 {
		return []any{v}
	}
	if path[0] == "[]" {
		list, ok := v.([]any)
		if !ok {
			return []any{missing{}}
		}
		var out []any
		for _, e := range list {
			out = append(out, pick(e, path[1:])...)
		}
		return out
	}
	m, ok := v.(map[string]any)
	if !ok {
		return []any{missing{}}
	}
	e, ok := m[path[0]]
	if !ok {
		return []any{missing{}}
	}
	return pick(e, path[1:])
}

func fits(want string, v any) bool {
	switch {
	case want == "unix seconds as string":
		s, ok := v.(string)
		return ok && regexp.MustCompile(`^\d+$`).MatchString(s)
	case want == "lower case string":
		s, ok := v.(string)
		return ok && s == strings.ToLower(s)
	case want == "object or null":
		return v == nil || kind(v) == "object"
	case strings.Contains(want, "number"), want == "int", want == "int32":
		f, ok := v.(float64)
		return ok && f == float64(int32(f))
	case strings.HasPrefix(want, "string"):
		_, ok := v.(string)
		return ok
	case want == "object", want == "array", want == "bool":
		return kind(v) == want
	case strings.Contains(want, "|"):
		s, ok := v.(string)
		return ok && slices.Contains(strings.Split(want, "|"), s)
	}
	return false
}
