package journey

import (
	"testing"
)

// Somebody makes a task with a parameter that is asked for and one with choices, runs it from its page, and the job has the values.
func TestJourneyJ13Task(t *testing.T) {
	w := newShop(t, map[string]string{
		".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Compile, commands: ["true"]}]}
`,
		".semaphore/release.yml": `version: v1.0
name: Release
agent: {machine: {type: s1-linux}}
blocks:
  - name: Ship
    task: {jobs: [{name: Ship it, commands: ['echo "shipping $VERSION to $WHERE"']}]}
`,
	})
	w.open("/projects/shop")
	w.press("Tasks")
	w.shows("main", "signalbox task create shop/nightly")
	w.press("New task")
	w.shows("h1", "New task")
	w.fill("#task-name", "Release")
	w.fill("#file", ".semaphore/release.yml")

	// What a time means is said while it is typed, by the server.
	w.stay()
	w.fill("#at", "0 25 * * *")
	w.shows("#preview", "Invalid cron expression")
	w.fill("#at", "30 2 * * MON-FRI")
	w.shows("#preview", "at 2:30 from Monday to Friday")
	if n := eval[int](w, `document.querySelectorAll("#preview li").length`); n != 5 {
		t.Errorf("%d times are shown", n)
	}
	w.stayed()
	w.fill(`[name="row.0.name"]`, "VERSION")
	w.click(`[name="row.0.required"]`)
	w.press("Add a parameter")
	w.fill(`[name="row.1.name"]`, "WHERE")
	w.fill(`[name="row.1.options"]`, "north\nsouth")
	w.fill(`[name="row.1.default"]`, "north")
	w.picture("task-form")
	w.press("Create the task")
	w.shows("h1", "Release")
	w.shows("#history", "No runs yet")
	w.shows("main", "Next runs")

	w.press("Run now")
	w.shows("h1", "Run Release")
	w.stay()
	w.press("Run it") // the browser sends no form with an empty field that is asked for
	w.stayed()
	if missing := eval[bool](w, `!document.querySelector('[name="p.VERSION"]').checkValidity()`); !missing {
		t.Error("the field that is asked for may stay empty")
	}
	// Neither does the server take what is not among the choices, and what was typed stays.
	eval[bool](w, `(document.querySelector('[name="p.WHERE"]').add(new Option("moon")), document.querySelector('[name="p.WHERE"]').value = "moon", true)`)
	w.fill(`[name="p.VERSION"]`, "1.2.3")
	w.press("Run it")
	w.shows(".err", "not one of its options")
	if kept := eval[string](w, `document.querySelector('[name="p.VERSION"]').value`); kept != "1.2.3" {
		t.Errorf("the form holds %q", kept)
	}
	w.picture("task-run")
	w.choose(`[name="p.WHERE"]`, "south")
	w.press("Run it")
	w.shows("#head .st", "Passed")
	w.press("The same as a list")
	w.press("Ship it")
	w.shows("main", "shipping 1.2.3 to south")

	// The history has the run and its values, and says why one could not start.
	w.open("/projects/shop/schedulers")
	w.shows("#tasks", "Passed")
	w.press("Release")
	w.shows("#history", "VERSION=1.2.3")
	w.shows("#history", "by ana")
	w.press("Run now")
	w.fill("#reference", "nowhere")
	w.fill(`[name="p.VERSION"]`, "2")
	w.press("Run it")
	w.shows("main", "Nothing was started.")
	w.shows("#history", "Not started")
	w.picture("task")

	// An open page follows what happens elsewhere.
	w.stay()
	w.signalbox("task", "pause", "shop/Release")
	w.shows("#head", "Paused by server")
	w.stayed()
	w.press("Activate")
	w.shows("#head", "Active")
	w.press("Delete…")
	w.shows(".confirm", "history of 2 runs")
	w.press("Delete")
	w.shows("main", "No tasks yet")
}
