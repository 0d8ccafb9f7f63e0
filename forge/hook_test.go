package forge

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

// bareWithRemote makes a bare repository, and a work tree that pushes to it by the name origin.
func bareWithRemote(t *testing.T) (work, bare string) {
	t.Helper()
	work = workTree(t)
	bare = filepath.Join(t.TempDir(), "it's a `bare` repo.git")
	git(t, work, "init", "-q", "--bare", "-b", "main", bare)
	git(t, work, "remote", "add", "origin", bare)
	return work, bare
}

func install(t *testing.T, dir string, command ...string) {
	t.Helper()
	if err := InstallHook(context.Background(), dir, command); err != nil {
		t.Fatal(err)
	}
}

func spooled(t *testing.T, dir string) []SpooledPush {
	t.Helper()
	pushes, err := Spooled(dir)
	if err != nil {
		t.Fatal(err)
	}
	return pushes
}

// wait polls for what another process does in the background.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func TestHookSpoolsPushesInOrder(t *testing.T) {
	work, bare := bareWithRemote(t)
	told := filepath.Join(t.TempDir(), "told")
	install(t, bare, "sh", "-c", `echo "$1" >> "$2"`, "sh", `it's "quoted" $HOME`, told)

	var want [][]RefUpdate
	last := strings.Repeat("0", 40)
	for range 4 {
		write(t, last, work, "f")
		git(t, work, "add", "-A")
		git(t, work, "commit", "-q", "-m", "More")
		head := git(t, work, "rev-parse", "HEAD")
		if out := git(t, work, "push", "origin", "main"); !strings.Contains(out, "remote: signalbox: heard of this push") {
			t.Errorf("the pusher saw %q", out)
		}
		want = append(want, []RefUpdate{{Old: last, New: head, Ref: "refs/heads/main"}})
		last = head
	}
	git(t, work, "push", "-q", "origin", "main:refs/heads/a;b", "main:refs/heads/$(x)", "main:refs/tags/it's")
	git(t, work, "push", "-q", "origin", ":refs/heads/a;b")

	pushes := spooled(t, bare)
	if len(pushes) != 6 {
		t.Fatalf("spooled %+v, want 6 pushes", pushes)
	}
	for i, updates := range want {
		if diff := cmp.Diff(updates, pushes[i].Updates); diff != "" {
			t.Errorf("push %d: %s", i, diff)
		}
	}
	refs := map[string]bool{}
	for _, u := range pushes[4].Updates {
		refs[u.Ref] = u.New == last && Zero(u.Old)
	}
	if diff := cmp.Diff(map[string]bool{"refs/heads/a;b": true, "refs/heads/$(x)": true, "refs/tags/it's": true}, refs); diff != "" {
		t.Error(diff)
	}
	if u := pushes[5].Updates; len(u) != 1 || !Zero(u[0].New) || u[0].Old != last {
		t.Errorf("the deletion is %+v", u)
	}
	wait(t, "the command of all pushes", func() bool {
		b, _ := os.ReadFile(told)
		return string(b) == strings.Repeat("it's \"quoted\" $HOME\n", 6)
	})

	for _, p := range pushes[:5] {
		if err := RemoveSpooled(bare, p.ID); err != nil {
			t.Error(err)
		}
	}
	if err := RemoveSpooled(bare, pushes[0].ID); err != nil {
		t.Errorf("removing twice: %v", err)
	}
	if left := spooled(t, bare); len(left) != 1 || left[0].ID != pushes[5].ID {
		t.Errorf("left: %+v", left)
	}
}

func TestHookKeepsTheOneThatWasThere(t *testing.T) {
	work, bare := bareWithRemote(t)
	got := filepath.Join(t.TempDir(), "got")
	mine := "#!/bin/sh\necho mine says hello\ncat >> '" + got + "'\nexit 3\n"
	hook := filepath.Join(bare, "hooks", "post-receive")
	write(t, mine, hook)
	if err := os.Chmod(hook, 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, bare, "true")
	install(t, bare, "true") // again: ours is not taken for theirs

	head := git(t, work, "rev-parse", "HEAD")
	line := strings.Repeat("0", 40) + " " + head + " refs/heads/main\n"
	if out := git(t, work, "push", "origin", "main"); !strings.Contains(out, "mine says hello") {
		t.Errorf("the pusher saw %q", out)
	}
	if b, err := os.ReadFile(got); err != nil || string(b) != line {
		t.Errorf("the kept hook read %q, %v, want %q", b, err, line)
	}
	if len(spooled(t, bare)) != 1 {
		t.Error("the push was not spooled")
	}

	// A spool that cannot be written must silence neither the push nor the hook.
	spool := filepath.Join(bare, "signalbox", "spool")
	if err := os.RemoveAll(spool); err != nil {
		t.Fatal(err)
	}
	write(t, "in the way", spool)
	if out := git(t, work, "push", "origin", "main:other"); !strings.Contains(out, "could not write") {
		t.Errorf("the pusher saw %q", out)
	}
	if b, _ := os.ReadFile(got); strings.Count(string(b), "\n") != 2 {
		t.Errorf("the kept hook has read %q, want two pushes", b)
	}

	// Somebody puts another hook in place of ours, and we come again: nothing is lost.
	if err := os.Remove(spool); err != nil {
		t.Fatal(err)
	}
	write(t, "#!/bin/sh\necho newer\n", hook)
	install(t, bare, "true")
	if b, err := os.ReadFile(filepath.Join(bare, "hooks", kept+".1")); err != nil || string(b) != mine {
		t.Errorf("the oldest hook is %q, %v", b, err)
	}
	if out := git(t, work, "push", "origin", "main:third"); !strings.Contains(out, "newer") || strings.Contains(out, "mine") {
		t.Errorf("the pusher saw %q", out)
	}
}

