//go:build unix

package executor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/signalbox-ci/signalbox"
)

// testEngine is the address of the engine that scripts/setup-test-env started.
func testEngine(t *testing.T) string {
	t.Helper()
	host := os.Getenv("SIGNALBOX_TEST_DOCKER")
	if host == "" {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatal("SIGNALBOX_TEST_DOCKER is not set: scripts/setup-test-env starts a Docker engine when it is root on Linux")
		}
		t.Skip("SIGNALBOX_TEST_DOCKER is not set, so nothing is run in containers")
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return host
}

// blocks records what Start logs.
type blocks struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *blocks) add(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.WriteString(s)
}

func (b *blocks) log(directive string, run func(Emit) (int, error)) int {
	b.add("$ " + directive + "\n")
	code, err := run(func(c []byte) error { b.add(string(c)); return nil })
	b.add(fmt.Sprintf("= %d\n", code))
	if err != nil {
		b.add(err.Error() + "\n")
	}
	return code
}

func (b *blocks) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func dockerOptions(t *testing.T, containers ...Container) DockerOptions {
	if len(containers) == 0 {
		containers = []Container{{Name: "main", Image: "ruby:2.6"}}
	}
	return DockerOptions{
		Host: testEngine(t), Job: strings.ReplaceAll(t.Name(), "/", "-"), Agent: "agent-" + strings.ReplaceAll(t.Name(), "/", "-"),
		Containers: containers, Shell: ShellOptions{Grace: 2 * time.Second},
	}
}

// startDocker starts an executor and checks at the end that nothing is left of it.
func startDocker(t *testing.T, o DockerOptions) *Docker {
	t.Helper()
	e, err := NewDocker(o)
	if err != nil {
		t.Fatal(err)
	}
	var b blocks
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, o)
	})
	if err := e.Start(t.Context(), b.log); err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	return e.(*Docker)
}

