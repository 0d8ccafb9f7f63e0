package forge

import (
	"context"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Clone is a repository that was cloned for a job: shallow, often of a single branch. It fetches what it is asked for
// from where it came from, and never moves branches of its own.
type Clone struct {
	Repo
}

// ResolveBranch returns the commit that a branch points to where the clone came from, or in the clone when it cannot be
// had from there; CodeNotFound when there is no such branch.
func (c *Clone) ResolveBranch(ctx context.Context, name string) (string, error) {
	if err := safe(name); err != nil {
		return "", err
	}
	name = strings.TrimPrefix(name, "refs/heads/")
	if isBranchName(name) {
		network, cancel := context.WithTimeout(ctx, networkTimeout)
		defer cancel()
		remote := "refs/remotes/origin/" + name
		if _, err := run(network, c.Dir, "fetch", "--quiet", "--no-tags", "origin", "+refs/heads/"+name+":"+remote); err == nil {
			return c.Resolve(ctx, remote)
		}
		if sha, err := c.Resolve(ctx, remote); err == nil {
			return sha, nil
		}
	}
	return c.Repo.ResolveBranch(ctx, name)
}

// Changed is Repo.Changed, which fetches older commits for as long as the range cannot be resolved without them.
func (c *Clone) Changed(ctx context.Context, base, head string, mergeBase bool) ([]string, error) {
	network, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	for i := 0; ; i++ {
		files, err := c.Repo.Changed(ctx, base, head, mergeBase)
		if signalbox.ErrorCode(err) != signalbox.CodeNotFound || i == 10 || !c.shallow(ctx) {
			return files, err
		}
		if _, failed := run(network, c.Dir, "fetch", "--quiet", "--no-tags", "--deepen="+strconv.Itoa(100<<i), "origin"); failed != nil {
			return nil, err
		}
	}
}

func (r *Repo) shallow(ctx context.Context) bool {
	out, err := r.git(ctx, "rev-parse", "--is-shallow-repository")
	return err != nil || strings.TrimSpace(string(out)) != "false"
}

// DefaultBranch returns the default branch of where the clone came from, "" when it does not know.
func (c *Clone) DefaultBranch(ctx context.Context) (string, error) {
	out, err := c.git(ctx, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
	if err != nil {
		return "", nil //nolint:nilerr // it was never told
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "origin/"), nil
}
