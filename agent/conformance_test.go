package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// The end-to-end scenarios of the official agent, by their names, run by the real program against a server in this
// process and a real Docker engine. docs/conformance.md lists them all. Logs are compared whole; a line that begins with ~
// is a pattern for what the engine or the registry says.

var ownHome = os.Getenv("HOME") // before TestMain gives the jobs another one

// program is the real program, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signalbox-conformance")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "signalbox")
	cmd := exec.Command("go", "build", "-o", path, "../cmd/signalbox")
	cmd.Env = append(os.Environ(), "HOME="+ownHome) // Go's caches are there
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// scenario is one row.
type scenario struct {
	name  string
	job   func(*agentapi.JobPayload)
	flags []string
	env   []string // of the agent
	stop  string   // stop-job comes when an event holds this
	want  []string
	check func(*testing.T, *hub)
}

// engineForTests is the address of the engine that scripts/setup-test-env started.
func engineForTests(t *testing.T) string {
	t.Helper()
	host := os.Getenv("SIGNALBOX_TEST_DOCKER")
	if host == "" {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatal("SIGNALBOX_TEST_DOCKER is not set: scripts/setup-test-env starts a Docker engine when it is root on Linux")
		}
		t.Skip("SIGNALBOX_TEST_DOCKER is not set, so nothing is run in containers")
	}
	return host
}

// agentCommand is the real program as an agent of h.
func agentCommand(t *testing.T, h *hub, state string, flags ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	h.do(func() {}) // what the test has set happens before what another process asks, which the race detector cannot see
	args := append([]string{
		"agent", "start", "--endpoint", strings.TrimPrefix(h.server.URL, "http://"), "--no-https", "--token", "type-token",
		"--name", "test-agent", "--state", state,
	}, flags...)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+os.Getenv("SIGNALBOX_TEST_DOCKER"), "DOCKER_CONFIG="+t.TempDir())
	cmd.WaitDelay = time.Second
	return cmd
}

func (s scenario) run(t *testing.T) {
	h := newHub(t)
	h.payload.JobID = "job-1"
	h.payload.EnvVars = nil
	s.job(&h.payload)
	if s.stop != "" {
		h.trigger, h.reached = s.stop, func() { h.stop = true }
	}
	cmd := agentCommand(t, h, t.TempDir(), s.flags...)
	cmd.Env = append(cmd.Env, s.env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		t.Errorf("the agent: %v\n%s", err, &said)
	}
	got := h.delivered()
	for i, line := range s.want {
		if pattern, ok := strings.CutPrefix(line, "~"); ok && i < len(got) && regexp.MustCompile(`(?s)\A`+pattern+`\z`).MatchString(got[i]) {
			got[i] = line
		}
	}
	result := strings.TrimPrefix(s.want[len(s.want)-1], "job_finished ")
	h.mu.Lock()
	if h.result != result {
		t.Errorf("result %q, want %q", h.result, result)
	}
	h.mu.Unlock()
	if !slices.Equal(got, s.want) {
		t.Errorf("log:\n%s\n\nwant:\n%s", strings.Join(quoted(got), "\n"), strings.Join(quoted(s.want), "\n"))
	}
	if s.check != nil {
		s.check(t, h)
	}
}

func quoted(lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, strings.TrimSuffix(strings.ReplaceAll(l, "\n", `\n`), `\n`))
	}
	return out
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// inContainer makes a job in one container of an image.
func inContainer(image string, commands ...string) func(*agentapi.JobPayload) {
	return func(p *agentapi.JobPayload) {
		p.Executor = "dockercompose"
		p.Compose = &agentapi.Compose{Containers: []agentapi.Container{{Name: "main", Image: image}}}
		for _, c := range commands {
			p.Commands = append(p.Commands, agentapi.Command{Directive: c})
		}
	}
}

// and changes a payload further.
func and(first func(*agentapi.JobPayload), more func(*agentapi.JobPayload)) func(*agentapi.JobPayload) {
	return func(p *agentapi.JobPayload) { first(p); more(p) }
}

const pulled = `~(Using [^\n]*\n|Pulling [^\n]*\nDigest: sha256:[0-9a-f]{64}\nStatus: [^\n]*\n)+`

