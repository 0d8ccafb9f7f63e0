package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const oneJob = `version: v1.0
name: One
agent: {machine: {type: s1-linux}}
blocks: [{name: A, task: {jobs: [{name: a, commands: ["true"]}]}}]
`

// watched is a world with a rule and some agents.
func watched(t *testing.T, names ...string) (*world, []*signalbox.Agent) {
	w := newWorld(t)
	w.write(func(tx *store.Tx) error {
		typ, err := tx.AgentType("s1-linux")
		if err != nil {
			return err
		}
		typ.Quarantine = signalbox.QuarantineRule{Failures: 2, Of: 3}
		return tx.UpdateAgentType(typ, "test", "")
	})
	var out []*signalbox.Agent
	for _, n := range names {
		out = append(out, w.agent(n, false))
	}
	return w, out
}

// failThenPass runs a pipeline that fails on one agent and passes on another when it is repeated.
func (w *world) failThenPass(bad, good *signalbox.Agent) {
	w.Helper()
	p := w.start(oneJob)
	w.run(bad, signalbox.JobFailed)
	w.rerun(p.ID, "again")
	w.run(good, signalbox.JobPassed)
}

func (w *world) eventsOf(noun, id string) (out []string) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		all, err := tx.Events(noun, id)
		out = nil
		for _, e := range all {
			out = append(out, e.Reason)
		}
		return err
	})
	return out
}

func TestAnAgentThatFailsWhatOthersPassIsSetAside(t *testing.T) {
	w, agents := watched(t, "bad-agent", "good-agent")
	bad, good := agents[0], agents[1]
	w.failThenPass(bad, good)
	if g := w.agentRow(bad.ID); g.Quarantine != nil {
		t.Fatalf("after one failure: %+v", g.Quarantine)
	}
	w.failThenPass(bad, good)
	g := w.agentRow(bad.ID)
	if g.QuarantinedAt.IsZero() || g.Quarantine == nil || g.Quarantine.By != Actor || len(g.Quarantine.Evidence) != 2 {
		t.Fatalf("after two: %+v", g.Quarantine)
	}
	for _, e := range g.Quarantine.Evidence {
		if e.Elsewhere == nil || e.Elsewhere.Agent != "good-agent" || e.Elsewhere.JobID == e.JobID || !strings.Contains(e.String(), "passed on good-agent") {
			t.Errorf("evidence: %s", e)
		}
	}
	if h := w.eventsOf("agent", bad.ID); h[len(h)-1] != "quarantined" {
		t.Errorf("history: %v", h)
	}
	if g := w.agentRow(good.ID); g.Quarantine != nil {
		t.Errorf("the other agent: %+v", g.Quarantine)
	}
}

// The agent fails last: that the job had passed before is found when it fails.
func TestWhatPassedBeforeCountsToo(t *testing.T) {
	w, agents := watched(t, "bad-agent", "good-agent")
	bad, good := agents[0], agents[1]
	const two = `version: v1.0
name: Two
agent: {machine: {type: s1-linux}}
blocks:
  - name: A
    partial_rerun: block
    task: {jobs: [{name: a, commands: ["true"]}, {name: b, commands: ["true"]}]}
`
	for range 2 {
		p := w.start(two)
		w.run(good, signalbox.JobPassed)
		w.run(good, signalbox.JobFailed)
		w.write(func(tx *store.Tx) error {
			wf, err := tx.Workflow(p.WorkflowID)
			if err != nil {
				return err
			}
			again := *wf
			w.n++
			again.ID, again.RerunOf, again.RequestToken = "", wf.ID, strings.Repeat("t", w.n)
			n, _, err := tx.CreateWorkflow(&again, "test")
			if err != nil {
				return err
			}
			_, err = w.eng.Create(tx, n, Source{File: "p.yml", YAML: []byte(two)}, "test")
			return err
		})
		w.run(bad, signalbox.JobFailed)
		w.run(bad, signalbox.JobFailed)
	}
	g := w.agentRow(bad.ID)
	if g.QuarantinedAt.IsZero() || len(g.Quarantine.Evidence) != 2 {
		t.Fatalf("%+v", g.Quarantine)
	}
}

