package logline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

type world struct {
	store *store.Store
	logs  *joblog.Log
	lines *Lines
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, storetest.OpenSQLite(t))
}

func worldOn(t *testing.T, s *store.Store) *world {
	t.Helper()
	w := &world{store: s}
	w.logs = joblog.New(joblog.Options{Store: w.store, OnClose: func(id string) { w.lines.Closed(id) }})
	w.open(t)
	return w
}

// open forgets everything that is in memory.
func (w *world) open(t testing.TB) {
	t.Helper()
	var err error
	if w.lines, err = New(Options{Store: w.store, Log: w.logs, StoreFrom: 1}); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, events ...agentapi.Event) []byte {
	t.Helper()
	var body bytes.Buffer
	for _, e := range events {
		if err := json.NewEncoder(&body).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return body.Bytes()
}

func (w *world) push(t testing.TB, attempt string, from int64, events ...agentapi.Event) {
	t.Helper()
	if _, err := w.logs.Append(context.Background(), attempt, "job", from, encode(t, events...)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) close(t testing.TB, attempt string) {
	t.Helper()
	if err := w.logs.Close(context.Background(), attempt); err != nil {
		t.Fatal(err)
	}
}

func started(at int64, directive string) agentapi.Event {
	return agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at, Directive: directive}
}

func printed(at int64, text string) agentapi.Event {
	return agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at, Output: text}
}

func finished(at int64, directive string, exit int) agentapi.Event {
	return agentapi.Event{Event: agentapi.EventCmdFinished, Timestamp: at, Directive: directive, ExitCode: &exit}
}

// shown is a line as the tests compare it.
type shown struct {
	N       int64
	Command int
	Head    bool
	At      int64
	Text    string
	Style   string
}

func show(l *Line) shown {
	return shown{l.N, l.Command, l.Head, l.At, string(l.Raw), strings.Join(l.Style, "")}
}

