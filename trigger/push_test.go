package trigger

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// A project moves to a copy of its repository while a push to the old one is being looked at: nothing of the old one is written, wherever
// in the look it moves. Only then a push to the new one counts, and one to the old one does not.
func TestALookAtARepositoryThatTheProjectLeft(t *testing.T) {
	for name, c := range map[string]struct {
		before string // the project moves before the first statement with these words
		hooked bool
	}{
		"a push that the hook wrote down": {"FROM organization", true},
		"a push that refs tell":           {"FROM organization", false},
		"before the refs are compared":    {"FROM git_ref", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			moved := filepath.Join(t.TempDir(), "moved.git")
			w.git(w.work, "clone", "-q", "--bare", w.bare, moved)
			refs, err := (&forge.Repo{Dir: moved}).Refs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !c.hooked {
				if err := os.Remove(filepath.Join(w.bare, "hooks", "post-receive")); err != nil {
					t.Fatal(err)
				}
			}
			w.commit("to the old one", pipeline)
			w.git(w.work, "push", "-q", "origin", "main")
			before := *w.p
			hasMoved := false
			w.seen = func(statement string) {
				if hasMoved || !strings.Contains(statement, c.before) {
					return
				}
				hasMoved = true
				if err := w.st.Write(t.Context(), func(tx *store.Tx) error {
					w.p.GitURL, w.p.GitDir = moved, moved
					if err := tx.UpdateProject(w.p, "user:ann", "repository"); err != nil {
						return err
					}
					return tx.ReplaceGitRefs(w.p.ID, refs)
				}); err != nil {
					t.Error(err)
				}
			}
			if err := w.tr.Deliver(t.Context(), &before); err != nil || !hasMoved {
				t.Fatal(hasMoved, err)
			}
			w.expect()
			if err := w.st.Read(t.Context(), func(tx *store.Tx) error {
				got, err := tx.GitRefs(w.p.ID)
				if !maps.Equal(got, refs) {
					t.Errorf("the refs are %v, want those of the new repository, %v", got, refs)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			w.commit("to the new one", pipeline)
			w.git(w.work, "push", "-q", moved, "main")
			for range 2 {
				if err := w.tr.Deliver(t.Context(), &before); err != nil { // as somebody asks who has read the project long ago
					t.Fatal(err)
				}
			}
			w.expect("main to the new one")
		})
	}
}

// What a repository elsewhere holds is not taken for what another one does, and is gone once its project has moved.
func TestMirrorsOfAProjectThatMoves(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(t.TempDir(), "other.git")
	w.git(w.work, "init", "-q", "--bare", "-b", "main", other)
	w.git(w.work, "checkout", "-q", "--orphan", "main2")
	w.commit("of another repository", pipeline)
	w.git(w.work, "push", "-q", other, "HEAD:main")
	first := w.git(w.bare, "rev-parse", "main")
	for _, address := range []string{"file://localhost" + w.bare, "file://localhost" + other} {
		w.p.GitURL, w.p.GitDir = address, ""
		if err := w.st.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateProject(w.p, "user:ann", "repository") }); err != nil {
			t.Fatal(err)
		}
		w.deliver()
		mirrors, err := filepath.Glob(filepath.Join(w.tr.o.MirrorDir, "*"))
		if err != nil || len(mirrors) != 1 || mirrors[0] != w.tr.mirrorDir(w.p) {
			t.Errorf("mirrors: %v, %v", mirrors, err)
		}
	}
	_, _, err := w.tr.Start(t.Context(), Request{Project: w.p, SHA: first, Actor: "user:ann"})
	if err == nil || !strings.Contains(err.Error(), "has no branch, tag or commit") {
		t.Errorf("a commit of the repository that the project left: %v", err)
	}
	w.p.GitURL, w.p.GitDir = w.bare, w.bare
	if err := w.st.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateProject(w.p, "user:ann", "repository") }); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	if mirrors, err := filepath.Glob(filepath.Join(w.tr.o.MirrorDir, "*")); err != nil || len(mirrors) != 0 {
		t.Errorf("mirrors of nothing: %v, %v", mirrors, err)
	}
}
