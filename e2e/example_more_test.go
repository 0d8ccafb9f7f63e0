package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// TestMergingExampleOnAServer is example 07 with its stated outcome, secrets and all.
func TestMergingExampleOnAServer(t *testing.T) {
	t.Parallel()
	y := newExampleYard(t, 2)
	y.secret("global-secret", "WHERE", "from-global", "GLOBAL", "only-global")
	y.secret("task-secret", "WHERE", "from-task")
	p := y.ended(y.start("dev", "07-prologue-epilogue-merge.yml").ID)
	if got := y.outcome(p); got != "failed/test | One passed | Two failed/test" {
		t.Errorf("got %s: %s", got, p.ErrorDescription)
	}
	var report *signalbox.Job
	y.until("after_pipeline has run", time.Minute, func() bool {
		report = y.jobsOf(p)["report"]
		return report != nil && report.State == signalbox.JobFinished
	})
	order := func(job string, words ...string) {
		t.Helper()
		log, at := y.text(y.jobsOf(p)[job].ID), -1
		for _, w := range words {
			i := strings.LastIndex(log, "\n"+w+"\n")
			if i <= at {
				t.Errorf("%s: %q is not where it belongs in\n%s", job, w, log)
			}
			at = i
		}
	}
	order("ok", "g-prologue", "t-prologue", "ok-cmd", "t-always", "g-always", "t-pass", "g-pass")
	order("ko", "g-prologue", "two-always", "g-always", "g-fail")
	if log := y.text(y.jobsOf(p)["ok"].ID); strings.Contains(log, "g-fail") {
		t.Error("the epilogue of failed jobs ran in a job that passed")
	}
	log := y.text(report.ID)
	if !strings.Contains(log, "SEMAPHORE_PIPELINE_RESULT=failed\n") || !strings.Contains(log, "SEMAPHORE_PIPELINE_RESULT_REASON=test\n") || strings.Contains(log, "prologue") || report.Priority != 45 {
		t.Errorf("report, priority %d:\n%s", report.Priority, log)
	}
}

// TestQueueExampleOnAServer is example 06: who waits for whom, and who ends whom.
func TestQueueExampleOnAServer(t *testing.T) {
	t.Parallel()
	const file = "06-queue-autocancel.yml"
	y := newExampleYard(t, 4)
	runs := func(p *signalbox.Pipeline) {
		t.Helper()
		y.until("its job runs", time.Minute, func() bool { return y.jobsOf(p)["test"] != nil && y.jobsOf(p)["test"].State == signalbox.JobRunning })
	}
	m1 := y.start("master", file)
	runs(m1)
	m2 := y.start("master", file)
	if s := y.now(m2).State; s != signalbox.PipelineQueuing {
		t.Errorf("M2 is %s while M1 runs", s)
	}
	m3 := y.start("master", file)
	if got := y.outcome(y.ended(m2.ID)); got != "canceled/strategy | Test canceled/strategy" {
		t.Errorf("M2: %s", got)
	}
	p1 := y.start("dev", file)
	runs(p1)
	p2 := y.start("dev", file)
	if got := y.outcome(y.ended(p1.ID)); !strings.HasPrefix(got, "stopped/strategy | Test stopped") {
		t.Errorf("P1: %s", got)
	}
	runs(p2)
	y.world.git(y.repo, "push", "-q", "origin", "master:refs/tags/v1")
	tag := y.start("refs/tags/v1", file)
	runs(tag)
	if s := y.now(m1).State; s != signalbox.PipelineRunning || y.now(m3).State != signalbox.PipelineQueuing || y.now(p2).State != signalbox.PipelineRunning {
		t.Errorf("a tag has moved the others: M1 is %s", s)
	}
	for p, want := range map[*signalbox.Pipeline]int{m1: 80, p2: 30, tag: 70} {
		if got := y.jobsOf(p)["test"].Priority; got != want {
			t.Errorf("priority %d, want %d", got, want)
		}
	}
	if got := y.outcome(y.ended(m1.ID)); got != "passed | Test passed" {
		t.Errorf("M1: %s", got)
	}
	runs(m3)
	y.write(func(tx *store.Tx) error { return y.engine.StopPipeline(tx, m3.ID, "user:ann", signalbox.ReasonUser) })
}

