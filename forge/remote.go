package forge

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// askTimeout bounds asking a repository elsewhere what it has, while somebody waits.
const askTimeout = time.Minute

// Remote is what a repository elsewhere says of itself without being fetched.
type Remote struct {
	Refs   map[string]string // branches and tags, as Repo.Refs has them
	Branch string            // the one that HEAD names, "" when it names none that is there
}

// AskRemote asks a repository elsewhere for its refs. A password in the address is not repeated in errors.
func AskRemote(ctx context.Context, address string) (*Remote, error) {
	if err := safe(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	out, err := run(ctx, os.TempDir(), "ls-remote", "--quiet", "--symref", "--", address, "HEAD", "refs/heads/*", "refs/tags/*")
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, signalbox.Errorf(signalbox.CodeUnavailable, "%s did not answer in time; look whether the server can reach it, and try again", signalbox.WithoutPassword(address))
	}
	if err != nil {
		return nil, remoteError("read", address, err)
	}
	return readRemote(string(out)), nil
}

// readRemote reads what git ls-remote --symref printed.
func readRemote(out string) *Remote {
	r := &Remote{Refs: map[string]string{}}
	for line := range strings.Lines(out) {
		value, ref, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		target, symbolic := strings.CutPrefix(value, "ref: ")
		switch {
		case !ok:
		case symbolic && ref == "HEAD":
			if name, branch := strings.CutPrefix(target, "refs/heads/"); branch {
				r.Branch = name
			}
		case symbolic:
		case strings.HasPrefix(ref, "refs/heads/"), strings.HasPrefix(ref, "refs/tags/"):
			// What stands behind an annotated tag has a line of its own, after that of the tag.
			r.Refs[strings.TrimSuffix(ref, "^{}")] = value
		}
	}
	return r
}
