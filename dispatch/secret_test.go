package dispatch

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

// vault gives the hub secrets and makes one project to use them in.
func (r *replay) vault() *signalbox.Project {
	r.Helper()
	r.write(func(tx *store.Tx) error { // forked code may run, and gets nothing all the same
		typ, err := tx.LockAgentType("s1-linux")
		if err != nil {
			return err
		}
		typ.Forks = true
		return tx.UpdateAgentType(typ, "test", "")
	})
	var err error
	if r.hub.Secrets, err = secret.New(secret.Options{Store: r.st, Keys: r.hub.Keys}); err != nil {
		r.Fatal(err)
	}
	p := &signalbox.Project{Name: "vault", GitURL: "/srv/demo.git", DefaultBranch: "main", PipelineFile: "p.yml"}
	r.write(func(tx *store.Tx) error { return tx.CreateProject(p, "test") })
	return p
}

// keep stores a secret with variables given as NAME=value; the value may come from a file of the same name too.
func (r *replay) secret(projectID, name string, access signalbox.SecretAccess, vars ...string) *signalbox.Secret {
	r.Helper()
	if access.Projects == "" {
		access.Projects = signalbox.ProjectsAll
	}
	s := &signalbox.Secret{ProjectID: projectID, Name: name, Access: access}
	for _, v := range vars {
		key, text, _ := strings.Cut(v, "=")
		if strings.HasPrefix(key, "/") || strings.HasPrefix(key, ".") {
			s.Files = append(s.Files, signalbox.SecretFile{Path: key, Content: signalbox.NewSecretValue(text)})
			continue
		}
		s.EnvVars = append(s.EnvVars, signalbox.SecretVar{Name: key, Value: signalbox.NewSecretValue(text)})
	}
	if err := r.hub.Secrets.Create(context.Background(), s, "user:ann"); err != nil {
		r.Fatal(err)
	}
	return s
}

// secretJob queues a job that names secrets.
func (r *replay) secretJob(p *signalbox.Project, refType string, spec signalbox.JobSpec) string {
	r.Helper()
	var id string
	r.write(func(tx *store.Tx) error {
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: p.ID, Ref: "refs/heads/main", RefType: refType, BranchName: "main", Label: signalbox.NewID(), TriggeredBy: signalbox.TriggeredByHook,
			RequestToken: signalbox.NewID(),
		}, "test")
		if err != nil {
			return err
		}
		ppl, err := r.eng.Create(tx, w, engine.Source{
			File: "p.yml", YAML: []byte("version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - task:\n      jobs: [{commands: [\"true\"]}]\n"),
			Select: func(plan *signalbox.Plan) error {
				s := &plan.Blocks[0].Jobs[0].Spec
				s.Secrets, s.EnvVars, s.Files, s.Containers, s.PullSecrets = spec.Secrets, spec.EnvVars, spec.Files, spec.Containers, spec.PullSecrets
				return nil
			},
		}, "test")
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(ppl.ID)
		id = jobs[0].ID
		return err
	})
	time.Sleep(10 * time.Millisecond)
	return id
}

// payload lets an agent take a job and returns what it fetched.
func (r *replay) payload(token, job string) (p agentapi.JobPayload) {
	r.Helper()
	if res := r.say(token, waits); res.JobID != job {
		r.Fatalf("%+v, want job %s", res, job)
	}
	w := r.fetch(token, job)
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusOK {
		r.Fatalf("fetch: %d %s", w.Code, w.Body)
	}
	return p
}

func decoded(t *testing.T, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// envOf returns the values of a variable in their order.
func envOf(t *testing.T, p agentapi.JobPayload, name string) (out []string) {
	for _, v := range p.EnvVars {
		if v.Name == name {
			out = append(out, decoded(t, v.Value))
		}
	}
	return out
}

func (r *replay) end(token, job string) {
	r.Helper()
	r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "passed"})
}

