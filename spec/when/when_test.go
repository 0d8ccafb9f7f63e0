package when

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want Expr
	}{
		{"branch = 'main'", &Compare{"=", &Keyword{"branch", 0}, &Literal{"main", 9}, 7}},
		{"PULL_REQUEST!~'.+'", &Compare{"!~", &Keyword{"pull_request", 0}, &Literal{".+", 14}, 12}},
		{"'v1' =~ tag", &Compare{"=~", &Literal{"v1", 0}, &Keyword{"tag", 8}, 5}},
		{"'a' = 'b'", &Compare{"=", &Literal{"a", 0}, &Literal{"b", 6}, 4}},
		{"true or FALSE and true", &Logic{"and", &Logic{"or", &Literal{true, 0}, &Literal{false, 8}, 5}, &Literal{true, 18}, 14}},
		{"true OR (false)", &Logic{"or", &Literal{true, 0}, &Group{&Literal{false, 9}, 8}, 5}},
		{"-12", &Literal{int64(-12), 0}},
		{"-0.5", &Literal{-0.5, 0}},
		{"[]", &List{nil, 0}},
		{"{}", &Map{nil, 0}},
		{"f() = true", &Compare{"=", &Call{"f", nil, 0}, &Literal{true, 6}, 4}},
		{"f('a', {k: ['b', 1.5]})", &Call{"f", []Expr{&Literal{"a", 2}, &Map{[]Entry{{"k", &List{[]Expr{&Literal{"b", 12}, &Literal{1.5, 17}}, 11}, 8}}, 7}}, 0}},
	}
	for _, tt := range tests {
		got, err := Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		} else if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s:\n%s", tt.text, d)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const incomplete = "Invalid or incomplete expression at the end of the line."
	tests := []struct {
		text   string
		offset int
		code   string // behind "Syntax error on line 1. - "; with "Lexical" the whole
		hint   string
	}{
		{"", 0, incomplete, "write something like"},
		{"branch = 'master' and", 21, incomplete, "must follow"},
		{"branch =", 8, incomplete, "single quotes"},
		{"= 'x'", 0, "Invalid expression on the left of '=' operator.", ""},
		{"(true and false) = 'm'", 17, "Invalid expression on the left of '=' operator.", ""},
		{"(branch = 'master'", 18, incomplete, `")" is missing`},
		{"true or false)", 13, "Invalid expression on the left of ')'.", "one \")\" more"},
		{"{branch = 'master'}", 1, "Invalid expression on the left of 'branch' operator.", ""},
		{"branch = 'master' and ahahah", 28, incomplete, "ahahah is no keyword"},
		{"branch == 'a'", 8, "Invalid expression on the left of '=' operator.", `a single "="`},
		{"branch = true", 9, "Invalid expression on the left of 'true'.", "single quotes"},
		{"branch", 6, incomplete, "compare it"},
		{"branch = tag", 9, "Invalid expression on the left of 'tag' operator.", "single quotes"},
		{"not branch = 'a'", 4, "Invalid expression on the left of 'branch' operator.", `no "not"`},
		{"Branch = 'a'", 7, "Invalid expression on the left of '=' operator.", "lower case"},
		{"branch = 'a' And true", 13, "Invalid expression on the left of 'And'.", "lower case"},
		{"branch = 'a' branch = 'b'", 13, "Invalid expression on the left of 'branch' operator.", "join"},
		{"change_in(['a', 'b')", 19, "Invalid expression on the left of ')'.", `"]" is missing`},
		{"change_in(f())", 10, "Invalid expression on the left of 'f'.", ""},
		{"branch = \"master\"", 9, "Lexical error on line 1. - Illegal characters: '\"'.", "single quotes"},
		{"branch ! = 'x'", 7, "Lexical error on line 1. - Illegal characters: '! '.", "operators"},
		{"# x", 0, "Lexical error on line 1. - Illegal characters: '#'.", "comments"},
		{"tag = ''", 6, "Lexical error on line 1. - Illegal characters: ''''.", "at least one"},
		{"true\nor 'a", 8, "Lexical error on line 2. - Illegal characters: ''a'.", "missing"},
		{"true && true", 5, "Lexical error on line 1. - Illegal characters: '&'.", `"and"`},
		{"true || true", 5, "Lexical error on line 1. - Illegal characters: '|'.", `"or"`},
		{"tag = ü", 6, "Lexical error on line 1. - Illegal characters: 'ü'.", ""},
		{"!", 0, "Lexical error on line 1. - Illegal characters: '!'.", "operators"},
		{"-01", 0, "Lexical error on line 1. - Illegal characters: '-0'.", ""},
	}
	for _, tt := range tests {
		_, err := Parse(tt.text)
		var s *SyntaxError
		if !errors.As(err, &s) {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		want := tt.code
		if !strings.HasPrefix(want, "Lexical") {
			want = "Syntax error on line 1. - " + want
		}
		if s.Code != want || s.Offset != tt.offset || !strings.Contains(s.Hint, tt.hint) {
			t.Errorf("%s: %d %s (%s)", tt.text, s.Offset, s.Code, s.Hint)
		}
	}
	for _, text := range []string{strings.Repeat("(", 1000), strings.Repeat("f() = ", 1000), strings.Repeat("[", 1000)} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "200 levels") {
			t.Errorf("deep: %v", err)
		}
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		text      string
		promotion bool
		want      string // part of each finding, one per line; "w " before warnings
	}{
		{"branch = 'main' and tag !~ '.*'", false, ""},
		{"result = 'passed' and result_reason = 'test'", true, ""},
		{"result = 'passed' or RESULT_REASON = 'test'", false, "\"result\" has no value\n\"result_reason\" has no value"},
		{"nope('a')", false, "no function \"nope\""},
		{"change_in()", false, "given 0 parameters"},
		{"change_in('a', {}, 'b') = false", false, "given 3 parameters"},
		{"change_in(1)", false, "first parameter"},
		{"change_in(['a', ['b']])", false, "first parameter"},
		{"change_in(['a', '/b/**/*.go'], {on_tags: false, default_branch: 'main', default_range: 'x', branch_range: 'y', exclude: ['z'], pipeline_file: 'ignore'})", false, ""},
		{"change_in('a', 'b')", false, "second parameter"},
		{"change_in('a', {on_tags: 'true', exclude: 1, default_branch: true})", false, "on_tags\nexclude\ndefault_branch"},
		{"change_in('a', {pipeline_file: 'skip', deafult_branch: 'main'})", false, "w 'track' or 'ignore'\nw no option \"deafult_branch\""},
		{`branch = '^release\/v\d{2}.*'`, false, `w use "=~"`},
		{"branch != 'feature/*'", false, `w use "!~"`},
		{"branch = 'a.b+c$|d'", false, ""},
		{"tag !~ 'v*'", false, "w matches every text"},
		{"tag =~ '^v1.'", false, ""},
		{"tag =~ '.*' or tag =~ '^.*$' or tag =~ '(.+)'", false, ""},
		{"branch =~ '(?!main).*'", false, ""},
		{"branch =~ '[a'", false, `"]" is missing`},
		{"branch =~ '(a'", false, `")" is missing`},
		{"branch =~ 'a)'", false, `one ")" more`},
		{"branch =~ '*'", false, "nothing before it"},
		{`branch =~ 'a\'`, false, "backslash"},
		{"branch =~ '[z-a]'", false, "backwards"},
		{"branch =~ '*${{parameters.X}}'", false, ""},
		{"branch =~ '(?<=a)b(?=c)(?>d++)'", false, ""},
		{`branch =~ '(a)\1'`, false, ""},
		{`branch =~ 'a\1'`, false, `\1 has no meaning`},
		{"branch =~ '(?Q)'", false, "(?Q is not supported"},
		{"branch =~ 'a(?R)?b'", false, "recursion such as (?R"},
		{"branch =~ 'a{3,2}'", false, "{3,2} is too large or runs backwards"},
		{"change_in('a') =~ 'true'", false, "true or false, which no pattern"},
		{"true or false and true", false, "w same rank"},
		{"true or (false and true)", false, ""},
		{"true and false or true", false, ""},
		{"(nope() = other())", false, "nope\nother"},
	}
	for _, tt := range tests {
		var want []string
		if tt.want != "" {
			want = strings.Split(tt.want, "\n")
		}
		found := Check(tt.text, tt.promotion)
		if len(found) != len(want) {
			t.Errorf("%s: %+v", tt.text, found)
			continue
		}
		for i, f := range found {
			part, warning := strings.CutPrefix(want[i], "w ")
			if !strings.Contains(f.Message, part) || f.Warning != warning || f.Offset < 0 || f.Offset > len(tt.text) {
				t.Errorf("%s: want %q, got %+v", tt.text, want[i], f)
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"branch = 'a' and (tag !~ 'v*' or f([1, -2.5], {k: 'x'}) = false)", "'", "((", "-", "ü", "a: b"} {
		f.Add(s)
	}
	if data, err := os.ReadFile("when_test.go"); err == nil {
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, found := range Check(text, false) {
			if found.Offset < 0 || found.Offset > len(text) || found.Message == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}
