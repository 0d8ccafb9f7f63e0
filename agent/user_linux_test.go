package agent

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// TestJobUserReachesNothingOfTheAgent: a job that runs as another user finds no way to the agent's token, state, spool,
// memory and process, and injected files are written with that user's rights, wherever a link leads.
func TestJobUserReachesNothingOfTheAgent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run jobs as another user; this test needs root")
	}
	t.Parallel()
	base := t.TempDir()
	for _, dir := range []string{base, filepath.Dir(base)} { // test folders are closed to others
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(base, "of-root")
	if err := os.WriteFile(secret, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(base, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(theirs, "link")); err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	state := filepath.Join(base, "state")
	h := newHub(t,
		"id -un; echo \"$USER\"",
		"ls "+state+"/1 2>&1 | grep -c denied",
		"cat "+state+"/1/access.json "+state+"/1/job.json "+state+"/1/spool/* 2>&1 | grep -vc denied || true",
		fmt.Sprintf("cat /proc/%d/environ /proc/%d/mem 2>&1 | grep -vc denied || true", pid, pid),
		fmt.Sprintf("ls /proc/%d/fd 2>&1 | grep -c denied; kill -9 %d 2>&1 | grep -c permitted", pid, pid),
		// The directory of the job holds nothing that they could replace, and the copies of others cannot be read.
		"touch $__sb_dir/x 2>&1 | grep -c denied; rm $__sb_dir/command 2>&1 | grep -c denied; cat $__sb_dir/leftover.json 2>&1 | grep -c denied",
		"cat "+theirs+"/injected; stat -c '%U %a' "+theirs+"/injected; pwd | grep -c work; touch mine; env | grep -c type-token || true",
	)
	h.payload.Files = []agentapi.File{{Path: theirs + "/injected", Mode: "0640", Content: base64.StdEncoding.EncodeToString([]byte("hello\n"))}}
	c := h.config()
	c.JobUser, c.StateDir, c.Workspace = "nobody", state, filepath.Join(base, "work")
	if _, err := h.run(c); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	log := strings.Join(h.log, "\n")
	h.mu.Unlock()
	if h.result != "passed" {
		t.Errorf("result %q\n%s", h.result, log)
	}
	got := h.delivered()
	want := []string{"nobody\nnobody\n", "1\n", "0\n", "0\n", "1\n1\n", "1\n1\n1\n", "hello\nnobody 640\n1\n0\n"}
	var outputs []string
	for i, line := range got {
		if i > 0 && strings.HasPrefix(got[i-1], "$ ") && !strings.HasPrefix(line, "= ") && !strings.HasPrefix(line, "Exporting") && !strings.HasPrefix(line, "Injecting") {
			outputs = append(outputs, line)
		}
	}
	if strings.Join(outputs, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q\n%s", outputs, want, log)
	}
	for _, left := range []string{theirs + "/injected", filepath.Join(base, "work")} {
		if entries, err := os.ReadDir(left); err == nil && len(entries) > 0 {
			t.Errorf("%s is left", left)
		}
	}

	h = newHub(t, "true")
	h.payload.Files = []agentapi.File{{Path: theirs + "/link", Mode: "0644", Content: base64.StdEncoding.EncodeToString([]byte("overwritten"))}}
	c = h.config()
	c.JobUser, c.StateDir, c.Workspace = "nobody", state, filepath.Join(base, "work")
	if _, err := h.run(c); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "untouched" || h.result != "failed" {
		t.Errorf("result %q, and the file of root holds %q, %v", h.result, b, err)
	}
}
