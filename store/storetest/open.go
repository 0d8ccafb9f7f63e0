// Package storetest holds the conformance suite of the store: what every exported method promises, checked on the
// database that it is given. It also opens fresh databases, SQLite in a temporary folder and PostgreSQL on the server
// that the environment names, for the tests of other packages. Nothing but tests imports it.
package storetest

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// OpenSQLite opens a store in a temporary folder and closes it when the test ends.
func OpenSQLite(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, store.Options{Dir: Folder(t)})
}

// OpenPostgres opens a store in a fresh PostgreSQL database, see PostgresURL, and closes it when the test ends.
func OpenPostgres(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, store.Options{URL: PostgresURL(t)})
}

// Open opens a store and closes it when the test ends.
func Open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// PostgresURL makes an empty database on the server that SIGNALBOX_TEST_POSTGRES names (a URL of an account that may
// create databases), returns its URL and drops it when the test ends. Without a server the test is skipped, or fails
// when SIGNALBOX_TEST_REQUIRE is 1.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("SIGNALBOX_TEST_POSTGRES")
	if server == "" {
		const why = "SIGNALBOX_TEST_POSTGRES is not set: nothing was tested on PostgreSQL"
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	u, err := url.Parse(server)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		t.Fatalf("SIGNALBOX_TEST_POSTGRES must be a URL that begins with postgres://, not %q", server)
	}
	name := "signalbox_test_" + strings.ReplaceAll(signalbox.NewID(), "-", "")
	admin(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

func admin(t testing.TB, server, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
