//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAgentRun(t *testing.T) {
	noEnvironment(t)
	home := t.TempDir()
	for _, c := range []struct {
		name, text string
		code       int
		want       []string
	}{
		{"passes", `
job_name: Try it
env_vars:
  - {name: GREETING, value: SGVsbG8=}
file:
  - {path: note.txt, content: d29ybGQK, mode: "0640"}
commands:
  - directive: echo "$GREETING" $(cat ~/note.txt)
  - {directive: stat -c %a ~/note.txt, alias: Mode}
epilogue_always_commands:
  - directive: echo $SEMAPHORE_JOB_RESULT
`, 0, []string{"Hello world\n", "Running: stat -c %a ~/note.txt\n640\n", "\npassed\n", "The job passed.\n"}},
		{"fails", "commands: [{directive: exit 3}]\nepilogue_on_fail_commands: [{directive: echo sorry}]\n", 10, []string{"exit code 3", "\nsorry\n", "The job failed."}},
		{"is stopped", "commands: [{directive: exit 130}]\n", 11, []string{"The job stopped."}},
		{"unknown key", "commands:\n  - directive: x\n    comand: y\n", 2, []string{`job.yaml:3:5: unknown key "comand" in commands 1; it has directive, alias`}},
		{"unknown key at the top", "comands: []\n", 2, []string{`job.yaml:1:1: unknown key "comands" in the job file`}},
		{"twice", "files: []\nfile: []\n", 2, []string{"job.yaml:2:1: files stands here a second time"}},
		{"no list", "commands: echo\n", 2, []string{"job.yaml:1:11: commands must be a list"}},
		{"no text", "commands: [{directive: [a]}]\n", 2, []string{"job.yaml:1:24: directive must be a text"}},
		{"no map", "commands: [echo]\n", 2, []string{"job.yaml:1:12: commands 1 must be a map"}},
		{"no base64", "env_vars:\n  - {name: A, value: \"hello!\"}\n", 2, []string{"job.yaml:2:22: value is not base64"}},
		{"no YAML", "commands: [\n", 2, []string{"it is not YAML"}},
		{"nothing", "", 2, []string{"job.yaml:1:1: the job file is empty"}},
	} {
		file := filepath.Join(t.TempDir(), "job.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, []string{"HOME=" + home}, "agent", "run", file)
		if code := p.ends(); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(p.text(), want) {
				t.Errorf("%s: it said\n%s\nwant %q", c.name, p.text(), want)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(home, "note.txt")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte("commands: [{directive: \"echo begun; sleep 60\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"HOME=" + home}, "agent", "run", file)
	p.says("begun\n")
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 11 || !strings.Contains(p.text(), "The job stopped.") {
		t.Errorf("after SIGTERM: exit code %d", code)
	}
}
