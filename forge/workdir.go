package forge

import (
	"context"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// GitDir returns the absolute git folder that a work tree shares with its other work trees.
func GitDir(ctx context.Context, dir string) (string, error) {
	out, err := run(ctx, dir, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "%s is not in a git repository: run this inside one, or make one with \"git init\"", dir)
	}
	return strings.TrimSpace(string(out)), nil
}
