package storetest

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func newTarget(projectID, name string) *signalbox.DeploymentTarget {
	return &signalbox.DeploymentTarget{ID: signalbox.NewID(), ProjectID: projectID, Name: name, CreatedBy: "ann", UpdatedBy: "ann"}
}

func testDeploymentTarget(s *suite) {
	w := s.world()
	d := newTarget(w.project.ID, "production")
	d.Description, d.URL, d.Bookmarks = "the real thing", "https://example.com", [3]string{"VERSION", "", "REGION"}
	d.Subjects, d.Objects = signalbox.AnySubject(), []signalbox.ObjectRule{{Type: signalbox.ObjectTag, Match: signalbox.MatchRegex, Pattern: "^v"}}
	x := newSecret(w.project.ID, signalbox.TargetSecretName(d.ID))
	x.TargetID, d.SecretID = d.ID, x.ID
	token := signalbox.NewID()
	s.write(func(t *store.Tx) error {
		if err := t.CreateSecret(x, version(x, 1), "user:ann"); err != nil {
			return err
		}
		return t.CreateDeploymentTarget(d, token, "user:ann")
	})
	target := func(fn func(t *store.Tx) (*signalbox.DeploymentTarget, error)) *signalbox.DeploymentTarget {
		return get(s, fn)
	}
	s.equal("by id", target(func(t *store.Tx) (*signalbox.DeploymentTarget, error) { return t.DeploymentTarget(d.ID) }), d)
	s.equal("by name", target(func(t *store.Tx) (*signalbox.DeploymentTarget, error) {
		return t.FindDeploymentTarget(w.project.ID, "production")
	}), d)
	s.equal("by request", target(func(t *store.Tx) (*signalbox.DeploymentTarget, error) {
		return t.DeploymentTargetOf(w.project.ID, token)
	}), d)
	s.missing("by no request", func(t *store.Tx) error { _, err := t.DeploymentTargetOf(w.project.ID, ""); return err })

	// Its secret is nobody else's.
	for _, key := range []string{x.ID, x.Name} {
		s.missing("secret by "+key, func(t *store.Tx) error { _, err := t.FindSecret(w.project.ID, key); return err })
	}
	s.equal("secrets of the project", len(get(s, func(t *store.Tx) ([]*signalbox.Secret, error) { return t.Secrets(w.project.ID, false, 9, 0) })), 0)
	s.equal("the secret", get(s, func(t *store.Tx) (*signalbox.Secret, error) { return t.Secret(x.ID) }), x)

	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateDeploymentTarget(newTarget(w.project.ID, "production"), "", "user:bob")
	})
	staging := newTarget(w.project.ID, "a-staging")
	s.write(func(t *store.Tx) error { return t.CreateDeploymentTarget(staging, "", "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		taken := *staging
		taken.Name = "production"
		return t.UpdateDeploymentTarget(&taken, "user:bob", "changed", "name")
	})
	s.equal("all", ids(get(s, func(t *store.Tx) ([]*signalbox.DeploymentTarget, error) { return t.DeploymentTargets(w.project.ID) }),
		func(d *signalbox.DeploymentTarget) string { return d.Name }), []string{"a-staging", "production"})

	old := *d
	d.Cordoned, d.Objects, d.UpdatedBy = true, nil, "bob"
	s.write(func(t *store.Tx) error { return t.UpdateDeploymentTarget(d, "user:bob", "changed", "cordoned") })
	var got *signalbox.DeploymentTarget
	s.write(func(t *store.Tx) (err error) { got, err = t.LockDeploymentTarget(d.ID); return err })
	s.equal("after an update", got, d)
	s.equal("version", got.Version, 1)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.UpdateDeploymentTarget(&old, "user:eve", "changed", "") })

	gone := signalbox.NewID()
	s.write(func(t *store.Tx) error { return t.DeleteDeploymentTarget(d, gone, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DeleteDeploymentTarget(d, gone, "user:ann") })
	s.missing("deleted", func(t *store.Tx) error { _, err := t.FindDeploymentTarget(w.project.ID, "production"); return err })
	if x := get(s, func(t *store.Tx) (*signalbox.Secret, error) { return t.Secret(x.ID) }); x.DeletedAt.IsZero() {
		s.Error("the secret outlives its target")
	}
	for token, want := range map[string]bool{gone: true, token: false, "": false} {
		s.equal("deleted by "+token, get(s, func(t *store.Tx) (*bool, error) { b, err := t.DeletedDeploymentTarget(d.ID, token); return &b, err }), &want)
	}
	s.write(func(t *store.Tx) error {
		return t.CreateDeploymentTarget(newTarget(w.project.ID, "production"), signalbox.NewID(), "user:ann")
	})
	s.write(func(t *store.Tx) error { return t.DeleteProject(w.project.ID, "user:ann") })
	s.equal("of a deleted project", len(get(s, func(t *store.Tx) ([]*signalbox.DeploymentTarget, error) { return t.DeploymentTargets(w.project.ID) })), 0)
}

