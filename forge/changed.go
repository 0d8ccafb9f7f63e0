package forge

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"unicode"

	"github.com/signalbox-ci/signalbox"
)

// Changed lists the files that differ between two commits, each named as git stores it, without a "/" in front. A
// renamed file is there under both names, a submodule under the name of its folder. With mergeBase it compares head
// with the last commit that both share, as "base...head" does. An empty base, and the parent of a first commit, stand for
// nothing at all, so that everything in head differs. CodeNotFound says that the repository lacks one of the commits, or
// that they share none.
func (r *Repo) Changed(ctx context.Context, base, head string, mergeBase bool) ([]string, error) {
	to, err := r.Resolve(ctx, head)
	if err != nil {
		return nil, err
	}
	from := ""
	if base != "" {
		from, err = r.Resolve(ctx, base)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound && r.beforeFirst(ctx, base) {
			from, err = "", nil
		}
		if err != nil {
			return nil, err
		}
	}
	if from != "" && mergeBase {
		if from, err = r.mergeBase(ctx, from, to); err != nil {
			return nil, err
		}
	}
	var out []byte
	if from == "" {
		out, err = r.git(ctx, "ls-tree", "-r", "-z", "--name-only", "--full-tree", to)
	} else {
		// A repository may ask for submodules to be overlooked; a change is a change.
		out, err = r.git(ctx, "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--ignore-submodules=none", from, to)
	}
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(string(out), "\x00")
	if text == "" {
		return nil, nil
	}
	return strings.Split(text, "\x00"), nil
}

var parentOf = regexp.MustCompile(`^(.+?)(?:\^1?|~[0-9]*)+$`)

// beforeFirst tells whether ref asks for a parent of a commit that has none, or for one further back. Where history was
// cut off by a shallow clone nobody knows.
func (r *Repo) beforeFirst(ctx context.Context, ref string) bool {
	m := parentOf.FindStringSubmatch(ref)
	if m == nil {
		return false
	}
	if _, err := r.Resolve(ctx, m[1]); err != nil {
		return false
	}
	return !r.shallow(ctx)
}

func (r *Repo) mergeBase(ctx context.Context, a, b string) (string, error) {
	out, err := r.git(ctx, "merge-base", a, b)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", signalbox.Errorf(signalbox.CodeNotFound, "the commits %.10s and %.10s have no history in common", a, b)
	}
	return strings.TrimSpace(string(out)), err
}

// ResolveBranch returns the commit that a branch points to, whatever else has the same name; CodeNotFound when there is
// no such branch.
func (r *Repo) ResolveBranch(ctx context.Context, name string) (string, error) {
	if err := safe(name); err != nil {
		return "", err
	}
	absent := signalbox.Errorf(signalbox.CodeNotFound, "the repository has no branch %.100q", name)
	name = strings.TrimPrefix(name, "refs/heads/")
	if !isBranchName(name) {
		return "", absent
	}
	sha, err := r.Resolve(ctx, "refs/heads/"+name)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return "", absent
	}
	return sha, err
}

// IsBranchName tells whether a branch can have a name.
func IsBranchName(name string) bool {
	return safe(name) == nil && isBranchName(name) && len(name) <= 250 && !strings.ContainsFunc(name, unicode.IsControl) &&
		!strings.HasPrefix(name, "/") && !strings.HasSuffix(name, "/") && !strings.HasSuffix(name, ".") && !strings.HasSuffix(name, ".lock") && !strings.Contains(name, "//")
}

// isBranchName refuses what no branch can be called, but what git would take for a way to a commit.
func isBranchName(name string) bool {
	return !strings.ContainsAny(name, "~^:?*[\\ \t") && !strings.Contains(name, "..") && !strings.Contains(name, "@{")
}
