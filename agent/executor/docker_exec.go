//go:build unix

package executor

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// exec runs a program in the first container and returns what it wrote and its exit code. user "" is the container's.
func (d *Docker) exec(ctx context.Context, user string, stdin []byte, cmd ...string) (said string, code int, err error) {
	made, err := d.engine.ExecCreate(ctx, d.main.id, client.ExecCreateOptions{
		User: user, AttachStdin: stdin != nil, AttachStdout: true, AttachStderr: true, Cmd: cmd,
	})
	if err != nil {
		return "", 1, err
	}
	stream, err := d.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", 1, err
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, stream.Close)()
	if stdin != nil {
		go func() {
			_, _ = stream.Conn.Write(stdin) // a program that does not read says so by its exit code
			_ = stream.CloseWrite()
		}()
	}
	out := &tail{max: 4000}
	if _, err := stdcopy.StdCopy(out, out, stream.Reader); err != nil && err != io.EOF {
		return "", 1, err
	}
	if err := ctx.Err(); err != nil {
		return "", 1, err
	}
	code, err = d.exitCode(ctx, made.ID)
	return out.String(), code, err
}

// exitCode is that of an exec whose output has ended. The engine may notice the end of the process a moment later.
func (d *Docker) exitCode(ctx context.Context, id string) (int, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		state, err := d.engine.ExecInspect(ctx, id, client.ExecInspectOptions{})
		if err != nil {
			return 1, fmt.Errorf("the engine cannot tell an exit code: %w", err)
		}
		if !state.Running {
			return state.ExitCode, nil
		}
		if !pauseFor(ctx, pause) {
			return 1, ctx.Err()
		}
	}
}
