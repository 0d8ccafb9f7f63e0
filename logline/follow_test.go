package logline

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come true that %s", what)
		}
	}
}

// follower keeps what a page would know.
type follower struct {
	lines   map[int64]string
	skipped int64
	resets  int
	last    *Index
}

func (f *follower) take(u Update) {
	if u.Reset {
		f.lines = map[int64]string{}
		f.resets++
	}
	f.skipped = max(f.skipped, u.Skip)
	for _, l := range u.Lines {
		f.lines[l.N] = string(l.Raw)
	}
	f.last = u.Index
}

func (w *world) follow(t *testing.T, attempt string, at Position, updates chan<- Update) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		defer close(updates)
		if err := w.lines.Follow(ctx, attempt, at, func(u Update) error {
			updates <- u
			return nil
		}); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
}

func TestFollow(t *testing.T) {
	w := newWorld(t)
	attempt := signalbox.NewID()
	updates := make(chan Update)
	w.follow(t, attempt, Position{Rev: -1}, updates)
	w.push(t, attempt, 0, started(1, "make"), printed(1, "one\nhal"))
	f := &follower{lines: map[int64]string{}}
	f.take(<-updates)
	if f.lines[2] != "one" || f.lines[3] != "hal" || !f.last.Open {
		t.Errorf("the page knows %v", f.lines)
	}
	w.push(t, attempt, 2, printed(2, "f\nthree\n"))
	f.take(<-updates)
	if f.lines[3] != "half" || f.lines[4] != "three" || f.resets != 0 {
		t.Errorf("the page knows %v", f.lines)
	}
	// More than one update carries: the end comes, the rest is asked for.
	w.push(t, attempt, 3, printed(2, strings.Repeat("much\n", 30_000)))
	f.take(<-updates)
	if f.skipped < 20_000 || f.lines[30_004] != "much" {
		t.Errorf("%d lines were skipped, the last is %q", f.skipped, f.lines[30_004])
	}
	// A gap, and what fills it.
	w.push(t, attempt, 6, printed(2, "later\n"))
	f.take(<-updates)
	if f.lines[30_005] != "later" {
		t.Errorf("the line after the gap is %q", f.lines[30_005])
	}
	w.push(t, attempt, 4, printed(2, "between\n"), printed(2, "and\n"))
	f.take(<-updates)
	if f.resets != 1 || f.lines[30_007] != "later" {
		t.Errorf("%d resets, the last line is %q", f.resets, f.lines[30_007])
	}
	w.push(t, attempt, 7, finished(3, "make", 0))
	w.close(t, attempt)
	for u := range updates {
		f.take(u)
	}
	if !f.last.Closed || *f.last.Commands[0].Exit != 0 {
		t.Errorf("the end is %+v", f.last)
	}
}

// Somebody who comes back knows what they have seen.
func TestFollowGoesOn(t *testing.T) {
	w := newWorld(t)
	attempt := signalbox.NewID()
	w.push(t, attempt, 0, started(1, "make"), printed(1, "one\ntwo\nthr"))
	ix, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	w.open(t) // a restart
	w.push(t, attempt, 2, printed(1, "ee\nfour\n"))
	w.close(t, attempt)
	for name, tt := range map[string]struct {
		at    Position
		want  string
		reset bool
		skip  int64
	}{
		"from there":        {Position{ix.Rev, 4}, "three four", false, 0},
		"of an earlier log": {Position{ix.Rev + 5, 4}, "make one two three four", true, 0},
		"beyond the end":    {Position{ix.Rev, 40}, "make one two three four", true, 0},
	} {
		f := &follower{lines: map[int64]string{}}
		if err := w.lines.Follow(t.Context(), attempt, tt.at, func(u Update) error { f.take(u); return nil }); err != nil {
			t.Fatal(err)
		}
		if f.resets > 0 != tt.reset {
			t.Errorf("%s: %d resets", name, f.resets)
		}
		// The log is closed and nothing of it at hand: the lines are asked for.
		if f.skipped != 5 {
			t.Errorf("%s: %d lines are to be asked for, %v came", name, f.skipped, f.lines)
		}
	}
}
