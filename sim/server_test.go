package sim

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/dispatch"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// server is one process of it: nothing that it keeps in memory outlives it.
type server struct {
	st    *store.Store
	eng   *engine.Engine
	logs  *joblog.Log
	fleet *fleet.Fleet
	hub   *dispatch.Hub
	mux   *http.ServeMux
	ctx   context.Context
	kill  context.CancelFunc
	busy  sync.WaitGroup // requests
	over  chan struct{}
}

var (
	errNetwork = errors.New("the network failed")
	errDead    = errors.New("simulated: the process is dead")
	errDisk    = errors.New("simulated: the disk refuses")
)

// simulated tells whether an error is one of those that this package made.
func simulated(err error) bool { return err != nil && strings.Contains(err.Error(), "simulated: ") }

// statement is called before every statement. A statement that panics has failed, and its request with it.
func (w *world) statement(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fuse > 0 {
		if w.fuse--; w.fuse == 0 && w.server != nil {
			w.dying = true
			w.tally["server killed in a transaction"]++
			w.server.kill()
			w.crashed <- struct{}{}
		}
	}
	if w.dying {
		panic(errDead)
	}
	if w.refuses != "" && strings.Contains(text, w.refuses) && !strings.HasPrefix(strings.TrimSpace(text), "SELECT") {
		w.tally["statement refused by the disk"]++
		panic(errDisk)
	}
}

// nurse buries the server when it was killed in a transaction, and starts the next one.
func (w *world) nurse(ctx context.Context) {
	dice := w.dice(2)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.crashed:
		}
		w.down(true)
		w.note("the server was killed")
		sleep(ctx, time.Duration(dice.Int64N(int64(3*time.Minute))))
		w.boot()
		w.note("the server is back")
	}
}

// boot starts a server on the disk as it is.
func (w *world) boot() {
	log := slog.New(&complaints{w: w})
	s := &server{st: w.st, mux: http.NewServeMux(), over: make(chan struct{})}
	s.eng = engine.New(engine.Options{Store: w.st, Logger: log})
	s.logs = joblog.New(joblog.Options{Store: w.st})
	var err error
	if s.fleet, err = fleet.New(fleet.Options{Store: w.st, Engine: s.eng, Log: s.logs, Logger: log}); err != nil {
		w.Fatal(err)
	}
	var mu sync.Mutex
	dice := w.dice(uint64(time.Since(epoch)))
	s.hub, err = dispatch.New(dispatch.Options{
		Store: w.st, Engine: s.eng, Log: s.logs, Keys: w.keys, Now: w.now, Timing: w.timing, Logger: log,
		Random: func() float64 {
			mu.Lock()
			defer mu.Unlock()
			return dice.Float64()
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	s.ctx, s.kill = context.WithCancel(context.Background())
	for _, rt := range s.hub.Routes() {
		s.mux.HandleFunc(rt.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			if err := rt.Handler(rw, r); err != nil {
				if s.ctx.Err() == nil && r.Context().Err() == nil && !simulated(err) {
					w.wrong("%s: %v", rt.Pattern, err)
				}
				rw.WriteHeader(http.StatusInternalServerError)
			}
		})
	}
	go func() {
		defer close(s.over)
		if err := s.hub.Run(s.ctx); err != nil {
			w.wrong("%v", err)
		}
	}()
	w.mu.Lock()
	w.server = s
	w.boots = append(w.boots, time.Now())
	w.mu.Unlock()
}

// down ends the server; whoever waits for an answer gets none. One that is killed does not write another word.
func (w *world) down(killed bool) {
	w.mu.Lock()
	s := w.server
	w.server, w.fuse = nil, 0
	w.dying = killed
	w.mu.Unlock()
	if s == nil {
		return
	}
	if !killed {
		s.hub.Release()
		s.busy.Wait()
	}
	s.kill()
	s.busy.Wait()
	<-s.over
	w.mu.Lock()
	w.dying = false
	w.mu.Unlock()
}

// complaints listens to what the server says is out of order here. Nothing is, but for what was made to fail.
type complaints struct{ w *world }

func (c *complaints) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (c *complaints) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		err, _ := a.Value.Any().(error)
		if a.Key == "error" && !simulated(err) && !errors.Is(err, context.Canceled) {
			c.w.wrong("the server says: %s: %v", r.Message, a.Value)
		}
		return true
	})
	return nil
}

func (c *complaints) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *complaints) WithGroup(string) slog.Handler      { return c }
