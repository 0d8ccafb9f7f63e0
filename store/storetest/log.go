package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func (s *suite) writeLog(fn func(*store.LogTx) error) {
	s.Helper()
	if err := s.s.WriteLog(context.Background(), fn); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) readLog(fn func(*store.LogTx) error) {
	s.Helper()
	if err := s.s.ReadLog(context.Background(), fn); err != nil {
		s.Fatal(err)
	}
}

func testLog(s *suite) {
	a, b := signalbox.NewID(), signalbox.NewID()
	var head *store.LogHead
	s.writeLog(func(t *store.LogTx) (err error) {
		if head, err = t.LockLog(a, "job"); err != nil {
			return err
		}
		if head.JobID != "job" || head.Next != 0 || !head.CreatedAt.Equal(t.Now) || !head.ClosedAt.IsZero() {
			s.Errorf("a new log is %+v", head)
		}
		head.Next, head.Bytes, head.Refused, head.Differing, head.ClosedAt = 3, 4, 5, 6, t.Now
		return t.UpdateLog(head)
	})
	s.writeLog(func(t *store.LogTx) error {
		again, err := t.LockLog(a, "other job")
		s.equal("head", again, head)
		return err
	})
	s.readLog(func(t *store.LogTx) error {
		got, err := t.Log(a)
		s.equal("head in a view", got, head)
		return err
	})
	for what, fn := range map[string]func(*store.LogTx) error{
		"reading": func(t *store.LogTx) error { _, err := t.Log(b); return err },
	} {
		if err := s.s.ReadLog(context.Background(), fn); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			s.Errorf("%s an unknown log: %v", what, err)
		}
	}
	refused := func(what string, fn func(*store.LogTx) error) {
		if err := s.s.WriteLog(context.Background(), fn); signalbox.ErrorCode(err) != signalbox.CodeConflict {
			s.Errorf("%s: %v, want a conflict", what, err)
		}
	}
	refused("updating an unknown log", func(t *store.LogTx) error { return t.UpdateLog(&store.LogHead{AttemptID: b}) })

	add := func(t *store.LogTx) error {
		return t.AddLogChunk(a, store.LogChunk{First: 0, Count: 2, Data: []byte("\x00x")})
	}
	s.writeLog(add)
	refused("the same chunk again", add)

	gaps := func(from, to int64, limit int) (out []store.LogGap) {
		s.readLog(func(t *store.LogTx) (err error) {
			out, err = t.LogGaps(a, from, to, limit)
			return err
		})
		return out
	}
	one, two, three := store.LogGap{From: 2, To: 4, Why: "x"}, store.LogGap{From: 6, To: 8, Why: "y"}, store.LogGap{From: 9, To: 10, Why: "z"}
	s.writeLog(func(t *store.LogTx) error { return t.ReplaceLogGaps(a, nil, []store.LogGap{three, one, two}) })
	for _, c := range []struct {
		from, to int64
		limit    int
		want     []store.LogGap
	}{
		{0, 20, 9, []store.LogGap{one, two, three}},
		{0, 20, 2, []store.LogGap{one, two}},
		{4, 6, 9, []store.LogGap{one, two}},
		{5, 5, 9, []store.LogGap{}},
		{7, 7, 9, []store.LogGap{two}},
	} {
		got := gaps(c.from, c.to, c.limit)
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(store.LogGap{}, "At")); diff != "" {
			s.Errorf("gaps from %d to %d, at most %d (-want +got):\n%s", c.from, c.to, c.limit, diff)
		}
	}
	old := gaps(0, 3, 9)[0]
	s.writeLog(func(t *store.LogTx) error {
		shorter := old
		shorter.To = 3
		return t.ReplaceLogGaps(a, []store.LogGap{old, three}, []store.LogGap{shorter})
	})
	after := gaps(0, 20, 9)
	if len(after) != 2 || after[0].To != 3 || !after[0].At.Equal(old.At) || after[1].From != 6 {
		s.Errorf("gaps after a replacement are %+v", after)
	}

	s.writeLog(func(t *store.LogTx) error {
		if err := t.AddLogEvidence(a, 7, []byte("first")); err != nil {
			return err
		}
		return t.AddLogEvidence(a, 2, []byte("second"))
	})
	s.readLog(func(t *store.LogTx) error {
		list, err := t.LogEvidence(a)
		if len(list) != 2 || list[0].First != 7 || string(list[0].Data) != "first" || list[1].First != 2 {
			s.Errorf("evidence is %+v", list)
		}
		return err
	})

	s.writeLog(func(t *store.LogTx) error { _, err := t.LockLog(b, ""); return err })
	s.readLog(func(t *store.LogTx) error {
		open, err := t.OpenLogs()
		s.equal("open logs", open, []string{b})
		return err
	})
	for range 2 {
		s.writeLog(func(t *store.LogTx) error { return t.DeleteLog(a) })
	}
	s.readLog(func(t *store.LogTx) error {
		if _, err := t.Log(a); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			s.Errorf("a deleted log: %v", err)
		}
		chunks, err := t.LogChunks(a, 0, 9, 1<<20)
		if err != nil {
			return err
		}
		evidence, err := t.LogEvidence(a)
		if len(chunks)+len(evidence) != 0 {
			s.Errorf("a deleted log has %d chunks and %d pieces of evidence", len(chunks), len(evidence))
		}
		if err != nil {
			return err
		}
		_, err = t.Log(b)
		return err
	})
	if n := len(gaps(0, 99, 9)); n != 0 {
		s.Errorf("a deleted log has %d gaps", n)
	}
}

