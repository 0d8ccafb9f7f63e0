package logline

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
)

func (w *world) search(t *testing.T, attempt string, q Query) ([]Hit, int64, error) {
	t.Helper()
	ix, err := w.lines.Index(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	if q.Limit == 0 {
		q.Limit = 500
	}
	q.Show = func(s string) string {
		return strings.ReplaceAll(s[strings.LastIndex(s, "\r")+1:], "\u202e", "[U+202E]")
	}
	var hits []Hit
	total, err := w.lines.Search(t.Context(), ix, q, Found{func(h Hit) error { hits = append(hits, h); return nil }, func(float64) error { return nil }})
	return hits, total, err
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	attempt := signalbox.NewID()
	w.push(t, attempt, 0, started(1, "make Error"), printed(1, "an error\nERR\x1b[31mOR: é☃😀 error\n10%\rerror 3\nno\u202eerror\nΣΑΣ\n"), finished(1, "make Error", 1))
	for _, tt := range []struct {
		q    Query
		want []Hit
	}{
		{Query{Text: "error"}, []Hit{{1, 5, 5}, {2, 3, 5}, {3, 0, 5}, {3, 12, 5}, {4, 0, 5}, {5, 10, 5}}},
		{Query{Text: "Error", Case: true}, []Hit{{1, 5, 5}}},
		{Query{Text: "error", From: 4}, []Hit{{4, 0, 5}, {5, 10, 5}}},
		{Query{Text: "error", Limit: 2}, []Hit{{1, 5, 5}, {2, 3, 5}}},
		{Query{Text: "σας"}, []Hit{{6, 0, 3}}},
		{Query{Text: "^an e.*r$", Pattern: true}, []Hit{{2, 0, 8}}},
		{Query{Text: `err(or)?\s\d`, Pattern: true}, []Hit{{4, 0, 7}}},
		{Query{Text: "a.b"}, nil},
		{Query{Text: "x*", Pattern: true}, nil},
	} {
		hits, total, err := w.search(t, attempt, tt.q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, hits); diff != "" {
			t.Errorf("%+v: %s", tt.q, diff)
		}
		if tt.q.Limit == 2 && total != 6 || tt.q.Limit == 0 && total != int64(len(tt.want)) {
			t.Errorf("%+v: %d in total", tt.q, total)
		}
	}
	for _, q := range []Query{{Text: ""}, {Text: "(", Pattern: true}, {Text: strings.Repeat("x", 501)}, {Text: "\xff"}, {Text: "(((x{100}){100}){100})", Pattern: true}} {
		if _, _, err := w.search(t, attempt, q); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%.20q: %v", q.Text, err)
		}
	}
}

// What every match must contain is only a short cut.
func TestMatcherIsTheRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "Ab", "k", "(a|b)", "a+", "(ab){2}", "b?", ".", "[^b]", "ſ", "B*", "(?i:ba)"}), 1, 5).Draw(t, "pattern"), "")
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "A", "B", "K", "k", "\u212a", "s", "ſ", " "}), 0, 12).Draw(t, "text"), "")
		exact := rapid.Bool().Draw(t, "case")
		m, err := NewMatcher(Query{Text: pattern, Pattern: true, Case: exact})
		if err != nil {
			t.Skip(err)
		}
		if !exact {
			pattern = "(?i)" + pattern
		}
		var want, got [][]int
		for _, loc := range regexp.MustCompile(pattern).FindAllStringIndex(text, -1) {
			if loc[0] < loc[1] {
				want = append(want, loc)
			}
		}
		m.Find([]byte(text), func(from, to int) bool { got = append(got, []int{from, to}); return true })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q in %q: %s", pattern, text, diff)
		}
	})
}

var oldEscapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]?|\x1b[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?|\u009b[0-?]*[ -/]*[@-~]?")

// A sequence is what the grammar of terminals says, written down as a pattern.
func FuzzSequence(f *testing.F) {
	for _, s := range []string{"\x1b[31m", "\x1b]0;title\x07x", "\x1b]8;;x\x1b\\y", "\x1b[", "\x1b", "\u009b5mA", "\x1b(B", "\x1b[?25l", "\x1b[1 q", "\x1bPx\x1by"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, start := range []string{"\x1b", "\u009b"} {
			text := start + s
			if want, got := oldEscapes.FindString(text), sequence(text); got != want {
				t.Errorf("%q begins with %q, not %q", text, want, got)
			}
		}
	})
}

// The short way reads what the general one reads, or does not read.
func FuzzUsual(f *testing.F) {
	for _, s := range []string{`a\n`, `\u00e9\ud83d\ude00`, `"`, `\"`, `\\`, `\`, "\xff", "é", `","output":"x`, `\\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := []byte(`{"event":"cmd_output","timestamp":12,"output":"` + s + `"}`)
		if !jsonValid(raw) {
			return // the log stores nothing else
		}
		at, text, ok := usual(raw, nil)
		if e, want, _ := read(raw[:len(raw):len(raw)], nil); ok && (at != e.Timestamp || !bytes.Equal(text, want)) {
			t.Errorf("%s: %q", raw, text)
		}
		if want := parsed(raw); ok && !bytes.Equal(text, want) {
			t.Errorf("%s is read as %q, want %q", raw, text, want)
		}
	})
}

func jsonValid(raw []byte) bool { return json.Valid(raw) }

func parsed(raw []byte) []byte { return joblog.Output(joblog.Parse(raw)) }
