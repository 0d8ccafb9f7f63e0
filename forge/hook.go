package forge

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

//go:embed post-receive.sh
var postReceive string

// hookMark tells our hook from anybody else's.
const hookMark = "# signalbox post-receive hook"

var assignment = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

// kept is where a hook that was there before lives on.
const kept = "post-receive.before-signalbox"

// InstallHook makes a repository of this machine tell us of pushes: its post-receive hook writes each push into a spool
// folder, runs the hook that was there before with the same input, and then starts command without waiting for it.
// Leading elements of the form NAME=VALUE become its environment, where other users do not see them, unlike arguments.
// It honours the repository's core.hooksPath. Installing twice is fine, and puts a new command into place.
func InstallHook(ctx context.Context, gitDir string, command []string) error {
	r := &Repo{Dir: gitDir}
	out, err := run(ctx, r.Dir, "-c", "core.hooksPath=", "rev-parse", "--path-format=absolute", "--git-dir")
	if err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "%s is not a git repository: %w", gitDir, err)
	}
	abs := strings.TrimSpace(string(out))
	hooks := filepath.Join(abs, "hooks")
	if own, err := hooksPath(ctx, abs); err == nil && own != "" {
		if hooks = own; !filepath.IsAbs(hooks) {
			hooks = filepath.Join(abs, own) // receiving hooks run in the git folder
		}
	}
	for _, d := range []string{hooks, filepath.Join(abs, "signalbox", "spool")} {
		if err := os.MkdirAll(d, 0o777); err != nil { // as git does: the umask decides
			return fmt.Errorf("make %s: %w", d, err)
		}
	}
	path := filepath.Join(hooks, "post-receive")
	old, err := os.ReadFile(path)
	switch {
	case err == nil && !strings.Contains(string(old), hookMark):
		if err := keep(path, filepath.Join(hooks, kept)); err != nil {
			return fmt.Errorf("keep the hook that is there: %w", err)
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read the hook that is there: %w", err)
	}
	quoted := make([]string, len(command))
	leading := true
	for i, c := range command {
		name, value, ok := strings.Cut(c, "=")
		if leading = leading && ok && assignment.MatchString(name); leading {
			quoted[i] = name + "=" + quoteShell(value)
			continue
		}
		quoted[i] = quoteShell(c)
	}
	text := strings.NewReplacer("@MARK@", hookMark, "@KEPT@", kept, "@COMMAND@", strings.Join(quoted, " ")).Replace(postReceive)
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o755); err != nil { //nolint:gosec // a hook must be executable
		return fmt.Errorf("write the hook: %w", err)
	}
	return os.Rename(tmp, path)
}

// RemoveHook takes the hook that was installed for whom the text names out of a repository of this machine, puts the one that it called back,
// and forgets the pushes that it wrote down. Anybody else's hook stays, and so does one in a folder outside of the repository, which others
// may share.
func RemoveHook(ctx context.Context, gitDir, names string) error {
	hooks := filepath.Join(gitDir, "hooks")
	if own, err := hooksPath(ctx, gitDir); err == nil && own != "" {
		if filepath.IsAbs(own) || !filepath.IsLocal(own) {
			return nil
		}
		hooks = filepath.Join(gitDir, own)
	}
	path := filepath.Join(hooks, "post-receive")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), hookMark) || !strings.Contains(string(text), names) {
		return nil
	}
	err = os.Rename(filepath.Join(hooks, kept), path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(path)
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(gitDir, "signalbox"))
}

// keep renames a foreign hook to the name under which ours calls it. One that was kept earlier, and that somebody has
// replaced since, gets a number: it no longer runs, but is not lost.
func keep(path, to string) error {
	for n := 1; ; n++ {
		old := fmt.Sprintf("%s.%d", to, n)
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, to)
		}
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(to, old); err != nil {
				return err
			}
		}
	}
}

// hooksPath reads core.hooksPath of the repository itself: that of the server's user is not the pusher's.
func hooksPath(ctx context.Context, gitDir string) (string, error) {
	out, err := run(ctx, gitDir, "config", "--local", "--type=path", "--get", "core.hooksPath")
	return strings.TrimSuffix(string(out), "\n"), err
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// RefUpdate is one line of a push. A zero OLD means that the ref is new, a zero New that it was deleted.
type RefUpdate struct {
	Old, New, Ref string
}

// Zero tells whether a commit id stands for "none".
func Zero(sha string) bool { return strings.Trim(sha, "0") == "" }

// SpooledPush is one push that a hook wrote down.
type SpooledPush struct {
	ID      string
	Updates []RefUpdate
}

// Spooled returns the pushes that wait in a repository's spool, oldest first by the time they were written: the names
// tell seconds only. Files that are no pushes are skipped.
func Spooled(gitDir string) ([]SpooledPush, error) {
	dir := filepath.Join(gitDir, "signalbox", "spool")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []SpooledPush
	written := map[string]time.Time{}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".push") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info, err := e.Info(); err == nil {
			written[e.Name()] = info.ModTime()
		}
		p := SpooledPush{ID: e.Name()}
		for _, line := range strings.Split(string(b), "\n") {
			f := strings.SplitN(line, " ", 3)
			if len(f) == 3 && safe(f[0]) == nil && safe(f[1]) == nil && strings.HasPrefix(f[2], "refs/") {
				p.Updates = append(p.Updates, RefUpdate{Old: f[0], New: f[1], Ref: f[2]})
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b SpooledPush) int {
		return cmp.Or(written[a.ID].Compare(written[b.ID]), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// RemoveSpooled forgets a push that was handled.
func RemoveSpooled(gitDir, id string) error {
	if id != filepath.Base(id) || !strings.HasSuffix(id, ".push") {
		return signalbox.Errorf(signalbox.CodeInvalid, "%q is not the name of a spooled push", id)
	}
	err := os.Remove(filepath.Join(gitDir, "signalbox", "spool", id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