// started is the log up to the running bash.
func started(more ...string) []string {
	return append([]string{"job_started", "$ Pulling docker images...", pulled, "= 0", "$ Starting the docker image...", "Starting a new bash session.\n", "= 0"}, more...)
}

// std is the log of a job without variables and files.
func std(result string, lines ...string) []string {
	return append(started(), jobLog(result, lines...)[1:]...)
}

func TestConformance(t *testing.T) {
	registry := os.Getenv("SIGNALBOX_TEST_REGISTRY")
	generic := func(password string) func(*agentapi.JobPayload) {
		return func(p *agentapi.JobPayload) {
			p.Compose.ImagePullCredentials = []agentapi.ImagePullCredential{{EnvVars: []agentapi.EnvVar{
				{Name: "DOCKER_CREDENTIAL_TYPE", Value: b64("GenericDocker")},
				{Name: "DOCKER_URL", Value: b64(registry)},
				{Name: "DOCKER_USERNAME", Value: b64(os.Getenv("SIGNALBOX_TEST_REGISTRY_USER"))},
				{Name: "DOCKER_PASSWORD", Value: b64(password)},
			}}}
		}
	}
	fourVars := []string{
		"$ echo $A", "hello\n", "= 0", "$ echo $B", "a  b\n", "= 0", "$ echo $C", "it's\n", "= 0", "$ echo $D", "$PATH:/etc/a\n", "= 0",
	}
	epilogues := func(p *agentapi.JobPayload) {
		p.EpilogueAlways = []agentapi.Command{{Directive: "echo always $SEMAPHORE_JOB_RESULT"}}
		p.EpilogueOnPass = []agentapi.Command{{Directive: "echo pass"}}
		p.EpilogueOnFail = []agentapi.Command{{Directive: "echo fail"}}
	}
	japanese := strings.Repeat("特定の伝説に拠る物語の由来については諸説存在し。", 5)
	rows := []scenario{
		{name: "docker/hello_world", job: inContainer("ruby:2.6", "echo Hello World"), want: std("passed", "$ echo Hello World", "Hello World\n", "= 0")},
		{name: "docker/command_aliases", job: and(inContainer("ruby:2.6"), func(p *agentapi.JobPayload) {
			p.Commands = []agentapi.Command{{Directive: "echo Hello World", Alias: "Greeting"}}
		}), want: std("passed", "$ Greeting", "Running: echo Hello World\nHello World\n", "= 0")},
		{
			name: "docker/env_vars", job: and(inContainer("ruby:2.6", "echo $A", `echo "$B"`, "echo $C", "echo $D"), func(p *agentapi.JobPayload) {
				p.EnvVars = []agentapi.EnvVar{{Name: "A", Value: b64("hello")}, {Name: "B", Value: b64("a  b")}, {Name: "C", Value: b64("it's")}, {Name: "D", Value: b64("$PATH:/etc/a")}}
			}),
			want: withVars("passed", "Exporting A\nExporting B\nExporting C\nExporting D\n", replaced(fourVars, "$ echo $B", `$ echo "$B"`)...),
		},
		{name: "docker/container_custom_name", job: and(inContainer("ruby:2.6", "echo Hello World"), func(p *agentapi.JobPayload) {
			p.Compose.Containers[0].Name = "myFavouriteContainer"
		}), want: std("passed", "$ echo Hello World", "Hello World\n", "= 0")},
		{name: "docker/container_env_vars", job: and(inContainer("ruby:2.6", "echo $FOO"), func(p *agentapi.JobPayload) {
			p.Compose.Containers[0].EnvVars = []agentapi.EnvVar{{Name: "FOO", Value: b64("bar")}}
		}), want: std("passed", "$ echo $FOO", "bar\n", "= 0")},
		{name: "docker/container_options", job: and(inContainer("ruby:2.6", "echo Hello World"), func(p *agentapi.JobPayload) {
			p.Compose.Containers = append(p.Compose.Containers, agentapi.Container{Name: "db", Image: "postgres", User: "1000", Entrypoint: "/bin/sh -c", Command: "'exec sleep 1000'"})
		}), want: std("passed", "$ echo Hello World", "Hello World\n", "= 0")},
		{name: "docker/multiple_containers", job: and(inContainer("ruby:2.6", "docker ps -q --filter label=signalbox.job=$JOB --filter ancestor=postgres | wc -l"), func(p *agentapi.JobPayload) {
			p.JobID = "job-" + rand.Text()
			p.Compose.Containers[0].EnvVars = []agentapi.EnvVar{{Name: "JOB", Value: b64(p.JobID)}}
			p.Compose.Containers = append(p.Compose.Containers, agentapi.Container{Name: "db", Image: "postgres"})
		}), want: std("passed", "$ docker ps -q --filter label=signalbox.job=$JOB --filter ancestor=postgres | wc -l", "1\n", "= 0")},
		{name: "docker/docker_in_docker", job: inContainer("ruby:2.6", "docker run --rm alpine uname"), want: std("passed", "$ docker run --rm alpine uname", "Linux\n", "= 0")},
		{name: "docker/host_setup_commands", job: and(inContainer("ruby:2.6", "echo Hello World"), func(p *agentapi.JobPayload) {
			p.Compose.HostSetupCommands = []agentapi.Command{{Directive: "echo on the host"}}
		}), want: std("passed", "$ echo Hello World", "Hello World\n", "= 0")},
		{name: "docker/failed_job", job: inContainer("ruby:2.6", "false"), want: std("failed", "$ false", "= 1")},
		{name: "docker/unknown_command", job: inContainer("ruby:2.6", "echhhho Hello World"), want: std("failed", "$ echhhho Hello World", "bash: echhhho: command not found\n", "= 127")},
		{name: "docker/epilogue_on_pass", job: and(inContainer("ruby:2.6", "echo Hello World"), epilogues), want: beforeEnd(std("passed", "$ echo Hello World", "Hello World\n", "= 0"),
			"$ echo always $SEMAPHORE_JOB_RESULT", "always passed\n", "= 0", "$ echo pass", "pass\n", "= 0")},
		{name: "docker/epilogue_on_fail", job: and(inContainer("ruby:2.6", "false"), epilogues), want: beforeEnd(std("failed", "$ false", "= 1"),
			"$ echo always $SEMAPHORE_JOB_RESULT", "always failed\n", "= 0", "$ echo fail", "fail\n", "= 0")},
		{
			name: "docker/file_injection", job: and(inContainer("ruby:2.6", "cat one.txt", "cat /two.txt", "stat -c %a three.txt"), func(p *agentapi.JobPayload) {
				p.Files = []agentapi.File{{Path: "one.txt", Content: b64("one\n"), Mode: "0644"}, {Path: "/two.txt", Content: b64("two\n"), Mode: "0644"}, {Path: "three.txt", Content: b64("three\n"), Mode: "0600"}}
			}),
			want: replaced(std("passed", "$ cat one.txt", "one\n", "= 0", "$ cat /two.txt", "two\n", "= 0", "$ stat -c %a three.txt", "600\n", "= 0"),
				"$ Injecting Files", "$ Injecting Files", "Injecting one.txt with file mode 0644\nInjecting /two.txt with file mode 0644\nInjecting three.txt with file mode 0600\n"),
		},
		{
			name: "docker/file_injection_broken_file_mode", job: and(inContainer("ruby:2.6", "echo never"), func(p *agentapi.JobPayload) {
				p.Files = []agentapi.File{{Path: "one.txt", Content: b64("one\n"), Mode: "obviously broken"}}
			}),
			want: started("$ Exporting environment variables", "= 0", "$ Injecting Files", "Injecting one.txt with file mode obviously broken\nFailed to set file mode to obviously broken\n", "= 1",
				"$ Exporting environment variables", "Exporting SEMAPHORE_JOB_RESULT\n", "= 0", "job_finished failed"),
		},
		{name: "docker/job_stopping", job: inContainer("ruby:2.6", "sleep infinity", "echo never"), stop: `"sleep infinity"`, want: std("stopped", "$ sleep infinity", stopNote, "= 1")},
		{name: "docker/job_stopping_on_epilogue", job: func(p *agentapi.JobPayload) {
			p.Commands = []agentapi.Command{{Directive: "echo here"}}
			p.EpilogueAlways = []agentapi.Command{{Directive: "sleep 60"}}
		}, stop: `"sleep 60"`, want: []string{
			"job_started", "$ Exporting environment variables", "= 0", "$ Injecting Files", "= 0", "$ echo here", "here\n", "= 0",
			"$ Exporting environment variables", "Exporting SEMAPHORE_JOB_RESULT\n", "= 0", "$ sleep 60", stopNote, "= 1", "job_finished stopped",
		}},
		{name: "docker/no_bash", job: inContainer("alpine", "echo Hello World"), want: []string{
			"job_started", "$ Pulling docker images...", pulled, "= 0", "$ Starting the docker image...",
			`~Starting a new bash session\.\nFailed to start the docker image\n.*has no bash.*\n`, "= 1", "job_finished failed",
		}, check: reason(signalbox.ReasonAgentError)},
		{name: "docker/non_existing_image", job: inContainer(registry+"/private/nobody-has-this", "echo Hello World"), want: []string{
			"job_started", "$ Pulling docker images...", `~Pulling .*\nThe image .* cannot be pulled: .*\n`, "= 1", "job_finished failed",
		}, check: reason(signalbox.ReasonImagePull)},
		{name: "docker/stty_restoration", job: inContainer("ruby:2.6", "stty echo", "echo Hello World"), want: std("passed", "$ stty echo", "= 0", "$ echo Hello World", "Hello World\n", "= 0")},
		{name: "docker/unicode", job: inContainer("ruby:2.6", "echo "+japanese), want: std("passed", "$ echo "+japanese, japanese+"\n", "= 0")},
		{name: "docker/broken_unicode", job: inContainer("ruby:2.6", `printf '\x96\x96\x96\x96\x96'`), want: std("passed", `$ printf '\x96\x96\x96\x96\x96'`, "\x96\x96\x96\x96\x96", "= 0"), check: func(t *testing.T, h *hub) {
			if !strings.Contains(strings.Join(h.log, "\n"), `"output":"`+strings.Repeat("\uFFFD", 5)+`"`) {
				t.Error("five broken bytes are not five replacement characters in the log")
			}
		}},
		{name: "docker/check_dev_kvm", job: inContainer("ruby:2.6", "ls /dev | grep kvm"), want: std("failed", "$ ls /dev | grep kvm", "= 1")},
		{
			name: "docker/docker_registry_private_image", job: and(inContainer(registry+"/private/tool:1", "echo Hello World"), generic(os.Getenv("SIGNALBOX_TEST_REGISTRY_PASSWORD"))),
			want: slices.Insert(std("passed", "$ echo Hello World", "Hello World\n", "= 0"), 1,
				"$ Setting up image pull credentials", `~Setting up credentials for Docker\nLogging in to .*\nLogin Succeeded\n`, "= 0"),
		},
		{name: "docker/docker_registry_private_image_bad_creds", job: and(inContainer(registry+"/private/tool:1", "echo Hello World"), generic("wrong-password")), want: []string{
			"job_started", "$ Setting up image pull credentials", `~Setting up credentials for Docker\nLogging in to .*\nThe registry refuses the credential: .*401.*\n`, "= 1", "job_finished failed",
		}, check: reason(signalbox.ReasonImagePull)},
		{
			name: "self-hosted/docker_compose_host_env_vars", job: inContainer("ruby:2.6", "echo $A", `echo "$B"`, "echo $C", "echo $D"),
			flags: []string{"--env-vars", "A=hello", "--env-vars", "B=a  b", "--env-vars", "C=it's", "--env-vars", "D=$PATH:/etc/a"},
			want:  withVars("passed", "Exporting A\nExporting B\nExporting C\nExporting D\n", replaced(fourVars, "$ echo $B", `$ echo "$B"`)...),
		},
	}
	for _, s := range rows {
		t.Run(s.name, func(t *testing.T) {
			engineForTests(t)
			t.Parallel()
			s.run(t)
		})
	}
}

