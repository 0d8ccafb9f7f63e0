package trigger

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

const pipeline = `version: v1.0
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{commands: ["true"]}]}
`

type world struct {
	*testing.T
	st   *store.Store
	tr   *Trigger
	p    *signalbox.Project
	bare string
	work string

	seen func(statement string) // called before each statement when it is set
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, bare: filepath.Join(t.TempDir(), "a repo's.git"), work: t.TempDir()}
	st, err := store.Open(context.Background(), store.Options{Dir: storetest.Folder(t), OnStatement: func(statement string) {
		if w.seen != nil {
			w.seen(statement)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w.st = st
	w.tr, err = New(Options{Store: st, Engine: engine.New(engine.Options{Store: st, AnyAgent: true}), MirrorDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w.git(w.work, "init", "-q", "--bare", "-b", "main", w.bare)
	w.git(w.work, "init", "-q", "-b", "main")
	w.git(w.work, "remote", "add", "origin", w.bare)
	w.commit("first", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	w.p = &signalbox.Project{Name: "demo", GitURL: w.bare, GitDir: w.bare, DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile}
	if err := st.Write(context.Background(), func(tx *store.Tx) error { return tx.CreateProject(w.p, "test") }); err != nil {
		t.Fatal(err)
	}
	if err := w.tr.Watch(context.Background(), w.p); err != nil {
		t.Fatal(err)
	}
	if err := forge.InstallHook(context.Background(), w.bare, []string{"true", "it's quoted"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) git(dir string, args ...string) string {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann",
		"GIT_COMMITTER_EMAIL=ann@example.com", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) commit(message, yaml string) string {
	w.Helper()
	file := filepath.Join(w.work, signalbox.DefaultPipelineFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		w.Fatal(err)
	}
	w.git(w.work, "add", "-A")
	w.git(w.work, "commit", "-q", "--allow-empty", "-m", message)
	return w.git(w.work, "rev-parse", "HEAD")
}

func (w *world) deliver() {
	w.Helper()
	if err := w.tr.Deliver(context.Background(), w.p); err != nil {
		w.Fatal(err)
	}
}

// workflows returns "label message" of every workflow, oldest first.
func (w *world) workflows() []string {
	w.Helper()
	var out []string
	if err := w.st.Read(context.Background(), func(tx *store.Tx) error {
		all, err := tx.Workflows(store.WorkflowFilter{Limit: 1000})
		for _, wf := range all {
			out = append(out, wf.Label+" "+wf.CommitMessage)
		}
		return err
	}); err != nil {
		w.Fatal(err)
	}
	slices.Reverse(out)
	return out
}

func (w *world) expect(want ...string) {
	w.Helper()
	got := w.workflows()
	if !slices.Equal(got, want) {
		w.Errorf("workflows %q, want %q", got, want)
	}
	left, err := forge.Spooled(w.bare)
	if err != nil || len(left) > 0 {
		w.Errorf("left in the spool: %v, %v", left, err)
	}
}

func TestEveryPushStartsOneWorkflow(t *testing.T) {
	w := newWorld(t)
	w.deliver()
	w.expect()
	for _, m := range []string{"second", "third"} {
		w.commit(m, pipeline)
		w.git(w.work, "push", "-q", "origin", "main")
	}
	w.deliver()
	w.deliver()
	w.expect("main second", "main third")
}

func TestPushWithoutAHookIsFoundByItsRefs(t *testing.T) {
	w := newWorld(t)
	if err := os.Remove(filepath.Join(w.bare, "hooks", "post-receive")); err != nil {
		t.Fatal(err)
	}
	w.commit("second", pipeline)
	w.commit("third", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	if err := w.tr.CatchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	w.expect("main third")
}

func TestComparingBeforeTheHookHasWrittenMakesNoSecondWorkflow(t *testing.T) {
	w := newWorld(t)
	for _, m := range []string{"second", "third"} {
		w.commit(m, pipeline)
		w.git(w.work, "push", "-q", "origin", "main")
	}
	spool := filepath.Join(w.bare, "signalbox", "spool")
	if err := os.Rename(spool, spool+".away"); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	if err := os.Rename(spool+".away", spool); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	w.expect("main third")
}

func TestASpooledPushCountsOnceEvenIfItsMoveIsPossibleAgain(t *testing.T) {
	w := newWorld(t)
	w.commit("second", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	left, err := forge.Spooled(w.bare)
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	file := filepath.Join(w.bare, "signalbox", "spool", left[0].ID)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.deliver()
	w.git(w.work, "push", "-q", "-f", "origin", "HEAD~1:main") // back to where the spooled push began
	w.deliver()
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	w.expect("main second", "main first")
}

func TestBranchesTagsForceAndDelete(t *testing.T) {
	w := newWorld(t)
	w.git(w.work, "checkout", "-q", "-b", "feature/x")
	w.commit("on a branch", pipeline)
	w.git(w.work, "push", "-q", "origin", "feature/x")
	w.git(w.work, "tag", "-a", "v1", "-m", "one")
	w.git(w.work, "push", "-q", "origin", "v1")
	w.git(w.work, "commit", "-q", "--amend", "--allow-empty", "-m", "amended")
	w.git(w.work, "push", "-q", "-f", "origin", "feature/x")
	w.git(w.work, "push", "-q", "origin", ":feature/x")
	w.deliver()
	w.deliver()
	got := w.workflows()
	slices.Sort(got)
	// The first commit of the branch is gone from the refs but not yet from the repository, so both pushes count.
	if want := []string{"feature/x amended", "feature/x on a branch", "v1 on a branch"}; !slices.Equal(got, want) {
		t.Errorf("workflows %q, want %q", got, want)
	}
}

func TestACrashLosesNothing(t *testing.T) {
	w := newWorld(t)
	w.commit("second", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	broken, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.tr.Deliver(broken, w.p); err == nil {
		t.Fatal("a cancelled delivery says that it worked")
	}
	w.deliver()
	w.expect("main second")

	// Handled, but the server died before it removed the spool file.
	w.commit("third", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	left, err := forge.Spooled(w.bare)
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	file := filepath.Join(w.bare, "signalbox", "spool", left[0].ID)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.deliver()
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	w.expect("main second", "main third")
}

func TestAHookThatWasThereStillRuns(t *testing.T) {
	w := newWorld(t)
	hook := filepath.Join(w.bare, "hooks", "post-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ncat > ran\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := forge.InstallHook(context.Background(), w.bare, []string{"true"}); err != nil {
			t.Fatal(err)
		}
	}
	w.commit("second", pipeline)
	w.git(w.work, "push", "-q", "origin", "main")
	if b, err := os.ReadFile(filepath.Join(w.bare, "ran")); err != nil || !strings.Contains(string(b), "refs/heads/main") {
		t.Errorf("the old hook saw %q, %v", b, err)
	}
	w.deliver()
	w.expect("main second")
}

func TestStart(t *testing.T) {
	w := newWorld(t)
	r := Request{Project: w.p, TriggeredBy: signalbox.TriggeredByAPI, Requester: "ann", Actor: "user:ann", RequestToken: "once"}
	wf, ppl, err := w.tr.Start(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if wf.Label != "main" || wf.CommitAuthor != "Ann" || ppl.State != signalbox.PipelineRunning {
		t.Errorf("%+v %s", wf, ppl.State)
	}
	again, same, err := w.tr.Start(context.Background(), r)
	if err != nil || again.ID != wf.ID || same.ID != ppl.ID {
		t.Errorf("the same token gave another workflow: %v %v", again, err)
	}
	r.RequestToken, r.PipelineFile = "other", "no/such.yml"
	if _, ppl, err = w.tr.Start(context.Background(), r); err != nil || ppl.Reason != signalbox.ReasonMalformed ||
		!strings.Contains(ppl.ErrorDescription, "File 'no/such.yml' is not available") {
		t.Errorf("missing file: %+v %v", ppl, err)
	}
	for _, ref := range []string{"nope", "--upload-pack=x", "refs/heads/", "refs/notes/x"} {
		r.RequestToken, r.Ref = "", ref
		if _, _, err := w.tr.Start(context.Background(), r); err == nil {
			t.Errorf("ref %q was accepted", ref)
		}
	}
}

func TestParametersReachTheFirstPipeline(t *testing.T) {
	w := newWorld(t)
	want := []signalbox.EnvVar{{Name: "LEVEL", Value: "2"}}
	_, ppl, err := w.tr.Start(context.Background(), Request{
		Project: w.p, Parameters: want, TriggeredBy: signalbox.TriggeredBySchedule, Actor: "schedule", RequestToken: "once",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ppl.Origin.Parameters, want) {
		t.Errorf("parameters %v", ppl.Origin.Parameters)
	}
	_, ppl, err = w.tr.Start(context.Background(), Request{Project: w.p, TriggeredBy: signalbox.TriggeredBySchedule, Actor: "schedule"})
	if err != nil || len(ppl.Origin.Parameters) != 0 {
		t.Errorf("without parameters: %v, %v", ppl.Origin.Parameters, err)
	}
}

func TestMirrorOfARepositoryElsewhere(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "m.git")
	for range 2 {
		r, err := forge.Mirror(context.Background(), w.bare, dir)
		if err != nil {
			t.Fatal(err)
		}
		refs, err := r.Refs(context.Background())
		if err != nil || len(refs) != 1 {
			t.Errorf("%v %v", refs, err)
		}
	}
	if _, err := forge.Mirror(context.Background(), "ext::sh -c touch% /tmp/no", filepath.Join(t.TempDir(), "x.git")); err == nil {
		t.Error("the ext protocol runs programs and was accepted")
	}
}
