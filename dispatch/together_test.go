package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// atOnce does all things as one group, by letting nobody lead until all wait.
func atOnce[T any](t *testing.T, g *together[T], do []func() error) []error {
	t.Helper()
	for range leaders {
		g.lead <- struct{}{}
	}
	errs, ended := make([]error, len(do)), make(chan struct{}, len(do))
	for i, f := range do {
		go func() {
			errs[i] = f()
			ended <- struct{}{}
		}()
	}
	for n, limit := 0, time.Now().Add(time.Minute); n < len(do); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d of %d came", n, len(do))
		}
		g.mu.Lock()
		n = len(g.waiting)
		g.mu.Unlock()
	}
	for range leaders {
		<-g.lead
	}
	for range do {
		<-ended
	}
	return errs
}

// TestJobsThatStartTogether stores in one transaction that many jobs run, among them what must not harm the others.
func TestJobsThatStartTogether(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { startTogether(t, store.Options{Dir: storetest.Folder(t)}) })
	t.Run("postgres", func(t *testing.T) { startTogether(t, store.Options{URL: storetest.PostgresURL(t)}) })
}

func startTogether(t *testing.T, o store.Options) {
	const n = 40
	var statements atomic.Int64
	o.OnStatement = func(string) { statements.Add(1) }
	st, eng, h := hubOn(t, o)
	var attempts []string
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		attempts = nil
		typ := &signalbox.AgentType{Name: "s1-linux"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		p, err := makeProject(tx, "shop", 0)
		if err != nil {
			return err
		}
		ids, err := queueJobs(tx, eng, p, typ.Name, n)
		if err != nil {
			return err
		}
		for i, id := range ids {
			ag := &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: fmt.Sprintf("a%d", i), State: signalbox.AgentRegistered}
			if err := tx.CreateAgent(ag, "hash"+ag.Name); err != nil {
				return err
			}
			j, err := tx.Job(id)
			if err != nil {
				return err
			}
			a, err := engine.Offer(tx, j, ag, "test")
			if err != nil {
				return err
			}
			attempts = append(attempts, a.ID)
			if i > 0 { // the first has not been fetched
				if _, _, err := engine.Fetched(tx, a.ID, "test"); err != nil {
					return err
				}
			}
		}
		return eng.Finish(tx, attempts[1], signalbox.JobFailed, signalbox.ReasonAgentLost, "", "test")
	}); err != nil {
		t.Fatal(err)
	}
	woken, stop := st.Watch(store.KeyAttempt(attempts[2]))
	defer stop()
	say := func(id string, lease time.Duration) func() error {
		return func() error {
			return h.starts.do(t.Context(), engine.Start{AttemptID: id, Lease: lease, Actor: "agent:x"})
		}
	}
	var do []func() error
	for i, id := range attempts {
		do = append(do, say(id, time.Duration(i)*time.Second))
	}
	do = append(do, say(attempts[5], 5*time.Second), say(signalbox.NewID(), 0))
	before := statements.Load()
	errs := atOnce(t, h.starts, do)
	if used := statements.Load() - before; used > 3 {
		t.Errorf("%d statements for %d jobs", used, n)
	}
	for i, err := range errs {
		if unknown := i == len(do)-1; unknown != (signalbox.ErrorCode(err) == signalbox.CodeNotFound) || !unknown && err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	select {
	case <-woken:
	default:
		t.Error("nobody was told")
	}
	if err := st.Read(t.Context(), func(tx *store.Tx) error {
		for i, id := range attempts {
			a, err := tx.Attempt(id)
			if err != nil {
				return err
			}
			want := signalbox.AttemptRunning
			switch i {
			case 0:
				want = signalbox.AttemptOffered
			case 1:
				want = signalbox.AttemptEnded
			}
			events, err := tx.Events("attempt", id)
			if err != nil {
				return err
			}
			said := 0
			for k, e := range events {
				if e.N != k+1 {
					t.Errorf("%d: %+v", i, e)
				}
				if e.Reason == "running" && e.Actor == "agent:x" {
					said++
				}
			}
			runs := want == signalbox.AttemptRunning
			if a.State != want || runs && (a.Lease != time.Duration(i)*time.Second || a.RunningAt.IsZero()) || runs && said != 1 || !runs && said != 0 {
				t.Errorf("%d: %+v, said %d times", i, a, said)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestTogetherFails tells everybody when nothing of their group was stored, and one who hung up stops nobody.
func TestTogetherFails(t *testing.T) {
	broken := errors.New("the disk is full")
	own := errors.New("not you")
	fail := true
	g := newTogether(func(ctx context.Context, group []int, errs []error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i, n := range group {
			if n == 3 {
				errs[i] = own
			}
		}
		if fail {
			return broken
		}
		return nil
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var do []func() error
	for i := range 5 {
		do = append(do, func() error { return g.do(gone, i) })
	}
	for _, err := range atOnce(t, g, do) {
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	fail = false
	for i, err := range atOnce(t, g, do) {
		if want := i == 3; want != errors.Is(err, own) || !want && err != nil {
			t.Error(i, err)
		}
	}
}
