//go:build unix

package executor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

// origin is a repository with 60 commits on main, a branch with one more that was deleted, a tag and a pull request.
type origin struct {
	url, head, first, deleted, pull, moved string
}

func newOrigin(t *testing.T) origin {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "origin")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if out, err := exec.Command("git", "init", "-q", "-b", "main", dir).CombinedOutput(); err != nil {
		t.Skipf("git is needed: %v %s", err, out)
	}
	// A server that lets single commits be fetched, as the forges do.
	git("config", "uploadpack.allowAnySHA1InWant", "true")
	for range 60 {
		git("commit", "-q", "--allow-empty", "-m", "x")
	}
	o := origin{url: "file://" + dir, head: git("rev-parse", "HEAD"), first: git("rev-list", "--max-parents=0", "HEAD")}
	git("tag", "v1")
	git("checkout", "-q", "-b", "gone")
	git("commit", "-q", "--allow-empty", "-m", "gone")
	o.deleted = git("rev-parse", "HEAD")
	git("checkout", "-q", "-b", "pr", "main")
	git("commit", "-q", "--allow-empty", "-m", "pr")
	o.pull = git("rev-parse", "HEAD")
	git("commit", "-q", "--allow-empty", "-m", "pr moved on")
	o.moved = git("rev-parse", "HEAD")
	git("update-ref", "refs/pull/7/merge", o.moved)
	git("checkout", "-q", "main")
	git("branch", "-q", "-D", "pr", "gone")
	git("update-ref", "refs/keep/gone", o.deleted)
	return o
}

func TestCheckout(t *testing.T) {
	o := newOrigin(t)
	for name, tt := range map[string]struct {
		vars map[string]string
		code int
		out  string // part of the output
		sha  string // of HEAD at the end; "" is not looked at
		ref  string // what HEAD is
		n    string // number of commits
	}{
		"branch":          {map[string]string{}, 0, "", o.head, "main", "50"},
		"depth":           {map[string]string{"SEMAPHORE_GIT_DEPTH": "3"}, 0, "", o.head, "main", "3"},
		"old commit":      {map[string]string{"SEMAPHORE_GIT_SHA": o.first, "SEMAPHORE_GIT_DEPTH": "5"}, 0, "is not among the last 5 commits", o.first, "main", "1"},
		"HEAD":            {map[string]string{"SEMAPHORE_GIT_SHA": "HEAD"}, 0, "", o.head, "main", "50"},
		"deleted branch":  {map[string]string{"SEMAPHORE_GIT_BRANCH": "gone", "SEMAPHORE_GIT_SHA": o.deleted}, 0, "cannot be cloned", o.deleted, "gone", "50"},
		"unknown commit":  {map[string]string{"SEMAPHORE_GIT_SHA": strings.Repeat("1", 40)}, 1, "Revision: " + strings.Repeat("1", 40) + " not found .... Exiting", "", "", ""},
		"tag":             {map[string]string{"SEMAPHORE_GIT_REF_TYPE": "tag", "SEMAPHORE_GIT_BRANCH": "refs/tags/v1", "SEMAPHORE_GIT_TAG_NAME": "v1"}, 0, "", o.head, "HEAD", "50"},
		"missing tag":     {map[string]string{"SEMAPHORE_GIT_REF_TYPE": "tag", "SEMAPHORE_GIT_TAG_NAME": "v2"}, 1, "Release v2 not found .... Exiting", "", "", ""},
		"pull request":    {map[string]string{"SEMAPHORE_GIT_REF_TYPE": "pull-request", "SEMAPHORE_GIT_REF": "refs/pull/7/merge", "SEMAPHORE_GIT_SHA": o.pull}, 0, "", o.pull, "HEAD", ""},
		"unset":           {map[string]string{"SEMAPHORE_GIT_SHA": ""}, 1, "[CHECKOUT ERROR] Some of these variables are unset:\nSEMAPHORE_GIT_BRANCH=main\n", "", "", ""},
		"option as url":   {map[string]string{"SEMAPHORE_GIT_URL": "--upload-pack=touch pwned"}, 1, "begins with '-'", "", "", ""},
		"dangerous dir":   {map[string]string{"SEMAPHORE_GIT_DIR": "../x"}, 1, "is not a folder that may be replaced", "", "", ""},
		"depth of words":  {map[string]string{"SEMAPHORE_GIT_DEPTH": "many"}, 1, "is not a number of commits", "", "", ""},
		"server is away":  {map[string]string{"SEMAPHORE_GIT_URL": "file:///does/not/exist"}, 1, "[3/3] Cloning failed.", "", "", ""},
		"dir with blanks": {map[string]string{"SEMAPHORE_GIT_DIR": "a b"}, 0, "", o.head, "main", "50"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, func(op *ShellOptions) { op.Workspace = filepath.Join(t.TempDir(), "work") })
			vars := map[string]string{
				"SEMAPHORE_GIT_BRANCH": "main", "SEMAPHORE_GIT_URL": o.url, "SEMAPHORE_GIT_DIR": "repo", "SEMAPHORE_GIT_SHA": o.head,
				"SEMAPHORE_GIT_REF_TYPE": "branch",
			}
			for k, v := range tt.vars {
				vars[k] = v
			}
			var list []signalbox.EnvVar
			for k, v := range vars {
				list = append(list, signalbox.EnvVar{Name: k, Value: v})
			}
			if code, err := s.Export(t.Context(), list, nil); code != 0 || err != nil {
				t.Fatal(code, err)
			}
			out, code := do(t, s, "checkout")
			if code != tt.code || !strings.Contains(out, tt.out) {
				t.Errorf("code %d, output %q", code, out)
			}
			if tt.sha == "" {
				return
			}
			out, _ = do(t, s, "git rev-parse HEAD; git rev-parse --abbrev-ref HEAD; git rev-list --count HEAD; basename \"$PWD\"")
			f := strings.Split(out, "\n")
			if f[0] != tt.sha || f[1] != tt.ref || (tt.n != "" && tt.n != "1" && f[2] != tt.n) || f[3] != vars["SEMAPHORE_GIT_DIR"] {
				t.Errorf("the clone is at %q", f)
			}
		})
	}
}