// withVars is std with exported variables.
func withVars(result, exporting string, lines ...string) []string {
	return replaced(std(result, lines...), "$ Exporting environment variables", "$ Exporting environment variables", exporting)
}

// replaced puts other lines in the place of the first line that equals old.
func replaced(lines []string, old string, by ...string) []string {
	out := slices.Clone(lines)
	if i := slices.Index(out, old); i >= 0 {
		out = slices.Replace(out, i, i+1, by...)
	}
	return out
}

// beforeEnd adds lines in front of job_finished.
func beforeEnd(lines []string, more ...string) []string {
	return slices.Insert(lines, len(lines)-1, more...)
}

// reason checks what the agent told the server about a job that its commands did not fail.
func reason(want signalbox.Reason) func(*testing.T, *hub) {
	return func(t *testing.T, h *hub) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.seen {
			if s.State == agentapi.StateFinishedJob && s.JobReason != "" && s.JobReason != string(want) {
				t.Errorf("reason %q, want %q", s.JobReason, want)
			}
		}
	}
}

// Files of the machine are set by Config here; the flags that set it are tested with the program's other flags.
func TestConformanceHostFiles(t *testing.T) {
	engine := engineForTests(t)
	dir := t.TempDir()
	one, two, none := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "none")
	for path, text := range map[string]string{one: "one\n", two: "two\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []struct {
		name   string
		files  []HostFile
		fail   bool
		result string
		want   []string
	}{
		{
			"self-hosted/docker_compose_host_files",
			[]HostFile{{one, "/tmp/one"}, {two, "/tmp/two"}},
			false, "passed",
			std("passed", "$ cat /tmp/one", "one\n", "= 0", "$ cat /tmp/two", "two\n", "= 0"),
		},
		{
			"self-hosted/docker_compose_missing_host_files",
			[]HostFile{{one, "/tmp/one"}, {none, "/tmp/two"}},
			false, "failed",
			replaced(std("failed", "$ cat /tmp/one", "one\n", "= 0", "$ cat /tmp/two", "cat: can't open '/tmp/two': No such file or directory\n", "= 1"),
				"Starting a new bash session.\n", "Starting a new bash session.\nThe agent is configured to show "+none+" as /tmp/two, but it is not on its machine.\n"),
		},
		{
			"self-hosted/docker_compose_fail_on_missing_host_files",
			[]HostFile{{one, "/tmp/one"}, {none, "/tmp/two"}},
			true, "failed",
			[]string{"job_started", "$ Preparing the job", "The agent is configured to show " + none + " to every job, and to fail the job when it cannot: stat " + none + ": no such file or directory\n", "= 1", "job_finished failed"},
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			h := newHub(t)
			inContainer("ruby:2.6", "cat /tmp/one", "cat /tmp/two")(&h.payload)
			c := h.config()
			c.DockerHost, c.Files, c.FailOnMissingFiles = engine, s.files, s.fail
			if _, err := h.run(c); err != nil {
				t.Error(err)
			}
			for i, line := range h.delivered() {
				if i < len(s.want) && s.want[i] == pulled && strings.HasPrefix(line, "Using ") {
					s.want[i] = line
				}
			}
			h.check(s.result, s.want)
		})
	}
}

