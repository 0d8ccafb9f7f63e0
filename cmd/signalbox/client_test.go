package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/setup"
)

// station is a server that runs in the test, and the command line on its data folder.
type station struct {
	*testing.T
	dir  string
	repo string
}

func newStation(t *testing.T) *station {
	noEnvironment(t)
	s := &station{T: t, dir: t.TempDir(), repo: filepath.Join(t.TempDir(), "demo.git")}
	up := make(announced)
	srv, err := server.New(context.Background(), server.Options{
		Dir: s.dir, Listen: "127.0.0.1:0", Out: up, Admin: &setup.Request{Name: "admin", Email: "admin@example.com", Password: rand.Text()},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	s.repository()
	select {
	case <-up:
		return s
	case err := <-ended:
		t.Fatal(err)
		return nil
	}
}

// announced is closed by the first thing that a server tells people, which is where it answers.
type announced chan struct{}

func (a announced) Write(b []byte) (int, error) {
	select {
	case <-a:
	default:
		close(a)
	}
	return len(b), nil
}

func (s *station) repository() {
	s.Helper()
	work := s.TempDir()
	git := func(args ...string) {
		cmd := exec.Command("git", args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann",
			"GIT_COMMITTER_EMAIL=ann@example.com", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			s.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	git("init", "-q", "-b", "main")
	for name, text := range map[string]string{
		"semaphore.yml": "version: v1.0\nname: Demo\nagent: {machine: {type: s1-none}}\nblocks:\n  - name: Test\n    task: {jobs: [{name: Unit, commands: [make]}]}\n",
		"broken.yml":    "version: v1.0\nblocks: 7\n",
	} {
		if err := os.MkdirAll(filepath.Join(work, ".semaphore"), 0o755); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, ".semaphore", name), []byte(text), 0o644); err != nil {
			s.Fatal(err)
		}
	}
	git("add", "-A")
	git("commit", "-q", "-m", "First")
	git("clone", "-q", "--bare", work, s.repo)
}

func (s *station) run(args ...string) (code int, out, errOut string) {
	s.Helper()
	var o, e bytes.Buffer
	code = run(append([]string{"--data", s.dir}, args...), &o, &e)
	return code, o.String(), e.String()
}

// ok runs a command that must succeed, as JSON, and decodes what it printed.
func (s *station) ok(v any, args ...string) {
	s.Helper()
	code, out, errOut := s.run(append(args, "--output=json")...)
	if code != 0 {
		s.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, errOut)
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		s.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// expect runs a command and checks its exit code and that what it printed matches.
func (s *station) expect(code int, pattern string, args ...string) {
	s.Helper()
	got, out, errOut := s.run(args...)
	if got != code || !regexp.MustCompile("(?s)"+pattern).MatchString(out+errOut) {
		s.Errorf("signalbox %s: exit code %d, want %d, and a match of %q\n%s%s", strings.Join(args, " "), got, code, pattern, out, errOut)
	}
}

func TestCommandsAgainstAServer(t *testing.T) {
	s := newStation(t)
	s.expect(0, "Project demo created. Push to ", "project", "create", "demo", "--git", s.repo)
	s.expect(1, "already taken", "project", "create", "demo", "--git", s.repo)
	s.expect(0, `NAME +REPOSITORY +PIPELINE\ndemo +.*demo.git +.semaphore/semaphore.yml`, "project", "list")
	s.expect(2, "there is no project nope", "project", "delete", "nope")

	s.expect(0, `shown only now:\n\n  [0-9a-f]{80}\n.*SEMAPHORE_AGENT_TOKEN=[0-9a-f]{80} ./signalbox agent start --endpoint 127.0.0.1:\d+ --ca-file signalbox-ca.crt\n`, "agent-type", "create", "s1-none")
	s.expect(1, "s1-", "agent-type", "create", "linux")
	var made struct {
		Token string `json:"registration_token"`
	}
	s.ok(&made, "agent-type", "reset-token", "s1-none")
	if len(made.Token) != 80 {
		t.Errorf("registration token %q", made.Token)
	}
	s.expect(0, `s1-none +0`, "agent-type", "list")
	s.expect(0, `NAME +TYPE +STATE`, "agents")

	var started struct {
		Workflow string `json:"workflow_id"`
		Pipeline string `json:"pipeline_id"`
	}
	s.ok(&started, "workflow", "start", "demo")
	s.expect(0, started.Workflow+` +main #1`, "workflow", "list", "demo")
	s.expect(2, "nope", "workflow", "start", "demo", "--branch", "nope")
	s.expect(10, `broken.yml:2:\d+: .*Pipeline "Pipeline" failed \(malformed\)`, "workflow", "start", "demo", "--file", ".semaphore/broken.yml", "--follow")

	type code struct {
		code int
		out  string
	}
	followed := make(chan code)
	go func() {
		c, out, errOut := s.run("workflow", "follow", started.Workflow)
		followed <- code{c, out + errOut}
	}()
	s.expect(0, "(?i)terminat", "workflow", "stop", started.Workflow)
	if f := <-followed; f.code != 11 || !strings.Contains(f.out, "Unit") || !strings.Contains(f.out, `Pipeline "Demo" stopped`) {
		t.Errorf("follow ended with %d:\n%s", f.code, f.out)
	}

	s.expect(2, "there is no job", "job", "show", "01a20b3d-ab21-7000-be7d-46139615277f")
	s.expect(2, "there is no job", "job", "logs", "01a20b3d-ab21-7000-be7d-46139615277f")
	s.expect(2, "there is no job", "job", "stop", "01a20b3d-ab21-7000-be7d-46139615277f")

	var token apiToken
	s.ok(&token, "token", "create", "ci", "--expires-in", "1h")
	s.expect(0, `ci +\d{4}-.* +\d{4}-`, "token", "list")
	s.expect(0, "demo", "--api-token", token.Token, "project", "list")
	s.expect(0, "revoked", "token", "revoke", token.ID)
	s.expect(3, "Unauthorized", "--api-token", token.Token, "project", "list")
	s.expect(2, "no API token ci", "token", "revoke", "ci")

	s.expect(0, "deleted", "agent-type", "delete", "s1-none")
	s.expect(0, "deleted", "project", "delete", "demo")
}

func TestCommandsWithoutAServer(t *testing.T) {
	noEnvironment(t)
	s := &station{T: t, dir: t.TempDir()}
	s.expect(1, "no server runs on the data folder", "project", "list")
	s.expect(1, "must look like https://", "--server", "ci.example.com", "--api-token", "x", "project", "list")
	s.expect(1, "an API token is needed", "--server", "https://ci.example.com", "project", "list")
	s.expect(1, "", "no-such-command")
	s.expect(1, "--git", "project", "create", "demo")
	s.expect(0, "signalbox dev", "version")
	s.expect(0, "Usage: signalbox", "--help")
	gone := httptest.NewServer(nil)
	gone.Close()
	s.expect(1, "the server does not answer", "--server", gone.URL, "--api-token", "x", "project", "list")

	good, bad := filepath.Join(s.dir, "good.yml"), filepath.Join(s.dir, "bad.yml")
	for name, text := range map[string]string{
		good: "version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks: [{task: {jobs: [{commands: [make]}]}}]\n",
		bad:  "version: v1.0\nagent: {machine: {type: s1-linux}}\nbloks: []\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.expect(0, "good.yml: .* can run: 1 blocks, 1 jobs", "pipeline", "validate", good)
	s.expect(2, `bad.yml:3:1: `, "pipeline", "validate", good, bad)
	s.expect(2, `"valid": false,.*"line": 3`, "--output=json", "pipeline", "validate", bad)
	s.expect(2, "no such file", "pipeline", "validate", filepath.Join(s.dir, "none.yml"))
}

// The token of the administrator beside the data folder must not go to a server that was named.
func TestLocalTokenStaysHere(t *testing.T) {
	noEnvironment(t)
	s := &station{T: t, dir: t.TempDir()}
	for name, text := range map[string]string{server.InfoFile: `{"url":"https://127.0.0.1:1"}`, server.LocalTokenFile: "secret\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.expect(1, "an API token is needed", "--server", "https://elsewhere.example.com", "project", "list")
}

func TestLogsCannotDriveTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\r\n":                    "plain\ttext\r\n",
		"\x1b[1;31mred\x1b[0m":               "\x1b[1;31mred\x1b[0m",
		"\x1b[38;5;196mx\x1b[m":              "\x1b[38;5;196mx\x1b[m",
		"a\x1b[2Jb\x1b[10;10Hc":              "abc",
		"a\x1b]0;title\x07b":                 "ab",
		"a\x1b]52;c;aGVsbG8=\x1b\\b":         "ab",
		"a\x1bPq#0\x1b\\b":                   "ab",
		"a\x07\x08\x7f\x00b":                 "ab",
		"a\u009b2Jb\u009d0;title\u009cc":     "a2Jb0;titlec",
		"caf\u00e9 \u00a9 \u20ac \U0001f6a6": "caf\u00e9 \u00a9 \u20ac \U0001f6a6",
		"\xc2ok":                             "\xc2ok",
		"\x1bcreset":                         "reset",
	} {
		for size := 1; size <= len(in); size++ {
			var b bytes.Buffer
			w := terminalSafe(&b)
			for rest := in; rest != ""; {
				n := min(size, len(rest))
				if _, err := w.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if b.String() != want {
				t.Errorf("%q in pieces of %d became %q, want %q", in, size, b.String(), want)
			}
		}
	}
}
