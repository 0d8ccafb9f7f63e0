package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/web/browse"
)

// longJob is a job whose log has three commands, the second of which prints many lines; the third one fails.
func (s *site) longJob(lines int) *signalbox.Job {
	s.t.Helper()
	a := s.agent(s.agentType("long"), "long-01")
	wf := s.workflow(s.project("long"), "main", "x")
	ppl := s.pipeline(wf, signalbox.Pipeline{State: signalbox.PipelineDone, Result: signalbox.ResultFailed})
	b := s.block(ppl, signalbox.Block{Name: "B", State: signalbox.BlockDone, Result: signalbox.ResultFailed})
	j := s.job(ppl, b, signalbox.Job{Name: "J", State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest, StartedAt: s.now(), FinishedAt: s.now()})
	at := s.attempt(j, a, signalbox.Attempt{State: signalbox.AttemptEnded, Result: signalbox.JobFailed})
	next := s.push(at, 0, command(1000, "checkout", "HEAD\n", 0, 2)...)
	next = s.push(at, next, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: 1002, Directive: "make everything"})
	for i := 0; i < lines; i += 1000 {
		var out strings.Builder
		for k := range min(1000, lines-i) {
			fmt.Fprintf(&out, "line %d of the output\n", i+k+1)
		}
		next = s.push(at, next, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: 1003 + int64(i/1000), Output: out.String()})
	}
	zero := 0
	next = s.push(at, next, agentapi.Event{Event: agentapi.EventCmdFinished, Timestamp: 2000, Directive: "make everything", ExitCode: &zero})
	s.push(at, next, command(2000, "make report", "see https://example.com/report, please\n\x1b[31mfatal\x1b[0m: it failed "+strings.Repeat("wide ", 3000)+"\nthe end\n", 3, 5)...)
	s.closeLog(at)
	return j
}

// growingJob is a job that has begun to print.
func (s *site) growingJob() (*signalbox.Job, *signalbox.Attempt) {
	s.t.Helper()
	a := s.agent(s.agentType("growing"), "growing-01")
	wf := s.workflow(s.project("growing"), "main", "x")
	ppl := s.pipeline(wf, signalbox.Pipeline{State: signalbox.PipelineRunning})
	b := s.block(ppl, signalbox.Block{Name: "B", State: signalbox.BlockRunning})
	j := s.job(ppl, b, signalbox.Job{Name: "J", State: signalbox.JobRunning, StartedAt: s.now()})
	at := s.attempt(j, a, signalbox.Attempt{State: signalbox.AttemptRunning})
	s.push(at, 0, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: 1, Directive: "make"}, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: 1, Output: "line 1\n"})
	return j, at
}

