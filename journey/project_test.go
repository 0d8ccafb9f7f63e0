package journey

import (
	"strings"
	"testing"
	"time"
)

// Somebody makes a project of a bare repository on the server's machine; the first pipeline is green, and so is that of a push.
func TestJourneyJ4AddProject(t *testing.T) {
	needs(t, "curl", "git")
	w := newServer(t)
	w.signalbox("agent-type", "create", "s1-linux")
	w.connect("s1-linux")
	w.shows("#connect-status h2", "is connected")
	bare := w.repository("shop", map[string]string{"README.md": "A shop.\n", "Makefile": "all:\n\t@echo built\n"})

	w.press("Use it in a project")
	w.shows("h1", "Add a project")
	w.fill("#repository", w.path("nothing-here"))
	w.press("Look at it")
	w.shows("#repository-problem", "there is no git repository at")
	w.picture("new-project-problem")
	w.fill("#repository", bare)
	w.press("Look at it")
	w.shows("pre", "make")
	w.picture("new-project")
	if name := eval[string](w, `document.querySelector("#name").value`); name != "shop" {
		t.Errorf("the name %q is proposed", name)
	}
	w.press("Create the project")
	w.shows("#first-workflow", "The hook is installed")
	w.picture("project-first")
	w.shows("#first-workflow", "The first workflow: passed")
	w.press("Open the workflow")
	w.shows("#head", "Passed")
	if got := w.git("shop", "ls-remote", "origin", "refs/heads/main"); strings.HasPrefix(got, w.git("shop", "rev-parse", "HEAD")) {
		t.Error("no commit was added")
	}
	// The file is in the repository; a push goes on from there.
	w.git("shop", "pull", "--quiet", "origin", "main")
	w.open("/projects/shop")
	w.stay()
	w.commit("shop", "Second thoughts", map[string]string{"README.md": "A better shop.\n"})
	w.shows("#workflows .is-passed", "Second thoughts")
	w.stayed()

	// A file that is there is used as it is, and the name that is taken is told.
	other := w.repository("other", map[string]string{".semaphore/semaphore.yml": "version: v1.0\nname: Other\nagent: {machine: {type: s1-linux}}\nblocks: [{name: A, task: {jobs: [{name: a, commands: ['true']}]}}]\n"})
	w.open("/new_project")
	w.fill("#repository", other)
	w.press("Look at it")
	w.shows("main", "It is there and can be read")
	w.fill("#name", "shop")
	w.press("Create and run it")
	w.shows("#name-problem", "already taken")
	w.fill("#name", "other")
	w.press("Create and run it")
	w.shows("#first-workflow", "The first workflow: passed")
}

// Without any repository, a demo project has a green pipeline too.
func TestJourneyJ4DemoProject(t *testing.T) {
	needs(t, "curl", "git")
	w := newServer(t)
	w.signalbox("agent-type", "create", "s1-linux")
	w.connect("s1-linux")
	w.shows("#connect-status h2", "is connected")
	w.press("Try it with a demo project")
	w.shows("#first-workflow", "The first workflow: passed")
	w.press("Run it now")
	w.shows("#head", "Passed")
}

// From an empty data folder to a green pipeline of an own repository, by what the pages say and nothing else: budget B9.
func TestJourneyFirstRun(t *testing.T) {
	needs(t, "curl", "git")
	begin := time.Now()
	w := newWorld(t)
	w.open(w.setupAddress())
	w.fill("#name", adminName)
	w.fill("#email", "ana@example.com")
	w.fill("#password", adminPassword)
	w.press("Create the account")
	w.shows("h1", "You are set up")
	w.press("Go on")
	w.shows("h1", "Get started")
	w.press("Add an agent")
	w.press("Create and connect")
	w.shows("#connect-status h2", "Waiting for")
	w.shell(w.line("Try it in a terminal"))
	w.shows("#connect-status h2", "is connected")
	bare := w.repository("shop", map[string]string{"Makefile": "all:\n\t@echo built\n"})
	w.press("Use it in a project")
	w.shows("h1", "Add a project")
	w.fill("#repository", bare)
	w.press("Look at it")
	w.shows("pre", "make")
	w.press("Create the project")
	w.shows("#first-workflow", "The first workflow: passed")
	took := time.Since(begin)
	t.Logf("B9: from an empty data folder to a green pipeline in %s", took.Round(100*time.Millisecond))
	if took > 5*time.Minute {
		t.Errorf("it took %s, more than five minutes", took)
	}
	w.open("/get_started")
	w.shows("#todos", "4 of 5 done")
	w.open("/")
	w.shows("#onboarding", "4 of 5 done")
	w.press("Do not show this again")
	w.until("the card is gone", func() bool {
		return eval[bool](w, `location.pathname === "/" && !document.querySelector("#onboarding")`)
	})
}
