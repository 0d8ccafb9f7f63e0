package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// youth is for how long a connection that has sent nothing may still be about to.
const youth = 2 * time.Second

// connections knows which connections have a request that waits for its answer. A server that ends asks it rather than
// http.Server.Shutdown, which hangs up on requests that it has read after the shutdown began.
type connections struct {
	mu      sync.Mutex
	busy    map[net.Conn]time.Time // since when one is new; zero once it has sent something
	away    int                    // parked ones
	changed chan struct{}          // capacity 1
}

func newConnections() *connections {
	return &connections{busy: map[net.Conn]time.Time{}, changed: make(chan struct{}, 1)}
}

// note is an http.Server's ConnState.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	switch state {
	case http.StateNew:
		c.busy[conn] = time.Now()
	case http.StateActive:
		c.busy[conn] = time.Time{}
	case http.StateIdle, http.StateHijacked, http.StateClosed:
		delete(c.busy, conn)
	}
	c.mu.Unlock()
	c.poke()
}

// parked counts connections that left http.Server and wait for an answer all the same.
func (c *connections) parked(n int) {
	c.mu.Lock()
	c.away += n
	c.mu.Unlock()
	c.poke()
}

func (c *connections) poke() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// quiet waits until every request that was sent has its answer; the listener is closed already.
func (c *connections) quiet(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	for {
		left, again := c.left()
		if left == 0 {
			return nil
		}
		timer := time.NewTimer(again)
		select {
		case <-c.changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// left counts the busy connections. again is when that may change by itself.
func (c *connections) left() (n int, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, again = c.away, time.Minute
	for _, since := range c.busy {
		if since.IsZero() {
			n++
		} else if young := youth - time.Since(since); young > 0 {
			n++
			again = min(again, young)
		}
	}
	return n, again
}
