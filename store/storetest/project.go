package storetest

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testProject(s *suite) {
	p := &signalbox.Project{Name: "demo", GitURL: "https://git/demo", GitDir: "/srv/demo", DefaultBranch: "main", PipelineFile: "ci.yml"}
	s.write(func(t *store.Tx) error { return t.CreateProject(p, "user:ann") })
	if !signalbox.IsID(p.ID) || p.CreatedAt.IsZero() {
		s.Errorf("id %q, created at %v", p.ID, p.CreatedAt)
	}
	for _, key := range []string{p.ID, p.Name} {
		s.equal("found by "+key, get(s, func(t *store.Tx) (*signalbox.Project, error) { return t.FindProject(key) }), p)
	}
	s.equal("by id", get(s, func(t *store.Tx) (*signalbox.Project, error) { return t.Project(p.ID) }), p)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.CreateProject(&signalbox.Project{Name: "demo", GitURL: "x", PipelineFile: "y"}, "test")
	})
	other := &signalbox.Project{Name: "another", GitURL: "x", PipelineFile: "y"}
	s.write(func(t *store.Tx) error { return t.CreateProject(other, "test") })
	name := func(p *signalbox.Project) string { return p.Name }
	s.equal("all, by name", ids(get(s, (*store.Tx).Projects), name), []string{"another", "demo"})
	s.write(func(t *store.Tx) error { return t.LockProject(p.ID) })

	p.Name, p.PipelineFile, p.CustomPermissions = "renamed", "other.yml", true
	p.GitURL, p.GitDir, p.DefaultBranch = "/srv/moved", "/srv/moved/.git", "trunk"
	p.Initialization = signalbox.Initialization{MachineType: "s1-init", OSImage: "x", Commands: []string{"true"}, Secrets: []string{"a"}}
	p.DebugPermissions, p.AttachPermissions = []signalbox.RefKind{signalbox.RefTag, signalbox.RefEmpty}, []signalbox.RefKind{signalbox.RefOtherBranch}
	s.write(func(t *store.Tx) error { return t.UpdateProject(p, "user:ann", "name") })
	s.equal("after an update", get(s, func(t *store.Tx) (*signalbox.Project, error) { return t.FindProject("renamed") }), p)
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		taken := *p
		taken.Name = "another"
		return t.UpdateProject(&taken, "user:ann", "")
	})
	p.Name, p.CustomPermissions, p.DebugPermissions, p.AttachPermissions = "demo", false, nil, nil
	p.Initialization = signalbox.Initialization{}
	s.write(func(t *store.Tx) error { return t.UpdateProject(p, "user:ann", "name") })
	s.equal("without rules", get(s, func(t *store.Tx) (*signalbox.Project, error) { return t.Project(p.ID) }), p)

	s.write(func(t *store.Tx) error { return t.DeleteProject(p.ID, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DeleteProject(p.ID, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.UpdateProject(p, "user:ann", "") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DeleteProject(signalbox.NewID(), "user:ann") })
	for _, key := range []string{p.ID, p.Name} {
		s.missing("deleted "+key, func(t *store.Tx) error { _, err := t.FindProject(key); return err })
	}
	if got := get(s, func(t *store.Tx) (*signalbox.Project, error) { return t.Project(p.ID) }); got.DeletedAt.IsZero() {
		s.Error("a deleted project does not say since when")
	}
	s.equal("all after deletion", ids(get(s, (*store.Tx).Projects), name), []string{"another"})
	s.equal("history", s.reasons("project", p.ID), []string{"created", "changed", "changed", "deleted"})
	again := &signalbox.Project{Name: "demo", GitURL: "x", PipelineFile: "y"}
	s.write(func(t *store.Tx) error { return t.CreateProject(again, "test") })
	s.missing("unknown id", func(t *store.Tx) error { _, err := t.Project(signalbox.NewID()); return err })
	s.missing("unknown name", func(t *store.Tx) error { _, err := t.FindProject("nobody"); return err })
}

func testGitRef(s *suite) {
	w := s.world()
	set := func(ref, sha string) {
		s.write(func(t *store.Tx) error { return t.SetGitRef(w.project.ID, ref, sha) })
	}
	refs := func() map[string]string {
		return get(s, func(t *store.Tx) (map[string]string, error) { return t.GitRefs(w.project.ID) })
	}
	s.equal("at first", refs(), map[string]string{})
	set("refs/heads/main", "a")
	set("refs/tags/v1", "b")
	set("refs/heads/main", "c")
	s.equal("after three pushes", refs(), map[string]string{"refs/heads/main": "c", "refs/tags/v1": "b"})
	set("refs/tags/v1", "")
	set("refs/heads/never", "")
	s.equal("after a deletion", refs(), map[string]string{"refs/heads/main": "c"})

	elsewhere := &signalbox.Project{Name: "elsewhere", GitURL: "https://ann:hunter2@git/x", PipelineFile: "y"}
	s.write(func(t *store.Tx) error {
		if err := t.CreateProject(elsewhere, "test"); err != nil {
			return err
		}
		return t.SetGitRef(elsewhere.ID, "refs/heads/main", "e")
	})
	moved := map[string]string{"refs/heads/trunk": "d", "refs/tags/v2": "b"}
	s.write(func(t *store.Tx) error { return t.ReplaceGitRefs(w.project.ID, moved) })
	s.equal("of another repository", refs(), moved)
	s.write(func(t *store.Tx) error { return t.ReplaceGitRefs(w.project.ID, nil) })
	s.equal("of an empty one", refs(), map[string]string{})
	s.equal("of another project", get(s, func(t *store.Tx) (map[string]string, error) { return t.GitRefs(elsewhere.ID) }), map[string]string{"refs/heads/main": "e"})
	s.equal("a password", get(s, func(t *store.Tx) (string, error) {
		events, err := t.Events("project", elsewhere.ID)
		if err != nil {
			return "", err
		}
		return events[0].Detail, nil
	}), "https://ann:xxxxx@git/x")

	for i, want := range []bool{true, false} {
		var got bool
		s.write(func(t *store.Tx) (err error) {
			got, err = t.AcceptDelivery(w.project.ID, "delivery-1")
			return err
		})
		if got != want {
			s.Errorf("delivery, time %d: accepted %t", i+1, got)
		}
	}
}
