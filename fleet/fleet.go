// Package fleet changes what people manage of their agents: agent types, the tokens with which agents register, and the agents
// themselves, one or many at a time. Every change is one compare-and-set with its reason, so that it can neither overtake
// an offer nor be overtaken by one. Pages and API call it; what agents themselves say is dispatch's business.
package fleet

import (
	"context"
	"errors"
	"log/slog"

	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// LogCloser ends the log of an attempt; *joblog.Log does.
type LogCloser interface {
	Close(ctx context.Context, attemptID string) error
}

// Options for New. Store, Engine and Log are required.
type Options struct {
	Store  *store.Store
	Engine *engine.Engine
	Log    LogCloser
	Logger *slog.Logger // default: discard
}

// Fleet acts for people.
type Fleet struct {
	o    Options
	kept *keptUsages
}

// New returns a fleet.
func New(o Options) (*Fleet, error) {
	if o.Store == nil || o.Engine == nil || o.Log == nil {
		return nil, errors.New("fleet: a store, an engine and a log are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Fleet{o: o, kept: &keptUsages{last: map[string]usages{}}}, nil
}
