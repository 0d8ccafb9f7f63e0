package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testEvent(s *suite) {
	var first *signalbox.Event
	s.write(func(t *store.Tx) error {
		first = &signalbox.Event{Noun: "job", ID: "a", N: 1, At: t.Now, Actor: "user:ann", Reason: "made", Detail: "from ü"}
		if err := t.Record("job", "a", "user:ann", "made", "from ü"); err != nil {
			return err
		}
		return t.Record("job", "a", "server", "changed", "")
	})
	s.write(func(t *store.Tx) error { return t.Record("job", "b", "server", "made", "") })
	s.write(func(t *store.Tx) error { return t.Record("block", "a", "server", "made", "") })
	list := get(s, func(t *store.Tx) ([]*signalbox.Event, error) { return t.Events("job", "a") })
	if len(list) != 2 {
		s.Fatalf("%d events, want 2", len(list))
	}
	s.equal("first", list[0], first)
	s.equal("reasons", s.reasons("job", "a"), []string{"made", "changed"})
	for _, thing := range [][2]string{{"job", "b"}, {"block", "a"}} {
		list := get(s, func(t *store.Tx) ([]*signalbox.Event, error) { return t.Events(thing[0], thing[1]) })
		if len(list) != 1 || list[0].N != 1 {
			s.Errorf("events of %v: %v", thing, list)
		}
	}
	s.equal("of nothing", s.reasons("job", "none"), []string(nil))
}

func testEventNumbersUnderLoad(s *suite) {
	const writers = 8
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			if err := s.s.Write(context.Background(), func(t *store.Tx) error {
				return t.Record("agent_type", "busy", fmt.Sprint("writer ", i), "token created", "")
			}); err != nil {
				s.Error(err)
			}
		})
	}
	group.Wait()
	list := get(s, func(t *store.Tx) ([]*signalbox.Event, error) { return t.Events("agent_type", "busy") })
	if len(list) != writers {
		s.Fatalf("%d events, want %d", len(list), writers)
	}
	for i, e := range list {
		if e.N != i+1 {
			s.Errorf("event %d has number %d", i+1, e.N)
		}
	}
}
