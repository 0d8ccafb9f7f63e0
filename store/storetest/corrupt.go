package storetest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/signalbox-ci/signalbox/store"
)

// Damage changes a closed or idle store behind its back, with no key and no reference in the way; onLogs is for the log
// database. It is for tests of what notices that.
func Damage(t testing.TB, o store.Options, onLogs bool, statements ...string) {
	t.Helper()
	driver, name, first := "pgx", o.URL, "SET session_replication_role = replica"
	if o.URL == "" {
		driver, name, first = "sqlite", filepath.Join(o.Dir, "signalbox.db"), "PRAGMA foreign_keys = OFF"
		if onLogs {
			name = filepath.Join(o.Dir, "log.db")
		}
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{first}, statements...) {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
