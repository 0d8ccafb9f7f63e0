package joblog

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// model is a log as simple as can be: what was acknowledged first, by index.
type model struct {
	events map[int64]string
	next   int64
}

func (m *model) push(from int64, lines []string) Outcome {
	out := Outcome{Gap: from > m.next}
	for i, line := range lines {
		n := from + int64(i)
		old, ok := m.events[n]
		switch {
		case !ok:
			m.events[n] = line
			out.Stored++
		case old == line:
			out.Duplicate++
		default:
			out.Differing++
		}
		m.next = max(m.next, n+1)
	}
	return out
}

func (m *model) gaps() []Gap {
	var list []Gap
	for n := range m.next {
		if _, ok := m.events[n]; ok {
			continue
		}
		if k := len(list); k > 0 && list[k-1].To == n {
			list[k-1].To++
		} else {
			list = append(list, Gap{n, n + 1, WhyMissing})
		}
	}
	return list
}

// check reads the whole log in an own way and compares every event with the model.
func (m *model) check(t *rapid.T, l *Log, attempt string) {
	in, err := l.Info(context.Background(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	want := m.gaps()
	if in.NextEvent != m.next || len(in.Gaps) != len(want) {
		t.Fatalf("next is %d with gaps %v, want %d with %v", in.NextEvent, in.Gaps, m.next, want)
	}
	for i, g := range in.Gaps {
		if g != want[i] {
			t.Fatalf("gaps are %v, want %v", in.Gaps, want)
		}
	}
	seen, bytes := 0, int64(0)
	_, _, err = l.scan(context.Background(), attempt, 0, func(b Batch) error {
		for i, e := range b.Events {
			n := b.From + int64(i)
			if string(e) != m.events[n] {
				t.Fatalf("event %d is %s, but %s was acknowledged", n, e, m.events[n])
			}
			seen++
			bytes += int64(len(e)) + 1
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != len(m.events) || bytes != in.Bytes {
		t.Fatalf("%d events of %d bytes, want %d events; the head says %d bytes", seen, bytes, len(m.events), in.Bytes)
	}
}

func TestAgainstModel(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		l := New(Options{Store: s})
		rapid.Check(t, func(t *rapid.T) {
			attempt := signalbox.NewID()
			truth := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 5), func(i int) string {
				return `{"event":"cmd_output","output":` + strconv.Quote(strconv.Itoa(i)) + `}`
			}), 1, 40).Draw(t, "what the agent writes")
			m := &model{events: map[int64]string{}}
			lies := false
			send := func(from int, lines []string) {
				body := ""
				for _, line := range lines {
					body += line + "\n"
				}
				got, err := l.Append(context.Background(), attempt, "job", int64(from), []byte(body))
				if err != nil {
					t.Fatal(err)
				}
				if want := m.push(int64(from), lines); got != want {
					t.Fatalf("push of %d events from %d: %+v, want %+v", len(lines), from, got, want)
				}
				m.check(t, l, attempt)
			}
			for range rapid.IntRange(1, 12).Draw(t, "pushes") {
				from := rapid.IntRange(0, len(truth)-1).Draw(t, "from")
				to := rapid.IntRange(from+1, len(truth)).Draw(t, "to")
				lines := append([]string(nil), truth[from:to]...)
				if rapid.IntRange(0, 5).Draw(t, "honest") == 0 {
					lies = true
					lines[rapid.IntRange(0, len(lines)-1).Draw(t, "lie at")] = `{"event":"cmd_output","output":"lie"}`
				}
				send(from, lines)
			}
			send(0, truth)
			if lies {
				return
			}
			for n, line := range truth {
				if m.events[int64(n)] != line {
					t.Fatalf("event %d is %s, the agent wrote %s", n, m.events[int64(n)], line)
				}
			}
			var pulled []json.RawMessage
			for from, closed := int64(0), false; !closed; {
				if int(from) == len(truth) {
					if err := l.Close(context.Background(), attempt); err != nil {
						t.Fatal(err)
					}
				}
				events, next, end, err := l.Pull(context.Background(), attempt, from, 7)
				if err != nil || next != from+int64(len(events)) {
					t.Fatal(from, next, len(events), err)
				}
				pulled, from, closed = append(pulled, events...), next, end
			}
			for n, line := range truth {
				if string(pulled[n]) != line {
					t.Fatalf("event %d was pulled as %s, the agent wrote %s", n, pulled[n], line)
				}
			}
		})
	})
}
