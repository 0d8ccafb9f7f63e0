package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parameters are those of every test.
func parameters(name string) (string, bool) {
	v, ok := map[string]string{
		"ENV": "prod", "N": "3", "REGIONS": "eu,us,ap", "EMPTY": "", "QUOTES": `a"b\c`, "INJECT": `${{parameters.ENV}}" | upper | lower "`,
		"BRACES": "}} | upper", "LIST": `["a","b"]`, "LINES": "one\ntwo", "_x9": "under", "TRUE": "true", "TICK": "a` | upper | lower `",
	}[name]
	return v, ok
}

func TestExpand(t *testing.T) {
	tests := []struct {
		text string
		want any // a string, or with %{{ }} alone the value
	}{
		{"plain", "plain"},
		{" plain ", " plain "},
		{"Deploy to ${{parameters.ENV}}", "Deploy to prod"},
		{"${{parameters.ENV}}-deploy", "prod-deploy"},
		{"${{ parameters.ENV }}", "prod"},
		{"'${{parameters.ENV}}' = 'prod'", "'prod' = 'prod'"},
		{"%{{parameters.REGIONS | splitList \",\"}}", []any{"eu", "us", "ap"}},
		{"%{{ parameters.N | mul 2 }}", int64(6)},
		{"%{{ parameters.N | int64 }}", int64(3)},
		{"%{{ parameters.N }}", "3"},
		{"  %{{ parameters.N | int64 }}\n", int64(3)},
		{"  a ${{parameters.N}} b ", "a 3 b"},
		{"v%{{ parameters.N | int64 }}-%{{ parameters.REGIONS | splitList \",\" }}", `v3-["eu","us","ap"]`},
		{"%{{ parameters.ENV }}-%{{ parameters.ENV | upper }}", "prod-PROD"},
		{"${{ parameters.REGIONS | splitList \",\" }}", "[eu us ap]"},
		{"${{ parameters.EMPTY }}", ""},
		{"%{{ parameters.EMPTY }}", ""},
		{"${{ parameters.NOPE | default \"dev\" }}", "dev"},
		{"${{ coalesce parameters.NOPE parameters.ENV }}", "prod"},
		{"${{ parameters._x9 }}", "under"},
		// Values are values, whatever they contain.
		{"${{ parameters.QUOTES }}", `a"b\c`},
		{"${{ parameters.INJECT }}", `${{parameters.ENV}}" | upper | lower "`},
		{"${{ parameters.TICK }}", "a` | upper | lower `"},
		{"${{ parameters.BRACES }}", "}} | upper"},
		{"${{ parameters.LINES }}", "one\ntwo"},
		{"%{{ parameters.LIST | fromJson }}", []any{"a", "b"}},
		{"${{ \"parameters.ENV\" }}", "parameters.ENV"},
		{"${{ `parameters.ENV` }}", "parameters.ENV"},
		{"%{{ 1 }}", int64(1)},
		{"%{{ 1.5 }}", 1.5},
		{"%{{ true }}", true},
		{"%{{ list | first }}", nil},
		{"%{{ dict \"a\" 1 \"b\" parameters.ENV }}", map[string]any{"a": int64(1), "b": "prod"}},
		// What is no expression stays as it is.
		{"$parameters.ENV %{x} {{parameters.ENV}}", "$parameters.ENV %{x} {{parameters.ENV}}"},
	}
	for _, tt := range tests {
		got, err := Expand(tt.text, parameters, false)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var have any = got.Text
		if got.IsValue {
			have = got.Value
		}
		if d := cmp.Diff(tt.want, have); d != "" || len(got.Warnings) > 0 {
			t.Errorf("%s: %v\n%s", tt.text, got.Warnings, d)
		}
		if want := strings.HasPrefix(strings.TrimSpace(tt.text), "%{{") && strings.Count(tt.text, "{{") == 1; got.IsValue != want {
			t.Errorf("%s: a value: %v", tt.text, got.IsValue)
		}
	}
}

