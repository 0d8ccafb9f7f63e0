package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// maxPushBytes is about how long the body of one push is.
const maxPushBytes = 2 << 20

// pusher delivers one spool. Events count as delivered when the server has answered 200, so a push whose answer was
// lost is sent again with the same start; the server keeps one copy.
type pusher struct {
	spool  *spool
	client *client
	timing Timing
	log    *slog.Logger
	meta   spoolMeta
	old    bool // left by an earlier process: its token cannot be refreshed

	trimmed bool          // the server did not take all of it
	saved   time.Time     // when meta was written
	last    time.Time     // when the last push was sent
	took    time.Duration // until it was answered

	mu      sync.Mutex
	refused time.Time // since when pushes fail, zero when the last one worked
}

// failingSince returns since when nothing could be delivered; zero when all is well.
func (p *pusher) failingSince() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

func (p *pusher) failed(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !yes {
		p.refused = time.Time{}
	} else if p.refused.IsZero() {
		p.refused = time.Now()
	}
}

// run pushes until the complete log was delivered or refused for good, and removes the spool then. When ctx ends first
// the spool stays on disk for the next start.
func (p *pusher) run(ctx context.Context) {
	stop := p.keepDurable()
	done := p.deliver(ctx)
	stop()
	if done {
		done = p.upload(ctx)
	}
	if !done {
		if err := p.spool.saveMeta(p.meta); err != nil {
			p.log.Error("the state of a log spool cannot be saved", "error", err)
		}
		_ = p.spool.close()
		return
	}
	if err := p.spool.remove(); err != nil {
		p.log.Warn("a delivered log spool cannot be removed", "error", err)
	}
}

// keepDurable makes the spool durable every second, however long the server is away, until it is stopped.
func (p *pusher) keepDurable() (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := p.spool.sync(); err != nil {
					p.log.Error(err.Error(), "path", p.spool.path)
				}
			case <-end:
				return
			}
		}
	})
	return func() { close(end); wg.Wait() }
}

func (p *pusher) deliver(ctx context.Context) bool {
	backoff := backoff{first: p.timing.PushRetry, limit: p.timing.PushRetryMax}
	refreshed := false
	var ahead <-chan prepared
	defer func() {
		if ahead != nil {
			<-ahead // it reads from the spool
		}
	}()
	for {
		size, complete := p.spool.state()
		if p.meta.Bytes == size {
			if complete {
				return true
			}
			select {
			case <-p.spool.notify:
			case <-ctx.Done():
				return false
			}
			continue
		}
		if !p.coalesce(ctx) {
			return false
		}
		b, err := p.prepare(&ahead)
		if errors.Is(err, errTorn) {
			p.log.Error("the rest of the job's log is lost", "job", p.meta.JobID, "events", p.meta.Index, "error", err)
			return p.discard(ctx)
		}
		if err == nil {
			if size-b.end >= maxPushBytes { // there is another whole push: read it meanwhile
				ahead = p.readAhead(b.end)
			}
			p.last = time.Now()
			err = p.client.push(ctx, p.meta.URL, p.meta.Token, p.meta.Index, b.lines)
			p.took = time.Since(p.last)
		}
		switch {
		case err == nil:
			p.meta.Index += b.n
			p.meta.Bytes = b.end
			p.delivered()
			refreshed = false
			backoff.reset()
			continue
		case status(err) == http.StatusUnprocessableEntity:
			p.log.Warn("the server takes no more of the job's log", "job", p.meta.JobID, "events", p.meta.Index, "error", err)
			p.trimmed = true
			return p.discard(ctx)
		case status(err) == http.StatusUnauthorized && p.old:
			p.log.Warn("the log of an earlier job can no longer be delivered", "job", p.meta.JobID, "events", p.meta.Index, "error", err)
			return true
		case status(err) == http.StatusUnauthorized && !refreshed:
			if token, refreshErr := p.client.refresh(ctx); refreshErr == nil {
				p.meta.Token = token
				refreshed = true // once; if that token is refused too, slow down
				continue
			}
		}
		refreshed = false
		p.failed(true)
		p.log.Warn("the job's log cannot be delivered now", "job", p.meta.JobID, "events", p.meta.Index, "error", err)
		if !sleep(ctx, backoff.next()) {
			return false
		}
	}
}

// prepared is a batch that may be sent.
type prepared struct {
	from int64
	batch
	err error
}

// readAhead prepares the batch that begins at from.
func (p *pusher) readAhead(from int64) <-chan prepared {
	out := make(chan prepared, 1)
	go func() {
		b := prepared{from: from}
		// What the server has seen must be here after a power loss too, or the numbers of the events would not fit.
		if b.err = p.spool.sync(); b.err == nil {
			b.batch, b.err = p.spool.batch(from, agentapi.MaxLogBatch, maxPushBytes)
		}
		out <- b
	}()
	return out
}

// prepare returns the next batch, which may have been read ahead.
func (p *pusher) prepare(ahead *<-chan prepared) (batch, error) {
	if *ahead != nil {
		b := <-*ahead
		*ahead = nil
		if b.from == p.meta.Bytes && b.err == nil {
			return b.batch, nil
		}
	}
	b := <-p.readAhead(p.meta.Bytes)
	return b.batch, b.err
}

// delivered notes progress. Where the delivery stands is written now and then: what is sent twice is stored once.
func (p *pusher) delivered() {
	p.failed(false)
	free := p.spool.canFree(p.meta.Bytes)
	if !free && time.Since(p.saved) < time.Second {
		return
	}
	p.saved = time.Now()
	if free {
		p.meta.Freed = p.meta.Bytes
	}
	if err := p.spool.saveMeta(p.meta); err != nil {
		p.log.Warn("the state of a log spool cannot be saved", "error", err)
	} else if free {
		p.spool.free(p.meta.Bytes)
	}
}

// coalesce waits for more output, so that a stream of lines does not become a stream of pushes: not at all when the
// last push is long ago, when a push is full already, or when the job has ended. Where pushes take long, the pauses are
// longer too, because then the server or the way to it has enough to do. It returns false when ctx ends.
func (p *pusher) coalesce(ctx context.Context) bool {
	least := p.timing.PushCoalesce
	deadline := time.NewTimer(min(max(least, 4*p.took), 5*least) - time.Since(p.last))
	defer deadline.Stop()
	for {
		if size, complete := p.spool.state(); complete || size-p.meta.Bytes >= maxPushBytes {
			return true
		}
		select {
		case <-p.spool.notify:
		case <-deadline.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// discard waits for the end of a log that nobody wants.
func (p *pusher) discard(ctx context.Context) bool {
	for {
		if _, complete := p.spool.state(); complete {
			return true
		}
		select {
		case <-p.spool.notify:
		case <-ctx.Done():
			return true
		}
	}
}

// backoff doubles from first to limit, each time give or take a half.
type backoff struct {
	first, limit, now time.Duration
}

func (b *backoff) reset() { b.now = 0 }

func (b *backoff) next() time.Duration {
	b.now = min(max(2*b.now, b.first), b.limit)
	return b.now/2 + rand.N(b.now+1)
}

// sleep waits for d and returns false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
