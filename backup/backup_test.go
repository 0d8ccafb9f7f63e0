package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/backup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// world is an installation with something in every kind of column.
type world struct {
	testing.TB
	dir, artifacts string
	o              store.Options
	store          *store.Store
	folder         *artifact.Folder
	project        *signalbox.Project
}

func newWorld(t testing.TB, o store.Options) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), o: o, project: &signalbox.Project{Name: "démo \"<&>\"", GitURL: "/srv/demo.git", PipelineFile: "p.yml"}}
	w.artifacts = filepath.Join(w.dir, "artifacts")
	w.store = storetest.Open(t, o)
	var err error
	if w.folder, err = artifact.OpenFolder(w.artifacts, "org"); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.OpenKeyring(w.dir); err != nil {
		t.Fatal(err)
	}
	if err := w.store.PutNew(t.Context(), "organization-id", []byte("org")); err != nil {
		t.Fatal(err)
	}
	if err := w.store.PutNew(t.Context(), "blob", []byte{0, 1, 255, '"'}); err != nil {
		t.Fatal(err)
	}
	typ := &signalbox.AgentType{Name: "s1-linux", Forks: true}
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateProject(w.project, "test"); err != nil {
			return err
		}
		return tx.CreateAgentType(typ, "test")
	})
	if err := w.store.WriteLog(t.Context(), func(tx *store.LogTx) error {
		_, err := tx.LockLog("nobody", "job")
		if err != nil {
			return err
		}
		return tx.AddLogChunk("nobody", store.LogChunk{First: 0, Count: 1, Data: []byte{1, 2, 3}})
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		w.push(fmt.Sprintf("file-%d", i), strings.Repeat("x", i*100000))
	}
	return w
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.store.Write(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) push(path, text string) (name string) {
	w.Helper()
	sum := sha256.Sum256([]byte(text))
	f := &signalbox.Artifact{
		ProjectID: w.project.ID, Scope: signalbox.ArtifactsOfProject, ScopeID: w.project.ID, Path: path, BlobID: signalbox.NewID(),
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text)),
	}
	up, err := w.folder.Create(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if _, err := up.Write([]byte(text)); err != nil {
		w.Fatal(err)
	}
	name = artifact.BlobName(f.SHA256, f.BlobID)
	if err := up.Commit(name); err != nil {
		w.Fatal(err)
	}
	w.write(func(tx *store.Tx) error { _, err := tx.PutArtifact(f, false, "test"); return err })
	return name
}

func (w *world) options() backup.Options {
	return backup.Options{Store: w.o, ArtifactDir: w.artifacts, KeyFile: filepath.Join(w.dir, auth.MasterKeyFile), Program: "test"}
}

func (w *world) backup() (file string) {
	w.Helper()
	file = filepath.Join(w.TempDir(), "b.tar.zst")
	if _, _, err := backup.WriteFile(w.Context(), w.options(), file, false); err != nil {
		w.Fatal(err)
	}
	return file
}

func restore(t testing.TB, file string, to backup.Target) (backup.Restored, error) {
	t.Helper()
	a, err := backup.Open(t.Context(), file)
	if err != nil {
		return backup.Restored{}, err
	}
	defer a.Close()
	return a.Restore(t.Context(), to)
}

