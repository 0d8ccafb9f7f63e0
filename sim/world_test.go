package sim

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/dispatch"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// epoch is when virtual time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// world is one server with its disk, the network in front of it, and what is to fail.
type world struct {
	*testing.T
	seed   uint64
	dir    string
	st     *store.Store
	keys   *auth.Keyring
	timing dispatch.Timing
	end    context.Context
	lonely bool                // one agent gets most jobs, again and again
	rules  signalbox.AgentType // lease, quarantine and what else of the agent type stays as it is
	tasks  sync.WaitGroup
	tally  tally

	mu      sync.Mutex
	server  *server // nil while it is down
	fuse    int     // after so many statements the server is killed; 0 is never
	dying   bool    // nothing that it still does reaches the disk
	crashed chan struct{}
	refuses string // statements with this in them fail: "" is none
	calm    bool   // nothing fails any more
	flush   chan struct{}
	skew    time.Duration
	jumps   int
	token   string                 // of registration
	works   map[string]*work       // by attempt
	unread  map[string]bool        // jobs with agents that could not read what to run
	stopped map[string]bool        // jobs that were stopped before they had ended, and somebody was told so
	halted  map[string]bool        // pipelines likewise
	final   map[string]string      // ends that were seen, by job and attempt
	heard   map[string][]time.Time // when an agent's sync that was answered came, by its token
	tokens  map[string][]string    // of agents, by name
	doubles map[string]string      // tries that began while another one of the same job ran, and which
	boots   []time.Time
	events  []string
}

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
	w.events = append(w.events, fmt.Sprintf("%14.8f ", time.Since(epoch).Seconds())+fmt.Sprintf(format, args...))
}

// wrong is a promise that does not hold.
func (w *world) wrong(format string, args ...any) {
	w.Helper()
	w.Errorf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *world) count(what string) {
	w.mu.Lock()
	w.tally[what]++
	w.mu.Unlock()
}

func (w *world) isCalm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

// template is a data folder with an agent type, a project and a registration token, which every world begins with a copy of.
type template struct{ dir, token string }

func newTemplate(t *testing.T, dir string) (tp template) {
	tp.dir = dir
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var hash string
		tp.token, hash = auth.NewToken(auth.TokenRegistration)
		if err := st.Write(t.Context(), func(tx *store.Tx) error {
			typ := &signalbox.AgentType{Name: typeName}
			if err := tx.CreateAgentType(typ, "test"); err != nil {
				return err
			}
			if err := tx.CreateProject(&signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: "p.yml"}, "test"); err != nil {
				return err
			}
			return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: typ.ID, Name: "first"}, hash, "test")
		}); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	})
	return tp
}

const typeName = "s1-sim"

func (tp template) copyTo(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range store.Files() {
		b, err := os.ReadFile(filepath.Join(tp.dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func newWorld(t *testing.T, seed uint64, dir string, tp template) *world {
	w := &world{
		T: t, seed: seed, dir: dir, token: tp.token, tally: tally{}, crashed: make(chan struct{}, 1), flush: make(chan struct{}),
		works: map[string]*work{}, stopped: map[string]bool{}, unread: map[string]bool{}, heard: map[string][]time.Time{}, tokens: map[string][]string{},
		doubles: map[string]string{}, halted: map[string]bool{}, final: map[string]string{},
	}
	w.timing = timings[w.dice(3).IntN(len(timings))]
	ctx, cancel := context.WithCancel(context.Background())
	w.end = ctx
	if err := tp.copyTo(dir); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.st, err = store.Open(ctx, store.Options{Dir: dir, Now: w.now, OnStatement: w.statement}); err != nil {
		t.Fatal(err)
	}
	if w.keys, err = auth.NewKeyring(bytes.Repeat([]byte{7}, 32)); err != nil {
		t.Fatal(err)
	}
	w.boot()
	t.Cleanup(func() {
		cancel()
		w.down(false)
		w.tasks.Wait()
		if err := w.st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// own reads or writes for the simulation itself, whatever the disk and the server are like.
func (w *world) own(fn func(*store.Tx) error) {
	w.Helper()
	for {
		err := w.st.Read(context.Background(), fn)
		if err == nil {
			return
		}
		if !simulated(err) {
			w.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}

// act is what somebody asks of the server. It returns true when the server has said that it is done.
func (w *world) act(what string, fn func(ctx context.Context, s *server) error) bool {
	w.mu.Lock()
	s := w.server
	w.mu.Unlock()
	if s == nil {
		w.note("%s: there is no server", what)
		return false
	}
	err := fn(s.ctx, s)
	switch {
	case s.ctx.Err() != nil || simulated(err):
		w.note("%s: no answer", what)
		w.count("people without an answer")
		return false
	case err != nil:
		w.wrong("%s: %v", what, err)
		return false
	}
	w.note("%s", what)
	w.count("people: " + what)
	return true
}

// tx runs fn in one transaction of a server.
func (s *server) tx(ctx context.Context, fn func(*store.Tx, *engine.Engine) error) error {
	return s.st.Write(ctx, func(tx *store.Tx) error { return fn(tx, s.eng) })
}

// timings of servers: what is done again and again in case something was lost is rare in most worlds, because virtual hours
// pass, and what depends on it only takes longer. One world in eight has what a server has by itself.
var timings = func() (out [8]dispatch.Timing) {
	for i := range out[1:] {
		out[i+1] = dispatch.Timing{
			Hold: 10 * time.Second, RunningNext: 9 * time.Second, Revalidate: 2 * time.Minute, Sweep: 45 * time.Second, Flush: time.Minute,
		}
	}
	return out
}()

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
