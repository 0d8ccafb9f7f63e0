package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func TestMoveAProject(t *testing.T) {
	s := newStation(t)
	moved := filepath.Join(t.TempDir(), "moved.git")
	if out, err := exec.Command("git", "clone", "--quiet", "--bare", s.repo, moved).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("git", "-C", moved, "branch", "next").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.expect(0, "", "project", "create", "demo", "--git", s.repo)
	s.expect(1, `spec.repository.default_branch: the repository has no branch "nope"; its branches are `, "project", "set", "demo", "--git", moved, "--default-branch", "nope")
	s.expect(1, "spec.repository.url: there is no git repository at /nowhere", "project", "set", "demo", "--git", "/nowhere")
	s.expect(0, `^Project demo\nRepository +`+moved+`\nDefault branch  next\n$`, "project", "set", "demo", "--git", moved, "--default-branch", "next")
	s.expect(0, "at most 3 at once", "project", "set", "demo", "--git", s.repo, "--max-running-jobs", "3")
	s.expect(0, s.repo, "project", "list")
}
