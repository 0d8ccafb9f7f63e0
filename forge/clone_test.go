package forge

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/change"
)

var _ change.Lister = (*Clone)(nil)

// A job's clone is shallow and knows one branch; the others and older commits are fetched.
func TestClone(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	for range 110 {
		git(t, dir, "commit", "-q", "--allow-empty", "-m", "More")
	}
	git(t, dir, "checkout", "-q", "-b", "dev")
	tip := commit(t, dir, "lib/a", "1\n")
	git(t, dir, "checkout", "-q", "main")
	trunk := commit(t, dir, "main.txt", "1\n")
	for range 5 {
		trunk = commit(t, dir)
	}
	path := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "-q", "--depth", "1", "--branch", "dev", "file://"+dir, path)
	c := &Clone{Repo: *local(t, path)}
	if got, err := c.ResolveBranch(ctx, "main"); err != nil || got != trunk {
		t.Fatalf("%q, %v", got, err)
	}
	if got := git(t, path, "for-each-ref", "--format=%(refname)", "refs/heads"); got != "refs/heads/dev" {
		t.Errorf("it has the branches %q of its own", got)
	}
	got, err := c.Changed(ctx, trunk, tip, true)
	if d := cmp.Diff([]string{"lib/a"}, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if name, err := c.DefaultBranch(ctx); err != nil || name != "" && name != "dev" && name != "main" {
		t.Errorf("%q, %v", name, err)
	}
	for _, name := range []string{"gone", "main~1", "ma*"} {
		if _, err := c.ResolveBranch(ctx, name); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.ResolveBranch(ctx, "--upload-pack=x"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("an option: %v", err)
	}
	first := git(t, dir, "rev-list", "--max-parents=0", "HEAD")
	if got, err := c.Changed(ctx, first+"^", first, true); err != nil || len(got) != 1 {
		t.Errorf("a first commit behind the edge of the clone: %q, %v", got, err)
	}
	// Where the origin is out of reach, what is there must do.
	git(t, path, "remote", "set-url", "origin", "file://"+filepath.Join(t.TempDir(), "gone"))
	if got, err := c.ResolveBranch(ctx, "main"); err != nil || got != trunk {
		t.Errorf("%q, %v", got, err)
	}
	git(t, path, "branch", "mine")
	if got, err := c.ResolveBranch(ctx, "mine"); err != nil || got != tip {
		t.Errorf("%q, %v", got, err)
	}
}
