package e2e

import (
	"strings"
	"testing"
)

const pushPipeline = `version: v1.0
name: Push
agent: {machine: {type: s1-push}}
blocks:
  - name: Build
    dependencies: []
    task:
      prologue: {commands: [checkout]}
      epilogue:
        always: {commands: ['echo "result $SEMAPHORE_JOB_RESULT"']}
      jobs:
        - name: one
          commands: ["cat .semaphore/semaphore.yml | head -n 2", "git log -1 --format=%s | cat"]
        - name: two
          commands: ["printf '\\001\\000half \\303'", 'echo "in $PWD"']
  - name: After
    dependencies: [Build]
    task:
      jobs:
        - name: three
          commands: ["exit 3"]
          `

// TestPushRunsOnAnAgent is the main job: push, workflow, jobs, logs, result; also when the server was away.
func TestPushRunsOnAnAgent(t *testing.T) { databasesAtOnce(t, pushRuns) }

func pushRuns(t *testing.T, database string) {
	w := newWorld(t, database)
	w.startAgents("s1-push", 2)
	bare, work := w.repository("demo", pushPipeline)
	w.run("project", "create", "demo", "--git", bare)
	w.commit(work, "pushed while the server ran")

	w.server.kill()
	w.commit(work, "pushed while the server was away")
	w.startServer()

	var flows []struct {
		ID        string `json:"wf_id"`
		Pipeline  string `json:"initial_ppl_id"`
		Triggered string `json:"triggered_by"`
	}
	w.until("both pushes have a workflow", func() bool {
		w.json(&flows, "workflow", "list", "demo")
		return len(flows) == 2
	})
	for _, f := range flows {
		if f.Triggered != "hook" {
			t.Errorf("workflow %s was triggered by %q", f.ID, f.Triggered)
		}
	}
	var d description
	out, errs, code := w.try("--output", "json", "workflow", "follow", flows[0].ID)
	decode(t, out, &d)
	if code != 10 || d.Pipeline.Result != "failed" {
		t.Fatalf("exit code %d, %+v\n%s", code, d.Pipeline, errs)
	}
	if got := w.run("job", "logs", d.Blocks[0].Jobs[0].ID); !strings.Contains(got, "pushed while the server was away\n") ||
		!strings.Contains(got, "version: v1.0\n") || !strings.Contains(got, "result passed\n") {
		t.Errorf("log of job one:\n%s", got)
	}
	if got := w.run("job", "logs", "--follow", d.Blocks[1].Jobs[0].ID); !strings.Contains(got, "exit code 3") {
		t.Errorf("log of job three:\n%s", got)
	}
}

// TestAgentWithAWrongTokenSaysWhy ends with exit code 1 at once.
func TestAgentWithAWrongTokenSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	out, errs, code := w.try("agent", "start", "--endpoint", w.listen, "--ca-file", w.data()+"/ca.crt", "--token", "no-such-token", "--state", t.TempDir())
	if code != 1 || !strings.Contains(errs, "registration token is unknown, revoked or expired") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// TestDemo is what the README promises.
func TestDemo(t *testing.T) {
	t.Parallel()
	w := &world{T: t, dir: t.TempDir()}
	out, errs, code := w.try("demo", "--once")
	if code != 0 || !strings.Contains(out, `Pipeline "Word frequencies" passed`) || strings.Count(out, " passed in ") != 5 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
