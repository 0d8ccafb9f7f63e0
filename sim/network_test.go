package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// request is what is on the wire.
type request struct {
	method, path, authorization string
	body                        []byte
	wait                        int
}

// ask sends a request through the network. Each way may take long or lose it, the server may die under it, it may arrive
// when its sender has given up, and a copy may arrive much later.
func (w *world) ask(ctx context.Context, dice *rand.Rand, q request, body any, timeout time.Duration) (int, []byte, error) {
	switch x := body.(type) {
	case nil:
	case []byte:
		q.body = x
	default:
		var err error
		if q.body, err = json.Marshal(x); err != nil {
			return 0, nil, err
		}
	}
	calm := w.isCalm()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	w.count("request")
	chance := func(n int) bool { return !calm && dice.IntN(n) == 0 }
	lost := func(what string) (int, []byte, error) {
		w.count(what)
		<-ctx.Done()
		return 0, nil, errNetwork
	}
	trip := func() bool {
		d := time.Duration(dice.ExpFloat64() * float64(20*time.Millisecond))
		if chance(30) {
			d = time.Duration(dice.Int64N(int64(90 * time.Second)))
			w.count("slow way")
		}
		return sleep(ctx, d)
	}
	if chance(20) || bytes.Contains(q.body, []byte(agentapi.StateFinishedJob)) && chance(2) {
		w.count("copy")
		w.late(dice, q)
	}
	if chance(50) {
		w.late(dice, q)
		return lost("arrives after its sender gave up")
	}
	if chance(25) {
		return lost("request lost")
	}
	if !trip() {
		return 0, nil, errNetwork
	}
	rec, err := w.send(ctx, q)
	if err != nil {
		sleep(ctx, 50*time.Millisecond)
		return 0, nil, err
	}
	few := 25
	if w.lonely && q.method == http.MethodGet {
		few = 3
	}
	if chance(few) {
		return lost("answer lost")
	}
	if !trip() {
		return 0, nil, errNetwork
	}
	return rec.Code, rec.Body.Bytes(), nil
}

// late lets a request arrive later, now and then much later; whoever sent it may have left by then.
func (w *world) late(dice *rand.Rand, q request) {
	later, last := time.Duration(dice.Int64N(int64(4*time.Minute))), time.Duration(dice.Int64N(int64(time.Second)))
	if dice.IntN(3) == 0 {
		later *= 15
	}
	w.tasks.Go(func() {
		t := time.NewTimer(later)
		defer t.Stop()
		select {
		case <-w.end.Done():
			return
		case <-w.flush:
			time.Sleep(last)
		case <-t.C:
		}
		ctx, cancel := context.WithTimeout(w.end, 30*time.Second)
		defer cancel()
		_, _ = w.send(ctx, q)
	})
}

// send hands a request to the server that is there when it arrives.
func (w *world) send(ctx context.Context, q request) (*httptest.ResponseRecorder, error) {
	w.mu.Lock()
	s := w.server
	if s != nil {
		s.busy.Add(1)
	}
	jumps := w.jumps
	w.mu.Unlock()
	if s == nil {
		w.count("no server")
		return nil, errNetwork
	}
	defer s.busy.Done()
	r := httptest.NewRequest(q.method, q.path, bytes.NewReader(q.body))
	r.Header.Set("Authorization", q.authorization)
	if q.wait > 0 {
		r.Header.Set("Prefer", fmt.Sprintf("wait=%d", q.wait))
	}
	inside, hangUp := context.WithCancel(s.ctx)
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	rec := httptest.NewRecorder()
	begin := w.now()
	s.mux.ServeHTTP(rec, r.WithContext(inside))
	if s.ctx.Err() != nil {
		w.count("server died under a request")
		return nil, errNetwork
	}
	if ctx.Err() == nil {
		w.witness(s, q, rec, begin, jumps)
	}
	return rec, nil
}