func TestSecretsInThePayload(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		r.secret("", "one", signalbox.SecretAccess{}, "A=1", "B=1", "C=1", "SEMAPHORE_GIT_SHA=mine", "SEMAPHORE_WORKFLOW_ID=mine", "/etc/x=one", ".ssh/a=\x00\xff")
		r.secret("", "two", signalbox.SecretAccess{}, "B=2", "/etc/x=two")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.secretJob(p, "branch", signalbox.JobSpec{
			Secrets: []string{"one", "two"}, EnvVars: []signalbox.EnvVar{{Name: "C", Value: "own"}},
			Files: []signalbox.File{{Path: "/etc/x", Content: []byte("own"), Mode: "0600"}},
		})
		got := r.payload(token, job)
		for name, want := range map[string][]string{"A": {"1"}, "B": {"1", "2"}, "C": {"1", "own"}} {
			if diff := cmp.Diff(want, envOf(t, got, name)); diff != "" {
				t.Errorf("%s, in the order in which later ones win (-want +got):\n%s", name, diff)
			}
		}
		if v := envOf(t, got, "SEMAPHORE_GIT_SHA"); v[len(v)-1] != "mine" {
			t.Errorf("a secret does not come after the variables of git: %q", v)
		}
		if v := envOf(t, got, "SEMAPHORE_WORKFLOW_ID"); len(v) != 2 || v[1] == "mine" {
			t.Errorf("a secret does not come before the variables of the workflow: %q", v)
		}
		var files []string
		for _, f := range got.Files {
			files = append(files, f.Path+" "+f.Mode+" "+decoded(t, f.Content))
		}
		if diff := cmp.Diff([]string{"/etc/x 0644 one", ".ssh/a 0644 \x00\xff", "/etc/x 0644 two", "/etc/x 0600 own"}, files); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	})
}

// A job and each of its containers get their own secrets and nobody else's.
func TestSecretsOfContainers(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		r.secret("", "job", signalbox.SecretAccess{}, "J=1")
		r.secret("", "db", signalbox.SecretAccess{}, "PW=first", "/etc/db=file")
		r.secret("", "hub", signalbox.SecretAccess{}, "DOCKER_CREDENTIAL_TYPE=DockerHub", "DOCKERHUB_PASSWORD=pull")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.secretJob(p, "branch", signalbox.JobSpec{
			Secrets: []string{"job"}, PullSecrets: []string{"hub"},
			Containers: []signalbox.Container{
				{Name: "main", Image: "go", User: "u", Entrypoint: "e", Command: "c"},
				{Name: "db", Image: "pg", Secrets: []string{"db"}, EnvVars: []signalbox.EnvVar{{Name: "PW", Value: "own"}}},
			},
		})
		got := r.payload(token, job)
		b := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
		want := &agentapi.Compose{
			Containers: []agentapi.Container{
				{Name: "main", Image: "go", User: "u", Entrypoint: "e", Command: "c", EnvVars: []agentapi.EnvVar{}, Files: []agentapi.File{}},
				{
					Name: "db", Image: "pg", EnvVars: []agentapi.EnvVar{{Name: "PW", Value: b("first")}, {Name: "PW", Value: b("own")}},
					Files: []agentapi.File{{Path: "/etc/db", Content: b("file"), Mode: "0644"}},
				},
			},
			ImagePullCredentials: []agentapi.ImagePullCredential{{
				EnvVars: []agentapi.EnvVar{{Name: "DOCKER_CREDENTIAL_TYPE", Value: b("DockerHub")}, {Name: "DOCKERHUB_PASSWORD", Value: b("pull")}}, Files: []agentapi.File{},
			}},
			HostSetupCommands: []agentapi.Command{},
		}
		if diff := cmp.Diff(want, got.Compose); diff != "" || got.Executor != "dockercompose" {
			t.Errorf("%s: %s", got.Executor, diff)
		}
		if len(envOf(t, got, "J")) != 1 || len(envOf(t, got, "PW")) != 0 || len(got.Files) != 0 {
			t.Errorf("the job itself got %v and %d files", got.EnvVars, len(got.Files))
		}
		if v := envOf(t, got, "SEMAPHORE_AGENT_MACHINE_ENVIRONMENT_TYPE"); len(v) != 1 || v[0] != "container" {
			t.Errorf("environment type %q", v)
		}
		values, _, err := r.hub.Secrets.Handed(context.Background(), r.attemptOf(job))
		if err != nil || len(values) != 5 {
			t.Errorf("%d values are kept out of the log, %v", len(values), err)
		}
	})
}

func (r *replay) attemptOf(job string) (id string) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		j, err := tx.Job(job)
		id = j.AttemptID
		return err
	})
	return id
}

// A missing secret of a container fails the job as one of the job does.
func TestAMissingSecretOfAContainer(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		id := r.secretJob(p, "branch", signalbox.JobSpec{
			Containers: []signalbox.Container{{Name: "main", Image: "go", Secrets: []string{"none"}}}, PullSecrets: []string{"hub"},
		})
		r.say(token, waits)
		r.write(func(tx *store.Tx) error {
			j, err := tx.Job(id)
			if j.FailureReason != "Secret none not found, Secret hub not found" || j.Reason != signalbox.ReasonStartFailed {
				t.Errorf("%s %s %q", j.State, j.Reason, j.FailureReason)
			}
			return err
		})
	})
}

