package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

// TestExamplesRunOnAServer runs the example pipelines from a repository, with real agents, and compares how they end.
// What needs more than one push (06), another commit (08) or containers (11) has tests of its own in engine, trigger and
// dispatch.
func TestExamplesRunOnAServer(t *testing.T) {
	y := newYard(t)
	w := &world{T: t, dir: t.TempDir()}
	repo := filepath.Join(w.dir, "work")
	if err := os.CopyFS(filepath.Join(repo, ".semaphore"), os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	w.git(repo, "init", "-q", "--initial-branch=master")
	w.git(repo, "add", "--all")
	w.git(repo, "commit", "-q", "-m", "examples")
	w.git(repo, "branch", "dev")
	bare := filepath.Join(w.dir, "examples.git")
	w.git(repo, "clone", "-q", "--bare", repo, bare)
	project := &signalbox.Project{Name: "examples", GitURL: bare, GitDir: bare, DefaultBranch: "master", PipelineFile: signalbox.DefaultPipelineFile}
	y.write(func(tx *store.Tx) error {
		if err := tx.CreateProject(project, "test"); err != nil {
			return err
		}
		// The files name s1-linux; the yard's agents are of a type of their own.
		at := &signalbox.AgentType{Name: "s1-linux"}
		if err := tx.CreateAgentType(at, "test"); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: at.ID, Name: "test"}, y.otherToken(), "test")
	})
	for _, name := range []string{"example-agent-1", "example-agent-2", "example-agent-3", "example-agent-4"} {
		cmd := y.agentCommand(name)
		cmd.Env = append(cmd.Env, "SEMAPHORE_AGENT_TOKEN="+y.other)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	}
	tr, err := trigger.New(trigger.Options{Store: y.server.Store(), Engine: y.engine, MirrorDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	start := func(branch, file string) *signalbox.Pipeline {
		t.Helper()
		_, p, err := tr.Start(context.Background(), trigger.Request{Project: project, Ref: branch, PipelineFile: ".semaphore/" + file, TriggeredBy: signalbox.TriggeredByAPI, Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
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
			p := y.ended(start(tt.branch, tt.file).ID)
			if got := y.outcome(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			switch tt.file {
			case "09-promotions.yml":
				y.promotedOf(t, p)
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
func (y *yard) promotedOf(t *testing.T, p *signalbox.Pipeline) {
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
