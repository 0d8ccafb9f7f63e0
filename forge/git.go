// Package forge is how the server reads repositories: today through the git command alone, on a repository of this
// machine or on a mirror of one elsewhere. It reads refs, commits and files, makes snapshots for local runs, and
// installs the hook by which a push is heard of. Nothing in a repository can make it prompt, run a hook or reach for
// another protocol.
package forge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Repo is a git repository that lies in a folder: Dir is its git folder (a bare repository, or a .git).
type Repo struct {
	Dir string
}

// Commit is what the server shows of a commit.
type Commit struct {
	SHA         string
	Parent      string // "" for a first commit
	Author      string
	AuthorEmail string
	Message     string
}

// maxFile bounds what FileAt returns.
const maxFile = 2 << 20

// timeout bounds every git command that does not use the network.
const timeout = time.Minute

// IsLocal tells whether s names a repository on this machine, and returns its git folder.
func IsLocal(s string) (dir string, ok bool) {
	s = strings.TrimPrefix(s, "file://")
	if !filepath.IsAbs(s) {
		return "", false
	}
	for _, d := range []string{s, filepath.Join(s, ".git")} {
		if _, err := os.Stat(filepath.Join(d, "HEAD")); err != nil {
			continue
		}
		if st, err := os.Stat(filepath.Join(d, "objects")); err == nil && st.IsDir() {
			return d, true
		}
	}
	return "", false
}

// environment keeps git from asking, from hooks and from protocols that run programs or that nobody signs for.
func environment() []string {
	ssh := true
	var out []string
	for _, e := range os.Environ() {
		switch {
		case strings.HasPrefix(e, "GIT_SSH_COMMAND="), strings.HasPrefix(e, "GIT_SSH="):
			ssh = false
		case strings.HasPrefix(e, "GIT_SSL"), !strings.HasPrefix(e, "GIT_"):
		default:
			continue // GIT_DIR and the like, when we were started from a hook
		}
		out = append(out, e)
	}
	if ssh {
		out = append(out, "GIT_SSH_COMMAND=ssh -o BatchMode=yes") // ssh asks the terminal, whatever git was told
	}
	return append(out, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "GIT_ALLOW_PROTOCOL=file:https:http:ssh",
		"GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
}

func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{
		"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-c", "protocol.ext.allow=never",
		"-c", "log.showSignature=false", // it would run the program that the repository names
		"-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false", // nothing outlives the call
	}, args...)...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run returns what a git command printed. An error carries git's own words.
func run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return runWith(command(ctx, dir, args...))
}

func runWith(cmd *exec.Cmd) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, signalbox.Errorf(signalbox.CodeUnavailable, "the git command is not installed on this machine")
		}
		text := strings.TrimSpace(errs.String())
		if text == "" {
			text = err.Error()
		}
		return nil, &gitError{text: text, err: err}
	}
	return out.Bytes(), nil
}

type gitError struct {
	text string
	err  error
}

func (e *gitError) Error() string { return "git: " + e.text }
func (e *gitError) Unwrap() error { return e.err }

// missing tells whether git refused because what was asked for is not in the repository, and not because it could not
// look: a time limit or a broken disk must not read as "there is no such file".
func missing(err error) bool {
	var g *gitError
	if !errors.As(err, &g) {
		return false
	}
	var exit *exec.ExitError
	if errors.As(g.err, &exit) && exit.ExitCode() == 1 && g.text == exit.Error() {
		return true // --verify --quiet says it with the code alone
	}
	for _, words := range []string{
		"does not exist in", "exists on disk, but not in", "ot a valid object name", "nvalid object name", "bad revision",
		"expected commit type", "bad object", "unknown revision",
	} {
		if strings.Contains(g.text, words) {
			return true
		}
	}
	return false
}

func (r *Repo) git(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return run(ctx, r.Dir, args...)
}

