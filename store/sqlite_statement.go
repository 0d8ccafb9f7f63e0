package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"

	"modernc.org/sqlite"
)

// maxStatements bounds what a connection keeps. The texts of this package are constants, but for lists of several lengths.
const maxStatements = 256

// maxKept is the longest text that is kept. Longer ones have a list in them, and every length of it is another text.
const maxKept = 2000

// sqliteConnector opens connections that keep what SQLite compiled of each query: to compile one takes longer than to
// run it.
type sqliteConnector struct {
	dsn    string
	driver sqlite.Driver
}

func openSQLiteDB(dsn string) *sql.DB { return sql.OpenDB(&sqliteConnector{dsn: dsn}) }

func (c *sqliteConnector) Driver() driver.Driver { return &c.driver }

func (c *sqliteConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &sqliteConn{sqliteDriverConn: conn.(sqliteDriverConn), idle: map[string]sqliteStatement{}}, nil
}

// sqliteDriverConn and sqliteStatement are what the driver offers and this file passes on.
type sqliteDriverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type sqliteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// sqliteConn is used by one goroutine at a time, as all connections of database/sql are.
type sqliteConn struct {
	sqliteDriverConn
	idle map[string]sqliteStatement // that nobody reads rows from
}

// take returns the compiled text, or nil for a text that is run only once in a while.
func (c *sqliteConn) take(ctx context.Context, text string) (sqliteStatement, error) {
	if s, ok := c.idle[text]; ok {
		delete(c.idle, text)
		return s, nil
	}
	switch word, _, _ := strings.Cut(strings.TrimSpace(text), " "); word {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH":
	default:
		return nil, nil
	}
	s, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.(sqliteStatement), nil
}

func (c *sqliteConn) giveBack(text string, s sqliteStatement, failed error) error {
	if _, another := c.idle[text]; another || failed != nil || len(c.idle) >= maxStatements || len(text) > maxKept {
		return s.Close()
	}
	c.idle[text] = s
	return nil
}

func (c *sqliteConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteDriverConn.ExecContext(ctx, text, args)
	}
	r, err := s.ExecContext(ctx, args)
	if back := c.giveBack(text, s, err); err == nil {
		err = back
	}
	return r, err
}

func (c *sqliteConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteDriverConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		_ = c.giveBack(text, s, err)
		return nil, err
	}
	return &sqliteRows{Rows: rows, conn: c, text: text, statement: s}, nil
}

func (c *sqliteConn) Close() error {
	for _, s := range c.idle {
		_ = s.Close()
	}
	c.idle = nil
	return c.sqliteDriverConn.Close()
}

// sqliteRows gives its statement back when it is closed.
type sqliteRows struct {
	driver.Rows
	conn      *sqliteConn
	text      string
	statement sqliteStatement
}

func (r *sqliteRows) Close() error {
	err := r.Rows.Close()
	if s := r.statement; s != nil {
		r.statement = nil
		if back := r.conn.giveBack(r.text, s, err); err == nil {
			err = back
		}
	}
	return err
}