func (w *world) window(t testing.TB, attempt string, from, count int64) []shown {
	t.Helper()
	ix, err := w.lines.Index(context.Background(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	var out []shown
	if err := w.lines.Window(context.Background(), ix, from, count, 1<<20, func(l *Line) error {
		out = append(out, show(l))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// naive reads a log the simple way: all text of a command at once, then cut into lines. It knows no blocks, no pieces and
// no places.
func naive(events map[int64]agentapi.Event, next int64) (lines []shown, text string) {
	command := 0
	type stretch struct {
		text  strings.Builder
		times []int64 // of each byte
	}
	var s *stretch
	style := Style(nil)
	flush := func() {
		if s == nil {
			return
		}
		all := s.text.String()
		for i := 0; i < len(all); {
			end := strings.IndexByte(all[i:], '\n')
			line := all[i:]
			if end >= 0 {
				line = all[i : i+end]
			}
			lines = append(lines, shown{int64(len(lines)) + 1, command, false, s.times[i], line, strings.Join(style, "")})
			_, style = Clean(line[:min(len(line), styleBytes)], style)
			i += len(line) + 1
		}
		s = nil
	}
	head := func(at int64, directive string) {
		flush()
		command++
		style = nil
		lines = append(lines, shown{int64(len(lines)) + 1, command, true, at, directive, ""})
	}
	for n := int64(0); n < next; n++ {
		e, ok := events[n]
		if !ok {
			to := n + 1
			for ; to < next; to++ {
				if _, ok := events[to]; ok {
					break
				}
			}
			flush()
			if command == 0 {
				head(0, unnamed)
			}
			text += joblog.Gap{From: n, To: to, Why: joblog.WhyMissing}.Text()
			n = to - 1
			continue
		}
		switch e.Event {
		case agentapi.EventCmdStarted:
			head(e.Timestamp, e.Directive)
			text += e.Directive + "\n"
		case agentapi.EventCmdOutput:
			if e.Output == "" {
				continue
			}
			if command == 0 {
				head(e.Timestamp, unnamed)
			}
			if s == nil {
				s = &stretch{}
			}
			s.text.WriteString(e.Output)
			text += e.Output
			for range len(e.Output) {
				s.times = append(s.times, e.Timestamp)
			}
		case agentapi.EventCmdFinished:
			flush()
		}
	}
	flush()
	return lines, text
}

var eventGen = rapid.Custom(func(t *rapid.T) agentapi.Event {
	at := rapid.Int64Range(1, 90).Draw(t, "at")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return started(at, rapid.SampledFrom([]string{"make", "echo hello", "export X"}).Draw(t, "directive"))
	case 1:
		return finished(at, "make", rapid.IntRange(0, 1).Draw(t, "exit"))
	}
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "line\n", "\n", "\x1b[31mred", "\x1b[0m", "\x1b[1;38;2;1;2;3m", "x\ry\n", "é☃", "\"quoted\\\"", strings.Repeat("long ", 3000), strings.Repeat("many\n", 700),
	}), 0, 5).Draw(t, "pieces")
	return printed(at, strings.Join(pieces, ""))
})

// Windows read through the index are what the whole log says, whatever the order in which it came, whether the index grew
// with the log, was made at once or came from the store.
func TestWindowsAreTheWholeLog(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		attempt := signalbox.NewID()
		truth := rapid.SliceOfN(eventGen, 1, 30).Draw(rt, "log")
		have, next := map[int64]agentapi.Event{}, int64(0)
		check := func(how string) {
			rt.Helper()
			want, text := naive(have, next)
			ix, err := w.lines.Index(context.Background(), attempt)
			if err != nil {
				rt.Fatal(err)
			}
			if ix.Lines != int64(len(want)) {
				rt.Fatalf("%s: %d lines, want %d", how, ix.Lines, len(want))
			}
			for range 3 {
				from := rapid.Int64Range(1, ix.Lines+2).Draw(rt, "from")
				count := rapid.Int64Range(1, 1500).Draw(rt, "count")
				expect := want[min(from-1, ix.Lines):min(from-1+count, ix.Lines)]
				if got := w.window(t, attempt, from, count); !slices.Equal(expect, got) {
					rt.Fatalf("%s: lines %d+%d: %s", how, from, count, cmp.Diff(expect, got))
				}
			}
			if !ix.Closed {
				return
			}
			var plain, part strings.Builder
			if err := w.logs.Text(context.Background(), attempt, &plain); err != nil {
				rt.Fatal(err)
			}
			if plain.String() != text || ix.Text != int64(len(text)) {
				rt.Fatalf("%s: the text has %d bytes, the index says %d, want %d", how, plain.Len(), ix.Text, len(text))
			}
			from := rapid.Int64Range(0, ix.Text).Draw(rt, "byte")
			if err := w.lines.Text(context.Background(), ix, from, &part); err != nil {
				rt.Fatal(err)
			}
			if part.String() != text[from:] {
				rt.Fatalf("%s: the text from byte %d on has %d bytes, want %d", how, from, part.Len(), len(text)-int(from))
			}
		}
		for range rapid.IntRange(1, 5).Draw(rt, "pushes") {
			from := rapid.IntRange(0, len(truth)-1).Draw(rt, "push from")
			to := rapid.IntRange(from+1, len(truth)).Draw(rt, "to")
			w.push(t, attempt, int64(from), truth[from:to]...)
			for n := from; n < to; n++ {
				have[int64(n)] = truth[n]
			}
			next = max(next, int64(to))
			check("as it grew")
		}
		w.close(t, attempt)
		check("when it was closed")
		w.open(t)
		check("from the store")
		from := rapid.IntRange(0, len(truth)-1).Draw(rt, "late")
		w.push(t, attempt, int64(from), truth[from:]...)
		for n := from; n < len(truth); n++ {
			have[int64(n)] = truth[n]
		}
		next = int64(len(truth))
		check("after a late push")
	})
}

