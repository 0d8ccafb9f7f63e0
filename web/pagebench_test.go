package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/web/browse"
)

// crowd is a site with a workflow of 100 jobs, a project with many workflows and, when it is asked for, many agents.
func crowd(b *testing.B, agents int) (s *site, workflow, job string) {
	s = newSite(b)
	typ := s.agentType("s1-linux")
	p := s.project("parcel-api")
	for i := range 60 {
		s.workflow(p, "main", fmt.Sprintf("Commit %d", i))
	}
	wf := s.workflow(p, "main", "A hundred jobs")
	l := s.pipeline(wf, signalbox.Pipeline{Name: "Build", State: signalbox.PipelineRunning, RunningAt: s.ago(time.Minute)})
	var last *signalbox.Block
	for i := range 10 {
		block := signalbox.Block{Name: fmt.Sprintf("Block %d", i), Index: i, State: signalbox.BlockRunning, RunningAt: s.ago(time.Minute)}
		if last != nil {
			block.Dependencies = []int{i - 1}
		}
		last = s.block(l, block)
		for k := range 10 {
			j := s.job(l, last, signalbox.Job{Name: fmt.Sprintf("Job %d", k), Index: k, State: signalbox.JobQueued, AgentType: typ.Name})
			job = j.ID
		}
	}
	for from := 0; from < agents; from += 1000 {
		s.write(func(tx *store.Tx) error {
			var all []*signalbox.Agent
			var hashes []string
			for i := from; i < min(from+1000, agents); i++ {
				name := fmt.Sprintf("build-%05d", i)
				all = append(all, &signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: name, State: signalbox.AgentRegistered, Hostname: name + ".example", OS: "Debian", Arch: "x86_64", Version: "1.0"})
				hashes = append(hashes, name)
			}
			_, err := tx.CreateAgents(all, hashes)
			return err
		})
	}
	return s, "/workflows/" + wf.ID, "/jobs/" + job
}

// BenchmarkPageServed measures how long the server takes until a page's first byte, p95: 60 ms for lists and a job, 80 ms for a workflow of
// a hundred jobs (B1), and what a page weighs.
func BenchmarkPageServed(b *testing.B) {
	s, workflow, job := crowd(b, 100)
	for _, c := range []struct{ name, path string }{
		{"home", "/"}, {"project", "/projects/parcel-api"}, {"activity", "/activity"}, {"agents", "/agents"}, {"workflow", workflow}, {"timeline", workflow + "?view=timeline"}, {"job", job},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			size := 0
			for b.Loop() {
				for range 100 {
					begin := time.Now()
					req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.url+c.path, nil)
					if err != nil {
						b.Fatal(err)
					}
					req.Header.Set("Accept-Encoding", "gzip")
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(begin))
					text, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err != nil || resp.StatusCode != http.StatusOK {
						b.Fatal(resp.Status, err)
					}
					size = len(text)
				}
			}
			report95(b, took, "p95-ms")
			b.ReportMetric(float64(size)/1000, "KB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func report95(b *testing.B, took []time.Duration, unit string) {
	slices.Sort(took)
	b.ReportMetric(float64(took[(len(took)-1)*95/100])/float64(time.Millisecond), unit)
}

// BenchmarkFirstVisit measures what a browser that knows nothing yet transfers for a page: 60 KB for a list, 90 KB for a job (B2).
func BenchmarkFirstVisit(b *testing.B) {
	s, workflow, job := crowd(b, 100)
	for _, c := range []struct{ name, path string }{{"project", "/projects/parcel-api"}, {"activity", "/activity"}, {"workflow", workflow}, {"job", job}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				ctx := browse.Start(b)
				browse.Do(b, ctx, chromedp.Navigate(s.url+c.path), chromedp.WaitReady(".has-script"))
				time.Sleep(time.Second) // until everything that it asks for is there
				b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](
					`[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].filter((e) => e.initiatorType !== "fetch").reduce((n, e) => n + e.transferSize, 0) / 1000`)), "KB")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkChangeVisible measures from a change being committed to an open page showing it, p95: 700 ms (B3).
func BenchmarkChangeVisible(b *testing.B) {
	s, workflow, _ := crowd(b, 100)
	ctx := browse.Start(b)
	browse.Do(b, ctx, chromedp.Navigate(s.url+workflow), chromedp.WaitReady(".has-script"))
	time.Sleep(time.Second)
	jobs := open(b, s)
	var took []time.Duration
	for b.Loop() {
		for i := range 30 {
			done := fmt.Sprintf("%d of 100 jobs done", len(took)+1)
			browse.Run(b, ctx, chromedp.Evaluate[bool](fmt.Sprintf(`(window.seen = 0, window.look = new MutationObserver(() => {
				if (!window.seen && document.querySelector("#pipelines").textContent.includes(%q)) window.seen = Date.now();
			}), window.look.observe(document.body, {childList: true, subtree: true}), true)`, done)))
			var committed time.Time
			s.write(func(tx *store.Tx) error {
				j := *jobs[i]
				j.State, j.Result, j.StartedAt, j.FinishedAt = signalbox.JobFinished, signalbox.JobPassed, s.now(), s.now()
				committed = time.Now()
				return tx.UpdateJob(&j, signalbox.JobQueued, "bench", "passed", "")
			})
			browse.Do(b, ctx, chromedp.Poll[chromedp.Void](`window.seen > 0`))
			took = append(took, time.UnixMilli(int64(browse.Run(b, ctx, chromedp.Evaluate[float64](`(window.look.disconnect(), window.seen)`)))).Sub(committed))
		}
	}
	report95(b, took, "p95-ms")
	b.ReportMetric(0, "ns/op")
}

