package forge

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

// isolate keeps the git of the tests away from whoever runs them.
func isolate(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") != "" {
			t.Fatal("git is not installed")
		}
		t.Skip("git is not installed")
	}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "GIT_") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "Ada Löwe")
		t.Setenv("GIT_"+who+"_EMAIL", "ada@example.com")
	}
}

// git runs git as a user would, and returns what it printed.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q in %s: %v\n%s", args, dir, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, text string, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// workTree makes a repository with one commit in a folder whose name needs care.
func workTree(t *testing.T) string {
	t.Helper()
	isolate(t)
	dir := filepath.Join(t.TempDir(), `a "work" tree's $HOME`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "-q", "-b", "main")
	write(t, "version: v1.0\n", dir, ".semaphore", "semaphore.yml")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "First\n\nwith a body")
	return dir
}

func local(t *testing.T, path string) *Repo {
	t.Helper()
	dir, ok := IsLocal(path)
	if !ok {
		t.Fatalf("%s is not found to be a repository", path)
	}
	return &Repo{Dir: dir}
}

func TestIsLocal(t *testing.T) {
	dir := workTree(t)
	bare := filepath.Join(t.TempDir(), "bare.git")
	git(t, dir, "clone", "-q", "--bare", dir, bare)
	for _, c := range []struct {
		in, want string
	}{
		{dir, filepath.Join(dir, ".git")},
		{"file://" + dir, filepath.Join(dir, ".git")},
		{bare, bare},
		{filepath.Join(dir, ".semaphore"), ""},
		{filepath.Base(dir), ""},
		{"https://example.com/x.git", ""},
		{"git@example.com:x.git", ""},
		{"", ""},
	} {
		if got, ok := IsLocal(c.in); got != c.want || ok != (c.want != "") {
			t.Errorf("IsLocal(%q) = %q, %v, want %q", c.in, got, ok, c.want)
		}
	}
}

func TestReadRepository(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	first := git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "tag", "light")
	git(t, dir, "tag", "-a", "-m", "a tag", "annotated")
	git(t, dir, "checkout", "-q", "-b", "feature/ü")
	write(t, "second\n", dir, "a b", "c'd\".txt")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "Second")
	second := git(t, dir, "rev-parse", "HEAD")
	r := local(t, dir)

	refs, err := r.Refs(ctx)
	want := map[string]string{
		"refs/heads/main": first, "refs/heads/feature/ü": second, "refs/tags/light": first, "refs/tags/annotated": first,
	}
	if diff := cmp.Diff(want, refs); err != nil || diff != "" {
		t.Errorf("Refs: %v\n%s", err, diff)
	}
	for ref, sha := range map[string]string{
		"main": first, "refs/heads/feature/ü": second, "annotated": first, second: second, second[:9]: second,
	} {
		if got, err := r.Resolve(ctx, ref); err != nil || got != sha {
			t.Errorf("Resolve(%q) = %q, %v, want %q", ref, got, err, sha)
		}
	}
	commit, err := r.Commit(ctx, first)
	wantCommit := Commit{SHA: first, Author: "Ada Löwe", AuthorEmail: "ada@example.com", Message: "First\n\nwith a body"}
	if diff := cmp.Diff(wantCommit, commit); err != nil || diff != "" {
		t.Errorf("Commit: %v\n%s", err, diff)
	}
	if commit, err := r.Commit(ctx, second); err != nil || commit.Parent != first {
		t.Errorf("Commit(second) = %+v, %v", commit, err)
	}
	for file, text := range map[string]string{
		".semaphore/semaphore.yml": "version: v1.0\n", "/.semaphore/semaphore.yml": "version: v1.0\n",
		"./a b/../.semaphore/semaphore.yml": "version: v1.0\n", "a b/c'd\".txt": "second\n",
	} {
		if got, err := r.FileAt(ctx, second, file); err != nil || string(got) != text {
			t.Errorf("FileAt(%q) = %q, %v", file, got, err)
		}
	}
	if branch, err := r.DefaultBranch(ctx); err != nil || branch != "feature/ü" {
		t.Errorf("DefaultBranch = %q, %v", branch, err)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	r, head := local(t, dir), git(t, dir, "rev-parse", "HEAD")
	none := strings.Repeat("1", 40)
	for _, file := range []string{
		"nothing.yml", ".semaphore", "", "/", "..", "../../etc/passwd", ".semaphore/semaphore.yml/x", "a\nb",
	} {
		_, err := r.FileAt(ctx, head, file)
		if signalbox.ErrorCode(err) != signalbox.CodeNotFound || !strings.Contains(err.Error(), "'"+file+"'") ||
			!strings.Contains(err.Error(), head[:10]) {
			t.Errorf("FileAt(%q) gave %v, want CodeNotFound that names file and commit", file, err)
		}
	}
	if _, err := r.FileAt(ctx, none, "x"); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("FileAt of no commit gave %v", err)
	}
	if _, err := r.Commit(ctx, none); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		t.Errorf("Commit of no commit gave %v", err)
	}
	for _, ref := range []string{"nothing", "refs/heads/nothing", none, "main:.semaphore", "main..main"} {
		if sha, err := r.Resolve(ctx, ref); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			t.Errorf("Resolve(%q) = %q, %v, want CodeNotFound", ref, sha, err)
		}
	}
}

