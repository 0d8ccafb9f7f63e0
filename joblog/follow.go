package joblog

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Follow hands out a log from an index on, first what is there and then what comes, and returns nil when the log is
// closed and everything was handed out. A log that does not exist yet is waited for. Each event and gap is handed out
// once; an event that later fills a gap which was handed out is not (a new Follow or Text shows it). An error of fn
// ends it.
func (l *Log) Follow(ctx context.Context, attemptID string, from int64, fn func(Batch) error) error {
	return l.follow(ctx, attemptID, from, fn, 0, nil)
}

// follow is Follow, and calls idle whenever nothing was handed out for the time beat, if that is not 0.
func (l *Log) follow(ctx context.Context, attemptID string, from int64, fn func(Batch) error, beat time.Duration, idle func() error) error {
	woken, stop := l.store.Watch(store.KeyLog(attemptID))
	defer stop()
	recheck := time.NewTimer(l.recheck)
	defer recheck.Stop()
	var silence <-chan time.Time
	var beats *time.Timer
	if beat > 0 {
		beats = time.NewTimer(beat)
		defer beats.Stop()
		silence = beats.C
	}
	for seen := false; ; {
		next, closed, err := l.scan(ctx, attemptID, from, func(b Batch) error {
			seen = true
			return fn(b)
		})
		switch {
		case !seen && signalbox.ErrorCode(err) == signalbox.CodeNotFound:
		case err != nil:
			return err
		case closed:
			return nil
		}
		if next > from && beats != nil {
			beats.Reset(beat)
		}
		from = next
		recheck.Reset(l.recheck)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-woken:
				waiting = false
			case <-recheck.C:
				waiting = false
			case <-silence:
				if err := idle(); err != nil {
					return err
				}
				beats.Reset(beat)
			}
		}
	}
}
