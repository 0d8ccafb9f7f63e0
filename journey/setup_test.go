package journey

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/signalbox-ci/signalbox/server/servertest"
)

// Somebody opens the address that the server printed, makes the first account and is signed in.
func TestJourneyJ1Setup(t *testing.T) {
	port := servertest.Port(t)
	w := newWorld(t, "--listen", "127.0.0.1:"+port, "--public-url", "https://ci.test:"+port)
	_, code, _ := strings.Cut(w.setupAddress(), "#code=")

	w.open("/agents")
	w.shows("h1", "Set up Signalbox")
	w.open("/setup#code=" + code)
	w.until("the code is in its field and not in the address", func() bool {
		return eval[bool](w, `document.querySelector("#code")?.value === "`+code+`" && location.hash === ""`)
	})
	w.picture("setup")
	w.fill("#name", adminName)
	w.fill("#email", "ana@example.com")
	w.fill("#password", "correct horse battery")
	w.fill("#organization", "Harbour")
	w.press("Create the account")
	w.shows("h1", "You are set up")
	w.picture("setup-done")
	w.shows("pre", "sem connect ci.test:")
	w.press("Go on")
	w.shows("h1", "Get started")
	w.shows(".todo", "Connect your first agent")
	w.picture("get-started")
	if status, _ := w.get("/setup"); status != 404 {
		t.Errorf("/setup answers %d afterwards", status)
	}
	w.open("/setup")
	w.shows("h1", "There is no such page")
}

// The same with nothing but the keyboard; the code is typed, and a mistake keeps what was typed.
func TestJourneyJ1SetupByKeyboard(t *testing.T) {
	port := servertest.Port(t)
	w := newWorld(t, "--setup-code", "open sesame please", "--listen", "127.0.0.1:"+port, "--public-url", "https://ci.test:"+port)
	w.open("/setup")
	w.do(chromedp.WaitVisible("#code"))
	for i, text := range []string{"open sesame please", "ana", "ana@example.com", "correct horse battery"} {
		if i > 0 {
			w.do(chromedp.KeyEvent("\t"))
		}
		if i == 0 {
			text = "open sesame pleas"
		}
		w.do(chromedp.KeyEvent(text))
	}
	w.do(chromedp.KeyEvent("\r"), chromedp.WaitVisible(`#code[aria-invalid="true"]`))
	if got := eval[string](w, `[...document.querySelectorAll("#code, #name, #email, #password")].map((e) => e.value).join("|")`); got != "open sesame pleas|ana|ana@example.com|" {
		t.Errorf("the form keeps %q", got)
	}
	// The field with the mistake has the focus, and what is in it is added to.
	w.do(chromedp.KeyEvent(kb.End))
	w.do(chromedp.KeyEvent("e"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("correct horse battery"), chromedp.KeyEvent("\r"))
	w.shows("h1", "You are set up")
}
