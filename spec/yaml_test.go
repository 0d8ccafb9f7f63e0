package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

const (
	testHead = "version: v1.0\nagent: {machine: {type: a}}\n"
	testTail = "blocks: [{task: {jobs: [{commands: [x]}]}}]\n"
)

// TestYAML has a case for every rule about how YAML is read. value stands where text is needed.
func TestYAML(t *testing.T) {
	tests := []struct{ name, value, want, problem string }{
		{"plain yes", "yes", "yes", ""},
		{"plain no", "no", "no", ""},
		{"plain on", "on", "on", ""},
		{"plain Off", "Off", "Off", ""},
		{"true", "true", "", "this is true, which is a boolean; put it in quotes: 'true'"},
		{"False", "False", "", "this is False, which is a boolean; put it in quotes: 'False'"},
		{"TRUE", "TRUE", "", "this is TRUE, which is a boolean"},
		{"null", "null", "", "this is nothing"},
		{"Null", "Null", "", "this is nothing"},
		{"tilde", "~", "", "this is nothing"},
		{"1.10", "1.10", "", "this is the number 1.10; put it in quotes: '1.10'"},
		{"10", "10", "", "this is the number 10; put it in quotes: '10'"},
		{"quoted 10", "'10'", "10", ""},
		{"1.12.1", "1.12.1", "1.12.1", ""},
		{"v1.0", "v1.0", "v1.0", ""},
		{"12:30", "12:30", "12:30", ""},
		{"date", "2024-01-31", "2024-01-31", ""},
		{"date and time", "2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z", ""},
		{"explicit text", "!!str 10", "10", ""},
		{"escape d", `"^v\d"`, "^vd", `1:10: warning: the escape \d does not exist`},
		{"escape dot", `"a\.b"`, "a.b", `1:9: warning: the escape \. does not exist`},
		{"escape of an umlaut", `"a\ü"`, "aü", `warning: the escape \ü does not exist`},
		{"escaped backslash", `"a\\d"`, `a\d`, ""},
		{"escaped backslash and escape", `"a\\\d"`, `a\d`, "1:11: warning"},
		{"known escapes", `"\U0001F680\x41\u0042\t\r\n\/\"\e"`, "\U0001F680AB\t\r\n/\"\x1b", ""},
		{"backslash in single quotes", `'a\d'`, `a\d`, ""},
		{"backslash in plain text", `a\d "b\."`, `a\d "b\."`, ""},
		{"backslash in a block", "|\n  a\\d \"\\.\"", "a\\d \"\\.\"\n", ""},
		{"backslash in a comment", `x # "\d"`, "x", ""},
		{"continued text", "a\n  \"b\\d\"", `a "b\d"`, ""},
		{"escaped line end", "\"a\\\n  b\"", "ab", ""},
		{"folded", ">-\n  a\n  b", "a b", ""},
		{"anchor", "&1 x", "x", ""},
		{"emoji", "🚀 x", "🚀 x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := "name: " + tt.value + "\n" + testHead + testTail
			res := Compile([]byte(data), Options{}, testBuild("testdata"))
			checkInvariants(t, []byte(data), res)
			if all := res.Problems.Error(); !strings.Contains(all, tt.problem) || (tt.problem == "") != (all == "") {
				t.Errorf("problems: want %q, got %q", tt.problem, all)
			}
			if tt.want != "" && (res.Plan == nil || res.Plan.Name != tt.want) {
				t.Errorf("want %q, got %+v", tt.want, res.Plan)
			}
		})
	}
}

