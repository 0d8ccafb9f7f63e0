package api_test

import (
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// keepTarget makes the deployment target of the recordings that read, change or remove one, with one deployment.
func (w *world) keepTarget(name string) {
	w.Helper()
	if !strings.Contains(name, "deployment-target") || strings.HasPrefix(name, "create") {
		return
	}
	d := &signalbox.DeploymentTarget{
		ProjectID: w.project.ID, Name: "production", Description: "Prod", URL: "https://prod.example.com", Bookmarks: [3]string{"b1"},
		Subjects: signalbox.AnySubject(), Objects: []signalbox.ObjectRule{{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: "main"}},
		Cordoned: strings.HasPrefix(name, "activate"),
	}
	w.must(w.secrets.CreateTarget(w.Context(), d, []signalbox.SecretVar{{Name: "A", Value: signalbox.NewSecretValue("1")}},
		[]signalbox.SecretFile{{Path: "x", Content: signalbox.NewSecretValue("secret\n")}}, signalbox.NewID(), "user:ann"))
	w.target = d.ID
	w.write(func(tx *store.Tx) error {
		return tx.CreateDeployment(&signalbox.Deployment{
			ID: signalbox.NewID(), TargetID: d.ID, TargetName: d.Name, PrevPipelineID: w.ppl.ID, PipelineID: signalbox.NewID(), TriggeredBy: "ann",
			RefType: "branch", RefLabel: "main", Parameters: []signalbox.EnvVar{{Name: "b1", Value: "p1"}}, Bookmarks: [3]string{"p1"},
			State: signalbox.DeploymentStarted,
		})
	})
	if strings.HasSuffix(name, "-403") {
		w.token = w.viewer
	}
}
