package trigger

import (
	"context"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

const targeted = `version: v1.0
agent: {machine: {type: s1-x}}
blocks:
  - task: {jobs: [{commands: ["true"]}]}
promotions:
  - {name: Stage, pipeline_file: next.yml, deployment_target: staging}
  - name: Ship
    pipeline_file: next.yml
    deployment_target: production
`

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.st.Write(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) target(name string) *signalbox.DeploymentTarget {
	w.Helper()
	d := &signalbox.DeploymentTarget{ID: signalbox.NewID(), ProjectID: w.p.ID, Name: name, Subjects: signalbox.AnySubject(), Objects: signalbox.AnyObject()}
	w.write(func(tx *store.Tx) error { return tx.CreateDeploymentTarget(d, "", "test") })
	return d
}

// A file that names a target which the project does not have is wrong, at its place, whatever starts the pipeline.
func TestAFileNamesATargetThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.target("staging")
	w.file(".semaphore/semaphore.yml", targeted)
	w.file(".semaphore/next.yml", targeted)
	w.push("train", "main")
	_, p, err := w.tr.Start(t.Context(), Request{Project: w.p, Ref: "main", TriggeredBy: signalbox.TriggeredByHook, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `.semaphore/semaphore.yml:9:24: the project has no deployment target named "production"`
	if p.Result != signalbox.ResultFailed || p.Reason != signalbox.ReasonMalformed || !strings.HasPrefix(p.ErrorDescription, want) || strings.Contains(p.ErrorDescription, "staging") {
		t.Errorf("%s/%s: %s, want %s", p.Result, p.Reason, p.ErrorDescription, want)
	}
	d := w.target("production")
	p = w.start("main")
	if p.Plan == nil || p.Plan.Promotions[1].Target != "production" {
		t.Errorf("with the target: %s %s", p.State, p.ErrorDescription)
	}
	// The same where a promotion starts it.
	w.write(func(tx *store.Tx) error { return tx.DeleteDeploymentTarget(d, "", "test") })
	c, err := w.tr.compileFor(t.Context(), w.p, w.workflow(p), &signalbox.Pipeline{File: ".semaphore/next.yml", ProjectID: w.p.ID}, ranInitialization{})
	if err != nil || !strings.HasPrefix(c.Err, ".semaphore/next.yml:9:24:") {
		t.Errorf("%q, %v", c.Err, err)
	}
}

// Whoever the target would not let through does not get into its jobs either.
func TestEnteringAJobOfATarget(t *testing.T) {
	w := newWorld(t)
	d := w.target("production")
	w.file(".semaphore/semaphore.yml", strings.ReplaceAll(targeted, "staging", "production"))
	w.push("train", "main")
	p := w.start("main")
	ann, bob := &signalbox.User{ID: signalbox.NewID(), Name: "ann", Role: signalbox.RoleAdmin}, &signalbox.User{ID: signalbox.NewID(), Name: "bob", Role: signalbox.RoleAdmin}
	w.write(func(tx *store.Tx) error {
		d.Subjects = []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: ann.ID}}
		return tx.UpdateDeploymentTarget(d, "test", "changed", "")
	})
	w.write(func(tx *store.Tx) error {
		jobs, err := tx.JobsOf(p.ID)
		if err != nil {
			return err
		}
		j := *jobs[0]
		for _, how := range []auth.Access{auth.Debug, auth.Attach} {
			for u, target := range map[*signalbox.User]string{ann: d.ID, bob: ""} {
				if j.TargetID = target; MayEnter(tx, &j, route.Actor{User: u}, how) != nil {
					t.Errorf("%s of %q by %s is refused", how, target, u.Name)
				}
			}
			j.TargetID = d.ID
			err := MayEnter(tx, &j, route.Actor{User: bob}, how)
			if signalbox.ErrorCode(err) != signalbox.CodeForbidden || !strings.Contains(err.Error(), "the deployment target production: subject not allowed") {
				t.Errorf("%s by bob: %v", how, err)
			}
		}
		return nil
	})
}

func (w *world) workflow(p *signalbox.Pipeline) (out *signalbox.Workflow) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { out, err = tx.Workflow(p.WorkflowID); return err })
	return out
}

func TestCommitsSince(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	first := w.git(w.work, "rev-parse", "HEAD")
	w.commit("second", pipeline+"# more\n")
	w.git(w.work, "push", "-q", "origin", "main")
	if n, err := w.tr.CommitsSince(ctx, w.p, first, "main", 10); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	// Of a repository elsewhere only what was fetched is known, and asking fetches nothing.
	elsewhere := *w.p
	elsewhere.GitDir, elsewhere.GitURL = "", "https://git.example.invalid/demo.git"
	if _, err := w.tr.CommitsSince(ctx, &elsewhere, first, "main", 10); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Error(err)
	}
	if _, err := forge.Mirror(ctx, w.bare, w.tr.mirrorDir(&elsewhere)); err != nil {
		t.Fatal(err)
	}
	if n, err := w.tr.CommitsSince(ctx, &elsewhere, first, "main", 10); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
