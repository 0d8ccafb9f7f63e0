package secret

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// onBoth runs a test on SQLite, and on PostgreSQL where there is one.
func onBoth(t *testing.T, test func(t *testing.T, x *Secrets)) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.OpenSQLite, "postgres": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			keys, err := auth.OpenKeyring(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			x, err := New(Options{Store: open(t), Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			test(t, x)
		})
	}
}

func value(text string) signalbox.SecretValue { return signalbox.NewSecretValue(text) }

// make stores a secret with the variable A.
func (x *Secrets) make(t *testing.T, projectID, name, text string, change ...func(*signalbox.Secret)) *signalbox.Secret {
	t.Helper()
	s := &signalbox.Secret{
		ProjectID: projectID, Name: name, Access: signalbox.SecretAccess{Projects: signalbox.ProjectsAll},
		EnvVars: []signalbox.SecretVar{{Name: "A", Value: value(text)}},
	}
	for _, fn := range change {
		fn(s)
	}
	if err := x.Create(t.Context(), s, "user:ann"); err != nil {
		t.Fatal(err)
	}
	return s
}

// holds returns what a secret holds now as "NAME=value" and "path:content".
func (x *Secrets) holds(t *testing.T, s *signalbox.Secret) (out []string) {
	t.Helper()
	if err := x.Store.Read(t.Context(), func(tx *store.Tx) error {
		row, err := tx.Secret(s.ID)
		if err != nil {
			return err
		}
		v, err := tx.SecretVersion(row.ID, row.Version)
		if err != nil {
			return err
		}
		vars, files, err := x.open(row.ProjectID, v)
		for _, e := range vars {
			out = append(out, e.Name+"="+e.Value.Reveal())
		}
		for _, f := range files {
			out = append(out, f.Path+":"+f.Content.Reveal())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestContentIsKeptReplacedAndRestored(t *testing.T) {
	onBoth(t, func(t *testing.T, x *Secrets) {
		s := x.make(t, "", "deploy", "one", func(s *signalbox.Secret) {
			s.EnvVars = append(s.EnvVars, signalbox.SecretVar{Name: "B", Value: value("two")})
			s.Files = []signalbox.SecretFile{{Path: ".ssh/key", Content: value("\x00\xff\n")}}
		})
		want := func(lines ...string) {
			t.Helper()
			if diff := cmp.Diff(lines, x.holds(t, s)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		want("A=one", "B=two", ".ssh/key:\x00\xff\n")
		update := func(c Change) {
			t.Helper()
			if _, err := x.Update(t.Context(), "", "deploy", c, "user:ann"); err != nil {
				t.Fatal(err)
			}
		}
		update(Change{
			Content: true, EnvVars: []signalbox.SecretVar{{Name: "B"}, {Name: "C", Value: value("three")}},
			Files: []signalbox.SecretFile{{Path: ".ssh/key"}},
		})
		want("B=two", "C=three", ".ssh/key:\x00\xff\n")
		text := "words"
		update(Change{Description: &text, Access: &signalbox.SecretAccess{Projects: signalbox.ProjectsNone, NoDebug: true}})
		want("B=two", "C=three", ".ssh/key:\x00\xff\n")

		remove := func(actor string) {
			t.Helper()
			if err := x.Store.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteSecret(s.ID, actor) }); err != nil {
				t.Fatal(err)
			}
		}
		again := func(actor string) *signalbox.Secret {
			t.Helper()
			n := &signalbox.Secret{
				Name: "deploy", EnvVars: []signalbox.SecretVar{{Name: "B"}, {Name: "D", Value: value("four")}},
			}
			if err := x.Create(t.Context(), n, actor); err != nil {
				t.Fatal(err)
			}
			return n
		}
		remove("user:ann")
		if n := again("user:ann"); n.ID != s.ID {
			t.Errorf("deleted and created again by the same person: id %s, was %s", n.ID, s.ID)
		} else if n.Access.Projects != signalbox.ProjectsNone || !n.Access.NoDebug || n.Description != "words" {
			t.Errorf("it came back with other rules: %+v", n)
		}
		want("B=two", "D=four")
		remove("user:ann")
		if n := again("user:bob"); n.ID == s.ID {
			t.Error("somebody else got a deleted secret back")
		} else {
			s = n
		}
		want("B=", "D=four")
		err := x.Create(t.Context(), &signalbox.Secret{Name: "deploy", Access: s.Access}, "user:ann")
		if signalbox.ErrorCode(err) != signalbox.CodeConflict || signalbox.ErrorMessage(err) != "name has already been taken" {
			t.Errorf("a taken name: %v", err)
		}
	})
}

func TestAHistoryHoldsNoValue(t *testing.T) {
	x := sqlite(t)
	s := x.make(t, "", "deploy", "hunter2-hunter2")
	if _, err := x.Update(t.Context(), "", "deploy", Change{Content: true, EnvVars: []signalbox.SecretVar{{Name: "A", Value: value("hunter3-hunter3")}}}, "user:bob"); err != nil {
		t.Fatal(err)
	}
	if err := x.Store.Read(t.Context(), func(tx *store.Tx) error {
		events, err := tx.Events("secret", s.ID)
		if len(events) != 2 || events[1].Actor != "user:bob" || events[1].Detail != "content" {
			t.Errorf("%+v", events)
		}
		for _, e := range events {
			if strings.Contains(e.Reason+e.Detail, "hunter") {
				t.Errorf("%+v", e)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func sqlite(t *testing.T) *Secrets {
	t.Helper()
	keys, err := auth.OpenKeyring(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	x, err := New(Options{Store: storetest.OpenSQLite(t), Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestACopyOfTheDatabaseOpensNothing(t *testing.T) {
	dir, keyDir := t.TempDir(), t.TempDir()
	keys, err := auth.OpenKeyring(keyDir)
	if err != nil {
		t.Fatal(err)
	}
	st := storetest.Open(t, store.Options{Dir: dir})
	x, err := New(Options{Store: st, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	s := x.make(t, "", "deploy", "hunter2-hunter2", func(s *signalbox.Secret) {
		s.Files = []signalbox.SecretFile{{Path: "f", Content: value("content-of-a-file")}}
	})
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, text := range []string{"hunter2-hunter2", "content-of-a-file", "aHVudGVyMi1odW50ZXIy", "Y29udGVudC1vZi1hLWZpbGU"} {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s holds %s", path, text)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	other, err := auth.OpenKeyring(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stolen := &Secrets{Options{Store: st, Keys: other}}
	if err := st.Read(t.Context(), func(tx *store.Tx) error {
		v, err := tx.SecretVersion(s.ID, 1)
		if err != nil {
			return err
		}
		if _, _, err := stolen.open("", v); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("another master key: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestSwappedCiphertextsDoNotOpen(t *testing.T) {
	x := sqlite(t)
	project, other := signalbox.NewID(), signalbox.NewID()
	a, b := x.make(t, "", "a", "one"), x.make(t, "", "b", "two")
	if _, err := x.Update(t.Context(), "", "a", Change{Content: true, EnvVars: []signalbox.SecretVar{{Name: "A", Value: value("three")}}}, "x"); err != nil {
		t.Fatal(err)
	}
	own := x.make(t, project, "a", "four")
	version := func(s *signalbox.Secret, n int) *signalbox.SecretVersion {
		var v *signalbox.SecretVersion
		if err := x.Store.Read(t.Context(), func(tx *store.Tx) (err error) { v, err = tx.SecretVersion(s.ID, n); return err }); err != nil {
			t.Fatal(err)
		}
		return v
	}
	va, vb, vo := version(a, 2), version(b, 1), version(own, 1)
	moved := func(from, to *signalbox.SecretVersion) *signalbox.SecretVersion {
		return &signalbox.SecretVersion{SecretID: to.SecretID, Version: to.Version, Key: from.Key, Data: from.Data}
	}
	older := *va
	older.Version = 1
	for name, c := range map[string]struct {
		project string
		v       *signalbox.SecretVersion
		opens   bool
	}{
		"as it is":                      {"", va, true},
		"another secret's":              {"", moved(vb, va), false},
		"a project's to organization":   {"", moved(vo, va), false},
		"another project's":             {other, vo, false},
		"said to be the organization":   {"", vo, false},
		"the project's own":             {project, vo, true},
		"another version":               {"", &older, false},
		"data of one, key of the other": {"", &signalbox.SecretVersion{SecretID: va.SecretID, Version: 2, Key: va.Key, Data: vb.Data}, false},
	} {
		if _, _, err := x.open(c.project, c.v); (err == nil) != c.opens {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRekeyUnderLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, x *Secrets) {
		if err := x.Store.PutNew(t.Context(), "ca", x.Keys.Seal([]byte("authority"), "ca")); err != nil {
			t.Fatal(err)
		}
		if err := x.Store.PutNew(t.Context(), "organization-id", []byte(signalbox.NewID())); err != nil {
			t.Fatal(err)
		}
		old, err := auth.OpenKeyring(filepath.Dir(x.Keys.File()))
		if err != nil {
			t.Fatal(err)
		}
		all := []*signalbox.Secret{x.make(t, "", "first", "text of first"), x.make(t, signalbox.NewID(), "own", "text of own")}
		ctx, stop := context.WithCancel(t.Context())
		made, ended := make(chan *signalbox.Secret, 100000), make(chan error, 3)
		for i := range 3 {
			go func() {
				for n := 0; ctx.Err() == nil; n++ {
					s := &signalbox.Secret{
						Name: signalbox.NewID()[9:] + "-" + string(rune('a'+i)), Access: signalbox.SecretAccess{Projects: signalbox.ProjectsAll},
					}
					s.EnvVars = []signalbox.SecretVar{{Name: "A", Value: value("text of " + s.Name)}}
					if err := x.Create(context.Background(), s, "user:ann"); err != nil {
						ended <- err
						return
					}
					made <- s
				}
				ended <- nil
			}()
		}
		for len(made) < 5 {
			time.Sleep(time.Millisecond) // load, not a condition of the test
		}
		if _, err := x.Rekey(t.Context()); err != nil {
			t.Error(err)
		}
		stop()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		close(made)
		for s := range made {
			all = append(all, s)
		}
		// Who was between sealing and storing while the key changed is found by the next one.
		if err := x.Forget(t.Context()); signalbox.ErrorCode(err) == signalbox.CodeConflict {
			if _, err := x.reseal(t.Context(), false); err != nil {
				t.Error(err)
			}
			if err := x.Forget(t.Context()); err != nil {
				t.Error(err)
			}
		} else if err != nil {
			t.Error(err)
		}
		if len(x.Keys.Keys()) != 1 || x.Keys.Keys()[0] == old.Keys()[0] {
			t.Errorf("the ring has %v, had %v", x.Keys.Keys(), old.Keys())
		}
		for _, s := range all {
			if got := x.holds(t, s); len(got) != 1 || got[0] != "A=text of "+s.Name {
				t.Errorf("%s holds %q", s.Name, got)
			}
		}
		if b, err := x.Store.Get(t.Context(), "ca"); err != nil {
			t.Error(err)
		} else if b, err = x.Keys.Open(b, "ca"); err != nil || string(b) != "authority" {
			t.Errorf("%s, %v", b, err)
		}
		if err := x.Forget(t.Context()); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("forgetting the only key: %v", err)
		}
	})
}

func TestAnOlderKeyIsNotForgottenWhileItIsNeeded(t *testing.T) {
	x := sqlite(t)
	s := x.make(t, "", "a", "text")
	if err := errors.Join(x.Keys.Prepare(), x.Keys.Advance()); err != nil {
		t.Fatal(err)
	}
	if err := x.Forget(t.Context()); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Errorf("forgetting a key that is needed: %v", err)
	}
	if got := x.holds(t, s); got[0] != "A=text" {
		t.Errorf("%q", got)
	}
}
