package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// examples are the pipelines that spec reads in its own tests.
const examples = "../spec/testdata/examples"

// runLocally runs `signalbox run` in a repository of its own that holds one pipeline file.
func runLocally(t *testing.T, yaml string, args ...string) (out, errs string, code int) {
	t.Helper()
	return runLocallyWith(t, yaml, nil, args...)
}

func runLocallyWith(t *testing.T, yaml string, env []string, args ...string) (out, errs string, code int) {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	dir := filepath.Join(w.dir, "repo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pipeline.yml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	w.git(dir, "init", "-q", "--initial-branch=dev")
	w.git(dir, "add", "--all")
	w.git(dir, "commit", "-q", "-m", "first")
	cmd := exec.Command(program, append([]string{"run", "pipeline.yml"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExamplesRunLocally(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		code   int
		blocks string
		args   []string
	}{
		"01-implicit-sequence.yml": {0, "Nameless block 1 passed: Nameless 1 PASSED, Compile PASSED, Nameless 2 PASSED; Build passed: Nameless 1 PASSED; Nameless block 2 passed: Nameless 1 PASSED", nil},
		"02-matrix-parallelism.yml": {0, "Tests passed: unit - RUBY=3.2, DB=pg PASSED, unit - RUBY=3.2, DB=mysql PASSED, unit - RUBY=3.3, DB=pg PASSED, unit - RUBY=3.3, DB=mysql PASSED, " +
			"split - 1/3 PASSED, split - 2/3 PASSED, split - 3/3 PASSED, solo - 1/1 PASSED", nil},
		"03-dag-failure.yml":             {10, "Lint failed: lint FAILED; Test passed: test PASSED; Package canceled: ; Docs passed: docs PASSED; Publish canceled: ", nil},
		"04-skip-run-conditions.yml":     {0, "OnMaster passed: ; NotMaster passed: j PASSED; Tagged passed: ; AnyPr passed: ; LeftAssoc passed: ; Never passed: ; Final passed: j PASSED", nil},
		"05-fail-fast.yml":               {10, "A failed: bad FAILED, slow STOPPED; B stopped: long STOPPED; C canceled: ", nil},
		"06-queue-autocancel.yml":        {0, "Test passed: test PASSED", nil}, // a local run has no queue to wait in
		"07-prologue-epilogue-merge.yml": {10, "One passed: ok PASSED; Two failed: ko FAILED", nil},
		"09-promotions.yml":              {0, "Build passed: build PASSED", nil},
		"10-deploy-templates.yml": {
			0, "Roll out staging passed: roll - REGION=us PASSED, roll - REGION=eu PASSED, smoke - 1/4 PASSED, smoke - 2/4 PASSED, smoke - 3/4 PASSED, smoke - 4/4 PASSED; OnlyProd passed: ",
			[]string{"--param", "ENVIRONMENT=staging", "--param", "REGIONS=us,eu", "--param", "SHARDS=2"},
		},
		"12-partial-rerun.yml": {10, "Prepare passed: prepare PASSED; Checks failed: a PASSED, b FAILED; Shards failed: shard - 1/2 PASSED, shard - 2/2 FAILED; Gate canceled: ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := runLocally(t, read(t, filepath.Join(examples, name)), append(want.args, "--output", "json", "--parallel", "4")...)
			if code != want.code {
				t.Fatalf("exit code %d, want %d\n%s%s", code, want.code, out, errs)
			}
			var d description
			decode(t, out, &d)
			var blocks []string
			for _, b := range d.Blocks {
				var jobs []string
				for _, j := range b.Jobs {
					jobs = append(jobs, j.Name+" "+j.Result)
				}
				blocks = append(blocks, b.Name+" "+b.Result+": "+strings.Join(jobs, ", "))
			}
			if got := strings.Join(blocks, "; "); got != want.blocks {
				t.Errorf("got  %s\nwant %s", got, want.blocks)
			}
		})
	}
}

// TestChangeInExampleRunsLocally is example 08 in a clone with a branch of its own.
func TestChangeInExampleRunsLocally(t *testing.T) {
	t.Parallel()
	w := &world{T: t, dir: t.TempDir()}
	dir := filepath.Join(w.dir, "repo")
	commit := func(files map[string]string) {
		t.Helper()
		for name, text := range files {
			name = filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		w.git(dir, "add", "--all")
		w.git(dir, "commit", "-q", "-m", "x")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.git(dir, "init", "-q", "--initial-branch=main")
	commit(map[string]string{".semaphore/semaphore.yml": read(t, filepath.Join(examples, "08-change-in.yml")), "web/x.js": "1\n"})
	w.git(dir, "checkout", "-q", "-b", "dev")
	commit(map[string]string{"services/api/x.go": "1\n", "README.md": "1\n"})
	cmd := exec.Command(program, "run", "--output", "json")
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &errs)
	}
	var d description
	decode(t, string(out), &d)
	var ran []string
	for _, b := range d.Blocks {
		if len(b.Jobs) > 0 {
			ran = append(ran, b.Name)
		}
	}
	if got := strings.Join(ran, " "); got != "Backend Relative Prefix OnTagsOff" {
		t.Errorf("ran %s\n%s", got, out)
	}
}

// TestContainerExampleRunsLocally is example 11 on a real engine, with a real minute.
func TestContainerExampleRunsLocally(t *testing.T) {
	t.Parallel()
	host := engineForTests(t)
	out, errs, code := runLocallyWith(t, read(t, filepath.Join(examples, "11-limits-containers.yml")), []string{"DOCKER_HOST=" + host}, "--output", "json", "--parallel", "3")
	if code != 11 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	var d description
	decode(t, out, &d)
	var blocks []string
	for _, b := range d.Blocks {
		blocks = append(blocks, b.Name+" "+b.Result)
	}
	if got := strings.Join(blocks, ", "); got != "Slow stopped, Docker passed, Dependent canceled" {
		t.Errorf("%s\n%s%s", got, out, errs)
	}
}

var position = regexp.MustCompile(`(?m)^pipeline\.yml:\d+:\d+: `)

// TestWrongFilesAreRefusedWithTheirPlace covers the wrong examples.
func TestWrongFilesAreRefusedWithTheirPlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(examples, "invalid", "*.yml"))
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			out, errs, code := runLocally(t, read(t, f))
			if code != 2 || !position.MatchString(errs) {
				t.Errorf("exit code %d\n%s%s", code, out, errs)
			}
		})
	}
}

