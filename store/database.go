package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
)

// querier is what a transaction offers on both databases.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

type txFunc func(context.Context, querier) error

// database is one SQLite file (one writer, several readers) or one PostgreSQL pool.
type database struct {
	dialect string
	writer  *sql.DB
	reader  *sql.DB
	urgent  *sql.DB // PostgreSQL only: connections that requests which go first do not have to wait for

	// SQLite only: group commit. A request waits in pending until some request leads: the leader runs a batch of
	// them in one transaction, each in its own savepoint, and flushes the disk once for all.
	mu      sync.Mutex
	pending []*writeRequest
	lead    chan struct{} // capacity 1
}

type writeRequest struct {
	fn   txFunc
	done chan error // capacity 1
}

// maxBatch bounds how long a leader works before its first request gets its answer.
const maxBatch = 128

func (d *database) close() error {
	err := d.writer.Close()
	if d.urgent != nil {
		err = errors.Join(err, d.urgent.Close())
	}
	if d.reader != d.writer {
		err = errors.Join(err, d.reader.Close())
	}
	return err
}

func (d *database) write(ctx context.Context, first bool, fn txFunc) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Once begun, a write is not abandoned half way: an interrupted statement would roll back its whole batch.
	ctx = context.WithoutCancel(ctx)
	if d.dialect == postgresDialect {
		return d.writePostgres(ctx, first, fn)
	}
	r := &writeRequest{fn: fn, done: make(chan error, 1)}
	d.mu.Lock()
	if first {
		d.pending = slices.Insert(d.pending, 0, r)
	} else {
		d.pending = append(d.pending, r)
	}
	d.mu.Unlock()
	for {
		select {
		case err := <-r.done:
			return err
		case d.lead <- struct{}{}:
			d.mu.Lock()
			n := min(len(d.pending), maxBatch)
			batch := d.pending[:n:n]
			d.pending = d.pending[n:]
			d.mu.Unlock()
			func() {
				defer func() { <-d.lead }() // also when a test's Fatal ends this goroutine
				d.commit(ctx, batch)
			}()
		}
	}
}

func (d *database) commit(ctx context.Context, batch []*writeRequest) {
	if len(batch) == 0 {
		return
	}
	errs := make([]error, len(batch))
	if err := d.commitBatch(ctx, batch, errs); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	for i, r := range batch {
		r.done <- errs[i]
	}
}

// commitBatch fills errs with what each request itself returned; its own error means that nothing of the batch is
// durable.
func (d *database) commitBatch(ctx context.Context, batch []*writeRequest, errs []error) (err error) {
	conn, err := d.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The error that led here is the one to report; SQLite may have rolled back already.
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
		}
	}()
	for i, r := range batch {
		if _, err := conn.ExecContext(ctx, "SAVEPOINT request"); err != nil {
			return err
		}
		if errs[i] = guard(ctx, conn, r.fn); errs[i] != nil {
			if _, err := conn.ExecContext(ctx, "ROLLBACK TO request"); err != nil {
				return errors.Join(errs[i], err)
			}
		}
		if _, err := conn.ExecContext(ctx, "RELEASE request"); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func (d *database) writePostgres(ctx context.Context, first bool, fn txFunc) error {
	db := d.writer
	if first {
		db = d.urgent
	}
	for try := 0; ; try++ {
		err := d.inTx(ctx, db, nil, fn)
		if err == nil || try == 9 || !retryable(err) {
			return err
		}
	}
}

func (d *database) read(ctx context.Context, first bool, fn txFunc) error {
	db := d.reader
	if first && d.urgent != nil {
		db = d.urgent
	}
	o := &sql.TxOptions{ReadOnly: true}
	if d.dialect == postgresDialect {
		o.Isolation = sql.LevelRepeatableRead // the default shows a new state to every statement
	}
	return d.inTx(ctx, db, o, fn)
}

func (d *database) inTx(ctx context.Context, db *sql.DB, o *sql.TxOptions, fn txFunc) error {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	if err := guard(ctx, tx, fn); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// guard turns a panic into an error, because fn may run on another request's goroutine.
func guard(ctx context.Context, q querier, fn txFunc) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(ctx, q)
}
