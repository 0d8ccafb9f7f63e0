//go:build unix

package executor

import (
	"context"
	_ "embed"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed docker_inject.bash
var injectScript string

// Inject writes one file in the first container, as the container's user.
func (d *Docker) Inject(f File, emit Emit) (int, error) {
	say := func(format string, args ...any) (int, error) {
		return 1, emit([]byte(fmt.Sprintf(format, args...) + "\n"))
	}
	shown := f.Path
	if strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		shown = strconv.Quote(shown)
	}
	if _, err := say("Injecting %s with file mode %s", shown, f.Mode); err != nil {
		return 1, err
	}
	target, problem := d.main.resolve(f.Path)
	if problem != "" {
		return say("Failed to create destination path %s: %s", shown, problem)
	}
	mode, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || mode > 0o7777 {
		return say("Failed to set file mode to %s", f.Mode)
	}
	ctx, cancel := context.WithTimeout(d.life, 5*time.Minute)
	defer cancel()
	content := f.Content
	if content == nil {
		content = []byte{}
	}
	said, code, err := d.exec(ctx, "", content, "bash", "-c", injectScript, "signalbox", target, fmt.Sprintf("%04o", mode))
	switch {
	case d.life.Err() != nil:
		return 1, ErrStopped
	case err != nil:
		return 1, fmt.Errorf("the file %s cannot be brought into the container: %w", shown, err)
	case code == 0:
		return 0, nil
	}
	if said != "" {
		said = ": " + said
	}
	switch code {
	case 11:
		return say("Failed to create destination path %s%s", shown, said)
	case 12:
		return say("Failed to move to destination path %s%s", shown, said)
	case 13:
		return say("Failed to set file mode to %s%s", f.Mode, said)
	default:
		return say("Failed to inject %s (exit code %d)%s", shown, code, said)
	}
}

// resolve is where a path leads in the container.
func (p *mainContainer) resolve(name string) (target, problem string) {
	switch {
	case name == "":
		return "", "it is empty"
	case strings.ContainsRune(name, 0):
		return "", "it holds a NUL byte"
	case strings.HasSuffix(name, "/"):
		return "", "it names a folder"
	case path.IsAbs(name):
		return path.Clean(name), ""
	}
	return path.Join(p.home, strings.TrimPrefix(name, "~")), ""
}