func TestAskingAgainGivesTheSameSecrets(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		one := r.secret("", "one", signalbox.SecretAccess{}, "A=first value")
		r.secret("", "two", signalbox.SecretAccess{}, "B=first value")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.secretJob(p, "branch", signalbox.JobSpec{Secrets: []string{"one", "two"}})
		before := r.payload(token, job)
		if _, err := r.hub.Secrets.Update(context.Background(), "", "one", secret.Change{
			Content: true, EnvVars: []signalbox.SecretVar{{Name: "A", Value: signalbox.NewSecretValue("second value")}},
		}, "user:ann"); err != nil {
			t.Fatal(err)
		}
		r.write(func(tx *store.Tx) error {
			two, err := tx.FindSecret("", "two")
			if err != nil {
				return err
			}
			return tx.DeleteSecret(two.ID, "user:ann")
		})
		// Long after nobody can restore it, an attempt that was given a secret still has it.
		for range 50 {
			time.Sleep(5 * time.Second)
			r.say(token, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: job})
		}
		w := r.fetch(token, job)
		var after agentapi.JobPayload
		if err := json.Unmarshal(w.Body.Bytes(), &after); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("the second answer differs (-first +second):\n%s", diff)
		}
		values, final, err := r.hub.Secrets.Handed(context.Background(), r.jobRow(job).AttemptID)
		if err != nil || !final || len(values) != 2 || values[0].Reveal() != "first value" {
			t.Errorf("handed: %d values, final %v, %v", len(values), final, err)
		}
		attempt := r.jobRow(job).AttemptID
		r.write(func(tx *store.Tx) error {
			events, err := tx.Events("attempt", attempt)
			found := false
			for _, e := range events {
				found = found || e.Reason == "secrets handed out" && strings.Contains(e.Detail, one.ID+" version 1")
				if strings.Contains(e.Detail, "value") {
					t.Errorf("a history holds a value: %+v", e)
				}
			}
			if !found {
				t.Error("the attempt's history does not say which secrets it was given")
			}
			return err
		})
		r.end(token, job)
		time.Sleep(10 * time.Second)
		r.write(func(tx *store.Tx) error {
			if _, err := tx.SecretVersion(one.ID, 1); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
				t.Errorf("after the end of the log the old version is still there: %v", err)
			}
			all, err := tx.SecretVersions(signalbox.SecretVersion{}, 100)
			if len(all) != 1 {
				t.Errorf("%d versions are left, want the current one of the secret that was not deleted", len(all))
			}
			return err
		})
	})
}

func TestWhoGetsWhichSecret(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		other := &signalbox.Project{Name: "other", GitURL: "/srv/other.git", DefaultBranch: "main", PipelineFile: "p.yml"}
		r.write(func(tx *store.Tx) error { return tx.CreateProject(other, "test") })
		all := r.secret("", "all", signalbox.SecretAccess{}, "A=organization")
		r.secret("", "some", signalbox.SecretAccess{Projects: signalbox.ProjectsAllowed, ProjectIDs: []string{p.ID}}, "A=some")
		r.secret("", "none", signalbox.SecretAccess{Projects: signalbox.ProjectsNone, ProjectIDs: []string{p.ID}}, "A=none")
		r.secret("", "shadowed", signalbox.SecretAccess{}, "A=organization")
		r.secret(p.ID, "shadowed", signalbox.SecretAccess{}, "A=project")
		r.secret(p.ID, "own", signalbox.SecretAccess{}, "A=own")
		r.register(agentapi.RegisterRequest{Name: "one-agent"})
		for _, c := range []struct {
			project *signalbox.Project
			refType string
			names   []string
			want    string // the values of A, or why the job fails
		}{
			{p, "branch", nil, ""},
			{p, "branch", []string{"all"}, "organization"},
			{p, "branch", []string{"some"}, "some"},
			{other, "branch", []string{"some"}, "Secret some not found"},
			{p, "branch", []string{"none"}, "Secret none not found"},
			{p, "branch", []string{"shadowed"}, "project"},
			{other, "branch", []string{"shadowed"}, "organization"},
			{p, "branch", []string{"own"}, "own"},
			{other, "branch", []string{"own"}, "Secret own not found"},
			{p, "branch", []string{all.ID}, "Secret " + all.ID + " not found"},
			{p, "tag", []string{"all", "own", "all"}, "own organization"},
			{p, "branch", []string{"x", "all", "y"}, "Secret x not found, Secret y not found"},
			{p, "pull-request", []string{"all", "own", "x"}, ""},
		} {
			token := r.register(agentapi.RegisterRequest{Name: "agent-" + signalbox.NewID()[9:]})
			job := r.secretJob(c.project, c.refType, signalbox.JobSpec{Secrets: c.names})
			if strings.HasPrefix(c.want, "Secret ") {
				res := r.say(token, waits)
				j := r.jobRow(job)
				if res.Action == agentapi.ActionRunJob || j.AttemptID != "" {
					t.Errorf("%q: the job reached an agent: %+v", c.names, res)
				}
				if j.State != signalbox.JobFinished || j.Result != signalbox.JobFailed || j.Reason != signalbox.ReasonStartFailed || j.FailureReason != c.want {
					t.Errorf("%q: %s %s %s %q, want %q", c.names, j.State, j.Result, j.Reason, j.FailureReason, c.want)
				}
				continue
			}
			got := r.payload(token, job)
			if v := strings.Join(envOf(t, got, "A"), " "); v != c.want {
				t.Errorf("%q in %s for a %s: %q, want %q", c.names, c.project.Name, c.refType, v, c.want)
			}
			r.end(token, job)
		}
	})
}