// safe refuses names that git would read as options.
func safe(name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, "\x00\n") {
		return signalbox.Errorf(signalbox.CodeInvalid, "%.100q is not a name of a branch, tag or commit", name)
	}
	return nil
}

// Refs returns all branches and tags with the commits they point to: "refs/heads/main" to a SHA.
func (r *Repo) Refs(ctx context.Context) (map[string]string, error) {
	out, err := r.git(ctx, "for-each-ref", "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(*objecttype)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Split(line, "\x00")
		if len(f) != 4 {
			continue
		}
		refs[f[0]] = f[1]
		if f[2] != "" {
			refs[f[0]] = f[2] // an annotated tag: the commit behind it
		}
		if f[3] == "tag" { // a tag of a tag, of which git before 2.45 tells the inner tag
			sha, err := r.git(ctx, "rev-parse", "--verify", "--end-of-options", f[2]+"^{}")
			if err != nil {
				return nil, err
			}
			refs[f[0]] = strings.TrimSpace(string(sha))
		}
	}
	return refs, nil
}

// Resolve returns the commit of a ref or SHA; CodeNotFound when there is none.
func (r *Repo) Resolve(ctx context.Context, ref string) (string, error) {
	if err := safe(ref); err != nil {
		return "", err
	}
	out, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if missing(err) {
		return "", signalbox.Errorf(signalbox.CodeNotFound, "the repository has no branch, tag or commit %.100q", ref)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// FileAt returns the content of a file at a commit. CodeNotFound names file and commit; a folder is not a file.
func (r *Repo) FileAt(ctx context.Context, sha, file string) ([]byte, error) {
	if err := safe(sha); err != nil {
		return nil, err
	}
	absent := signalbox.Errorf(signalbox.CodeNotFound, "File '%s' is not available at commit %.10s; add it or name another file", file, sha)
	clean := strings.TrimPrefix(path.Clean("/"+file), "/")
	if clean == "" || strings.ContainsAny(clean, "\x00\n") {
		return nil, absent
	}
	name := sha + ":" + clean
	kind, err := r.git(ctx, "cat-file", "-t", name)
	if missing(err) || err == nil && strings.TrimSpace(string(kind)) != "blob" {
		return nil, absent
	}
	if err != nil {
		return nil, err
	}
	size, err := r.git(ctx, "cat-file", "-s", name)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(size)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("git printed %.40q as the size of %s", size, file)
	}
	if n > maxFile {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "%s is %d bytes large; at most %d are read", file, n, maxFile)
	}
	return r.git(ctx, "cat-file", "blob", name)
}

// Commit describes a commit; CodeNotFound when there is none.
func (r *Repo) Commit(ctx context.Context, sha string) (Commit, error) {
	if err := safe(sha); err != nil {
		return Commit{}, err
	}
	out, err := r.git(ctx, "show", "-s", "--format=%H%x00%P%x00%an%x00%ae%x00%B", "--end-of-options", sha+"^{commit}")
	if missing(err) {
		return Commit{}, signalbox.Errorf(signalbox.CodeNotFound, "the repository has no commit %.100q", sha)
	}
	if err != nil {
		return Commit{}, err
	}
	f := strings.SplitN(string(out), "\x00", 5)
	if len(f) != 5 {
		return Commit{}, fmt.Errorf("git show printed %d fields", len(f))
	}
	parent, _, _ := strings.Cut(f[1], " ")
	text := func(s string) string { return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD") }
	return Commit{SHA: f[0], Parent: parent, Author: text(f[2]), AuthorEmail: text(f[3]), Message: strings.TrimSpace(text(f[4]))}, nil
}

// DefaultBranch returns the branch that HEAD names.
func (r *Repo) DefaultBranch(ctx context.Context) (string, error) {
	out, err := r.git(ctx, "symbolic-ref", "--quiet", "--short", "HEAD")
	if err != nil {
		return "", nil //nolint:nilerr // a detached HEAD names no branch
	}
	return strings.TrimSpace(string(out)), nil
}
