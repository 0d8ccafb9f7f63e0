package when

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/google/go-cmp/cmp"
)

// onDev is a build of the branch dev; a function says what the first letter of its first parameter says.
func onDev() Inputs {
	return Inputs{
		Keywords: map[string]string{"branch": "dev", "tag": "", "pull_request": ""},
		Call: func(c *Call) (bool, string, error) {
			p, _ := c.Params[0].(*Literal)
			s, _ := p.Value.(string)
			if s == "broken" {
				return false, "", errors.New("the disk is on fire")
			}
			return strings.HasPrefix(s, "t"), "it begins with " + s[:1], nil
		},
	}
}

func evaluate(t *testing.T, text string, in Inputs) (Outcome, error) {
	t.Helper()
	e, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Evaluate(e, in)
}

func TestEvaluate(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		// "and" and "or" have one rank and lean to the left.
		{"branch = 'dev' or branch = 'main' and tag =~ '.*'", false},
		{"tag =~ '.*' and branch = 'main' or branch = 'dev'", true},
		{"branch = 'dev' or (branch = 'main' and tag =~ '.*')", true},
		{"true or true and false", false},
		{"TRUE OR (TRUE AND FALSE)", true},
		{"false and false or true", true},
		// An empty value matches nothing.
		{"branch != 'main'", true},
		{"pull_request !~ '.*'", true},
		{"pull_request =~ '.*'", false},
		{"tag =~ '^$'", false},
		{"tag !~ '^$'", true},
		{"tag = 'v1'", false},
		{"tag != 'v1'", true},
		// Patterns are not anchored, the right side is the pattern.
		{"branch =~ 'e'", true},
		{"branch =~ '^e'", false},
		{"'my dev box' =~ branch", true},
		{"'d' =~ branch", false},
		{"'v1' =~ tag", true}, // the empty pattern
		{"'a' = 'a' and 'ab' =~ '^a'", true},
		{`'release/v1.2' =~ '^release\/v\d+\.\d+$'`, true},
		// What only a backtracking engine knows.
		{"branch =~ '^(?!main)'", true},
		{"branch =~ '^(?!dev)'", false},
		{"'main' =~ '(?<=ma)in'", true},
		{`'abab' =~ '^(ab)\1$'`, true},
		{`'abac' =~ '^(ab)\1$'`, false},
		{"'aaa' =~ '^a++a'", false},
		{"'aaa' =~ '^(?>a+)$'", true},
		{`'٣' =~ '^(?!x)\d$'`, false}, // digits are 0 to 9 in both engines
		// Truth of what is no boolean.
		{"-1", false},
		{"0", true},
		{"7", true},
		{"-0.5", false},
		{"0.0", true},
		{"[]", false},
		{"['a']", true},
		{"{}", false},
		{"{a: 1}", true},
		{"'false'", false},
		{"'true'", true},
		{"'x'", true},
		{"'False'", true},
		{"true and 'false'", false},
		{"false or -1", false},
		{"true and [false]", true},
		// Comparing looks at value and kind.
		{"change_in('t') = true", true},
		{"change_in('t') = false", false},
		{"change_in('f') = false", true},
		{"change_in('t') != true", false},
		{"change_in('t') = 'true'", false},
		{"change_in('t') = 1", false},
		{"change_in('t') = (branch = 'dev')", true},
		{"change_in('t') = branch = 'dev'", true},
		{"change_in('t') = change_in('f')", false},
		{"change_in('t') = ('true')", false},
		{"change_in('f') = [] or true", true},
		{"change_in('t') and change_in('f')", false},
		{strings.Repeat("false or ", 5000) + "true", true},
	}
	for _, tt := range tests {
		got, err := evaluate(t, tt.text, onDev())
		if err != nil || got.Value != tt.want {
			t.Errorf("%.200s: %v, %v, want %v", tt.text, got.Value, err, tt.want)
		}
	}
}

