package forge

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/change"
)

var _ change.Lister = (*Repo)(nil)

// commit writes files, each a name with its content or "" to remove it, and commits everything.
func commit(t *testing.T, dir string, files ...string) string {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		if files[i+1] == "" {
			if err := os.Remove(filepath.Join(dir, files[i])); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, files[i+1], dir, files[i])
		}
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "--allow-empty", "-m", "Change "+strings.Join(files, " "))
	return git(t, dir, "rev-parse", "HEAD")
}

type listing struct {
	name       string
	base, head string
	mergeBase  bool
	want       []string // nil with code
	code       signalbox.Code
}

func checkListings(t *testing.T, r *Repo, cases []listing) {
	t.Helper()
	for _, c := range cases {
		got, err := r.Changed(context.Background(), c.base, c.head, c.mergeBase)
		slices.Sort(got)
		if d := cmp.Diff(c.want, got); d != "" || signalbox.ErrorCode(err) != c.code {
			t.Errorf("%s: %v\n%s", c.name, err, d)
		}
	}
}

func TestChanged(t *testing.T) {
	dir := workTree(t)
	first := git(t, dir, "rev-parse", "HEAD")
	second := commit(t, dir, "lib/a.rb", "one\ntwo\nthree\n", "doc/x.md", "x\n")
	git(t, dir, "checkout", "-q", "-b", "dev")
	third := commit(t, dir, "lib/b.rb", "b\n")
	renamed := commit(t, dir, "lib/a.rb", "", "app/a.rb", "one\ntwo\nthree\n")
	mode := func() string {
		if err := os.Chmod(filepath.Join(dir, "doc/x.md"), 0o755); err != nil {
			t.Fatal(err)
		}
		return commit(t, dir)
	}()
	empty := commit(t, dir)
	git(t, dir, "checkout", "-q", "main")
	trunk := commit(t, dir, "main.txt", "m\n")
	git(t, dir, "merge", "-q", "--no-ff", "-m", "Merge dev", "dev")
	merge := git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "config", "diff.renames", "copies")
	git(t, dir, "tag", "dev", first) // a branch wins over it where a branch is asked for
	none := strings.Repeat("0123456789", 4)
	checkListings(t, local(t, dir), []listing{
		{"one commit", first, second, false, []string{"doc/x.md", "lib/a.rb"}, ""},
		{"nothing", second, second, true, nil, ""},
		{"a rename has two names", third, renamed, true, []string{"app/a.rb", "lib/a.rb"}, ""},
		{"a mode", renamed, mode, false, []string{"doc/x.md"}, ""},
		{"an empty commit", mode, empty, false, nil, ""},
		{"from the merge base", trunk, third, true, []string{"lib/b.rb"}, ""},
		{"between the ends", trunk, third, false, []string{"lib/b.rb", "main.txt"}, ""},
		{"a merge against its first parent", merge + "^", merge, true, []string{"app/a.rb", "doc/x.md", "lib/a.rb", "lib/b.rb"}, ""},
		{"a merge against its second parent", merge + "^2", merge, true, []string{"main.txt"}, ""},
		{"a first commit", first + "^", first, true, []string{".semaphore/semaphore.yml"}, ""},
		{"before a first commit", second + "~5", second, false, []string{".semaphore/semaphore.yml", "doc/x.md", "lib/a.rb"}, ""},
		{"before a first commit, by steps", "main^1~3^", first, true, []string{".semaphore/semaphore.yml"}, ""},
		{"everything", "", second, true, []string{".semaphore/semaphore.yml", "doc/x.md", "lib/a.rb"}, ""},
		{"a second parent that is not there", second + "^2", second, true, nil, signalbox.CodeNotFound},
		{"an unknown base", none, second, true, nil, signalbox.CodeNotFound},
		{"the parent of an unknown base", none + "^", second, true, nil, signalbox.CodeNotFound},
		{"an unknown head", first, none, false, nil, signalbox.CodeNotFound},
		{"an option", "--output=x", second, false, nil, signalbox.CodeInvalid},
		{"an option as head", first, "-h", false, nil, signalbox.CodeInvalid},
		{"no head", first, "", false, nil, signalbox.CodeInvalid},
	})
}

func TestChangedAfterAForcedPush(t *testing.T) {
	dir := workTree(t)
	bare := filepath.Join(t.TempDir(), "bare.git")
	old := commit(t, dir, "lib/old", "1\n")
	git(t, dir, "clone", "-q", "--bare", dir, bare)
	git(t, dir, "remote", "add", "origin", bare)
	git(t, dir, "reset", "-q", "--hard", "HEAD~1")
	fresh := commit(t, dir, "lib/new", "2\n")
	git(t, dir, "push", "-q", "--force", "origin", "main")
	r := local(t, bare)
	// The old tip is still there: what the push brought is the new commit, what differs are both.
	checkListings(t, r, []listing{
		{"from the merge base", old, fresh, true, []string{"lib/new"}, ""},
		{"between the ends", old, fresh, false, []string{"lib/new", "lib/old"}, ""},
	})
	git(t, bare, "reflog", "expire", "--expire=now", "--all")
	git(t, bare, "gc", "-q", "--prune=now")
	checkListings(t, r, []listing{{"the old tip is gone", old, fresh, true, nil, signalbox.CodeNotFound}})
}

