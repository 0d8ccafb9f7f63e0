package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/BurntSushi/toml"
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent"
)

// formats write a configuration file with one key.
var formats = map[string]func(key string, value any) []byte{
	".yaml": func(key string, value any) []byte { return must(yaml.Marshal(map[string]any{key: value})) },
	".yml":  func(key string, value any) []byte { return must(yaml.Marshal(map[string]any{key: value})) },
	".json": func(key string, value any) []byte {
		return must(json.MarshalIndent(map[string]any{key: value}, "", "\t"))
	},
	".toml": func(key string, value any) []byte { return must(toml.Marshal(map[string]any{key: value})) },
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// three returns three values of an option, and how they print: for the file, the environment and the flag.
func three(s setting) (file any, env, flag string, want [3]string) {
	switch s.flag.Target.Interface().(type) {
	case bool:
		return true, "false", "true", [3]string{"true", "false", "true"}
	case []string:
		return []string{"A=1,2", "B=3"}, "C=4 D=5,E=6", `F=7\,8,G=9`, [3]string{"[A=1,2 B=3]", "[C=4 D=5 E=6]", "[F=7,8 G=9]"}
	case seconds:
		return 11, "12", "13", [3]string{"11s", "12s", "13s"}
	case byteSize:
		return 11, "12KB", "13", [3]string{"11", "12000", "13"}
	case int:
		return 11, "12", "13", [3]string{"11", "12", "13"}
	}
	if s.flag.Enum != "" {
		all := append(s.flag.EnumSlice(), s.flag.EnumSlice()...)
		return all[0], all[1], all[2], [3]string{all[0], all[1], all[2]}
	}
	return "of-file", "of-env", "of-flag", [3]string{"of-file", "of-env", "of-flag"}
}

// lists of these have a separator of their own.
func forList(name, s string) string {
	if name == "files" {
		return strings.ReplaceAll(s, "=", ":")
	}
	return s
}

func TestPrecedenceOfEveryAgentOption(t *testing.T) {
	noEnvironment(t)
	k, _ := parser(t)
	n := 0
	for _, s := range settings(k) {
		if s.path != agentStart || s.name == "config-file" {
			continue
		}
		n++
		file, env, flag, want := three(s)
		if list, ok := file.([]string); ok {
			for i := range list {
				list[i] = forList(s.name, list[i])
			}
			env, flag = forList(s.name, env), forList(s.name, flag)
			for i := range want {
				want[i] = forList(s.name, want[i])
			}
			if s.name == "kubernetes-allowed-images" { // entries of one piece are split at spaces only
				want[1] = "[C=4 D=5,E=6]"
			}
		}
		for ext, write := range formats {
			for _, option := range []string{"--config-file=", "--config="} {
				t.Run(s.name+ext+option, func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "config"+ext)
					if err := os.WriteFile(path, write(s.name, file), 0o600); err != nil {
						t.Fatal(err)
					}
					if got := parse(t, s, option+path); got != want[0] {
						t.Errorf("from the file: %s, want %s", got, want[0])
					}
					t.Setenv(s.flag.Envs[0], env)
					if got := parse(t, s, option+path); got != want[1] {
						t.Errorf("with the environment: %s, want %s", got, want[1])
					}
					if got := parse(t, s, option+path, "--"+s.name+"="+flag); got != want[2] {
						t.Errorf("with a flag: %s, want %s", got, want[2])
					}
				})
			}
		}
	}
	if n < 35 {
		t.Errorf("only %d options were found", n)
	}
}

// The keys that the official agent knows, with the types that they have there.
const officialYAML = `# written by an installer
endpoint: "ci.example.com"
token: "0123456789abcdef"
no-https: false
shutdown-hook-path: "/opt/agent/shutdown.sh"
disconnect-after-job: true
disconnect-after-idle-timeout: 300
env-vars:
  - A=1
  - B=x=y, z
  - EMPTY=
files:
  - /etc/npmrc:/opt/npmrc
fail-on-missing-files: true
name: my-agent-1
name-from-env: ""
pre-job-hook-path: /opt/agent/pre.sh
post-job-hook-path: ""
source-pre-job-hook: true
fail-on-pre-job-hook-error: true
job-id: 6a4b
interruption-grace-period: 120
upload-job-logs: when-trimmed
kubernetes-executor: false
kubernetes-pod-spec: ~
kubernetes-allowed-images: []
kubernetes-labels: []
kubernetes-pod-start-timeout: 300
`

