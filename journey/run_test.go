package journey

import "testing"

const buildFile = `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Compile, commands: ["true"]}]}
`

// Somebody starts a workflow of a branch from the form: what is wrong is said at its field, the file says what it asks for, and the job
// has the values.
func TestJourneyRunByHand(t *testing.T) {
	w := newShop(t, map[string]string{
		".semaphore/semaphore.yml": buildFile,
		".semaphore/release.yml": `version: v1.0
name: Release ${{parameters.VERSION}}
agent: {machine: {type: s1-linux}}
blocks:
  - name: Ship
    task: {jobs: [{name: Ship it, commands: ['echo "shipping $VERSION to $WHERE"']}]}
`,
	})
	w.git("shop", "push", "--quiet", "origin", "HEAD:refs/heads/colours")
	w.open("/projects/shop/branches")
	w.shows("#workflows", "colours")
	w.press("colours")
	w.shows("h1", "colours")
	w.press("Run…")
	w.shows("h1", "Run a workflow")
	if got := eval[string](w, `document.querySelector("#reference").value`); got != "colours" {
		t.Errorf("the form is for %q", got)
	}
	w.fill("#reference", "colors")
	w.press("Run it")
	w.shows("#reference-problem", "no branch, tag or commit")
	w.fill("#reference", "colours")
	w.fill("#file", ".semaphore/none.yml")
	w.press("Run it")
	w.shows("#file-problem", "is not available at commit")
	w.picture("run-problem")
	w.fill("#file", ".semaphore/release.yml")
	w.press("Read the file")
	w.shows("#parameters", "VERSION")
	w.press("Run it") // without the value that the file asks for
	w.shows("#value-0-problem", "asks for VERSION")
	w.fill(`[name="p.VERSION"]`, "1.2.3")
	w.press("Add a parameter")
	w.fill(`[name="row.0.name"]`, "WHERE")
	w.fill(`[name="row.0.value"]`, "north")
	w.picture("run")
	w.press("Run it")
	w.shows("#head .st", "Passed")
	w.shows("main", "Release 1.2.3")
	w.press("The same as a list")
	w.press("Ship it")
	w.shows("main", "shipping 1.2.3 to north")
	w.open("/projects/shop/branches")
	w.press("colours")
	w.shows("#workflows", "ana")
}

// An administrator names another pipeline file in the settings, which look at once whether it is there; then the form for a run uses it.
func TestJourneyProjectSettings(t *testing.T) {
	w := newShop(t, map[string]string{".semaphore/semaphore.yml": buildFile})
	w.open("/projects/shop")
	w.click(`main .tabs a[href$="/settings/general"]`)
	w.shows("h1", "Settings of shop")
	w.press("Check it now")
	w.shows("#repository", "The pipeline file is there")
	w.shows("#repository", "The hook is installed")
	w.fill("#file", "ci/all.yml")
	w.click("#workflow .btn")
	w.shows("#workflow .note", "pipeline file .semaphore/semaphore.yml to ci/all.yml")
	w.shows("#workflow", "The pipeline file cannot run")
	w.picture("project-settings")

	// A push of the file is a workflow of it.
	w.commit("shop", "Move the pipeline", map[string]string{"ci/all.yml": `version: v1.0
name: All of it
agent: {machine: {type: s1-linux}}
blocks:
  - name: Everything
    task: {jobs: [{name: Make all, commands: ["true"]}]}
`})
	w.press("Check it now")
	w.shows("#repository", "The pipeline file is there")
	w.open("/projects/shop")
	w.press("Run…")
	w.shows("h1", "Run a workflow")
	if got := eval[string](w, `document.querySelector("#file").value`); got != "ci/all.yml" {
		t.Errorf("the form is for the file %q", got)
	}
	w.press("Run it")
	w.shows("main", "All of it")
	w.shows("#head .st", "Passed")

	// It moves to a repository where nothing has run yet. That starts nothing, and a push there does.
	moved := w.repository("moved", map[string]string{"ci/all.yml": "version: v1.0\nname: Moved\nagent: {machine: {type: s1-linux}}\nblocks: [{task: {jobs: [{commands: ['true']}]}}]\n"})
	w.open("/projects/shop/settings")
	w.fill("#address", moved+".none")
	w.click("#repository .btn")
	w.shows("#address-problem", "there is no git repository at "+moved+".none")
	w.picture("project-not-moved")
	w.fill("#address", moved)
	w.fill("#default_branch", "")
	w.click("#repository .btn")
	w.shows("#repository .note", " to "+moved)
	w.shows("#repository", "The pipeline file is there")
	w.shows("#repository", "The hook is installed")
	w.commit("moved", "Sell from another place", map[string]string{"readme": "a shop that moved"})
	w.open("/projects/shop")
	w.press("Sell from another place")
	w.shows("h1", "Sell from another place")
	w.shows("#head .st", "Passed")

	// Its name changes, and in the end it goes, once its name was typed.
	w.open("/projects/shop/settings")
	w.fill("#name", "store")
	w.press("Save")
	w.shows("h1", "Settings of store")
	w.fill("#confirm", "shop")
	w.press("Delete the project")
	w.shows("#confirm-problem", "That is not the name")
	w.fill("#confirm", "store")
	w.press("Delete the project")
	w.shows("h1", "Projects")
	w.shows("main", "No projects yet")
}