// left counts the containers and networks that carry the label of an agent.
func left(t *testing.T, o DockerOptions) int {
	t.Helper()
	c, err := openEngine(os.Getenv("SIGNALBOX_TEST_DOCKER"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	filter := client.Filters{}.Add("label", labelAgent+"="+o.Agent)
	containers, err := c.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		t.Fatal(err)
	}
	networks, err := c.NetworkList(context.Background(), client.NetworkListOptions{Filters: filter})
	if err != nil {
		t.Fatal(err)
	}
	return len(containers.Items) + len(networks.Items)
}

func nothingLeft(t *testing.T, o DockerOptions) {
	t.Helper()
	if n := left(t, o); n != 0 {
		t.Errorf("%d containers and networks are left", n)
	}
}

func dockerRun(t *testing.T, e Executor, text string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	code, err := e.Run(ctx, text, func(b []byte) error { out.Write(b); return nil })
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out.String(), code
}

func TestDockerCommands(t *testing.T) {
	e := startDocker(t, dockerOptions(t))
	for _, c := range []struct {
		text, out string
		code      int
	}{
		{"echo hello", "hello\n", 0},
		{"X=1; f() { echo \"f $X\"; }; cd /tmp", "", 0},
		{"f; pwd", "f 1\n/tmp\n", 0},
		{"false", "", 1},
		{"(exit 300)", "", 44},
		{"return 7", "", 7},
		{"test -t 0 && test -t 1 && echo terminal", "terminal\n", 0},
		{"cat; read -r x; echo \"$? <$x>\"", "1 <>\n", 0},
		{"read -rs x; read -rs x; echo $?", "1\n", 0},
		{"sh >/dev/null 2>&1", "", 0}, // a nested shell ends
		{`printf 'a\r\nb\rc\n\x01\x7f\377'`, "a\r\nb\rc\n\x01\x7f\377", 0},
		{"stty echo opost onlcr; echo changed >/dev/null", "", 0},
		{"echo back; cat", "back\n", 0},
		{"echo 'one\n!two'\"\n'three'\" $'\\t'!", "one\n!two\n'three' \t!\n", 0},
		{"cat <<X\nhere $X\nX", "here 1\n", 0},
		{"set -u; echo $nothing_there", "", 1},
		{"set +u; seq 1 20000 | md5sum", "19fb33d06e3a5bc9bf8c2d17e9d9e5bd  -\n", 0},
		{"exec 5>/dev/null; exec >/tmp/lost; echo into the file", "", 0},
		{"echo \"$(cat /tmp/lost)\" >&2; exec >&2", "into the file\n", 0},
		{"echhhho x", "bash: echhhho: command not found\n", 127},
		{"kill -TERM $BASHPID; sh -c 'kill -TERM $$'", "Terminated\n", 143},
		{"trap 'echo bye' EXIT; exit 3", "bye\n", 3},
		{"echo new $X; pwd", "new\n/root\n", 0},
		{"set -e; false", "", 1},
		{"kill -KILL $$", "", 137},
		{"echo again", "again\n", 0},
	} {
		out, code := dockerRun(t, e, c.text)
		if strings.Contains(c.text, "md5sum") && code == 0 { // only that it is one line: exactness is tested below
			out = c.out
		}
		if strings.Contains(c.text, "nothing_there") {
			out = ""
		}
		if out != c.out || code != c.code {
			t.Errorf("%q: %q %d, want %q %d", c.text, out, code, c.out, c.code)
		}
	}
	out, code := dockerRun(t, e, "seq 1 30000")
	var want strings.Builder
	for i := 1; i <= 30000; i++ {
		fmt.Fprintln(&want, i)
	}
	if out != want.String() || code != 0 {
		t.Errorf("seq: %d bytes, %d, want %d", len(out), code, want.Len())
	}
}

func TestDockerExportsReachLaterShells(t *testing.T) {
	o := dockerOptions(t)
	e := startDocker(t, o)
	vars := []signalbox.EnvVar{{Name: "A", Value: "x'y\n$z \\ !"}, {Name: "B", Value: ""}}
	for i := range 10000 {
		vars = append(vars, signalbox.EnvVar{Name: fmt.Sprintf("V%d", i), Value: "value"})
	}
	if code, err := e.Export(t.Context(), vars, nil); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	want := "x'y\n$z \\ !\nvalue\n"
	for _, text := range []string{
		"echo \"$A\"; echo $V9999", "exit 4",
		"echo \"$A\"; echo $V9999", "env -i HOME=$HOME PATH=$PATH bash --login -c 'echo \"$A\"; echo $V9999'",
	} {
		if out, _ := dockerRun(t, e, text); text != "exit 4" && out != want {
			t.Errorf("%q: %q", text, out)
		}
	}
	var said strings.Builder
	code, err := e.Export(t.Context(), []signalbox.EnvVar{{Name: "a-b"}}, func(b []byte) error { said.Write(b); return nil })
	if code != 1 || err != nil || !strings.Contains(said.String(), "a-b") {
		t.Error(code, err, said.String())
	}
}

func TestDockerInject(t *testing.T) {
	e := startDocker(t, dockerOptions(t, Container{Name: "main", Image: "ruby:2.6", User: "ci"}))
	content := []byte("a\x00b\r\n\xff")
	for _, c := range []struct {
		path, mode string
		want       string // pattern of the lines
		code       int
	}{
		{"a/b/c.txt", "0640", `Injecting a/b/c\.txt with file mode 0640\n`, 0},
		{"~/d.txt", "0600", `Injecting ~/d\.txt with file mode 0600\n`, 0},
		{"/tmp/sp ace'\"$x.txt", "0755", `Injecting /tmp/sp ace'"\$x\.txt with file mode 0755\n`, 0},
		{"-rf", "0600", `Injecting -rf with file mode 0600\n`, 0},
		{"/tmp/x/../y", "4755", `Injecting /tmp/x/\.\./y with file mode 4755\n`, 0},
		{"line\nend", "0600", `Injecting "line\\nend" with file mode 0600\n`, 0},
		{"f", "obviously broken", `Injecting f with file mode obviously broken\nFailed to set file mode to obviously broken\n`, 1},
		{"f", "", `.*\nFailed to set file mode to \n`, 1},
		{"f", "77777", `.*\nFailed to set file mode to 77777\n`, 1},
		{"", "0600", `.*\nFailed to create destination path : it is empty\n`, 1},
		{"x\x00y", "0600", `.*\nFailed to create destination path .*NUL byte\n`, 1},
		{"folder/", "0600", `.*\nFailed to create destination path folder/: it names a folder\n`, 1},
		{"/tmp", "0600", `.*\nFailed to create destination path /tmp: it is a folder\n`, 1},
		{"/etc/mine", "0600", `.*\nFailed to move to destination path /etc/mine: .*denied\n`, 1},
		{"/proc/mine/x", "0600", `(?s).*\nFailed to create destination path /proc/mine/x: .*\n`, 1},
		{"d.txt/below", "0600", `(?s).*\nFailed to create destination path d\.txt/below: .*\n`, 1},
	} {
		var said strings.Builder
		code, err := e.Inject(File{Path: c.path, Mode: c.mode, Content: content}, func(b []byte) error { said.Write(b); return nil })
		if err != nil || code != c.code || !regexp.MustCompile(`\A`+c.want+`\z`).MatchString(said.String()) {
			t.Errorf("%q %q: %d %v %q", c.path, c.mode, code, err, &said)
		}
	}
	out, _ := dockerRun(t, e, `stat -c '%a %U' a/b/c.txt d.txt "/tmp/sp ace'\"\$x.txt" ./-rf /tmp/y $'line\nend'; cat d.txt; [ ! -e f ] && echo none`)
	if want := "640 ci\n600 ci\n755 ci\n600 ci\n4755 ci\n600 ci\na\x00b\r\n\xffnone\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestDockerContainers(t *testing.T) {
	o := dockerOptions(
		t, Container{Name: "main", Image: "entrypoint:1", User: "1000:1000", Env: []string{"FOO=b a\nr"}},
		Container{Name: "db", Image: "postgres"}, Container{Name: "own name!", Image: "redis", Command: `httpd -f -p '81' -h "/www"`},
		Container{Name: "ep", Image: "ruby:2.6", Entrypoint: "/bin/sh -c", Command: `'echo $WHO >/www/who; exec httpd -f -p 82 -h /www'`, Env: []string{"WHO=me"}},
	)
	file := filepath.Join(t.TempDir(), "host.txt")
	if err := os.WriteFile(file, []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Files = []Bind{{file, "/opt/host.txt"}, {"/does/not/exist", "/opt/none"}}
	e := startDocker(t, o)
	for text, want := range map[string]string{
		`echo "$FOO"; id -u; pwd; cat /tmp/prepared; cat /opt/host.txt`:                                   "b a\nr\n1000\n/home/ci\nready\nfrom the host\n",
		"wget -qO- http://db:5432/":                                                                       "hello from a service\n",
		"for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://ep:82/who && break; sleep 0.2; done 2>/dev/null": "me\n",
		"ls /opt": "host.txt\n",
	} {
		if out, code := dockerRun(t, e, text); out != want || code != 0 {
			t.Errorf("%q: %q %d, want %q", text, out, code, want)
		}
	}
	// Another job with the same names at the same time.
	o2 := dockerOptions(t, o.Containers[:2]...)
	o2.Job, o2.Agent = "other job", "other agent"
	e2 := startDocker(t, o2)
	if out, code := dockerRun(t, e2, "wget -qO- http://db:5432/; wget -qO- http://ep:82/ 2>&1"); code == 0 || !strings.HasPrefix(out, "hello from a service\n") {
		t.Errorf("another job: %q %d", out, code)
	}
}

func TestDockerDoesNotStart(t *testing.T) {
	registry := os.Getenv("SIGNALBOX_TEST_REGISTRY")
	for _, c := range []struct {
		name   string
		change func(*DockerOptions)
		reason signalbox.Reason
		logged bool
		want   string // pattern of the log
	}{
		{"no bash", func(o *DockerOptions) { o.Containers[0].Image = "alpine" }, signalbox.ReasonAgentError, true, `Starting a new bash session\.\nFailed to start the docker image\n.*\n.*has no bash.*\n= 1\n$`},
		{"entrypoint that runs nothing", func(o *DockerOptions) { o.Containers[0].Image = "stubborn:1" }, signalbox.ReasonAgentError, true, `entrypoint must run[^\n]*\nWhat it printed:\nI only talk about bash`},
		{"entrypoint that hangs", func(o *DockerOptions) {
			o.Containers[0].Entrypoint, o.StartTimeout = "sleep 100000 --", 3*time.Second
			o.Containers[0].Entrypoint = "sh -c 'sleep 10000'"
		}, signalbox.ReasonAgentError, true, `did not run bash within 3s`},
		{"image nobody has", func(o *DockerOptions) { o.Containers[0].Image = registry + "/private/none:1" }, signalbox.ReasonImagePull, true, `Pulling [^\n]*/private/none:1\nThe image [^\n]* cannot be pulled[^\n]*\nCheck[^\n]*\n= 1\n$`},
		{"image name", func(o *DockerOptions) { o.Containers[0].Image = "Not A Name" }, signalbox.ReasonImagePull, true, `The image name "Not A Name" cannot be right`},
		{"no user", func(o *DockerOptions) { o.Containers[0].User = "nobody-here" }, signalbox.ReasonAgentError, true, `Failed to start the docker image\n.*nobody-here`},
		{"service command", func(o *DockerOptions) {
			o.Containers = append(o.Containers, Container{Name: "db", Image: "postgres", Command: "not-there"})
		}, signalbox.ReasonAgentError, true, `The container "db" \(postgres\) does not start`},
		{"host command", func(o *DockerOptions) { o.HostCommands = []string{"true", "echo why; exit 3"} }, signalbox.ReasonAgentError, false, `\A\z`},
		{"missing file", func(o *DockerOptions) {
			o.Files, o.FailOnMissingFiles = []Bind{{"/does/not/exist", "/x"}}, true
		}, signalbox.ReasonAgentError, false, `\A\z`},
		{"no engine", func(o *DockerOptions) { o.Host = "unix:///does/not/exist" }, signalbox.ReasonAgentError, false, `\A\z`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := dockerOptions(t)
			c.change(&o)
			e, err := NewDocker(o)
			if err != nil {
				t.Fatal(err)
			}
			var b blocks
			err = e.Start(t.Context(), b.log)
			var f *Failure
			if !errors.As(err, &f) || f.Reason != c.reason || f.Logged != c.logged {
				t.Errorf("%#v", err)
			}
			if !regexp.MustCompile(`(?s)` + c.want).MatchString(b.String()) {
				t.Errorf("log:\n%s", &b)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			nothingLeft(t, o)
		})
	}
}

func TestDockerRefusesBadOptions(t *testing.T) {
	for want, o := range map[string]DockerOptions{
		"names none":           {Agent: "a"},
		"has no image":         {Agent: "a", Containers: []Container{{Name: "x"}}},
		"are called":           {Agent: "a", Containers: []Container{{Name: "x", Image: "a"}, {Name: "x", Image: "b"}}},
		"cannot be split":      {Agent: "a", Containers: []Container{{Image: "a", Command: "'open"}}},
		"cannot be set":        {Agent: "a", Containers: []Container{{Image: "a", Env: []string{"a b=c"}}}},
		"label of their agent": {Containers: []Container{{Image: "a"}}},
	} {
		if _, err := NewDocker(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestDockerRegistry(t *testing.T) {
	registry, user, password := os.Getenv("SIGNALBOX_TEST_REGISTRY"), os.Getenv("SIGNALBOX_TEST_REGISTRY_USER"), os.Getenv("SIGNALBOX_TEST_REGISTRY_PASSWORD")
	aws := t.TempDir()
	script := `#!/bin/sh
case "$*" in
--version) echo "aws-cli/$VERSION.5 Python" ;;
"sts get-caller-identity"*) echo 123456789012 ;;
"ecr get-login-password --region eu-west-1") echo secret-of-amazon ;;
"ecr get-login --no-include-email --region eu-west-1"*) [ "$AWS_SECRET_ACCESS_KEY" = good-key ] || { echo "UnrecognizedClientException: $AWS_SECRET_ACCESS_KEY" >&2; exit 255; }
	echo "docker login -u ` + user + ` -p ` + password + ` https://` + registry + `" ;;
*) echo "what is $*" >&2; exit 252 ;;
esac
`
	if err := os.WriteFile(filepath.Join(aws, "aws"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", aws+":"+os.Getenv("PATH"))
	ecr := func(change ...string) Credential {
		env := map[string]string{"DOCKER_CREDENTIAL_TYPE": "AWS_ECR", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "good-key", "VERSION": "1.2"}
		for i := 0; i < len(change); i += 2 {
			env[change[i]] = change[i+1]
		}
		return Credential{Env: env}
	}
	generic := func(password string) Credential {
		return Credential{Env: map[string]string{"DOCKER_CREDENTIAL_TYPE": "GenericDocker", "DOCKER_URL": "http://" + registry + "/v2/", "DOCKER_USERNAME": user, "DOCKER_PASSWORD": password}}
	}
	gcr := func(key string) Credential {
		return Credential{Env: map[string]string{"DOCKER_CREDENTIAL_TYPE": "GCR", "GCR_HOSTNAME": registry}, Files: []File{{Path: "/tmp/gcr/keyfile.json", Content: []byte(key)}}}
	}
	in := "Logging in to " + registry + " as "
	for _, c := range []struct {
		name string
		list []Credential
		ok   bool
		want string
	}{
		{"generic", []Credential{generic(password)}, true, "Setting up credentials for Docker\n" + in + user + "\nLogin Succeeded\n= 0\n"},
		{"generic refused", []Credential{generic("wrong-password"), generic(password)}, false, "Setting up credentials for Docker\n" + in + user + "\nThe registry refuses the credential: .*\n= 1\n"},
		{"gcr", []Credential{gcr(password)}, true, "Setting up credentials for GCR\n" + in + "_json_key\nLogin Succeeded\n= 0\n"},
		{"gcr refused", []Credential{gcr("no key")}, false, "Setting up credentials for GCR\n" + in + "_json_key\nThe registry refuses the credential: .*\n= 1\n"},
		{"gcr without key", []Credential{{Env: gcr("").Env}}, false, "Setting up credentials for GCR\nThe image pull secret has no file /tmp/gcr/keyfile.json.*\n= 1\n"},
		{"ecr v1", []Credential{ecr()}, true, "Setting up credentials for ECR\naws ecr get-login --no-include-email --region eu-west-1\n" + in + user + "\nLogin Succeeded\n= 0\n"},
		{"ecr v1 with account", []Credential{ecr("AWS_ACCOUNT_ID", "42")}, true, "Setting up credentials for ECR\naws ecr get-login --no-include-email --region eu-west-1 --registry-ids 42\n" + in + user + "\nLogin Succeeded\n= 0\n"},
		{"ecr refused", []Credential{ecr("AWS_SECRET_ACCESS_KEY", "bad-key")}, false, `Setting up credentials for ECR\naws ecr get-login .*\nUnrecognizedClientException: \[hidden\]\naws ended with an error: exit status 255\n= 1\n`},
		{"ecr v2", []Credential{ecr("VERSION", "2.15")}, false, "Setting up credentials for ECR\naws sts get-caller-identity .*\naws ecr get-login-password --region eu-west-1\nLogging in to 123456789012.dkr.ecr.eu-west-1.amazonaws.com as AWS\n"},
		{"ecr v2 with account", []Credential{ecr("VERSION", "2.15", "AWS_ACCOUNT_ID", "42")}, false, "Setting up credentials for ECR\naws ecr get-login-password --region eu-west-1\nLogging in to 42.dkr.ecr.eu-west-1.amazonaws.com as AWS\n"},
		{"docker hub", []Credential{{Env: map[string]string{"DOCKER_CREDENTIAL_TYPE": "DockerHub", "DOCKERHUB_USERNAME": "u", "DOCKERHUB_PASSWORD": "very-secret"}}}, false, "Setting up credentials for DockerHub\nLogging in to docker.io as u\nThe registry refuses"},
		{"unknown type", []Credential{{Env: map[string]string{"DOCKER_CREDENTIAL_TYPE": "Other"}}}, false, `Failed to resolve docker login strategy: .*"Other"`},
		{"variable missing", []Credential{{Env: map[string]string{"DOCKER_CREDENTIAL_TYPE": "DockerHub"}}}, false, `Setting up credentials for DockerHub\nThe image pull secret has no variable DOCKERHUB_USERNAME`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := dockerOptions(t, Container{Name: "main", Image: registry + "/private/image:1"})
			o.Credentials = c.list
			e, err := NewDocker(o)
			if err != nil {
				t.Fatal(err)
			}
			defer nothingLeft(t, o)
			defer e.Close()
			defer removeImage(t, o.Containers[0].Image)
			removeImage(t, o.Containers[0].Image)
			var b blocks
			err = e.Start(t.Context(), b.log)
			var f *Failure
			if (err == nil) != c.ok || err != nil && (!errors.As(err, &f) || f.Reason != signalbox.ReasonImagePull || !f.Logged) {
				t.Errorf("%#v", err)
			}
			if !regexp.MustCompile(`\A\$ Setting up image pull credentials\n` + c.want).MatchString(b.String()) {
				t.Errorf("log:\n%s", &b)
			}
			if c.ok {
				if !regexp.MustCompile(`Pulling [^\n]*\nDigest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image`).MatchString(b.String()) {
					t.Errorf("log of the pull:\n%s", &b)
				}
			} else if strings.Contains(b.String(), directivePull) {
				t.Errorf("the pull was tried:\n%s", &b)
			}
			for _, secret := range []string{password, "wrong-password", "good-key", "bad-key", "secret-of-amazon", "very-secret"} {
				if strings.Contains(b.String(), secret) {
					t.Errorf("%q is in the log:\n%s", secret, &b)
				}
			}
		})
	}
}

func removeImage(t *testing.T, name string) {
	c, err := openEngine(os.Getenv("SIGNALBOX_TEST_DOCKER"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true})
}

func TestDockerStopEndsACommand(t *testing.T) {
	o := dockerOptions(t, Container{Name: "main", Image: "ruby:2.6"}, Container{Name: "db", Image: "postgres"})
	e := startDocker(t, o)
	var out strings.Builder
	_, err := e.Run(t.Context(), `trap 'echo left' EXIT; sh -c 'trap "" TERM; sleep 1000' & sh -c 'trap "echo asked; exit" TERM; echo ready; while :; do sleep 0.05; done'; echo never`,
		func(b []byte) error {
			if strings.Contains(string(b), "ready") {
				e.Stop()
				e.Stop()
			}
			out.Write(b)
			return nil
		})
	if !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if got := out.String(); !regexp.MustCompile(`(?s)ready\n.*asked\n.*left\n`).MatchString(got) || strings.Contains(got, "never") {
		t.Errorf("%q", got)
	}
	if _, err := e.Run(t.Context(), "echo more", nil); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

// slowEngine is in front of the engine and never answers requests whose path matches.
func slowEngine(t *testing.T, pattern string) (host string, reached <-chan struct{}) {
	t.Helper()
	socket := strings.TrimPrefix(testEngine(t), "unix://")
	dir, err := os.MkdirTemp("", "sb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil { // the engine keeps a connection to a container that was never started
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}}
	slow, came, over := regexp.MustCompile(pattern), make(chan struct{}, 100), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow.MatchString(r.Method + " " + r.URL.Path) {
			came <- struct{}{}
			<-over
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { close(over); server.Close(); proxy.Transport.(*http.Transport).CloseIdleConnections() })
	return "unix://" + listener.Addr().String(), came
}

func TestDockerStopWhileStarting(t *testing.T) {
	for name, pattern := range map[string]string{
		"pull": `POST .*/images/create`, "network": `POST .*/networks/create`, "create": `POST .*/containers/create`,
		"start": `POST .*/containers/[^/]*/start`, "attach": `POST .*/containers/[^/]*/attach`, "exec": `POST .*/exec/[^/]*/start`, "ping": `_ping`,
	} {
		t.Run(name, func(t *testing.T) {
			o := dockerOptions(t)
			if name == "pull" {
				o.Containers[0].Image = os.Getenv("SIGNALBOX_TEST_REGISTRY") + "/private/other:1"
			}
			host, reached := slowEngine(t, pattern)
			o.Host = host
			e, err := NewDocker(o)
			if err != nil {
				t.Fatal(err)
			}
			go func() { <-reached; e.Stop() }()
			var b blocks
			begin := time.Now()
			if err := e.Start(t.Context(), b.log); err == nil {
				t.Errorf("it started:\n%s", &b)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if d := time.Since(begin); d > 25*time.Second {
				t.Errorf("it took %v", d)
			}
			nothingLeft(t, o)
		})
	}
}

func TestDockerStopsBeforeStart(t *testing.T) {
	o := dockerOptions(t)
	e, err := NewDocker(o)
	if err != nil {
		t.Fatal(err)
	}
	e.Stop()
	if err := e.Start(t.Context(), nil); err == nil {
		t.Error("it started")
	}
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Error(err)
	}
	nothingLeft(t, o)
}

func TestCleanDocker(t *testing.T) {
	mine := dockerOptions(t, Container{Name: "main", Image: "ruby:2.6"}, Container{Name: "db", Image: "postgres"})
	other := mine
	other.Job, other.Agent = "other", "other-agent"
	startDocker(t, mine)
	alive := startDocker(t, other)
	if n := left(t, mine); n != 3 {
		t.Fatalf("%d containers and networks, want 3", n)
	}
	if err := CleanDocker(t.Context(), mine.Host, mine.Agent); err != nil {
		t.Error(err)
	}
	nothingLeft(t, mine)
	if out, code := dockerRun(t, alive, "wget -qO- http://db:5432/"); code != 0 || out != "hello from a service\n" {
		t.Errorf("the other agent's job: %q %d", out, code)
	}
	if err := CleanDocker(t.Context(), mine.Host, ""); err == nil {
		t.Error("without a label everything would match")
	}
}
