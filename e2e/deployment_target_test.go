package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// productionFile is what example 09 promotes to: it passes only with what the promotion and its target give.
const productionFile = `version: v1.0
name: Deploy
agent: {machine: {type: s1-linux}}
blocks:
  - name: Deploy
    task:
      jobs:
        - name: deploy
          commands:
            - test "$VERSION $REGION" = "9 eu"
            - test "$DEPLOY_KEY" = open-sesame && cat "$HOME/deploy.key"
            - echo "the key is $DEPLOY_KEY"
after_pipeline:
  task:
    jobs:
      - name: after
        commands: [test -z "$DEPLOY_KEY"]
`

// writeProduction puts the file into a repository.
func writeProduction(t *testing.T, repo string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(repo, "deploy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo, "deploy", "production.yml"), []byte(productionFile), 0o644); err != nil {
		t.Fatal(err)
	}
}

// production makes the target that example 09 names: ann may deploy to it, from master.
func (y *yard) production(t *testing.T, project *signalbox.Project) {
	t.Helper()
	y.write(func(tx *store.Tx) error {
		for _, name := range []string{"ann", "bob"} {
			if err := tx.CreateUser(&signalbox.User{Name: name, Role: signalbox.RoleMember}); err != nil {
				return err
			}
		}
		return nil
	})
	v := signalbox.NewSecretValue
	if err := y.server.Secrets().CreateTarget(context.Background(), &signalbox.DeploymentTarget{
		ProjectID: project.ID, Name: "production", Subjects: []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: "ann"}},
		Objects: []signalbox.ObjectRule{{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: "master"}},
	}, []signalbox.SecretVar{{Name: "DEPLOY_KEY", Value: v("open-sesame")}}, []signalbox.SecretFile{{Path: "deploy.key", Content: v("content-of-the-key\n")}},
		signalbox.NewID(), "test"); err != nil {
		t.Fatal(err)
	}
}

// deploys does what the first lines of example 09 say about the promotion to production.
func (y *yard) deploys(t *testing.T, p *signalbox.Pipeline) {
	t.Helper()
	promote := func(by string, kv ...string) (*signalbox.Promotion, string) {
		r := engine.PromoteRequest{Name: "Production", By: by}
		for i := 0; i < len(kv); i += 2 {
			r.Parameters = append(r.Parameters, signalbox.EnvVar{Name: kv[i], Value: kv[i+1]})
		}
		var asked *signalbox.Promotion
		err := y.server.Store().Write(context.Background(), func(tx *store.Tx) (err error) {
			asked, err = y.engine.Promote(tx, p.ID, r, "user:"+by)
			return err
		})
		return asked, signalbox.ErrorMessage(err)
	}
	for _, c := range []struct {
		by, want string
		values   []string
	}{
		{"ann", "Missing value for required parameter 'VERSION'.", nil},
		{"ann", "Value 'mars' of parameter 'REGION' is not one of predefined options.", []string{"VERSION", "9", "REGION", "mars"}},
		{"ann", "Parameter 'FOO' is not defined in promotion's yml definition.", []string{"FOO", "1"}},
		{"bob", "Triggering promotion with deployment target failed: subject not allowed", nil}, // before the parameters
	} {
		if _, got := promote(c.by, c.values...); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s with %q: %s, want %s", c.by, c.values, got, c.want)
		}
	}
	asked, text := promote("ann", "VERSION", "9")
	if asked == nil {
		t.Fatal(text)
	}
	next := y.ended(asked.CreatedPipelineID)
	if got := y.outcome(next); !strings.HasPrefix(got, "passed | Deploy passed") {
		t.Errorf("deployed: %s %s", got, next.ErrorDescription)
	}
	var jobs []*signalbox.Job
	y.until("what comes after the deployment has ended", 2*time.Minute, func() bool {
		y.write(func(tx *store.Tx) (err error) { jobs, err = tx.JobsOf(next.ID); return err })
		return len(jobs) == 2 && jobs[0].State == signalbox.JobFinished && jobs[1].State == signalbox.JobFinished
	})
	for _, j := range jobs {
		var out bytes.Buffer
		if err := joblog.New(joblog.Options{Store: y.server.Store()}).Text(context.Background(), j.AttemptID, &out); err != nil {
			t.Fatal(err)
		}
		log := out.String()
		if j.Result != signalbox.JobPassed || strings.Contains(log, "open-sesame") || strings.Contains(log, "content-of-the-key") {
			t.Errorf("%s %s:\n%s", j.Name, j.Result, log)
		}
		if j.Name == "deploy" && !strings.Contains(log, "the key is ***") {
			t.Errorf("%s:\n%s", j.Name, log)
		}
	}
}
