package joblog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// The tests below are about weaknesses that other systems have, by the numbers of the list in docs/invariants.md.

// What was acknowledged stays, whatever comes late, twice or with other content; what never came leaves a gap at its
// place.
func TestWeakness02LateDuplicatesOverwrite(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		l := New(Options{Store: s})
		a := signalbox.NewID()
		for from := int64(0); from < 40; from += 10 {
			var lines []string
			for i := range 10 {
				lines = append(lines, output(int(from)+i))
			}
			push(t, l, a, from, lines...)
		}
		want := text(t, l, a)
		push(t, l, a, 0, output(0))               // the first request, late
		push(t, l, a, 10, output(10), output(11)) // one from the middle
		push(t, l, a, 0, `{"event":"cmd_output","timestamp":1,"output":"something else\n"}`)
		push(t, l, a, 39, output(39))
		if got := text(t, l, a); got != want || strings.Count(got, "\n") != 40 {
			t.Errorf("the log was changed:\n%s", cmp.Diff(want, got))
		}
		push(t, l, a, 45, output(45))
		push(t, l, a, 45, output(45))
		if d := cmp.Diff([]Gap{{40, 45, WhyMissing}}, info(t, l, a).Gaps); d != "" {
			t.Error(d)
		}
		push(t, l, a, 40, output(40), output(41), output(42), output(43), output(44))
		if in := info(t, l, a); len(in.Gaps) != 0 || in.NextEvent != 46 {
			t.Errorf("%+v", in)
		}
	})
}

// A log has no cap unless somebody sets one: 20 MB arrive and stay.
func TestWeakness03LogsEndAt16MB(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	long := strings.Repeat("x", 990)
	const pushes, each = 21, 1000
	for p := range pushes {
		lines := make([]string, each)
		for i := range lines {
			lines[i] = fmt.Sprintf(`{"event":"cmd_output","timestamp":1,"output":"%08d %s\n"}`, p*each+i, long)
		}
		if out := push(t, l, a, int64(p*each), lines...); out.Stored != each || out.OverQuota {
			t.Fatalf("push %d: %+v", p, out)
		}
	}
	var c counter
	if err := l.Text(t.Context(), a, &c); err != nil || c.bytes != pushes*each*1000 {
		t.Errorf("%d bytes, %v", c.bytes, err)
	}
}

// A quota is no failure: what is over it is accepted and counted, and a sentence stands at its place.
func TestWeakness13LimitReadsLikeTheCause(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Quota: 50})
	a := signalbox.NewID()
	for i := range 5 {
		push(t, l, a, int64(i), output(i)) // which fails the test if it is refused
	}
	got := strings.ToLower(text(t, l, a))
	if !strings.Contains(got, "of the log were not stored: the log reached its quota") || strings.Contains(got, "error") || strings.Contains(got, "fail") {
		t.Errorf("the log says %q", got)
	}
	if in := info(t, l, a); in.Refused == 0 {
		t.Errorf("%+v", in)
	}
}
