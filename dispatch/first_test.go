package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// Somebody who watches for an agent sees its first sync long before heartbeats are stored, and later ones do not hurry.
func TestAFirstSyncIsStoredAtOnce(t *testing.T) {
	bubble(t, func(r *replay) {
		woken, stop := r.hub.Store.Watch(store.AnyAgent)
		defer stop()
		token := r.register(agentapi.RegisterRequest{Name: "new-agent"})
		seen := func() (s store.Seen) {
			id := r.agentRow("new-agent").ID
			r.write(func(tx *store.Tx) (err error) { s, err = tx.SeenOf(id); return err })
			return s
		}
		if s := seen(); s.State != "" {
			r.Errorf("before its first sync: %+v", s)
		}
		<-woken // the registration
		time.Sleep(10 * time.Millisecond)
		r.ours(token, waits)
		time.Sleep(time.Second)
		synctest.Wait()
		first := seen()
		if first.State != string(agentapi.StateWaitingForJobs) {
			r.Errorf("a second after its first sync: %+v", first)
		}
		select {
		case <-woken:
		default:
			r.Error("nobody was told")
		}
		r.ours(token, waits)
		time.Sleep(time.Second)
		if again := seen(); !again.At.Equal(first.At) {
			r.Errorf("the second sync was stored on its own: %+v, %+v", first, again)
		}
	})
}