// What could not be looked at must not read as absent: a push would be forgotten.
func TestFailureIsNotAbsence(t *testing.T) {
	dir := workTree(t)
	r, head := local(t, dir), git(t, dir, "rev-parse", "HEAD")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	gone := &Repo{Dir: filepath.Join(t.TempDir(), "gone")}
	for name, err := range map[string]error{
		"resolve, cancelled": second(r.Resolve(ctx, "main")),
		"file, cancelled":    second(r.FileAt(ctx, head, "x")),
		"commit, cancelled":  second(r.Commit(ctx, head)),
		"resolve, gone":      second(gone.Resolve(context.Background(), "main")),
		"file, gone":         second(gone.FileAt(context.Background(), head, "x")),
		"refs, gone":         second(gone.Refs(context.Background())),
	} {
		if code := signalbox.ErrorCode(err); code != signalbox.CodeInternal {
			t.Errorf("%s: %v has code %q", name, err, code)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestLargeFile(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	write(t, strings.Repeat("x", maxFile), dir, "fits")
	write(t, strings.Repeat("x", maxFile+1), dir, "large")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "Large")
	r := local(t, dir)
	if b, err := r.FileAt(ctx, "HEAD", "fits"); err != nil || len(b) != maxFile {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := r.FileAt(ctx, "HEAD", "large"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("got %v, want CodeInvalid", err)
	}
}

func TestHostileNames(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	r := local(t, dir)
	proof := filepath.Join(t.TempDir(), "proof")
	for _, name := range []string{
		"", "-", "--output=" + proof, "--upload-pack=touch " + proof, "-h", "--all", "main\nother", "main\x00",
	} {
		if _, err := r.Resolve(ctx, name); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("Resolve(%q) gave %v, want CodeInvalid", name, err)
		}
		if _, err := r.Commit(ctx, name); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("Commit(%q) gave %v, want CodeInvalid", name, err)
		}
		if _, err := r.FileAt(ctx, name, "x"); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("FileAt(%q) gave %v, want CodeInvalid", name, err)
		}
		if _, err := Mirror(ctx, name, filepath.Join(t.TempDir(), "m")); err == nil {
			t.Errorf("Mirror(%q) was accepted", name)
		}
	}
	for _, url := range []string{"ext::sh -c touch% " + proof, "git://127.0.0.1:1/x", "fd::3"} {
		if _, err := Mirror(ctx, url, filepath.Join(t.TempDir(), "m")); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("Mirror(%q) gave %v", url, err)
		}
	}
	// names that git itself allows and a shell would not survive
	head := git(t, dir, "rev-parse", "HEAD")
	for _, branch := range []string{"$(touch${IFS}proof)", "a;b", "it's", `"quoted"`, "ünï", "-x"} {
		git(t, dir, "update-ref", "refs/heads/"+branch, head)
		if sha, err := r.Resolve(ctx, "refs/heads/"+branch); err != nil || sha != head {
			t.Errorf("Resolve(refs/heads/%s) = %q, %v", branch, sha, err)
		}
	}
	if refs, err := r.Refs(ctx); err != nil || len(refs) != 7 {
		t.Errorf("Refs = %v, %v", refs, err)
	}
	if _, err := os.Stat(proof); err == nil {
		t.Error("a name was executed")
	}
}

