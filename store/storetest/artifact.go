package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func hashOf(c byte) string { return strings.Repeat(string(c), 64) }

func (s *suite) artifact(w world, path string, hash byte) *signalbox.Artifact {
	return &signalbox.Artifact{
		ProjectID: w.project.ID, Scope: signalbox.ArtifactsOfWorkflow, ScopeID: w.workflow.ID, Path: path,
		BlobID: signalbox.NewID(), SHA256: hashOf(hash), Size: 3, JobID: "job", AttemptID: "attempt",
	}
}

func (s *suite) put(a *signalbox.Artifact) {
	s.Helper()
	s.write(func(t *store.Tx) error {
		known, err := t.PutArtifact(a, false, "test")
		if err == nil && !known {
			err = fmt.Errorf("the content of %s is not known", a.Path)
		}
		return err
	})
}

func (s *suite) unused(w time.Time) []string {
	s.Helper()
	var out []string
	s.write(func(t *store.Tx) error {
		list, err := t.TakeUnusedBlobs(w, 10)
		out = ids(list, func(b *store.Blob) string { return b.SHA256[:1] })
		slices.Sort(out)
		return err
	})
	return out
}

func testArtifact(s *suite) {
	w := s.world()
	read := func(path string) *signalbox.Artifact {
		s.Helper()
		return get(s, func(t *store.Tx) (*signalbox.Artifact, error) {
			return t.Artifact(signalbox.ArtifactsOfWorkflow, w.workflow.ID, path)
		})
	}
	later := time.Now().Add(time.Hour)

	// Content that is not known yet must be stored first.
	a := s.artifact(w, "dir/a", 'a')
	blob := a.BlobID
	a.BlobID = ""
	s.write(func(t *store.Tx) error {
		known, err := t.PutArtifact(a, false, "test")
		if known {
			s.Error("unknown content is known")
		}
		return err
	})
	s.missing("before its content is there", func(t *store.Tx) error {
		_, err := t.Artifact(a.Scope, a.ScopeID, a.Path)
		return err
	})
	a.BlobID = blob
	s.put(a)
	s.equal("stored", read("dir/a"), a)

	// The same content again is one blob, by whichever name it comes.
	b := s.artifact(w, "dir/b", 'a')
	s.put(b)
	s.equal("blob of the same content", b.BlobID, blob)
	c := s.artifact(w, "c", 'a')
	c.BlobID = ""
	s.put(c)
	s.equal("blob of known content", read("c").BlobID, blob)

	// Creating what is there is refused, unless the same attempt repeats itself.
	again := s.artifact(w, "dir/a", 'a')
	s.write(func(t *store.Tx) error { _, err := t.PutArtifact(again, true, "test"); return err })
	s.equal("pushed twice", read("dir/a"), a)
	for name, change := range map[string]func(*signalbox.Artifact){
		"other content": func(a *signalbox.Artifact) { a.SHA256 = hashOf('b') },
		"other attempt": func(a *signalbox.Artifact) { a.AttemptID = "second" },
	} {
		other := s.artifact(w, "dir/a", 'a')
		change(other)
		s.refused(signalbox.CodeConflict, func(t *store.Tx) error { _, err := t.PutArtifact(other, true, "test"); return err })
		s.equal("after "+name, read("dir/a"), a)
	}
	known := get(s, func(t *store.Tx) (map[string]bool, error) { return t.KnownBlobs([]string{blob, "x"}) })
	s.equal("blobs after refused pushes", known, map[string]bool{blob: true})

	// Replacing and deleting frees content when the last use is gone, and not before.
	n := s.artifact(w, "dir/a", 'n')
	s.put(n)
	s.equal("replaced", read("dir/a").SHA256, hashOf('n'))
	s.equal("its id stays", read("dir/a").ID, a.ID)
	s.equal("unused while two use it", s.unused(later), []string(nil))
	remove := func(path string) {
		s.Helper()
		s.write(func(t *store.Tx) error { return t.DeleteArtifact(a.Scope, a.ScopeID, path, "test") })
	}
	remove("dir/b")
	s.equal("unused while one uses it", s.unused(later), []string(nil))
	remove("c")
	s.equal("unused before it was", s.unused(time.Now().Add(-time.Hour)), []string(nil))
	// Used again before it was taken: it stays.
	s.put(s.artifact(w, "back", 'a'))
	s.equal("unused when it is used again", s.unused(later), []string(nil))
	remove("back")
	s.equal("unused", s.unused(later), []string{"a"})
	s.equal("unused, taken once", s.unused(later), []string(nil))
	fresh := s.artifact(w, "fresh", 'a')
	s.put(fresh)
	if fresh.BlobID == blob {
		s.Error("a blob that was taken is used again")
	}
	s.refused(signalbox.CodeNotFound, func(t *store.Tx) error { return t.DeleteArtifact(a.Scope, a.ScopeID, "dir/b", "test") })
	s.missing("deleted", func(t *store.Tx) error { _, err := t.Artifact(a.Scope, a.ScopeID, "dir/b"); return err })
	s.missing("of another scope", func(t *store.Tx) error {
		_, err := t.Artifact(signalbox.ArtifactsOfJob, a.ScopeID, "dir/a")
		return err
	})
	s.equal("history", s.reasons("artifact", a.ID), []string{"pushed", "replaced"})
	s.equal("history of what is gone", s.reasons("artifact", b.ID), []string{"pushed", "deleted"})
}

