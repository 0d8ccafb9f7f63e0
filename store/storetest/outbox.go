package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func outboxKey(o *signalbox.Outbox) string { return o.Key }

func (s *suite) claimOutbox(n int, lease time.Duration) []*signalbox.Outbox {
	s.Helper()
	var out []*signalbox.Outbox
	s.write(func(t *store.Tx) (err error) {
		out, err = t.ClaimOutbox(n, lease)
		return err
	})
	slices.SortFunc(out, func(a, b *signalbox.Outbox) int { return a.RunAt.Compare(b.RunAt) })
	return out
}

func testOutbox(s *suite) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	add := func(key string, runAt time.Time) {
		s.write(func(t *store.Tx) error {
			return t.AddOutbox(&signalbox.Outbox{Key: key, Kind: "status", Payload: []byte("\x00\xff"), RunAt: runAt})
		})
	}
	add("second", now.Add(-time.Second))
	add("first", now.Add(-2*time.Second))
	add("later", now.Add(time.Hour))
	add("first", now.Add(-time.Hour)) // a key that is there changes nothing

	got := s.claimOutbox(1, time.Hour)
	if len(got) != 1 || got[0].Key != "first" || got[0].Attempts != 1 || string(got[0].Payload) != "\x00\xff" || !got[0].RunAt.Equal(now.Add(-2*time.Second)) {
		s.Fatalf("claimed %+v", got)
	}
	first := got[0]
	got = s.claimOutbox(10, time.Hour)
	s.equal("the rest that is due", ids(got, outboxKey), []string{"second"})
	second := got[0]
	s.equal("while all are leased", ids(s.claimOutbox(10, time.Hour), outboxKey), []string(nil))

	s.write(func(t *store.Tx) error { return t.FailOutbox(second.ID, "no answer", now.Add(-time.Second)) })
	got = s.claimOutbox(10, -time.Second) // a lease that ends at once
	s.equal("after a failure", ids(got, outboxKey), []string{"second"})
	if got[0].Attempts != 2 || got[0].LastError != "no answer" {
		s.Errorf("after a failure: %+v", got[0])
	}
	s.equal("after the lease ended", ids(s.claimOutbox(10, -time.Second), outboxKey), []string{"second"})

	for range 2 {
		s.write(func(t *store.Tx) error { return t.FinishOutbox(second.ID) })
	}
	s.write(func(t *store.Tx) error { return t.FailOutbox(second.ID, "too late", now) })
	s.equal("after it is done", ids(s.claimOutbox(10, time.Hour), outboxKey), []string(nil))
	s.write(func(t *store.Tx) error { return t.FailOutbox(first.ID, "x", now.Add(time.Hour)) })
	s.equal("before it is due again", ids(s.claimOutbox(10, time.Hour), outboxKey), []string(nil))

	undated := &signalbox.Outbox{Key: "undated", Kind: "status", Payload: []byte{}}
	s.write(func(t *store.Tx) error { return t.AddOutbox(undated) })
	s.equal("without a time", ids(s.claimOutbox(10, time.Hour), outboxKey), []string{"undated"})
}

func testOutboxClaimsExcludeOneAnother(s *suite) {
	const entries = 20
	for i := range entries {
		s.write(func(t *store.Tx) error {
			return t.AddOutbox(&signalbox.Outbox{Key: fmt.Sprint(i), Kind: "status", Payload: []byte("x")})
		})
	}
	var mu sync.Mutex
	claims := map[string]int{}
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			for {
				var got []*signalbox.Outbox
				err := s.s.Write(context.Background(), func(t *store.Tx) (err error) {
					got, err = t.ClaimOutbox(3, time.Hour)
					return err
				})
				if err != nil {
					s.Error(err)
				}
				if err != nil || len(got) == 0 {
					return
				}
				mu.Lock()
				for _, o := range got {
					claims[o.Key]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for key, n := range claims {
		if n != 1 {
			s.Errorf("entry %s was claimed %d times", key, n)
		}
	}
	if len(claims) != entries {
		s.Errorf("%d entries were claimed, want %d", len(claims), entries)
	}
}

func testSealed(s *suite) {
	ctx := context.Background()
	expect := func(want []byte) {
		s.Helper()
		got, err := s.s.Get(ctx, "key")
		if err != nil {
			s.Fatal(err)
		}
		s.equal("blob", got, want)
	}
	expect(nil)
	for _, data := range [][]byte{{0, 255, 1}, []byte("late")} {
		if err := s.s.PutNew(ctx, "key", data); err != nil {
			s.Fatal(err)
		}
		expect([]byte{0, 255, 1})
	}
	if err := s.s.PutNew(ctx, "other", []byte("first")); err != nil {
		s.Fatal(err)
	}
	s.equal("names", get(s, (*store.Tx).SealedNames), []string{"key", "other"})
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.ResealNamed("key", []byte("new"), []byte("x")) })
	s.write(func(t *store.Tx) error { return t.ResealNamed("key", []byte("new"), []byte{0, 255, 1}) })
	expect([]byte("new"))
}
