package forge

import (
	"context"
	"os/exec"
)

// Publish makes a repository of a folder: a bare one at bare, with one commit of everything in the folder ready to be
// pushed to its branch main.
func Publish(ctx context.Context, folder, bare, message string) error {
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", "--", bare},
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "--all"},
		{"-c", "user.name=Signalbox", "-c", "user.email=signalbox@localhost", "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", message},
		{"remote", "add", "origin", bare},
	} {
		if _, err := run(ctx, folder, args...); err != nil {
			return err
		}
	}
	return nil
}

// Push sends the branch main of a work tree to its origin. The hooks of the receiving repository run.
func Push(ctx context.Context, folder string) error {
	_, err := runWith(pushCommand(ctx, folder))
	return err
}

// pushCommand leaves hooks alone, unlike every other command here: the receiving repository's are the point.
func pushCommand(ctx context.Context, folder string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", "push", "--quiet", "origin", "main")
	cmd.Dir, cmd.Env = folder, environment()
	return cmd
}
