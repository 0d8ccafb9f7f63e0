package forge

import (
	"context"
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

// What a repository elsewhere says of its refs is what a mirror of it has later.
func TestAskRemote(t *testing.T) {
	dir := workTree(t)
	git(t, dir, "branch", "feature/x")
	git(t, dir, "tag", "light")
	git(t, dir, "tag", "-a", "-m", "one", "v1")
	git(t, dir, "tag", "-a", "-m", "of a tag", "v1-again", "v1")
	git(t, dir, "tag", "-a", "-m", "of a folder", "tree", "HEAD^{tree}")
	git(t, dir, "update-ref", "refs/notes/x", "HEAD")
	git(t, dir, "update-ref", "refs/x/refs/heads/y", "HEAD")
	git(t, dir, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
	commit(t, dir, "a", "1\n")
	address := "file://localhost" + dir
	ask := func() *Remote {
		t.Helper()
		r, err := AskRemote(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	same := func() {
		t.Helper()
		mirror, err := Mirror(t.Context(), address, filepath.Join(t.TempDir(), "m.git"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := mirror.Refs(t.Context())
		if got := ask().Refs; err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, %v, and a mirror has %v", got, err, want)
		}
	}
	r := ask()
	if r.Branch != "main" || len(r.Refs) != 7 || r.Refs["refs/tags/v1-again"] != r.Refs["refs/tags/light"] {
		t.Errorf("%+v", r)
	}
	same()
	git(t, dir, "checkout", "-q", "--detach")
	if r = ask(); r.Branch != "" || len(r.Refs) != 7 {
		t.Errorf("without a branch checked out: %+v", r)
	}
	same()
	empty := filepath.Join(t.TempDir(), "empty.git")
	git(t, dir, "init", "-q", "--bare", "-b", "trunk", empty)
	address = "file://localhost" + empty
	if r = ask(); len(r.Refs) != 0 {
		t.Errorf("of an empty repository: %+v", r)
	}
	same()
}

func TestAskRemoteRefuses(t *testing.T) {
	isolate(t)
	for _, address := range []string{"", "--upload-pack=touch x", "ext::sh -c true", "file://localhost/nowhere", "nowhere"} {
		if _, err := AskRemote(t.Context(), address); err == nil {
			t.Errorf("%q: no error", address)
		}
	}
}

// A repository behind a password is read with it, and what goes wrong is told without it.
func TestAskRemoteWithAPassword(t *testing.T) {
	dir := workTree(t)
	root := t.TempDir()
	git(t, dir, "clone", "-q", "--bare", dir, filepath.Join(root, "x.git"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		(&cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(git(t, dir, "--exec-path")), "git-http-backend"),
			Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}, InheritEnv: []string{"PATH"},
		}).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	at := func(password string) string {
		return strings.Replace(server.URL, "://", "://ana:"+password+"@", 1) + "/x.git"
	}
	r, err := AskRemote(t.Context(), at("hunter2"))
	if err != nil || r.Branch != "main" || r.Refs["refs/heads/main"] == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, password := range []string{"letmein", "let/me/in"} {
		_, err = AskRemote(t.Context(), at(password))
		if signalbox.ErrorCode(err) != signalbox.CodeUnavailable || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "/x.git") {
			t.Errorf("with a wrong password: %v", err)
		}
	}
}

func TestRemoveHook(t *testing.T) {
	bare := func() string {
		dir := workTree(t)
		b := filepath.Join(t.TempDir(), "b.git")
		git(t, dir, "clone", "-q", "--bare", dir, b)
		return b
	}
	hook := func(b string) string { return filepath.Join(b, "hooks", "post-receive") }
	install := func(b string) {
		t.Helper()
		if err := InstallHook(context.Background(), b, []string{"true", "--project", "p1"}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(b, names string, stays bool) {
		t.Helper()
		if err := RemoveHook(t.Context(), b, names); err != nil {
			t.Fatal(err)
		}
		if got := Hooked(t.Context(), b); got != stays {
			t.Errorf("our hook is there: %v", got)
		}
	}
	b := bare()
	remove(b, "p1", false) // there is none
	install(b)
	remove(b, "p2", true)
	remove(b, "p1", false)
	if _, err := os.Stat(filepath.Join(b, "signalbox")); !os.IsNotExist(err) {
		t.Errorf("the spool is left: %v", err)
	}
	const foreign = "#!/bin/sh\necho of somebody else, for p1\n"
	write(t, foreign, hook(b))
	remove(b, "p1", false)
	install(b)
	remove(b, "p1", false)
	if text, err := os.ReadFile(hook(b)); err != nil || string(text) != foreign {
		t.Errorf("the hook that was there before is %q, %v", text, err)
	}
	shared := t.TempDir()
	git(t, b, "config", "core.hooksPath", shared)
	install(b)
	remove(b, "p1", true)
}