// content returns all rows of all tables as lines.
func content(t testing.TB, o store.Options) (lines []string) {
	t.Helper()
	s, err := store.OpenSnapshot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tables, err := s.Tables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if err := s.Rows(table, func(row []any) error {
			lines = append(lines, fmt.Sprintf("%s %#v", table.Name, row))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// TestRestoredIsTheSame: every row, file and key comes back, on the same kind of database and on the other one.
func TestRestoredIsTheSame(t *testing.T) {
	places := map[string]func(t *testing.T) store.Options{
		"sqlite":   func(t *testing.T) store.Options { return store.Options{Dir: t.TempDir()} },
		"postgres": func(t *testing.T) store.Options { return store.Options{URL: storetest.PostgresURL(t)} },
	}
	for from, source := range places {
		t.Run("from "+from, func(t *testing.T) {
			w := newWorld(t, source(t))
			file := w.backup()
			want := map[string]int{}
			for _, l := range content(t, w.o) {
				if !strings.HasPrefix(l, "log") || strings.HasPrefix(l, "log_schema_meta") {
					want[l]++
				}
			}
			for to, target := range places {
				t.Run("to "+to, func(t *testing.T) {
					o := target(t)
					x := backup.Target{Dir: o.Dir, DatabaseURL: o.URL}
					if x.Dir == "" {
						x.Dir = t.TempDir()
					}
					left, err := restore(t, file, x)
					if err != nil {
						t.Fatal(err)
					}
					if left.Logs != 1 || left.Blobs != 0 {
						t.Errorf("left out %+v; the log of an unknown attempt is to be", left)
					}
					got := map[string]int{}
					for _, l := range content(t, o) {
						got[l]++
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("the rows differ (-backed up +restored):\n%s", diff)
					}
					for _, name := range []string{auth.MasterKeyFile, "artifacts/owner"} {
						a, err := os.ReadFile(filepath.Join(w.dir, name))
						b, err2 := os.ReadFile(filepath.Join(x.Dir, name))
						if err != nil || err2 != nil || !bytes.Equal(a, b) {
							t.Errorf("%s differs: %v, %v", name, err, err2)
						}
					}
					if n, _ := filepath.Glob(filepath.Join(x.Dir, "artifacts", "blobs", "*", "*")); len(n) != 3 {
						t.Errorf("artifacts: %q", n)
					}
					if left, _ := filepath.Glob(filepath.Join(x.Dir, ".restore*")); len(left) > 0 {
						t.Errorf("left behind: %q", left)
					}
					s := storetest.Open(t, o) // migrates and reads
					if err := s.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.Project(w.project.ID); return err }); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// TestADamagedArchiveIsRefused: wherever a byte differs or the file ends, nothing is restored.
func TestADamagedArchiveIsRefused(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	whole, err := os.ReadFile(w.backup())
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // places to damage
	file := filepath.Join(t.TempDir(), "b")
	for i := range 300 {
		text := bytes.Clone(whole)
		what := ""
		if i%3 == 0 {
			n := random.IntN(len(text))
			text, what = text[:n], fmt.Sprintf("cut off at %d of %d", n, len(text))
		} else {
			n := random.IntN(len(text))
			bit := byte(1) << random.IntN(8)
			text[n] ^= bit
			what = fmt.Sprintf("byte %d of %d changed by %d", n, len(text), bit)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := backup.Open(t.Context(), file)
		if err == nil {
			// A bit that means nothing, as in the header of the compression: the content must be the same then.
			a.Close()
			dir := t.TempDir()
			if _, err := restore(t, file, backup.Target{Dir: dir}); err != nil {
				t.Errorf("%s: accepted, and then: %v", what, err)
			} else if got := len(content(t, store.Options{Dir: dir})); got == 0 {
				t.Errorf("%s: accepted, and nothing is there", what)
			}
			continue
		}
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRestoreRefusesWhatIsNotEmpty(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	file := w.backup()
	dir := t.TempDir()
	for _, name := range []string{"signalbox.db", "anything", ".restore-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := restore(t, file, backup.Target{Dir: dir}); signalbox.ErrorCode(err) != signalbox.CodeConflict || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: %q", name, left)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t, file, backup.Target{Dir: dir, ArtifactDir: full}); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Errorf("a full folder for artifacts: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, auth.MasterKeyFile), []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t, file, backup.Target{Dir: dir}); signalbox.ErrorCode(err) != signalbox.CodeConflict || !strings.Contains(err.Error(), "master key") {
		t.Errorf("two master keys: %v", err)
	}
	o := w.options()
	o.KeyFile = ""
	keyless := filepath.Join(t.TempDir(), "b")
	if _, _, err := backup.WriteFile(t.Context(), o, keyless, false); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(keyless); bytes.Contains(text, []byte(auth.MasterKeyFile)) {
		t.Error("the archive names the master key")
	}
	if _, err := restore(t, keyless, backup.Target{Dir: dir}); err != nil {
		t.Errorf("a data folder with its master key: %v", err)
	}
}

func TestRestoreRefusesAUsedPostgres(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	file := w.backup()
	used := newWorld(t, store.Options{URL: storetest.PostgresURL(t)})
	before := content(t, used.o)
	dir := t.TempDir()
	if _, err := restore(t, file, backup.Target{Dir: dir, DatabaseURL: used.o.URL}); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Errorf("a used database: %v", err)
	}
	if diff := cmp.Diff(before, content(t, used.o)); diff != "" {
		t.Error(diff)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestArtifactsThatGoMeanwhile: content that was deleted while the backup ran is left out with its files; content that is
// lost is named.
func TestArtifactsThatGoMeanwhile(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	gone, lost := w.push("gone", "content that goes"), w.push("lost", "content that is lost")
	o := w.options()
	deleted := false
	o.Progress = func(about string, _, _ int64) {
		if deleted {
			return
		}
		deleted = true // after the view of the databases began, before any artifact was copied
		for _, name := range []string{gone, lost} {
			if err := w.folder.Remove(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
		w.write(func(tx *store.Tx) error {
			return tx.DeleteArtifact(signalbox.ArtifactsOfProject, w.project.ID, "gone", "test")
		})
		w.write(func(tx *store.Tx) error { _, err := tx.TakeUnusedBlobs(tx.Now.Add(time.Hour), 100); return err })
	}
	file := filepath.Join(t.TempDir(), "b")
	m, _, err := backup.WriteFile(t.Context(), o, file, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{lost}, m.Artifacts.Lost); diff != "" || m.Artifacts.Count != 3 {
		t.Errorf("%d artifacts, lost:\n%s", m.Artifacts.Count, diff)
	}
	dir := t.TempDir()
	left, err := restore(t, file, backup.Target{Dir: dir})
	if err != nil || left.Blobs != 1 {
		t.Fatalf("%+v, %v", left, err)
	}
	s := storetest.Open(t, store.Options{Dir: dir})
	if err := s.Read(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Artifact(signalbox.ArtifactsOfProject, w.project.ID, "gone"); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			t.Errorf("the deleted artifact: %v", err)
		}
		_, err := tx.Artifact(signalbox.ArtifactsOfProject, w.project.ID, "lost")
		return err
	}); err != nil {
		t.Error(err)
	}
}

// full is a disk that ends.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestABackupThatFailsIsNotThere(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	if _, err := backup.Write(t.Context(), w.options(), &full{1000}); err == nil {
		t.Error("a full disk went unnoticed")
	}
	if _, err := backup.Write(t.Context(), w.options(), io.Discard); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	o := w.options()
	o.Progress = func(string, int64, int64) { cancel() }
	if _, _, err := backup.WriteFile(ctx, o, filepath.Join(dir, "b"), false); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	file := w.backup()
	if _, _, err := backup.WriteFile(t.Context(), w.options(), file, false); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Errorf("over another backup: %v", err)
	}
	if _, _, err := backup.WriteFile(t.Context(), w.options(), file, true); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, _, err := backup.WriteFile(t.Context(), backup.Options{Store: store.Options{Dir: dir}}, filepath.Join(dir, "b"), false); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("no database: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("looking for a database made %v", left)
	}
}
