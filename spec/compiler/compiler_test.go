package compiler

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/spec/change"
)

// repository has the branch main, and lib/a.rb changed on the branch that is built.
type repository struct{ err error }

func (r repository) Changed(_ context.Context, base, _ string, _ bool) ([]string, error) {
	if base != "main" {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no %s", base)
	}
	return []string{"lib/a.rb", ".semaphore/ci.yml"}, r.err
}

func (r repository) ResolveBranch(_ context.Context, name string) (string, error) {
	if name == "main" {
		return name, nil
	}
	return "", signalbox.Errorf(signalbox.CodeNotFound, "there is no branch %s", name)
}

func options(r repository) Options {
	return Options{
		File: ".semaphore/ci.yml",
		ReadFile: func(name string) ([]byte, error) {
			switch name {
			case ".semaphore/test.sh":
				return []byte("make\r\n\n  echo \"${{parameters.ENV}}\"\n"), nil
			case "root.sh":
				return []byte("one"), nil
			case ".semaphore/empty.sh":
				return []byte(" \n"), nil
			}
			return nil, fs.ErrNotExist
		},
		Lookup: func(name string) (string, bool) {
			v, ok := map[string]string{"ENV": "prod", "N": "3", "LIST": "a,b", "TRAP": "x: #y"}[name]
			return v, ok
		},
		Changes: &change.Evaluator{
			Build:  change.Build{Branch: "dev", SHA: "d0d0", DefaultBranch: "main", PipelineFile: ".semaphore/ci.yml"},
			Lister: r,
		},
	}
}

func TestCompile(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing to do", "# top\nversion: v1.0 # here\n", "# top\nversion: v1.0 # here\n"},
		{
			"commands_file", "a:\n  commands_file: test.sh\nb:\n  commands_file: /root.sh\n",
			"a:\n  commands:\n    - \"make\"\n    - \"\"\n    - \"  echo \\\"${{parameters.ENV}}\\\"\"\nb:\n  commands:\n    - \"one\"\n",
		},
		{
			"templates", "name: to ${{parameters.ENV}} # note\nparallelism: \"%{{ parameters.N | int64 }}\"\nvalues: '%{{ parameters.LIST | splitList \",\" }}'\n" +
				"list: ['${{parameters.TRAP}}']\ncommands: ['echo ${{parameters.ENV}}']\nplain: ${{parameters.N}}\n",
			"name: \"to prod\" # note\nparallelism: 3\nvalues:\n  - a\n  - b\nlist: ['x: #y']\ncommands: ['echo ${{parameters.ENV}}']\nplain: \"3\"\n",
		},
		{
			"change_in", "blocks:\n  - run: {when: \"branch='dev' and change_in('/lib')\"}\n  - run: {when: change_in('/x')}\n  - skip: {when: \"branch='dev'  or true\"}\n  - run: {when: true}\n",
			"blocks:\n  - run: {when: \"(branch = 'dev') and true\"}\n  - run: {when: \"true\"}\n  - skip: {when: \"branch='dev'  or true\"}\n  - run: {when: true}\n",
		},
		{
			"promotions do not track their file", "promotions:\n  - auto_promote: {when: \"result = 'passed' and change_in('/x')\"}\n",
			"promotions:\n  - auto_promote: {when: \"(result = 'passed') and false\"}\n",
		},
		{
			"templates before conditions", "run: {when: \"'${{parameters.ENV}}' = 'prod' and change_in('/lib') = false\"}\n",
			"run: {when: \"('prod' = 'prod') and false\"}\n",
		},
		{"aliases", "a: &x {when: \"change_in('/lib')\"}\nb: *x\n", "a: &x {when: \"true\"}\nb: *x\n"},
		{"escapes of no meaning", "when: \"branch =~ '^a\\.b' and change_in('/lib')\"\n", "when: \"(branch =~ '^a.b') and true\"\n"},
		{"an empty file", "", ""},
	}
	for _, tt := range tests {
		got, findings, err := Compile(context.Background(), []byte(tt.in), options(repository{}))
		if d := cmp.Diff(tt.want, string(got)); d != "" || err != nil || len(findings) > 0 {
			t.Errorf("%s: %v, %v\n%s", tt.name, findings, err, d)
		}
	}
}