func TestEvaluateErrors(t *testing.T) {
	tests := []struct {
		text          string
		offset        int
		code, message string
	}{
		{"true or result = 'passed'", 8, "Missing value of keyword parameter 'result'.", "auto_promote"},
		{"RESULT_REASON = 'test' and change_in('broken')", 0, "Missing value of keyword parameter 'result_reason'.", "result_reason"},
		{"true or nope()", 8, "Function with name 'nope' is not found.", `"nope"`},
		{"change_in()", 0, "Function 'change_in' accepts 1 or 2 parameter(s) and was provided with 0.", "0 parameters"},
		{"true or change_in('a', {}, 'b')", 8, "Function 'change_in' accepts 1 or 2 parameter(s) and was provided with 3.", "3 parameters"},
		{"true or change_in('broken')", 8, "", "on fire"},
		{"false and 'x' =~ '(a'", 17, "", `")" is missing`},
		{"tag =~ '[a'", 7, "", `"]" is missing`},
		{"'(x' = 'x' or 'x' =~ '(?Q)'", 21, "", "(?Q"},
		{"change_in('t') =~ 'true'", 15, "", "something else"},
		{"change_in('t') = change_in('t') !~ 'true'", 32, "", "something else"},
	}
	for _, tt := range tests {
		got, err := evaluate(t, tt.text, onDev())
		var e *EvaluationError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, %v", tt.text, got.Value, err)
			continue
		}
		if e.Offset != tt.offset || e.Code != tt.code || !strings.Contains(e.Error(), tt.message) {
			t.Errorf("%s: %d %q %q", tt.text, e.Offset, e.Code, e.Error())
		}
	}
	in := onDev()
	in.Call = nil
	if _, err := evaluate(t, "change_in('t')", in); err == nil || err.(*EvaluationError).Code != "Function with name 'change_in' is not found." {
		t.Errorf("a function without somebody to ask: %v", err)
	}
	if _, err := evaluate(t, "branch = 'x'", Inputs{}); err == nil {
		t.Error("a keyword without a value is no error")
	}
}

// Every function is asked, in the order of the text, even where its value cannot matter.
func TestEveryFunctionIsCalled(t *testing.T) {
	var asked []string
	in := onDev()
	in.Call = func(c *Call) (bool, string, error) {
		asked = append(asked, c.Params[0].(*Literal).Value.(string))
		return false, "", nil
	}
	if _, err := evaluate(t, "false and change_in('a') or (true or change_in('b') = change_in('c')) and change_in('d')", in); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, asked); d != "" {
		t.Error(d)
	}
}

