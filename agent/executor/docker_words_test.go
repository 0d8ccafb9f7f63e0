package executor

import (
	"slices"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      nil,
		"  a  b\t\nc ":          {"a", "b", "c"},
		`a 'b c' "d e" f\ g`:    {"a", "b c", "d e", "f g"},
		`'' ""`:                 {"", ""},
		`a"b"'c'd`:              {"abcd"},
		`"\"\\\$\x" '\n' \"`:    {`"\$\x`, `\n`, `"`},
		`sh -c 'echo "$A" | x'`: {"sh", "-c", `echo "$A" | x`},
		"a\\\nb":                {"ab"},
	} {
		if got, err := splitWords(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"'a", `"a`, `a\`, `"a\`} {
		if got, err := splitWords(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}
