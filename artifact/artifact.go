// Package artifact keeps the files that jobs push and hands them out again: it answers jobs that ask for signed URLs,
// serves those URLs, and removes content that nothing needs any more. What may be touched is decided by the attempt
// whose token or URL is shown, and only while that attempt is open. Metadata lies in the store, content in a Blobs,
// which is a folder today and can be an object store.
package artifact

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Options for New. Store, Keys and Blobs are required.
type Options struct {
	Store     *store.Store
	Keys      *auth.Keyring
	Blobs     Blobs
	PublicURL func(*http.Request) string // scheme://host[:port] that a job can reach; default: from its request
	MaxSize   int64                      // bytes that one file may have; 0 is no limit
	Grace     time.Duration              // how long content is kept that nothing needs; default 1 hour
	Interval  time.Duration              // how often such content is looked for; default 10 minutes
	Now       func() time.Time           // default time.Now
	Logger    *slog.Logger               // default: discard
}

// Artifacts answers jobs. Its routes may be served before and while Run runs.
type Artifacts struct{ Options }

// New checks the options.
func New(o Options) (*Artifacts, error) {
	if o.Store == nil || o.Keys == nil || o.Blobs == nil {
		return nil, errors.New("artifact: a store, keys and a place for content are needed")
	}
	if o.PublicURL == nil {
		o.PublicURL = func(r *http.Request) string {
			if r.TLS != nil {
				return "https://" + r.Host
			}
			return "http://" + r.Host
		}
	}
	if o.Grace <= 0 {
		o.Grace = time.Hour
	}
	if o.Interval <= 0 {
		o.Interval = 10 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Artifacts{o}, nil
}

// Routes returns what jobs call. All of them check a token or signature of their own.
func (a *Artifacts) Routes() []route.Route {
	out := []route.Route{{Pattern: "POST /api/v1/artifacts", Access: route.OwnToken, Style: route.JSON, Handler: a.serveSign}}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		out = append(out, route.Route{
			Pattern: method + " " + objectBase + "{project}/{path...}", Access: route.OwnToken, Style: route.Agent, Handler: a.serveObject,
		})
	}
	return out
}

// Run removes content that nothing needs, until ctx ends.
func (a *Artifacts) Run(ctx context.Context) error {
	tick := time.NewTicker(a.Interval)
	defer tick.Stop()
	strays := time.Time{} // when they were looked for
	for {
		if err := a.removeUnused(ctx); err != nil && ctx.Err() == nil {
			a.Logger.Error("could not remove artifacts that are not needed; it is tried again", "error", err)
		}
		if now := a.Now(); now.Sub(strays) >= strayInterval {
			if err := a.removeStrays(ctx); err != nil && ctx.Err() == nil {
				a.Logger.Error("could not look for artifacts that were never finished; it is tried again", "error", err)
			} else {
				strays = now
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
