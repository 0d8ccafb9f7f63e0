package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

// exampleYard is a yard with the example pipelines in a repository and agents of the type that they name.
type exampleYard struct {
	*yard
	world   *world
	repo    string // a work tree whose origin is the project's repository
	project *signalbox.Project
}

func newExampleYard(t *testing.T, agents int) *exampleYard {
	t.Helper()
	y := &exampleYard{yard: newYard(t), world: &world{T: t, dir: t.TempDir()}}
	w := y.world
	y.repo = filepath.Join(w.dir, "work")
	if err := os.CopyFS(filepath.Join(y.repo, ".semaphore"), os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	writeProduction(t, y.repo)
	w.git(y.repo, "init", "-q", "--initial-branch=master")
	w.git(y.repo, "add", "--all")
	w.git(y.repo, "commit", "-q", "-m", "examples")
	w.git(y.repo, "branch", "dev")
	bare := filepath.Join(w.dir, "examples.git")
	w.git(y.repo, "clone", "-q", "--bare", y.repo, bare)
	w.git(y.repo, "remote", "add", "origin", bare)
	y.project = &signalbox.Project{Name: "examples", GitURL: bare, GitDir: bare, DefaultBranch: "master", PipelineFile: signalbox.DefaultPipelineFile}
	y.write(func(tx *store.Tx) error { return tx.CreateProject(y.project, "test") })
	t.Cleanup(func() {
		if t.Failed() {
			y.explain()
		}
	})
	y.agents("s1-linux", agents)
	return y
}

// explain says where everything stands.
func (y *exampleYard) explain() {
	y.write(func(tx *store.Tx) error {
		jobs, err := tx.Jobs(store.JobFilter{Limit: 50})
		for _, j := range jobs {
			y.Logf("job %s %q: %s %s %s, attempt %d, queued %s, started %s, finished %s", j.ID, j.Name, j.State, j.Result, j.Reason, j.AttemptN,
				j.QueuedAt.Format("15:04:05.000"), j.StartedAt.Format("15:04:05.000"), j.FinishedAt.Format("15:04:05.000"))
		}
		return err
	})
}

// put writes a file of the work tree.
func (y *exampleYard) put(name, text string) {
	y.Helper()
	name = filepath.Join(y.repo, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		y.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		y.Fatal(err)
	}
}

// agents starts agents of another type than the yard's own.
func (y *exampleYard) agents(kind string, n int, args ...string) {
	y.Helper()
	y.write(func(tx *store.Tx) error {
		at := &signalbox.AgentType{Name: kind}
		if err := tx.CreateAgentType(at, "test"); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: at.ID, Name: "test"}, y.otherToken(), "test")
	})
	for i := range n {
		cmd := y.agentCommand(kind+"-agent-"+strconv.Itoa(i), args...)
		cmd.Env = append(cmd.Env, "SEMAPHORE_AGENT_TOKEN="+y.other)
		said := &output{}
		cmd.Stdout, cmd.Stderr = said, said
		y.Cleanup(func() {
			if y.Failed() {
				y.Logf("agent %d of %s:\n%s", i, kind, tail(said.String(), 3000))
			}
		})
		if err := cmd.Start(); err != nil {
			y.Fatal(err)
		}
		y.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	}
}

func (y *exampleYard) start(branch, file string, parameters ...signalbox.EnvVar) *signalbox.Pipeline {
	y.Helper()
	_, p, err := y.server.Trigger().Start(context.Background(), trigger.Request{
		Project: y.project, Ref: branch, PipelineFile: ".semaphore/" + file, TriggeredBy: signalbox.TriggeredByAPI, Actor: "test", Parameters: parameters,
	})
	if err != nil {
		y.Fatal(err)
	}
	return p
}

func (y *exampleYard) secret(name string, vars ...string) {
	y.Helper()
	s := &signalbox.Secret{Name: name}
	for i := 0; i < len(vars); i += 2 {
		s.EnvVars = append(s.EnvVars, signalbox.SecretVar{Name: vars[i], Value: signalbox.NewSecretValue(vars[i+1])})
	}
	if err := y.server.Secrets().Create(context.Background(), s, "test"); err != nil {
		y.Fatal(err)
	}
}

// jobsOf returns the jobs of a pipeline by name.
func (y *exampleYard) jobsOf(p *signalbox.Pipeline) map[string]*signalbox.Job {
	y.Helper()
	out := map[string]*signalbox.Job{}
	y.write(func(tx *store.Tx) error {
		jobs, err := tx.JobsOf(p.ID)
		for _, j := range jobs {
			out[j.Name] = j
		}
		return err
	})
	return out
}