const officialTOML = `# written by an installer
endpoint = "ci.example.com"
token = "0123456789abcdef"
no-https = false
shutdown-hook-path = "/opt/agent/shutdown.sh"
disconnect-after-job = true
disconnect-after-idle-timeout = 300
env-vars = ["A=1", "B=x=y, z", "EMPTY="]
files = ["/etc/npmrc:/opt/npmrc"]
fail-on-missing-files = true
name = "my-agent-1"
pre-job-hook-path = "/opt/agent/pre.sh"
source-pre-job-hook = true
fail-on-pre-job-hook-error = true
job-id = "6a4b"
interruption-grace-period = 120
upload-job-logs = "when-trimmed"
kubernetes-executor = false
kubernetes-allowed-images = []
`

const officialJSON = `{
	"Endpoint": "ci.example.com", "token": "0123456789abcdef", "no-https": false,
	"shutdown-hook-path": "/opt/agent/shutdown.sh", "disconnect-after-job": true, "disconnect-after-idle-timeout": 300,
	"env-vars": ["A=1", "B=x=y, z", "EMPTY="], "files": ["/etc/npmrc:/opt/npmrc"], "fail-on-missing-files": true,
	"name": "my-agent-1", "pre-job-hook-path": "/opt/agent/pre.sh", "source-pre-job-hook": true, "fail-on-pre-job-hook-error": true,
	"job-id": "6a4b", "interruption-grace-period": 120, "upload-job-logs": "when-trimmed", "kubernetes-executor": false, "name-from-env": null
}
`

func TestAnOfficialConfigurationFile(t *testing.T) {
	noEnvironment(t)
	want := agent.Config{
		Endpoint: "ci.example.com", Token: "0123456789abcdef", Name: "my-agent-1", Version: version, StateDir: "/state",
		DisconnectAfterJob: true, JobID: "6a4b", DisconnectAfterIdleTimeout: 300e9, InterruptionGracePeriod: 120e9,
		EnvVars:            []signalbox.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "x=y, z"}, {Name: "EMPTY"}},
		Files:              []agent.HostFile{{Host: "/etc/npmrc", Container: "/opt/npmrc"}},
		FailOnMissingFiles: true, UploadJobLogs: agent.UploadWhenTrimmed, LogsCompressionSize: 100 << 20,
		Hooks: agent.Hooks{PreJob: "/opt/agent/pre.sh", SourcePreJob: true, FailOnPreJob: true}, ShutdownHook: "/opt/agent/shutdown.sh",
		LowDisk: agent.DefaultLowDisk, Timing: agent.Timing{StopGrace: 10e9},
	}
	for name, text := range map[string]string{"config.yaml": officialYAML, "config.toml": officialTOML, "config.json": officialJSON} {
		for _, option := range []string{"--config-file", "--config"} {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			k, cli := parser(t)
			if _, err := k.Parse([]string{"agent", "start", option, path, "--state=/state"}); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, warnings, err := cli.Agent.Start.config(&cli.Globals, os.Getenv)
			if err != nil || len(warnings) > 0 {
				t.Errorf("%s: %v, %q", name, err, warnings)
			}
			if got.Program == "" {
				t.Error("jobs are lent no tools")
			}
			got.Program = ""
			if d := cmp.Diff(want, got, cmp.AllowUnexported(agent.Config{})); d != "" {
				t.Errorf("%s %s (-want +got):\n%s", option, name, d)
			}
		}
	}
}