// TestChangeInExampleOnAServer is example 08 on a branch, on a tag, and compiled in an initialization job.
func TestChangeInExampleOnAServer(t *testing.T) {
	t.Parallel()
	const file = "08-change-in.yml"
	y := newExampleYard(t, 3)
	w := y.world
	w.git(y.repo, "checkout", "-q", "-b", "main")
	w.git(y.repo, "push", "-q", "origin", "main")
	w.git(y.repo, "checkout", "-q", "-b", "work")
	for name, text := range map[string]string{"services/api/x.go": "1\n", "README.md": "1\n"} {
		y.put(name, text)
	}
	w.git(y.repo, "add", "--all")
	w.git(y.repo, "commit", "-q", "-m", "change")
	w.git(y.repo, "tag", "v1")
	w.git(y.repo, "push", "-q", "origin", "work", "v1")
	const onBranch = "passed | Backend passed | Web passed/skipped | NoDocs passed/skipped | Relative passed | Prefix passed | NotApi passed/skipped | OnTagsOff passed"
	p := y.ended(y.start("work", file).ID)
	if got := y.outcome(p); got != onBranch {
		t.Errorf("got  %s\nwant %s", got, onBranch)
	}
	const onTag = "passed | Backend passed | Web passed | NoDocs passed | Relative passed | Prefix passed | NotApi passed/skipped | OnTagsOff passed/skipped"
	tagged := y.ended(y.start("refs/tags/v1", file).ID)
	if got := y.outcome(tagged); got != onTag {
		t.Errorf("got  %s\nwant %s", got, onTag)
	}
	promoted := func(p *signalbox.Pipeline) (asked []*signalbox.Promotion) {
		y.write(func(tx *store.Tx) (err error) { asked, err = tx.PromotionsOf(p.ID); return err })
		for _, a := range asked { // or their files are compiled on agents too, at the same moment and in the same home
			y.ended(a.CreatedPipelineID)
		}
		return asked
	}
	promoted(tagged)
	if asked := promoted(p); len(asked) != 1 || asked[0].Name != "Api" {
		t.Errorf("promoted %v", asked)
	}
	y.initializeOn("s1-linux")
	if got := y.outcome(y.ended(y.start("work", file).ID)); got != onBranch {
		t.Errorf("compiled on an agent:\ngot  %s\nwant %s", got, onBranch)
	}
}

func (y *exampleYard) initializeOn(kind string) {
	y.Helper()
	y.write(func(tx *store.Tx) error {
		return tx.UpdateOrganization(&signalbox.Organization{Initialization: signalbox.Initialization{MachineType: kind}}, "test", "")
	})
}

// TestTemplateExampleOnAServer is example 10, compiled on the server and in an initialization job.
func TestTemplateExampleOnAServer(t *testing.T) {
	t.Parallel()
	const file = "10-deploy-templates.yml"
	y := newExampleYard(t, 4)
	y.secret("staging-keys", "KEY", "for-staging")
	set := []signalbox.EnvVar{{Name: "ENVIRONMENT", Value: "staging"}, {Name: "REGIONS", Value: "us,eu"}, {Name: "SHARDS", Value: "2"}}
	for _, where := range []string{"server", "agent"} {
		if where == "agent" {
			y.initializeOn("s1-linux")
		}
		p := y.ended(y.start("dev", file, set...).ID)
		if got := y.outcome(p); got != "passed | Roll out staging passed | OnlyProd passed/skipped" || p.Name != "Deploy to staging" || p.Queue.Name != "staging-deploy" {
			t.Errorf("%s: %q in the queue %q: %s %s", where, p.Name, p.Queue.Name, got, p.ErrorDescription)
		}
		var names []string
		for name := range y.jobsOf(p) {
			names = append(names, name)
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n == "Compilation" })
		slices.Sort(names)
		if got := strings.Join(names, ", "); got != "roll - REGION=eu, roll - REGION=us, smoke - 1/4, smoke - 2/4, smoke - 3/4, smoke - 4/4" {
			t.Errorf("%s: %s", where, got)
		}
		if log := y.text(y.jobsOf(p)["roll - REGION=eu"].ID); !strings.Contains(log, "${{parameters.ENVIRONMENT}}") {
			t.Errorf("%s: commands were filled in:\n%s", where, log)
		}
		var job *signalbox.Job
		y.write(func(tx *store.Tx) (err error) { _, job, err = engine.Initialized(tx, p.ID); return err })
		if (job != nil) != (where == "agent") {
			t.Errorf("%s: compiled by the job %v", where, job)
		}
	}
}

// engineForTests is the address of the Docker engine that scripts/setup-test-env started.
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

// TestContainerExampleOnAServer is example 11, with containers of a real engine and a real minute.
func TestContainerExampleOnAServer(t *testing.T) {
	t.Parallel()
	host := engineForTests(t)
	y := newExampleYard(t, 3)
	y.agents("s1-docker", 1, "--docker-host", host)
	y.secret("registry", "DOCKER_CREDENTIAL_TYPE", "GenericDocker", "DOCKER_URL", os.Getenv("SIGNALBOX_TEST_REGISTRY"),
		"DOCKER_USERNAME", os.Getenv("SIGNALBOX_TEST_REGISTRY_USER"), "DOCKER_PASSWORD", os.Getenv("SIGNALBOX_TEST_REGISTRY_PASSWORD"))
	p := y.ended(y.start("dev", "11-limits-containers.yml").ID)
	if got := y.outcome(p); got != "stopped/timeout | Slow stopped/timeout | Docker passed | Dependent canceled/fast_failing" {
		t.Errorf("got %s: %s\n%s", got, p.ErrorDescription, y.text(y.jobsOf(p)["in-container"].ID))
	}
	jobs := y.jobsOf(p)
	if quick := jobs["quick"]; quick.Result != signalbox.JobStopped || quick.Reason != signalbox.ReasonTimeout || jobs["patient"].Result != signalbox.JobPassed || jobs["never"] != nil {
		t.Errorf("quick is %s/%s, patient %s", quick.Result, quick.Reason, jobs["patient"].Result)
	}
	log := y.text(jobs["in-container"].ID)
	if strings.Contains(log, os.Getenv("SIGNALBOX_TEST_REGISTRY_PASSWORD")) {
		t.Error("the password of the registry is in the log")
	}
}
