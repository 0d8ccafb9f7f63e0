package web

import (
	"bytes"
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
	"github.com/signalbox-ci/signalbox/store"
)

// site is a running set of pages over a real database.
type site struct {
	t     testing.TB
	store *store.Store
	logs  *joblog.Log
	lines *logline.Lines
	web   *Web
	url   string
	role  atomic.Value // signalbox.Role of whoever asks; browsers ask when they like
	now   time.Time
	stops []string
	fail  error // what the stopper answers
	seq   int

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

func (s *site) RunNow(_ context.Context, id string, n schedule.Now) (*signalbox.TaskRun, error) {
	s.stops = append(s.stops, fmt.Sprintf("run %s on %s %s with %v by %s", id, n.Ref, n.PipelineFile, n.Parameters, n.By))
	if s.fail != nil {
		return s.failedRun, s.fail
	}
	return &signalbox.TaskRun{WorkflowID: "the-workflow"}, nil
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, now: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)}
	s.as(signalbox.RoleMember)
	var err error
	if s.store, err = store.Open(t.Context(), store.Options{
		Dir: t.TempDir(), Now: func() time.Time { return s.now }, OnStatement: func(string) { s.statements.Add(1) },
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	s.logs = joblog.New(joblog.Options{Store: s.store})
	if s.lines, err = logline.New(logline.Options{Store: s.store, Log: s.logs}); err != nil {
		t.Fatal(err)
	}
	fl, err := fleet.New(fleet.Options{Store: s.store, Engine: engine.New(engine.Options{Store: s.store}), Log: s.logs})
	if err != nil {
		t.Fatal(err)
	}
	s.web, err = New(Options{Store: s.store, Stopper: s, Starter: s, Debugger: s, Deployer: s, Tasks: s, Lines: s.lines, Fleet: fl, Version: "test", Now: func() time.Time { return s.now }})
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
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
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

func (s *site) project(name string) *signalbox.Project {
	p := &signalbox.Project{Name: name, GitURL: "https://git.example/" + name + ".git", DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile}
	s.write(func(tx *store.Tx) error { return tx.CreateProject(p, "user:ana") })
	return p
}

func (s *site) agentType(name string) *signalbox.AgentType {
	a := &signalbox.AgentType{Name: name}
	s.write(func(tx *store.Tx) error { return tx.CreateAgentType(a, "user:ana") })
	return a
}

func (s *site) agent(t *signalbox.AgentType, name string) *signalbox.Agent {
	a := &signalbox.Agent{
		AgentTypeID: t.ID, Name: name, State: signalbox.AgentRegistered, Version: "1.4.0", OS: "linux", Arch: "x86_64",
		Hostname: name + ".harbour.example", IP: "192.0.2.7",
	}
	s.write(func(tx *store.Tx) error { return tx.CreateAgent(a, "hash-"+name) })
	return a
}

func (s *site) workflow(p *signalbox.Project, branch, message string) *signalbox.Workflow {
	s.seq++
	wf := &signalbox.Workflow{
		ProjectID: p.ID, Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch,
		CommitSHA: fmt.Sprintf("9f3c2ab%033d", s.seq), CommitMessage: message, CommitAuthor: "Ana Kovač", TriggeredBy: signalbox.TriggeredByHook,
		RequestToken: fmt.Sprint("token-", s.seq),
	}
	s.write(func(tx *store.Tx) error {
		_, _, err := tx.CreateWorkflow(wf, "server")
		return err
	})
	return wf
}

func (s *site) pipeline(wf *signalbox.Workflow, p signalbox.Pipeline) *signalbox.Pipeline {
	p.WorkflowID, p.ProjectID = wf.ID, wf.ProjectID
	if p.File == "" {
		p.File = signalbox.DefaultPipelineFile
	}
	s.write(func(tx *store.Tx) error { return tx.CreatePipeline(&p, "engine") })
	return &p
}

func (s *site) block(p *signalbox.Pipeline, b signalbox.Block) *signalbox.Block {
	b.PipelineID = p.ID
	s.write(func(tx *store.Tx) error { return tx.CreateBlock(&b) })
	return &b
}

// job stores a job as it is; what CreateJob sets by itself is written again.
func (s *site) job(p *signalbox.Pipeline, b *signalbox.Block, j signalbox.Job) *signalbox.Job {
	j.PipelineID, j.BlockID, j.WorkflowID, j.ProjectID = p.ID, b.ID, p.WorkflowID, p.ProjectID
	if j.AgentType == "" {
		j.AgentType = "s1-linux"
	}
	s.write(func(tx *store.Tx) error { return tx.CreateJob(&j, "engine") })
	return &j
}

func (s *site) attempt(j *signalbox.Job, a *signalbox.Agent, at signalbox.Attempt) *signalbox.Attempt {
	at.JobID, at.AgentID, at.AgentName = j.ID, a.ID, a.Name
	if at.N == 0 {
		at.N = 1
	}
	s.write(func(tx *store.Tx) error { return tx.CreateAttempt(&at, "dispatch") })
	return &at
}

func (s *site) push(a *signalbox.Attempt, from int64, events ...agentapi.Event) int64 {
	s.t.Helper()
	var body bytes.Buffer
	for _, e := range events {
		if err := json.NewEncoder(&body).Encode(e); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := s.logs.Append(s.t.Context(), a.ID, a.JobID, from, body.Bytes()); err != nil {
		s.t.Fatal(err)
	}
	return from + int64(len(events))
}

func (s *site) closeLog(a *signalbox.Attempt) {
	s.t.Helper()
	if err := s.logs.Close(s.t.Context(), a.ID); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) ago(d time.Duration) time.Time { return s.now.Add(-d) }

// command is the events of one command.
func command(at int64, directive, output string, exit int, seconds int64) []agentapi.Event {
	end := at + seconds
	return []agentapi.Event{
		{Event: agentapi.EventCmdStarted, Timestamp: at, Directive: directive},
		{Event: agentapi.EventCmdOutput, Timestamp: at, Output: output},
		{Event: agentapi.EventCmdFinished, Timestamp: end, Directive: directive, ExitCode: &exit, StartedAt: &at, FinishedAt: &end},
	}
}

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

const goTestOutput = "go test ./contract -run Consumer -count=1 -v\n" +
	"\x1b[36mpact\x1b[0m starting provider stub on 127.0.0.1:8089\n\x1b[36mpact\x1b[0m replaying 14 interactions\n" +
	"=== RUN   TestLabelConsumer\n    label_contract_test.go:88: interaction \x1b[33m\"a customer over the limit\"\x1b[0m\n" +
	"        \x1b[1;31mstatus 429 expected, got 500\x1b[0m\n        \x1b[38;2;15;128;60mwant\x1b[0m Retry-After: 30\n\n" +
	"\x1b[31;1m--- FAIL: TestLabelConsumer (4.21s)\x1b[0m\n    \x1b[38;5;34m--- PASS: TestLabelConsumer/create_label (0.61s)\x1b[0m\n" +
	"FAIL\nFAIL\tharbourline.example/parcel-api/contract\t4.388s\nmake: *** [Makefile:41: contract-consumer] Error 1\n"

func newBusySite(t *testing.T) *busySite {
	s := &busySite{site: newSite(t)}
	s.agentType = s.site.agentType("s1-linux")
	s.agent = s.site.agent(s.agentType, "build-03")
	spare := s.site.agent(s.agentType, "build-04")
	third := s.site.agent(s.agentType, "build-05")
	s.site.agentType("s1-mac")
	s.project = s.site.project("parcel-api")
	s.site.project("tariff-engine")

	s.preparing = s.site.workflow(s.project, "main", "Try arm64 for the importer")
	s.site.pipeline(s.preparing, signalbox.Pipeline{State: signalbox.PipelineInitializing})
	s.stopped = s.site.workflow(s.project, "main", "Longer soak for the label queue")
	s.site.pipeline(s.stopped, signalbox.Pipeline{
		State: signalbox.PipelineDone, Result: signalbox.ResultStopped, Reason: signalbox.ReasonUser, TerminatedBy: "user:mei",
		RunningAt: s.ago(20 * time.Minute), DoneAt: s.ago(8 * time.Minute),
	})
	s.malformed = s.site.workflow(s.project, "bulk-void", "Void a whole manifest at once")
	s.site.pipeline(s.malformed, signalbox.Pipeline{
		State: signalbox.PipelineDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonMalformed, DoneAt: s.ago(time.Hour),
		ErrorDescription: ".semaphore/semaphore.yml:12:5: job \"Unit\" has no commands\n.semaphore/semaphore.yml:20:9: block \"Deploy\" depends on \"Biuld\", which does not exist",
	})

	s.workflow = s.site.workflow(s.project, "rate-limit-v2", "Limit label requests per customer\n\nThe limiter keeps its counts in the store.")
	s.pipeline = s.site.pipeline(s.workflow, signalbox.Pipeline{Name: "Build and test", State: signalbox.PipelineRunning, RunningAt: s.ago(462 * time.Second)})
	s.fill(spare, third)
	return s
}

func (s *busySite) fill(spare, third *signalbox.Agent) {
	p := s.pipeline
	passed := func(b *signalbox.Block, index int, name string, seconds int) {
		start := s.ago(7 * time.Minute)
		s.job(p, b, signalbox.Job{
			Name: name, Index: index, State: signalbox.JobFinished, Result: signalbox.JobPassed, StartedAt: start,
			FinishedAt: start.Add(time.Duration(seconds) * time.Second),
		})
	}
	done := func(index int, name string, deps []int, seconds int, jobs ...string) *signalbox.Block {
		start := s.ago(7 * time.Minute)
		b := s.block(p, signalbox.Block{
			Index: index, Name: name, Dependencies: deps, State: signalbox.BlockDone, Result: signalbox.ResultPassed,
			RunningAt: start, DoneAt: start.Add(time.Duration(seconds) * time.Second),
		})
		for i, j := range jobs {
			passed(b, i, j, seconds-i)
		}
		return b
	}
	done(0, "Prepare", nil, 52, "Dependencies", "Version")
	done(1, "Lint", []int{0}, 55, "Format", "Vet", "Migrations")
	done(2, "Unit tests", []int{0}, 206, "Unit 1/4", "Unit 2/4", "Unit 3/4", "Unit 4/4")
	done(3, "Build image", []int{0}, 249, "linux/amd64", "linux/arm64")
	s.block(p, signalbox.Block{Index: 4, Name: "Docs site", Dependencies: []int{1}, State: signalbox.BlockDone, Result: signalbox.ResultPassed, Reason: signalbox.ReasonSkipped})

	contract := s.block(p, signalbox.Block{
		Index: 5, Name: "Contract tests", Dependencies: []int{2}, State: signalbox.BlockDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonTest,
		RunningAt: s.ago(3 * time.Minute), DoneAt: s.ago(100 * time.Second),
	})
	passed(contract, 0, "Provider", 51)
	s.failed = s.job(p, contract, signalbox.Job{
		Index: 1, Name: "Consumer", State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest,
		StartedAt: s.ago(3 * time.Minute), FinishedAt: s.ago(103 * time.Second),
	})
	a := s.attempt(s.failed, spare, signalbox.Attempt{
		State: signalbox.AttemptEnded, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest, FetchedAt: s.ago(3 * time.Minute), EndedAt: s.ago(103 * time.Second),
	})
	at := s.failed.StartedAt.Unix()
	events := []agentapi.Event{{Event: agentapi.EventJobStarted, Timestamp: at}}
	events = append(events, command(at, "checkout", "Cloning into 'parcel-api'...\nHEAD is now at 9f3c2ab\n", 0, 3)...)
	events = append(events, command(at+3, "cache restore go-mod-linux-a91f", "Restored 212 MB.\n", 0, 6)...)
	events = append(events, command(at+9, "export LABEL_STORE=memory", "", 0, 0)...)
	events = append(events, command(at+9, "make contract-consumer\nmake report", goTestOutput, 2, 58)...)
	events = append(events, command(at+67, "artifact push job pact.log", "Uploaded.\n", 0, 1)...)
	events = append(events, agentapi.Event{Event: agentapi.EventJobFinished, Timestamp: at + 68, Result: "failed"})
	s.failedLogNext = s.push(a, 0, events...)
	s.closeLog(a)

	integration := s.block(p, signalbox.Block{Index: 6, Name: "Integration", Dependencies: []int{2, 3}, State: signalbox.BlockRunning, RunningAt: s.ago(161 * time.Second)})
	passed(integration, 0, "SQLite", 93)
	s.running = s.job(p, integration, signalbox.Job{Index: 1, Name: "PostgreSQL", State: signalbox.JobRunning, StartedAt: s.ago(158 * time.Second)})
	s.runningAttempt = s.attempt(s.running, s.agent, signalbox.Attempt{State: signalbox.AttemptRunning, FetchedAt: s.ago(158 * time.Second), RunningAt: s.ago(158 * time.Second)})
	at = s.running.StartedAt.Unix()
	events = append(command(at, "checkout", "HEAD is now at 9f3c2ab\n", 0, 2),
		agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at + 2, Directive: "make integration"},
		agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at + 3, Output: "starting PostgreSQL\nok   \x1b[32mmigrations\x1b[0m\n"},
		agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at + 45, Output: "ok   \x1b[32mcustomers\x1b[0m\nrunning labels"},
	)
	s.runningLogNext = s.push(s.runningAttempt, 0, events...)
	s.queued = s.job(p, integration, signalbox.Job{Index: 2, Name: "Upgrade path", State: signalbox.JobQueued})
	s.lost = s.job(p, integration, signalbox.Job{
		Index: 3, Name: "Load smoke", State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost,
		StartedAt: s.ago(150 * time.Second), FinishedAt: s.ago(20 * time.Second),
	})
	s.attempt(s.lost, third, signalbox.Attempt{State: signalbox.AttemptEnded, Result: signalbox.JobStopped, Reason: signalbox.ReasonWithdrawn})
	lost := s.attempt(s.lost, third, signalbox.Attempt{N: 2, State: signalbox.AttemptEnded, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost, FetchedAt: s.ago(150 * time.Second), EndedAt: s.ago(20 * time.Second)})
	s.push(lost, 0, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at, Directive: "make load"}, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at + 1, Output: "500 rps\n"})
	s.closeLog(lost)
	s.block(p, signalbox.Block{Index: 7, Name: "End to end", Dependencies: []int{6}, State: signalbox.BlockWaiting})
	s.block(p, signalbox.Block{Index: 8, Name: "Release notes", Dependencies: []int{1, 6}, State: signalbox.BlockWaiting})
}

// brokenLogs is a log store that does not answer.
type brokenLogs struct{ err error }

func (b brokenLogs) Info(context.Context, string) (joblog.Info, error) { return joblog.Info{}, b.err }

func (b brokenLogs) Read(context.Context, string, int64, int64, func(joblog.Batch) error) (joblog.Mark, error) {
	return joblog.Mark{}, b.err
}

var errBroken = errors.New("secret detail of the database")
