package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// rows runs a query whose columns are texts and returns one line for each row.
func rows(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	list, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	columns, err := list.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for list.Next() {
		cells := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := list.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(cells, " "))
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// describe lists columns (table, name, type, may be null), keys and unique indexes, each as a line of the same words
// on both databases.
func describeSQLite(t *testing.T, db *sql.DB) (out []string) {
	for _, table := range rows(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`) {
		out = append(out, rows(t, db, `SELECT 'column', $1, name, lower(type), CASE "notnull" WHEN 0 THEN 'YES' ELSE 'NO' END FROM pragma_table_info($1)`, table)...)
		out = append(out, rows(t, db, `SELECT 'key', $1, group_concat(name, ',') FROM (SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk)`, table)...)
		out = append(out, rows(t, db, `SELECT 'unique', $1, l.name, l.partial, (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno))
			FROM pragma_index_list($1) l WHERE l."unique" = 1 AND l.origin <> 'pk'`, table)...)
		out = append(out, rows(t, db, `SELECT 'reference', $1, "from", "table", "to" FROM pragma_foreign_key_list($1)`, table)...)
	}
	return out
}

func describePostgres(t *testing.T, db *sql.DB) (out []string) {
	out = rows(t, db, `SELECT 'column', table_name, column_name, CASE data_type WHEN 'bytea' THEN 'blob' ELSE data_type END, is_nullable
		FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose_%'`)
	out = append(out, rows(t, db, `SELECT CASE WHEN x.indisprimary THEN 'key' ELSE 'unique' END, c.relname,
			CASE WHEN x.indisprimary THEN '' ELSE i.relname || ' ' || CASE WHEN x.indpred IS NULL THEN '0' ELSE '1' END || ' ' END ||
			array_to_string(ARRAY(SELECT a.attname FROM unnest(x.indkey) WITH ORDINALITY k (n, o)
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.n ORDER BY k.o), ',')
		FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
		WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique AND c.relname NOT LIKE 'goose_%'`)...)
	return append(out, rows(t, db, `SELECT 'reference', f.conrelid::regclass::text, a.attname, f.confrelid::regclass::text, b.attname
		FROM pg_constraint f JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
		JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = f.confkey[1] WHERE f.contype = 'f'`)...)
}

func TestSchemasAgree(t *testing.T) {
	lite, post := storetest.OpenSQLite(t), storetest.OpenPostgres(t)
	main, logs := lite.Databases()
	want := append(describeSQLite(t, main), describeSQLite(t, logs)...)
	db, _ := post.Databases()
	got := describePostgres(t, db)
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 200 {
		t.Errorf("SQLite has only %d columns, keys and references: the test does not see them", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("SQLite and PostgreSQL differ (-SQLite +PostgreSQL):\n%s", diff)
	}
}

func TestOpen(t *testing.T) {
	for name, o := range map[string]store.Options{
		"nothing": {}, "both": {Dir: t.TempDir(), URL: "postgres://x"}, "no such server": {URL: "postgres://127.0.0.1:1/x?connect_timeout=1"},
		"a file for a folder": {Dir: "/dev/null/x"},
	} {
		if s, err := store.Open(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
	dir := t.TempDir()
	for range 2 { // migrating what is migrated changes nothing
		s, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewerSchema(t *testing.T) {
	for _, table := range []string{"schema_meta", "log_schema_meta"} {
		for minReader, refused := range map[int]bool{1: false, 99: true} {
			t.Run(fmt.Sprint(table, minReader), func(t *testing.T) {
				dir := t.TempDir()
				s, err := store.Open(t.Context(), store.Options{Dir: dir})
				if err != nil {
					t.Fatal(err)
				}
				db, logs := s.Databases()
				if table == "log_schema_meta" {
					db = logs
				}
				if _, err := db.ExecContext(t.Context(), "UPDATE "+table+" SET version = 99, min_reader = $1", minReader); err != nil {
					t.Fatal(err)
				}
				s.Close()
				s, err = store.Open(t.Context(), store.Options{Dir: dir})
				if err == nil {
					s.Close()
				}
				if refused && signalbox.ErrorCode(err) != signalbox.CodeInvalid || !refused && err != nil {
					t.Errorf("a schema of version 99 that programs from %d on may read: %v", minReader, err)
				}
			})
		}
	}
}

// required returns the version of a module that a go.mod file asks for.
func required(t *testing.T, file, module string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1]
		}
	}
	t.Fatalf("%s does not ask for %s", file, module)
	return ""
}

// The SQLite driver is C code translated for one version of its C library; with another one it may go wrong silently.
func TestSQLiteHasItsLibrary(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "modernc.org/sqlite").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := required(t, filepath.Join(strings.TrimSpace(string(dir)), "go.mod"), "modernc.org/libc")
	if got := required(t, filepath.Join("..", "go.mod"), "modernc.org/libc"); got != want {
		t.Errorf("modernc.org/libc is %s, but modernc.org/sqlite was made for %s", got, want)
	}
}
