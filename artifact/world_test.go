package artifact_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// world is a whole server with a project of which two jobs run.
type world struct {
	*testing.T
	dir     string
	base    string
	st      *store.Store
	keys    *auth.Keyring
	project *signalbox.Project
	flow    *signalbox.Workflow
	jobs    []*signalbox.Job
	tries   []*signalbox.Attempt
	late    atomic.Int64 // by how much the server's clock is ahead
}

func databases(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.PostgresURL(t)) })
}

func newWorld(t *testing.T, change ...func(*server.Options)) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	o := server.Options{
		Dir: w.dir, Listen: "127.0.0.1:0", Insecure: true,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.late.Load())) },
	}
	for _, c := range change {
		c(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.New(ctx, o)
	w.must(err)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	w.base, w.st = s.URL(), s.Store()
	w.keys, err = auth.OpenKeyring(w.dir)
	w.must(err)
	w.fill()
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	w.must(w.st.Write(context.Background(), fn))
}

func (w *world) fill() {
	w.Helper()
	w.project = &signalbox.Project{Name: "demo", GitURL: "u", PipelineFile: "f"}
	w.write(func(tx *store.Tx) error { return tx.CreateProject(w.project, "test") })
	w.flow = w.workflow()
	for range 2 {
		w.start(w.flow)
	}
}

func (w *world) workflow() *signalbox.Workflow {
	w.Helper()
	f := &signalbox.Workflow{ProjectID: w.project.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main", CommitSHA: "0123", TriggeredBy: signalbox.TriggeredByAPI, RequestToken: signalbox.NewID()}
	w.write(func(tx *store.Tx) error { _, _, err := tx.CreateWorkflow(f, "test"); return err })
	return f
}

// start makes a job of a workflow with a running attempt and returns its number.
func (w *world) start(f *signalbox.Workflow) int {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		p := &signalbox.Pipeline{WorkflowID: f.ID, ProjectID: f.ProjectID, Name: "p", File: "f", QueueKey: signalbox.NewID(), State: signalbox.PipelineDone}
		if err := tx.CreatePipeline(p, "test"); err != nil {
			return err
		}
		b := &signalbox.Block{PipelineID: p.ID, Name: "b", State: signalbox.BlockRunning}
		if err := tx.CreateBlock(b); err != nil {
			return err
		}
		j := &signalbox.Job{BlockID: b.ID, PipelineID: p.ID, WorkflowID: f.ID, ProjectID: f.ProjectID, Name: "j", AgentType: "s1-x", State: signalbox.JobRunning}
		if err := tx.CreateJob(j, "test"); err != nil {
			return err
		}
		a := &signalbox.Attempt{JobID: j.ID, N: 1, AgentID: signalbox.NewID(), State: signalbox.AttemptRunning}
		w.jobs, w.tries = append(w.jobs, j), append(w.tries, a)
		return tx.CreateAttempt(a, "test")
	})
	return len(w.jobs) - 1
}

func (w *world) end(job int) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		a := *w.tries[job]
		a.State = signalbox.AttemptEnded
		return tx.UpdateAttempt(&a, signalbox.AttemptRunning, "test", "ended", "")
	})
}

func (w *world) token(job int) string {
	return w.keys.AttemptToken(auth.AttemptArtifact, w.tries[job].ID, 0)
}

// own is a path among the artifacts of a job.
func (w *world) own(job int, path string) string {
	return "artifacts/jobs/" + w.jobs[job].ID + "/" + path
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) call(method, address string, body io.Reader, headers ...string) answer {
	w.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, address, body)
	w.must(err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	w.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	w.must(err)
	return answer{res.StatusCode, res.Header, string(b)}
}

type signed struct {
	URL    string `json:"url"`
	Method string `json:"method"`
}

func (w *world) ask(token string, kind any, paths ...string) answer {
	w.Helper()
	m := map[string]any{"type": kind}
	if paths != nil {
		m["paths"] = paths
	}
	b, err := json.Marshal(m)
	w.must(err)
	var h []string
	if token != "" {
		h = []string{"Authorization", token}
	}
	return w.call("POST", w.base+"/api/v1/artifacts", bytes.NewReader(b), h...)
}

// sign asks for URLs and must get them.
func (w *world) sign(job int, kind any, paths ...string) []signed {
	w.Helper()
	a := w.ask(w.token(job), kind, paths...)
	return w.urls(a)
}

func (w *world) urls(a answer) []signed {
	w.Helper()
	var out struct {
		URLs []signed `json:"urls"`
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != 200 {
		w.Fatalf("%d %s", a.status, a.body)
	}
	return out.URLs
}

func (w *world) use(s signed, body string, headers ...string) answer {
	w.Helper()
	var r io.Reader
	if s.Method == "PUT" {
		r = strings.NewReader(body)
		if body == "" {
			r = http.NoBody
		}
	}
	return w.call(s.Method, s.URL, r, headers...)
}

// push stores a file, replacing what is there.
func (w *world) push(job int, path, content string) {
	w.Helper()
	if a := w.use(w.sign(job, 1, path)[0], content); a.status != 200 {
		w.Fatalf("push %s: %d %s", path, a.status, a.body)
	}
}

// content is what the bytes of a single file are, "404" when there is none.
func (w *world) content(job int, path string) string {
	w.Helper()
	a := w.ask(w.token(job), 2, path)
	if a.status == 404 {
		return "404"
	}
	urls := w.urls(a)
	if len(urls) != 1 {
		w.Fatalf("%s is %d files", path, len(urls))
	}
	got := w.use(urls[0], "")
	if got.status != 200 {
		w.Fatalf("GET %s: %d %s", path, got.status, got.body)
	}
	return got.body
}

var objectStore = regexp.MustCompile(`https://[a-z0-9-.]+/[a-z0-9-]+/[a-z0-9-]+/([^?]*)\?`)

// pulledAs is where the official client would put what it gets from a URL, below the place it was told. The client
// parses the URL, prints it again and looks for the address of an object store in it.
func pulledAs(t *testing.T, address, asked string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(u.Host, "127.0.0.1") {
		return strings.TrimPrefix(u.Path, "/")[len(asked):]
	}
	m := objectStore.FindStringSubmatch(u.String())
	if m == nil {
		t.Fatalf("unrecognized host %s in %s", u.Host, address)
	}
	return m[1][len(asked):]
}

// countFiles counts what is stored in all scopes that the first job sees.
func (w *world) countFiles() (n int) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		n = 0
		for scope, id := range map[signalbox.ArtifactScope]string{
			signalbox.ArtifactsOfJob: w.jobs[0].ID, signalbox.ArtifactsOfWorkflow: w.flow.ID, signalbox.ArtifactsOfProject: w.project.ID,
		} {
			all, err := tx.ArtifactsBelow(scope, id, "", 1000)
			if err != nil {
				return err
			}
			n += len(all)
		}
		return nil
	})
	return n
}
