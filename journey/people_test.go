package journey

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Somebody watches a pipeline run while their role is changed: what they may no longer do goes from the page, and comes back, without a
// reload, and the server refuses it meanwhile.
func TestJourneyJ16RoleChange(t *testing.T) {
	w := newShop(t, map[string]string{".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - task: {jobs: [{name: Wait, commands: ["sleep 300"]}]}
`})
	w.shows("#head .st", "Running")
	workflow := eval[string](w, `location.pathname`)
	w.open("/people")
	w.fill("#name", "mei")
	w.fill("#email", "mei@example.com")
	w.press("Make the invitation")
	w.shows("#new-link", "It is shown only now")
	link := strings.TrimSpace(eval[string](w, `document.querySelector("#new-link pre").textContent`))
	mei := &world{T: t, dir: w.dir, url: w.url, server: w.server}
	mei.browse()
	mei.open(link)
	mei.until("the code is in its field", func() bool { return eval[bool](mei, `document.querySelector("#code")?.value.length === 80`) })
	mei.fill("#password", "staple staple staple")
	mei.press("Set the password and sign in")
	mei.shows(".bar", "Activity")
	mei.open(workflow)
	offered := func(yes bool) {
		t.Helper()
		mei.until("what may be pressed follows the role", func() bool {
			n, err := chromedp.Run(mei.ctx, chromedp.Evaluate[float64](`document.querySelectorAll('main form[method="post"]').length`))
			return err == nil && yes == (n > 0)
		})
	}
	offered(true)
	stop := eval[string](mei, `document.querySelector('form[action$="/stop"]').action`)
	mei.stay()
	w.signalbox("user", "set-role", "mei", "viewer")
	offered(false)
	mei.stayed()
	answer := eval[string](mei, `(() => { const x = new XMLHttpRequest(); x.open("POST", "`+stop+`", false); x.send(); return String(x.status); })()`)
	if answer != "403" {
		t.Errorf("the server answered %s", answer)
	}
	w.signalbox("user", "set-role", "mei", "member")
	offered(true)
	mei.stayed()
	mei.shows("#head .st", "Running")
}

// An administrator invites somebody, who opens the link in a browser of their own, chooses a password and looks around; then
// they are disabled, and what they press next asks them to sign in.
func TestJourneyInvite(t *testing.T) {
	w := newServer(t)
	w.open("/get_started")
	w.press("Invite somebody")
	w.shows("h1", "People")
	w.picture("people")
	// The bar has five sections now; it must have room for them as long as it shows them.
	w.do(chromedp.EmulateViewport(910, 844))
	if wide := eval[int64](w, `document.documentElement.scrollWidth`); wide > 910 {
		t.Errorf("the page is %d wide at 910 pixels", wide)
	}
	w.do(chromedp.EmulateViewport(1280, 844))
	w.fill("#name", "mei")
	w.fill("#email", "mei@example.com")
	w.press("Make the invitation")
	w.shows("#new-link", "It is shown only now")
	w.picture("people-link")
	link := strings.TrimSpace(eval[string](w, `document.querySelector("#new-link pre").textContent`))
	if !strings.HasPrefix(link, w.url+"/welcome#code=") {
		t.Fatalf("the link is %s", link)
	}
	w.press("Done")
	w.shows("#people tr", "mei mei@example.com member Invited link until")

	mei := &world{T: t, dir: w.dir, url: w.url, server: w.server}
	mei.browse()
	mei.open("/activity")
	mei.shows("h1", "Sign in to Signalbox")
	mei.open(link)
	mei.until("the code is in its field and not in the address", func() bool {
		return eval[bool](mei, `document.querySelector("#code")?.value.length === 80 && location.hash === ""`)
	})
	mei.picture("welcome")
	mei.fill("#password", "staple staple staple")
	mei.press("Set the password and sign in")
	mei.shows("h1", "Home")
	if eval[bool](mei, `!!document.querySelector('a[href="/people"], a[href="/settings"]')`) {
		t.Error("a member is offered what they may not do")
	}
	mei.open("/people")
	mei.shows("h1", "You may look but not do this")
	mei.open("/account")
	mei.shows("#sessions", "this one")
	mei.fill("#t-name", "laptop")
	mei.press("Create token")
	mei.shows("#new-token", "It is shown only now")
	mei.picture("account-token")

	// The page of the administrator follows.
	w.open("/people")
	w.shows("#people tr", "mei mei@example.com member Active")
	mei.open("/activity")
	mei.shows("h1", "Activity")
	w.press("Disable… mei")
	w.press("Disable")
	w.shows("#people tr", "mei mei@example.com member Disabled")
	mei.shows("#banner", "Your session has ended")
	mei.press("Agents")
	mei.shows("h1", "Sign in to Signalbox")
	mei.fill("#name", "mei")
	mei.fill("#password", "staple staple staple")
	mei.press("Sign in")
	mei.shows("#problem", "Name and password do not match")

	// Enabled again, they are who they were.
	w.press("Enable")
	w.shows("#people tr", "mei mei@example.com member Active")
	mei.fill("#password", "staple staple staple")
	mei.press("Sign in")
	mei.shows("h1", "Agents")
	// The link is used up, whoever has it.
	mei.open(link)
	mei.fill("#password", "another good password")
	mei.press("Set the password and sign in")
	mei.shows("#code-problem", "That link does not count")
}
