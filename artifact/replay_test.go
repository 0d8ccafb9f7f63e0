package artifact_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// recording is one run of the official artifact command line against a server that satisfied it.
type recording struct {
	name   string
	server string // "fault" when that server misbehaved on purpose, "no-request" when the client asked nothing
	before map[string]string
	after  []string
	lines  []exchange
}

type exchange struct {
	Meta *struct {
		Server string            `json:"server"`
		Before map[string]string `json:"stored_before"`
		After  []string          `json:"stored_after"`
	} `json:"meta"`
	Req *struct {
		Method  string            `json:"method"`
		Path    string            `json:"path"`
		Query   map[string]string `json:"query"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"req"`
	Resp struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"resp"`
}

func recordings(t *testing.T) (out []recording) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) < 30 {
		t.Fatalf("only %d recordings: %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r := recording{name: strings.TrimSuffix(filepath.Base(f), ".jsonl")}
		for line := range strings.Lines(string(b)) {
			var x exchange
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if x.Meta != nil {
				r.server, r.before, r.after = x.Meta.Server, x.Meta.Before, x.Meta.After
			} else if x.Req != nil {
				r.lines = append(r.lines, x)
			}
		}
		out = append(out, r)
	}
	return out
}

// differences reads the page that lists what we answer otherwise on purpose: "recording: recorded became ours".
func differences(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("../docs/design/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `artifact/([a-z0-9*-]+)` \\| ([^|]+) \\| ([^|]+) \\| .+ \\|$").FindAllStringSubmatch(string(b), -1) {
		out[m[1]+": "+strings.Trim(m[2], "`")+" became "+strings.Trim(m[3], "`")] = true
	}
	if len(out) == 0 {
		t.Fatal("no line of the page could be read")
	}
	return out
}

// Ids in the recordings.
const (
	recordedJob      = "7c0ffee0-0000-4000-8000-000000000001"
	recordedOther    = "7c0ffee0-0000-4000-8000-000000000002"
	recordedWorkflow = "f10f10f1-0000-4000-8000-000000000001"
	recordedProject  = "b1a2c3d4-0000-4000-8000-000000000001"
)

func TestTheOfficialArtifactCommandLineIsServed(t *testing.T) {
	listed := differences(t)
	found := map[string]bool{}
	n := 0
	for _, rec := range recordings(t) {
		t.Run(rec.name, func(t *testing.T) {
			if rec.server == "fault" || rec.server == "no-request" {
				t.Logf("not replayed: %s", rec.server)
				return
			}
			n++
			for _, d := range replay(t, rec) {
				one, all := rec.name+": "+d, "*: "+d
				switch {
				case listed[one]:
					found[one] = true
				case listed[all]:
					found[all] = true
				default:
					t.Errorf("a difference that is not listed: %s", d)
				}
			}
		})
	}
	if n < 20 {
		t.Errorf("only %d recordings were replayed", n)
	}
	for d := range listed {
		if !found[d] {
			t.Errorf("listed, but there is no such difference: %s", d)
		}
	}
}

// replay sends what was recorded, follows the URLs that our server hands out, and returns in what its answers differ.
func replay(t *testing.T, rec recording) []string {
	w := newWorld(t)
	mine := strings.NewReplacer(recordedJob, w.jobs[0].ID, recordedOther, w.jobs[1].ID, recordedWorkflow, w.flow.ID, recordedProject, w.project.ID)
	for path, content := range rec.before {
		w.push(0, mine.Replace(path), content)
	}
	differ := map[string]bool{}
	note := func(recorded, here any) {
		if r, h := fmt.Sprint(recorded), fmt.Sprint(here); r != h {
			differ[r+" became "+h] = true
		}
	}
	var ours, theirs []signed
	asked := ""
	for _, x := range rec.lines {
		if x.Req.Path == "/api/v1/artifacts" {
			token := w.token(0)
			if x.Resp.Status == 401 {
				token = "a token that is not valid"
			}
			var body struct {
				Paths []string `json:"paths"`
			}
			w.must(json.Unmarshal(x.Req.Body, &body))
			a := w.call("POST", w.base+x.Req.Path, strings.NewReader(mine.Replace(string(x.Req.Body))+"\n"), "Authorization", token)
			note(x.Resp.Status, a.status)
			if ct := x.Resp.Headers["Content-Type"]; ct != "" {
				note(ct, a.header.Get("Content-Type"))
			}
			compareBodies(t, x.Resp.Body, a.body)
			if a.status != 200 || x.Resp.Status != 200 {
				continue
			}
			if ours, theirs = w.urls(a), recorded(t, x.Resp.Body); len(ours) != len(theirs) {
				t.Fatalf("%d URLs, recorded %d", len(ours), len(theirs))
			}
			if len(body.Paths) > 0 {
				asked = body.Paths[0]
			}
			for i := range ours {
				compareURLs(t, note, theirs[i], ours[i], asked, mine)
			}
			continue
		}
		// The client follows the URL that it was given, whatever it looks like.
		i := slices.IndexFunc(theirs, func(s signed) bool {
			u, err := url.Parse(strings.ReplaceAll(s.URL, "{{HOST}}", "host"))
			return err == nil && u.EscapedPath() == x.Req.Path && s.Method == x.Req.Method
		})
		if i < 0 {
			t.Fatalf("%s %s was not handed out", x.Req.Method, x.Req.Path)
		}
		var content string
		if x.Req.Method == "PUT" && len(x.Req.Body) > 0 {
			w.must(json.Unmarshal(x.Req.Body, &content))
		}
		if rec.name == "push-store-403" {
			w.late.Store(int64(7 * time.Hour)) // the URL has expired
		}
		a := w.use(ours[i], content)
		note(x.Resp.Status, a.status)
		if ct := x.Resp.Headers["Content-Type"]; ct != "" {
			note(ct, a.header.Get("Content-Type"))
		}
		if x.Req.Method == "GET" {
			var want string
			w.must(json.Unmarshal(x.Resp.Body, &want))
			if a.body != want {
				t.Errorf("GET %s: %q, recorded %q", x.Req.Path, a.body, want)
			}
		}
	}
	w.late.Store(0)
	w.checkStored(rec.after, mine)
	return slices.Collect(maps.Keys(differ))
}

func recorded(t *testing.T, body json.RawMessage) []signed {
	t.Helper()
	var out struct {
		URLs []signed `json:"urls"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out.URLs
}

// compareBodies checks that every field of a recorded answer is there with the same JSON type.
func compareBodies(t *testing.T, want json.RawMessage, got string) {
	t.Helper()
	var w, g map[string]any
	if len(want) == 0 || json.Unmarshal(want, &w) != nil {
		return
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	for k, v := range w {
		if fmt.Sprintf("%T", v) != fmt.Sprintf("%T", g[k]) {
			t.Errorf("field %s is %T, recorded as %T", k, g[k], v)
		}
	}
	if c, ok := w["code"]; ok && c != g["code"] {
		t.Errorf("code %v, recorded %v", g["code"], c)
	}
}

// compareURLs compares what a client can see of two signed URLs, and where it would put what it pulls.
func compareURLs(t *testing.T, note func(recorded, here any), theirs, ours signed, asked string, mine *strings.Replacer) {
	t.Helper()
	if theirs.Method != ours.Method {
		t.Errorf("method %s, recorded %s", ours.Method, theirs.Method)
	}
	theirs.URL = strings.NewReplacer("{{HOST}}", "host", "{{SIGNATURE}}", "s").Replace(theirs.URL)
	a, err := url.Parse(theirs.URL)
	if err != nil {
		t.Fatal(err)
	}
	b, err := url.Parse(ours.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, object, ok := strings.Cut(b.Path, "/artifacts/")
	if _, want, _ := strings.Cut(mine.Replace(a.Path), "/artifacts/"); !ok || object != want {
		t.Errorf("object %s, recorded %s", object, want)
	}
	shape := func(u *url.URL) string {
		before, _, _ := strings.Cut(u.Path, "/artifacts/")
		if p := strings.SplitN(before, "/", 4); len(p) == 4 {
			before = strings.Join(p[:3], "/") + "/{project}"
		}
		return before
	}
	note(shape(a), shape(b))
	names := func(u *url.URL) string { return strings.Join(slices.Sorted(maps.Keys(u.Query())), ", ") }
	note(names(a), names(b))
	if ours.Method == "GET" {
		want, got := pulledAs(t, theirs.URL, asked), pulledAs(t, ours.URL, mine.Replace(asked))
		if got != want {
			t.Errorf("it would be put at %q, recorded %q", got, want)
		}
	}
}

// checkStored checks that exactly the recorded files are there in the end.
func (w *world) checkStored(after []string, mine *strings.Replacer) {
	w.Helper()
	want := map[string]string{}
	for _, line := range after {
		path, size, _ := strings.Cut(strings.TrimSuffix(line, " bytes)"), " (")
		want[mine.Replace(path)] = size
	}
	for _, scope := range []string{"jobs/" + w.jobs[0].ID, "workflows/" + w.flow.ID, "projects/" + w.project.ID} {
		for path := range want {
			if strings.HasPrefix(path, "artifacts/"+scope+"/") {
				if got := fmt.Sprint(len(w.content(0, path))); got != want[path] {
					w.Errorf("%s has %s bytes, recorded %s", path, got, want[path])
				}
			}
		}
	}
	if n := w.countFiles(); n != len(want) {
		w.Errorf("%d files are stored, recorded %d", n, len(want))
	}
}