func TestLegacy(t *testing.T) {
	for text, want := range map[string]string{
		"${{parameters.NOPE}}": "NOPE", "${{ parameters.EMPTY | lower }}": "empty", "%{{parameters.NOPE | default \"x\"}}": "NOPE",
	} {
		got, err := Expand(text, parameters, true)
		if err != nil || got.Text != want || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "is not set") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if got, err := Expand("${{parameters.ENV}}", parameters, true); err != nil || got.Text != "prod" || len(got.Warnings) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLeftover(t *testing.T) {
	for _, text := range []string{"${{ f(parameters.ENV) }}", "a ${{ parameters.ENV", "${{parameters.ENV}} and %{{ {} }}"} {
		got, err := Expand(text, parameters, false)
		if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "stays as it is") || !strings.Contains(got.Text, "{{ ") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	tests := []struct {
		text   string
		offset int
		want   string
	}{
		{"a ${{parameters.NOPE}}", 2, "parameter NOPE is not set"},
		{"${{parameters.ENV}}${{parameters.NOPE | upper}}", 19, "NOPE is not set; set it, or write parameters.NOPE | default"},
		{"${{ parameters.ENV | ${{parameters.N}} }}", 0, "nested expressions are not supported"},
		{"${{ {{ parameters.ENV }} }}", 0, "nested expressions are not supported"},
		{"${{ env \"HOME\" }}", 0, `no function "env"`},
		{"${{ \"$HOME\" | expandenv }}", 0, `no function "expandenv"`},
		{"${{ now }}", 0, `no function "now"`},
		{"${{ getHostByName \"x\" }}", 0, "no function"},
		{"${{ printf \"%d\" 1 }}", 0, "no function"},
		{"${{ html \"<\" }}", 0, "no function"},
		{"${{ call 1 }}", 0, "no function"},
		{"${{ 1 | signalboxResult }}", 0, "no function"},
		{"${{ genPrivateKey \"rsa\" }}", 0, "no function"},
		{"${{ parameters }}", 0, "parameters.NAME"},
		{"${{ .ENV }}", 0, "means nothing here"},
		{"${{ . }}", 0, "means nothing here"},
		{"${{ $ }}", 0, "means nothing here"},
		{"${{ nil }}", 0, "nil"},
		{"${{ $x := 1 }}", 0, "joined by |"},
		{"${{ if true }}", 0, "unexpected EOF"},
		{"${{ template \"x\" }}", 0, "joined by |"},
		{"${{ end }}", 0, "unexpected"},
		{"${{ /* x */ }}", 0, "unexpected"},
		{"${{   }}", 0, "missing value"},
		{"${{ \"x }}", 0, "unterminated"},
		{"${{ parameters.ENV parameters.N }}", 0, "can't give argument"},
		{"${{ upper lower }}", 0, "stands where a value"},
		{"${{ parameters.ENV | upper 1 2 }}", 0, "wrong number of args"},
		{"${{ parameters.N | repeat \"x\" }}", 0, "expected integer"},
		{"${{ div 1 0 }}", 0, "divide by zero"},
		{"%{{ \"[1\" | fromJson }}", 0, "unexpected end of JSON"},
		{"%{{ divf 1 0.0 }}", 0, "division by 0"},
		{"${{ regexMatch \"[a\" \"a\" }}", 0, "missing closing ]"},
		{"${{ substr 5 9 \"abc\" }}", 0, "out of range"},
	}
	for _, tt := range tests {
		got, err := Expand(tt.text, parameters, false)
		var e *Error
		if !errors.As(err, &e) || e.Offset != tt.offset || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: %+v, %v", tt.text, got, err)
		} else if strings.Contains(e.Message, "template:") || strings.Contains(e.Message, "signalboxResult") && !strings.Contains(tt.text, "signalboxResult") {
			t.Errorf("%s: the message speaks of our code: %s", tt.text, e.Message)
		}
	}
}

