package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/api"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
	"github.com/signalbox-ci/signalbox/trigger"
)

const pipelineFile = `version: v1.0
name: Pipeline
agent: {machine: {type: s1-linux, os_image: ubuntu2204}}
blocks:
  - name: Test
    dependencies: []
    task:
      env_vars: [{name: LEVEL, value: "1"}]
      epilogue: {always: {commands: [echo bye]}}
      jobs:
        - name: Unit
          commands: [checkout, make test]
        - name: Lint
          commands: [make lint]
  - name: Ship
    dependencies: [Test]
    task: {jobs: [{name: Deploy, commands: [make ship]}]}
`

// world is an API over a real store and a real repository, with one project, one workflow that runs, and two agents,
// the second of which has the first job.
type world struct {
	*testing.T
	st      *store.Store
	en      *engine.Engine
	log     *joblog.Log
	secrets *secret.Secrets
	secret  string // the id of the secret of a recording
	target  string // the id of the deployment target of a recording
	api     *api.API
	srv     *httptest.Server
	token   string // of an administrator
	viewer  string
	dir     string // the bare repository
	project *signalbox.Project
	flow    *signalbox.Workflow
	ppl     *signalbox.Pipeline
	jobs    []*signalbox.Job
	attempt *signalbox.Attempt
	agents  []*signalbox.Agent
	debug   string // id of the debug job that a recording started
	hookErr error  // what installing a hook gives
}

// epoch is when everything in a world happens.
var epoch = time.Unix(1700000000, 0)

const organization = "0a0a0a0a-0000-4000-8000-000000000001"

func newWorld(t *testing.T) *world {
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "me", "demo.git")}
	var err error
	w.st, err = store.Open(context.Background(), store.Options{Dir: storetest.Folder(t), Now: func() time.Time { return epoch }})
	w.must(err)
	t.Cleanup(func() { _ = w.st.Close() })
	w.en = engine.New(engine.Options{Store: w.st})
	w.log = joblog.New(joblog.Options{Store: w.st})
	tr, err := trigger.New(trigger.Options{Store: w.st, Engine: w.en, MirrorDir: t.TempDir()})
	w.must(err)
	keys, err := auth.OpenKeyring(t.TempDir())
	w.must(err)
	w.secrets, err = secret.New(secret.Options{Store: w.st, Keys: keys})
	w.must(err)
	sched, err := schedule.New(schedule.Options{Store: w.st, Starter: tr})
	w.must(err)
	fl, err := fleet.New(fleet.Options{Store: w.st, Engine: w.en, Log: w.log})
	w.must(err)
	projects, err := project.New(project.Options{Store: w.st, Trigger: tr, InstallHook: func(context.Context, *signalbox.Project) error { return w.hookErr }})
	w.must(err)
	w.api, err = api.New(api.Options{
		Store: w.st, Engine: w.en, Trigger: tr, Schedule: sched, Fleet: fl, Log: w.log, Secrets: w.secrets, OrganizationID: organization,
		Projects:  projects,
		CheckHook: func(id, token string) bool { return token == "hook of "+id },
	})
	w.must(err)
	w.repository()
	w.people()
	w.srv = httptest.NewServer(w.handler())
	t.Cleanup(w.srv.Close)
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

func (w *world) git(dir string, args ...string) {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann",
		"GIT_COMMITTER_EMAIL=ann@example.com", "GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *world) repository() {
	w.Helper()
	work := w.TempDir()
	w.git(work, "init", "-q", "-b", "main")
	w.must(os.MkdirAll(filepath.Join(work, ".semaphore"), 0o755))
	w.must(os.WriteFile(filepath.Join(work, ".semaphore", "semaphore.yml"), []byte(pipelineFile), 0o644))
	w.must(os.WriteFile(filepath.Join(work, ".semaphore", "broken.yml"), []byte("version: v9\n"), 0o644))
	w.git(work, "add", "-A")
	w.git(work, "commit", "-q", "-m", "First")
	w.git(work, "tag", "v1")
	w.git(work, "clone", "-q", "--bare", work, w.dir)
}

func (w *world) people() {
	w.Helper()
	var hash string
	w.write(func(tx *store.Tx) error {
		for name, token := range map[string]*string{"ann": &w.token, "vic": &w.viewer} {
			u := &signalbox.User{Name: name, Role: signalbox.RoleAdmin}
			if name == "vic" {
				u.Role = signalbox.RoleViewer
			}
			if err := tx.CreateUser(u); err != nil {
				return err
			}
			*token, hash = auth.NewToken(auth.TokenAPI)
			if err := tx.CreateAPIToken(&signalbox.APIToken{UserID: u.ID, Name: "test"}, hash, "test"); err != nil {
				return err
			}
		}
		return nil
	})
}

