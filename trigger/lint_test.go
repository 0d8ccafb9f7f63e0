package trigger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// A file that names agent types and secrets that are not there gets a warning for each, and starts all the same.
func TestWhatAPlanNamesIsThere(t *testing.T) {
	w := newWorld(t)
	if err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateAgentType(&signalbox.AgentType{Name: "s1-only-others", Projects: signalbox.ProjectsAllowed, ProjectIDs: []string{"x"}}, "test"); err != nil {
			return err
		}
		return tx.CreateSecret(&signalbox.Secret{Name: "there", Access: signalbox.SecretAccess{Projects: signalbox.ProjectsAll}}, &signalbox.SecretVersion{Key: []byte("x"), Data: []byte("x")}, "test")
	}); err != nil {
		t.Fatal(err)
	}
	w.tr.o.Engine = engine.New(engine.Options{Store: w.st}) // one that knows which agent types there are
	w.file(".semaphore/semaphore.yml", `version: v1.0
agent: {machine: {type: s1-nope}}
blocks:
  - name: One
    dependencies: []
    task: {secrets: [{name: there}, {name: gone}], jobs: [{name: A, commands: ["true"]}, {name: B, commands: ["true"]}]}
  - name: Two
    dependencies: []
    task: {agent: {machine: {type: s1-only-others}}, jobs: [{name: C, commands: ["true"]}]}
  - name: Skipped
    dependencies: []
    skip: {when: true}
    task: {agent: {machine: {type: s1-skipped}}, secrets: [{name: skipped}], jobs: [{name: D, commands: ["true"]}]}
  - name: Mapped
    dependencies: []
    task: {agent: {machine: {type: e1-standard-2, os_image: ubuntu2004}}, jobs: [{name: E, commands: ["true"]}]}
`)
	w.push("change", "main")
	want := []string{
		`.semaphore/semaphore.yml: warning: job "A" and 1 more: This server has no agent type "s1-nope". There are: s1-only-others. Name one of them in the pipeline file, or make it with "signalbox agent-type create".`,
		`.semaphore/semaphore.yml: warning: job "A" and 1 more: There is no secret "gone" for this project; a job that names it fails.`,
		`.semaphore/semaphore.yml: warning: job "C": Project demo may not use the agent type s1-only-others: "signalbox agent-type set s1-only-others --projects NAMES" changes which may.`,
		`.semaphore/semaphore.yml: warning: job "E": This server has no agent type "e1-standard-2". There are: s1-only-others. Name one of them in the pipeline file, or make it with "signalbox agent-type create". No rule says which of them serves e1-standard-2 with the image ubuntu2004; "signalbox machine map e1-standard-2 AGENT-TYPE" makes one.`,
	}
	if d := cmp.Diff(want, w.start("main").Plan.Warnings); d != "" {
		t.Error(d)
	}
}