// A repository's own settings must not run programs in the server.
func TestRepositorySettingsRunNothing(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	proof := filepath.Join(t.TempDir(), "proof")
	evil := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil, []byte("#!/bin/sh\ntouch '"+proof+"'\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A commit that claims to be signed, so that a signature check would run.
	tree := git(t, dir, "rev-parse", "HEAD^{tree}")
	cmd := exec.Command("git", "hash-object", "-t", "commit", "-w", "--stdin")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader("tree " + tree + "\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n" +
		"gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\nsigned\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	signed := string(bytes.TrimSpace(out))
	git(t, dir, "update-ref", "refs/heads/main", signed)
	for _, set := range [][2]string{
		{"gpg.program", evil},
		{"log.showSignature", "true"},
		{"core.fsmonitor", evil},
		{"core.pager", evil},
		{"core.sshCommand", evil},
		{"diff.external", evil},
	} {
		git(t, dir, "config", set[0], set[1])
	}
	r := local(t, dir)
	if c, err := r.Commit(ctx, signed); err != nil || c.Message != "signed" {
		t.Errorf("Commit = %+v, %v", c, err)
	}
	if _, err := r.Refs(ctx); err != nil {
		t.Error(err)
	}
	if _, err := r.FileAt(ctx, signed, ".semaphore/semaphore.yml"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(proof); err == nil {
		t.Error("a program named by the repository was run")
	}
}

func TestMirrorFollows(t *testing.T) {
	ctx, dir := context.Background(), workTree(t)
	git(t, dir, "branch", "old")
	mirror := filepath.Join(t.TempDir(), "mirrors", "m.git")
	r, err := Mirror(ctx, dir, mirror)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "x", dir, "x")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "--amend", "-m", "Rewritten")
	git(t, dir, "branch", "-D", "old")
	git(t, dir, "tag", "v1")
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := Mirror(ctx, moved, mirror); err != nil {
		t.Fatal(err)
	}
	head := git(t, moved, "rev-parse", "HEAD")
	refs, err := r.Refs(ctx)
	if diff := cmp.Diff(map[string]string{"refs/heads/main": head, "refs/tags/v1": head}, refs); err != nil || diff != "" {
		t.Errorf("Refs: %v\n%s", err, diff)
	}
	if entries, err := os.ReadDir(filepath.Dir(mirror)); err != nil || len(entries) != 1 {
		t.Errorf("left beside the mirror: %v, %v", entries, err)
	}
}

func TestMirrorErrorKeepsThePassword(t *testing.T) {
	isolate(t)
	for _, url := range []string{"https://ci:hunter2@127.0.0.1:1/x.git", "https://ci:hunter2%21@127.0.0.1:1/x.git"} {
		_, err := Mirror(context.Background(), url, filepath.Join(t.TempDir(), "m"))
		if signalbox.ErrorCode(err) != signalbox.CodeUnavailable || strings.Contains(err.Error(), "hunter2") ||
			!strings.Contains(err.Error(), "127.0.0.1:1/x.git") {
			t.Errorf("got %v, want CodeUnavailable with the address and without its password", err)
		}
	}
}