func TestIndex(t *testing.T) {
	w := newWorld(t)
	attempt := signalbox.NewID()
	w.push(t, attempt, 0, agentapi.Event{Event: agentapi.EventJobStarted, Timestamp: 1}, started(1, "checkout"), printed(1, "a\nb\n"), finished(3, "checkout", 0),
		started(3, "make test\nmake report\n"), printed(3, "one\n"), printed(45, "two\nhalf"))
	w.push(t, attempt, 9, printed(46, " after\n"))
	ix, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	zero := 0
	want := []*Command{
		{N: 1, Line: 1, First: 2, Last: 3, Directive: "checkout", Started: 1, Finished: 3, Exit: &zero},
		{N: 2, Line: 4, First: 5, Last: 8, Directive: "make test", More: 1, Started: 3, Running: true},
	}
	if diff := cmp.Diff(want, ix.Commands); diff != "" {
		t.Error(diff)
	}
	gap := &joblog.Gap{From: 7, To: 9, Why: joblog.WhyMissing}
	if diff := cmp.Diff([]Note{{Before: 6, Command: 2, Silence: 42}, {Before: 8, Command: 2, Gap: gap}}, ix.Notes); diff != "" {
		t.Error(diff)
	}
	if c := ix.CommandOf(6); c.N != 2 || ix.CommandOf(3).N != 1 {
		t.Errorf("line 6 belongs to command %d", c.N)
	}
	w.push(t, attempt, 7, printed(45, " of\n"), finished(45, "make test", 2))
	w.close(t, attempt)
	after, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	if ix.Tag() == after.Tag() || len(after.Notes) != 1 || after.Failure() == nil || *after.Failure().Exit != 2 || !after.Closed {
		t.Errorf("after the gap was filled: %+v", after)
	}
	if len(ix.Commands) != 2 || !ix.Commands[1].Running {
		t.Error("an index that was handed out changed")
	}
}

func TestCutOff(t *testing.T) {
	w := newWorld(t)
	for name, events := range map[string][]agentapi.Event{
		"the job ended":    {started(1, "sleep"), printed(2, "x"), {Event: agentapi.EventJobFinished, Timestamp: 2, Result: "stopped"}},
		"nothing was said": {started(1, "sleep"), printed(2, "x")},
	} {
		attempt := signalbox.NewID()
		w.push(t, attempt, 0, events...)
		w.close(t, attempt)
		ix, err := w.lines.Index(t.Context(), attempt)
		if err != nil {
			t.Fatal(err)
		}
		if c := ix.Commands[0]; !c.CutOff || c.Running || c.Finished != 2 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// A log may have more commands, notes and longer lines than anybody can hold in memory.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	attempt := signalbox.NewID()
	var events []agentapi.Event
	for i := range maxCommands + 50 {
		events = append(events, started(int64(i*100+1), fmt.Sprint("command ", i)), printed(int64(i*100+90), "x\n"))
	}
	events = append(events, finished(1, "", 7))
	w.push(t, attempt, 0, events...)
	ix, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	last := ix.Commands[len(ix.Commands)-1]
	if len(ix.Commands) != maxCommands || last.Merged != 50 || last.Last != 2*(maxCommands+50) || ix.Lines != 2*(maxCommands+50) || *last.Exit != 7 {
		t.Errorf("%d commands, the last %+v, %d lines", len(ix.Commands), last, ix.Lines)
	}
	if len(ix.Notes) != maxNotes || ix.MoreNotes != maxCommands+50-maxNotes {
		t.Errorf("%d notes and %d more", len(ix.Notes), ix.MoreNotes)
	}
	if got := w.window(t, attempt, ix.Lines-1, 2); len(got) != 2 || got[0].Text != "$ command 5049" {
		t.Errorf("the last lines are %+v", got)
	}
}

func TestStoredIndex(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { testStoredIndex(t, newWorld(t)) })
	t.Run("postgres", func(t *testing.T) { testStoredIndex(t, worldOn(t, storetest.OpenPostgres(t))) })
}

