package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// site is a running set of pages over a real database.
type site struct {
	t     testing.TB
	store *store.Store
	logs  *joblog.Log
	lines *logline.Lines
	scene *scene.Scene
	web   *Web
	url   string
	role  atomic.Value // signalbox.Role of whoever asks; browsers ask when they like
	clock atomic.Int64 // nanoseconds; an open browser asks while a test goes on
	stops []string
	fail  error // what the stopper answers
	seq   int

	secrets    *secret.Secrets
	mei        *signalbox.User    // whom deployment targets name
	ahead      int                // commits since what was deployed
	asked      string             // about whom
	statements atomic.Int64       // that the database was asked
	failedRun  *signalbox.TaskRun // what comes with the failure to run a task
}

func (s *site) StopPipeline(_ context.Context, id, actor string) error {
	s.stops = append(s.stops, "pipeline "+id+" by "+actor)
	return s.fail
}

func (s *site) StopJob(_ context.Context, id, actor string) error {
	s.stops = append(s.stops, "job "+id+" by "+actor)
	return s.fail
}

func (s *site) Debug(_ context.Context, id string, by route.Actor, limit time.Duration) (*signalbox.Job, error) {
	s.stops = append(s.stops, "debug "+id+" by "+by.Name()+" for "+limit.String())
	return &signalbox.Job{ID: "the-session"}, s.fail
}

func (s *site) Promote(_ context.Context, id, name string, parameters []signalbox.EnvVar, override bool, by, actor string) (string, error) {
	s.stops = append(s.stops, fmt.Sprintf("promote %s %q %v %v by %s as %s", id, name, parameters, override, by, actor))
	return "the-promoted", s.fail
}

func (s *site) RerunPipeline(_ context.Context, id, by, actor string) (string, error) {
	s.stops = append(s.stops, "rerun pipeline "+id+" by "+by+" as "+actor)
	return "the-repeat", s.fail
}

func (s *site) RerunJob(_ context.Context, id, by, actor string) (string, string, error) {
	s.stops = append(s.stops, "rerun job "+id+" by "+by+" as "+actor)
	return "the-workflow", "the-repeat", s.fail
}

func (s *site) RerunWorkflow(_ context.Context, id, by, actor string) (string, error) {
	s.stops = append(s.stops, "rerun workflow "+id+" by "+by+" as "+actor)
	return "the-new", s.fail
}

func (s *site) CordonTarget(_ context.Context, id string, cordoned bool, by, actor string) error {
	s.stops = append(s.stops, fmt.Sprintf("cordon %s %v by %s as %s", id, cordoned, by, actor))
	return s.fail
}

func (s *site) CreateTarget(ctx context.Context, d *signalbox.DeploymentTarget, vars []signalbox.SecretVar, files []signalbox.SecretFile, token, actor string) error {
	return s.secrets.CreateTarget(ctx, d, vars, files, token, actor)
}

func (s *site) ChangeTarget(ctx context.Context, d *signalbox.DeploymentTarget, vars []signalbox.SecretVar, files []signalbox.SecretFile, by, actor string) error {
	return s.secrets.ChangeTarget(ctx, d, vars, files, by, actor)
}

func (s *site) CommitsSince(_ context.Context, p *signalbox.Project, sha, branch string, most int) (int, error) {
	s.asked = fmt.Sprintf("%s %s %s %d", p.Name, sha, branch, most)
	return s.ahead, s.fail
}

