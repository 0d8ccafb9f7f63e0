package journey

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// newShop makes a server with an agent and a project whose first workflow has been pushed; the browser shows the workflow.
func newShop(t *testing.T, files map[string]string, before ...func(*world)) *world {
	t.Helper()
	w := newServer(t)
	w.signalbox("agent-type", "create", "s1-linux")
	w.connect("s1-linux")
	w.shows("#connect-status h2", "is connected")
	bare := w.repository("shop", map[string]string{"readme": "a shop"})
	w.signalbox("project", "create", "shop", "--git", bare)
	for _, do := range before {
		do(w)
	}
	w.commit("shop", "Sell things", files)
	w.open("/projects/shop")
	w.shows("main", "Sell things")
	w.press("Sell things")
	w.shows("h1", "Sell things")
	return w
}

const promoted = `version: v1.0
name: Deploy
agent: {machine: {type: s1-linux}}
blocks:
  - name: Ship
    task:
      jobs:
        - name: Ship it
          commands: ['echo "shipping $VERSION to $WHERE"']
`

// Somebody promotes a pipeline with parameters: one is asked for, one has choices, and what is not right is not sent.
func TestJourneyJ6Promote(t *testing.T) {
	w := newShop(t, map[string]string{
		".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Compile, commands: ["true"]}]}
promotions:
  - name: Production
    pipeline_file: deploy.yml
    parameters:
      env_vars:
        - {name: VERSION, required: true, description: What to ship}
        - {name: WHERE, required: true, options: [north, south], default_value: north}
`,
		".semaphore/deploy.yml": promoted,
	})
	w.shows("#head .st", "Passed")
	w.shows("main", "What to ship")
	w.stay()
	w.press("Promote…")
	w.picture("promote")

	// The browser sends no form with an empty field that is asked for.
	w.press("Start Production")
	if missing := eval[bool](w, `!document.querySelector('[name="p.VERSION"]').checkValidity()`); !missing {
		t.Error("the field that is asked for may stay empty")
	}
	w.stayed()

	// Neither does the server take what is not among the choices.
	eval[bool](w, `(document.querySelector('[name="p.WHERE"]').add(new Option("moon")), document.querySelector('[name="p.WHERE"]').value = "moon", true)`)
	w.fill(`[name="p.VERSION"]`, "1.2.3")
	w.press("Start Production")
	w.shows("h1", "This request is not right")
	w.shows("main", "moon")
	w.open("/projects/shop")
	w.press("Sell things")
	w.shows("h1", "Sell things")
	w.press("Promote…")
	w.fill(`[name="p.VERSION"]`, "1.2.3")
	w.choose(`[name="p.WHERE"]`, "south")
	// Something happens in the workflow meanwhile: what is filled in stays.
	was := eval[string](w, `(document.querySelector("#pipelines").was = true, document.querySelector('[name="p.VERSION"]').value)`)
	w.signalbox("pipeline", "promote", eval[string](w, `new URL(document.querySelector("#pipelines form").action).pathname.split("/")[4]`), "Production", "--param", "VERSION=1.0", "--param", "WHERE=north")
	w.until("the page is fresh", func() bool {
		fresh, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](`document.querySelector("#pipelines").was !== true && document.querySelector(".tree") !== null`))
		return err == nil && fresh
	})
	if now := eval[string](w, `document.querySelector('[name="p.VERSION"]').value + " to " + document.querySelector('[name="p.WHERE"]').value`); now != was+" to south" {
		t.Errorf("after a refresh the form holds %q", now)
	}
	w.press("Start Production")
	w.shows(".tree", "Deploy")
	w.shows("#head .st", "Passed")
	w.press("The same as a list")
	w.press("Ship it")
	w.shows("main", "shipping 1.2.3 to south")
}

// A promotion goes to a deployment target that does not let everybody through: the page says why there is nothing to press, the server
// refuses whoever asks all the same, and the promotion opens when the target does.
func TestJourneyJ7LockedPromotion(t *testing.T) {
	w := newShop(t, map[string]string{
		".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Compile, commands: ["true"]}]}
promotions:
  - {name: Production, pipeline_file: deploy.yml, deployment_target: production}
`,
		".semaphore/deploy.yml": promoted,
	}, func(w *world) {
		w.signalbox("deployment-target", "create", "shop/production", "--allow", "anybody", "--from", "branches")
	})
	w.shows("#head .st", "Passed")
	at := eval[string](w, `location.pathname + location.search`)
	w.shows(".promo", "deploys to production")
	form := eval[string](w, `document.querySelector(".promo form").action`)
	for _, c := range []struct {
		says  string
		flags []string
	}{
		{"not among those who may deploy", []string{"--allow", "nobody", "--from", "branches"}},
		{"from main", []string{"--allow", "anybody", "--from", "tags"}},
	} {
		w.signalbox(append([]string{"deployment-target", "set", "shop/production"}, c.flags...)...)
		w.open(at)
		w.shows(".promo", "deploys to production")
		w.shows(".promo p", c.says)
		if n := eval[float64](w, `document.querySelectorAll(".promo form, .promo button").length`); n != 0 {
			t.Errorf("%v: there is something to press", c.flags)
		}
	}
	w.picture("locked")
	// A form of yesterday, when it was open.
	answer := eval[string](w, fmt.Sprintf(`(() => {
		const x = new XMLHttpRequest();
		x.open("POST", %q, false);
		x.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
		x.send("name=Production");
		return x.status + " " + x.responseText;
	})()`, form))
	if strings.HasPrefix(answer, "200 ") || !strings.Contains(answer, "object not allowed") {
		t.Errorf("the server answered %s", answer[max(0, strings.Index(answer, "<main")):])
	}
	w.signalbox("deployment-target", "set", "shop/production", "--allow", "anybody", "--from", "branches")
	w.open(at)
	w.press("Promote…")
	w.press("Start Production")
	w.shows(".tree", "Deploy")
	w.shows("#head .st", "Passed")
}

