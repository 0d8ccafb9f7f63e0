package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/server/servertest"
)

// later builds the program as its next release, once: it knows one migration more, and its clock may be wrong.
var later = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(program), "signalbox-next")
	args := []string{"build", "-tags", "nextrelease,wrongclock", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "github.com/signalbox-ci/signalbox/cmd/signalbox")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func nextRelease(t *testing.T) string {
	t.Helper()
	path, err := later()
	if err != nil {
		t.Fatalf("build the next release: %v", err)
	}
	return path
}

// workload is a pipeline whose jobs print numbered lines and note that they ran.
type workload struct {
	*world
	id, pipeline        string
	ran                 string // where jobs note that they ran
	end                 string // the jobs of the last block wait for this file
	blocks, jobs, lines int
	ended               chan struct{}
	d                   description
}

// emptyWorld is one whose server is not started yet.
func emptyWorld(t *testing.T, database string) *world {
	t.Helper()
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "world"), listen: servertest.Address(t), database: database}
	if err := os.MkdirAll(w.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	return w
}

// begin starts a workload on agents of the type s1-kill and returns when a job runs.
func (w *world) begin(blocks, jobs, lines int) *workload {
	w.Helper()
	l := w.hold(blocks, jobs, lines)
	l.release()
	return l
}

// hold begins a workload that does not end before it is released, however fast the machine is.
func (w *world) hold(blocks, jobs, lines int) *workload {
	w.Helper()
	l := &workload{world: w, ran: filepath.Join(w.dir, "ran"), end: filepath.Join(w.dir, "end"), blocks: blocks, jobs: jobs, lines: lines, ended: make(chan struct{})}
	pipeline := strings.ReplaceAll(numbersPipeline(blocks, jobs, lines), "commands:\n", "commands:\n            - 'echo \"$SEMAPHORE_JOB_ID\" >> "+l.ran+"'\n")
	before, last, _ := strings.Cut(pipeline, fmt.Sprintf("name: Block %d\n", blocks))
	pipeline = before + fmt.Sprintf("name: Block %d\n", blocks) + strings.ReplaceAll(last, "; done'\n", fmt.Sprintf("; done; until [ -e %s ]; do %s; done'\n", l.end, aMoment))
	pipeline += "execution_time_limit: {hours: 24}\n"
	bare, _ := w.repository("numbers", pipeline)
	w.run("project", "create", "numbers", "--git", bare)
	l.id = w.startWorkflow("numbers")
	var pipelines []struct {
		ID string `json:"ppl_id"`
	}
	decode(w.T, w.request("/api/v1alpha/pipelines?wf_id="+l.id), &pipelines)
	l.pipeline = pipelines[0].ID
	w.until("a job runs", func() bool { _, err := os.Stat(l.ran); return err == nil })
	go func() {
		defer close(l.ended)
		l.d = w.followThrough(l.id)
	}()
	return l
}

// release lets the workload end.
func (l *workload) release() {
	l.Helper()
	if err := os.WriteFile(l.end, nil, 0o600); err != nil {
		l.Fatal(err)
	}
}

// over tells whether the workload has ended, after at most some time.
func (l *workload) over(wait time.Duration) bool {
	select {
	case <-l.ended:
		return true
	case <-time.After(wait):
		return false
	}
}

// check waits for the end and checks that everything passed, ran once, and has its whole log.
func (l *workload) check() {
	l.Helper()
	select {
	case <-l.ended:
	case <-time.After(4 * time.Minute):
		l.Fatalf("the pipeline has not ended:\n%s\n%s", l.request("/api/v1alpha/pipelines/"+l.pipeline+"?detailed=true"), l.run("agents"))
	}
	if l.d.Pipeline.Result != "passed" {
		l.Errorf("the pipeline has %s (%s)", l.d.Pipeline.Result, l.d.Pipeline.Reason)
	}
	text, err := os.ReadFile(l.ran)
	if err != nil {
		l.Fatal(err)
	}
	runs := strings.Fields(string(text))
	slices.Sort(runs)
	if n := len(slices.Compact(slices.Clone(runs))); n != l.blocks*l.jobs || len(runs) != n {
		l.Errorf("%d jobs ran %d times, there are %d", n, len(runs), l.blocks*l.jobs)
	}
	for _, b := range l.d.Blocks {
		for _, j := range b.Jobs {
			checkNumbers(l.T, j.Name, l.run("job", "logs", j.ID), l.lines)
		}
	}
	l.verified("")
}

// agentsAt starts agents of the type s1-kill that reach the server at an address without TLS.
func (w *world) agentsAt(address string, n int) {
	w.Helper()
	var created struct {
		Token string `json:"registration_token"`
	}
	w.json(&created, "agent-type", "create", "s1-kill")
	for i := range n {
		name := fmt.Sprintf("distant-agent-%d", i+1)
		w.agents = append(w.agents, start(w.T, "agent", "start", "--endpoint", address, "--no-https", "--token", created.Token, "--name", name,
			"--state", filepath.Join(w.dir, name), "--job-workspace", filepath.Join(w.dir, "jobs"), "--log-level", "debug"))
	}
}

// followThrough waits for the end of a workflow, however often the server is away.
func (w *world) followThrough(id string) (d description) {
	for range 1000 {
		cmd := exec.Command(program, "--data", w.data(), "--output", "json", "workflow", "follow", id)
		out, _ := cmd.Output()
		if json.Unmarshal(out, &d) == nil && d.Pipeline.Result != "" {
			return d
		}
		time.Sleep(50 * time.Millisecond)
	}
	return d
}