func (s *site) RunNow(_ context.Context, id string, n schedule.Now) (*signalbox.TaskRun, error) {
	s.stops = append(s.stops, fmt.Sprintf("run %s on %s %s with %v by %s", id, n.Ref, n.PipelineFile, n.Parameters, n.By))
	if s.fail != nil {
		return s.failedRun, s.fail
	}
	return &signalbox.TaskRun{WorkflowID: "the-workflow"}, nil
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t}
	s.clock.Store(time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC).UnixNano())
	s.as(signalbox.RoleMember)
	var err error
	if s.store, err = store.Open(t.Context(), store.Options{
		Dir: storetest.Folder(t), Now: s.now, OnStatement: func(string) { s.statements.Add(1) },
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	keys, err := auth.OpenKeyring(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.secrets, err = secret.New(secret.Options{Store: s.store, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	s.logs = joblog.New(joblog.Options{Store: s.store})
	s.scene = &scene.Scene{Context: t.Context(), Store: s.store, Log: s.logs, Now: s.now, OnError: func(err error) { t.Fatal(err) }}
	if s.lines, err = logline.New(logline.Options{Store: s.store, Log: s.logs}); err != nil {
		t.Fatal(err)
	}
	fl, err := fleet.New(fleet.Options{Store: s.store, Engine: engine.New(engine.Options{Store: s.store}), Log: s.logs})
	if err != nil {
		t.Fatal(err)
	}
	s.web, err = New(Options{Store: s.store, Stopper: s, Starter: s, Debugger: s, Deployer: s, Tasks: s, Commits: s, Lines: s.lines, Fleet: fl, Version: "test", Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// as changes who asks from now on.
func (s *site) as(role signalbox.Role) { s.role.Store(role) }

// handler does what the server does around the routes: who asks, may they, show errors.
func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.web.Routes() {
		mux.HandleFunc(rt.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			role := s.role.Load().(signalbox.Role)
			if role != "" {
				r = r.WithContext(route.WithActor(r.Context(), route.Actor{User: &signalbox.User{ID: "u", Name: "ana", Email: "ana@harbour.example", Role: role, PasswordHash: "set"}}))
			}
			var err error
			if p := rt.Access.Permission(); p != "" && !auth.Can(role, auth.Permission(p)) {
				err = signalbox.Errorf(signalbox.CodeForbidden, "this needs the permission %s", p)
			} else {
				err = rt.Handler(rw, r)
			}
			if err != nil {
				status := map[signalbox.Code]int{
					signalbox.CodeNotFound: 404, signalbox.CodeForbidden: 403, signalbox.CodeInvalid: 400, signalbox.CodeConflict: 409,
					signalbox.CodeUnavailable: 503, signalbox.CodeInternal: 500, signalbox.CodeUnauthorized: 401,
				}[signalbox.ErrorCode(err)]
				if rt.Style == route.UI {
					rw.Header().Set("Content-Type", "application/json")
					rw.WriteHeader(status)
					_ = json.NewEncoder(rw).Encode(map[string]string{"message": signalbox.ErrorMessage(err)})
					return
				}
				s.web.ErrorPage(rw, r, status, err, "request-1")
			}
		})
	}
	return mux
}

// get fetches a page and returns its status and text.
func (s *site) get(path string) (int, string) {
	s.t.Helper()
	status, _, text := s.do(http.MethodGet, path, nil)
	return status, text
}

func (s *site) do(method, path string, form url.Values) (int, http.Header, string) {
	s.t.Helper()
	if form == nil {
		return s.send(method, path, nil, "")
	}
	return s.send(method, path, strings.NewReader(form.Encode()), "application/x-www-form-urlencoded")
}

func (s *site) send(method, path string, body io.Reader, contentType string) (int, http.Header, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func (s *site) write(fn func(tx *store.Tx) error) {
	s.t.Helper()
	if err := s.store.Write(s.t.Context(), fn); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) project(name string) *signalbox.Project     { return s.scene.Project(name) }
func (s *site) agentType(name string) *signalbox.AgentType { return s.scene.AgentType(name) }
func (s *site) agent(t *signalbox.AgentType, name string) *signalbox.Agent {
	return s.scene.Agent(t, name)
}

func (s *site) workflow(p *signalbox.Project, branch, message string) *signalbox.Workflow {
	return s.scene.Workflow(p, branch, message)
}

func (s *site) pipeline(wf *signalbox.Workflow, p signalbox.Pipeline) *signalbox.Pipeline {
	return s.scene.Pipeline(wf, p)
}

func (s *site) block(p *signalbox.Pipeline, b signalbox.Block) *signalbox.Block {
	return s.scene.Block(p, b)
}

// job stores a job as it is; what CreateJob sets by itself is written again.
func (s *site) job(p *signalbox.Pipeline, b *signalbox.Block, j signalbox.Job) *signalbox.Job {
	return s.scene.Job(p, b, j)
}

func (s *site) attempt(j *signalbox.Job, a *signalbox.Agent, at signalbox.Attempt) *signalbox.Attempt {
	return s.scene.Attempt(j, a, at)
}

func (s *site) push(a *signalbox.Attempt, from int64, events ...agentapi.Event) int64 {
	return s.scene.Push(a, from, events...)
}

func (s *site) closeLog(a *signalbox.Attempt) { s.scene.CloseLog(a) }

func (s *site) now() time.Time                { return time.Unix(0, s.clock.Load()).UTC() }
func (s *site) pass(d time.Duration)          { s.clock.Add(int64(d)) }
func (s *site) ago(d time.Duration) time.Time { return s.now().Add(-d) }

var command = scene.Command

// busySite has one project with a workflow in which everything happens that can.
type busySite struct {
	*site
	project                       *signalbox.Project
	workflow                      *signalbox.Workflow
	pipeline                      *signalbox.Pipeline
	failed, running, queued, lost *signalbox.Job
	runningAttempt                *signalbox.Attempt
	malformed, stopped, preparing *signalbox.Workflow
	failedLogNext, runningLogNext int64
	agent                         *signalbox.Agent
	agentType                     *signalbox.AgentType
	nightly, release              *signalbox.Task
	failedTaskRun                 string
}

func newBusySite(t *testing.T) *busySite {
	s := newSite(t)
	b := s.scene.Busy()
	return &busySite{
		site: s, project: b.Project, workflow: b.Workflow, pipeline: b.Pipeline, failed: b.Failed, running: b.Running, queued: b.Queued, lost: b.Lost,
		runningAttempt: b.RunningAttempt, malformed: b.Malformed, stopped: b.Stopped, preparing: b.Preparing, failedLogNext: b.FailedLogNext,
		runningLogNext: b.RunningLogNext, agent: b.Agent, agentType: b.AgentType,
	}
}

// brokenLogs is a log store that does not answer.
type brokenLogs struct{ err error }

func (b brokenLogs) Info(context.Context, string) (joblog.Info, error) { return joblog.Info{}, b.err }

func (b brokenLogs) Read(context.Context, string, int64, int64, func(joblog.Batch) error) (joblog.Mark, error) {
	return joblog.Mark{}, b.err
}

var errBroken = errors.New("secret detail of the database")
