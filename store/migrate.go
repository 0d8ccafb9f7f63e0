package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/signalbox-ci/signalbox"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// schema is one set of migrations with its own version table. Files are named <prefix>_NNNN.sql.
type schema struct {
	prefix   string
	versions int // the newest migration this program knows
	table    string
	meta     string
}

var (
	mainSchema = schema{prefix: "main", versions: 19, table: "goose_main", meta: "schema_meta"}
	logSchema  = schema{prefix: "log", versions: 3, table: "goose_log", meta: "log_schema_meta"}
)

// laterMigrations are those of a build that stands for the next release, in tests of upgrades.
var laterMigrations map[string]string

// migrate brings the database forward. One text serves both dialects; only the word for bytes differs. A database
// that a newer program has moved on is fine as long as this program is at least its min_reader.
func migrate(ctx context.Context, d *database, s schema) error {
	if err := mayRead(ctx, d, s); err != nil {
		return err
	}
	bytes := "BLOB"
	dialect := goose.DialectSQLite3
	opts := []goose.ProviderOption{goose.WithTableName(s.table), goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(false)}
	if d.dialect == postgresDialect {
		bytes, dialect = "BYTEA", goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	var steps []*goose.Migration
	for v := 1; v <= s.versions; v++ {
		text, err := migrationFiles.ReadFile(fmt.Sprintf("migrations/%s_%04d.sql", s.prefix, v))
		if later, ok := laterMigrations[fmt.Sprintf("%s_%04d", s.prefix, v)]; ok {
			text, err = []byte(later), nil
		}
		if errors.Is(err, fs.ErrNotExist) && v < s.versions {
			continue // a number that was never used
		}
		if err != nil {
			return err
		}
		stmt := strings.ReplaceAll(string(text), " BYTES ", " "+bytes+" ")
		steps = append(steps, goose.NewGoMigration(int64(v), &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, stmt)
			return err
		}}, nil))
	}
	p, err := goose.NewProvider(dialect, d.writer, nil, append(opts, goose.WithGoMigrations(steps...))...)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the %s schema: %w", s.prefix, err)
	}
	return nil
}

func mayRead(ctx context.Context, d *database, s schema) error {
	var version, minReader int
	err := d.writer.QueryRowContext(ctx, "SELECT version, min_reader FROM "+s.meta+" WHERE id = 1").Scan(&version, &minReader)
	if err != nil {
		return nil //nolint:nilerr // no such table: a new database; anything worse shows in the migration itself
	}
	if minReader > s.versions {
		return signalbox.Errorf(signalbox.CodeInvalid,
			"the %s schema is at version %d and needs a program that knows at least version %d; this one knows %d: use a newer signalbox",
			s.prefix, version, minReader, s.versions)
	}
	return nil
}
