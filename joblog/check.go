package joblog

import (
	"fmt"

	"github.com/signalbox-ci/signalbox/store"
)

// Checker goes through one log in the order of its events and finds what is there twice, not at all, or unreadable. Its
// memory does not grow with the log.
type Checker struct {
	l    *Log
	next int64
	gaps []store.LogGap
}

// NewCheckers returns a function that makes a Checker of a log from its gaps, in order.
func NewCheckers() func(gaps []store.LogGap) *Checker {
	l := &Log{}
	l.enc, l.dec = newCodec()
	return func(gaps []store.LogGap) *Checker { return &Checker{l: l, gaps: gaps} }
}

// Chunk looks at the next chunk and returns what is wrong with it, "" when nothing is.
func (c *Checker) Chunk(x store.LogChunk) string {
	c.skip()
	at := c.next
	c.next = max(c.next, x.First+x.Count)
	switch {
	case x.First != at:
		return fmt.Sprintf("event %d is expected and the next ones stored begin with %d", at, x.First)
	case x.Count <= 0 || len(x.Hashes) > 0 && int64(len(x.Hashes))%x.Count != 0:
		return fmt.Sprintf("the chunk at event %d counts %d events and has %d bytes of their hashes", x.First, x.Count, len(x.Hashes))
	}
	if _, err := c.l.decode(x); err != nil {
		return err.Error()
	}
	return ""
}

// End returns what is missing before the end of the log, "" when nothing is.
func (c *Checker) End(next int64) string {
	c.skip()
	if c.next != next || len(c.gaps) > 0 {
		return fmt.Sprintf("its events and gaps end before event %d and it counts %d", c.next, next)
	}
	return ""
}

// skip goes over the gaps that begin here.
func (c *Checker) skip() {
	for len(c.gaps) > 0 && c.gaps[0].From == c.next && c.gaps[0].To > c.next {
		c.next, c.gaps = c.gaps[0].To, c.gaps[1:]
	}
}
