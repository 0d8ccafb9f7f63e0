// Package dispatch brings queued jobs and agents together: it answers the agent protocol, holds the syncs of waiting
// agents until there is work, offers each job as a fenced attempt to one agent, and finds the agents that are gone.
// What follows from an agent's report is decided by a pure function over what is stored; nothing that matters lives
// only in memory, so a server that was killed goes on where it was.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/sts"
)

// Actor is how the dispatcher signs its decisions in histories.
const Actor = "dispatch"

// Timing holds every pause and limit of the agent protocol; zero fields take their default.
type Timing struct {
	Hold        time.Duration // how long a waiting sync of an official agent is held, ± 20 %; default 5 s, at most 10 s
	HoldLimit   time.Duration // the longest hold an agent may ask for with Prefer: wait=N; default 60 s
	RunningNext time.Duration // when a running official agent syncs again; default 1.8 s
	Withdraw    time.Duration // an offer nobody fetched goes back after this; default 45 s
	ForgetAfter time.Duration // an agent that waits although it fetched a job lost it after this; default 20 s
	IdleLost    time.Duration // a silent agent without a job is gone after this; default signalbox.IdleLostAfter
	Lost        time.Duration // the default for types that set none; default signalbox.DefaultLostAfter
	Sweep       time.Duration // how often lost agents and stale offers are looked for; default 5 s
	Flush       time.Duration // how often heartbeats are written; default 10 s
	Revalidate  time.Duration // how often a lost wake-up is made up for; default 1 s
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Hold, 5*time.Second)
	t.Hold = min(t.Hold, 10*time.Second)
	set(&t.HoldLimit, 60*time.Second)
	set(&t.RunningNext, 1800*time.Millisecond)
	set(&t.Withdraw, 45*time.Second)
	set(&t.ForgetAfter, 20*time.Second)
	set(&t.IdleLost, signalbox.IdleLostAfter)
	set(&t.Lost, signalbox.DefaultLostAfter)
	set(&t.Sweep, 5*time.Second)
	set(&t.Flush, 10*time.Second)
	set(&t.Revalidate, time.Second)
	return t
}

// Options for New. Store, Engine, Log and Keys are required.
type Options struct {
	Store          *store.Store
	Engine         *engine.Engine
	Log            *joblog.Log
	Keys           *auth.Keyring
	Secrets        *secret.Secrets // without them a job that names a secret fails
	OrganizationID string
	PublicURL      func(*http.Request) string // scheme://host[:port] that an agent can reach; default: from its request
	ClientIP       func(*http.Request) string // the address of whoever sent a request; default: the other end of the connection
	// Identify asks AWS who signed an address; default: sts.New(sts.Options{}).Ask.
	Identify func(ctx context.Context, address string) (sts.Identity, error)
	Timing   Timing
	// Park takes a request that will wait out of the hands of who serves it: rest answers it later, on a writer that may
	// have a method Gone() bool. It returns false when it cannot; then the request waits where it is, as it does without Park.
	Park func(w http.ResponseWriter, r *http.Request, rest func(ctx context.Context, w http.ResponseWriter) error) bool
	// What operators measure; by default nobody is told. They are called by many goroutines and must return at once.
	OnSync       func(took time.Duration)    // a sync was answered; time for which it was held on purpose is not counted
	OnRegistered func(agentType string)      // an agent registered
	OnRefused    func(why signalbox.Refusal) // a registration was turned away
	Random       func() float64              // spreads what agents do over time, in [0, 1); default: math/rand
	Now          func() time.Time            // default time.Now
	Logger       *slog.Logger                // default: discard
}

// Hub answers agents. Its routes may be served before and while Run runs; without Run nothing is dispatched.
type Hub struct {
	Options
	started time.Time
	closing chan struct{}
	close   sync.Once

	mu      sync.Mutex
	present map[string]*presence // by token hash
	byID    map[string]*presence // the same, by agent id
	waiting map[string]*line     // by agent type
	queued  map[string]bool      // agent types that had queued jobs when last looked
	pokeC   chan struct{}

	gate     gate
	arrivals *together[*arrival]
	starts   *together[engine.Start]
	refused  refusals
	firsts   firsts

	running atomic.Int64 // official agents that run a job here, as counted lately
	shared  bool         // other servers may use the same database
	savedAt atomic.Int64 // every agent that was heard of before this time (ns) is stored as such
}

// New returns a hub.
func New(o Options) (*Hub, error) {
	if o.Store == nil || o.Engine == nil || o.Log == nil || o.Keys == nil {
		return nil, errors.New("dispatch: a store, an engine, a log and a key ring are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.PublicURL == nil {
		o.PublicURL = requestURL
	}
	if o.ClientIP == nil {
		o.ClientIP = requestIP
	}
	if o.Identify == nil {
		o.Identify = sts.New(sts.Options{Now: o.Now}).Ask
	}
	if o.OnSync == nil {
		o.OnSync = func(time.Duration) {}
	}
	if o.OnRegistered == nil {
		o.OnRegistered = func(string) {}
	}
	if o.OnRefused == nil {
		o.OnRefused = func(signalbox.Refusal) {}
	}
	o.Timing = o.Timing.withDefaults()
	h := &Hub{
		Options: o, started: o.Now(), closing: make(chan struct{}), pokeC: make(chan struct{}, 1),
		firsts:  firsts{some: make(chan struct{}, 1)},
		present: map[string]*presence{}, byID: map[string]*presence{}, waiting: map[string]*line{}, queued: map[string]bool{},
		shared: o.Store.Dialect() == "postgres",
	}
	h.arrivals, h.starts = newTogether(h.registerAll), newTogether(h.startAll)
	h.savedAt.Store(h.started.UnixNano())
	return h, nil
}

func requestURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// Run matches jobs with agents and looks after agents that are gone, until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	h.closeEndedLogs(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.runMatcher(ctx) })
	g.Go(func() error { return h.runSweeper(ctx) })
	g.Go(func() error { return h.runHeartbeats(ctx) })
	g.Go(func() error { return h.runRefused(ctx) })
	g.Go(func() error { return h.runFirsts(ctx) })
	return g.Wait()
}

// Release answers every held sync at once and holds no more: the first step of a graceful shutdown.
func (h *Hub) Release() { h.close.Do(func() { close(h.closing) }) }

// every calls fn at an interval until ctx ends.
func every(ctx context.Context, d time.Duration, fn func()) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			fn()
		}
	}
}

// closeEndedLogs makes up for a crash between the end of an attempt and the end of its log.
func (h *Hub) closeEndedLogs(ctx context.Context) {
	open, err := h.Log.Open(ctx)
	if err != nil {
		h.Logger.Error("could not list the open logs", "error", err)
		return
	}
	for _, id := range open {
		ended := false
		err := h.Store.Read(ctx, func(tx *store.Tx) error {
			a, err := tx.Attempt(id)
			ended = signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && a.State == signalbox.AttemptEnded
			return nil
		})
		if err == nil && ended {
			err = h.Log.Close(ctx, id)
		}
		if err != nil {
			h.Logger.Error("could not close a log", "attempt", id, "error", err)
		}
	}
}
