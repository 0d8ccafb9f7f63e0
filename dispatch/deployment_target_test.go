package dispatch

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// target stores a deployment target that anybody may use.
func (r *replay) target(p *signalbox.Project) *signalbox.DeploymentTarget {
	r.Helper()
	d := &signalbox.DeploymentTarget{ProjectID: p.ID, Name: "production", Subjects: signalbox.AnySubject(), Objects: signalbox.AnyObject()}
	v := signalbox.NewSecretValue
	if err := r.hub.Secrets.CreateTarget(context.Background(), d, []signalbox.SecretVar{{Name: "KEY", Value: v("of-the-target")}, {Name: "BOTH", Value: v("weak-value")}},
		[]signalbox.SecretFile{{Path: ".key", Content: v("file-of-the-target")}}, signalbox.NewID(), "user:ann"); err != nil {
		r.Fatal(err)
	}
	return d
}

const promoted = `version: v1.0
agent: {machine: {type: s1-linux}}
blocks:
  - name: B
    task:
      secrets: [{name: own}]
      jobs: [{name: b, commands: ["true"]}]
after_pipeline:
  task: {jobs: [{name: after, commands: ["true"]}]}
`

// deployed promotes through the target and returns the pipeline.
func (r *replay) deployed(p *signalbox.Project, refType, file string) (id string) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		if _, err := tx.UserByName("ann"); err != nil {
			if err := tx.CreateUser(&signalbox.User{Name: "ann", Role: signalbox.RoleMember}); err != nil {
				return err
			}
		}
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: p.ID, Ref: "refs/heads/main", RefType: refType, BranchName: "main", Label: "main", TriggeredBy: signalbox.TriggeredByHook,
			RequestToken: signalbox.NewID(),
		}, "test")
		if err != nil {
			return err
		}
		first, err := r.eng.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte("version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - {skip: {when: true}, task: {jobs: [{commands: [\"true\"]}]}}\n" +
			"promotions: [{name: Ship, pipeline_file: ship.yml, deployment_target: production}]\n")}, "test")
		if err != nil {
			return err
		}
		asked, err := r.eng.Promote(tx, first.ID, engine.PromoteRequest{Name: "Ship", By: "ann"}, "user:ann")
		if err != nil {
			return err
		}
		next, err := tx.Pipeline(asked.CreatedPipelineID)
		if err != nil {
			return err
		}
		id = next.ID
		return r.eng.Initialize(tx, id, engine.Compile(w, next, engine.Source{File: next.File, YAML: []byte(file)}), "test")
	})
	time.Sleep(10 * time.Millisecond)
	return id
}

func (r *replay) named(pipeline, name string) (out *signalbox.Job) {
	r.Helper()
	r.write(func(tx *store.Tx) error {
		all, err := tx.JobsOf(pipeline)
		for _, j := range all {
			if j.Name == name {
				out = j
			}
		}
		return err
	})
	return out
}

func TestWhatATargetHandsToJobs(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		d := r.target(p)
		r.secret(p.ID, "own", signalbox.SecretAccess{}, "BOTH=strong-value")
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		id := r.deployed(p, "branch", promoted)
		b := r.named(id, "b")
		got := r.payload(token, b.ID)
		for name, want := range map[string][]string{"KEY": {"of-the-target"}, "BOTH": {"weak-value", "strong-value"}} {
			if diff := cmp.Diff(want, envOf(t, got, name)); diff != "" {
				t.Errorf("%s, in the order in which later ones win (-want +got):\n%s", name, diff)
			}
		}
		if len(got.Files) != 1 || got.Files[0].Path != ".key" || decoded(t, got.Files[0].Content) != "file-of-the-target" {
			t.Errorf("files %+v", got.Files)
		}
		// The log keeps out what was handed out, and asking again gives the same.
		values, final, err := r.hub.Secrets.Handed(context.Background(), r.attemptOf(b.ID))
		var texts []string
		for _, v := range values {
			texts = append(texts, v.Reveal())
		}
		if diff := cmp.Diff([]string{"of-the-target", "weak-value", "strong-value", "file-of-the-target"}, texts); diff != "" || !final || err != nil {
			t.Errorf("kept out of the log, final %v, %v (-want +got):\n%s", final, err, diff)
		}
		w := r.fetch(token, b.ID)
		if w.Code != http.StatusOK || len(w.Body.Bytes()) == 0 {
			t.Errorf("asking again: %d", w.Code)
		}
		r.end(token, b.ID)

		after := r.named(id, "after")
		got = r.payload(token, after.ID)
		if v := envOf(t, got, "KEY"); len(v) != 0 || len(got.Files) != 0 {
			t.Errorf("after_pipeline got %q and %d files", v, len(got.Files))
		}
		r.end(token, after.ID)

		var session *signalbox.Job
		r.write(func(tx *store.Tx) error {
			j, err := tx.Job(b.ID)
			if err != nil {
				return err
			}
			session, err = r.hub.Engine.Debug(tx, j, time.Minute, "user:ann")
			return err
		})
		if v := envOf(t, r.payload(token, session.ID), "KEY"); len(v) != 1 {
			t.Errorf("a debug session got %q", v)
		}
		r.end(token, session.ID)

		// A job that has nothing but what the target gives is kept out of its log too.
		bare := r.named(r.deployed(p, "branch", strings.Replace(promoted, "      secrets: [{name: own}]\n", "", 1)), "b")
		if v := envOf(t, r.payload(token, bare.ID), "KEY"); len(v) != 1 {
			t.Errorf("a job without secrets of its own got %q", v)
		}
		if values, final, err := r.hub.Secrets.Handed(context.Background(), r.attemptOf(bare.ID)); err != nil || !final || len(values) != 3 {
			t.Errorf("%d values are kept out of its log, final %v, %v", len(values), final, err)
		}
		r.end(token, bare.ID)
		after = r.named(bare.PipelineID, "after")
		r.payload(token, after.ID)
		r.end(token, after.ID)

		// A pipeline cannot name the secret of a target, by whatever name or id.
		for _, name := range []string{signalbox.TargetSecretName(d.ID), d.SecretID} {
			thief := r.secretJob(p, "branch", signalbox.JobSpec{Secrets: []string{name}})
			r.say(token, waits)
			if j := r.jobRow(thief); j.Result != signalbox.JobFailed || j.FailureReason != "Secret "+name+" not found" {
				t.Errorf("a job that names %s: %s %q", name, j.State, j.FailureReason)
			}
		}

		// Nothing is left for jobs of a target that is deleted before they are handed out.
		id = r.deployed(p, "branch", promoted)
		r.write(func(tx *store.Tx) error { return tx.DeleteDeploymentTarget(d, "", "user:ann") })
		r.say(token, waits)
		if j := r.jobRow(r.named(id, "b").ID); j.Result != signalbox.JobFailed || j.FailureReason != "Deployment target production was deleted" {
			t.Errorf("%s %s %q", j.State, j.Result, j.FailureReason)
		}
	})
}

// What counts as a pull request of a fork may be let through, and still gets nothing.
func TestATargetAndAPullRequest(t *testing.T) {
	bubble(t, func(r *replay) {
		p := r.vault()
		r.target(p)
		token := r.register(agentapi.RegisterRequest{Name: "one-agent"})
		id := r.deployed(p, "pull-request", strings.Replace(promoted, "      secrets: [{name: own}]\n", "", 1))
		got := r.payload(token, r.named(id, "b").ID)
		if v := envOf(t, got, "KEY"); len(v) != 0 || len(got.Files) != 0 {
			t.Errorf("got %q and %d files", v, len(got.Files))
		}
	})
}
