package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Snapshot is one unchanging view of both databases, beside a server that goes on writing. It migrates nothing and makes
// nothing, so an older or newer server does not notice it. On SQLite the view of the log database begins after that of the
// main one: what the main one knows of an attempt's end, the log has in full. One goroutine may use it.
type Snapshot struct {
	main, logs *Tx
	dialect    string
	closers    []func() error
}

// Versions are those of the two schemas.
type Versions struct {
	Main int `json:"main"`
	Log  int `json:"log"`
}

// NewestVersions are the newest schemas that this program knows.
func NewestVersions() Versions { return Versions{Main: mainSchema.versions, Log: logSchema.versions} }

// OpenSnapshot begins a view of the databases that o names. Only Dir and URL of o count.
func OpenSnapshot(ctx context.Context, o Options) (*Snapshot, error) {
	if (o.Dir == "") == (o.URL == "") {
		return nil, errors.New("store: exactly one of a folder and a database URL is needed")
	}
	s := &Snapshot{dialect: sqliteDialect}
	err := s.open(ctx, o)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Snapshot) open(ctx context.Context, o Options) (err error) {
	if o.URL != "" {
		s.dialect = postgresDialect
		db, err := openPool(ctx, o.URL, 1, 1)
		if err != nil {
			return err
		}
		s.closers = append(s.closers, db.Close)
		if s.main, err = s.begin(ctx, db, mainSchema); err != nil {
			return err
		}
		s.logs = s.main
		return nil
	}
	if s.main, err = s.openFile(ctx, filepath.Join(o.Dir, mainFile), mainSchema); err != nil {
		return err
	}
	s.logs, err = s.openFile(ctx, filepath.Join(o.Dir, logFile), logSchema)
	return err
}

func (s *Snapshot) openFile(ctx context.Context, path string, of schema) (*Tx, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, signalbox.Errorf(signalbox.CodeNotFound,
			"there is no database %s: name the server's data folder with --data, or its PostgreSQL database with --database", path)
	} else if err != nil {
		return nil, err
	}
	db := openSQLiteDB(sqliteName(path, "query_only(ON)"))
	db.SetMaxOpenConns(1)
	s.closers = append(s.closers, db.Close)
	return s.begin(ctx, db, of)
}

// begin opens a transaction and reads in it, because only the first read decides what it sees.
func (s *Snapshot) begin(ctx context.Context, db *sql.DB, of schema) (*Tx, error) {
	o := &sql.TxOptions{ReadOnly: true}
	if s.dialect == postgresDialect {
		o.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return nil, classify(err)
	}
	s.closers = append(s.closers, func() error { return ignoreDone(tx.Rollback()) })
	t := &Tx{Now: time.Now().UTC().Truncate(time.Millisecond), ctx: ctx, q: tx, dialect: s.dialect}
	if _, err := t.schemaVersion(of); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tx) schemaVersion(of schema) (version int, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT version FROM `+of.meta+` WHERE id = 1`).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("this is not a database of Signalbox, or it is damaged: read its version: %w", err)
	}
	return version, nil
}

// Close ends the view.
func (s *Snapshot) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Main is the view of the main database, in a transaction that cannot write.
func (s *Snapshot) Main() *Tx { return s.main }

// Logs is the view of the log database.
func (s *Snapshot) Logs() *LogTx { return &LogTx{Now: s.logs.Now, t: s.logs} }

// Dialect returns "sqlite" or "postgres".
func (s *Snapshot) Dialect() string { return s.dialect }

// Versions returns the versions of the schemas.
func (s *Snapshot) Versions() (v Versions, err error) {
	if v.Main, err = s.main.schemaVersion(mainSchema); err != nil {
		return v, err
	}
	v.Log, err = s.logs.schemaVersion(logSchema)
	return v, err
}

// Tables returns all tables of both databases, each behind those that it refers to.
func (s *Snapshot) Tables() ([]Table, error) {
	if s.logs == s.main {
		return s.main.tables()
	}
	main, err := s.main.tables()
	if err != nil {
		return nil, err
	}
	logs, err := s.logs.tables()
	return append(main, logs...), err
}

// Rows calls fn with every row of a table, one value for each of its columns: a string, an int64, a bool or bytes. The
// values are fn's to keep, the slice is not.
func (s *Snapshot) Rows(t Table, fn func(row []any) error) error {
	tx := s.main
	if t.IsLog() {
		tx = s.logs
	}
	return tx.rowsOf(t, fn)
}

// Files returns the names of the SQLite databases in their folder, the one that makes a folder a server's last.
func Files() []string { return []string{logFile, mainFile} }
