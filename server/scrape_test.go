package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// oneJob makes an agent type and queues a job for it.
func (s *Server) oneJob(t *testing.T) (registration, jobID string) {
	t.Helper()
	registration, hash := auth.NewToken(auth.TokenRegistration)
	if err := s.store.Write(t.Context(), func(tx *store.Tx) error {
		typ := &signalbox.AgentType{Name: "s1-linux"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		if err := tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: typ.ID, Name: "first"}, hash, "test"); err != nil {
			return err
		}
		p := &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", DefaultBranch: "main", PipelineFile: "p.yml"}
		if err := tx.CreateProject(p, "test"); err != nil {
			return err
		}
		var err error
		jobID, err = s.queueJob(tx, p, "x")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return registration, jobID
}

// queueJob starts a workflow of one job.
func (s *Server) queueJob(tx *store.Tx, p *signalbox.Project, request string) (jobID string, err error) {
	w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
		ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByHook, RequestToken: request,
	}, "test")
	if err != nil {
		return "", err
	}
	ppl, err := s.engine.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(
		"version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - task: {jobs: [{commands: [\"true\"]}]}\n")}, "test")
	if err != nil {
		return "", err
	}
	jobs, err := tx.JobsOf(ppl.ID)
	if err != nil {
		return "", err
	}
	return jobs[0].ID, nil
}

func TestMetricsAreNotForStrangers(t *testing.T) {
	s := open(t)
	for name, token := range map[string]string{"nobody": "", "an unknown token": "x"} {
		if w := s.ask("GET", "/metrics", token); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "signalbox_jobs") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	registration, _ := s.oneJob(t)
	if w := s.ask("GET", "/metrics", registration); w.Code != http.StatusUnauthorized {
		t.Errorf("a registration token: %d", w.Code)
	}
	for _, role := range []signalbox.Role{signalbox.RoleViewer, signalbox.RoleMember, signalbox.RoleAdmin} {
		w := s.ask("GET", "/metrics", s.token(t, role))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `signalbox_jobs{agent_type="s1-linux",state="queued"} 1`) {
			t.Errorf("%s: %d %s", role, w.Code, w.Body)
		}
	}
	if s.MetricsURL() != "" {
		t.Errorf("metrics are shown at %s without being asked for", s.MetricsURL())
	}
}

func TestAnAddressOfItsOwnShowsMetricsAndNothingElse(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := New(ctx, Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	get := func(url string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	if code, text := get(s.MetricsURL()); code != 200 || !strings.Contains(text, `signalbox_build_info{go_version="go1.`) || !strings.Contains(text, `version="1.2.3"`) {
		t.Errorf("%d %s", code, text)
	}
	base := strings.TrimSuffix(s.MetricsURL(), "/metrics")
	for _, path := range []string{"/", "/login", "/api/v1alpha/projects", "/healthz"} {
		if code, _ := get(base + path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	taken := open(t).listener.Addr().String()
	for what, o := range map[string]Options{
		"listen on " + taken + ":":            {Listen: taken},
		"listen on " + taken + " for metrics": {Listen: "127.0.0.1:0", MetricsListen: taken},
	} {
		o.Dir = t.TempDir()
		s, err := New(t.Context(), o)
		if s != nil || err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want an error with %q", err, what)
		}
	}
}

// The official controller for Kubernetes looks at no status: an answer that is not JSON is a broken server to it.
func TestErrorsOfTheJobListAreJSON(t *testing.T) {
	s := open(t)
	for token, want := range map[string]int{"": http.StatusUnauthorized, "x": http.StatusNotFound} {
		w := s.ask("GET", agentapi.Base+agentapi.PathJobs, token)
		var answer struct {
			Jobs    []any  `json:"jobs"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != want || answer.Message == "" || answer.Jobs != nil {
			t.Errorf("%q: %d %s (%v)", token, w.Code, w.Body, err)
		}
	}
}

func TestHistogramsAreRightAfterARestart(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	start := func(after time.Duration) *Server {
		s, err := New(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0", Now: func() time.Time { return begin.Add(after) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stop := func(s *Server) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := start(0)
	registration, job := s.oneJob(t)
	viewer := s.token(t, signalbox.RoleViewer)
	stop(s)

	s = start(time.Minute)
	var agent agentapi.RegisterResponse
	body := s.send(t, "POST", agentapi.Base+agentapi.PathRegister, registration, `{"name":"one-agent","single_job":true,"job_id":"`+job+`"}`)
	if err := json.Unmarshal([]byte(body), &agent); err != nil {
		t.Fatal(err)
	}
	s.send(t, "POST", agentapi.Base+agentapi.PathSync, agent.Token, `{"state":"waiting-for-jobs"}`)
	s.send(t, "GET", agentapi.Base+agentapi.PathJobs+"/"+job, agent.Token, "")
	shown(t, s, viewer, `signalbox_job_wait_seconds_sum{agent_type="s1-linux"} 60`)
	shown(t, s, viewer, `signalbox_registrations_total{agent_type="s1-linux"} 1`)
	stop(s)

	s = start(time.Hour + time.Minute)
	s.send(t, "POST", agentapi.Base+agentapi.PathSync, agent.Token, `{"state":"finished-job","job_id":"`+job+`","job_result":"passed"}`)
	shown(t, s, viewer, `signalbox_job_run_seconds_sum{agent_type="s1-linux",result="passed"} 3600`)
	shown(t, s, viewer, `signalbox_job_run_seconds_count{agent_type="s1-linux",result="passed"} 1`)
	if w := s.ask("GET", "/metrics", viewer); strings.Contains(w.Body.String(), "signalbox_job_wait_seconds_count{") {
		t.Error("a wait that another process saw is counted again")
	}
	stop(s)
}

func shown(t *testing.T, s *Server, token, line string) {
	t.Helper()
	w := s.ask("GET", "/metrics", token)
	if line = strings.NewReplacer("{", `\{`, "}", `\}`).Replace(line); !regexp.MustCompile("(?m)^" + line + "$").MatchString(w.Body.String()) {
		t.Errorf("no %s in:\n%s", line, w.Body)
	}
}
