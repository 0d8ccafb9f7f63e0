package forge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Snapshot is a bare repository that holds a work tree as it is now.
type Snapshot struct {
	Root    string // the work tree
	SHA     string
	Branch  string
	Changed int    // files that differ from HEAD, untracked ones included
	Trunk   string // the branch that others come from, as far as the work tree tells; else Branch
}

// TakeSnapshot makes a bare repository at into, which shares the objects of the work tree around dir, with one commit
// of everything in the work tree that is not ignored, on a branch of the present name. Index, refs and files of the
// work tree are not touched. Without changes the commit is HEAD itself. The other branches are there too, as the remote
// "origin" had them when somebody last fetched, or as they are here.
func TakeSnapshot(ctx context.Context, dir, into string) (*Snapshot, error) {
	out, err := run(ctx, dir, "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir", "--show-object-format")
	if err != nil {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "%s is not in a git work tree: run this inside a repository, or make one with \"git init\"", dir)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 4 {
		return nil, fmt.Errorf("git described the work tree in %d lines", len(lines))
	}
	root, gitDir, common, format := lines[0], lines[1], lines[2], lines[3]
	s := &Snapshot{Root: root, Branch: "detached"}
	if out, err := run(ctx, root, "symbolic-ref", "--quiet", "--short", "HEAD"); err == nil {
		s.Branch = strings.TrimSpace(string(out))
	}
	head := ""
	if out, err := run(ctx, root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"); err == nil {
		head = strings.TrimSpace(string(out))
	}
	if _, err := run(ctx, filepath.Dir(into), "init", "--quiet", "--bare", "--object-format="+format, "--", into); err != nil {
		return nil, err
	}
	alternates := filepath.Join(into, "objects", "info", "alternates")
	if err := os.WriteFile(alternates, []byte(filepath.Join(common, "objects")+"\n"), 0o600); err != nil {
		return nil, err
	}
	if b, err := os.ReadFile(filepath.Join(common, "shallow")); err == nil { // where a shallow clone's history ends
		if err := os.WriteFile(filepath.Join(into, "shallow"), b, 0o600); err != nil {
			return nil, err
		}
	}
	if err := s.commit(ctx, gitDir, into, head); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"update-ref", "refs/heads/" + s.Branch, s.SHA}, {"symbolic-ref", "HEAD", "refs/heads/" + s.Branch},
	} {
		if _, err := run(ctx, into, args...); err != nil {
			return nil, err
		}
	}
	return s, s.branches(ctx, root, into)
}

// branches makes the other branches in the snapshot and finds the trunk.
func (s *Snapshot) branches(ctx context.Context, root, into string) error {
	out, err := run(ctx, root, "for-each-ref", "--format=%(refname) %(objectname) %(symref)", "refs/heads/", "refs/remotes/origin/")
	if err != nil {
		return err
	}
	at := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		name, remote := strings.CutPrefix(f[0], "refs/remotes/origin/")
		switch {
		case len(f) > 2: // origin/HEAD
			s.Trunk = strings.TrimPrefix(f[2], "refs/remotes/origin/")
		case remote:
			at[name] = f[1]
		default:
			name = strings.TrimPrefix(f[0], "refs/heads/")
			if _, ok := at[name]; !ok {
				at[name] = f[1]
			}
		}
	}
	delete(at, s.Branch)
	// Of a branch "a" here and an "a/b" of origin, no repository can hold both.
	dirs := map[string]bool{}
	for name := range at {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	var script strings.Builder
	for name, sha := range at {
		if !dirs[name] && !strings.HasPrefix(name, s.Branch+"/") && !strings.HasPrefix(s.Branch, name+"/") {
			fmt.Fprintf(&script, "create refs/heads/%s %s\n", name, sha)
		}
	}
	cmd := command(ctx, into, "update-ref", "--stdin")
	cmd.Stdin = strings.NewReader(script.String())
	if _, err := runWith(cmd); err != nil && ctx.Err() != nil {
		return err
	}
	// Otherwise a commit is missing here, as in a partial clone: a condition that needs such a branch says so.
	for _, name := range []string{"main", "master", s.Branch} {
		if _, ok := at[name]; s.Trunk == "" && (ok || name == s.Branch) {
			s.Trunk = name
		}
	}
	return nil
}

// commit writes the work tree into the snapshot's own objects, by an index of its own.
func (s *Snapshot) commit(ctx context.Context, gitDir, into, head string) error {
	index := filepath.Join(into, "snapshot-index")
	if err := copyIndex(filepath.Join(gitDir, "index"), index); err != nil {
		return fmt.Errorf("copy the index: %w", err)
	}
	defer os.Remove(index)
	in := func(args ...string) (string, error) {
		// A split index would be written in two halves, one of them into the user's repository.
		cmd := command(ctx, s.Root, append([]string{"-c", "core.splitIndex=false"}, args...)...)
		cmd.Env = append(cmd.Env, "GIT_DIR="+gitDir, "GIT_WORK_TREE="+s.Root, "GIT_INDEX_FILE="+index,
			"GIT_OBJECT_DIRECTORY="+filepath.Join(into, "objects"),
			"GIT_AUTHOR_NAME=Signalbox", "GIT_AUTHOR_EMAIL=signalbox@localhost", "GIT_COMMITTER_NAME=Signalbox", "GIT_COMMITTER_EMAIL=signalbox@localhost")
		out, err := runWith(cmd)
		return strings.TrimSpace(string(out)), err
	}
	if _, err := in("add", "--all", "--", "."); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "cannot read the work tree %s: %w", s.Root, err)
	}
	tree, err := in("write-tree")
	if err != nil {
		return err
	}
	args := []string{"commit-tree", "-m", "Work tree with uncommitted changes", tree}
	base, err := in("hash-object", "-t", "tree", "--stdin") // the empty tree
	if err != nil {
		return err
	}
	if head != "" {
		if base, err = in("rev-parse", "--verify", head+"^{tree}"); err != nil {
			return err
		}
		if base == tree {
			s.SHA = head
			return nil
		}
		args = append(args, "-p", head)
	}
	changed, err := in("diff-tree", "-r", "--name-only", "-z", base, tree)
	if err != nil {
		return err
	}
	s.Changed = strings.Count(changed, "\x00")
	s.SHA, err = in(args...)
	return err
}

// copyIndex copies an index with its time, which saves hashing what has not changed. The time matters: git trusts a
// file's size and time only when they are older than the index.
func copyIndex(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever added
	}
	if err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
