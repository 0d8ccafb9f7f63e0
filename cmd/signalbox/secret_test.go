package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stdin gives the next commands something to read.
func stdin(t *testing.T, text string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = f
	t.Cleanup(func() {
		os.Stdin = was
		f.Close()
	})
}

func TestSecretCommands(t *testing.T) {
	s := newStation(t)
	s.expect(0, "created", "project", "create", "web", "--git", s.repo)
	file := filepath.Join(t.TempDir(), "key")
	vars := filepath.Join(t.TempDir(), "vars")
	for name, text := range map[string]string{file: "file-content\n", vars: "# a comment\n\nexport A=one two\nB=\"quoted\"=x\r\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdin(t, "hunter2-hunter2\n")
	s.expect(0, `Secret deploy created.*Description +for ships.*Variables +TOKEN.*Files +.ssh/id`,
		"secret", "set", "deploy", "--env", "TOKEN", "--file", ".ssh/id="+file, "--description", "for ships")
	s.expect(0, `Secret deploy changed.*TOKEN, A, B.*Projects +[0-9a-f-]{36}.*Debug +no.*Attach +yes`,
		"secret", "set", "deploy", "--env-file", vars, "--projects", "web", "--debug", "no")
	s.expect(0, `Variables +A, B\nFiles +.ssh/id`, "secret", "set", "deploy", "--unset", "TOKEN")
	s.expect(0, `Projects +all`, "secret", "set", "deploy", "--projects", "all")
	stdin(t, "x=1\n")
	s.expect(0, `Secret own created`, "secret", "set", "own", "--project", "web", "--env-file", "-")
	s.expect(0, `NAME +VARIABLES.*deploy +2 +1 `, "secret", "list")
	s.expect(0, `own +1 +0 `, "secret", "list", "--project", "web")
	var out secretInfo
	s.ok(&out, "secret", "show", "own", "--project", "web")
	if d := cmp.Diff([]secretVar{{"x", ""}}, out.Data.EnvVars); d != "" || out.Metadata.Name != "own" {
		t.Error(d)
	}
	s.expect(0, `Secret +deploy.*Changed +20`, "secret", "show", "deploy")
	s.expect(2, `Secret nope not found`, "secret", "show", "nope")
	s.expect(2, `secret not found`, "secret", "show", "deploy", "--project", "web")
	s.expect(2, `project nope`, "secret", "set", "a", "--project", "nope")
	s.expect(2, `no variable or file C to take away`, "secret", "set", "deploy", "--unset", "C")
	s.expect(0, `Secret deploy deleted`, "secret", "delete", "deploy")
	s.expect(0, `2 versions of secrets|1 versions of secrets`, "admin", "rekey")
	s.expect(0, `gone`, "admin", "rekey", "--forget")
	s.expect(1, `only one master key`, "admin", "rekey", "--forget")
	s.expect(0, `not used yet`, "admin", "rekey", "--prepare")
	s.expect(1, `different steps`, "admin", "rekey", "--prepare", "--forget")
}

func TestValuesAreNotTakenFromArguments(t *testing.T) {
	s := newStation(t)
	stdin(t, "")
	empty := filepath.Join(t.TempDir(), "empty")
	bad := filepath.Join(t.TempDir(), "bad")
	for name, text := range map[string]string{empty: "", bad: "A=x\nhunter2-hunter2\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"values are not taken from arguments, because": {"--env", "TOKEN=hunter2-hunter2"},
		"are not taken from arguments, because every":  {"--env=TOKEN=hunter2-hunter2"},
		"are not taken from arguments":                 {"hunter2-hunter2"},
		"are not taken from argument":                  {"TOKEN=hunter2-hunter2", "--env", "TOKEN"},
		"standard input is empty":                      {"--env", "TOKEN"},
		"both read standard input":                     {"--env", "TOKEN", "--env-file", "-"},
		"is empty":                                     {"--file", "x=" + empty},
		"must be PATH=LOCALFILE":                       {"--file", "x"},
		"line 2 is not NAME=value":                     {"--env-file", bad},
		"no such file":                                 {"--env-file", filepath.Join(filepath.Dir(bad), "nope")},
		"are for secrets of the organization":          {"--project", "web", "--debug", "no"},
	} {
		code, out, errOut := s.run(append([]string{"secret", "set", "deploy"}, args...)...)
		if code != 1 || !strings.Contains(errOut, want) || strings.Contains(out+errOut, "hunter2") {
			t.Errorf("%q: exit code %d, %s%s, want %q", args, code, out, errOut, want)
		}
	}
	if code, out, errOut := s.run("secret", "set", "TOKEN=hunter2-hunter2"); code != 1 || strings.Contains(out+errOut, "hunter2") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
}