func TestRetryAndChecksum(t *testing.T) {
	s := begin(t, func(o *ShellOptions) { o.Workspace = filepath.Join(t.TempDir(), "work") })
	for _, st := range []step{
		{"retry -t 3 false", "[1/3] Execution Failed with exit status 1. Retrying.\n[2/3] Execution Failed with exit status 1. Retrying.\n[3/3] Execution Failed with exit status 1. No more retries.\n", 1},
		{"n=0; f() { n=$((n + 1)); [ $n -eq 2 ]; }; retry f; echo $n", "[1/3] Execution Failed with exit status 1. Retrying.\n2\n", 0},
		{`retry --times=1 --sleep 0 echo "a  b" '$x'`, "a  b $x\n", 0},
		{`retry "echo one && echo two"`, "one\ntwo\n", 0},
		{"retry X=1 env | grep ^X=", "X=1\n", 0},
		{"retry", "~no command given", 2},
		{"retry -t many true", "~whole numbers", 2},
		{"printf hello >f; checksum f", "5d41402abc4b2a76b9719d911017c592\n", 0},
		{"checksum missing", "~'missing' is not a file", 1},
	} {
		out, code := do(t, s, st.text)
		want, part := strings.CutPrefix(st.out, "~")
		if code != st.code || (out != want && !(part && strings.Contains(out, want))) {
			t.Errorf("%q: got %q and %d, want %q and %d", st.text, out, code, st.out, st.code)
		}
	}
}

func TestInstalledToolsWin(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "checkout"), []byte("#!/bin/sh\necho installed\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := begin(t, func(o *ShellOptions) { o.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")) })
	if err := os.WriteFile(filepath.Join(s.home(), ".bash_profile"), []byte("PATH="+bin+":$PATH\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(filepath.Join(s.home(), ".bash_profile"))
	do(t, s, "exit 1")
	if out, _ := do(t, s, "checkout"); out != "installed\n" {
		t.Errorf("%q", out)
	}
}
