package agentapi

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestAppendOutput: any bytes come back from the event, and the readable text is what a JSON encoder would have made.
func TestAppendOutput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.Map(rapid.SliceOf(rapid.SampledFrom([]string{"\n", "\r", "\t", "\"", "\\", "<", "\x00", "\x1b", "\u2028", "é", "\xff", "\xe7\x89", "�"})),
				func(s []string) []byte {
					var out []byte
					for _, x := range s {
						out = append(out, x...)
					}
					return out
				})).Draw(t, "b")
		var e Event
		line := AppendOutput([]byte("x"), 17, b)
		if err := json.Unmarshal(line[1:], &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Event != EventCmdOutput || e.Timestamp != 17 || e.Output != string([]rune(string(b))) {
			t.Fatalf("%q became %+v", b, e)
		}
		if utf8.Valid(b) != (e.OutputB64 == "") {
			t.Fatalf("%q: exact bytes are %q", b, e.OutputB64)
		}
		if exact, err := base64.StdEncoding.DecodeString(e.OutputB64); e.OutputB64 != "" && (err != nil || string(exact) != string(b)) {
			t.Fatalf("%q became %q", b, exact)
		}
	})
}

func BenchmarkAppendOutput(b *testing.B) {
	chunk := make([]byte, 0, 16<<10)
	for len(chunk) < 16<<10 {
		chunk = append(chunk, "y\n"...)
	}
	b.SetBytes(int64(len(chunk)))
	var dst []byte
	for b.Loop() {
		dst = AppendOutput(dst[:0], 1, chunk)
	}
}