// Between offer and fetch anything may happen to a secret.
func TestASecretThatIsGoneWhenTheJobIsFetched(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		s := r.secret("", "one", signalbox.SecretAccess{}, "A=1")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.secretJob(p, "branch", signalbox.JobSpec{Secrets: []string{"one"}})
		if res := r.say(token, waits); res.JobID != job {
			t.Fatalf("%+v", res)
		}
		r.write(func(tx *store.Tx) error { return tx.DeleteSecret(s.ID, "user:ann") })
		if w := r.fetch(token, job); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "env_vars") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		j := r.jobRow(job)
		if j.Result != signalbox.JobFailed || j.Reason != signalbox.ReasonStartFailed || j.FailureReason != "Secret one not found" {
			t.Errorf("%s %s %q", j.Result, j.Reason, j.FailureReason)
		}
		r.say(token, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: job, JobResult: "failed"})
		next := r.secretJob(p, "branch", signalbox.JobSpec{})
		if res := r.say(token, waits); res.JobID != next {
			t.Errorf("the agent is not free: %+v", res)
		}
	})
}

func TestASecretMayForbidDebugging(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		r.secret("", "one", signalbox.SecretAccess{}, "A=1")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		job := r.secretJob(p, "branch", signalbox.JobSpec{Secrets: []string{"one"}})
		r.payload(token, job)
		r.end(token, job)
		debug := func() (d *signalbox.Job) {
			r.write(func(tx *store.Tx) error {
				j, err := tx.Job(job)
				if err != nil {
					return err
				}
				d, err = r.hub.Engine.Debug(tx, j, time.Minute, "user:ann")
				return err
			})
			return d
		}
		d := debug()
		if v := envOf(t, r.payload(token, d.ID), "A"); len(v) != 1 || v[0] != "1" {
			t.Errorf("a debug job gets %q", v)
		}
		r.end(token, d.ID)
		d = debug()
		if _, err := r.hub.Secrets.Update(context.Background(), "", "one", secret.Change{Access: &signalbox.SecretAccess{Projects: signalbox.ProjectsAll, NoDebug: true}}, "user:ann"); err != nil {
			t.Fatal(err)
		}
		r.say(token, waits)
		synctest.Wait()
		if j := r.jobRow(d.ID); j.Result != signalbox.JobFailed || j.FailureReason != secret.Blocked {
			t.Errorf("a debug job of a secret that forbids it: %s %q", j.Result, j.FailureReason)
		}
		// The same when it is forbidden between offer and fetch.
		rule := func(noDebug bool) {
			if _, err := r.hub.Secrets.Update(context.Background(), "", "one", secret.Change{Access: &signalbox.SecretAccess{Projects: signalbox.ProjectsAll, NoDebug: noDebug}}, "user:ann"); err != nil {
				t.Fatal(err)
			}
		}
		rule(false)
		d = debug()
		if res := r.say(token, waits); res.JobID != d.ID {
			t.Fatalf("%+v", res)
		}
		rule(true)
		if w := r.fetch(token, d.ID); w.Code != http.StatusNotFound {
			t.Errorf("fetching it: %d", w.Code)
		}
		if j := r.jobRow(d.ID); j.FailureReason != secret.Blocked {
			t.Errorf("%s %q", j.Result, j.FailureReason)
		}
	})
}