func TestFindings(t *testing.T) {
	tests := []struct {
		name, in string
		want     []Finding
	}{
		{"conditions are reported together", "a: {when: \"branch = 'x' and\"}\nb: [{when: 'nope()'}]\nc: {when: \"change_in('/x', {default_branch: 'gone'})\"}\nd: {when: \"result = 'passed'\"}\n", []Finding{
			{"Invalid or incomplete expression at the end of the line.", Location{".semaphore/ci.yml", []string{"a", "when"}}, InvalidCondition},
			{"Function with name 'nope' is not found.", Location{".semaphore/ci.yml", []string{"b", "0", "when"}}, InvalidCondition},
			{"Missing value of keyword parameter 'result'.", Location{".semaphore/ci.yml", []string{"d", "when"}}, InvalidCondition},
		}},
		{"a missing branch ends it", "a: {when: \"change_in('/x', {default_branch: 'gone'})\"}\nb: {when: \"change_in('/x', {default_branch: 'lost'})\"}\n", []Finding{
			{"Unknown git reference 'gone'.", Location{".semaphore/ci.yml", []string{"a", "when"}}, MissingBranch},
		}},
		{"options", "a: {when: \"change_in('/x', {on_tags: 1})\"}\n", []Finding{
			{"the option on_tags of change_in must be true or false", Location{".semaphore/ci.yml", []string{"a", "when"}}, InvalidCondition},
		}},
		{"templates", "a: ['${{parameters.NOPE}}']\n", []Finding{
			{"cannot fill in \"${{parameters.NOPE}}\": the parameter NOPE is not set; set it, or write parameters.NOPE | default \"…\"", Location{".semaphore/ci.yml", []string{"a", "0"}}, InvalidTemplate},
		}},
		{"commands_file", "a: {commands_file: empty.sh}\nb: {commands_file: ../../gone.sh}\n", []Finding{
			{"the commands_file at location .semaphore/empty.sh is empty", Location{".semaphore/ci.yml", []string{"a", "commands_file"}}, InvalidCommands},
			{"the commands_file gone.sh cannot be read: file does not exist", Location{".semaphore/ci.yml", []string{"b", "commands_file"}}, InvalidCommands},
		}},
		{"YAML", "a: [\n", []Finding{{"", Location{".semaphore/ci.yml", []string{}}, InvalidYAML}}},
	}
	for _, tt := range tests {
		got, findings, err := Compile(context.Background(), []byte(tt.in), options(repository{}))
		if tt.name == "YAML" && len(findings) == 1 && strings.HasPrefix(findings[0].Message, "line 1, column") {
			findings[0].Message = ""
		}
		if d := cmp.Diff(tt.want, findings); d != "" || got != nil || err != nil {
			t.Errorf("%s: %q, %v\n%s", tt.name, got, err, d)
		}
	}
	got, findings, err := Compile(context.Background(), []byte("a: {when: \"change_in('/x', {branch_range: 'gone..HEAD'})\"}\n"), options(repository{}))
	if err != nil || string(got) != "a: {when: \"true\"}\n" || len(findings) != 1 || findings[0].Type != Doubt || !strings.Contains(findings[0].Message, "cannot be resolved") {
		t.Errorf("a range that is gone: %s, %v, %v", got, findings, err)
	}
	broken := repository{errors.New("no space left")}
	if got, _, err := Compile(context.Background(), []byte("a: {when: \"change_in('/x')\"}\n"), options(broken)); got != nil || !errors.Is(err, broken.err) {
		t.Errorf("a repository that cannot be read: %q, %v", got, err)
	}
}

// What was a right pipeline is one afterwards, and compiling it once more changes nothing.
func TestExamplesStayRight(t *testing.T) {
	files, err := filepath.Glob("../testdata/examples/*.yml")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o := options(repository{})
		o.Lookup = func(name string) (string, bool) { return "2", true }
		out, findings, err := Compile(context.Background(), data, o)
		if file == "../testdata/examples/08-change-in.yml" && len(findings) == 1 && strings.Contains(findings[0].Message, "d0d0~1") {
			findings = nil // the range HEAD~1..HEAD is not known to this repository
		}
		if err != nil || out == nil || len(findings) > 0 {
			t.Errorf("%s: %v, %v", file, findings, err)
			continue
		}
		for _, p := range spec.Parse(out, spec.Options{}).Problems {
			if p.Severity == spec.SeverityError || strings.Contains(p.Message, "templates") {
				t.Errorf("%s: %s\n%s", file, p, out)
			}
		}
		again, _, err := Compile(context.Background(), out, o)
		if d := cmp.Diff(string(out), string(again)); d != "" || err != nil {
			t.Errorf("%s: compiled again: %v\n%s", file, err, d)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("a: &x {when: \"change_in('/lib')\"}\nb: *x\nname: \"%{{ parameters.LIST | splitList \\\",\\\" }}\"\n")
	f.Add("commands_file: test.sh\nx: [*y, ${{parameters.N}}]\n")
	f.Add("a: \"\\q ${{parameters.ENV}}\"\n<<: [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		out, findings, err := Compile(context.Background(), []byte(text), options(repository{}))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if out == nil && len(findings) == 0 {
			t.Fatalf("%q: nothing came out, and nothing was said", text)
		}
		if len(out) > 0 {
			if _, problem := spec.Document(out); problem != nil {
				t.Fatalf("%q became %q: %s", text, out, problem.Message)
			}
		}
	})
}
