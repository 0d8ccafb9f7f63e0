package store_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// run starts a store's Run and stops it when the test ends.
func run(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func TestWakeUpsCrossServers(t *testing.T) {
	url := storetest.PostgresURL(t)
	a, b := storetest.Open(t, store.Options{URL: url}), storetest.Open(t, store.Options{URL: url})
	atA, stopA := a.Watch("from a", "from b", "both")
	defer stopA()
	atB, stopB := b.Watch("from a", "from b", "both")
	defer stopB()
	own, stopOwn := a.Watch("from a")
	defer stopOwn()
	run(t, a)
	run(t, b)
	// A new listener wakes everybody, because nobody knows what it missed. After that, both listen.
	<-atA
	<-own
	<-atB

	if err := a.Write(t.Context(), func(tx *store.Tx) error { tx.Wake("from a"); return nil }); err != nil {
		t.Fatal(err)
	}
	<-atB
	<-atA
	<-own
	b.Notify("from b")
	<-atB
	<-atA
	// b's notification came after a's own one, so that one has arrived at a, and must not have woken it again.
	select {
	case <-own:
		t.Error("a server was woken twice by its own notification")
	default:
	}

	// Many keys at once travel in several notifications.
	stopB()
	last, stopLast := b.Watch("key 4999")
	defer stopLast()
	keys := make([]string, 5000)
	for i := range keys {
		keys[i] = "key " + strconv.Itoa(i)
	}
	a.Notify(keys...)
	<-last
}

func TestLostListenerWakesEverybody(t *testing.T) {
	url := storetest.PostgresURL(t)
	a := storetest.Open(t, store.Options{URL: url})
	c, stop := a.Watch("anything")
	defer stop()
	run(t, a)
	<-c
	main, _ := a.Databases()
	var ended int
	err := main.QueryRowContext(t.Context(), `SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&ended)
	if err != nil || ended != 1 {
		t.Fatalf("%d listeners were ended, %v", ended, err)
	}
	<-c
}

func TestWithoutNotificationsOnlyHintsAreLost(t *testing.T) {
	url := storetest.PostgresURL(t)
	a, b := storetest.Open(t, store.Options{URL: url}), storetest.Open(t, store.Options{URL: url})
	c, stop := b.Watch("key") // Run carries notifications, and nobody runs it
	defer stop()
	if err := a.Write(t.Context(), func(tx *store.Tx) error {
		tx.Wake("key")
		return tx.CreateProject(project("x"), "test")
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.FindProject("x"); return err }); err != nil {
		t.Errorf("what one server stored is not there for another: %v", err)
	}
	select {
	case <-c:
		t.Error("a notification arrived although nobody carries any")
	default:
	}
}