func testStoredIndex(t *testing.T, w *world) {
	t.Helper()
	attempt := signalbox.NewID()
	w.push(t, attempt, 0, started(1, "make"), printed(1, strings.Repeat("line\n", 5000)))
	w.close(t, attempt)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.lines.Run(ctx) }()
	row := func() (x *store.LogIndex, err error) {
		err = w.store.ReadLog(t.Context(), func(tx *store.LogTx) (err error) {
			x, err = tx.LogIndex(attempt)
			return err
		})
		return x, err
	}
	var x *store.LogIndex
	waitFor(t, "the index is stored", func() bool {
		var err error
		x, err = row()
		return err == nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.open(t)
	from, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	if len(from.points) < 5 || w.lines.entry(attempt).b != nil {
		t.Errorf("%d places; the log was read again: %v", len(from.points), w.lines.entry(attempt).b != nil)
	}
	// One that cannot be read, or is of another log, is made again.
	for _, bad := range []store.LogIndex{{Rev: x.Rev, Next: x.Next, Format: format, Data: []byte("nonsense")}, {Rev: x.Rev, Next: x.Next, Format: format + 1, Data: x.Data}} {
		if err := w.store.WriteLog(t.Context(), func(tx *store.LogTx) error {
			_, err := tx.SetLogIndex(attempt, bad)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.open(t)
		if got := w.window(t, attempt, 5001, 1); len(got) != 1 || got[0].Text != "line" {
			t.Errorf("the last line is %+v", got)
		}
	}
	// What was made of a log that has changed since is not stored.
	if err := w.store.WriteLog(t.Context(), func(tx *store.LogTx) error {
		done, err := tx.SetLogIndex(attempt, store.LogIndex{Rev: x.Rev + 1, Next: x.Next, Format: format, Data: x.Data})
		if done {
			t.Error("the index of another revision was stored")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.logs.Delete(t.Context(), attempt); err != nil {
		t.Fatal(err)
	}
	if _, err := row(); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("after the log was deleted: %v", err)
	}
	if _, err := w.lines.Index(t.Context(), attempt); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("the index of no log: %v", err)
	}
}

// An index that was handed out stays as it was, and what comes after the end of a log makes another revision of it.
func TestIndexIsAMoment(t *testing.T) {
	w := newWorld(t)
	attempt := signalbox.NewID()
	index := func() *Index {
		t.Helper()
		ix, err := w.lines.Index(t.Context(), attempt)
		if err != nil {
			t.Fatal(err)
		}
		return ix
	}
	w.push(t, attempt, 0, started(1, "make"), printed(1, "x\n"))
	before := index()
	w.push(t, attempt, 2, finished(2, "make", 0))
	w.close(t, attempt)
	closed := index()
	if !before.Commands[0].Running || closed.Commands[0].Running {
		t.Error("what was handed out changed, or did not end")
	}
	w.push(t, attempt, 3, printed(3, "late\n"))
	if late := index(); late.Tag() == closed.Tag() || late.Lines != 3 {
		t.Errorf("after the end came a line: %d lines, revision %s as before", late.Lines, late.Tag())
	}
}

// A gap that grew while it was looked at is one gap.
func TestGrowingGap(t *testing.T) {
	w := newWorld(t)
	w.logs = joblog.New(joblog.Options{Store: w.store, Quota: 10})
	w.open(t)
	attempt := signalbox.NewID()
	w.push(t, attempt, 0, started(1, "make"))
	for n := range int64(3) {
		w.push(t, attempt, n+1, printed(1, "refused\n"))
		if _, err := w.lines.Index(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
	}
	w.close(t, attempt)
	ix, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := w.logs.Text(t.Context(), attempt, &text); err != nil {
		t.Fatal(err)
	}
	if len(ix.Notes) != 1 || ix.Notes[0].Gap.To != 4 || ix.Text != int64(text.Len()) {
		t.Errorf("%d notes, %d bytes of text, want 1 and %d", len(ix.Notes), ix.Text, text.Len())
	}
}
