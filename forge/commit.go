package forge

import (
	"bytes"
	"context"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Bare tells whether nobody works in the repository, so that a branch may move without a work tree that then differs.
func (r *Repo) Bare(ctx context.Context) (bool, error) {
	out, err := r.git(ctx, "rev-parse", "--is-bare-repository")
	return strings.TrimSpace(string(out)) == "true", err
}

// Files returns the names in one folder at a commit, those of folders with a slash behind; none when there is no such folder.
func (r *Repo) Files(ctx context.Context, sha, folder string) ([]string, error) {
	if err := safe(sha); err != nil {
		return nil, err
	}
	tree := sha + ":" + strings.TrimPrefix(path.Clean("/"+folder), "/")
	out, err := r.git(ctx, "ls-tree", "-z", tree)
	if err != nil {
		if missing(err) || strings.Contains(err.Error(), "Not a valid object name") || strings.Contains(err.Error(), "not a tree object") {
			return nil, nil
		}
		return nil, err
	}
	var names []string
	for _, entry := range strings.Split(string(out), "\x00") {
		head, name, ok := strings.Cut(entry, "\t")
		switch {
		case !ok:
		case strings.Contains(head, " tree "):
			names = append(names, name+"/")
		case strings.Contains(head, " blob "):
			names = append(names, name)
		}
	}
	return names, nil
}

// Change is a commit of one new file on a branch.
type Change struct {
	Branch, File, Message string
	Text                  []byte
	Author, Email         string
}

// CommitFile adds one file to a branch of a bare repository, without a work tree and without hooks, and returns the commit. A
// branch that moved meanwhile is CodeConflict, and so is a file that is there. An empty repository gets its first commit.
func (r *Repo) CommitFile(ctx context.Context, c Change) (sha string, err error) {
	if err := safe(c.Branch); err != nil {
		return "", err
	}
	if bare, err := r.Bare(ctx); err != nil || !bare {
		return "", errorOr(err, signalbox.Errorf(signalbox.CodeInvalid, "%s is not a bare repository: commit the file in its work tree", r.Dir))
	}
	ref := "refs/heads/" + c.Branch
	if _, err := r.git(ctx, "check-ref-format", ref); err != nil {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "%.100q is not a name of a branch", c.Branch)
	}
	file := strings.TrimPrefix(path.Clean("/"+c.File), "/")
	if file == "" || strings.ContainsAny(file, "\x00\n\t") || file == ".git" || strings.HasPrefix(file, ".git/") {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "%.100q is not a name of a file", c.File)
	}
	parent, err := r.Resolve(ctx, ref)
	if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return "", err
	}
	if parent != "" {
		if _, err := r.FileAt(ctx, parent, file); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return "", errorOr(err, signalbox.Errorf(signalbox.CodeConflict, "%s is on branch %s already", file, c.Branch))
		}
	}
	dir, err := os.MkdirTemp("", "signalbox-commit-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	step := func(input []byte, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		cmd := command(ctx, r.Dir, args...)
		cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+filepath.Join(dir, "index"), "GIT_AUTHOR_NAME="+c.Author, "GIT_AUTHOR_EMAIL="+c.Email,
			"GIT_COMMITTER_NAME=Signalbox", "GIT_COMMITTER_EMAIL=signalbox@localhost")
		cmd.Stdin = bytes.NewReader(input)
		out, err := runWith(cmd)
		return strings.TrimSpace(string(out)), err
	}
	if parent != "" {
		if _, err := step(nil, "read-tree", parent); err != nil {
			return "", err
		}
	}
	blob, err := step(c.Text, "hash-object", "-w", "--stdin")
	if err != nil {
		return "", err
	}
	if _, err := step(nil, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+file); err != nil {
		return "", err
	}
	tree, err := step(nil, "write-tree")
	if err != nil {
		return "", err
	}
	args := []string{"-c", "commit.gpgSign=false", "commit-tree", tree, "-F", "-"}
	if parent != "" {
		args = append(args, "-p", parent)
	}
	if sha, err = step([]byte(c.Message+"\n"), args...); err != nil {
		return "", err
	}
	old := parent
	if old == "" {
		old = strings.Repeat("0", len(sha))
	}
	if _, err := step(nil, "update-ref", ref, sha, old); err != nil {
		return "", signalbox.Errorf(signalbox.CodeConflict, "branch %s moved while the file was added; try again: %w", c.Branch, err)
	}
	return sha, nil
}

func errorOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Hooked tells whether our hook is in a repository of this machine.
func Hooked(ctx context.Context, gitDir string) bool {
	hooks := filepath.Join(gitDir, "hooks")
	if own, err := hooksPath(ctx, gitDir); err == nil && own != "" {
		if hooks = own; !filepath.IsAbs(hooks) {
			hooks = filepath.Join(gitDir, own)
		}
	}
	text, err := os.ReadFile(filepath.Join(hooks, "post-receive"))
	return err == nil && strings.Contains(string(text), hookMark)
}

// CountSince counts the commits of a branch that a commit does not have, up to most. CodeNotFound when one of them is not there.
func (r *Repo) CountSince(ctx context.Context, sha, branch string, most int) (int, error) {
	head, err := r.ResolveBranch(ctx, branch)
	if err != nil {
		return 0, err
	}
	since, err := r.Resolve(ctx, sha)
	if err != nil || since == head {
		return 0, err
	}
	out, err := r.git(ctx, "rev-list", "--count", "--max-count="+strconv.Itoa(most), head, "^"+since)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}
