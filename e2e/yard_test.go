package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
)

// yard is a server in this process and real agents beside it, with a proxy between the two.
type yard struct {
	testing.TB
	dir     string
	server  *server.Server
	engine  *engine.Engine
	proxy   *proxy
	token   string
	other   string // of an agent type besides the yard's own
	project *signalbox.Project
	n       int
}

const yardType = "s1-yard"

func newYard(t testing.TB) *yard {
	t.Helper()
	y := &yard{TB: t, dir: t.TempDir(), project: &signalbox.Project{Name: "yard", GitURL: "/srv/yard.git", PipelineFile: "p.yml"}}
	s := runServer(t, filepath.Join(y.dir, "data"), "")
	y.server, y.engine = s, engine.New(engine.Options{Store: s.Store()})
	var hash string
	y.token, hash = auth.NewToken(auth.TokenRegistration)
	y.write(func(tx *store.Tx) error {
		at := &signalbox.AgentType{Name: yardType}
		if err := tx.CreateAgentType(at, "test"); err != nil {
			return err
		}
		if err := tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: at.ID, Name: "test"}, hash, "test"); err != nil {
			return err
		}
		return tx.CreateProject(y.project, "test")
	})
	y.proxy = newProxy(t, strings.TrimPrefix(s.URL(), "https://"))
	return y
}

func (y *yard) write(fn func(*store.Tx) error) {
	y.Helper()
	if err := y.server.Store().Write(context.Background(), fn); err != nil {
		y.Fatal(err)
	}
}

// otherToken makes the token of another agent type and returns what is stored of it.
func (y *yard) otherToken() (hash string) {
	y.other, hash = auth.NewToken(auth.TokenRegistration)
	return hash
}

// agentCommand is a real agent that reaches the server through the proxy.
func (y *yard) agentCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, append([]string{
		"agent", "start", "--endpoint", y.proxy.address(), "--ca-file", y.server.CAFile(), "--name", name, "--state", filepath.Join(y.dir, name), "--log-level", "info",
	}, args...)...)
	home := filepath.Join(y.dir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil { // not the one of whoever runs the tests, whose login files may do anything
		y.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "SEMAPHORE_AGENT_TOKEN="+y.token, "HOME="+home)
	return cmd
}

// queue queues a job with the given commands.
func (y *yard) queue(commands ...string) (jobID string) {
	y.Helper()
	y.n++
	list, err := json.Marshal(commands) // JSON is YAML
	if err != nil {
		y.Fatal(err)
	}
	yml := "version: v1.0\nagent: {machine: {type: " + yardType + "}}\nblocks:\n  - task: {jobs: [{commands: " + string(list) + "}]}\n"
	y.write(func(tx *store.Tx) error {
		name := "b" + strconv.Itoa(y.n)
		w, _, err := tx.CreateWorkflow(&signalbox.Workflow{
			ProjectID: y.project.ID, Ref: "refs/heads/" + name, RefType: "branch", BranchName: name, Label: name,
			TriggeredBy: signalbox.TriggeredByAPI, RequestToken: name,
		}, "test")
		if err != nil {
			return err
		}
		p, err := y.engine.Create(tx, w, engine.Source{File: "p.yml", YAML: []byte(yml)}, "test")
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(p.ID)
		if err == nil && len(jobs) == 1 {
			jobID = jobs[0].ID
		}
		return err
	})
	if jobID == "" {
		y.Fatal("the pipeline has no job")
	}
	return jobID
}

func (y *yard) job(id string) (j *signalbox.Job) {
	y.Helper()
	if err := y.server.Store().Read(context.Background(), func(tx *store.Tx) (err error) {
		j, err = tx.Job(id)
		return err
	}); err != nil {
		y.Fatal(err)
	}
	return j
}

// until waits for something that happens in another process.
func (y *yard) until(what string, limit time.Duration, ok func() bool) {
	y.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			y.Fatalf("waited %v until %s", limit, what)
		}
	}
}

// finish waits for the end of a job.
func (y *yard) finish(id string, limit time.Duration) *signalbox.Job {
	y.Helper()
	var j *signalbox.Job
	y.until("the job has ended", limit, func() bool { j = y.job(id); return j.State == signalbox.JobFinished })
	return j
}

// text is the log of a job's newest attempt.
func (y *yard) text(id string) string {
	y.Helper()
	var b strings.Builder
	if err := y.server.Log().Text(context.Background(), y.job(id).AttemptID, &b); err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		y.Fatal(err)
	}
	return b.String()
}

// stateNumber reads a number of kB from /proc/PID/status.
func stateNumber(t testing.TB, pid int, key string) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return n / 1024
		}
	}
	t.Fatalf("no %s", key)
	return 0
}