// What the viewer does with a log that no page could hold.
func TestLogViewer(t *testing.T) {
	ctx := browse.Start(t)
	s := newSite(t)
	j := s.longJob(100_000)
	problems := browse.Listen(t, ctx)
	is := func(what, js, want string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
			// What is not there yet may be in a moment.
			if got = browse.Run(t, ctx, chromedp.Evaluate[string](`(() => { try { return `+js+`; } catch (e) { return String(e); } })()`)); got == want {
				return
			}
		}
		t.Errorf("%s: %s is %q, want %q", what, js, got, want)
	}
	const inSight = `(() => { const b = document.querySelector("#commands").getBoundingClientRect();
		return [...document.querySelectorAll("#commands .ln")].filter((e) => { const r = e.getBoundingClientRect(); return r.top >= b.top && r.bottom <= b.bottom + 1; }).map((e) => e.id); })()`
	sees := func(what, id string) {
		t.Helper()
		is(what, `String(`+inSight+`.includes("`+id+`") && !document.querySelector("#`+id+`").classList.contains("loading"))`, "true")
	}
	browse.Do(t, ctx, chromedp.EmulateViewport(1280, 844), chromedp.Navigate(s.url+"/jobs/"+j.ID), chromedp.WaitReady(".log-scroll .ln"))
	sees("a failed job begins where it failed", "L100007")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`location.hash = "#L100005"`))
	sees("another line", "L100005")
	is("the address in the text is a link", `document.querySelector("#L100005 a.out").href + " " + document.querySelector("#L100005 a.out").rel`, "https://example.com/report noopener noreferrer nofollow")
	is("a long line is cut", `String(document.querySelector("#L100006 .tx").textContent.length < 9000)`, "true")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#L100006 .more-line").click()`))
	is("and shown whole when asked for", `String(document.querySelector("#L100006 .tx").textContent.length)`, "15016")

	// A link to lines in the middle loads those lines and no others.
	browse.Do(t, ctx, chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/jobs/"+j.ID+"#L50003-L50005"), chromedp.WaitReady(".ln.on"))
	sees("a link to lines", "L50003")
	is("its lines are marked", `[...document.querySelectorAll(".ln.on")].map((e) => e.id + " " + e.querySelector(".tx").textContent).join(", ")`,
		"L50003 line 50000 of the output, L50004 line 50001 of the output, L50005 line 50002 of the output")
	is("what is loaded", `String(performance.getEntriesByType("resource").filter((e) => e.name.includes("/lines?")).length <= 2)`, "true")
	is("rows in the page", `String(document.querySelectorAll("#commands .ln").length <= 400)`, "true")
	is("the foot", `document.querySelector(".selbar b").textContent`, "Lines 50,003 to 50,005")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#L50004 .no").click()`))
	is("a click marks a line", `location.hash`, "#L50004")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#L50007 .no").dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true, shiftKey: true}))`))
	is("with shift, more lines", `location.hash`, "#L50004-L50007")

	// What is copied is whole, also where its rows have left the page, and without numbers.
	const copied = `(window.copied ?? "").split("\n").filter((l) => l).length + " " + (window.copied ?? "").split("\n")[0] + " " + (window.copied ?? "").trim().split("\n").pop()`
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`Object.defineProperty(navigator, "clipboard", {configurable: true, value: {writeText: (t) => { window.copied = t; return Promise.resolve(); }}})`),
		chromedp.Evaluate[chromedp.Void](`location.hash = "#L1004-L4003"`))
	sees("many lines", "L1004")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector(".log-scroll").dispatchEvent(new ClipboardEvent("copy", {bubbles: true, cancelable: true}))`))
	is("copied lines that are marked", copied, "3000 line 1001 of the output line 4000 of the output")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
		window.copied = "";
		const row = document.querySelector("#L1004 .tx");
		row.dispatchEvent(new PointerEvent("pointerdown", {bubbles: true}));
		getSelection().setBaseAndExtent(row.firstChild, 2, row.firstChild, 5);
	})()`), chromedp.Evaluate[chromedp.Void](`location.hash = "#L7003"`))
	sees("the other end of a selection", "L7003")
	sees("and the lines before it, which may come with other lines", "L7000")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
		const row = document.querySelector("#L7003 .tx");
		getSelection().setBaseAndExtent(document.querySelector("#L7000 .tx").firstChild, 1, row.firstChild, 4);
		row.dispatchEvent(new ClipboardEvent("copy", {bubbles: true, cancelable: true}));
		getSelection().removeAllRanges();
	})()`))
	is("copied a selection whose beginning has left the page", copied, "6000 line 1001 of the output line 7000 of the output")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`location.hash = "#c2.L77"`))
	is("a line of a command", `document.querySelector(".ln.on").textContent`, "80line 77 of the output")

	// Keys.
	browse.Do(t, ctx, chromedp.Focus(".log-scroll"), chromedp.KeyEvent("G"))
	sees("G", "L100007")
	browse.Do(t, ctx, chromedp.KeyEvent("g"), chromedp.KeyEvent("g"))
	is("gg", `String(document.querySelector(".log-scroll").scrollTop)`, "0")
	browse.Do(t, ctx, chromedp.KeyEvent("f"))
	sees("f", "L100007")
	browse.Do(t, ctx, chromedp.KeyEvent("t"))
	is("t", `document.querySelector("#L100007 .at")?.textContent + document.querySelector(".log-tools .sel").textContent`, "0:00Times: since command")
	browse.Do(t, ctx, chromedp.KeyEvent("t"), chromedp.KeyEvent("t"), chromedp.KeyEvent("t"))
	is("UTC", `document.querySelector("#L100007 .at")?.textContent`, "00:33:20")
	browse.Do(t, ctx, chromedp.KeyEvent("w"))
	is("w", `String(document.querySelector("#L100006").offsetHeight)`, "20")
	browse.Do(t, ctx, chromedp.Reload(), chromedp.WaitReady(".log-scroll .ln"))
	is("preferences are kept", `document.querySelector(".log-tools .sel").textContent + document.querySelector("[aria-label='Wrap lines: off']").getAttribute("aria-pressed")`, "Times: UTCfalse")
	browse.Do(t, ctx, chromedp.Focus(".log-scroll"), chromedp.KeyEvent("w"), chromedp.KeyEvent("t"))

	// Folds.
	browse.Do(t, ctx, chromedp.KeyEvent("g"), chromedp.KeyEvent("g"))
	is("the first command is in sight", `String(document.querySelector('.lh[data-command="1"] button') !== null)`, "true")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector('.lh[data-command="1"] button').click()`))
	is("a fold opens or closes", `document.querySelector('.lh[data-command="1"] button').getAttribute("aria-expanded")`, "true")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll(".log-tools button")].find((b) => b.textContent === "Only failed").click()`))
	is("only failed", `[...document.querySelectorAll(".log-rows .lh code")].map((e) => e.textContent).join()`, "make report")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll(".log-tools button")].find((b) => b.textContent === "Only failed").click()`))

	// Search opens folds, counts, and goes from hit to hit.
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`dispatchEvent(new HashChangeEvent("x")); document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "f", ctrlKey: true, bubbles: true, cancelable: true}))`))
	is("Ctrl-F", `document.activeElement.getAttribute("aria-label")`, "Search in the log")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("[aria-label='Mark no lines']")?.click()`))
	browse.Do(t, ctx, chromedp.Focus(".log-find input"), chromedp.KeyEvent("LINE 7777"))
	is("hits", `document.querySelector(".log-find .hits").textContent`, "1 of 11")
	sees("the first hit", "L7780")
	is("it is marked", `document.querySelector("#L7780 mark.now").textContent + location.search`, "line 7777?q=LINE+7777")
	browse.Do(t, ctx, chromedp.KeyEvent(kb.Enter))
	sees("the next hit", "L77773")
	browse.Do(t, ctx, chromedp.Focus(".log-scroll"), chromedp.KeyEvent("N"))
	sees("back", "L7780")
	is("the map", `String(document.querySelectorAll(".hitmap .h").length > 0 && document.querySelectorAll(".hitmap .f").length === 1)`, "true")
	browse.Do(t, ctx, chromedp.Click("[aria-label='Regular expression']"), chromedp.Evaluate[chromedp.Void](
		`(() => { const i = document.querySelector(".log-find input"); i.value = "("; i.form.requestSubmit(); })()`))
	is("a pattern that is wrong", `String(document.querySelector(".log-find .hits").textContent.startsWith("the pattern cannot be understood"))`, "true")
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`(() => { const i = document.querySelector(".log-find input"); i.value = "^fatal"; i.form.requestSubmit(); })()`))
	is("a pattern", `document.querySelector(".log-find .hits").textContent`, "1 of 1")
	is("its hit", `document.querySelector("#L100006 mark.now")?.textContent ?? ""`, "fatal")
	for _, p := range problems() {
		if !strings.Contains(p, "400 (Bad Request)") {
			t.Errorf("the browser complains: %s", p)
		}
	}
}

// More rows than a browser can make room for: the scroll bar moves in proportion, keys and wheel by rows.
func TestLogViewerScales(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: a log of a million lines takes a while")
	}
	ctx := browse.Start(t)
	s := newSite(t)
	j := s.longJob(1_000_000)
	browse.Do(t, ctx, chromedp.EmulateViewport(1280, 844), chromedp.Navigate(s.url+"/jobs/"+j.ID+"#L900000"), chromedp.WaitReady("#L900000:not(.loading)"))
	height := browse.Run(t, ctx, chromedp.Evaluate[int64](`document.querySelector(".log-scroll").scrollHeight`))
	if height > 12_000_000 {
		t.Errorf("the list is %d pixels high", height)
	}
	first := func() int64 {
		return browse.Run(t, ctx, chromedp.Evaluate[int64](`(() => { const b = document.querySelector(".log-scroll").getBoundingClientRect();
			return Number([...document.querySelectorAll("#commands .ln")].find((e) => e.getBoundingClientRect().top >= b.top).id.slice(1)); })()`))
	}
	// settles waits until what is looked at is right and stays so.
	settles := func(what string, right func() bool) {
		t.Helper()
		for end, n := time.Now().Add(15*time.Second), 0; n < 3; time.Sleep(100 * time.Millisecond) {
			if n++; !right() {
				n = 0
			}
			if time.Now().After(end) {
				t.Fatalf("%s: never; the first line in sight is %d", what, first())
			}
		}
	}
	was := int64(0)
	settles("the page stands still", func() bool { is := first(); same := is == was; was = is; return same })
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector(".log-scroll").scrollBy(0, 100)`))
	settles("100 pixels are 5 rows", func() bool { by := first() - was; return by >= 4 && by <= 6 })
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector(".log-scroll").scrollTop = 6_000_000`))
	settles("the lines in the middle of the scroll bar are there", func() bool {
		at := first()
		return at >= 490_000 && at <= 510_000 && browse.Run(t, ctx, chromedp.Evaluate[int](`document.querySelectorAll("#commands .ln:not(.loading)").length`)) >= 20
	})
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector(".log-scroll").scrollTop = 1e9`), chromedp.WaitReady("#L1000007:not(.loading)"))
	// Each row is where the geometry says, with no hole between two.
	holes := browse.Run(t, ctx, chromedp.Evaluate[int](`(() => { const r = [...document.querySelectorAll("#commands .ln")].map((e) => e.getBoundingClientRect());
		return r.filter((x, i) => i > 0 && Math.abs(x.top - r[i-1].bottom) > 50).length; })()`))
	if holes != 0 {
		t.Errorf("%d holes between rows", holes)
	}
}