func testArtifactsBelow(s *suite) {
	w := s.world()
	for i, path := range []string{"a/1", "a/B/2", "a/b/2", "a", "A/3", "ab/4", "a_b/5", "a%/6", "ä/7", "ä/ö/8", "a/ü"} {
		s.put(s.artifact(w, path, byte('a'+i)))
	}
	other := s.artifact(w, "a/other", 'z')
	other.Scope = signalbox.ArtifactsOfProject
	s.put(other)
	below := func(folder string, limit int) []string {
		s.Helper()
		list := get(s, func(t *store.Tx) ([]*signalbox.Artifact, error) {
			return t.ArtifactsBelow(signalbox.ArtifactsOfWorkflow, w.workflow.ID, folder, limit)
		})
		out := ids(list, func(a *signalbox.Artifact) string { return a.Path })
		slices.Sort(out)
		return out
	}
	s.equal("a", below("a", 100), []string{"a/1", "a/B/2", "a/b/2", "a/ü"})
	s.equal("a/b", below("a/b", 100), []string{"a/b/2"})
	s.equal("ä", below("ä", 100), []string{"ä/7", "ä/ö/8"})
	s.equal("a%", below("a%", 100), []string{"a%/6"})
	s.equal("a_", below("a_", 100), []string(nil))
	s.equal("a/1", below("a/1", 100), []string(nil))
	if n := len(below("", 100)); n != 11 {
		s.Errorf("%d files in all, want 11", n)
	}
	if n := len(below("", 4)); n != 4 {
		s.Errorf("%d files, want the limit of 4", n)
	}
}

// Whatever order pushes, deletions and removals come in, no file is without its content and no content is kept for
// nothing.
func testArtifactsUnderLoad(s *suite) {
	w := s.world()
	var group sync.WaitGroup
	do := func(fn func(*store.Tx) error) {
		err := s.s.Write(context.Background(), fn)
		if c := signalbox.ErrorCode(err); err != nil && c != signalbox.CodeNotFound {
			s.Error(err)
		}
	}
	for g := range 4 {
		group.Go(func() {
			for i := range 25 {
				path, hash := fmt.Sprint("p", (g+i)%3), byte('a'+(g*7+i)%4)
				do(func(t *store.Tx) error { _, err := t.PutArtifact(s.artifact(w, path, hash), false, "test"); return err })
				if i%3 == 0 {
					do(func(t *store.Tx) error {
						return t.DeleteArtifact(signalbox.ArtifactsOfWorkflow, w.workflow.ID, path, "test")
					})
				}
				if i%5 == 0 {
					do(func(t *store.Tx) error { _, err := t.TakeUnusedBlobs(time.Now().Add(time.Hour), 10); return err })
				}
			}
		})
	}
	group.Wait()
	s.unused(time.Now().Add(time.Hour))
	var left []*signalbox.Artifact
	s.read(func(t *store.Tx) (err error) {
		left, err = t.ArtifactsBelow(signalbox.ArtifactsOfWorkflow, w.workflow.ID, "", 100)
		return err
	})
	for _, a := range left {
		s.write(func(t *store.Tx) error { return t.DeleteArtifact(a.Scope, a.ScopeID, a.Path, "test") })
	}
	used := map[string]bool{}
	for _, a := range left {
		used[a.SHA256[:1]] = true
	}
	if got := s.unused(time.Now().Add(time.Hour)); len(got) != len(used) {
		s.Errorf("%q were kept, although %v were used", got, used)
	}
}
