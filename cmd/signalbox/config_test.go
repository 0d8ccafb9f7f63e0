package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// setting is one flag of one command.
type setting struct {
	path string // words of the command, joined by spaces; "" for all commands
	name string
	flag *kong.Flag
	node *kong.Node
}

func parser(t *testing.T) (*kong.Kong, *CLI) {
	t.Helper()
	cli := &CLI{}
	k, err := newParser(cli, io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return k, cli
}

func settings(k *kong.Kong) []setting {
	var out []setting
	var visit func(n *kong.Node, path string)
	visit = func(n *kong.Node, path string) {
		for _, f := range n.Flags {
			if f.Name != "help" {
				out = append(out, setting{path, f.Name, f, n})
			}
		}
		for _, c := range n.Children {
			visit(c, strings.TrimSpace(path+" "+c.Name))
		}
	}
	visit(k.Model.Node, "")
	return out
}

// values returns a text for a flag, other than its default, and how the flag's value then prints.
func values(s setting) (text, want string) {
	switch {
	case s.flag.Enum != "":
		all := s.flag.EnumSlice()
		for _, v := range all {
			if v != s.flag.Default {
				return v, v
			}
		}
	case s.flag.IsBool():
		return "true", "true"
	case s.flag.IsSlice():
		return "10.0.0.0/8", "[10.0.0.0/8]"
	}
	switch s.flag.Target.Interface().(type) {
	case seconds, *seconds:
		return "7", "7s"
	case byteSize:
		return "7kB", "7000"
	case interface{ Seconds() float64 }:
		return "7m", "7m0s"
	case *quarantineFlag:
		return "2/4", "{2 4}"
	case int, int64, *int:
		return "7", "7"
	}
	return "some-text", "some-text"
}

// arguments is a command line for the command of s that lacks nothing but s itself.
func arguments(s setting) []string {
	if s.path == "" {
		return []string{"project", "list"}
	}
	args := strings.Fields(s.path)
	for _, f := range s.node.Flags {
		if f.Required && f.Name != s.name {
			args = append(args, "--"+f.Name+"=x")
		}
	}
	for _, p := range s.node.Positional {
		if p.Required {
			args = append(args, "x")
		}
	}
	return args
}

// parse returns how the value of s prints after a command line was read.
func parse(t *testing.T, s setting, args ...string) string {
	t.Helper()
	k, _ := parser(t)
	if _, err := k.Parse(append(arguments(s), args...)); err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	for _, again := range settings(k) {
		if again.path == s.path && again.name == s.name {
			return fmt.Sprint(reflect.Indirect(again.flag.Target).Interface())
		}
	}
	t.Fatalf("no setting %s %s", s.path, s.name)
	return ""
}

// noEnvironment hides what the tester's own environment sets.
func noEnvironment(t *testing.T) {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "SIGNALBOX_") && !strings.HasPrefix(name, "SIGNALBOX_TEST_") || strings.HasPrefix(name, "SEMAPHORE_") {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestEverySettingIsReachableInThreeWays(t *testing.T) {
	noEnvironment(t)
	k, _ := parser(t)
	all := settings(k)
	if len(all) < 20 {
		t.Fatalf("only %d settings were found", len(all))
	}
	for _, s := range all {
		if s.name == "config" || s.name == "config-file" { // these name files
			continue
		}
		t.Run(strings.TrimSpace(s.path+" --"+s.name), func(t *testing.T) {
			text, want := values(s)
			if got := parse(t, s, "--"+s.name+"="+text); got != want {
				t.Errorf("by flag: %s, want %s", got, want)
			}
			file := filepath.Join(t.TempDir(), "settings.yml")
			line := s.name + ": " + text + "\n"
			if s.path != "" {
				line = strings.ReplaceAll(s.path, " ", "-") + ":\n  " + line
			}
			if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := parse(t, s, "--config="+file); got != want {
				t.Errorf("by file: %s, want %s", got, want)
			}
			if len(s.flag.Envs) != 1 {
				t.Fatalf("it has the environment variables %q, must have one", s.flag.Envs)
			}
			t.Setenv(s.flag.Envs[0], text)
			if got := parse(t, s); got != want {
				t.Errorf("by environment: %s, want %s", got, want)
			}
		})
	}
}

func TestStrongestSettingWins(t *testing.T) {
	noEnvironment(t)
	k, _ := parser(t)
	all := settings(k)
	i := slices.IndexFunc(all, func(s setting) bool { return s.path == "server" && s.name == "listen" })
	listen := all[i]
	file := filepath.Join(t.TempDir(), "settings.yml")
	if err := os.WriteFile(file, []byte("log-level: debug\nserver:\n  listen: file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SIGNALBOX_CONFIG", file)
	if got := parse(t, listen); got != "file" {
		t.Errorf("with a file: %s", got)
	}
	t.Setenv("SIGNALBOX_LISTEN", "environment")
	if got := parse(t, listen); got != "environment" {
		t.Errorf("with a file and the environment: %s", got)
	}
	if got := parse(t, listen, "--listen=flag"); got != "flag" {
		t.Errorf("with all three: %s", got)
	}
}

func TestListsInASettingsFile(t *testing.T) {
	noEnvironment(t)
	file := filepath.Join(t.TempDir(), "settings.yml")
	if err := os.WriteFile(file, []byte("server:\n  trusted-proxy: [10.0.0.0/8, 192.168.0.0/16]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, cli := parser(t)
	if _, err := k.Parse([]string{"server", "--config", file}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"10.0.0.0/8", "192.168.0.0/16"}; !reflect.DeepEqual(cli.Server_.TrustedProxies, want) {
		t.Errorf("got %q, want %q", cli.Server_.TrustedProxies, want)
	}
}

func TestWrongSettingsFiles(t *testing.T) {
	noEnvironment(t)
	for text, want := range map[string]string{
		"output: json\nouput: text\n":               `line 2: unknown setting "ouput"`,
		"server:\n  listen: x\n  port: 1\n":         `line 3: server has no setting "port"`,
		"agent-start: fast\n":                       `line 1: "agent-start" is a command`,
		"output: {a: b}\n":                          `line 1: output must be a value or a list`,
		"- a\n":                                     "must be a map",
		"output: [\n":                               "is not YAML",
		"output: loud\n":                            "must be one of",
		"config: other.yml\n":                       `line 1: unknown setting "config"`,
		"server:\n  listen: {host: x}\n":            "listen must be a value or a list",
		"agent-start:\n  idle: 1\n":                 `line 2: agent-start has no setting "idle"`,
		"log-level: debug\nnope:\n  listen: here\n": `line 2: unknown setting "nope"`,
	} {
		file := filepath.Join(t.TempDir(), "settings.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, _ := parser(t)
		_, err := k.Parse([]string{"server", "--config", file})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"", "# nothing\n"} {
		file := filepath.Join(t.TempDir(), "settings.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, _ := parser(t)
		if _, err := k.Parse([]string{"server", "--config", file}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// docs/settings.md is written by this test with -update, and checked by it without.
func TestSettingsAreDocumented(t *testing.T) {
	k, _ := parser(t)
	var b strings.Builder
	b.WriteString(`# Settings

Each setting is a flag, an environment variable and a key of a YAML file, strongest first. The file is named by
` + "`--config FILE` or `SIGNALBOX_CONFIG`" + `. Settings of all commands stand at its top, those of one command under the command's
name, with its words joined by dashes; a key that does not exist is an error that names its line. (` + "`server`" + ` at the top is
the address to talk to, unless settings stand under it.) The agent also takes a file in the shape of the official agent's, one
key at the top for each option, as ` + "`--config-file`" + ` or ` + "`--config`" + `: see [the agent](agent.md).

` + "```yaml" + `
log-level: debug
server:
  listen: 127.0.0.1:8443
  trusted-proxy: [10.0.0.0/8]
agent-start:
  endpoint: ci.example.com
` + "```" + `

This page is made from the program itself.
`)
	path := "-"
	for _, s := range settings(k) {
		if s.node.Hidden || s.flag.Hidden {
			continue
		}
		if s.flag.Help == "" {
			t.Errorf("%s --%s says nothing about itself", s.path, s.name)
		}
		if s.path != path {
			path = s.path
			title := "All commands"
			if path != "" {
				title = "`signalbox " + path + "`"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| flag | environment | default | |\n| --- | --- | --- | --- |\n", title)
		}
		value := s.flag.Default
		switch {
		case s.flag.Required:
			value = "required"
		case s.flag.HasDefault && value != "":
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", s.name, strings.Join(s.flag.Envs, "`, `"), value, strings.ReplaceAll(s.flag.Help, "|", "\\|"))
	}
	const file = "../../docs/settings.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(got), b.String()); d != "" {
		t.Errorf("docs/settings.md is not what the program says (-page +program; -update writes it anew):\n%s", d)
	}
}
