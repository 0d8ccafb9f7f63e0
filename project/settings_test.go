package project

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestUpdateChecksAndTells(t *testing.T) {
	w := open(t)
	bare, _ := w.repository("shop", map[string]string{"readme": "a shop"})
	p := &signalbox.Project{Name: "shop", GitURL: bare}
	for _, p := range []*signalbox.Project{p, {Name: "other", GitURL: bare}} {
		if err := w.projects.Create(t.Context(), p, nil, "user:ana"); err != nil {
			t.Fatal(err)
		}
	}
	update := func(change func(p *signalbox.Project)) error {
		return w.store.Write(t.Context(), func(tx *store.Tx) error {
			_, err := Update(tx, p.ID, "user:ana", func(p *signalbox.Project) error { change(p); return nil })
			return err
		})
	}
	events := func() (out []*signalbox.Event) {
		if err := w.store.Read(t.Context(), func(tx *store.Tx) (err error) { out, err = tx.Events("project", p.ID); return err }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := update(func(p *signalbox.Project) {
		p.Name, p.PipelineFile, p.MaxRunningJobs, p.CustomPermissions = "store", "ci.yml", 4, true
		p.Initialization = signalbox.Initialization{MachineType: "s1-linux"}
	}); err != nil {
		t.Fatal(err)
	}
	all := events()
	if got := all[len(all)-1].Detail; got != "name shop to store, pipeline file .semaphore/semaphore.yml to ci.yml, max_running_jobs 0 to 4, debug by the default rule to [], attach by the default rule to [], initialization" {
		t.Error(got)
	}
	if err := update(func(*signalbox.Project) {}); err != nil || len(events()) != len(all) {
		t.Errorf("a change that changes nothing: %v, %d events", err, len(events()))
	}
	for what, c := range map[string]struct {
		change func(p *signalbox.Project)
		code   signalbox.Code
	}{
		"a name that is none":      {func(p *signalbox.Project) { p.Name = "a b" }, signalbox.CodeInvalid},
		"a name that is taken":     {func(p *signalbox.Project) { p.Name = "other" }, signalbox.CodeConflict},
		"a limit that is none":     {func(p *signalbox.Project) { p.MaxRunningJobs = -1 }, signalbox.CodeInvalid},
		"secrets without commands": {func(p *signalbox.Project) { p.Initialization.Secrets = []string{"x"} }, signalbox.CodeInvalid},
	} {
		if err := update(c.change); signalbox.ErrorCode(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(events()) != len(all) {
		t.Error("what was refused is told")
	}
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		_, err := Update(tx, "none", "user:ana", func(*signalbox.Project) error { return nil })
		return err
	}); signalbox.ErrorCode(err) != signalbox.CodeNotFound || !strings.Contains(err.Error(), "none") {
		t.Errorf("a project that there is not: %v", err)
	}
}
