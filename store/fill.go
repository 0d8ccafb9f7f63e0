package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Filler fills an empty store with rows that were read from another one, on whichever of the two databases it was. On
// PostgreSQL nothing of it is there before Commit. On SQLite rows are there as they come, so its folder should be one that
// nobody looks into yet.
type Filler struct {
	main, logs *filling
	tables     map[string]Table
}

type filling struct {
	d  *database
	tx *sql.Tx
	t  *Tx
}

// OpenEmpty makes the schemas as they were in the given versions, in a folder without databases or in a PostgreSQL database
// that nobody has used. Anything else is refused.
func OpenEmpty(ctx context.Context, o Options, v Versions) (*Filler, error) {
	if (o.Dir == "") == (o.URL == "") {
		return nil, errors.New("store: exactly one of a folder and a database URL is needed")
	}
	if newest := NewestVersions(); v.Main > newest.Main || v.Log > newest.Log || v.Main < 1 || v.Log < 1 {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the schemas of the backup are at version %d and %d, this program knows them up to %d and %d: "+
			"restore it with the signalbox that made it, or a newer one", v.Main, v.Log, newest.Main, newest.Log)
	}
	f := &Filler{tables: map[string]Table{}}
	if err := f.open(ctx, o, v); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Filler) open(ctx context.Context, o Options, v Versions) (err error) {
	main, logs := mainSchema, logSchema
	main.versions, logs.versions = v.Main, v.Log
	if o.URL != "" {
		d, err := openPostgres(ctx, o.URL)
		if err != nil {
			return err
		}
		f.main = &filling{d: d}
		f.logs = f.main
		if err := unused(ctx, d, v); err != nil {
			return err
		}
	} else {
		for _, name := range []string{mainFile, logFile} {
			if _, err := os.Lstat(filepath.Join(o.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(signalbox.Errorf(signalbox.CodeConflict, "there is a database %s already: restore into an empty data folder", filepath.Join(o.Dir, name)), err)
			}
		}
		f.main, f.logs = &filling{}, &filling{}
		if f.main.d, err = openSQLite(ctx, filepath.Join(o.Dir, mainFile)); err != nil {
			return err
		}
		if f.logs.d, err = openSQLite(ctx, filepath.Join(o.Dir, logFile)); err != nil {
			return err
		}
	}
	if err := errors.Join(migrate(ctx, f.main.d, main), migrate(ctx, f.logs.d, logs)); err != nil {
		return err
	}
	return f.clear(ctx)
}

// unused refuses a PostgreSQL database that has anything but the schema of this very version, as a restore leaves it that
// was cut off.
func unused(ctx context.Context, d *database, v Versions) error {
	return classify(d.read(ctx, false, func(ctx context.Context, q querier) error {
		t := &Tx{ctx: ctx, q: q, dialect: d.dialect}
		tables, err := t.tables()
		if err != nil || len(tables) == 0 {
			return err
		}
		used := func(what string) error {
			return signalbox.Errorf(signalbox.CodeConflict, "the PostgreSQL database is not empty, it has %s: restore into a new one, as made by createdb", what)
		}
		for _, x := range tables {
			if slices.Contains([]string{mainSchema.meta, logSchema.meta, "organization"}, x.Name) {
				continue
			}
			var n int
			if err := q.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM `+quoted(x.Name)+` LIMIT 1) x`).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				return used("rows in table " + x.Name)
			}
		}
		for of, want := range map[schema]int{mainSchema: v.Main, logSchema: v.Log} {
			if !slices.ContainsFunc(tables, func(x Table) bool { return x.Name == of.meta }) {
				continue
			}
			if found, err := t.schemaVersion(of); err != nil || found != want {
				return errors.Join(used("tables of another version"), err)
			}
		}
		return nil
	}))
}

// clear takes away the rows that migrations make and begins the transactions.
func (f *Filler) clear(ctx context.Context) error {
	for _, x := range f.parts() {
		if err := x.begin(ctx); err != nil {
			return err
		}
		tables, err := x.t.tables()
		if err != nil {
			return err
		}
		for _, t := range slices.Backward(tables) {
			f.tables[t.Name] = t
			if _, err := x.t.exec(`DELETE FROM ` + quoted(t.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Filler) parts() (out []*filling) {
	if f.main != nil {
		out = append(out, f.main)
	}
	if f.logs != nil && f.logs != f.main {
		out = append(out, f.logs)
	}
	return out
}

func (x *filling) begin(ctx context.Context) (err error) {
	if x.d.dialect == sqliteDialect {
		// A damaged database can be backed up, restored and looked at; what it refers to in vain is for a check to find.
		if _, err := x.d.writer.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
			return err
		}
	}
	if x.tx, err = x.d.writer.BeginTx(ctx, nil); err != nil {
		return classify(err)
	}
	x.t = &Tx{ctx: ctx, q: x.tx, dialect: x.d.dialect}
	return nil
}

// maxArguments bounds one statement; SQLite takes 32766 arguments and PostgreSQL 65535.
const maxArguments = 4096

// Insert stores rows of a table whose columns are given. The table and the columns must be in the schema.
func (f *Filler) Insert(table Table, rows [][]any) error {
	known, ok := f.tables[table.Name]
	if !ok {
		return signalbox.Errorf(signalbox.CodeInvalid, "the schema has no table %.60q", table.Name)
	}
	for _, c := range table.Columns {
		if !slices.Contains(known.Columns, c) {
			return signalbox.Errorf(signalbox.CodeInvalid, "table %s has no column %.60q of kind %.20q", table.Name, c.Name, c.Kind)
		}
	}
	x := f.main
	if table.IsLog() {
		x = f.logs
	}
	for part := range slices.Chunk(rows, max(1, maxArguments/max(1, len(table.Columns)))) {
		if err := x.insert(table, part); err != nil {
			return fmt.Errorf("fill table %s: %w", table.Name, classify(err))
		}
	}
	return nil
}

func (x *filling) insert(table Table, rows [][]any) error {
	var b strings.Builder
	b.WriteString(`INSERT INTO ` + quoted(table.Name) + ` (` + table.names() + `) VALUES `)
	var args []any
	for i, row := range rows {
		if len(row) != len(table.Columns) {
			return signalbox.Errorf(signalbox.CodeInvalid, "a row has %d values for %d columns", len(row), len(table.Columns))
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + list(1+i*len(row), len(row)) + ")")
		args = append(args, row...)
	}
	_, err := x.t.exec(b.String(), args...)
	return err
}

// DropStrangeLogs removes the logs of attempts that the main database does not know, because they began after it was read.
func (f *Filler) DropStrangeLogs() (dropped int, err error) {
	for after := ""; ; {
		page, err := f.logs.t.strings(`SELECT attempt_id FROM log WHERE attempt_id > $1 ORDER BY attempt_id LIMIT 500`, after)
		if err != nil || len(page) == 0 {
			return dropped, err
		}
		after = page[len(page)-1]
		known, err := f.main.t.strings(`SELECT id FROM attempt WHERE id IN (`+list(1, len(page))+`)`, anys(nil, page)...)
		if err != nil {
			return dropped, err
		}
		for _, id := range page {
			if slices.Contains(known, id) {
				continue
			}
			if err := (&LogTx{t: f.logs.t}).DeleteLog(id); err != nil {
				return dropped, err
			}
			dropped++
		}
	}
}

// DropBlobs forgets content that is not there, and the files that had it. keep tells which content stays.
func (f *Filler) DropBlobs(keep func(*Blob) bool) (dropped int, err error) {
	for after := ""; ; {
		page, err := f.main.t.BlobsAfter(after, 500)
		if err != nil || len(page) == 0 {
			return dropped, err
		}
		after = page[len(page)-1].ID
		for _, b := range page {
			if keep(b) {
				continue
			}
			for _, statement := range []string{`DELETE FROM artifact WHERE blob_id = $1`, `DELETE FROM artifact_blob WHERE id = $1`} {
				if _, err := f.main.t.exec(statement, b.ID); err != nil {
					return dropped, err
				}
			}
			dropped++
		}
	}
}

// Commit makes everything durable. On SQLite the databases are complete files afterwards, once they are closed.
func (f *Filler) Commit() error {
	for _, x := range f.parts() {
		if err := x.tx.Commit(); err != nil {
			return classify(err)
		}
	}
	return nil
}

// Close gives up what was not committed.
func (f *Filler) Close() error {
	var errs []error
	for _, x := range f.parts() {
		if x.tx != nil {
			errs = append(errs, ignoreDone(x.tx.Rollback()))
		}
		if x.d != nil {
			errs = append(errs, x.d.close())
		}
	}
	return errors.Join(errs...)
}