// fill makes the project, the workflow, the agents and the log.
func (w *world) fill() {
	w.Helper()
	w.expect(200, w.call("POST", "/api/v1alpha/projects", `{"metadata":{"name":"demo"},"spec":{"repository":{"url":"`+w.dir+`"}}}`))
	w.expect(200, w.call("POST", "/api/v1alpha/self_hosted_agent_types", `{"metadata":{"name":"s1-linux"}}`))
	a := w.expect(200, w.call("POST", "/api/v1alpha/plumber-workflows", `{"project_id":"demo","reference":"refs/heads/main","request_token":"first"}`))
	ids := a.(map[string]any)
	w.write(func(tx *store.Tx) (err error) {
		if w.project, err = tx.FindProject("demo"); err != nil {
			return err
		}
		if w.flow, err = tx.Workflow(ids["wf_id"].(string)); err != nil {
			return err
		}
		if w.ppl, err = tx.Pipeline(ids["ppl_id"].(string)); err != nil {
			return err
		}
		w.agents = nil
		y, err := tx.AgentType("s1-linux")
		if err != nil {
			return err
		}
		for _, name := range []string{"golden-agent-1", "golden-agent-2"} {
			g := &signalbox.Agent{
				AgentTypeID: y.ID, AgentType: y.Name, Name: name, State: signalbox.AgentRegistered, Version: "v2.4.0", OS: "Debian GNU/Linux 12",
				Arch: "x86_64", Hostname: "box", PID: 4242, IP: "10.0.0.7",
			}
			if err := tx.CreateAgent(g, "hash of "+name); err != nil {
				return err
			}
			w.agents = append(w.agents, g)
		}
		if w.jobs, err = tx.JobsOf(w.ppl.ID); err != nil {
			return err
		}
		if w.attempt, err = engine.Offer(tx, w.jobs[0], w.agents[1], "dispatch"); err != nil {
			return err
		}
		if _, _, err := engine.Fetched(tx, w.attempt.ID, "agent:golden-agent-2"); err != nil {
			return err
		}
		return engine.Running(tx, w.attempt.ID, "agent:golden-agent-2")
	})
	_, err := w.log.Append(context.Background(), w.attempt.ID, w.jobs[0].ID, 0, []byte(`{"event":"job_started","timestamp":1700000010}
{"event":"cmd_started","timestamp":1700000010,"directive":"make test"}
{"event":"cmd_output","timestamp":1700000010,"output":"o"}
{"event":"cmd_output","timestamp":1700000010,"output":"k\n"}
{"event":"cmd_finished","timestamp":1700000011,"directive":"make test","exit_code":0,"started_at":1700000010,"finished_at":1700000011}
{"event":"job_finished","timestamp":1700000012,"result":"passed"}
`))
	w.must(err)
}

// handler does what the server does around the routes: it finds out who asks, checks the permission and renders errors.
func (w *world) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range w.api.Routes() {
		mux.HandleFunc(rt.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			err := w.admit(rt, &r)
			if err == nil {
				err = rt.Handler(rw, r)
			}
			if err == nil {
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(statuses[signalbox.ErrorCode(err)])
			_ = json.NewEncoder(rw).Encode(map[string]any{"message": signalbox.ErrorMessage(err)})
			if signalbox.ErrorCode(err) == signalbox.CodeInternal {
				w.Errorf("%s %s: %v", r.Method, r.URL, err)
			}
		})
	}
	return mux
}

var statuses = map[signalbox.Code]int{
	signalbox.CodeInvalid: 400, signalbox.CodeUnauthorized: 401, signalbox.CodeForbidden: 403, signalbox.CodeNotFound: 404,
	signalbox.CodeConflict: 409, signalbox.CodeUnavailable: 503, signalbox.CodeInternal: 500,
}

func (w *world) admit(rt route.Route, r **http.Request) error {
	need := rt.Access.Permission()
	if need == "" {
		return nil
	}
	token, _ := strings.CutPrefix((*r).Header.Get("Authorization"), "Token ")
	var u *signalbox.User
	if err := w.st.Read((*r).Context(), func(tx *store.Tx) (err error) {
		u, _, err = tx.UserByToken(auth.HashToken(token))
		return err
	}); err != nil {
		return signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized")
	}
	if !auth.Can(u.Role, auth.Permission(need)) {
		return signalbox.Errorf(signalbox.CodeForbidden, "this needs the permission %s", need)
	}
	*r = (*r).WithContext(route.WithActor((*r).Context(), route.Actor{User: u}))
	return nil
}

type answer struct {
	what   string
	status int
	header http.Header
	body   string
}

// call sends a request; header is pairs of name and value, after the administrator's token.
func (w *world) call(method, path, body string, header ...string) answer {
	w.Helper()
	r, err := http.NewRequest(method, w.srv.URL+path, strings.NewReader(body))
	w.must(err)
	r.Header.Set("Authorization", "Token "+w.token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	w.must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	w.must(err)
	return answer{method + " " + path, resp.StatusCode, resp.Header, string(b)}
}

// expect checks the status and decodes the body.
func (w *world) expect(status int, a answer) any {
	w.Helper()
	if a.status != status {
		w.Fatalf("%s: status %d, want %d\n%s", a.what, a.status, status, a.body)
	}
	if a.body == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		w.Fatalf("%s: %v\n%s", a.what, err, a.body)
	}
	return v
}
