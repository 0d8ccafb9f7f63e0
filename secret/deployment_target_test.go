package secret

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func (x *Secrets) target(t *testing.T, change ...func(*signalbox.DeploymentTarget)) *signalbox.DeploymentTarget {
	t.Helper()
	p := &signalbox.Project{Name: "web" + signalbox.NewID()[:8], GitURL: "/srv/web.git", PipelineFile: "p.yml"}
	if err := x.Store.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateProject(p, "test") }); err != nil {
		t.Fatal(err)
	}
	d := &signalbox.DeploymentTarget{ProjectID: p.ID, Name: "production", Subjects: signalbox.AnySubject(), Objects: signalbox.AnyObject()}
	for _, fn := range change {
		fn(d)
	}
	if err := x.CreateTarget(t.Context(), d, []signalbox.SecretVar{{Name: "A", Value: value("one")}, {Name: "B", Value: value("")}},
		[]signalbox.SecretFile{{Path: "k", Content: value("key\n")}}, signalbox.NewID(), "user:ann"); err != nil {
		t.Fatal(err)
	}
	return d
}

// heldBy returns what a target hands out.
func (x *Secrets) heldBy(t *testing.T, d *signalbox.DeploymentTarget) (out []string) {
	t.Helper()
	if err := x.Store.Read(t.Context(), func(tx *store.Tx) error {
		s, err := tx.Secret(d.SecretID)
		if err != nil {
			return err
		}
		v, err := tx.SecretVersion(s.ID, s.Version)
		if err != nil {
			return err
		}
		vars, files, err := x.open(scopeOf(s), v)
		for _, e := range vars {
			out = append(out, e.Name+"="+e.Value.Reveal())
		}
		for _, f := range files {
			out = append(out, f.Path+":"+f.Content.Reveal())
		}
		// As the secret of a project or the organization it does not open.
		for _, scope := range []string{"", s.ProjectID} {
			if _, _, err := x.open(scope, v); err == nil {
				t.Errorf("it opens in the scope %q", scope)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatATargetHolds(t *testing.T) {
	onBoth(t, func(t *testing.T, x *Secrets) {
		d := x.target(t)
		want := func(lines ...string) {
			t.Helper()
			if diff := cmp.Diff(lines, x.heldBy(t, d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		want("A=one", "B=", "k:key\n")
		update := func(c TargetChange) *signalbox.DeploymentTarget {
			t.Helper()
			now, err := x.UpdateTarget(t.Context(), d.ID, c, "bob", "user:bob")
			if err != nil {
				t.Fatal(err)
			}
			return now
		}
		var vars, files []signalbox.EnvVar
		if err := x.Store.Read(t.Context(), func(tx *store.Tx) (err error) { vars, files, err = x.Fingerprints(tx, d); return err }); err != nil {
			t.Fatal(err)
		}
		// md5 of "one", of "" and of "a2V5Cg==".
		if diff := cmp.Diff([]signalbox.EnvVar{{Name: "A", Value: "f97c5d29941bfb1b2fdab0874906ab82"}, {Name: "B", Value: "d41d8cd98f00b204e9800998ecf8427e"}}, vars); diff != "" {
			t.Error(diff)
		}
		if len(files) != 1 || len(files[0].Value) != 32 {
			t.Errorf("%v", files)
		}
		back := func(keep ...int) (c TargetChange) {
			c.Content = true
			for _, i := range keep {
				c.EnvVars = append(c.EnvVars, signalbox.SecretVar{Name: vars[i].Name, Value: value(vars[i].Value)})
			}
			return c
		}
		// Sent back as it was shown, it is what it was, and no change at all.
		c := back(0, 1)
		c.Files = []signalbox.SecretFile{{Path: "k", Content: value(decode(t, files[0].Value))}}
		if now := update(c); now.Version != 0 || now.UpdatedBy != "" {
			t.Errorf("nothing changed, and it has version %d", now.Version)
		}
		want("A=one", "B=", "k:key\n")
		c = back(1)
		c.EnvVars = append(c.EnvVars, signalbox.SecretVar{Name: "A", Value: value("two")}, signalbox.SecretVar{Name: "C", Value: value(vars[0].Value)})
		if now := update(c); now.Version != 1 || now.UpdatedBy != "bob" {
			t.Errorf("version %d by %q", now.Version, now.UpdatedBy)
		}
		want("B=", "A=two", "C="+vars[0].Value) // a fingerprint stands for the value of its own name only
		name := "prod"
		update(TargetChange{Name: &name})
		want("B=", "A=two", "C="+vars[0].Value)
		update(TargetChange{Content: true})
		want()

		if err := x.Store.Read(t.Context(), func(tx *store.Tx) error {
			for noun, id := range map[string]string{"deployment target": d.ID, "secret": d.SecretID} {
				events, err := tx.Events(noun, id)
				if err != nil || len(events) < 2 {
					t.Errorf("%s: %d events, %v", noun, len(events), err)
				}
				for _, e := range events {
					if strings.Contains(e.Reason+e.Detail, "two") || strings.Contains(e.Reason+e.Detail, vars[0].Value) {
						t.Errorf("a history holds a value: %+v", e)
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := x.Keys.Prepare(); err != nil {
			t.Fatal(err)
		}
		if n, err := x.Rekey(t.Context()); err != nil || n.Versions != 1 {
			t.Errorf("a new key: %+v, %v", n, err)
		}
		if err := x.Forget(t.Context()); err != nil {
			t.Error(err)
		}
		want()
	})
}

func decode(t *testing.T, text string) string {
	t.Helper()
	f := signalbox.SecretFile{}
	b, err := base64.StdEncoding.DecodeString(text)
	f.Content = value(string(b))
	if err != nil || encoded(f) != text {
		t.Fatalf("%q does not survive base64: %v", text, err)
	}
	return string(b)
}

func TestTheSubjectsOfATarget(t *testing.T) {
	x := sqlite(t)
	ann, gone := &signalbox.User{Name: "ann", Role: signalbox.RoleMember}, &signalbox.User{Name: "gone", Role: signalbox.RoleMember}
	if err := x.Store.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateUser(gone); err != nil {
			return err
		}
		return tx.CreateUser(ann)
	}); err != nil {
		t.Fatal(err)
	}
	d := x.target(t, func(d *signalbox.DeploymentTarget) {
		d.Subjects = []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: "ann"}, {Type: signalbox.SubjectUser, ID: ann.ID}, {Type: signalbox.SubjectRole, ID: "Admin"}, {Type: signalbox.SubjectGroup, ID: "x"}}
	})
	want := []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: ann.ID}, {Type: signalbox.SubjectUser, ID: ann.ID}, {Type: signalbox.SubjectRole, ID: "admin"}, {Type: signalbox.SubjectGroup, ID: "x"}}
	if diff := cmp.Diff(want, d.Subjects); diff != "" {
		t.Error(diff)
	}
	for rule, text := range map[signalbox.SubjectRule]string{
		{Type: signalbox.SubjectUser, ID: "eve"}:             `user "eve" is not a member of the project`,
		{Type: signalbox.SubjectUser, ID: signalbox.NewID()}: "is not a member of the project",
		{Type: signalbox.SubjectRole, ID: "boss"}:            `role "boss" is not valid`,
	} {
		_, err := x.UpdateTarget(t.Context(), d.ID, TargetChange{Subjects: []signalbox.SubjectRule{rule}}, "ann", "user:ann")
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v, want %s", rule, err, text)
		}
	}
}

func TestChangeWhatWasSeen(t *testing.T) {
	onBoth(t, func(t *testing.T, x *Secrets) {
		d := x.target(t)
		change := func(fn func(d *signalbox.DeploymentTarget), vars []signalbox.SecretVar, files ...signalbox.SecretFile) error {
			now := *d
			fn(&now)
			return x.ChangeTarget(t.Context(), &now, vars, files, "bob", "user:bob")
		}
		keep := []signalbox.SecretVar{{Name: "B", Keep: true}, {Name: "A", Keep: true}, {Name: "C", Value: value("three")}}
		if err := change(func(d *signalbox.DeploymentTarget) { d.Description = "new" }, keep, signalbox.SecretFile{Path: "k", Keep: true}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"B=", "A=one", "C=three", "k:key\n"}, x.heldBy(t, d)); diff != "" {
			t.Error(diff)
		}
		// Now there is another version than the one that was seen.
		if err := change(func(*signalbox.DeploymentTarget) {}, nil); signalbox.ErrorCode(err) != signalbox.CodeConflict || !strings.Contains(err.Error(), "meanwhile") {
			t.Error(err)
		}
		d.Version++
		for _, err := range []error{
			change(func(*signalbox.DeploymentTarget) {}, []signalbox.SecretVar{{Name: "NONE", Keep: true}}),
			change(func(*signalbox.DeploymentTarget) {}, nil, signalbox.SecretFile{Path: "none", Keep: true}),
		} {
			if signalbox.ErrorCode(err) != signalbox.CodeConflict || !strings.Contains(err.Error(), "could be kept") {
				t.Error(err)
			}
		}
		if len(x.heldBy(t, d)) != 4 {
			t.Error("what was refused was done")
		}
		// Nobody may deploy, from nowhere, and nothing is handed out: also that can be said.
		if err := change(func(d *signalbox.DeploymentTarget) { d.Subjects, d.Objects = nil, nil }, nil); err != nil || len(x.heldBy(t, d)) != 0 {
			t.Errorf("%v, it holds %v", err, x.heldBy(t, d))
		}
		made := &signalbox.DeploymentTarget{ProjectID: d.ProjectID, Name: "b"}
		if err := x.CreateTarget(t.Context(), made, []signalbox.SecretVar{{Name: "A", Keep: true}}, nil, signalbox.NewID(), "user:bob"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("a new target keeps what it never had: %v", err)
		}
		if err := x.CordonTarget(t.Context(), d.ID, true, "bob", "user:bob"); err != nil {
			t.Error(err)
		}
	})
}

// Rules that stay may name people who are gone; rules that come may not.
func TestRulesThatStay(t *testing.T) {
	x := sqlite(t)
	gone := &signalbox.User{Name: "gone", Role: signalbox.RoleMember}
	if err := x.Store.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateUser(gone) }); err != nil {
		t.Fatal(err)
	}
	d := x.target(t, func(d *signalbox.DeploymentTarget) {
		d.Subjects = []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: "gone"}}
	})
	if err := x.Store.Write(t.Context(), func(tx *store.Tx) error { return tx.DisableUser(gone, "test") }); err != nil {
		t.Fatal(err)
	}
	d.Description = "other"
	if err := x.ChangeTarget(t.Context(), d, nil, nil, "bob", "user:bob"); err != nil {
		t.Error(err)
	}
	d.Version++
	d.Subjects = append(d.Subjects, signalbox.SubjectRule{Type: signalbox.SubjectAuto})
	if err := x.ChangeTarget(t.Context(), d, nil, nil, "bob", "user:bob"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Error(err)
	}
}
