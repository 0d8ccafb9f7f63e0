package forge

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

func snapshot(t *testing.T, dir string) (*Snapshot, string) {
	t.Helper()
	into := filepath.Join(t.TempDir(), "snap shot.git")
	s, err := TakeSnapshot(context.Background(), dir, into)
	if err != nil {
		t.Fatal(err)
	}
	return s, into
}

// files clones the snapshot as a job would, and returns what is in it.
func files(t *testing.T, into, branch string) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, into, "clone", "-q", "--branch", branch, "file://"+into, dir)
	got := map[string]string{}
	for _, name := range strings.Split(git(t, dir, "-c", "core.quotePath=false", "ls-files"), "\n") {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			got[name] = string(b)
		}
	}
	return got
}

// trace is all that a snapshot must not change: refs, index, status and the number of objects.
func trace(t *testing.T, dir string) string {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(dir, ".git", "index"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return git(t, dir, "for-each-ref") + string(index) +
		git(t, dir, "--no-optional-locks", "status", "--porcelain", "--ignored") + git(t, dir, "count-objects", "-v")
}

func TestSnapshotOfACleanTreeIsHead(t *testing.T) {
	dir := workTree(t)
	s, into := snapshot(t, filepath.Join(dir, ".semaphore")) // from below the root
	if head := git(t, dir, "rev-parse", "HEAD"); s.SHA != head || s.Branch != "main" || s.Changed != 0 || s.Root != dir {
		t.Errorf("got %+v, want %s on main", s, head)
	}
	want := map[string]string{".semaphore/semaphore.yml": "version: v1.0\n"}
	if diff := cmp.Diff(want, files(t, into, "main")); diff != "" {
		t.Error(diff)
	}
}

func TestSnapshotHoldsEverythingNotIgnored(t *testing.T) {
	dir := workTree(t)
	write(t, "*.log\n", dir, ".gitignore")
	write(t, "gone", dir, "deleted")
	write(t, "1", dir, "staged")
	write(t, "1", dir, "staged and changed")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "Base")
	head := git(t, dir, "rev-parse", "HEAD")

	if err := os.Remove(filepath.Join(dir, "deleted")); err != nil {
		t.Fatal(err)
	}
	write(t, "2", dir, "staged")
	write(t, "2", dir, "staged and changed")
	git(t, dir, "add", "staged", "staged and changed")
	write(t, "3", dir, "staged and changed")
	write(t, "new", dir, "un tracked", `q"uo'te`)
	write(t, "secret", dir, "x.log")

	before := trace(t, dir)
	s, into := snapshot(t, dir)
	if after := trace(t, dir); after != before {
		t.Errorf("the user's repository changed:\n%q\n%q", before, after)
	}
	if s.Changed != 4 || s.SHA == head || git(t, into, "rev-parse", s.SHA+"^") != head {
		t.Errorf("got %+v, want 4 changes on top of %s", s, head)
	}
	want := map[string]string{
		".gitignore": "*.log\n", ".semaphore/semaphore.yml": "version: v1.0\n", "staged": "2", "staged and changed": "3",
		`un tracked/q"uo'te`: "new",
	}
	got := files(t, into, "main")
	for name, text := range got { // ls-files quotes the double quote
		if name != strings.Trim(name, `"`) {
			delete(got, name)
			got[strings.ReplaceAll(strings.Trim(name, `"`), `\"`, `"`)] = text
		}
	}
	b := git(t, into, "show", s.SHA+`:un tracked/q"uo'te`)
	got[`un tracked/q"uo'te`] = b
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(into, "snapshot-index")); err == nil {
		t.Error("the temporary index is left")
	}
}

// Git looks at size and time only, unless a file is as new as the index. The copy of the index must keep its time.
func TestSnapshotSeesAChangeInTheSameInstant(t *testing.T) {
	dir := workTree(t)
	git(t, dir, "config", "core.trustctime", "false")
	name, index := filepath.Join(dir, "f"), filepath.Join(dir, ".git", "index")
	instant := time.Now().Add(-time.Hour)
	touch := func(p string) {
		if err := os.Chtimes(p, instant, instant); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "aaa", name)
	touch(name)
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "Base")
	write(t, "bbb", name) // the same size
	touch(name)
	touch(index)
	s, into := snapshot(t, dir)
	if got := git(t, into, "show", s.SHA+":f"); got != "bbb" {
		t.Errorf("the snapshot holds %q, want the newer content", got)
	}
}

