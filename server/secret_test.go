package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// send sends a body with a token and returns the answer to a request that must succeed.
func (s *Server) send(t *testing.T, method, path, token, body string) string {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Token "+token)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK && w.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.String()
}

// A secret goes from the API to the agent, and nowhere else: no answer, no log, no file of the server holds it.
func TestASecretGoesToTheAgentAndNowhereElse(t *testing.T) {
	const text = "correct-horse-battery-staple"
	s := open(t)
	admin := s.token(t, signalbox.RoleAdmin)
	s.send(t, "POST", "/api/v1beta/secrets", admin, `{"metadata":{"name":"deploy"},"data":{"env_vars":[{"name":"TOKEN","value":"`+text+`"}]}}`)
	registration, hash := auth.NewToken(auth.TokenRegistration)
	var job *signalbox.Job
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
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByHook, RequestToken: "x",
		}, "test")
		if err != nil {
			return err
		}
		ppl, err := s.engine.Create(tx, w, engine.Source{
			File: "p.yml", YAML: []byte("version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - task:\n      jobs: [{commands: [\"true\"]}]\n"),
			Select: func(plan *signalbox.Plan) error {
				plan.Blocks[0].Jobs[0].Spec.Secrets = []string{"deploy"}
				return nil
			},
		}, "test")
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(ppl.ID)
		job = jobs[0]
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var reg agentapi.RegisterResponse
	if err := json.Unmarshal([]byte(s.send(t, "POST", agentapi.Base+agentapi.PathRegister, registration,
		`{"name":"one-agent","single_job":true,"job_id":"`+job.ID+`"}`)), &reg); err != nil {
		t.Fatal(err)
	}
	var p agentapi.JobPayload
	if err := json.Unmarshal([]byte(s.send(t, "GET", agentapi.Base+agentapi.PathJobs+"/"+job.ID, reg.Token, "")), &p); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, v := range p.EnvVars {
		found = found || v.Name == "TOKEN" && v.Value == base64.StdEncoding.EncodeToString([]byte(text))
	}
	if !found {
		t.Error("the agent did not get the secret")
	}
	push := func(from, body string) {
		r := httptest.NewRequest("POST", agentapi.LogsBase+"/"+job.ID+"?start_from="+from, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+p.Logger.Token)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("push: %d %s", w.Code, w.Body)
		}
	}
	push("0", string(agentapi.AppendOutput(nil, 1, []byte("it is "+text[:10])))+"\n")
	push("1", string(agentapi.AppendOutput(nil, 1, []byte(text[10:]+", "+base64.StdEncoding.EncodeToString([]byte("x:"+text))+"\n")))+"\n"+`{"event":"job_finished","result":"passed"}`)
	s.send(t, "POST", agentapi.Base+agentapi.PathSync, reg.Token, `{"state":"finished-job","job_id":"`+job.ID+`","job_result":"passed"}`)
	answers := ""
	for _, path := range []string{
		"/api/v1alpha/jobs/" + job.ID, "/api/v1alpha/jobs/" + job.ID + "/events", "/api/v1alpha/jobs/" + job.ID + "/attempts",
		"/api/v1alpha/logs/" + job.ID, "/api/v1alpha/logs/" + job.ID + "?format=text", "/api/v1alpha/logs/" + job.ID + "?follow=1",
		"/api/v1beta/secrets", "/api/v1beta/secrets/deploy",
	} {
		answers += s.send(t, "GET", path, admin, "") + "\n"
	}
	if !strings.Contains(answers, "it is ***, ") || !strings.Contains(answers, `"secrets":[{"name":"deploy"}]`) {
		t.Errorf("answers: %s", answers)
	}
	needles := []string{text, base64.StdEncoding.EncodeToString([]byte(text))[:20], base64.StdEncoding.EncodeToString([]byte("x:" + text))[4:24], text[10:]}
	for _, needle := range needles {
		if strings.Contains(answers, needle) {
			t.Errorf("an answer holds %q", needle)
		}
	}
	if err := filepath.WalkDir(s.o.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, needle := range needles {
			if bytes.Contains(b, []byte(needle)) {
				t.Errorf("%s holds %q", filepath.Base(path), needle)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