func TestRunSaysWhichSecretsWereNotThere(t *testing.T) {
	t.Parallel()
	out, errs, code := runLocally(t, "version: v1.0\nagent: {machine: {type: s1-x}}\nblocks:\n  - task: {secrets: [{name: b}, {name: a}], jobs: [{commands: ['true']}, {commands: ['true']}]}\n")
	if code != 0 || !strings.Contains(out, "so the jobs ran without a, b.") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestRunOneBlockOrJob(t *testing.T) {
	t.Parallel()
	yaml := read(t, filepath.Join(examples, "03-dag-failure.yml"))
	if out, errs, code := runLocally(t, yaml, "--block", "Docs"); code != 0 || strings.Contains(out, "Lint") {
		t.Errorf("--block: exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := runLocally(t, yaml, "--job", "lint"); code != 10 {
		t.Errorf("--job: exit code %d\n%s%s", code, out, errs)
	}
	if _, errs, code := runLocally(t, yaml, "--job", "no such"); code != 2 || !strings.Contains(errs, `"lint"`) {
		t.Errorf("unknown job: exit code %d, %s", code, errs)
	}
}

// TestInterruptedRunStopsItsProcesses presses Ctrl-C while a job sleeps.
func TestInterruptedRunStopsItsProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mark := filepath.Join(dir, "pid")
	w := &world{T: t, dir: dir}
	repo := filepath.Join(dir, "repo")
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	yaml := "version: v1.0\nagent: {machine: {type: s1-x}}\nblocks:\n  - task: {jobs: [{commands: ['sleep 300 & echo $! > " + mark + ".tmp; mv " + mark + ".tmp " + mark + "; wait']}]}\n"
	if err := os.WriteFile(filepath.Join(repo, "pipeline.yml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	w.git(repo, "init", "-q")
	cmd := exec.Command(program, "run", "pipeline.yml")
	cmd.Dir = repo
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("the job runs", func() bool { _, err := os.Stat(mark); return err == nil })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 11 {
		t.Errorf("exit code %d\n%s", code, &out)
	}
	pid := strings.TrimSpace(read(t, mark))
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err == nil && !strings.Contains(string(status), "State:\tZ") {
		t.Errorf("process %s of the job is still there:\n%s", pid, status)
	}
}
