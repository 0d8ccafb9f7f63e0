package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// maxPushBytes is about how long the body of one push is.
const maxPushBytes = 1 << 20

// pusher delivers one spool. Events count as delivered when the server has answered 200, so a push whose answer was
// lost is sent again with the same start; the server keeps one copy.
type pusher struct {
	spool  *spool
	client *client
	timing Timing
	log    *slog.Logger
	meta   spoolMeta
	old    bool // left by an earlier process: its token cannot be refreshed

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
	if !p.deliver(ctx) {
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

func (p *pusher) deliver(ctx context.Context) bool {
	backoff := backoff{first: p.timing.PushRetry, limit: p.timing.PushRetryMax}
	refreshed := false
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
		lines, n, err := p.spool.batch(p.meta.Bytes, agentapi.MaxLogBatch, maxPushBytes)
		if err == nil && n == 0 { // only half a line: what a crash left at the end of an old spool
			return true
		}
		if err == nil {
			err = p.client.push(ctx, p.meta.URL, p.meta.Token, p.meta.Index, lines)
		}
		switch {
		case err == nil:
			p.meta.Index += n
			p.meta.Bytes += int64(len(lines))
			p.failed(false)
			refreshed = false
			backoff.reset()
			continue
		case status(err) == http.StatusUnprocessableEntity:
			p.log.Warn("the server takes no more of the job's log", "job", p.meta.JobID, "events", p.meta.Index, "error", err)
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

// coalesce waits a moment for more output, so that one push carries more than one line, but not when a push is full
// already or the job has ended. It returns false when ctx ends.
func (p *pusher) coalesce(ctx context.Context) bool {
	deadline := time.NewTimer(p.timing.PushCoalesce)
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