func testLogPaging(s *suite) {
	a := signalbox.NewID()
	s.writeLog(func(t *store.LogTx) error {
		for _, first := range []int64{10, 0, 5} { // 3 events each; 3, 4, 8 and 9 are not there
			if err := t.AddLogChunk(a, store.LogChunk{First: first, Count: 3, Data: []byte("0123456789")}); err != nil {
				return err
			}
		}
		return t.AddLogChunk("another", store.LogChunk{First: 1, Count: 99, Data: []byte("x")})
	})
	for _, c := range []struct {
		from           int64
		limit, maxData int
		want           []int64
	}{
		{0, 9, 1 << 20, []int64{0, 5, 10}},
		{2, 9, 1 << 20, []int64{0, 5, 10}},
		{3, 9, 1 << 20, []int64{5, 10}},
		{5, 9, 1 << 20, []int64{5, 10}},
		{7, 1, 1 << 20, []int64{5}},
		{0, 9, 1, []int64{0}},
		{0, 9, 11, []int64{0, 5}},
		{12, 9, 1 << 20, []int64{10}},
		{13, 9, 1 << 20, nil},
	} {
		var got []int64
		s.readLog(func(t *store.LogTx) error {
			list, err := t.LogChunks(a, c.from, c.limit, c.maxData)
			got = nil
			for _, chunk := range list {
				got = append(got, chunk.First)
				if chunk.Count != 3 || string(chunk.Data) != "0123456789" || chunk.At.IsZero() {
					s.Errorf("chunk is %+v", chunk)
				}
			}
			return err
		})
		s.equal(fmt.Sprintf("from %d, at most %d chunks and %d bytes", c.from, c.limit, c.maxData), got, c.want)
	}
}

func testLogLock(s *suite) {
	a := signalbox.NewID()
	const writers, each = 8, 10
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				if err := s.s.WriteLog(context.Background(), func(t *store.LogTx) error {
					h, err := t.LockLog(a, "job")
					if err != nil {
						return err
					}
					if err := t.AddLogChunk(a, store.LogChunk{First: h.Next, Count: 1, Data: []byte("x")}); err != nil {
						return err
					}
					h.Next++
					return t.UpdateLog(h)
				}); err != nil {
					s.Error(err)
				}
			}
		})
	}
	group.Wait()
	s.readLog(func(t *store.LogTx) error {
		h, err := t.Log(a)
		if err == nil && h.Next != writers*each {
			s.Errorf("next event is %d, want %d", h.Next, writers*each)
		}
		return err
	})
}
