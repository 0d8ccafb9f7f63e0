package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/backup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// TestAnOlderSchemaIsMigratedAtTheNextStart restores the backup of an older server.
func TestAnOlderSchemaIsMigratedAtTheNextStart(t *testing.T) {
	old := store.Options{Dir: t.TempDir()}
	v := store.Versions{Main: 7, Log: 1}
	f, err := store.OpenEmpty(t.Context(), old, v)
	if err != nil {
		t.Fatal(err)
	}
	for table, version := range map[string]int{"schema_meta": v.Main, "log_schema_meta": v.Log} {
		columns := []store.Column{{Name: "id", Kind: store.Int}, {Name: "version", Kind: store.Int}, {Name: "min_reader", Kind: store.Int}}
		if err := f.Insert(store.Table{Name: table, Columns: columns}, [][]any{{int64(1), int64(version), int64(1)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Insert(store.Table{Name: "account", Columns: []store.Column{
		{Name: "id", Kind: store.Text}, {Name: "name", Kind: store.Text}, {Name: "role", Kind: store.Text}, {Name: "created_at", Kind: store.Int},
	}}, [][]any{{"1", "ann", "admin", int64(1)}}); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b")
	m, _, err := backup.WriteFile(t.Context(), backup.Options{Store: old}, file, false)
	if err != nil || m.Schemas != v {
		t.Fatalf("%+v, %v", m, err)
	}
	dir := t.TempDir()
	if _, err := restore(t, file, backup.Target{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, store.Options{Dir: dir})
	if err := s.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.UserByName("ann"); return err }); err != nil {
		t.Error(err)
	}
	if err := s.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Organization(); return err }); err != nil {
		t.Errorf("a table that came later: %v", err)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	storetest.Damage(t, w.o, false, `UPDATE schema_meta SET version = 1000`)
	file, dir := w.backup(), t.TempDir()
	_, err := restore(t, file, backup.Target{Dir: dir})
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "version 1000") || !strings.Contains(err.Error(), "newer") {
		t.Errorf("restored: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTextThatIsNotUTF8 is about SQLite only, which stores what it is given.
func TestTextThatIsNotUTF8(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	storetest.Damage(t, w.o, false, `UPDATE project SET default_branch = CAST(X'ff4100' AS TEXT)`)
	dir := t.TempDir()
	if _, err := restore(t, w.backup(), backup.Target{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, l := range content(t, store.Options{Dir: dir}) {
		found = found || strings.HasPrefix(l, "project ") && strings.Contains(l, `"\xffA\x00"`)
	}
	if !found {
		t.Error("the text has changed")
	}
}
