package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/server/servertest"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

var program string // path of the built binary

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "signalbox-e2e-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "signalbox")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "github.com/signalbox-ci/signalbox/cmd/signalbox")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		os.Exit(1)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", fmt.Sprint(besideEachOther)); err != nil {
			panic(err)
		}
	}
	// The home of whoever runs the tests has login files that may do anything and take long. Go finds there what it has built before.
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOENV"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			panic(err)
		}
		os.Setenv(name, strings.TrimSpace(string(value)))
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		panic(err)
	}
	os.Setenv("HOME", home)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// besideEachOther is how many of the tests that say t.Parallel run at once. They wait for others more than they work. Those that
// measure, or that fill the machine, do not say it and run alone, before.
const besideEachOther = 4

// databases runs a test on an embedded database and on PostgreSQL, alone.
func databases(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "") })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.PostgresURL(t)) })
}

// databasesAtOnce does so beside other tests.
func databasesAtOnce(t *testing.T, test func(t *testing.T, database string)) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		t.Parallel()
		test(t, database)
	})
}

// process is one running copy of the program.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startProgram(t, program, nil, args...)
}

// startProgram starts another build of the program, with more in its environment.
func startProgram(t *testing.T, program string, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.out.String(), "WARNING: DATA RACE") {
			t.Error("the race detector has found something")
		}
		if out := p.out.String(); t.Failed() && strings.Count(out, "\n") > 1 { // most servers only say where they are
			t.Logf("signalbox %s:\n%s", args[0], tail(out, 8000))
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func tail(s string, n int) string {
	if len(s) > n {
		return "...\n" + s[len(s)-n:]
	}
	return s
}

// world is a server with its data folder, which may be killed and started again.
type world struct {
	*testing.T
	dir       string
	listen    string
	database  string
	artifacts string // where they lie when that is not in the data folder
	server    *process
	agents    []*process
}

func newWorld(t *testing.T, database string) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), listen: servertest.Address(t), database: database}
	w.startServer()
	return w
}

func (w *world) data() string { return filepath.Join(w.dir, "data") }

// startServer starts the server and waits until it has said where it is.
func (w *world) startServer() {
	w.Helper()
	info := filepath.Join(w.data(), "server.json")
	_ = os.Remove(info) // of a killed one
	args := []string{"server", "--data", w.data(), "--listen", w.listen, "--log-level", "warn"}
	if w.database != "" {
		args = append(args, "--database", w.database)
	}
	w.server = start(w.T, args...)
	w.until("the server is up", func() bool {
		select {
		case <-w.server.done:
			w.Fatalf("the server ended:\n%s", w.server.out)
		default:
		}
		_, err := os.Stat(info)
		return err == nil
	})
}

// until waits for something outside of this process, which offers no event to wait for.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	deadline, pause := time.Now().Add(2*time.Minute), 10*time.Millisecond
	for !ok() {
		if time.Now().After(deadline) {
			w.Fatalf("waited two minutes until %s", what)
		}
		time.Sleep(pause)
		pause = min(pause+pause/4, 250*time.Millisecond) // some of these start a program
	}
}

// run runs the command line against the server and returns its standard output.
func (w *world) run(args ...string) string {
	w.Helper()
	out, errs, code := w.try(args...)
	if code != 0 {
		w.Fatalf("signalbox %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (w *world) try(args ...string) (out, errs string, code int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--data", w.data()}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		w.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// json runs a command with --output json and decodes what it prints.
func (w *world) json(v any, args ...string) {
	w.Helper()
	out := w.run(append([]string{"--output", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		w.Fatalf("signalbox %s printed %q: %v", strings.Join(args, " "), out, err)
	}
}

// startAgents makes an agent type and starts agents of it.
func (w *world) startAgents(typ string, n int) {
	w.Helper()
	var created struct {
		Token    string `json:"registration_token"`
		Endpoint string `json:"endpoint"`
	}
	w.json(&created, "agent-type", "create", typ)
	for i := range n {
		name := fmt.Sprintf("%s-agent-%d", typ, i+1)
		w.agents = append(w.agents, start(w.T, "agent", "start", "--endpoint", created.Endpoint, "--ca-file", filepath.Join(w.data(), "ca.crt"),
			"--token", created.Token, "--name", name, "--state", filepath.Join(w.dir, name), "--job-workspace", filepath.Join(w.dir, "jobs"), "--log-level", "debug"))
	}
}

// repository makes a bare repository with a first commit and a work tree beside it.
func (w *world) repository(name, yaml string) (bare, work string) {
	w.Helper()
	bare, work = filepath.Join(w.dir, name+".git"), filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Join(work, ".semaphore"), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, ".semaphore", "semaphore.yml"), []byte(yaml), 0o644); err != nil {
		w.Fatal(err)
	}
	w.git(work, "init", "-q", "--bare", "--initial-branch=main", bare)
	w.git(work, "init", "-q", "--initial-branch=main")
	w.git(work, "remote", "add", "origin", bare)
	w.commit(work, "first")
	return bare, work
}

func (w *world) commit(work, message string) {
	w.Helper()
	w.git(work, "add", "--all")
	w.git(work, "commit", "-q", "--allow-empty", "-m", message)
	w.git(work, "push", "-q", "origin", "HEAD")
}

func (w *world) git(dir string, args ...string) {
	w.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=Ann", "-c", "user.email=ann@example.com"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// description is what `workflow start --follow --output json` prints.
type description struct {
	Pipeline struct {
		ID     string `json:"ppl_id"`
		Result string `json:"result"`
		Reason string `json:"result_reason"`
	} `json:"pipeline"`
	Blocks []struct {
		Name   string `json:"name"`
		Result string `json:"result"`
		Jobs   []struct {
			Name   string `json:"name"`
			ID     string `json:"job_id"`
			Result string `json:"result"`
		} `json:"jobs"`
	} `json:"blocks"`
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// attemptInfo is one try of a job, as the API tells it.
type attemptInfo struct{ Agent, State, Result, Reason string }

// attempts is what the API tells of the tries of a job, the first one first.
func (w *world) attempts(job string) []attemptInfo {
	w.Helper()
	var list struct{ Attempts []attemptInfo }
	decode(w.T, w.request("/api/v1alpha/jobs/"+job+"/attempts"), &list)
	return list.Attempts
}

// request returns what the API answers to a GET.
func (w *world) request(path string) string {
	w.Helper()
	var info struct {
		URL    string
		CAFile string `json:"ca_file"`
	}
	decode(w.T, read(w.T, filepath.Join(w.data(), server.InfoFile)), &info)
	client := http.DefaultClient
	if info.CAFile != "" {
		client = trusting(w, info.CAFile, 1)
		defer client.CloseIdleConnections()
	}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, info.URL+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+strings.TrimSpace(read(w.T, filepath.Join(w.data(), server.LocalTokenFile))))
	resp, err := client.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.Fatalf("GET %s: %s %s (%v)", path, resp.Status, text, err)
	}
	return string(text)
}
