//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the real program, made once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "signalbox-test-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	path := filepath.Join(dir, "signalbox")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

var builtDir string

func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "signalbox-home")
	if err != nil {
		panic(err)
	}
	// The home of whoever runs the tests has login files that may do anything and take long; what the compiler keeps there
	// is still wanted.
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOENV"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			panic(err)
		}
		os.Setenv(name, strings.TrimSpace(string(value)))
	}
	os.Setenv("HOME", home)
	code := m.Run()
	os.RemoveAll(home)
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// process is a running program of ours.
type process struct {
	*testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
	new chan struct{} // something was written
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Write(b)
	select {
	case p.new <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{T: t, cmd: exec.Command(path, args...), done: make(chan struct{}), new: make(chan struct{}, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(p.done); _ = p.cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(args, " "), p.text())
		}
	})
	return p
}

// says waits until the program has written a text.
func (p *process) says(text string) {
	p.Helper()
	limit := time.After(30 * time.Second)
	for !strings.Contains(p.text(), text) {
		select {
		case <-p.new:
		case <-p.done:
			if !strings.Contains(p.text(), text) {
				p.Fatalf("it ended without saying %q", text)
			}
		case <-limit:
			p.Fatalf("it has not said %q", text)
		}
	}
}

// ends waits for the end and returns the exit code.
func (p *process) ends() int {
	p.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		p.Fatal("it has not ended")
		return -1
	}
}

func (p *process) signal(s os.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.Fatal(err)
	}
}

// agentType makes an agent type and returns the options with which an agent of it starts.
func (s *station) agentType(name string) (options []string, token string) {
	s.Helper()
	var made struct {
		Token    string `json:"registration_token"`
		Endpoint string `json:"endpoint"`
	}
	s.ok(&made, "agent-type", "create", name)
	return []string{"agent", "start", "--endpoint", made.Endpoint, "--ca-file", filepath.Join(s.dir, "ca.crt")}, made.Token
}

func TestTheTokenIsNotInTheProcessList(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the test reads /proc, which this system lacks")
	}
	s := newStation(t)
	options, token := s.agentType("s1-hidden")
	for _, given := range [][]string{{"--token", token}, {"--token=" + token}} {
		p := start(t, []string{"SEMAPHORE_AGENT_LOG_LEVEL=trace", "SEMAPHORE_AGENT_JOB_ID="}, append(append(options, "--state", t.TempDir()), given...)...)
		p.says("registered")
		line, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(line, []byte("agent\x00start")) {
			t.Errorf("the command line is %q", line)
		}
		if bytes.Contains(line, []byte(token)) || bytes.Contains(line, []byte("--token")) {
			t.Errorf("the command line shows the token: %q", line)
		}
		if strings.Contains(p.text(), token) {
			t.Error("the log shows the token")
		}
		p.signal(syscall.SIGTERM)
		if code := p.ends(); code != 0 {
			t.Errorf("exit code %d after SIGTERM", code)
		}
	}
}

func TestWrongAgentOptions(t *testing.T) {
	noEnvironment(t)
	dir := t.TempDir()
	full := []string{"--endpoint=127.0.0.1:1", "--token=secret-token", "--state=" + dir}
	for _, c := range []struct {
		env, args []string
		want      string
	}{
		{nil, nil, "no endpoint was given: name the server with --endpoint"},
		{[]string{"SEMAPHORE_AGENT_ENDPOINT="}, nil, "no endpoint was given"},
		{nil, full[:1], "no token was given"},
		{nil, append(full, "--no-such"), "unknown flag --no-such"},
		{nil, append(full, "--name=short"), `The name "short" has 5 characters; it needs 8 to 80.`},
		{nil, append(full, "--name-from-env=NOT_SET"), "the variable NOT_SET, which is not set"},
		{nil, append(full, "--job-id=x"), "A job id was given, but not that the agent leaves after one job"},
		{nil, append(full, "--job-id=x", "--once", "--spawn=2"), "--job-id is for one agent"},
		{nil, append(full, "--spawn=0"), "--spawn is 0; it must be 1 to 256"},
		{nil, append(full, "--disconnect-after-idle-timeout=-1"), "--disconnect-after-idle-timeout"},
		{nil, append(full, "--env-vars=A=1,B"), `env-vars: "B" must look like NAME=VALUE`},
		{nil, append(full, "--env-vars==1"), `env-vars: "=1" must look like NAME=VALUE`},
		{[]string{"SEMAPHORE_AGENT_ENV_VARS=A=1 B"}, full, `env-vars: "B" must look like NAME=VALUE`},
		{nil, append(full, "--files=/a"), `files: "/a" must look like HOST:CONTAINER`},
		{nil, append(full, "--files=/a:/b:/c"), "more than one colon"},
		{nil, append(full, "--files=/a:b"), `files: "/a:b" must look like HOST:CONTAINER`},
		{nil, append(full, "--upload-job-logs=often"), "--upload-job-logs must be one of"},
		{nil, append(full, "--kubernetes-executor"), "--kubernetes-executor (kubernetes-executor in the configuration file) is not built yet"},
		{nil, append(full, "--spool-quota=much"), "--spool-quota"},
		{nil, append(full, "--log-file="+dir+"/x/"), "log file cannot be opened"},
		{[]string{"SEMAPHORE_AGENT_LOG_LEVEL=loud"}, full, `SEMAPHORE_AGENT_LOG_LEVEL is "loud"; it must be trace`},
		{[]string{"SEMAPHORE_AGENT_NO_HTTPS=perhaps"}, full, "SEMAPHORE_AGENT_NO_HTTPS"},
		{[]string{"SEMAPHORE_AGENT_INTERRUPTION_GRACE_PERIOD=soon"}, full, "SEMAPHORE_AGENT_INTERRUPTION_GRACE_PERIOD"},
	} {
		p := start(t, c.env, append([]string{"agent", "start"}, c.args...)...)
		if code := p.ends(); code != 1 {
			t.Errorf("%q %q: exit code %d, want 1", c.env, c.args, code)
		}
		if !strings.Contains(p.text(), c.want) {
			t.Errorf("%q %q: it said\n%swant %q", c.env, c.args, p.text(), c.want)
		}
		if strings.Contains(p.text(), "secret-token") {
			t.Errorf("%q: the token is in the error", c.args)
		}
	}
}