func TestFailingCodeIsNoAgentsFault(t *testing.T) {
	w, agents := watched(t, "one-agent", "two-agent")
	for range 4 {
		p := w.start(oneJob)
		w.run(agents[0], signalbox.JobFailed)
		w.rerun(p.ID, "again")
		w.run(agents[1], signalbox.JobFailed)
		// Another push passes: other code, so it says nothing about who failed the first.
		w.start(oneJob)
		w.run(agents[1], signalbox.JobPassed)
	}
	for _, a := range agents {
		if g := w.agentRow(a.ID); g.Quarantine != nil {
			t.Errorf("%s: %+v", g.Name, g.Quarantine)
		}
	}
}

func TestNeverMoreThanHalfOfTheAgentsAreSetAside(t *testing.T) {
	w, agents := watched(t, "bad-agent", "worse-agent", "good-agent")
	bad, worse, good := agents[0], agents[1], agents[2]
	for range 2 {
		w.failThenPass(bad, good)
	}
	for range 3 {
		w.failThenPass(worse, good)
	}
	g := w.agentRow(worse.ID)
	if !g.QuarantinedAt.IsZero() || g.Quarantine == nil || !strings.Contains(g.Quarantine.Kept, "half") {
		t.Fatalf("the second of three: %v %+v", g.QuarantinedAt, g.Quarantine)
	}
	h := w.eventsOf("agent", worse.ID)
	if n := len(h) - len(slices.DeleteFunc(slices.Clone(h), func(s string) bool { return s == "not quarantined" })); n != 1 {
		t.Errorf("it was told %d times: %v", n, h)
	}
	for range 2 {
		w.start(oneJob)
		w.run(worse, signalbox.JobPassed)
	}
	if g := w.agentRow(worse.ID); g.Quarantine != nil {
		t.Errorf("it passes again, and still: %+v", g.Quarantine)
	}
}

// An end that speaks against the agent counts alone, unless the same job ended like that elsewhere.
func TestMachineryThatFails(t *testing.T) {
	w, agents := watched(t, "bad-agent", "good-agent", "fine-agent", "well-agent")
	breaks := func(a *signalbox.Agent) {
		at := w.offer(a)
		w.write(func(tx *store.Tx) error { _, _, err := Fetched(tx, at.ID, "test"); return err })
		w.write(func(tx *store.Tx) error {
			return w.eng.Finish(tx, at.ID, signalbox.JobFailed, signalbox.ReasonAgentError, "", "test")
		})
	}
	for range 3 {
		p := w.start(oneJob)
		breaks(agents[1])
		w.rerun(p.ID, "again")
		breaks(agents[2])
	}
	for _, a := range agents[1:3] {
		if g := w.agentRow(a.ID); g.Quarantine != nil {
			t.Errorf("a job that breaks every agent is taken for a broken one: %+v", g.Quarantine)
		}
	}
	for range 2 {
		w.start(oneJob)
		breaks(agents[0])
	}
	if g := w.agentRow(agents[0].ID); g.QuarantinedAt.IsZero() {
		t.Error("two jobs could not be run at all, and the agent gets more")
	}
}

func TestAPayloadNobodyFetchedSaysNothing(t *testing.T) {
	w, agents := watched(t, "one-agent", "two-agent")
	for range 4 {
		w.start(oneJob)
		at := w.offer(agents[0])
		w.write(func(tx *store.Tx) error {
			return w.eng.Finish(tx, at.ID, signalbox.JobFailed, signalbox.ReasonStartFailed, "a secret is missing", "test")
		})
	}
	if g := w.agentRow(agents[0].ID); g.Quarantine != nil {
		t.Errorf("%+v", g.Quarantine)
	}
}