func testDeployments(s *suite) {
	w := s.world()
	d, other := newTarget(w.project.ID, "production"), newTarget(w.project.ID, "staging")
	s.write(func(t *store.Tx) error {
		if err := t.CreateDeploymentTarget(other, "", "test"); err != nil {
			return err
		}
		return t.CreateDeploymentTarget(d, "", "test")
	})
	var all []*signalbox.Deployment
	// In one transaction all times are the same, and the order still is the one in which they were made.
	s.write(func(t *store.Tx) error {
		all = nil
		for i := range 7 {
			x := &signalbox.Deployment{
				ID: signalbox.NewID(), TargetID: d.ID, TargetName: d.Name, WorkflowID: w.workflow.ID, PrevPipelineID: w.pipeline.ID, Promotion: "Ship", PipelineID: signalbox.NewID(),
				TriggeredBy: []string{"ann", "bob"}[i%2], RefType: "branch", RefLabel: []string{"main", "dev", "rel"}[i%3], State: signalbox.DeploymentStarted,
				Parameters: []signalbox.EnvVar{{Name: "V", Value: "1"}}, Bookmarks: [3]string{"1", "", []string{"eu", "us"}[i%2]},
			}
			if i == 6 {
				x.State, x.PipelineID, x.Message = signalbox.DeploymentFailed, "", "no"
			}
			if err := t.CreateDeployment(x); err != nil {
				return err
			}
			all = append([]*signalbox.Deployment{x}, all...)
		}
		return nil
	})
	page := func(f store.DeploymentFilter) []*signalbox.Deployment {
		f.TargetID = d.ID
		return get(s, func(t *store.Tx) ([]*signalbox.Deployment, error) { return t.Deployments(f) })
	}
	s.equal("history", page(store.DeploymentFilter{}), all)
	s.equal("first page", page(store.DeploymentFilter{Limit: 3}), all[:3])
	s.equal("older", page(store.DeploymentFilter{Limit: 3, Before: all[2].Order}), all[3:6])
	s.equal("newer", page(store.DeploymentFilter{Limit: 2, After: all[5].Order}), all[3:5])
	s.equal("of bob", len(page(store.DeploymentFilter{TriggeredBy: "bob"})), 3)
	s.equal("of dev", len(page(store.DeploymentFilter{RefType: "branch", RefLabel: "dev"})), 2)
	s.equal("of a tag", len(page(store.DeploymentFilter{RefType: "tag"})), 0)
	s.equal("by a parameter", len(page(store.DeploymentFilter{Bookmarks: [3]string{"1", "", "us"}})), 3)
	s.equal("by another one", len(page(store.DeploymentFilter{Bookmarks: [3]string{"", "1", ""}})), 0)
	last := get(s, func(t *store.Tx) (map[string]*signalbox.Deployment, error) { return t.LastDeployments(w.project.ID) })
	s.equal("the last that was started", last, map[string]*signalbox.Deployment{d.ID: all[1]})
}