// Somebody repeats what failed: before it starts the page says what runs again and what is taken over, and afterwards which is which.
func TestJourneyJ8RerunFailed(t *testing.T) {
	mark := t.TempDir() + "/mended"
	w := newShop(t, map[string]string{".semaphore/semaphore.yml": fmt.Sprintf(`version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - name: Fast
    task: {jobs: [{name: Compile, commands: ["true"]}]}
  - name: Flaky
    task: {jobs: [{name: Network, commands: ["test -f %s"]}, {name: Disk, commands: ["true"]}]}
`, mark)})
	w.shows("#head .st", "1 job failed")
	w.press("Rerun failed jobs…")
	w.shows(".confirm", "Run 1 job again, and take 2 over that passed?")
	w.shows(".again", "Flaky › Network")
	w.picture("rerun")
	w.touch(mark)
	w.press("Rerun")
	w.shows(".tree", "Build")
	w.shows("#head", "Passed")
	w.press("The same as a list")
	for _, c := range []struct{ job, word string }{{"Compile", "Passed earlier"}, {"Disk", "Passed earlier"}, {"Network", "Passed"}} {
		got := eval[string](w, fmt.Sprintf(`[...document.querySelectorAll("#list .blk-jobs li")].find((e) => e.textContent.includes(%q))?.querySelector(".lamp").getAttribute("aria-label") ?? ""`, c.job))
		if got != c.word {
			t.Errorf("%s is said to be %q, want %q", c.job, got, c.word)
		}
	}
}

// Every page of the core fits 320 pixels in both themes, breaks no rule of accessibility, and the theme is what somebody chose.
func TestJourneyJ17Themes(t *testing.T) {
	w := newShop(t, map[string]string{".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Compile, commands: ["echo compiled"]}]}
`})
	w.shows("#head .st", "Passed")
	w.picture("workflow")
	w.press("Timeline")
	w.shows("main", "On the critical path")
	w.picture("timeline")
	w.press("The same as a list")
	w.press("Nameless block 1 › Compile")
	w.shows("main", "echo compiled")
	w.picture("job")
	for _, page := range []string{"/", "/activity", "/activity?tab=queue", "/agents", "/agents/self_hosted/s1-linux", "/projects/shop", "/search?q=sell", "/get_started", "/new_project"} {
		w.open(page)
		w.picture("page" + strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(page))
	}
	background := func() string { return eval[string](w, "getComputedStyle(document.body).backgroundColor") }
	light := background()
	for _, c := range []struct{ press, theme string }{{"Dark", "dark"}, {"Light", "light"}} {
		w.click("summary[aria-label^=Account]")
		w.press(c.press)
		w.until("the page is "+c.theme, func() bool {
			got, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.documentElement.dataset.theme ?? ""`))
			return err == nil && got == c.theme
		})
		if same := background() == light; same != (c.theme == "light") {
			t.Errorf("after %s the page is %s, in the light %s", c.press, background(), light)
		}
	}
}

// Somebody finds out why a build is red with nothing but the keyboard.
func TestJourneyJ20Keyboard(t *testing.T) {
	w := newShop(t, map[string]string{".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - name: Test
    task: {jobs: [{name: Unit, commands: ["echo fine", "echo 'the limiter is nil' && exit 3"]}]}
`})
	w.shows("#head .st", "1 job failed")
	w.open("/")
	w.keys("?")
	w.shows("dialog[open]", "Keyboard shortcuts")
	w.keys("\x1b")
	w.keys("g", "p")
	w.shows("h1", "Projects")
	w.keys("j", "\r") // the first row of the page
	w.shows("h1", "shop")
	w.keys("j", "\r")
	w.shows("h1", "Sell things")
	w.keys("f")
	w.shows("h1", "Unit")
	w.shows("main", "the limiter is nil")
	w.shows("main", "exited with 3")

	// Jump to something by its name.
	w.keys("/")
	w.until("the jump-to box has the focus", func() bool {
		at, err := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.activeElement?.id ?? ""`))
		return err == nil && at == "jump"
	})
	eval[bool](w, `(document.activeElement.value = "", true)`) // the protocol types a key that the page has taken
	w.keys("s", "1", "-", "l")
	w.shows("#jump-list", "s1-linux")
	w.keys("\r")
	w.shows("h1", "s1-linux")

	// And go to a page by two keys; none of them does anything while somebody types, or when they are switched off.
	w.keys("g", "q")
	w.shows("h1", "Activity")
	w.do(chromedp.Focus(`main input[name="q"]`))
	w.keys("g", "a")
	w.shows("h1", "Activity")
	if typed := eval[string](w, `document.querySelector('main input[name="q"]').value`); typed != "ga" {
		t.Errorf("the field holds %q", typed)
	}
	w.click("summary[aria-label^=Account]")
	w.press("Switch single keys off")
	w.shows(".menu", "Switch single keys on")
	w.keys("g", "a")
	w.shows("h1", "Activity")
	w.keys("?")
	if eval[bool](w, `document.querySelector("dialog[open]") !== null`) {
		t.Error("a key that is switched off opens the list of keys")
	}
}
