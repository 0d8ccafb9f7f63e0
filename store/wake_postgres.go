package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
)

const (
	wakeChannel  = "signalbox_wake"
	wakeInterval = 25 * time.Millisecond // NOTIFY takes a lock at commit: at most 40 of them a second
	maxPayload   = 7000                  // PostgreSQL allows 8000 bytes
)

// postgresWaker is the local fan-out plus NOTIFY and LISTEN between the servers of one database. It sends outside of
// the business transaction, many keys in one statement.
type postgresWaker struct {
	*localWaker
	url    string
	origin string
	log    *slog.Logger

	mu    sync.Mutex
	keys  map[string]struct{}
	ready chan struct{}
}

func newPostgresWaker(url string, log *slog.Logger) *postgresWaker {
	return &postgresWaker{
		localWaker: newLocalWaker(), url: url, origin: signalbox.NewID(), log: log,
		keys: map[string]struct{}{}, ready: make(chan struct{}, 1),
	}
}

func (w *postgresWaker) notify(keys []string) {
	w.localWaker.notify(keys)
	w.mu.Lock()
	for _, k := range keys {
		w.keys[k] = struct{}{}
	}
	w.mu.Unlock()
	poke(w.ready)
}

func (w *postgresWaker) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.keep(ctx, "send wake-ups", w.send); return nil })
	g.Go(func() error { w.keep(ctx, "listen for wake-ups", w.listen); return nil })
	return g.Wait()
}

// keep runs one connection after another until ctx ends.
func (w *postgresWaker) keep(ctx context.Context, what string, work func(context.Context, *pgx.Conn) error) {
	for pause := 100 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 5*time.Second) {
		conn, err := pgx.Connect(ctx, w.url)
		if err == nil {
			pause = 50 * time.Millisecond
			err = work(ctx, conn)
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			conn.Close(closing)
			cancel()
		}
		if ctx.Err() != nil {
			return
		}
		w.log.Warn("PostgreSQL connection lost; connecting again", "to", what, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (w *postgresWaker) send(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		return err
	}
	for {
		select {
		case <-w.ready:
		case <-ctx.Done():
			return nil
		}
		w.mu.Lock()
		keys := w.keys
		w.keys = map[string]struct{}{}
		w.mu.Unlock()
		for _, p := range payloads(w.origin, keys) {
			if _, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", wakeChannel, p); err != nil {
				return err
			}
		}
		select {
		case <-time.After(wakeInterval):
		case <-ctx.Done():
			return nil
		}
	}
}

// payloads packs keys into as few texts as fit: the origin, then one key a line.
func payloads(origin string, keys map[string]struct{}) []string {
	var out []string
	var b strings.Builder
	for k := range keys {
		if len(k) > maxPayload-len(origin)-1 {
			continue // no key of ours is that long
		}
		if b.Len()+1+len(k) > maxPayload {
			out = append(out, b.String())
			b.Reset()
		}
		if b.Len() == 0 {
			b.WriteString(origin)
		}
		b.WriteByte('\n')
		b.WriteString(k)
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}

func (w *postgresWaker) listen(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN "+wakeChannel); err != nil {
		return err
	}
	w.notifyAll()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		lines := strings.Split(n.Payload, "\n")
		if lines[0] != w.origin {
			w.localWaker.notify(lines[1:])
		}
	}
}
