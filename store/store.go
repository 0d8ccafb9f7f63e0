// Package store keeps all state: every SQL statement of the system is here, in one text that runs on SQLite and on
// PostgreSQL. It stores and finds; decisions are made by the packages above, inside the transactions it hands out.
// After a commit it wakes whoever waits for what changed, so that nobody has to poll.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// The files of the SQLite databases in their folder.
const (
	mainFile = "signalbox.db"
	logFile  = "log.db"
)

// Options say where the state lives. Exactly one of Dir and URL is set.
type Options struct {
	Dir    string           // a folder: SQLite, signalbox.db and log.db in it
	URL    string           // postgres://...
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: discard

	// OnStatement is called with the text of every statement before it runs; by default nothing is.
	OnStatement func(text string)
	// OnJob is called with every change of a job's state that this program made, once it is durable, and OnTransaction after
	// every transaction; by default nothing is. Both are called by many goroutines and must return at once.
	OnJob         func(JobChange)
	OnTransaction func(Transaction)
}

// Store is an open pair of databases: the main one and the one for job logs.
type Store struct {
	main *database
	logs *database
	wake waker
	now  func() time.Time
	log  *slog.Logger
	seen func(string)

	onJob         func(JobChange)
	onTransaction func(Transaction)
}

// Open opens and migrates the databases. It refuses a schema that this program is too old to read.
func Open(ctx context.Context, o Options) (*Store, error) {
	if (o.Dir == "") == (o.URL == "") {
		return nil, errors.New("store: exactly one of a folder and a database URL is needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{now: o.Now, log: o.Logger, seen: o.OnStatement, onJob: o.OnJob, onTransaction: o.OnTransaction}
	var err error
	if o.URL != "" {
		err = s.openPostgres(ctx, o.URL)
	} else {
		err = s.openSQLite(ctx, o.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) openSQLite(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	s.wake = newLocalWaker()
	var err error
	if s.main, err = openSQLite(ctx, filepath.Join(dir, mainFile)); err != nil {
		return err
	}
	if err = migrate(ctx, s.main, mainSchema); err != nil {
		return err
	}
	if s.logs, err = openSQLite(ctx, filepath.Join(dir, logFile)); err != nil {
		return err
	}
	return migrate(ctx, s.logs, logSchema)
}

func (s *Store) openPostgres(ctx context.Context, url string) error {
	var err error
	if s.main, err = openPostgres(ctx, url); err != nil {
		return err
	}
	s.logs = s.main
	s.wake = newPostgresWaker(url, s.log)
	if err = migrate(ctx, s.main, mainSchema); err != nil {
		return err
	}
	return migrate(ctx, s.main, logSchema)
}

// Run carries wake-ups between servers that share a PostgreSQL database, until ctx ends. On SQLite it only waits.
func (s *Store) Run(ctx context.Context) error { return s.wake.run(ctx) }

// Close closes the databases.
func (s *Store) Close() error {
	var errs []error
	if s.logs != nil && s.logs != s.main {
		errs = append(errs, s.logs.close())
	}
	if s.main != nil {
		errs = append(errs, s.main.close())
	}
	return errors.Join(errs...)
}

// Dialect returns "sqlite" or "postgres".
func (s *Store) Dialect() string { return s.main.dialect }

// Write runs fn in one transaction and returns when it is durable, or when nothing of it happened. fn may run more
// than once (PostgreSQL asks for that after a deadlock), so it must set, not add to, what it hands out. It must do no
// input or output of its own.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error {
	defer s.timed(false, true)()
	return s.writeTo(ctx, s.main, false, fn)
}

// WriteFirst is Write ahead of everybody who waits to write. It is for the few transactions that many others follow
// from: with a thousand results waiting, one that gives out the next jobs must not queue behind all of them.
func (s *Store) WriteFirst(ctx context.Context, fn func(*Tx) error) error {
	defer s.timed(false, true)()
	return s.writeTo(ctx, s.main, true, fn)
}

// Read runs fn on one consistent view.
func (s *Store) Read(ctx context.Context, fn func(*Tx) error) error {
	defer s.timed(false, false)()
	return s.readFrom(ctx, s.main, false, fn)
}

// ReadFirst is Read ahead of everybody who waits to read.
func (s *Store) ReadFirst(ctx context.Context, fn func(*Tx) error) error {
	defer s.timed(false, false)()
	return s.readFrom(ctx, s.main, true, fn)
}

func (s *Store) writeTo(ctx context.Context, d *database, first bool, fn func(*Tx) error) error {
	var keys []string
	var changes []JobChange
	var kept *keptError
	err := d.write(ctx, first, func(ctx context.Context, q querier) error {
		tx := &Tx{ctx: ctx, q: s.watched(q), dialect: d.dialect, Now: s.clock()}
		err := fn(tx)
		keys, changes, kept = tx.keys, tx.changes, nil
		if errors.As(err, &kept) {
			return nil
		}
		return err
	})
	if err != nil {
		return classify(err)
	}
	if len(keys) > 0 {
		s.wake.notify(keys)
	}
	s.tell(changes)
	if kept != nil {
		return kept.err
	}
	return nil
}

// Keep makes an error that does not undo the transaction that it ends: Write commits and then returns err. It is for
// refusals that must be on record.
func Keep(err error) error { return &keptError{err} }

type keptError struct{ err error }

func (k *keptError) Error() string { return k.err.Error() }
func (k *keptError) Unwrap() error { return k.err }

func (s *Store) readFrom(ctx context.Context, d *database, first bool, fn func(*Tx) error) error {
	err := d.read(ctx, first, func(ctx context.Context, q querier) error {
		return fn(&Tx{ctx: ctx, q: s.watched(q), dialect: d.dialect, Now: s.clock()})
	})
	return classify(err)
}

func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// Tx is one transaction. All its times agree: Now is fixed when it begins.
type Tx struct {
	Now     time.Time
	ctx     context.Context
	q       querier
	dialect string
	keys    []string
	changes []JobChange
}

// Wake notifies the waiters of these keys once the transaction is durable.
func (t *Tx) Wake(keys ...string) { t.keys = append(t.keys, keys...) }

// Keys that Wake and Watch use. A key is a hint: whoever waits looks again.
func KeyAgent(id string) string      { return "agent:" + id }
func KeyPipeline(id string) string   { return "pipeline:" + id }
func KeyWorkflow(id string) string   { return "workflow:" + id }
func KeyJob(id string) string        { return "job:" + id }
func KeyAttempt(id string) string    { return "attempt:" + id }
func KeyLog(attemptID string) string { return "log:" + attemptID }
func KeyProject(id string) string    { return "project:" + id }
func KeyUser(id string) string       { return "user:" + id }

// Keys of anything of one kind. They are watched, and woken with each key of that kind.
const (
	AnyAgent    = "agent:*"
	AnyJob      = "job:*"
	AnyProject  = "project:*"
	AnyUser     = "user:*"
	AnyWorkflow = "workflow:*"
)

// KeyRefused is woken whenever a registration was turned away.
const KeyRefused = "refused"

// KeyQueue is woken whenever a job of any type becomes queued.
const KeyQueue = "queue"

// KeyRoom is woken whenever a job stops holding an agent, or a limit is changed: something that a limit held back may
// start.
const KeyRoom = "room"

// KeyOrganization is woken when what holds for everything changes.
const KeyOrganization = "organization"

// KeyInitializing is woken whenever a pipeline waits for its file to be read.
const KeyInitializing = "initializing"

// KeyTasks is woken whenever a task is changed, or one of its runs.
const KeyTasks = "tasks"

// Watch returns a channel that receives after any of the keys was notified, at least once for any number of
// notifications since the last receive. Call stop when done. Watch first, look second: nothing is missed then.
func (s *Store) Watch(keys ...string) (c <-chan struct{}, stop func()) { return s.wake.watch(keys) }

// Notify wakes the watchers of keys without a change in the store.
func (s *Store) Notify(keys ...string) { s.wake.notify(keys) }

// changed turns "how many rows" into a conflict when a compare-and-set did not find the row as expected.
func changed(n int64, noun, id string) error {
	if n == 1 {
		return nil
	}
	return signalbox.Errorf(signalbox.CodeConflict, "%s %s was changed by someone else", noun, id)
}