// An agent that is killed leaves no container behind: the first ends with it, the others and the network are removed
// by the next agent with the same state folder.
func TestKilledAgentLeavesNoContainer(t *testing.T) {
	engineForTests(t)
	h, state := newHub(t), t.TempDir()
	inContainer("ruby:2.6", "echo ready; sleep infinity")(&h.payload)
	h.payload.JobID = "job-" + rand.Text()
	h.payload.Compose.Containers = append(h.payload.Compose.Containers, agentapi.Container{Name: "db", Image: "postgres"})
	ready := make(chan struct{})
	h.trigger, h.reached = `"ready\n`, func() { close(ready) }
	first := agentCommand(t, h, state)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("the job did not begin")
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	left := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var out []byte
		for _, what := range []string{"ps -aq", "network ls -q"} {
			args := append(strings.Fields(what), "--filter", "label=signalbox.job="+h.payload.JobID)
			cmd := exec.CommandContext(ctx, "docker", args...)
			cmd.Env = append(os.Environ(), "DOCKER_HOST="+os.Getenv("SIGNALBOX_TEST_DOCKER"))
			b, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			out = append(out, b...)
		}
		return string(out)
	}
	if left() == "" {
		t.Error("the killed agent left nothing, so this test tests nothing")
	}
	h.do(func() { h.result = "failed" }) // so that the next agent is sent away
	out, err := agentCommand(t, h, state).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if l := left(); l != "" {
		t.Errorf("left: %s\nthe agent:\n%s", l, out)
	}
}
