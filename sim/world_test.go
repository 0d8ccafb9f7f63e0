package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/dispatch"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// world is one server with its disk, the network in front of it, and what is to fail.
type world struct {
	*testing.T
	seed  uint64
	st    *store.Store
	eng   *engine.Engine
	logs  *joblog.Log
	keys  *auth.Keyring
	token string // of registration
	end   context.Context
	tasks sync.WaitGroup

	mu     sync.Mutex
	server *server // nil while it is down
	calm   bool    // nothing fails any more
	skew   time.Duration
	ran    map[string]string // what a simulated process really did, by attempt or job
	events []string
}

// server is one process of it.
type server struct {
	mux  *http.ServeMux
	ctx  context.Context
	kill context.CancelFunc
	over chan struct{}
}

var errNetwork = errors.New("the network failed")

// dice are the random numbers of one part of the world. Each part has its own, so what one does changes no other's.
func (w *world) dice(part uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, part)) } //nolint:gosec // a simulation

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf("%9.3f ", time.Since(epoch).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func newWorld(t *testing.T, seed uint64, dir string) *world {
	w := &world{T: t, seed: seed, ran: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	w.end = ctx
	var err error
	if w.st, err = store.Open(ctx, store.Options{Dir: dir, Now: w.now}); err != nil {
		t.Fatal(err)
	}
	if w.keys, err = auth.NewKeyring(bytes.Repeat([]byte{7}, 32)); err != nil {
		t.Fatal(err)
	}
	w.eng = engine.New(engine.Options{Store: w.st})
	w.logs = joblog.New(joblog.Options{Store: w.st})
	var hash string
	w.token, hash = auth.NewToken(auth.TokenRegistration)
	w.write(func(tx *store.Tx) error {
		typ := &signalbox.AgentType{Name: "s1-sim"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: typ.ID, Name: "first"}, hash, "test")
	})
	w.boot()
	t.Cleanup(func() {
		cancel()
		w.down()
		w.tasks.Wait()
		if err := w.st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.st.Write(context.Background(), fn); err != nil {
		w.Fatal(err)
	}
}

// boot starts a server on the disk as it is.
func (w *world) boot() {
	hub, err := dispatch.New(dispatch.Options{Store: w.st, Engine: w.eng, Log: w.logs, Keys: w.keys, Now: w.now, Timing: slow})
	if err != nil {
		w.Fatal(err)
	}
	s := &server{mux: http.NewServeMux(), over: make(chan struct{})}
	s.ctx, s.kill = context.WithCancel(context.Background())
	for _, rt := range hub.Routes() {
		s.mux.HandleFunc(rt.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			if err := rt.Handler(rw, r); err != nil {
				if s.ctx.Err() == nil && r.Context().Err() == nil {
					w.Errorf("seed %d: %s: %v", w.seed, rt.Pattern, err)
				}
				rw.WriteHeader(http.StatusInternalServerError)
			}
		})
	}
	go func() {
		defer close(s.over)
		if err := hub.Run(s.ctx); err != nil {
			w.Errorf("seed %d: %v", w.seed, err)
		}
	}()
	w.mu.Lock()
	w.server = s
	w.mu.Unlock()
}

// down ends the server; whoever waits for an answer gets none.
func (w *world) down() {
	w.mu.Lock()
	s := w.server
	w.server = nil
	w.mu.Unlock()
	if s != nil {
		s.kill()
		<-s.over
	}
}

// ask sends a request through the network. Each way may take long or lose it, the server may die under it, and a copy may
// arrive much later.
func (w *world) ask(ctx context.Context, dice *rand.Rand, method, path, authorization string, body any, wait int, timeout time.Duration) (int, []byte, error) {
	var b []byte
	switch x := body.(type) {
	case nil:
	case []byte:
		b = x
	default:
		var err error
		if b, err = json.Marshal(x); err != nil {
			return 0, nil, err
		}
	}
	calm := w.isCalm()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	lost := func() (int, []byte, error) { <-ctx.Done(); return 0, nil, errNetwork }
	trip := func() bool {
		d := time.Duration(dice.ExpFloat64() * float64(20*time.Millisecond))
		if !calm && dice.IntN(30) == 0 {
			d = time.Duration(dice.Int64N(int64(90 * time.Second)))
		}
		return sleep(ctx, d)
	}
	send := func(ctx context.Context) (*httptest.ResponseRecorder, error) {
		w.mu.Lock()
		s := w.server
		w.mu.Unlock()
		if s == nil {
			return nil, errNetwork
		}
		r := httptest.NewRequest(method, path, bytes.NewReader(b))
		r.Header.Set("Authorization", authorization)
		if wait > 0 {
			r.Header.Set("Prefer", fmt.Sprintf("wait=%d", wait))
		}
		inside, hangUp := context.WithCancel(s.ctx)
		defer hangUp()
		defer context.AfterFunc(ctx, hangUp)()
		rec := httptest.NewRecorder()
		s.mux.ServeHTTP(rec, r.WithContext(inside))
		if s.ctx.Err() != nil {
			return nil, errNetwork
		}
		return rec, nil
	}
	if !calm && dice.IntN(20) == 0 {
		later := time.Duration(dice.Int64N(int64(4 * time.Minute)))
		w.tasks.Go(func() {
			if sleep(w.end, later) {
				ctx, cancel := context.WithTimeout(w.end, 30*time.Second)
				defer cancel()
				_, _ = send(ctx)
			}
		})
	}
	if !calm && dice.IntN(25) == 0 {
		return lost()
	}
	if !trip() {
		return 0, nil, errNetwork
	}
	rec, err := send(ctx)
	if err != nil {
		sleep(ctx, 50*time.Millisecond)
		return 0, nil, err
	}
	if !calm && dice.IntN(25) == 0 {
		return lost()
	}
	if !trip() {
		return 0, nil, errNetwork
	}
	return rec.Code, rec.Body.Bytes(), nil
}

// sleep waits in virtual time; false is that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// slow makes what is done again and again in case something was lost rare, because virtual hours pass; what depends on it
// only takes longer.
var slow = dispatch.Timing{Revalidate: 15 * time.Second, Sweep: 20 * time.Second, Flush: time.Minute}
