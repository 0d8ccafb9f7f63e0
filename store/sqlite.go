package store

import (
	"context"
	"fmt"
	"net/url"
)

const sqliteDialect = "sqlite"

// openSQLite opens one file with one writer and a few readers. busy_timeout comes first because switching to WAL may
// itself have to wait; synchronous=FULL because an answer means "durable".
func openSQLite(ctx context.Context, path string) (*database, error) {
	w := openSQLiteDB(sqliteName(path))
	w.SetMaxOpenConns(1)
	if err := w.PingContext(ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	r := openSQLiteDB(sqliteName(path, "query_only(ON)"))
	r.SetMaxOpenConns(4)
	r.SetMaxIdleConns(4)
	return &database{dialect: sqliteDialect, writer: w, reader: r, lead: make(chan struct{}, 1)}, nil
}

// sqliteName is the driver's name for a file, with the settings that all connections have.
func sqliteName(path string, extra ...string) string {
	q := url.Values{}
	for _, p := range append([]string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)",
		"cache_size(-8000)", "journal_size_limit(67108864)",
	}, extra...) {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}
