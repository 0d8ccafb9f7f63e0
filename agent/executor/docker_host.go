//go:build unix

package executor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/mount"
	"golang.org/x/sys/unix"
)

// hostCommands prepares this machine. Success is silent.
func (d *Docker) hostCommands(ctx context.Context) error {
	for _, text := range d.opts.HostCommands {
		said := &tail{max: 2000}
		cmd := hostCommand(ctx, jobEnvironment(os.Environ()), "bash", "-c", text)
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Run(); err != nil {
			return sentence("The host setup command %q failed on the agent's machine (%w).\n%s", text, err, said)
		}
	}
	return nil
}

// hostCommand is a program in a process group of its own, all of which is killed when ctx ends.
func hostCommand(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second // a background process may hold on to the output
	return cmd
}

// jobEnvironment leaves out the agent's own settings, which may hold its registration token.
func jobEnvironment(env []string) (out []string) {
	for _, e := range env {
		if !strings.HasPrefix(e, "SIGNALBOX_") && !strings.HasPrefix(e, "SEMAPHORE_AGENT_TOKEN=") {
			out = append(out, e)
		}
	}
	return out
}

// binds are the files of this machine that the first container sees, and those that are missing.
func (d *Docker) binds() (found []mount.Mount, missing []Bind, err error) {
	for _, f := range d.opts.Files {
		path, err := filepath.Abs(f.Host)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err == nil {
			found = append(found, mount.Mount{Type: mount.TypeBind, Source: path, Target: f.Container})
			continue
		}
		d.log.Warn("a file that containers should see is missing", "file", f.Host, "error", err)
		if d.opts.FailOnMissingFiles {
			return nil, nil, sentence("The agent is configured to show %s to every job, and to fail the job when it cannot: %w", f.Host, err)
		}
		missing = append(missing, f)
	}
	return found, missing, nil
}

// tail keeps the last bytes written to it.
type tail struct {
	b   []byte
	max int
}

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - t.max; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.b), "\uFFFD"))
}
