package scene

import (
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Targets adds deployment targets to a project, and promotions of a pipeline to them: one with a long history, one that is cordoned, one that is for nobody.
func (s *Scene) Targets(p *signalbox.Project, ppl *signalbox.Pipeline, mei *signalbox.User) {
	s.Write(func(tx *store.Tx) error {
		production := &signalbox.DeploymentTarget{
			ID: signalbox.NewID(), ProjectID: p.ID, Name: "production", Description: "What <b>customers</b> see", URL: "https://parcels.example.com", Bookmarks: [3]string{"VERSION"},
			Subjects: []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: mei.ID}, {Type: signalbox.SubjectRole, ID: "admin"}, {Type: signalbox.SubjectAuto}}, UpdatedBy: "mei",
			Objects: []signalbox.ObjectRule{{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: "main"}, {Type: signalbox.ObjectTag, Match: signalbox.MatchRegex, Pattern: "^v[0-9]+"}},
		}
		for _, d := range []*signalbox.DeploymentTarget{
			production,
			{ID: signalbox.NewID(), ProjectID: p.ID, Name: "staging", Subjects: signalbox.AnySubject(), Objects: signalbox.AnyObject(), Cordoned: true, UpdatedBy: "mei"},
			{ID: signalbox.NewID(), ProjectID: p.ID, Name: "vault", UpdatedBy: "mei"},
		} {
			held := &signalbox.Secret{
				ID: signalbox.NewID(), ProjectID: p.ID, TargetID: d.ID, Name: signalbox.TargetSecretName(d.ID), Access: signalbox.SecretAccess{Projects: signalbox.ProjectsNone},
			}
			content := &signalbox.SecretVersion{SecretID: held.ID, Version: 1, Key: []byte("no key"), Data: []byte("no content")}
			if d == production {
				content.EnvVars, content.Files = []string{"DEPLOY_TOKEN", "REGION"}, []string{".ssh/id_deploy"}
			}
			if err := tx.CreateSecret(held, content, "user:mei"); err != nil {
				return err
			}
			d.SecretID = held.ID
			if err := tx.CreateDeploymentTarget(d, "", "user:mei"); err != nil {
				return err
			}
		}
		for i := range 23 {
			x := &signalbox.Deployment{
				ID: signalbox.NewID(), TargetID: production.ID, TargetName: "production", WorkflowID: ppl.WorkflowID, PrevPipelineID: ppl.ID, Promotion: "Ship <it>",
				PipelineID: signalbox.NewID(), TriggeredBy: "mei", RefType: "branch", RefLabel: "main", State: signalbox.DeploymentStarted,
				Parameters: []signalbox.EnvVar{{Name: "VERSION", Value: "1." + strings.Repeat("0", i)}}, Bookmarks: [3]string{"1." + strings.Repeat("0", i)},
			}
			switch i {
			case 22:
				x.State, x.PipelineID, x.TriggeredBy = signalbox.DeploymentFailed, "", "bob"
				x.Message = "Triggering promotion with deployment target failed: subject not allowed (error ID: " + x.ID + ")"
			case 21:
				x.Auto, x.TriggeredBy, x.RefType, x.RefLabel = true, signalbox.AutoPromotion, "tag", "v1"
			}
			if err := tx.CreateDeployment(x); err != nil {
				return err
			}
		}
		return nil
	})
}