func TestChangedOfUnrelatedHistories(t *testing.T) {
	dir := workTree(t)
	one := git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "checkout", "-q", "--orphan", "pages")
	git(t, dir, "rm", "-q", "-rf", ".")
	other := commit(t, dir, "index.html", "<p>\n")
	checkListings(t, local(t, dir), []listing{
		{"no commit in common", one, other, true, nil, signalbox.CodeNotFound},
		{"between the ends", one, other, false, []string{".semaphore/semaphore.yml", "index.html"}, ""},
		{"a second first commit", other + "^", other, true, []string{"index.html"}, ""},
	})
}

func TestChangedWeirdNames(t *testing.T) {
	dir := workTree(t)
	first := git(t, dir, "rev-parse", "HEAD")
	names := []string{"-rf", "--output=x", "a b", "ü/ö.txt", "tab\there", "line\nbreak", `back\slash"quote'`, ":(top)x", "*", "inval\xffid"}
	var files []string
	for _, n := range names {
		files = append(files, n, "x\n")
	}
	second := commit(t, dir, files...)
	slices.Sort(names)
	checkListings(t, local(t, dir), []listing{
		{"weird names", first, second, false, names, ""},
		{"weird names of everything", "", second, false, slices.Sorted(slices.Values(append([]string{".semaphore/semaphore.yml"}, names...))), ""},
	})
}

// A shallow clone does not know what came before its oldest commit, which is not the same as nothing.
func TestChangedInAShallowClone(t *testing.T) {
	dir := workTree(t)
	commit(t, dir, "a", "1\n")
	tip := commit(t, dir, "b", "1\n")
	shallow := filepath.Join(t.TempDir(), "shallow")
	git(t, dir, "clone", "-q", "--depth", "1", "file://"+dir, shallow)
	checkListings(t, local(t, shallow), []listing{{"the parent is cut off", tip + "^", tip, true, nil, signalbox.CodeNotFound}})
}

func TestResolveBranch(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	first := git(t, dir, "rev-parse", "HEAD")
	second := commit(t, dir, "a", "1\n")
	git(t, dir, "branch", "feature/ü")
	git(t, dir, "tag", "main", first)
	git(t, dir, "tag", "v1")
	r := local(t, dir)
	for name, want := range map[string]string{
		"main": second, "refs/heads/main": second, "feature/ü": second, "v1": "", "master": "", "feature": "", "main~1": "", "main^": "", "main@{0}": "",
		"main..main": "", "HEAD": "", "ma*": "", first: "", "main:a": "", "main ": "",
	} {
		got, err := r.ResolveBranch(ctx, name)
		code := signalbox.CodeNotFound
		if want != "" {
			code = ""
		}
		if got != want || signalbox.ErrorCode(err) != code {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "-d", "a\nb", "a\x00"} {
		if _, err := r.ResolveBranch(ctx, name); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	git(t, dir, "branch", "-m", "main", "trunk")
	if _, err := r.ResolveBranch(ctx, "main"); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("a renamed branch is still found: %v", err)
	}
	if got, err := r.ResolveBranch(ctx, "trunk"); err != nil || got != second {
		t.Errorf("%q, %v", got, err)
	}
}

func BenchmarkChanged(b *testing.B) {
	isolate(b)
	dir := b.TempDir()
	git(b, dir, "init", "-q", "-b", "main")
	git(b, dir, "commit", "-q", "--allow-empty", "-m", "First")
	for i := range 10000 {
		name := filepath.Join(dir, "d"+strconv.Itoa(i%100), strconv.Itoa(i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strconv.Itoa(i)), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	git(b, dir, "add", "-A")
	git(b, dir, "commit", "-q", "-m", "Second")
	r := &Repo{Dir: filepath.Join(dir, ".git")}
	for b.Loop() {
		if files, err := r.Changed(b.Context(), "main^", "main", true); err != nil || len(files) != 10000 {
			b.Fatal(len(files), err)
		}
	}
}

func TestCountSince(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	first := git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "checkout", "-q", "-b", "side")
	side := commit(t, dir, "s", "1\n")
	git(t, dir, "checkout", "-q", "main")
	commit(t, dir, "a", "1\n")
	second := commit(t, dir, "a", "2\n")
	r := local(t, dir)
	for _, c := range []struct {
		sha, branch string
		most, want  int
		code        signalbox.Code
	}{
		{first, "main", 10, 2, ""},
		{first, "main", 1, 1, ""},
		{second, "main", 10, 0, ""},
		{second, "side", 10, 1, ""},
		{side, "main", 10, 2, ""}, // what side has besides does not count
		{first, "none", 10, 0, signalbox.CodeNotFound},
		{strings.Repeat("0", 40), "main", 10, 0, signalbox.CodeNotFound},
		{"--all", "main", 10, 0, signalbox.CodeInvalid},
		{first, "--all", 10, 0, signalbox.CodeInvalid},
	} {
		if n, err := r.CountSince(ctx, c.sha, c.branch, c.most); n != c.want || signalbox.ErrorCode(err) != c.code {
			t.Errorf("%.8s..%s: %d, %v; want %d", c.sha, c.branch, n, err, c.want)
		}
	}
}