func TestSnapshotWithoutCommits(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "trunk")
	s, _ := snapshot(t, dir)
	if s.Branch != "trunk" || s.Changed != 0 || s.SHA == "" {
		t.Errorf("an empty repository gave %+v", s)
	}
	write(t, "x", dir, "a")
	write(t, "y", dir, "b")
	s, into := snapshot(t, dir)
	if s.Branch != "trunk" || s.Changed != 2 {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff(map[string]string{"a": "x", "b": "y"}, files(t, into, "trunk")); diff != "" {
		t.Error(diff)
	}
}

func TestSnapshotOfUnusualRepositories(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string) (string, string){
		"detached": func(t *testing.T, dir string) (string, string) {
			git(t, dir, "checkout", "-q", "--detach")
			return dir, "detached"
		},
		"linked work tree": func(t *testing.T, dir string) (string, string) {
			linked := filepath.Join(t.TempDir(), "linked")
			git(t, dir, "worktree", "add", "-q", "-b", "feature/x", linked)
			return linked, "feature/x"
		},
		"shallow clone": func(t *testing.T, dir string) (string, string) {
			git(t, dir, "commit", "-q", "--allow-empty", "-m", "Second")
			shallow := filepath.Join(t.TempDir(), "shallow")
			git(t, dir, "clone", "-q", "--depth=1", "file://"+dir, shallow)
			return shallow, "main"
		},
		"split index": func(t *testing.T, dir string) (string, string) {
			git(t, dir, "config", "core.splitIndex", "true")
			git(t, dir, "update-index", "--split-index")
			return dir, "main"
		},
		"sha256": func(t *testing.T, _ string) (string, string) {
			dir := filepath.Join(t.TempDir(), "new")
			git(t, t.TempDir(), "init", "-q", "-b", "main", "--object-format=sha256", dir)
			write(t, "version: v1.0\n", dir, ".semaphore", "semaphore.yml")
			git(t, dir, "add", "-A")
			git(t, dir, "commit", "-q", "-m", "First")
			return dir, "main"
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, branch := prepare(t, workTree(t))
			write(t, "new", dir, "new")
			before := state(t, dir)
			s, into := snapshot(t, dir)
			if s.Branch != branch || s.Changed != 1 {
				t.Errorf("got %+v, want one change on %s", s, branch)
			}
			want := map[string]string{".semaphore/semaphore.yml": "version: v1.0\n", "new": "new"}
			if diff := cmp.Diff(want, files(t, into, branch)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, state(t, dir)); diff != "" {
				t.Errorf("the work tree changed: %s", diff)
			}
		})
	}
}

// state is what git says of a work tree and the files that it keeps for it.
func state(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(git(t, dir, "rev-parse", "--absolute-git-dir"))
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{git(t, dir, "--no-optional-locks", "status", "--porcelain", "--branch")}
	for _, e := range entries {
		lines = append(lines, e.Name())
	}
	return lines
}

func TestSnapshotOutsideARepository(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	_, err := TakeSnapshot(context.Background(), dir, filepath.Join(t.TempDir(), "x.git"))
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want CodeInvalid that names the folder", err)
	}
}

func TestSnapshotHasTheOtherBranches(t *testing.T) {
	dir := workTree(t)
	git := func(args ...string) string {
		t.Helper()
		out, err := run(t.Context(), dir, args...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	first := git("rev-parse", "HEAD")
	git("checkout", "-q", "-b", "topic/one")
	git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "x")
	second := git("rev-parse", "HEAD")
	git("branch", "mine")
	git("update-ref", "refs/remotes/origin/main", second) // origin is ahead of the branch here
	git("update-ref", "refs/remotes/origin/clash", first)
	git("branch", "clash/inner")
	git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	s, into := snapshot(t, dir)
	if s.Trunk != "main" || s.Branch != "topic/one" {
		t.Errorf("on %s, trunk %s", s.Branch, s.Trunk)
	}
	r := Repo{Dir: into}
	for name, want := range map[string]string{"main": second, "mine": second, "topic/one": second, "clash/inner": second} {
		if got, err := r.ResolveBranch(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is at %s, want %s: %v", name, got, want, err)
		}
	}
}
