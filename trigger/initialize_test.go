package trigger

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// example reads one of the pipelines that package spec reads in its own tests.
func (w *world) example(name string) string {
	w.Helper()
	b, err := os.ReadFile(filepath.Join("..", "spec", "testdata", "examples", name))
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

func (w *world) file(name, text string) {
	w.Helper()
	path := filepath.Join(w.work, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

func (w *world) push(message string, refs ...string) {
	w.Helper()
	w.git(w.work, "add", "-A")
	w.git(w.work, "commit", "-q", "--allow-empty", "-m", message)
	w.git(w.work, append([]string{"push", "-q", "origin"}, refs...)...)
}

func (w *world) start(ref string) *signalbox.Pipeline {
	w.Helper()
	_, p, err := w.tr.Start(context.Background(), Request{Project: w.p, Ref: ref, TriggeredBy: signalbox.TriggeredByHook, Actor: "test"})
	if err != nil {
		w.Fatal(err)
	}
	if p.Plan == nil {
		w.Fatal(p.ErrorDescription)
	}
	return p
}

func runs(p *signalbox.Pipeline) string {
	var out []string
	for _, b := range p.Plan.Blocks {
		if b.Skip == "" {
			out = append(out, b.Name)
		}
	}
	return strings.Join(out, " ")
}

// TestChangeInOnARealRepository is example 08 with its stated outcomes.
func TestChangeInOnARealRepository(t *testing.T) {
	w := newWorld(t)
	w.file(".semaphore/semaphore.yml", w.example("08-change-in.yml"))
	w.file("lib/x.rb", "1\n")
	w.push("pipeline", "main")
	w.git(w.work, "checkout", "-q", "-b", "dev")
	w.file("services/api/x.go", "1\n")
	w.file("README.md", "1\n")
	w.push("change", "dev")
	dev := w.start("dev")
	if got := runs(dev); got != "Backend Relative Prefix OnTagsOff" {
		t.Errorf("on dev: %s", got)
	}
	if auto := dev.Plan.Promotions[0].Auto; len(auto.Calls) != 1 || !auto.Calls[0].Value || !strings.Contains(auto.Calls[0].Why, "services/api/x.go") {
		t.Errorf("promotion: %+v", auto)
	}
	w.git(w.work, "tag", "v1")
	w.git(w.work, "push", "-q", "origin", "v1")
	if got := runs(w.start("refs/tags/v1")); got != "Backend Web NoDocs Relative Prefix" {
		t.Errorf("on a tag: %s", got)
	}
	// A change of nothing but the pipeline file runs what tracks it, and promotes nothing.
	w.git(w.work, "checkout", "-q", "-b", "only-yaml", "main")
	w.file(".semaphore/semaphore.yml", w.example("08-change-in.yml")+"# changed\n")
	w.push("yaml", "only-yaml")
	p := w.start("only-yaml")
	if got := runs(p); got != "Backend NoDocs Relative Prefix OnTagsOff" || p.Plan.Promotions[0].Auto.Calls[0].Value {
		t.Errorf("with a changed pipeline file: %s, promotion %+v", got, p.Plan.Promotions[0].Auto)
	}
}

func TestABranchThatDoesNotExistIsAnErrorWithItsPlace(t *testing.T) {
	w := newWorld(t)
	w.file(".semaphore/semaphore.yml", "version: v1.0\nagent: {machine: {type: s1-x}}\nblocks:\n  - run: {when: \"change_in('/a', {default_branch: 'gone'})\"}\n    task: {jobs: [{commands: ['true']}]}\n")
	w.git(w.work, "checkout", "-q", "-b", "dev")
	w.push("change", "dev")
	_, p, err := w.tr.Start(context.Background(), Request{Project: w.p, Ref: "dev", TriggeredBy: signalbox.TriggeredByHook, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Reason != signalbox.ReasonMalformed || !strings.Contains(p.ErrorDescription, "semaphore.yml:4:") || !strings.Contains(p.ErrorDescription, "gone") {
		t.Errorf("%s/%s: %s", p.Result, p.Reason, p.ErrorDescription)
	}
}

// What cannot be resolved counts as changed, and the pipeline says so.
func TestARangeThatCannotBeResolved(t *testing.T) {
	w := newWorld(t)
	w.file(".semaphore/semaphore.yml", "version: v1.0\nagent: {machine: {type: s1-x}}\nblocks:\n  - run: {when: \"change_in('/a', {default_range: '"+strings.Repeat("0", 39)+"1...HEAD'})\"}\n    task: {jobs: [{commands: ['true']}]}\n")
	w.push("change", "main")
	p := w.start("main")
	if p.Plan.Blocks[0].Skip != "" || len(p.Plan.Warnings) != 1 || !strings.Contains(p.Plan.Warnings[0], "cannot be resolved") {
		t.Errorf("skip %q, warnings %q", p.Plan.Blocks[0].Skip, p.Plan.Warnings)
	}
}

const parent = `version: v1.0
agent: {machine: {type: s1-x}}
blocks:
  - task: {jobs: [{commands: ["true"]}]}
promotions:
  - {name: Next, pipeline_file: next.yml, auto_promote: {when: true}, parameters: {env_vars: [{name: WHERE, default_value: eu}]}}
  - {name: Missing, pipeline_file: /no/such.yml, auto_promote: {when: true}}
`

// TestPromotedPipelinesAreInitialized plays a parent to its end, and reads the files of what it promotes: one that is
// there and one that is not.
func TestPromotedPipelinesAreInitialized(t *testing.T) {
	w := newWorld(t)
	w.file(".semaphore/semaphore.yml", parent)
	w.file(".semaphore/next.yml", "version: v1.0\nname: \"To ${{ parameters.WHERE }}\"\nagent: {machine: {type: s1-x}}\nblocks:\n  - task: {jobs: [{commands_file: list.txt}]}\n")
	w.file(".semaphore/list.txt", "one\ntwo\n")
	w.push("train", "main")
	p := w.start("main")
	if d := cmp.Diff([]string{`.semaphore/semaphore.yml: warning: the promotion "Missing" starts no/such.yml, which is not in the repository`}, p.Plan.Warnings); d != "" {
		t.Error(d)
	}
	eng := engine.New(engine.Options{Store: w.st, AnyAgent: true})
	write := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := w.st.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	var agent signalbox.Agent
	write(func(tx *store.Tx) error {
		typ := &signalbox.AgentType{Name: "s1-x"}
		if err := tx.CreateAgentType(typ, "test"); err != nil {
			return err
		}
		agent = signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: "an-agent", State: signalbox.AgentRegistered}
		return tx.CreateAgent(&agent, "hash")
	})
	write(func(tx *store.Tx) error {
		jobs, err := tx.ClaimJobs("s1-x", 1)
		if err != nil {
			return err
		}
		at, err := engine.Offer(tx, jobs[0], &agent, "test")
		if err != nil {
			return err
		}
		if _, _, err := engine.Fetched(tx, at.ID, "test"); err != nil {
			return err
		}
		return eng.Finish(tx, at.ID, signalbox.JobPassed, "", "", "test")
	})
	if err := w.tr.InitializeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	write(func(tx *store.Tx) error {
		all, err := tx.PipelinesOf(p.WorkflowID)
		for _, q := range all[1:] {
			got[q.File] = q.Name + " " + string(q.State) + " " + string(q.Reason) + " " + q.ErrorDescription
			if q.Plan != nil {
				got[q.File] += strings.Join(q.Plan.Blocks[0].Jobs[0].Spec.Commands, ",")
			}
		}
		return err
	})
	want := map[string]string{
		".semaphore/next.yml": "To eu running  one,two",
		"no/such.yml":         "Pipeline done malformed File 'no/such.yml' is not available at commit " + w.git(w.work, "rev-parse", "HEAD")[:10] + "; add it or name another file",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRerunOfAWorkflow(t *testing.T) {
	w := newWorld(t)
	first := w.start("main")
	w.commit("second", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	wf, p, err := w.tr.Rerun(t.Context(), first.WorkflowID, "tok", "ann", "user:ann")
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := w.tr.Rerun(t.Context(), first.WorkflowID, "tok", "ann", "user:ann")
	if err != nil || again.ID != wf.ID {
		t.Errorf("the same request gave %v, %v", again, err)
	}
	if wf.RerunOf != first.WorkflowID || wf.CommitMessage != "first" || wf.Requester != "ann" || wf.Number != 2 || p.File != first.File {
		t.Errorf("%+v", wf)
	}
	if _, _, err := w.tr.Rerun(t.Context(), signalbox.NewID(), "x", "ann", "user:ann"); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("of nothing: %v", err)
	}
}