func TestWrongConfigurationFiles(t *testing.T) {
	noEnvironment(t)
	for _, c := range []struct{ name, text, want string }{
		{"c.yaml", "endpoint: x\n  # more\nendpiont: y\n", `c.yaml:3:1: unknown option "endpiont"`},
		{"c.yaml", "token: x\ntoken: y\n", "c.yaml:2:1: token stands here a second time"},
		{"c.yaml", "token: x\nno-https: maybe\n", `c.yaml:2:1: no-https: bool value must be`},
		{"c.yaml", "token: x\ndisconnect-after-idle-timeout: -5\n", `c.yaml:2:1: disconnect-after-idle-timeout: "-5" must be whole seconds`},
		{"c.yaml", "interruption-grace-period: 1.5\n", `c.yaml:1:1: interruption-grace-period: "1.5" must be whole seconds`},
		{"c.yaml", "upload-job-logs: sometimes\n", `c.yaml:1:1: upload-job-logs is "sometimes"; it must be one of never, always, when-trimmed`},
		{"c.yaml", "token: [a, b]\n", "c.yaml:1:1: token takes one value, not a list"},
		{"c.yaml", "env-vars: {A: 1}\n", "c.yaml:1:11: env-vars must be a value or a list"},
		{"c.yaml", "env-vars: [[A]]\n", "c.yaml:1:12: env-vars must be a list of plain values"},
		{"c.yaml", "- token\n", "c.yaml:1:1: it must be a map"},
		{"c.yaml", "token: [\n", "it is not YAML"},
		{"c.yaml", "config-file: other.yaml\n", `c.yaml:1:1: unknown option "config-file"`},
		{"c.json", "{\n  \"token\": \"x\",\n  \"tokn\": 1\n}", `c.json:3:3: unknown option "tokn"`},
		{"c.json", "{\"token\": {\"a\": 1}}", "c.json:1:2: token must be a value or a list of values"},
		{"c.json", "{\"token\": \"x\",}", "c.json:1:15: it is not JSON"},
		{"c.json", "[1]", "c.json:1:2: it must be a JSON object"},
		{"c.json", "{} {}", "something follows"},
		{"c.toml", "token = \"x\"\n\n  tokn = 1\n", `c.toml:3:3: unknown option "tokn"`},
		{"c.toml", "token = \"x\"\n[files]\na = 1\n", "c.toml:2:2: files must be a value or a list of values"},
		{"c.toml", "token = x\n", "c.toml:1:9: it is not TOML"},
		{"c.ini", "token=x\n", `has the extension ".ini"`},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, _ := parser(t)
		_, err := k.Parse([]string{"agent", "start", "--config-file", path})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v, want %q", c.name, c.text, err, c.want)
		}
	}
	k, _ := parser(t)
	if _, err := k.Parse([]string{"agent", "start", "--config-file", "/nowhere/c.yaml"}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a file that is not there: %v", err)
	}
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(officialYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	k, _ = parser(t)
	if _, err := k.Parse([]string{"project", "list", "--config", path}); err == nil || !strings.Contains(err.Error(), "not one for `signalbox project list`") {
		t.Errorf("an agent's file for another command: %v", err)
	}
}

func TestSplitList(t *testing.T) {
	for _, c := range []struct{ in, sep, want string }{
		{"A=1 B=2", "=", `["A=1" "B=2"]`},
		{"A=1,B=2", "=", `["A=1" "B=2"]`},
		{"A=1,2 B=3", "=", `["A=1,2" "B=3"]`},
		{"A=1,=2", "=", `["A=1,=2"]`},
		{" \n", "=", `[]`},
		{"/a:/b,/c:/d", ":", `["/a:/b" "/c:/d"]`},
		{"^a{1,2}$ ^b$", "", `["^a{1,2}$" "^b$"]`},
	} {
		if got := fmt.Sprintf("%q", splitList(c.in, c.sep)); got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestQuantities(t *testing.T) {
	for in, want := range map[string]byteSize{"0": 0, "12": 12, "12B": 12, "1KB": 1000, "1kib": 1024, "500 MB": 500e6, "2GiB": 2 << 30, "1TB": 1e12} {
		var s byteSize
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want {
			t.Errorf("%q: %d, %v", in, s, err)
		}
	}
	for _, in := range []string{"", "B", "GB", "-1", "1.5GB", "1XB", "99999999999TB", "9223372036854775808"} {
		var s byteSize
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was read as %d", in, s)
		}
	}
	for _, in := range []string{"", "x", "-1", "1.5", "1500ms", "99999999999", "-3s"} {
		var s seconds
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was read as %v", in, s)
		}
	}
}
