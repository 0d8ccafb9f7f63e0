// Package browse drives a real browser in tests of pages. It starts a headless chromium, reports what the browser complains about, and
// runs the accessibility rules of axe-core on the page that is open. Only tests use it.
package browse

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	cdruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Start starts a headless browser, or skips the test by name where none is installed.
func Start(t testing.TB, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatal("SIGNALBOX_TEST_REQUIRE=1, but chromium is not installed")
		}
		t.Skip("SKIPPED: chromium is not installed, so no page was opened in a browser")
	}
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	options = append(options, chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()))
	for _, flag := range []string{"headless", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	options = append(options, more...)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Do runs steps in the browser and ends the test when one does not come true.
func Do(t testing.TB, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// Run is Do for a step that returns something.
func Run[T any](t testing.TB, ctx context.Context, step chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, step)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Listen collects what the browser reports as wrong: scripts that fail, what the content policy refused, missing
// files. The page that is meant to answer with an error is not.
func Listen(t testing.TB, ctx context.Context) func() []string {
	t.Helper()
	var mu sync.Mutex
	var found []string
	add := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, text)
	}
	err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *cdruntime.EventExceptionThrown:
			add(fmt.Sprintf("%+v", *ev.ExceptionDetails))
		case *log.EventEntryAdded:
			if ev.Entry.Level == "error" && !strings.HasSuffix(ev.Entry.URL, "none") { // pages of errors are asked for by such addresses
				add(ev.Entry.Text + " " + ev.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(found)
	}
}

// violation is a rule of axe-core that a page breaks.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

var axeScript = sync.OnceValues(func() ([]byte, error) {
	_, here, _, _ := runtime.Caller(0)
	return os.ReadFile(filepath.Join(filepath.Dir(here), "..", "node_modules", "axe-core", "axe.min.js"))
})

// Axe checks the page that is open against the rules of WCAG 2.2 AA and reports what breaks them seriously. scripts/setup-web installs the
// rules; without them it skips the test, by name.
func Axe(t testing.TB, ctx context.Context, page string) {
	t.Helper()
	script, err := axeScript()
	if err != nil {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatal("SIGNALBOX_TEST_REQUIRE=1, but axe-core is not there: ", err)
		}
		t.Skip("SKIPPED: axe-core is not installed (scripts/setup-web does it), so accessibility was not checked")
	}
	Run(t, ctx, chromedp.Evaluate[bool](string(script)+"; true"))
	text := Run(t, ctx, chromedp.Evaluate[string](`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations))`, chromedp.EvalAwaitPromise))
	var found []violation
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		if v.Impact != "serious" && v.Impact != "critical" {
			continue
		}
		for _, n := range v.Nodes[:min(len(v.Nodes), 3)] {
			// The number of a line is as high as the line; the whole line is there for the pointer, and the address for the keyboard.
			if v.ID == "target-size" && strings.HasPrefix(n.HTML, `<a class="no"`) {
				continue
			}
			t.Errorf("%s: %s (%s): %s\n%.300s\n%s", page, v.ID, v.Impact, v.Help, n.HTML, strings.TrimSpace(n.Summary))
		}
	}
}
