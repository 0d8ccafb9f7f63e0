//go:build unix

package executor

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// leftover is what has to be ended and removed when a job's executor died before Close. It lies in the private
// directory of the job.
type leftover struct {
	Mark      string     `json:"mark"`
	Group     string     `json:"cgroup,omitempty"`
	Workspace string     `json:"workspace,omitempty"`
	User      string     `json:"user,omitempty"`
	Files     []injected `json:"files,omitempty"`
}

const leftoverFile = "leftover.json"

func (l leftover) save(dir string) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, leftoverFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// CleanUp does for the private directory of a job what Close would have done, had the process not been killed: it ends
// the job's processes, puts injected files back, and removes workspace and directory.
func CleanUp(dir string, log *slog.Logger) error {
	var l leftover
	b, err := os.ReadFile(filepath.Join(dir, leftoverFile))
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil { // nothing had begun
		return removeAll(dir)
	}
	var errs []error
	if l.Mark != "" {
		endMarked(l, log)
	}
	user, err := (*User)(nil), error(nil)
	if l.User != "" {
		user, err = LookupUser(l.User)
	}
	if err == nil {
		err = undoAll(l.Files, user)
	}
	errs = append(errs, err)
	if l.Workspace != "" {
		errs = append(errs, removeAll(l.Workspace))
	}
	return errors.Join(append(errs, removeAll(dir))...)
}

// endMarked kills the processes of a job whose agent is gone. Nobody waits for what they could still say.
func endMarked(l leftover, log *slog.Logger) {
	t := newTree(l.Mark)
	t.adopt(l.Group)
	deadline := time.Now().Add(10 * time.Second)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := t.members(0)
		if len(left) == 0 {
			break
		}
		for _, m := range left {
			_ = unix.Kill(m.pid, unix.SIGKILL)
		}
		if time.Now().After(deadline) {
			log.Error("processes of an earlier job cannot be killed", "pids", pids(left))
			break
		}
		time.Sleep(pause)
	}
	t.end()
}
