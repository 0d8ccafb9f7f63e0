package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tool runs the program and returns its exit code and what it printed.
func tool(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

func file(t *testing.T, text string, elem ...string) string {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhenTool(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ command, in, want string }{
		{
			"list-inputs", `["branch = 'main' and change_in(['/a', '/b'], {on_tags: false})", "true", "branch ="]`,
			`[{"inputs":[{"type":"keyword","name":"branch"},{"type":"fun","name":"change_in","params":[["/a","/b"],{"on_tags":false}]}],"error":""},` +
				`{"inputs":[],"error":""},` +
				`{"inputs":[],"error":"Syntax error on line 1. - Invalid or incomplete expression at the end of the line."}]`,
		},
		{
			"reduce", `[{"expression":"branch = 'master' and change_in('/lib', {a: 1})","inputs":{"keywords":{},"functions":[{"name":"change_in","params":["/lib",{"a":1}],"result":true}]}},` +
				`{"expression":"change_in('/x') = false","inputs":{"keywords":{},"functions":[]}},{"expression":"tag = 'x' or branch = 'y'","inputs":{"keywords":{"tag":""}}},` +
				`{"expression":"tag ?","inputs":{}}]`,
			`[{"result":"(branch = 'master') and true","error":""},{"result":"","error":"cannot tell what \"change_in\" says: the inputs have no result for change_in('/x')"},` +
				`{"result":"false or (branch = 'y')","error":""},{"result":"","error":"Lexical error on line 1. - Illegal characters: '?'."}]`,
		},
	} {
		in, out := file(t, c.in, dir, "in.json"), filepath.Join(dir, "out.json")
		if code, _, errOut := tool(t, "when", c.command, "--input", in, "--output", out); code != 0 {
			t.Fatalf("%s: %d %s", c.command, code, errOut)
		}
		if d := cmp.Diff(c.want, content(t, out)); d != "" {
			t.Errorf("%s:\n%s", c.command, d)
		}
	}
}

func TestToolArguments(t *testing.T) {
	in := file(t, "{", t.TempDir(), "in")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"spc", "compile"}, "(err) input path not provided\n"},
		{[]string{"spc", "compile", "--input", in}, "(err) output path not provided\n"},
		{[]string{"spc", "evaluate", "change-in", "--input", in, "--output", in}, "(err) logs path not provided\n"},
		{[]string{"when", "reduce", "--output", in}, "(err) input path not provided\n"},
		{[]string{"when", "reduce", "--input", in, "--output", in}, "is not what this command reads"},
		{[]string{"spc", "nope"}, "(err) "},
	} {
		if code, _, errOut := tool(t, c.args...); code != 1 || !strings.Contains(errOut, c.want) {
			t.Errorf("%q: %d %q", c.args, code, errOut)
		}
	}
	if _, out, _ := tool(t, "--help"); strings.Contains(out, "spc") || strings.Contains(out, "list-inputs") {
		t.Error("the tools of init jobs are in our help")
	}
	if code, out, _ := tool(t, "pipeline", "schema"); code != 0 || !strings.Contains(out, `"$schema"`) {
		t.Errorf("pipeline schema: %d %s", code, out)
	}
}

func TestSpcTool(t *testing.T) {
	noEnvironment(t)
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann",
			"GIT_COMMITTER_EMAIL=ann@example.com", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	yaml := "name: \"${{parameters.SPC_ENV}} ${{parameters.SPC_NONE}}\"\nblocks:\n" +
		"  - run: {when: \"branch = 'dev' and change_in('/lib', {default_branch: 'main'})\"}\n    task: {prologue: {commands_file: setup.sh}}\n"
	in := file(t, yaml, dir, ".semaphore", "ci.yml")
	file(t, "make ${{parameters.SPC_ENV}}\n", dir, ".semaphore", "setup.sh")
	git("add", "-A")
	git("commit", "-q", "-m", "First")
	git("checkout", "-q", "-b", "dev")
	file(t, "1\n", dir, "lib", "a b")
	git("add", "-A")
	git("commit", "-q", "-m", "Second")
	t.Setenv("SPC_ENV", "prod")
	t.Setenv("SEMAPHORE_GIT_REF_TYPE", "branch")
	t.Setenv("SEMAPHORE_GIT_BRANCH", "dev")
	t.Setenv("SEMAPHORE_GIT_SHA", git("rev-parse", "HEAD"))
	elsewhere := t.TempDir()
	out, logs := filepath.Join(elsewhere, "out.yml"), filepath.Join(elsewhere, "logs")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"spc", "compile"}, "name: \"prod SPC_NONE\"\nblocks:\n  - run: {when: \"(branch = 'dev') and true\"}\n    task: {prologue: {commands: [\"make ${{parameters.SPC_ENV}}\"]}}\n"},
		{[]string{"spc", "evaluate", "change-in"}, strings.Replace(yaml, "branch = 'dev' and change_in('/lib', {default_branch: 'main'})", "(branch = 'dev') and true", 1)},
	} {
		code, _, errOut := tool(t, append(c.args, "--input", in, "--output", out, "--logs", logs)...)
		if code != 0 {
			t.Fatalf("%q: %d %s", c.args, code, errOut)
		}
		if d := cmp.Diff(c.want, content(t, out)); d != "" || content(t, logs) != "" {
			t.Errorf("%q: %s\n%s", c.args, content(t, logs), d)
		}
	}
	t.Chdir(dir)
	if code, out, errOut := tool(t, "spc", "list-diff", "--default-branch", "main"); code != 0 || out != "lib/a b\n" {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	if code, out, errOut := tool(t, "spc", "list-diff"); code != 1 || !strings.Contains(errOut, `no branch "master"`) {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	if code, out, errOut := tool(t, "spc", "list-diff", "--branch-range", "$SEMAPHORE_GIT_SHA^...$SEMAPHORE_GIT_SHA"); code != 0 || out != "lib/a b\n" {
		t.Errorf("%d %q %q", code, out, errOut)
	}
	wrong := file(t, "a: {when: \"change_in('/x', {default_branch: 'gone'})\"}\n", dir, "wrong.yml")
	if code, _, errOut := tool(t, "spc", "compile", "--input", wrong, "--output", filepath.Join(elsewhere, "none"), "--logs", logs); code != 1 || strings.Contains(errOut, "(err)") {
		t.Errorf("%d %q", code, errOut)
	}
	const want = `{"message":"Unknown git reference 'gone'.","location":{"file":"wrong.yml","path":["a","when"]},"type":"ErrorChangeInMissingBranch"}` + "\n"
	if d := cmp.Diff(want, content(t, logs)); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "none")); err == nil {
		t.Error("a file with mistakes gave an output")
	}
	t.Setenv("SEMAPHORE_GIT_REF_TYPE", "tag")
	if code, out, _ := tool(t, "spc", "list-diff"); code != 0 || out != "Listing diffs for tags is not supported.\n" {
		t.Errorf("%d %q", code, out)
	}
}
