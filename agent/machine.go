package agent

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// osName is the name of the operating system for people.
func osName() string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if b, err := os.ReadFile(path); err == nil {
			if name := prettyName(string(b)); name != "" {
				return name
			}
		}
	}
	return runtime.GOOS
}

// prettyName reads an os-release file.
func prettyName(release string) string {
	values := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(release))
	for lines.Scan() {
		k, v, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok {
			continue
		}
		if u, err := strconv.Unquote(v); err == nil {
			v = u
		}
		values[k] = strings.Trim(v, "'")
	}
	if n := values["PRETTY_NAME"]; n != "" {
		return n
	}
	return values["NAME"]
}

// archName is the architecture in the protocol's words.
func archName(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86_64"
	case "386":
		return "x86"
	default:
		return goarch
	}
}

// shutdownHook runs the owner's script, as the last thing.
func (a *Agent) shutdownHook(ctx context.Context, reason ExitReason) {
	if a.cfg.ShutdownHook == "" {
		return
	}
	program := "bash"
	if runtime.GOOS == "windows" {
		program = "powershell"
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, a.cfg.ShutdownHook)
	cmd.Env = append(cmd.Environ(), "SEMAPHORE_AGENT_SHUTDOWN_REASON="+string(reason))
	out, err := cmd.CombinedOutput()
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
	}
	a.log.Log(ctx, level, "shutdown hook", "path", a.cfg.ShutdownHook, "error", err, "output", string(out[max(0, len(out)-4096):]))
}

// errLocked is the error of lockFile when another process has the lock.
var errLocked = errors.New("another process has the lock")
