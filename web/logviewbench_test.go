package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/web/browse"
)

// BenchmarkLogViewerMillion opens, jumps in, scrolls and searches a log of a million lines in a real browser.
func BenchmarkLogViewerMillion(b *testing.B) {
	ctx := browse.Start(b)
	s := newSite(b)
	j := s.longJob(1_000_000)
	page := s.url + "/jobs/" + j.ID
	at := func(steps ...chromedp.Action[chromedp.Void]) float64 {
		start := time.Now()
		browse.Do(b, ctx, steps...)
		return float64(time.Since(start).Milliseconds())
	}
	browse.Do(b, ctx, chromedp.EmulateViewport(1280, 844), chromedp.Navigate(page), chromedp.WaitReady(".log-scroll .ln:not(.loading)"))
	for b.Loop() {
		start := time.Now()
		s.get("/jobs/" + j.ID)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "page_ms")
		browse.Do(b, ctx, chromedp.Navigate("about:blank"))
		browse.Do(b, ctx, chromedp.Navigate(page), chromedp.WaitReady(".log-scroll .ln:not(.loading)"))
		b.ReportMetric(painted(b, ctx), "first_in_new_tab_ms")
		browse.Do(b, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitReady(".has-script"))
		browse.Do(b, ctx, chromedp.Navigate(page), chromedp.WaitReady(".log-scroll .ln:not(.loading)"))
		b.ReportMetric(painted(b, ctx), "first_ms")
		browse.Do(b, ctx, chromedp.Navigate(s.url+"/"), chromedp.WaitReady(".has-script"))
		b.ReportMetric(at(chromedp.Navigate(page+"#L900000"), chromedp.WaitReady("#L900000.on:not(.loading)")), "open_at_from_site_ms")
		browse.Do(b, ctx, chromedp.Navigate("about:blank"))
		b.ReportMetric(at(chromedp.Navigate(page+"#L900000"), chromedp.WaitReady("#L900000.on:not(.loading)")), "open_at_ms")
		b.ReportMetric(at(chromedp.Evaluate[chromedp.Void](`location.hash = "#L500000"`), chromedp.WaitReady("#L500000.on:not(.loading)")), "jump_ms")
		b.ReportMetric(at(chromedp.Evaluate[chromedp.Void](`document.querySelector(".log-scroll").scrollTop = 1e9`), chromedp.WaitReady("#L1000007:not(.loading)")), "end_ms")
		browse.Do(b, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
			const box = document.querySelector(".log-scroll");
			box.scrollTop = 6e6;
			window.frames60 = 0;
			window.mostRows = 0;
			const start = performance.now();
			const step = () => {
				box.scrollBy(0, 60);
				window.frames60++;
				window.mostRows = Math.max(window.mostRows, document.querySelectorAll("#commands .ln").length);
				if (performance.now() - start < 2000) requestAnimationFrame(step);
				else window.fps = Math.round(window.frames60 / 2);
			};
			requestAnimationFrame(step);
		})()`), chromedp.Poll[chromedp.Void](`window.fps > 0`))
		b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`window.fps`)), "frames/s")
		b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`window.mostRows`)), "rows")
		b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`performance.memory.usedJSHeapSize / 1e6`)), "heap_MB")
		search := func(text string, pattern bool) (first, all float64) {
			start := time.Now()
			browse.Do(b, ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
				const t = document.querySelector("[aria-label='Regular expression']");
				if ((t.getAttribute("aria-pressed") === "true") !== %v) t.click();
				const i = document.querySelector(".log-find input"); i.value = %q; i.form.requestSubmit(); })()`, pattern, text)),
				chromedp.Poll[chromedp.Void](`/\d/.test(document.querySelector(".log-find .hits").textContent)`))
			first = float64(time.Since(start).Milliseconds())
			browse.Do(b, ctx, chromedp.Poll[chromedp.Void](`/^[\d,]+ of [\d,]+$/.test(document.querySelector(".log-find .hits").textContent)`))
			return first, float64(time.Since(start).Milliseconds())
		}
		first, all := search("line 7777", false)
		b.ReportMetric(first, "literal_first_ms")
		b.ReportMetric(all, "literal_ms")
		first, all = search(`[0-9]+77 of .*e (output)?$`, true)
		b.ReportMetric(first, "pattern_said_ms")
		b.ReportMetric(all, "pattern_ms")
	}
}

// painted is when the page that is open was painted first, in ms since it was asked for.
func painted(b *testing.B, ctx context.Context) float64 {
	b.Helper()
	return browse.Run(b, ctx, chromedp.Evaluate[float64](`performance.getEntriesByName("first-contentful-paint")[0].startTime`))
}

// BenchmarkLogViewerLive watches a log that grows by 5,000 lines a second, for a minute (B5). At its end it asks for the log as text:
// no line may be missing.
func BenchmarkLogViewerLive(b *testing.B) {
	ctx := browse.Start(b)
	s := newSite(b)
	j, at := s.growingJob()
	browse.Do(b, ctx, chromedp.EmulateViewport(1280, 844), chromedp.Navigate(s.url+"/jobs/"+j.ID), chromedp.WaitReady(".log-scroll .ln"))
	browse.Do(b, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
		window.longest = 0;
		new PerformanceObserver((l) => { for (const e of l.getEntries()) window.longest = Math.max(window.longest, e.duration); }).observe({ type: "longtask" });
	})()`))
	next, n := int64(2), 1
	for b.Loop() {
		for range 600 {
			start := time.Now()
			var out strings.Builder
			for range 500 {
				n++
				fmt.Fprintf(&out, "line %d of a log that grows\n", n)
			}
			next = s.push(at, next, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: s.now().Unix(), Output: out.String()})
			time.Sleep(max(0, 100*time.Millisecond-time.Since(start)))
		}
		start := time.Now()
		browse.Do(b, ctx, chromedp.Poll[chromedp.Void](fmt.Sprintf(`document.querySelector("#L%d:not(.loading)")?.textContent === "%dline %d of a log that grows"`, n+1, n+1, n)))
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "behind_ms")
		lost := 0
		_, text := s.get("/jobs/" + j.ID + "/plain_logs.txt")
		for i := 2; i <= n; i++ {
			if line := fmt.Sprintf("line %d of a log that grows\n", i); strings.HasPrefix(text, line) {
				text = text[len(line):]
			} else if at := strings.Index(text, line); at >= 0 {
				text = text[at+len(line):]
			} else {
				lost++
			}
		}
		b.ReportMetric(float64(lost), "lost")
		b.ReportMetric(float64(n), "lines")
	}
	b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`window.longest`)), "longest_task_ms")
}
