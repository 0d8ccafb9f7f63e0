package joblog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

func batch(from int64, lines ...string) Batch {
	b := Batch{From: from}
	for _, line := range lines {
		b.Events = append(b.Events, json.RawMessage(line))
	}
	return b
}

func code(n int) *int { return &n }

func TestFold(t *testing.T) {
	started := func(d string) string { return fmt.Sprintf(`{"event":"cmd_started","timestamp":10,"directive":%q}`, d) }
	out := func(s string) string { return fmt.Sprintf(`{"event":"cmd_output","timestamp":11,"output":%q}`, s) }
	finished := func(d string, n int) string {
		return fmt.Sprintf(`{"event":"cmd_finished","timestamp":13,"directive":%q,"exit_code":%d,"started_at":10,"finished_at":12}`, d, n)
	}
	tests := []struct {
		name  string
		batch []Batch
		want  Fold
	}{
		{"nothing", nil, Fold{}},
		{
			"a whole job",
			[]Batch{
				batch(0, `{"event":"job_started","timestamp":9}`, started("make"), out("a"), out("b\nc\n"), finished("make", 2)),
				batch(5, started("exit"), finished("exit", 0), `{"event":"job_finished","timestamp":14,"result":"failed"}`),
			},
			Fold{StartedAt: 9, FinishedAt: 14, Result: "failed", Next: 8, Commands: []*Command{
				{Directive: "make", FirstEvent: 1, StartedAt: 10, FinishedAt: 12, ExitCode: code(2), Bytes: 5, Lines: 2, FirstLine: 1, Output: []byte("ab\nc\n")},
				{Directive: "exit", FirstEvent: 5, StartedAt: 10, FinishedAt: 12, ExitCode: code(0), FirstLine: 1},
			}},
		},
		{
			"output outside of commands, and no end",
			[]Batch{batch(0, out("x"), out("y"), started("a"), finished("a", 0), out("z\n"), out("zz"), started("b"), out("\n"))},
			Fold{Next: 8, Commands: []*Command{
				{FirstEvent: 0, StartedAt: 11, Bytes: 2, Lines: 1, FirstLine: 1, Output: []byte("xy")},
				{Directive: "a", FirstEvent: 2, StartedAt: 10, FinishedAt: 12, ExitCode: code(0), FirstLine: 1},
				{FirstEvent: 4, StartedAt: 11, Bytes: 4, Lines: 2, FirstLine: 1, Output: []byte("z\nzz")},
				{Directive: "b", FirstEvent: 6, StartedAt: 10, Bytes: 1, Lines: 1, FirstLine: 1, Output: []byte("\n")},
			}},
		},
		{
			"an end without a beginning, one that never ran, and a beginning without an end",
			[]Batch{batch(
				0, finished("a", 1), `{"event":"cmd_finished","timestamp":5,"directive":"b","exit_code":1,"started_at":0,"finished_at":0}`,
				started("c"), started("d"),
			)},
			Fold{Next: 4, Commands: []*Command{
				{Directive: "a", FirstEvent: 0, StartedAt: 10, FinishedAt: 12, ExitCode: code(1), FirstLine: 1},
				{Directive: "b", FirstEvent: 1, FinishedAt: 5, ExitCode: code(1), FirstLine: 1},
				{Directive: "c", FirstEvent: 2, StartedAt: 10, FirstLine: 1},
				{Directive: "d", FirstEvent: 3, StartedAt: 10, FirstLine: 1},
			}},
		},
		{
			"a gap and exact bytes",
			[]Batch{
				batch(0, started("a")),
				{From: 1, Gap: &Gap{1, 4, WhyQuota}},
				batch(4, `{"event":"cmd_output","output":"\ufffd","output_b64":"/w=="}`, `{"event":"odd"}`, `{"event":7}`),
			},
			Fold{Next: 7, Commands: []*Command{{
				Directive: "a", FirstEvent: 0, StartedAt: 10, Bytes: 69, Lines: 2, FirstLine: 1,
				Output: []byte("[events 1 to 3 of the log were not stored: the log reached its quota]\n\xff"), Gaps: []Gap{{1, 4, WhyQuota}},
			}}},
		},
	}
	for _, test := range tests {
		var f Fold
		for _, b := range test.batch {
			f.Add(b)
		}
		for _, c := range test.want.Commands {
			c.Bytes = int64(len(c.Output)) // nothing is dropped in these
		}
		if diff := cmp.Diff(test.want, f, cmpopts.IgnoreUnexported(Fold{}, Command{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestFoldIsBounded(t *testing.T) {
	f := Fold{Keep: 100, MaxCommands: 3}
	n := int64(0)
	add := func(line string) { f.Add(batch(n, line)); n++ }
	kept := func() (sum int) {
		for _, c := range f.Commands {
			sum += len(c.Output)
		}
		return sum
	}
	for c := range 5 {
		add(fmt.Sprintf(`{"event":"cmd_started","directive":"command %d"}`, c))
		for i := range 100 {
			add(fmt.Sprintf(`{"event":"cmd_output","output":"line %02d\n"}`, i))
			if kept() > 100 {
				t.Fatalf("%d bytes are kept", kept())
			}
		}
	}
	if f.Dropped != 2 || len(f.Commands) != 3 || f.Commands[0].Directive != "command 2" {
		t.Errorf("%d commands were dropped, %d kept", f.Dropped, len(f.Commands))
	}
	last := f.Commands[2]
	if last.Lines != 100 || last.Bytes != 800 || last.FirstLine != 89 || !strings.HasPrefix(string(last.Output), "line 88\n") || len(last.Output) != 96 {
		t.Errorf("the last command keeps %q from line %d on of %d lines, %d bytes", last.Output, last.FirstLine, last.Lines, last.Bytes)
	}
	if first := f.Commands[0]; first.Output != nil || first.Lines != 100 {
		t.Errorf("an old command keeps %q, of %d lines", first.Output, first.Lines)
	}
	add(`{"event":"cmd_output","output":"` + strings.Repeat("x", 500) + `"}`)
	if kept() > 100 || last.Lines != 101 {
		t.Errorf("after a long line %d bytes are kept, %d lines", kept(), last.Lines)
	}
}

func TestViewAgreesWithText(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	for i := range 300 {
		push(t, l, a, int64(2*i), fmt.Sprintf(`{"event":"cmd_started","directive":"c%d"}`, i), output(i))
	}
	f, err := l.View(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range f.Commands {
		b.WriteString(c.Directive + "\n" + string(c.Output))
	}
	if diff := cmp.Diff(text(t, l, a), b.String()); diff != "" || f.Next != 600 || f.Closed {
		t.Errorf("next %d, closed %t, text against commands:\n%s", f.Next, f.Closed, diff)
	}
	if err := l.Close(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if f, err = l.View(t.Context(), a); err != nil || !f.Closed {
		t.Errorf("closed %t, %v", f.Closed, err)
	}
}