func TestHookHonoursHooksPath(t *testing.T) {
	for _, path := range []string{"own hooks", filepath.Join(t.TempDir(), "elsewhere")} {
		work, bare := bareWithRemote(t)
		git(t, bare, "config", "core.hooksPath", path)
		install(t, bare, "true")
		git(t, work, "push", "-q", "origin", "main")
		if n := len(spooled(t, bare)); n != 1 {
			t.Errorf("with core.hooksPath %q %d pushes were spooled, want 1", path, n)
		}
	}
}

func TestHookInAWorkTree(t *testing.T) {
	dir := workTree(t)
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "-q", dir, clone)
	install(t, dir, "true")
	git(t, clone, "push", "-q", "origin", "main:other")
	if n := len(spooled(t, filepath.Join(dir, ".git"))); n != 1 {
		t.Errorf("%d pushes were spooled, want 1", n)
	}
}

func TestHookDoesNotWaitForItsCommand(t *testing.T) {
	work, bare := bareWithRemote(t)
	fifo := filepath.Join(t.TempDir(), "release")
	install(t, bare, "sh", "-c", `while [ ! -e "$0" ]; do sleep 0.05; done; touch "$0.done"`, fifo)
	git(t, work, "push", "-q", "origin", "main") // returns although the command cannot end yet
	if _, err := os.Stat(fifo + ".done"); err == nil {
		t.Fatal("the command ended before it was let go")
	}
	write(t, "", fifo)
	wait(t, "the command", func() bool { _, err := os.Stat(fifo + ".done"); return err == nil })
}

func TestSpoolSkipsWhatIsNoPush(t *testing.T) {
	_, bare := bareWithRemote(t)
	if pushes := spooled(t, bare); len(pushes) != 0 {
		t.Errorf("a repository without a spool has %+v", pushes)
	}
	install(t, bare, "true")
	spool := filepath.Join(bare, "signalbox", "spool")
	write(t, "unfinished", spool, "1.1.tmp")
	write(t, "a b refs/heads/x", spool, "2.push", "is a folder")
	write(t, "nonsense\n-a -b refs/heads/x\na b HEAD\na b refs/heads/with space\n\n", spool, "3.3.push")
	want := []SpooledPush{{ID: "3.3.push", Updates: []RefUpdate{{Old: "a", New: "b", Ref: "refs/heads/with space"}}}}
	if diff := cmp.Diff(want, spooled(t, bare)); diff != "" {
		t.Error(diff)
	}
	for _, id := range []string{"../../config", "x/../3.3.push", "", ".", "..", "HEAD"} {
		if err := RemoveSpooled(bare, id); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("RemoveSpooled(%q) gave %v, want CodeInvalid", id, err)
		}
	}
}

func TestInstallHookOutsideARepository(t *testing.T) {
	isolate(t)
	t.Setenv("GIT_CEILING_DIRECTORIES", "/")
	if err := InstallHook(context.Background(), t.TempDir(), []string{"true"}); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("got %v, want CodeInvalid", err)
	}
}

func TestHookPassesSecretsByTheEnvironment(t *testing.T) {
	work, bare := bareWithRemote(t)
	out := filepath.Join(t.TempDir(), "out")
	install(t, bare, "TOKEN_X=a b'c$d", "sh", "-c", `printf "%s|%s" "$TOKEN_X" "$1" >"$0.tmp"; mv "$0.tmp" "$0"`, out, "NO=assignment")
	git(t, work, "push", "-q", "origin", "main")
	wait(t, "the command", func() bool { _, err := os.Stat(out); return err == nil })
	if b, err := os.ReadFile(out); err != nil || string(b) != "a b'c$d|NO=assignment" {
		t.Errorf("the command saw %q, %v", b, err)
	}
}