// Every function of the list, once.
var calls = []struct{ expr, want string }{
	{`"" | default "a"`, `"a"`},
	{`empty ""`, `true`},
	{`coalesce "" "b"`, `"b"`},
	{`all 1 "a"`, `true`},
	{`any 0 "a"`, `true`},
	{`list 1 "" 2 | compact`, `[1,2]`},
	{`ternary "y" "n" true`, `"y"`},
	{`fromJson "[1, 2.5]"`, `[1,2.5]`},
	{`list "a" | toJson`, `"[\"a\"]"`},
	{`list "a" | toPrettyJson`, `"[\n  \"a\"\n]"`},
	{`"<" | toRawJson`, `"\"\u003c\""`},
	{`list 1 | deepCopy`, `[1]`},
	{`"a" | b64enc`, `"YQ=="`},
	{`"YQ==" | b64dec`, `"a"`},
	{`"a" | b32enc`, `"ME======"`},
	{`"ME======" | b32dec`, `"a"`},
	{`list 1 2`, `[1,2]`},
	{`dict "a" 1`, `{"a":1}`},
	{`"a" | get`, ``},
	{`dict "a" 1 | merge`, ``},
	{`list 1 2 3 | chunk 2`, `[[1,2],[3]]`},
	{`dict "b" 1 "a" 2 "c" 3 | keys`, `["a","b","c"]`},
	{`dict "b" 1 "a" 2 | values`, `[2,1]`},
	{`list 1 | concat`, `[1]`},
	{`list 1 2 | reverse`, `[2,1]`},
	{`list 1 2 | first`, `1`},
	{`list 1 2 | rest`, `[2]`},
	{`list 1 2 | last`, `2`},
	{`list 1 2 | initial`, `[1]`},
	{`list 1 1 2 | uniq`, `[1,2]`},
	{`list 1 2 | has 2`, `true`},
	{`dict "a" "x" | dig "a" "d"`, `"x"`},
	{`dict "a" 1 | pluck "a"`, `[1]`},
	{`regexMatch "^a+$" "aa"`, `true`},
	{`regexFindAll "a." "abac" -1`, `["ab","ac"]`},
	{`regexFind "a." "xab"`, `"ab"`},
	{`regexReplaceAll "a" "bab" "-$0-"`, `"b-a-b"`},
	{`regexReplaceAllLiteral "a" "bab" "$0"`, `"b$0b"`},
	{`regexSplit "," "a,b" -1`, `["a","b"]`},
	{`regexQuoteMeta "a.b"`, `"a\\.b"`},
	{`ellipsis 6 "abcdefgh"`, `"abc..."`},
	{`ellipsisBoth 5 10 "1234 5678 9123"`, `"...5678..."`},
	{`trunc 2 "abc"`, `"ab"`},
	{`trim " a "`, `"a"`},
	{`upper "a"`, `"A"`},
	{`lower "A"`, `"a"`},
	{`title "ab cd"`, `"Ab Cd"`},
	{`untitle "Ab Cd"`, `"ab cd"`},
	{`substr 1 2 "abc"`, `"b"`},
	{`"ab" | repeat 2`, `"abab"`},
	{`list "a" "b" | join "-"`, `"a-b"`},
	{`list "b" "a" | sortAlpha`, `["a","b"]`},
	{`trimAll "-" "-a-"`, `"a"`},
	{`trimSuffix "b" "ab"`, `"a"`},
	{`trimPrefix "a" "ab"`, `"b"`},
	{`nospace "a b"`, `"ab"`},
	{`initials "ab cd"`, `"ac"`},
	{`randAlphaNum 0`, `""`},
	{`randAlpha 0`, `""`},
	{`randAscii 0`, `""`},
	{`randNumeric 0`, `""`},
	{`swapcase "aB"`, `"Ab"`},
	{`shuffle "aa"`, `"aa"`},
	{`snakecase "FirstName"`, `"first_name"`},
	{`camelcase "first_name"`, `"FirstName"`},
	{`kebabcase "FirstName"`, `"first-name"`},
	{`wrap 3 "abc def"`, `"abc\ndef"`},
	{`wrapWith 3 "|" "abc def"`, `"abc|def"`},
	{`contains "b" "abc"`, `true`},
	{`hasPrefix "a" "abc"`, `true`},
	{`hasSuffix "c" "abc"`, `true`},
	{`quote "a"`, `"\"a\""`},
	{`squote "a"`, `"'a'"`},
	{`cat "a" 1`, `"a 1"`},
	{`indent 2 "a"`, `"  a"`},
	{`nindent 1 "a"`, `"\n a"`},
	{`replace "a" "b" "aa"`, `"bb"`},
	{`plural "one" "many" 2`, `"many"`},
	{`sha1sum "a"`, `"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"`},
	{`sha256sum ""`, `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
	{`adler32sum "a"`, `"6422626"`},
	{`toString 1`, `"1"`},
	{`int64 "7"`, `7`},
	{`int "7"`, `7`},
	{`float64 "7.5"`, `7.5`},
	{`seq 3`, `"1 2 3"`},
	{`seq 2 4`, `"2 3 4"`},
	{`seq 0 2 4`, `"0 2 4"`},
	{`toDecimal "0777"`, `511`},
	{`until 3`, `[0,1,2]`},
	{`untilStep 4 0 -2`, `[4,2]`},
	{`split "," "a,b"`, `{"_0":"a","_1":"b"}`},
	{`splitList "," "a,b"`, `["a","b"]`},
	{`splitn "," 2 "a,b,c"`, `{"_0":"a","_1":"b,c"}`},
	{`list 1 2 | toStrings`, `["1","2"]`},
	{`add1 1`, `2`},
	{`add 1 "2"`, `3`},
	{`sub 5 2`, `3`},
	{`div 7 2`, `3`},
	{`mod 7 2`, `1`},
	{`mul 2 3 4`, `24`},
	{`randInt 3 4`, `3`},
	{`add1f 1.5`, `2.5`},
	{`addf 0.1 0.2`, `0.3`},
	{`subf 1.5 1`, `0.5`},
	{`divf 3 2`, `1.5`},
	{`mulf 1.5 2`, `3`},
	{`max 1 3`, `3`},
	{`maxf 1 2.5`, `2.5`},
	{`min 1 3`, `1`},
	{`minf 1.5 2`, `1.5`},
	{`ceil 1.2`, `2`},
	{`floor 1.8`, `1`},
	{`round 1.256 2`, `1.26`},
	{`list 1 2 3 | append 4`, ``},
	{`hasKey "a"`, ``},
	{`dict "a" 1 | mergeOverwrite`, ``},
	{`prepend 1`, ``},
	{`set 1`, ``},
	{`unset 1`, ``},
	{`pick 1`, ``},
	{`omit 1`, ``},
	{`without 1`, ``},
	{`slice 1`, ``},
}

func TestFunctions(t *testing.T) {
	used := map[string]bool{}
	word := regexp.MustCompile(`(?:^|\| )([a-z][A-Za-z0-9]+)`)
	for _, c := range calls {
		for _, m := range word.FindAllStringSubmatch(c.expr, -1) {
			used[m[1]] = true
		}
		if c.want == "" {
			// These take a list or map first, which a chain without parentheses can only give last; they are there, and refuse.
			if _, err := Expand("%{{ "+c.expr+" }}", parameters, false); err != nil && strings.Contains(err.Error(), "no function") {
				t.Errorf("%s: %v", c.expr, err)
			}
			continue
		}
		got, err := Expand("%{{ "+c.expr+" }}", parameters, false)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if text, err := json.Marshal(got.Value); err != nil || string(text) != c.want && strings.ReplaceAll(string(text), `\u003c`, "<") != strings.ReplaceAll(c.want, `\u003c`, "<") {
			t.Errorf("%s: %s, %v, want %s", c.expr, text, err, c.want)
		}
	}
	for _, n := range names {
		if !used[n] || functions[n] == nil {
			t.Errorf("%s is not tested", n)
		}
	}
	if len(functions) != len(names) || len(names) != 122 {
		t.Errorf("there are %d functions of %d names", len(functions), len(names))
	}
}

// Nothing that an expression can say takes much time or memory.
func TestHostile(t *testing.T) {
	big := func(name string) (string, bool) {
		if name == "PATTERN" {
			return "((a{30}){30}b)+", true
		}
		return strings.Repeat("ab\n", 300_000), true
	}
	for _, c := range []struct{ expr, want string }{
		{`"x" | repeat 1000000000`, "too large"},
		{`"x" | repeat 9223372036854775807`, "too large"},
		{`"x" | repeat -1`, "below 0"},
		{`parameters.A | repeat 2`, "too large"},
		{`until 1000000000`, "too many"},
		{`until -1000000000`, "too many"},
		{`until 100000`, "too many"},
		{`untilStep 9223372036854775806 9223372036854775807 2`, "too large"},
		{`untilStep 0 1000000000 1`, "too many"},
		{`untilStep 0 5 0`, "step of 0"},
		{`seq 1000000000`, "too many"},
		{`seq 1 1000000000`, "too many"},
		{`seq 0 0 5`, "step of 0"},
		{`seq 0 1 1000000000`, "too many"},
		{`seq -9223372036854775808 9223372036854775807`, "too large"},
		{`randAlphaNum 1000000000`, "from 0 to"},
		{`randAlpha 1000000000`, "from 0 to"},
		{`randAscii 1000000000`, "from 0 to"},
		{`randNumeric -1`, "from 0 to"},
		{`parameters.A | indent 1000`, "too large"},
		{`parameters.A | nindent 1000`, "too large"},
		{`parameters.A | indent 1000000000000`, "too large"},
		{`parameters.A | replace "" "xxxxxxxxxxxxxxxx"`, "too large"},
		{`parameters.A | splitList ""`, "too many"},
		{`parameters.A | split "a"`, "too many"},
		{`parameters.A | splitn "a" 1000000`, "too many"},
		{`parameters.A | b64enc`, "too large"},
		{`parameters.A | quote | quote`, "too large"},
		{`list 1 2 | chunk 0`, "at least 1"},
		{`list 1 2 | chunk 1000000000000`, "at most"},
		{`regexFindAll "." parameters.A -1`, "too large"},
		{`regexSplit "a" parameters.A -1`, "too large"},
		{`regexReplaceAllLiteral "" parameters.A "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"`, "too large"},
		{`regexReplaceAll "a*" parameters.A "$0$0$0$0$0$0$0$0$0$0$0"`, "too large"},
		{`regexMatch parameters.PATTERN parameters.A`, "too long"},
		{`regexMatch "` + strings.Repeat("a", 2000) + `" "a"`, "too long"},
		{`wrapWith 1 "` + strings.Repeat("x", 100) + `" parameters.A`, "too large"},
		{`"` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `" | fromJson`, "levels deep"},
		{`1 ` + strings.Repeat("| add1 ", 200), "more than 100 functions"},
		{`"` + strings.Repeat("x", 9000) + `"`, "longer than"},
		{`randInt 5 5`, "invalid argument"},
		{`slice 1 2`, "cannot"},
	} {
		start := time.Now()
		_, err := Expand("%{{ "+c.expr+" }}", big, false)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), c.want) {
			t.Errorf("%.80s: %v", c.expr, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%.80s took %s", c.expr, d)
		}
	}
	if _, err := Expand("${{parameters.A}}${{parameters.A}}", big, false); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("two large parameters in one text: %v", err)
	}
	huge := func(string) (string, bool) { return strings.Repeat("a", maxOutput+1), true }
	if _, err := Expand("${{parameters.A}}", huge, false); err == nil {
		t.Error("a parameter beyond all bounds")
	}
}

func FuzzExpand(f *testing.F) {
	for _, c := range calls {
		f.Add("%{{ "+c.expr+" }}", false)
	}
	f.Add("a ${{parameters.ENV}} %{{ parameters.N | mul 2 }} ${{ nope }}", true)
	f.Fuzz(func(t *testing.T, text string, legacy bool) {
		got, err := Expand(text, parameters, legacy)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset >= len(text) || e.Message == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(got.Text) > 2*maxOutput+len(text) {
			t.Fatalf("%q became %d bytes", text, len(got.Text))
		}
		if got.IsValue {
			if _, err := json.Marshal(got.Value); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if !Has(text) && got.Text != text {
			t.Fatalf("%q became %q", text, got.Text)
		}
	})
}

func BenchmarkExpand(b *testing.B) {
	for _, text := range []string{"Deploy to production", "Deploy to ${{parameters.ENV}}", `%{{parameters.REGIONS | splitList ","}}`} {
		b.Run(fmt.Sprintf("%d", len(text)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Expand(text, parameters, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
