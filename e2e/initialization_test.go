package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

const compiledOnAnAgent = `version: v1.0
name: "Deploy to ${{parameters.TARGET}}"
agent: {machine: {type: s1-yard}}
blocks:
  - name: Lib
    dependencies: []
    run: {when: "change_in('/lib')"}
    task: {jobs: [{name: lib, commands_file: lib.sh}]}
  - name: Web
    dependencies: []
    run: {when: "change_in('/web')"}
    task: {jobs: [{name: web, commands: ["true"]}]}
`

// TestInitializationOnAnAgent compiles pipeline files in a job of a real agent, with nothing but the tools of our own
// program.
func TestInitializationOnAnAgent(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	w := &world{T: t, dir: t.TempDir()}
	repo := filepath.Join(w.dir, "work")
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(repo, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(".semaphore/semaphore.yml", compiledOnAnAgent)
	put(".semaphore/lib.sh", "echo from the file\n")
	put(".semaphore/plain.yml", "version: v1.0\nagent: {machine: {type: s1-yard}}\nblocks: [{task: {jobs: [{commands: [\"true\"]}]}}]\n")
	put(".semaphore/wrong.yml", strings.Replace(compiledOnAnAgent, "change_in('/lib')", "change_in('/lib', {default_branch: 'nowhere'})", 1))
	put(".semaphore/malformed.yml", strings.Replace(compiledOnAnAgent, "version: v1.0", "version: v2.0", 1))
	w.git(repo, "init", "-q", "--initial-branch=main")
	w.git(repo, "add", "--all")
	w.git(repo, "commit", "-q", "-m", "pipelines")
	w.git(repo, "checkout", "-q", "-b", "dev")
	put("lib/a.rb", "1\n")
	w.git(repo, "add", "--all")
	w.git(repo, "commit", "-q", "-m", "lib")
	bare := filepath.Join(w.dir, "init.git")
	w.git(repo, "clone", "-q", "--bare", repo, bare)
	project := &signalbox.Project{Name: "init", GitURL: bare, GitDir: bare, DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile}
	setup := func(i signalbox.Initialization) {
		t.Helper()
		y.write(func(tx *store.Tx) error {
			return tx.UpdateOrganization(&signalbox.Organization{Initialization: i}, "test", "")
		})
	}
	y.write(func(tx *store.Tx) error { return tx.CreateProject(project, "test") })
	setup(signalbox.Initialization{MachineType: yardType})
	cmd := y.agentCommand("init-agent")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	start := func(file string) *signalbox.Pipeline {
		t.Helper()
		_, p, err := y.server.Trigger().Start(context.Background(), trigger.Request{
			Project: project, Ref: "dev", PipelineFile: ".semaphore/" + file, TriggeredBy: signalbox.TriggeredByAPI, Actor: "test",
			Parameters: []signalbox.EnvVar{{Name: "TARGET", Value: "staging"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	initJob := func(p *signalbox.Pipeline) (j *signalbox.Job) {
		t.Helper()
		y.write(func(tx *store.Tx) (err error) { _, j, err = engine.Initialized(tx, p.ID); return err })
		return j
	}

	t.Run("compiles", func(t *testing.T) {
		p := start("semaphore.yml")
		if p.State != signalbox.PipelineInitializing {
			t.Errorf("it is %s before the job has run", p.State)
		}
		p = y.ended(p.ID)
		if got := y.outcome(p); got != "passed | Lib passed | Web passed/skipped" {
			t.Errorf("%s\n%s\n%s", got, p.ErrorDescription, y.text(initJob(p).ID))
		}
		if p.Name != "Deploy to staging" || strings.Contains(p.YAML, "change_in") || strings.Contains(p.YAML, "commands_file") {
			t.Errorf("pipeline %q runs\n%s", p.Name, p.YAML)
		}
		j := initJob(p)
		log := y.text(j.ID)
		for _, part := range []string{"name: \"Deploy to ${{parameters.TARGET}}\"", "spc compile --input", "Pushed 1 file."} {
			if !strings.Contains(log, part) {
				t.Errorf("the job's log lacks %q:\n%s", part, log)
			}
		}
		if j.Name != "Compilation" || j.Priority != 95 || j.TimeLimit != 10*time.Minute {
			t.Errorf("the job is %q, priority %d, %v", j.Name, j.Priority, j.TimeLimit)
		}
	})
	t.Run("needs no job", func(t *testing.T) {
		p := y.ended(start("plain.yml").ID)
		if j := initJob(p); j != nil || p.Result != signalbox.ResultPassed {
			t.Errorf("%s with the job %v", y.outcome(p), j)
		}
	})
	t.Run("what is wrong with the file", func(t *testing.T) {
		p := y.ended(start("wrong.yml").ID)
		if got := y.outcome(p); got != "failed/malformed" || !strings.Contains(p.ErrorDescription, ".semaphore/wrong.yml: blocks.0.run.when: ") || !strings.Contains(p.ErrorDescription, "nowhere") {
			t.Errorf("%s: %s\n%s", got, p.ErrorDescription, y.text(initJob(p).ID))
		}
		p = y.ended(start("malformed.yml").ID)
		if j := initJob(p); j != nil || p.Reason != signalbox.ReasonMalformed || !strings.Contains(p.ErrorDescription, "malformed.yml:1:") {
			t.Errorf("%s: %s with the job %v", y.outcome(p), p.ErrorDescription, j)
		}
	})
	t.Run("checks", func(t *testing.T) {
		setup(signalbox.Initialization{MachineType: yardType, Commands: []string{`test "$SEMAPHORE_GIT_BRANCH" = main`}})
		p := y.ended(start("plain.yml").ID)
		if got := y.outcome(p); got != "failed/stuck" || !strings.Contains(p.ErrorDescription, "its log says why") {
			t.Errorf("%s: %s", got, p.ErrorDescription)
		}
		setup(signalbox.Initialization{MachineType: yardType, Commands: []string{`test "$SEMAPHORE_GIT_BRANCH" = dev`}})
		if p = y.ended(start("plain.yml").ID); p.Result != signalbox.ResultPassed {
			t.Errorf("%s: %s\n%s", y.outcome(p), p.ErrorDescription, y.text(initJob(p).ID))
		}
		setup(signalbox.Initialization{Commands: []string{"true"}})
		if p = y.ended(start("plain.yml").ID); p.Reason != signalbox.ReasonMalformed || !strings.Contains(p.ErrorDescription, "initialization set --agent") {
			t.Errorf("%s: %s", y.outcome(p), p.ErrorDescription)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		setup(signalbox.Initialization{MachineType: yardType, Commands: []string{"sleep 600"}})
		p := start("plain.yml")
		y.until("the job runs", time.Minute, func() bool { return initJob(p).State == signalbox.JobRunning })
		j := initJob(p)
		y.write(func(tx *store.Tx) error { return y.engine.StopJob(tx, j.ID, "user:ann", signalbox.ReasonUser) })
		if got := y.outcome(y.ended(p.ID)); got != "stopped/user" {
			t.Errorf("its job was stopped: %s", got)
		}
		p = start("plain.yml")
		y.until("the job runs", time.Minute, func() bool { return initJob(p).State == signalbox.JobRunning })
		y.write(func(tx *store.Tx) error { return y.engine.StopPipeline(tx, p.ID, "user:ann", signalbox.ReasonUser) })
		if got := y.outcome(y.ended(p.ID)); got != "canceled/user" {
			t.Errorf("it was stopped: %s", got)
		}
		if j = initJob(p); j.State != signalbox.JobFinished || j.Result != signalbox.JobStopped {
			t.Errorf("the job goes on: %s", j.State)
		}
	})
	t.Run("no agent type", func(t *testing.T) {
		setup(signalbox.Initialization{MachineType: "s1-nowhere", Commands: []string{"true"}})
		p := y.ended(start("plain.yml").ID)
		if got := y.outcome(p); got != "failed/start_failed" || !strings.Contains(p.ErrorDescription, "s1-nowhere") {
			t.Errorf("%s: %s", got, p.ErrorDescription)
		}
	})
}
