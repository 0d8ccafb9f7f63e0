package store

import (
	"context"
	"database/sql"
)

// watchedQuerier tells somebody of every statement.
type watchedQuerier struct {
	querier
	seen func(string)
}

func (s *Store) watched(q querier) querier {
	if s.seen == nil {
		return q
	}
	return watchedQuerier{q, s.seen}
}

func (w watchedQuerier) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	w.seen(query)
	return w.querier.ExecContext(ctx, query, args...)
}

func (w watchedQuerier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	w.seen(query)
	return w.querier.QueryContext(ctx, query, args...)
}

func (w watchedQuerier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	w.seen(query)
	return w.querier.QueryRowContext(ctx, query, args...)
}