func open(b *testing.B, s *site) (jobs []*signalbox.Job) {
	if err := s.store.Read(b.Context(), func(tx *store.Tx) (err error) {
		jobs, err = tx.Jobs(store.JobFilter{States: []signalbox.JobState{signalbox.JobQueued}, Limit: 100})
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return jobs
}

// BenchmarkGraph measures how long laying out 300 blocks takes: 50 ms (B7).
func BenchmarkGraph(b *testing.B) {
	var blocks []blockView
	for i := range 300 {
		v := blockView{Name: fmt.Sprintf("Block %d", i), Jobs: []jobView{{Name: "Job"}}}
		for _, d := range []int{i - 7, i - 10, i - 13} {
			if d >= 0 {
				v.Deps = append(v.Deps, d)
			}
		}
		blocks = append(blocks, v)
	}
	for b.Loop() {
		if layout(blocks) == nil {
			b.Fatal("there is no drawing")
		}
	}
}

// BenchmarkGraphPan measures how many frames a second a browser draws while a graph of 300 blocks is panned: 50 (B7).
func BenchmarkGraphPan(b *testing.B) {
	s := newSite(b)
	wf := s.workflow(s.project("parcel-api"), "main", "Three hundred blocks")
	l := s.pipeline(wf, signalbox.Pipeline{Name: "Build", State: signalbox.PipelineRunning, RunningAt: s.ago(time.Minute)})
	for i := range 300 {
		block := signalbox.Block{Name: fmt.Sprintf("Block %d", i), Index: i, State: signalbox.BlockRunning, RunningAt: s.ago(time.Minute)}
		for _, d := range []int{i - 7, i - 10, i - 13} {
			if d >= 0 {
				block.Dependencies = append(block.Dependencies, d)
			}
		}
		s.job(l, s.block(l, block), signalbox.Job{Name: "Job", State: signalbox.JobQueued, AgentType: "s1-linux"})
	}
	ctx := browse.Start(b)
	browse.Do(b, ctx, chromedp.EmulateViewport(1280, 844), chromedp.Navigate(s.url+"/workflows/"+wf.ID+"?view=graph"), chromedp.WaitReady(".has-script"), chromedp.WaitReady(".graph svg"))
	for b.Loop() {
		browse.Do(b, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
			const box = document.querySelector(".graph"), start = performance.now();
			let frames = 0, by = 20;
			window.panned = Math.max(box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight);
			window.fps = 0;
			const step = () => {
				const at = box.scrollLeft + box.scrollTop;
				box.scrollBy(by, by);
				if (box.scrollLeft + box.scrollTop === at) by = -by;
				frames++;
				if (performance.now() - start < 2000) requestAnimationFrame(step);
				else window.fps = frames / 2;
			};
			requestAnimationFrame(step);
		})()`), chromedp.Poll[chromedp.Void](`window.fps > 0`))
		b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`window.fps`)), "frames/s")
		b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`window.panned`)), "px")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkTabs measures what many open pages of one browser hold open, one connection, and what they cost while nothing happens, of one
// core: 5 % (B8). The share counts this test's talk with the browser too.
func BenchmarkTabs(b *testing.B) {
	const tabs = 200
	s := newSite(b)
	s.project("parcel-api")
	var streams, most atomic.Int64
	inner := s.handler()
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/ui/events") && r.URL.Query().Get("wait") == "" {
			most.Store(max(most.Load(), streams.Add(1)))
			defer streams.Add(-1)
		}
		inner.ServeHTTP(rw, r)
	}))
	b.Cleanup(front.Close)
	url := front.URL
	for b.Loop() {
		ctx := browse.Start(b)
		for i := range tabs {
			tab := ctx
			if i > 0 {
				var cancel context.CancelFunc
				tab, cancel = chromedp.NewContext(ctx)
				b.Cleanup(cancel)
			}
			browse.Do(b, tab, chromedp.Navigate(url+[]string{"/", "/activity", "/agents", "/projects/parcel-api"}[i%4]), chromedp.WaitReady(".has-script"))
		}
		time.Sleep(2 * time.Second)
		b.ReportMetric(float64(streams.Load()), "streams")
		before := processorTime(b)
		const idle = 10 * time.Second
		time.Sleep(idle)
		b.ReportMetric(100*(processorTime(b)-before).Seconds()/idle.Seconds(), "%-of-a-core")
		b.ReportMetric(float64(most.Load()), "streams-at-most")
	}
	b.ReportMetric(tabs, "tabs")
	b.ReportMetric(0, "ns/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkManyAgents measures the first paint of the pages of agents with 10,000 of them: 400 ms (B10).
func BenchmarkManyAgents(b *testing.B) {
	s, _, job := crowd(b, 10_000)
	ctx := browse.Start(b)
	browse.Do(b, ctx, chromedp.Navigate(s.url+job), chromedp.WaitReady(".has-script")) // somebody comes from another page
	for _, path := range []string{"/agents", "/agents/all", "/agents/self_hosted/s1-linux"} {
		b.Run(strings.ReplaceAll(path[1:], "/", "-"), func(b *testing.B) {
			for b.Loop() {
				browse.Do(b, ctx, chromedp.Navigate(s.url+path), chromedp.WaitReady(".has-script"))
				time.Sleep(500 * time.Millisecond)
				b.ReportMetric(browse.Run(b, ctx, chromedp.Evaluate[float64](`performance.getEntriesByName("first-contentful-paint")[0].startTime`)), "first-paint-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
