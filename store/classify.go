package store

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/signalbox-ci/signalbox"
)

// classify gives driver errors the codes of the house. Errors that have one already, and those of the caller's
// context, pass through.
func classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var own *signalbox.Error
	if errors.As(err, &own) {
		return err
	}
	switch {
	case isUnique(err):
		return &signalbox.Error{Code: signalbox.CodeConflict, Message: "it exists already", Err: err}
	case isUnavailable(err):
		return &signalbox.Error{Code: signalbox.CodeUnavailable, Message: "the data store cannot write now (disk full or database away); try again", Err: err}
	}
	return err
}

func isUnique(err error) bool {
	var s *sqlite.Error
	if errors.As(err, &s) {
		return s.Code() == lib.SQLITE_CONSTRAINT_UNIQUE || s.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	var p *pgconn.PgError
	return errors.As(err, &p) && p.Code == "23505"
}

func isUnavailable(err error) bool {
	var s *sqlite.Error
	if errors.As(err, &s) {
		switch s.Code() & 0xff {
		case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_BUSY, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_NOMEM:
			return true
		}
		return false
	}
	var p *pgconn.PgError
	if errors.As(err, &p) {
		// Classes 08 connection, 53 resources (disk full, too many connections), 57P0x server shutting down.
		return strings.HasPrefix(p.Code, "08") || strings.HasPrefix(p.Code, "53") || strings.HasPrefix(p.Code, "57P0")
	}
	var c *pgconn.ConnectError
	var n net.Error
	return errors.As(err, &c) || errors.As(err, &n) || errors.Is(err, sql.ErrConnDone)
}

// retryable tells whether PostgreSQL has to be asked again for the whole transaction: serialization failure, deadlock,
// or two transactions that gave the same number to an event of one thing.
func retryable(err error) bool {
	var p *pgconn.PgError
	if !errors.As(err, &p) {
		return false
	}
	return p.Code == "40001" || p.Code == "40P01" || p.Code == "23505" && p.ConstraintName == "event_pkey"
}