// now returns a pipeline as it is.
func (y *exampleYard) now(p *signalbox.Pipeline) (now *signalbox.Pipeline) {
	y.Helper()
	y.write(func(tx *store.Tx) (err error) { now, err = tx.Pipeline(p.ID); return err })
	return now
}

// TestExamplesRunOnAServer runs the example pipelines from a repository, with real agents, and compares how they end.
// Those that need more than one start have tests of their own below.
func TestExamplesRunOnAServer(t *testing.T) {
	t.Parallel()
	y := newExampleYard(t, 4)
	y.production(t, y.project)
	for _, tt := range []struct{ branch, file, want string }{
		{"dev", "01-implicit-sequence.yml", "passed | Nameless block 1 passed | Build passed | Nameless block 2 passed"},
		{"dev", "02-matrix-parallelism.yml", "passed | Tests passed"},
		{"dev", "03-dag-failure.yml", "failed/test | Lint failed/test | Test passed | Package canceled/fast_failing | Docs passed | Publish canceled/fast_failing"},
		{"master", "04-skip-run-conditions.yml", "passed | OnMaster passed | NotMaster passed/skipped | Tagged passed/skipped | AnyPr passed/skipped | LeftAssoc passed/skipped | Never passed/skipped | Final passed"},
		{"dev", "04-skip-run-conditions.yml", "passed | OnMaster passed/skipped | NotMaster passed | Tagged passed/skipped | AnyPr passed/skipped | LeftAssoc passed/skipped | Never passed/skipped | Final passed"},
		{"dev", "05-fail-fast.yml", "failed/test | A failed/test | B stopped/fast_failing | C canceled/fast_failing"},
		{"master", "09-promotions.yml", "passed | Build passed"},
		{"dev", "12-partial-rerun.yml", "failed/test | Prepare passed | Checks failed/test | Shards failed/test | Gate canceled/fast_failing"},
	} {
		t.Run(tt.branch+" "+tt.file, func(t *testing.T) {
			p := y.ended(y.start(tt.branch, tt.file).ID)
			if got := y.outcome(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			switch tt.file {
			case "09-promotions.yml":
				y.promotedOf(t, p)
				y.deploys(t, p)
			case "12-partial-rerun.yml":
				var again *signalbox.Pipeline
				y.write(func(tx *store.Tx) (err error) {
					again, err = y.engine.Rerun(tx, p.ID, "one", "ann", "user:ann")
					return err
				})
				if got := y.outcome(y.ended(again.ID)); got != "passed | Prepare passed | Checks passed | Shards passed | Gate passed" {
					t.Errorf("repeated: %s", got)
				}
			}
		})
	}
}

// promotedOf compares what example 09 promotes by itself on master.
func (y *exampleYard) promotedOf(t *testing.T, p *signalbox.Pipeline) {
	t.Helper()
	var asked []*signalbox.Promotion
	y.write(func(tx *store.Tx) (err error) { asked, err = tx.PromotionsOf(p.ID); return err })
	ends := map[string]string{}
	for _, a := range asked {
		ends[a.Name] = y.outcome(y.ended(a.CreatedPipelineID))
	}
	if len(ends) != 2 || !strings.HasPrefix(ends["Legacy"], "passed | Nameless block 1 passed") {
		t.Errorf("promoted %v", ends)
	}
	// Staging's file asks for parameters that the promotion does not give, and says which.
	if !strings.HasPrefix(ends["Staging"], "failed/malformed") {
		t.Errorf("Staging: %s", ends["Staging"])
	}
}

func (y *yard) ended(id string) (p *signalbox.Pipeline) {
	y.Helper()
	y.until("the pipeline has ended", 2*time.Minute, func() bool {
		y.write(func(tx *store.Tx) (err error) { p, err = tx.Pipeline(id); return err })
		return p.State == signalbox.PipelineDone
	})
	return p
}

// outcome is the result of a pipeline and of its blocks.
func (y *yard) outcome(p *signalbox.Pipeline) string {
	y.Helper()
	end := func(r signalbox.Result, why signalbox.Reason) string {
		if why == "" {
			return string(r)
		}
		return string(r) + "/" + string(why)
	}
	out := []string{end(p.Result, p.Reason)}
	y.write(func(tx *store.Tx) error {
		blocks, err := tx.Blocks(p.ID)
		out = out[:1]
		for _, b := range blocks {
			out = append(out, b.Name+" "+end(b.Result, b.Reason))
		}
		return err
	})
	return strings.Join(out, " | ")
}
