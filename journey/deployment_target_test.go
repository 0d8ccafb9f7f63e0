package journey

import (
	"strings"
	"testing"
)

// Somebody makes a deployment target on its page that lets only main through, promotes to it, sees what is in it handed to the job and
// nowhere else, cordons it and finds the promotion locked.
func TestJourneyDeploymentTarget(t *testing.T) {
	const value = "hunter2-hunter2"
	w := newShop(t, map[string]string{
		".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Compile, commands: ["true"]}]}
promotions:
  - {name: Production, pipeline_file: deploy.yml, deployment_target: production}
`,
		".semaphore/deploy.yml": `version: v1.0
name: Deploy
agent: {machine: {type: s1-linux}}
blocks:
  - name: Ship
    task: {jobs: [{name: Ship it, commands: ['echo "it has ${#DEPLOY_TOKEN} letters: $DEPLOY_TOKEN"']}]}
`,
	}, func(w *world) {
		w.open("/projects/shop")
		w.press("Deployments")
		w.shows("main", "No deployment targets yet")
		w.press("New deployment target")
		w.shows("h1", "New deployment target")

		// What is wrong stands at its field, what was typed stays, and a value has to be typed again.
		w.fill("#target-name", "production")
		w.fill("#url", "shop.example.com")
		w.fill("#variable-0-name", "DEPLOY_TOKEN")
		w.fill("#variable-0-value", value)
		w.fill("#ref-0-pattern", "releases")
		w.stay() // another row costs nothing that was typed
		w.press("Add a variable")
		w.fill("#variable-2-name", "REGION")
		w.fill("#variable-2-value", "north")
		w.stayed()
		if kept := eval[string](w, `document.querySelector("#variable-0-value").value`); kept != value {
			t.Errorf("the form holds %q", kept)
		}
		w.press("Create the target")
		w.shows("#url-problem", "such as https://app.example.com")
		w.shows("#variable-0-problem", "give this one again")
		w.picture("target-form")
		if kept := eval[string](w, `document.querySelector("#target-name").value + " " + document.querySelector("#variable-0-value").value`); kept != "production " {
			t.Errorf("the form holds %q", kept)
		}
		w.fill("#url", "https://shop.example.com")
		w.fill("#variable-0-value", value)
		w.shows("#variable-2-problem", "give this one again")
		w.fill("#variable-2-value", "north")
		w.press("Create the target")
		w.shows("h1", "production")
		w.shows("#head", "branch releases")
		w.shows("#history", "No deployments yet")
	})
	w.shows("#head .st", "Passed")
	at := eval[string](w, `location.pathname + location.search`)
	w.shows(".promo p", "Nothing may be deployed to production from main")

	// It lets main through, and keeps its value, which the form does not have.
	w.open("/projects/shop/deployments")
	w.press("Edit")
	w.shows("h1", "Edit production")
	w.shows("#credentials", "DEPLOY_TOKEN")
	w.fill("#ref-0-pattern", "main")
	w.press("Save")
	w.shows("#head", "branch main")
	w.open(at)
	w.press("Promote…")
	w.press("Start Production")
	w.shows(".tree", "Deploy")
	w.shows("#head .st", "Passed")
	w.press("The same as a list")
	w.press("Ship it")
	w.shows("main", "it has 15 letters: ***")

	w.open("/projects/shop/deployments/production")
	w.shows("#history", "Started")
	w.shows("#history", "ana")
	w.shows("#there", "Sell things by ana")
	w.shows("#there", "Nothing has come to main since then")
	w.press("Cordon")
	w.shows("#head", "Cordoned")
	w.picture("target")
	w.open(at)
	w.shows(".promo p", "production is cordoned: nobody may deploy there for now")
	if n := eval[float64](w, `document.querySelectorAll(".promo form, .promo button").length`); n != 0 {
		t.Error("there is something to press")
	}
	w.picture("cordoned")

	// An open page follows what happens elsewhere.
	w.open("/projects/shop/deployments/production")
	w.stay()
	w.signalbox("deployment-target", "uncordon", "shop/production")
	w.shows("#head", "Usable")
	w.commit("shop", "Sell more", map[string]string{"more": "things"})
	w.shows("#there", "commit has come to main since then")
	w.stayed()
	for _, path := range []string{"/projects/shop/deployments", "/projects/shop/deployments/production", "/projects/shop/deployments/production/edit"} {
		if strings.Contains(w.fetch(path), value) {
			t.Errorf("%s shows the value", path)
		}
	}

	w.press("Delete…")
	w.shows("#head form", "2 variables and 0 files")
	w.fill("#confirm", "prod")
	w.click(".target-delete .btn-danger-solid")
	w.shows("#confirm-problem", "That is not the name")
	w.fill("#confirm", "production")
	w.click(".target-delete .btn-danger-solid")
	w.shows("main", "No deployment targets yet")
	w.open(at)
	w.shows(".promo p", "The project has no deployment target production any more")
}