func TestYAMLDocument(t *testing.T) {
	tests := []struct{ name, text, want, problem string }{
		{"the first of two keys counts", testHead + "name: a\nname: b\n" + testTail, "a", `4:1: warning: "name" is given twice; the first one, on line 3, counts`},
		{"merge key", testHead + ".d: &d {name: from d, task: {jobs: [{commands: [x]}]}}\nname: m\nblocks: [{<<: *d, name: own}]\n", "m", ""},
		{"anchor defined again", testHead + ".a: &x one\n.b: &x two\nname: *x\n" + testTail, "two", ""},
		{"two documents", testHead + "name: a\n" + testTail + "---\nname: b\n", "", "5:1: a second document starts here"},
		{"broken second document", testHead + testTail + "---\n}\n", "", "4:1: a second document starts here"},
		{"leading marker", "---\n" + testHead + "name: a\n" + testTail + "...\n", "a", ""},
		{"empty", "", "", "1:1: the file is empty"},
		{"only comments", "# a\n\n# b\n", "", "1:1: the file is empty"},
		{"only null", "~\n", "", "1:1: a pipeline file is a map"},
		{"tab", testHead + "name: a\nblocks:\n\t- task: x\n", "", "5:1: line 5 is indented with a tab"},
		{"tab before a comment", testHead + "\t# c\nname: a\t# d\n" + testTail, "a", ""},
		{"line ends of Windows", strings.ReplaceAll(testHead+"name: a\n"+testTail, "\n", "\r\n"), "a", ""},
		{"positions with line ends of Windows", strings.ReplaceAll(testHead+"name: 1\n"+testTail, "\n", "\r\n"), "", "3:7:"},
		{"byte order mark", "\ufeff" + testHead + "name: a\n" + testTail, "a", ""},
		{"no line end", testHead + testTail + "name: a", "a", ""},
		{"UTF-16", "\xff\xfev\x00e\x00", "", "1:1: the byte 0xff is not UTF-8"},
		{"columns count characters", "name: 'ü🚀', x: 1\n", "", "1:11:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := Compile([]byte(tt.text), Options{File: "f.yml"}, testBuild("testdata"))
			checkInvariants(t, []byte(tt.text), res)
			if all := res.Problems.Error(); !strings.Contains(all, tt.problem) || (tt.problem == "") != (all == "") {
				t.Errorf("problems: want %q, got %q", tt.problem, all)
			}
			if tt.want != "" && (res.Plan == nil || res.Plan.Name != tt.want) {
				t.Errorf("want %q, got %+v", tt.want, res.Plan)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	const file = `version: v1.0
agent: {machine: {type: e1-standard-2, os_image: ubuntu2204}}
blocks:
  - name: Build
    dependencies: []
    task:
      agent: {machine: {type: s1-arm, os_image: ""}}
      env_vars: [{name: A, value: task}, {name: B, value: task}]
      prologue: {commands: [checkout]}
      epilogue:
        always: {commands: [always]}
        on_pass: {commands: [pass]}
        on_fail: {commands: [fail]}
      secrets: []
      jobs:
        - name: Nameless 1
          env_vars: [{name: A, value: job}]
          commands: [make]
        - commands: []
  - dependencies: [Build]
    task:
      epilogue: {commands: [bare]}
      jobs: [{commands: [a, b]}]
`
	res := Compile([]byte(file), Options{}, testBuild("testdata"))
	if len(res.Problems) > 0 {
		t.Fatal(res.Problems.Error())
	}
	env := []signalbox.EnvVar{{Name: "A", Value: "task"}, {Name: "B", Value: "task"}}
	build := signalbox.JobSpec{
		MachineType: "s1-arm", EnvVars: env, Commands: []string{"checkout"},
		EpilogueAlways: []string{"always"}, EpilogueOnPass: []string{"pass"}, EpilogueOnFail: []string{"fail"},
	}
	named := build
	named.EnvVars = append(env[:2:2], signalbox.EnvVar{Name: "A", Value: "job"})
	named.Commands = []string{"checkout", "make"}
	want := &signalbox.Plan{Blocks: []signalbox.PlanBlock{
		{Name: "Build", Dependencies: []int{}, Jobs: []signalbox.PlanJob{{Name: "Nameless 1", Priority: 60, Spec: named}, {Name: "Nameless 2", Priority: 60, Spec: build}}},
		{Name: "Nameless block 1", Dependencies: []int{0}, Jobs: []signalbox.PlanJob{{Name: "Nameless 1", Priority: 60, Spec: signalbox.JobSpec{
			MachineType: "e1-standard-2", OSImage: "ubuntu2204", Commands: []string{"a", "b"}, EpilogueAlways: []string{"bare"},
		}}}},
	}}
	if d := cmp.Diff(want, res.Plan); d != "" {
		t.Error(d)
	}
	if res.Name != "Pipeline" {
		t.Errorf("name %q", res.Name)
	}
}

func TestTooManyVariables(t *testing.T) {
	vars := strings.Repeat("{name: A, value: x},", 151)
	data := testHead + "blocks: [{task: {env_vars: [" + vars + "], jobs: [{env_vars: [" + vars + "], commands: [x]}]}}]\n"
	res := Compile([]byte(data), Options{}, testBuild("testdata"))
	if len(res.Problems) != 1 || res.Problems[0].Code != "The number of environment variables is higher than 300" {
		t.Error(res.Problems.Error())
	}
}

func TestCounts(t *testing.T) {
	jobs := func(n int) string { return "[" + strings.Repeat("{commands: [x]},", n) + "]" }
	blocks := func(n int) string {
		return testHead + "blocks: [" + strings.Repeat("{task: {jobs: [{commands: [x]}]}},", n) + "]\n"
	}
	tests := []struct{ text, code string }{
		{blocks(300), ""},
		{blocks(301), "Expected a maximum of 300 items but got 301."},
		{testHead + "blocks: [{task: {jobs: " + jobs(50) + "}}]\n", ""},
		{testHead + "blocks: [{task: {jobs: " + jobs(51) + "}}]\n", "Expected a maximum of 50 items but got 51."},
		{testHead + "blocks: [{task: {jobs: []}}]\n", "Expected a minimum of 1 items but got 0."},
	}
	for _, tt := range tests {
		res := Compile([]byte(tt.text), Options{}, testBuild("testdata"))
		code := ""
		if len(res.Problems) > 0 {
			code = res.Problems[0].Code
		}
		if code != tt.code {
			t.Errorf("want %q, got %q", tt.code, code)
		}
	}
}