// A page that shows a running log shows it as it grows, leaves a reader alone who does not follow, and goes on after the connection
// was lost.
func TestLogViewerFollows(t *testing.T) {
	ctx := browse.Start(t)
	s := newBusySite(t)
	browse.Do(t, ctx, chromedp.EmulateViewport(1280, 700), chromedp.Navigate(s.url+"/jobs/"+s.running.ID), chromedp.WaitReady(".log-scroll .ln"))
	wait := func(js string) {
		t.Helper()
		browse.Do(t, ctx, chromedp.Poll[chromedp.Void](js))
	}
	out := func(text string) {
		s.runningLogNext = s.push(s.runningAttempt, s.runningLogNext, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: s.now().Unix(), Output: text})
	}
	out(" done\n" + strings.Repeat("more\n", 3000))
	wait(`document.querySelector("#L3007:not(.loading)") !== null && document.querySelector("#log-end").textContent === "Following"`)
	out("at once\n")
	wait(`document.querySelector("#L3008")?.textContent === "3008at once"`)
	// Reading above.
	browse.Do(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector(".log-scroll").scrollBy(0, -2000)`))
	wait(`document.querySelector("#log-end").textContent.startsWith("Jump to latest")`)
	at := browse.Run(t, ctx, chromedp.Evaluate[int64](`document.querySelector(".log-scroll").scrollTop`))
	out(strings.Repeat("later\n", 1234))
	wait(`document.querySelector("#log-end").textContent === "Jump to latest, 1,234 new lines"`)
	s.closeLog(s.runningAttempt)
	wait(`document.querySelector("#log-end").textContent === ""`)
	if now := browse.Run(t, ctx, chromedp.Evaluate[int64](`document.querySelector(".log-scroll").scrollTop`)); now != at {
		t.Errorf("the reader was moved from %d to %d", at, now)
	}
	if text := browse.Run(t, ctx, chromedp.TextContent("#total")); !strings.HasPrefix(text, "4,242\u00a0lines") {
		t.Errorf("the foot says %q", text)
	}
}

// Phones and dark.
func TestLogViewerPictures(t *testing.T) {
	ctx := browse.Start(t)
	s := newSite(t)
	j := s.longJob(3000)
	for _, shot := range shots {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.theme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		browse.Do(t, ctx, chromedp.EmulateViewport(shot.width, 844), chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/jobs/"+j.ID+"?q=line+70#L1002-L1004"), chromedp.WaitReady(".ln.on:not(.loading)"))
		browse.Do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector(".log-find .hits").textContent.startsWith("1 of")`))
		if wide := browse.Run(t, ctx, chromedp.Evaluate[int64](`document.querySelector("main").scrollWidth`)); wide > shot.width {
			t.Errorf("at %d pixels the page is %d wide", shot.width, wide)
		}
		picture(t, ctx, "log"+shot.suffix)
	}
}

// picture keeps a picture of the page for looking at it, when a folder for that is given.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("SIGNALBOX_TEST_PICTURES")
	if folder == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), browse.Run(t, ctx, chromedp.FullScreenshot(100)), 0o644); err != nil {
		t.Fatal(err)
	}
}
