package project

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
	"github.com/signalbox-ci/signalbox/trigger"
)

type world struct {
	*testing.T
	store    *store.Store
	projects *Projects
	hookErr  error
	ana      *signalbox.User
}

func open(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, ana: &signalbox.User{Name: "ana", Email: "ana@example.com"}}
	var err error
	if w.store, err = store.Open(t.Context(), store.Options{Dir: storetest.Folder(t)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	tr, err := trigger.New(trigger.Options{Store: w.store, Engine: engine.New(engine.Options{Store: w.store}), MirrorDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w.projects, err = New(Options{Store: w.store, Trigger: tr, Dir: t.TempDir(), InstallHook: func(ctx context.Context, p *signalbox.Project) error {
		return errors.Join(w.hookErr, forge.InstallHook(ctx, p.GitDir, []string{"true", "--project", p.ID}))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		return tx.CreateAgentType(&signalbox.AgentType{Name: "s1-linux"}, "test")
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) git(dir string, args ...string) string {
	w.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=Ana", "-c", "user.email=ana@example.com"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// repository makes NAME.git with these files on main.
func (w *world) repository(name string, files map[string]string) (bare, work string) {
	w.Helper()
	dir := w.TempDir()
	bare, work = filepath.Join(dir, name+".git"), filepath.Join(dir, name)
	w.git(dir, "init", "--quiet", "--bare", "--initial-branch=main", bare)
	w.git(dir, "clone", "--quiet", bare, work)
	for file, text := range files {
		path := filepath.Join(work, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			w.Fatal(err)
		}
	}
	if len(files) > 0 {
		w.git(work, "add", "--all")
		w.git(work, "commit", "--quiet", "--message", "First")
		w.git(work, "push", "--quiet", "origin", "HEAD:main")
	}
	return bare, work
}

func (w *world) workflows(p *signalbox.Project) (out []*signalbox.Workflow) {
	w.Helper()
	if err := w.store.Read(w.Context(), func(tx *store.Tx) (err error) {
		out, err = tx.Workflows(store.WorkflowFilter{ProjectID: p.ID, Limit: 10})
		return err
	}); err != nil {
		w.Fatal(err)
	}
	return out
}

func TestEveryStarterIsAPipelineFile(t *testing.T) {
	for _, l := range append(Languages(), "", "Klingon") {
		for _, name := range []string{"shop", "1.0", "true", "a-b_c"} {
			text := Starter(name, l, "s1-linux")
			res := spec.Parse(text, spec.Options{File: "semaphore.yml"})
			if len(res.Problems) > 0 || res.Name != name || res.Jobs == 0 {
				t.Errorf("%s, %s: %v\n%s", l, name, res.Problems, text)
			}
		}
	}
	if res := spec.Parse(demo.file("demo", "s1-linux", nil), spec.Options{}); len(res.Problems) > 0 {
		t.Errorf("the demo: %v", res.Problems)
	}
}

func TestLook(t *testing.T) {
	w := open(t)
	good := "version: v1.0\nname: X\nagent: {machine: {type: s1-linux}}\nblocks: []\n"
	for _, c := range []struct {
		name     string
		files    map[string]string
		language Language
		file     string
		problems bool
	}{
		{"go-thing", map[string]string{"go.mod": "module x\n", "Makefile": "all:\n"}, "Go", "", false},
		{"node.thing", map[string]string{"package.json": "{}"}, "Node.js", "", false},
		{"unknown", map[string]string{"README": "x"}, "", "", false},
		{"has a file", map[string]string{".semaphore/semaphore.yml": good + "x: 1\n"}, "", signalbox.DefaultPipelineFile, true},
		{"other-file", map[string]string{".semaphore/other.yml": "version: v1.0\n"}, "", "", false},
		{"empty", nil, "", "", false},
	} {
		bare, work := w.repository(c.name, c.files)
		l, err := w.projects.Look(t.Context(), bare, "")
		if err != nil {
			t.Fatal(err)
		}
		if l.Language != c.language || l.File != c.file || (l.Problems != "") != c.problems || !l.Local || !l.Bare || l.Branch != "main" || l.Name != strings.ReplaceAll(c.name, " ", "-") {
			t.Errorf("%s: %+v", c.name, l)
		}
		if l, err = w.projects.Look(t.Context(), work, ""); err != nil || l.Bare {
			t.Errorf("%s, a work tree: %+v, %v", c.name, l, err)
		}
		// By URL it is another repository, which is fetched and forgotten.
		if l, err = w.projects.Look(t.Context(), "file://localhost"+bare, ""); err == nil && (l.Language != c.language || l.Local) {
			t.Errorf("%s by URL: %+v, %v", c.name, l, err)
		}
	}
	bare, _ := w.repository("x", map[string]string{"README": "x"})
	for address, branch := range map[string]string{"": "", "--upload-pack=touch /tmp/x": "", "/nowhere": "", "relative/path": "", "ext::sh -c true": "", bare: "none"} {
		if _, err := w.projects.Look(t.Context(), address, branch); err == nil {
			t.Errorf("%q, branch %q: no error", address, branch)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "signalbox-look-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAddWithANewFile(t *testing.T) {
	w := open(t)
	bare, work := w.repository("shop", map[string]string{"Makefile": "all:\n"})
	a, err := w.projects.Add(t.Context(), Request{Name: "shop", Address: bare, Branch: "main", Commit: true, Language: "Make", AgentType: "s1-linux", By: w.ana}, "user:ana")
	if err != nil || a.Problem != "" || a.Workflow == nil {
		t.Fatal(a, err)
	}
	w.git(work, "pull", "--quiet", "origin", "main")
	text, err := os.ReadFile(filepath.Join(work, signalbox.DefaultPipelineFile))
	if err != nil || string(text) != string(Starter("shop", "Make", "s1-linux")) {
		t.Errorf("%s, %v", text, err)
	}
	if got := w.git(work, "log", "-1", "--format=%an <%ae>: %s"); got != "ana <ana@example.com>: Add a first pipeline" {
		t.Errorf("the commit is %q", got)
	}
	if _, err := os.Stat(filepath.Join(work, "Makefile")); err != nil {
		t.Error("what was there is gone")
	}
	if n := len(w.workflows(a.Project)); n != 1 {
		t.Errorf("%d workflows", n)
	}
	if !w.projects.Hooked(t.Context(), a.Project) {
		t.Error("there is no hook")
	}
	// The same again: the name is taken, the file is there.
	if _, err := w.projects.Add(t.Context(), Request{Name: "shop", Address: bare, Branch: "main", Commit: true, AgentType: "s1-linux", By: w.ana}, "user:ana"); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Errorf("a name that is taken: %v", err)
	}
	a, err = w.projects.Add(t.Context(), Request{Name: "shop-2", Address: bare, Branch: "main", Commit: true, AgentType: "s1-linux", By: w.ana}, "user:ana")
	if err != nil || !strings.Contains(a.Problem, "already") || a.Workflow != nil {
		t.Errorf("a file that is there: %+v, %v", a, err)
	}
	// Into an empty repository too.
	empty, _ := w.repository("empty", nil)
	a, err = w.projects.Add(t.Context(), Request{Name: "empty", Address: empty, Branch: "main", Commit: true, AgentType: "s1-linux", By: w.ana}, "user:ana")
	if err != nil || a.Problem != "" || a.Workflow == nil {
		t.Errorf("an empty repository: %+v, %v", a, err)
	}
	for name, r := range map[string]Request{
		"no agent type":   {Name: "x", Address: bare, Branch: "main", Commit: true, AgentType: "s1-none", By: w.ana},
		"no name":         {Address: bare, By: w.ana},
		"a name as a way": {Name: "../x", Address: bare, By: w.ana},
		"no repository":   {Name: "x", Address: "/nowhere", By: w.ana},
	} {
		if _, err := w.projects.Add(t.Context(), r, "user:ana"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.hookErr = errors.New("the disk is full")
	if _, err := w.projects.Add(t.Context(), Request{Name: "unhooked", Address: bare, Branch: "main", By: w.ana}, "user:ana"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("without a hook: %v", err)
	}
	if err := w.store.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.FindProject("unhooked"); return err }); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("half a project is left: %v", err)
	}
}

func TestDemo(t *testing.T) {
	w := open(t)
	for _, want := range []string{"demo", "demo-2"} {
		a, err := w.projects.Demo(t.Context(), "s1-linux", w.ana, "user:ana")
		if err != nil || a.Project.Name != want || a.Workflow == nil || a.Problem != "" {
			t.Fatal(a, err)
		}
		if n := len(w.workflows(a.Project)); n != 1 {
			t.Errorf("%d workflows", n)
		}
	}
	if _, err := w.projects.Demo(t.Context(), "s1-none", w.ana, "user:ana"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("without an agent type: %v", err)
	}
}

// A branch that moves between the look and the commit is not moved back.
func TestCommitFileDoesNotOverwrite(t *testing.T) {
	w := open(t)
	bare, _ := w.repository("shop", map[string]string{"README": "x"})
	repo := &forge.Repo{Dir: bare}
	c := forge.Change{Branch: "main", File: "a.yml", Message: "x", Text: []byte("x"), Author: "ana", Email: "a@example.com"}
	for name, change := range map[string]func(*forge.Change){
		"an option":            func(c *forge.Change) { c.Branch = "--force" },
		"no branch name":       func(c *forge.Change) { c.Branch = "a..b" },
		"git's own folder":     func(c *forge.Change) { c.File = ".git/config" },
		"nothing":              func(c *forge.Change) { c.File = "" },
		"a line end":           func(c *forge.Change) { c.File = "a\nb" },
		"a file that is there": func(c *forge.Change) { c.File = "README" },
	} {
		bad := c
		change(&bad)
		if _, err := repo.CommitFile(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	before := w.git(bare, "rev-parse", "main")
	sha, err := repo.CommitFile(t.Context(), c)
	if err != nil || w.git(bare, "rev-parse", "main") != sha || w.git(bare, "rev-parse", sha+"^") != before {
		t.Errorf("%s, %v", sha, err)
	}
}