func TestAMatchEnds(t *testing.T) {
	defer regexp2.StopTimeoutClock()
	start := time.Now()
	_, err := evaluate(t, `'`+strings.Repeat("a", 5000)+`' =~ '^(?!x)((a+)+)+\2$b'`, Inputs{})
	if err == nil || !strings.Contains(err.Error(), "too many steps") {
		t.Errorf("a pattern of exponential time: %v", err)
	}
	// The engine of linear time can be given too much to do as well.
	if _, err := evaluate(t, `'`+strings.Repeat("a", 500_000)+`' =~ '(a{30}){30}b'`, Inputs{}); err == nil || !strings.Contains(err.Error(), "too many steps") {
		t.Errorf("a large pattern on a large text: %v", err)
	}
	for _, p := range []string{strings.Repeat("a{1000}", 100), strings.Repeat("a", 10_000)} {
		if _, err := evaluate(t, "'x' =~ '"+p+"'", Inputs{}); err == nil || !strings.Contains(err.Error(), "too l") {
			t.Errorf("a large pattern: %v", err)
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestTrace(t *testing.T) {
	got, err := evaluate(t, "tag = 'v1' or change_in('t') and (BRANCH=~'^d' or 'a' = 'a')", onDev())
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{true, Term{
		Text: "((tag = 'v1') or change_in('t')) and ((branch =~ '^d') or ('a' = 'a'))", Value: true,
		Terms: []Term{
			{Text: "tag = 'v1'", Value: false, Why: "tag is empty"},
			{Op: "or", Text: "change_in('t')", Value: true, Why: "it begins with t"},
			{Op: "and", Text: "(branch =~ '^d') or ('a' = 'a')", Value: true, Terms: []Term{
				{Text: "branch =~ '^d'", Value: true, Why: "branch is 'dev'"},
				{Op: "or", Text: "'a' = 'a'", Value: true},
			}},
		},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got, err = evaluate(t, "change_in('t') = (branch = 'x')", onDev())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got.Term)
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{"text":"change_in('t') = branch = 'x'","value":false,"terms":[` +
		`{"text":"change_in('t')","value":true,"why":"it begins with t"},` +
		`{"text":"branch = 'x'","value":false,"why":"branch is 'dev'"}]}`
	if string(text) != wantJSON {
		t.Errorf("got  %s\nwant %s", text, wantJSON)
	}
	long := "'" + strings.Repeat("é", 5000) + "' = 'a'"
	if got, err = evaluate(t, long, Inputs{}); err != nil || len([]rune(got.Term.Text)) != maxTermText+1 {
		t.Errorf("a long text is cut to %d characters, %v", len([]rune(got.Term.Text)), err)
	}
}

func TestRender(t *testing.T) {
	tests := []struct{ text, want string }{
		{"branch = 'master' and true", "(branch = 'master') and true"},
		{"branch='master'", "branch = 'master'"},
		{"((true))", "true"},
		{"TAG =~ '.*' OR false and RESULT = 'passed'", "((tag =~ '.*') or false) and (result = 'passed')"},
		{"true or (false and true)", "true or (false and true)"},
		{"(true or false) and true", "(true or false) and true"},
		{"change_in(['a','b'],{x:1,y:[-2.50, {}]}) != (true and false)", "change_in(['a', 'b'], {x: 1, y: [-2.5, {}]}) != (true and false)"},
		{"'v1' =~ tag", "'v1' =~ tag"},
		{"-0.0 and 10000000000000000000000.0", "-0.0 and 10000000000000000000000.0"},
		{"99999999999999999999", "9223372036854775807"},
	}
	for _, tt := range tests {
		e, err := Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		} else if got := Render(e); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.text, got, tt.want)
		}
	}
	deep := []string{
		strings.Repeat("false or ", 3000) + "true", strings.Repeat("true and false or ", 3000) + "true",
		strings.Repeat("true or (false and ", 90) + "true" + strings.Repeat(")", 90),
		strings.Repeat("((false or true and ", 45) + "true" + strings.Repeat("))", 45),
		strings.Repeat("f() = ", 190) + "true", strings.Repeat("f() = (", 60) + "branch = 'a'" + strings.Repeat(")", 60),
		strings.Repeat("[", 190) + strings.Repeat("]", 190), "1" + strings.Repeat("0", 400) + ".0",
		strings.Repeat("true and (", 40) + strings.Repeat("branch = 'a' or ", 90) + "true" + strings.Repeat(")", 40),
	}
	for _, text := range deep {
		e, err := Parse(text)
		if err != nil {
			t.Errorf("%.40s: %v", text, err)
			continue
		}
		if _, err := Parse(Render(e)); err != nil {
			t.Errorf("normal form of %.40s cannot be read back: %v", text, err)
		}
	}
}

func TestReduce(t *testing.T) {
	calls := onDev()
	calls.Keywords = nil
	known := onDev()
	tests := []struct {
		text string
		in   Inputs
		want string
	}{
		{"branch = 'master' and change_in('t')", calls, "(branch = 'master') and true"},
		{"change_in('t') = false", calls, "false"},
		{"change_in('f') = change_in('f') or tag = 'x'", calls, "true or (tag = 'x')"},
		{"change_in('t') = (branch = 'dev')", calls, "change_in('t') = branch = 'dev'"},
		{"(change_in('f') or 'a' = 'a') and result = 'passed'", calls, "(false or ('a' = 'a')) and (result = 'passed')"},
		{"branch = 'dev' or result = 'passed' and change_in('f')", known, "(true or (result = 'passed')) and false"},
		{"true or change_in('t') and false", calls, "(true or true) and false"},
		{"change_in('t')", Inputs{}, "change_in('t')"},
	}
	for _, tt := range tests {
		e, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Reduce(e, tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		} else if got := Render(r); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.text, got, tt.want)
		}
	}
	e, _ := Parse("true or change_in('broken')")
	if _, err := Reduce(e, calls); err == nil {
		t.Error("a function that fails is no error")
	}
}

// Normal form means the same, and so does a condition in which calls are replaced by what they say.
func FuzzEvaluate(f *testing.F) {
	for _, s := range []string{
		"branch = 'dev' or (tag !~ 'v*' and change_in('t', {a: [1, -2.5]}) = false) and 'x' =~ branch", "((true)) and -1 or {a: 'b'}",
		"change_in('t') = change_in('f') = (true or [] and 'false')", `branch =~ '(?<!a)(?>b++)\1'`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		in := onDev()
		in.Call = func(c *Call) (bool, string, error) { return len(Render(c))%2 == 0, "", nil }
		first, err1 := Evaluate(e, in)
		again, err := Parse(Render(e))
		if err != nil {
			t.Fatalf("%q in normal form is %q: %v", text, Render(e), err)
		}
		second, err2 := Evaluate(again, in)
		if (err1 == nil) != (err2 == nil) || first.Value != second.Value {
			t.Fatalf("%q is %v (%v), in normal form %v (%v)", text, first.Value, err1, second.Value, err2)
		}
		if err1 != nil {
			var ee *EvaluationError
			if !errors.As(err1, &ee) || ee.Offset < 0 || ee.Offset > len(text) || ee.Message == "" {
				t.Fatalf("%q: %v", text, err1)
			}
			return
		}
		if _, err := json.Marshal(first.Term); err != nil {
			t.Fatal(err)
		}
		reduced, err := Reduce(e, Inputs{Call: in.Call})
		if err != nil {
			t.Fatal(err)
		}
		if third, err := Evaluate(reduced, in); err != nil || third.Value != first.Value {
			t.Fatalf("%q is %v, reduced to %q it is %v (%v)", text, first.Value, Render(reduced), third.Value, err)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"typical", "(branch = 'main' OR tag =~ '.*') AND branch !~ '^dependabot'"},
		{"look-ahead", "branch =~ '^(?!main)'"},
		{"15kB", strings.Repeat("branch = 'release/a-rather-long-name' or ", 375) + "true"},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := Parse(c.text)
			if err != nil {
				b.Fatal(err)
			}
			in := onDev()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Evaluate(e, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
