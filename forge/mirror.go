package forge

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// networkTimeout bounds a clone or fetch.
const networkTimeout = 15 * time.Minute

// Mirror brings a bare copy of the repository at address in dir up to date, making it when it is not there: branches
// and tags, with those removed that are gone. A password in the address is not repeated in errors. Calls for one dir
// must not overlap.
func Mirror(ctx context.Context, address, dir string) (*Repo, error) {
	if err := safe(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err != nil {
		parent, fresh := filepath.Dir(dir), dir+".new"
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of mirrors: %w", err)
		}
		if err := os.RemoveAll(fresh); err != nil { // left by a clone that was cut off
			return nil, fmt.Errorf("remove an unfinished mirror: %w", err)
		}
		if _, err := run(ctx, parent, "clone", "--quiet", "--mirror", "--", address, fresh); err != nil {
			return nil, remoteError("clone", address, err)
		}
		if err := os.Rename(fresh, dir); err != nil {
			return nil, fmt.Errorf("put the mirror into place: %w", err)
		}
		return &Repo{Dir: dir}, nil
	}
	// By address, not by the name of a remote: the project may have moved since the clone.
	if _, err := run(ctx, dir, "fetch", "--quiet", "--prune", "--no-tags", "--", address,
		"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); err != nil {
		return nil, remoteError("fetch from", address, err)
	}
	return &Repo{Dir: dir}, nil
}

var urlPassword = regexp.MustCompile(`(://[^/\s:@]*):[^/\s@]*@`)

// remoteError says that a repository elsewhere could not be read, in git's words but without its password.
func remoteError(doing, address string, err error) error {
	shown := signalbox.WithoutPassword(address)
	text := strings.ReplaceAll(err.Error(), address, shown)
	if u, parseErr := url.Parse(address); parseErr == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && password != "" {
			text = strings.ReplaceAll(text, password, signalbox.HiddenPassword)
		}
	}
	return &signalbox.Error{
		Code:    signalbox.CodeUnavailable,
		Message: fmt.Sprintf("cannot %s %s: %s", doing, shown, urlPassword.ReplaceAllString(text, "$1:xxxxx@")),
	}
}
