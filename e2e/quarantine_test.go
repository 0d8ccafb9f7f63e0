//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestABrokenAgentIsSetAside: of three agents one breaks every job, and since it is free again at once it takes more of them than the
// others do. It is set aside, its jobs pass elsewhere, and once it is repaired and released it gets jobs again.
func TestABrokenAgentIsSetAside(t *testing.T) {
	databasesAtOnce(t, brokenAgent)
}

// The agents that work have a job each until they are told to go on.
const asidePipeline = `version: v1.0
agent: {machine: {type: s1-aside}}
blocks:
  - task:
      jobs:
        - name: wait
          parallelism: 5
          retry: {on: [agent_error], limit: 3}
          commands: ['until [ -e %s ]; do sleep 0.1; done']
`

// Each of its jobs waits until all of them run.
const togetherPipeline = `version: v1.0
agent: {machine: {type: s1-aside}}
blocks:
  - task:
      jobs:
        - name: meet
          parallelism: 3
          commands: ['touch %[1]s/$SEMAPHORE_JOB_ID', 'until [ $(ls %[1]s | wc -l) = 3 ]; do sleep 0.1; done']
`

func brokenAgent(t *testing.T, database string) {
	w := newWorld(t, database)
	var typ struct {
		Token    string `json:"registration_token"`
		Endpoint string `json:"endpoint"`
	}
	w.json(&typ, "agent-type", "create", "s1-aside", "--quarantine", "2/4")
	hook := func(agent, script string) (path string) {
		path = filepath.Join(w.dir, agent+"-hook")
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const broken = "broken-agent"
	for _, name := range []string{"sound-agent-1", "sound-agent-2", broken} {
		script := "true\n"
		if name == broken {
			script = "echo no compiler here; exit 1\n"
		}
		start(t, "agent", "start", "--endpoint", typ.Endpoint, "--ca-file", filepath.Join(w.data(), "ca.crt"), "--token", typ.Token, "--name", name,
			"--state", filepath.Join(w.dir, name), "--job-workspace", filepath.Join(w.dir, "jobs"), "--pre-job-hook-path", hook(name, script), "--fail-on-pre-job-hook-error")
	}
	w.until("all agents are there", func() bool { return len(w.agentsNow()) == 3 })

	goOn, met := filepath.Join(w.dir, "go-on"), filepath.Join(w.dir, "met")
	if err := os.Mkdir(met, 0o755); err != nil {
		t.Fatal(err)
	}
	bare, _ := w.repository("aside", fmt.Sprintf(asidePipeline, goOn))
	w.run("project", "create", "aside", "--git", bare)
	bare, _ = w.repository("together", fmt.Sprintf(togetherPipeline, met))
	w.run("project", "create", "together", "--git", bare)
	id := w.startWorkflow("aside")
	w.until("the broken agent is set aside", func() bool { return w.agentsNow()[broken].Metadata.QuarantinedAt != 0 })
	q := w.agentsNow()[broken].Metadata.Quarantine
	if q.By != "engine" || q.Why != "2 of its last 2 jobs failed because of the agent" || len(q.Evidence) != 2 {
		t.Fatalf("set aside with %+v", q)
	}
	for _, e := range q.Evidence {
		if e.Reason != "agent_error" {
			t.Errorf("the evidence is that job %s ended with %q", e.JobID, e.Reason)
		}
	}
	// Its last job is in line, and it is the only agent without one.
	w.until("the others have a job each", func() bool {
		return w.agentsNow()["sound-agent-1"].Status.JobID != "" && w.agentsNow()["sound-agent-2"].Status.JobID != ""
	})
	var why struct {
		State  string
		Agents struct{ Free, Busy, Quarantined int }
	}
	w.json(&why, "job", "explain", q.Evidence[0].JobID)
	if why.State != "queued" || why.Agents.Free != 0 || why.Agents.Busy != 2 || why.Agents.Quarantined != 1 {
		t.Errorf("its job: %+v", why)
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := w.follow(id)
	if d.Pipeline.Result != "passed" {
		t.Errorf("the pipeline has %s (%s)", d.Pipeline.Result, d.Pipeline.Reason)
	}
	had := 0
	for _, j := range d.Blocks[0].Jobs {
		for _, a := range w.attempts(j.ID) {
			if a.Agent == broken {
				had++
			} else if a.Result != "passed" {
				t.Errorf("job %s on %s: %s (%s)", j.ID, a.Agent, a.Result, a.Reason)
			}
		}
	}
	if had != 2 {
		t.Errorf("the broken agent had %d jobs, and was set aside after 2", had)
	}

	hook(broken, "true\n")
	w.run("agent", "release", broken)
	if a := w.agentsNow()[broken]; a.Metadata.QuarantinedAt != 0 || a.Metadata.Quarantine != nil {
		t.Fatalf("after its release: %+v", a.Metadata)
	}
	d = w.follow(w.startWorkflow("together"))
	if d.Pipeline.Result != "passed" {
		t.Errorf("the pipeline that needs all agents has %s (%s)", d.Pipeline.Result, d.Pipeline.Reason)
	}
	w.verified("")
}

type agentNow struct {
	Metadata struct {
		Name          string
		QuarantinedAt int64 `json:"quarantined_at"`
		Quarantine    *struct {
			By, Why  string
			Evidence []struct {
				JobID  string `json:"job_id"`
				Reason string
			}
		}
	}
	Status struct {
		JobID string `json:"job_id"`
	}
}

// agentsNow is what the command line lists, by name.
func (w *world) agentsNow() map[string]agentNow {
	w.Helper()
	var list []agentNow
	w.json(&list, "agent", "list")
	all := map[string]agentNow{}
	for _, a := range list {
		all[a.Metadata.Name] = a
	}
	return all
}
