package joblog

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// Mark is how far a log had come when it was read.
type Mark struct {
	Next   int64 // index after the last event
	Closed bool
	Rev    int64
}

// ErrRewritten is the answer of Read to somebody who knows an earlier log: a gap was filled, or events came after the end.
var ErrRewritten = errors.New("what was read of the log has changed since")

// Read hands out what there is now of a log from an index on, which must be of the revision rev (-1: any, but one and the
// same). It begins with little, so that a reader who wants little pays for little; an error of fn ends it.
func (l *Log) Read(ctx context.Context, attemptID string, from, rev int64, fn func(Batch) error) (Mark, error) {
	if err := checkIndex(from); err != nil {
		return Mark{}, err
	}
	for chunks, data := 4, pageData/16; ; chunks, data = min(2*chunks, pageChunks), min(2*data, pageData) {
		p, err := l.smallPage(ctx, attemptID, from, chunks, data)
		if err != nil {
			return Mark{}, err
		}
		if rev >= 0 && p.rev != rev {
			return Mark{}, ErrRewritten
		}
		rev = p.rev
		if err := l.each(p, fn); err != nil {
			return Mark{}, err
		}
		from = p.to
		if p.done {
			return Mark{Next: from, Closed: p.closed, Rev: rev}, nil
		}
		if err := ctx.Err(); err != nil {
			return Mark{}, err
		}
	}
}

// Parse reads the fields of an event that readers need. What has the wrong type is as if it were not there.
func Parse(event json.RawMessage) agentapi.Event { return parse(event) }

// Output returns the exact bytes of an output where the agent gave them.
func Output(e agentapi.Event) []byte { return outputOf(e) }
