package api_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/store"
)

// A project's repository and default branch change by a PATCH, as `sem edit project` sends it: with everything that GET said.
func TestMoveAProject(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const demo = "/api/v1alpha/projects/demo"
	other := filepath.Join(t.TempDir(), "me", "other.git")
	w.git(w.dir, "clone", "-q", "--bare", w.dir, other)
	w.git(other, "branch", "next", "main")
	set := func(repository string) answer {
		return w.call("PATCH", demo, `{"metadata":{"name":"demo"},"spec":{"repository":`+repository+`}}`)
	}
	is := func(url, branch string) {
		t.Helper()
		p := w.expect(200, w.call("GET", demo, ""))
		if at(p, "spec", "repository", "url") != url || at(p, "spec", "repository", "default_branch") != branch {
			t.Errorf("%v", at(p, "spec", "repository"))
		}
	}
	refused := func(a answer, status int, text string) {
		t.Helper()
		if a.status != status || !strings.Contains(a.body, text) {
			t.Errorf("%s: %d %s, want %d %q", a.what, a.status, a.body, status, text)
		}
	}
	refused(set(`{"default_branch":"nope"}`), 400, `spec.repository.default_branch: the repository has no branch \"nope\"; its branches are main`)
	refused(set(`{"url":"`+other+`","default_branch":"nope"}`), 400, `its branches are main, next`)
	refused(set(`{"url":"file://ana:hunter2@localhost/nowhere"}`), 503, "spec.repository.url: cannot read file://ana:xxxxx@localhost/nowhere")
	refused(w.call("PATCH", demo, `{"spec":{"repository":{"url":"`+other+`"}}}`, "Authorization", "Token "+w.viewer), 403, "project.manage")
	refused(w.call("PATCH", demo, `{"metadata":{"id":"else"},"spec":{"repository":{"url":"`+other+`"}}}`), 400, "metadata.id")
	refused(w.call("PATCH", demo, `{"metadata":{"name":"a b"},"spec":{"repository":{"url":"`+other+`"}}}`), 400, "not allowed")
	refused(w.call("PATCH", "/api/v1alpha/projects/nobody", `{"spec":{"repository":{"url":"`+other+`"}}}`), 404, "nobody")
	is(w.dir, "main")

	w.expect(200, set(`{"url":"`+other+`","default_branch":"next"}`))
	is(other, "next")
	w.expect(200, set(`{"default_branch":"main"}`))
	is(other, "main")
	w.expect(200, set(`{"url":"`+other+`"}`))
	is(other, "main")
	// What is as it was needs no look at a repository, which may be away.
	if err := os.Rename(other, other+".away"); err != nil {
		t.Fatal(err)
	}
	w.expect(200, set(`{"url":"`+other+`","default_branch":"main","pipeline_file":"x.yml"}`))
	refused(set(`{"default_branch":"next"}`), 400, "no git repository at "+other)
	w.expect(200, set(`{"url":"`+w.dir+`"}`))
	is(w.dir, "main")

	w.write(func(tx *store.Tx) error {
		events, err := tx.Events("project", w.project.ID)
		var got []string
		for _, e := range events {
			if e.Reason == "changed" {
				got = append(got, e.Actor+": "+e.Detail)
			}
		}
		want := []string{
			"user:ann: repository " + w.dir + " to " + other + ", default branch main to next",
			"user:ann: default branch next to main",
			"user:ann: pipeline file .semaphore/semaphore.yml to x.yml",
			"user:ann: repository " + other + " to " + w.dir,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("history of the project:\n%s", strings.Join(got, "\n"))
		}
		return err
	})
}

// Whoever may see projects need not be whom the password of a repository is for.
func TestProjectAddressesAreShownWithoutPasswords(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const address = "https://ana:hunter2@git.example/me/demo.git"
	w.write(func(tx *store.Tx) error {
		p := *w.project
		p.GitURL, p.GitDir = address, ""
		return tx.UpdateProject(&p, "test", "moved")
	})
	path := "/api/v1alpha/projects/" + w.project.ID
	for _, a := range []answer{
		w.call("GET", "/api/v1alpha/projects", "", "Authorization", "Token "+w.viewer), w.call("GET", path, ""),
		w.call("PATCH", path, `{"spec":{"repository":{"url":"https://ana:xxxxx@git.example/me/demo.git","pipeline_file":"other.yml"}}}`),
	} {
		w.expect(200, a)
		if strings.Contains(a.body, "hunter2") || !strings.Contains(a.body, `"url":"https://ana:xxxxx@git.example/me/demo.git"`) || !strings.Contains(a.body, `"owner":"me"`) {
			t.Errorf("%s: %s", a.what, a.body)
		}
	}
	w.write(func(tx *store.Tx) error {
		p, err := tx.Project(w.project.ID)
		if err == nil && (p.GitURL != address || p.PipelineFile != "other.yml") {
			t.Errorf("%+v", p)
		}
		return err
	})
	w.expect(400, w.call("PATCH", path, `{"spec":{"repository":{"url":"https://ana:xxxxx@git.example/other.git"}}}`))
}
