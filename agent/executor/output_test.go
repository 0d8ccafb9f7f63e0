package executor

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestOutputIsExactHoweverItIsCut: what programs write goes through the terminal, cooked or not, is cut anywhere, flushed
// at any time and put together again without a change, and no piece ends inside a character or a line end.
func TestOutputIsExactHoweverItIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"\n", "\r", "\r\n", "a", "é", "特", "😀", "\x96", "\xe7\x89", "0123456789abcdef", strings.Repeat("x", 3000), strings.Repeat("特", 3000)})
		wrote := strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "wrote"), "")
		mark := []byte("0123456789abcdefMARK")
		cooked := rapid.Bool().Draw(t, "cooked")
		raw := []byte(wrote)
		if cooked {
			raw = []byte(strings.ReplaceAll(wrote, "\n", "\r\n"))
		}
		raw = append(raw, mark...)
		raw = append(raw, "next"...)

		var got []byte
		var chunks [][]byte
		o := &output{cooked: cooked}
		o.begin(func(b []byte) error {
			got = append(got, b...)
			chunks = append(chunks, bytes.Clone(b))
			return nil
		})
		awaitAt := rapid.IntRange(0, len(raw)-len("next")-len(mark)).Draw(t, "await")
		marked := false
		at := 0
		for at < len(raw) && !marked { // after the mark nothing is read before the next command
			n := min(rapid.IntRange(1, 9000).Draw(t, "n"), len(raw)-at)
			if at <= awaitAt && at+n > awaitAt {
				n = max(1, awaitAt-at)
				o.await(mark)
			}
			marked = o.write(raw[at : at+n])
			at += n
			if !marked && rapid.Bool().Draw(t, "flush") {
				o.flush()
			}
		}
		if !marked {
			t.Fatal("the mark was not seen")
		}
		o.finish()
		if string(got) != wrote {
			t.Fatalf("got %q, want %q", got, wrote)
		}
		for i, c := range chunks[:max(0, len(chunks)-1)] {
			if len(c) > MaxChunk {
				t.Fatalf("a piece of %d bytes", len(c))
			}
			if c[len(c)-1] == '\r' && chunks[i+1][0] == '\n' {
				t.Fatal("cut between \\r and \\n")
			}
			if utf8.ValidString(wrote) && !utf8.Valid(c) {
				t.Fatalf("cut inside a character: %q", c[max(0, len(c)-8):])
			}
		}
		var rest []byte
		o.begin(func(b []byte) error { rest = append(rest, b...); return nil })
		o.write(raw[at:])
		o.finish()
		if string(rest) != "next" {
			t.Fatalf("what followed the mark is %q", rest)
		}
	})
}
