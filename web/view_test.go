package web

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"

	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/store"
)

// Whatever ends something otherwise than by passing has a sentence.
func TestEveryEndHasAReason(t *testing.T) {
	for _, r := range []signalbox.Reason{
		signalbox.ReasonMalformed, signalbox.ReasonStuck, signalbox.ReasonInternal, signalbox.ReasonStrategy, signalbox.ReasonFastFailing, signalbox.ReasonDeleted, signalbox.ReasonTimeout,
		signalbox.ReasonAgentLost, signalbox.ReasonAgentRestarted, signalbox.ReasonAgentDisconnected, signalbox.ReasonInterrupted, signalbox.ReasonWithdrawn, signalbox.ReasonStartFailed,
		signalbox.ReasonImagePull, signalbox.ReasonLeaseEnded, signalbox.ReasonAgentError,
	} {
		if endReasons[r] == "" {
			t.Errorf("an end for the reason %q says nothing", r)
		}
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	sp := func(s string) string { return strings.ReplaceAll(s, nbsp, " ") }
	for _, tt := range []struct{ got, want string }{
		{clock(-1), "--:--"},
		{clock(6 * time.Second), "0:06"},
		{clock(462 * time.Second), "7:42"},
		{clock(3800 * time.Second), "1:03:20"},
		{ago(now, now), "now"},
		{sp(ago(now.Add(-3*time.Minute), now)), "3 min ago"},
		{ago(now.Add(-30*time.Hour), now), "yesterday"},
		{sp(ago(now.Add(-20*24*time.Hour), now)), "3 Nov"},
		{sp(ago(now.Add(-400*24*time.Hour), now)), "19 Oct 2025"},
		{count(1204), "1,204"},
		{count(-1204567), "-1,204,567"},
		{count(12), "12"},
		{sp(plural(1, "job", "jobs")), "1 job"},
		{sp(plural(2, "job", "jobs")), "2 jobs"},
		{sp(size(648)), "648 B"},
		{sp(size(6100)), "6.1 KB"},
		{sp(size(999_600)), "1.0 MB"},
		{sp(size(200_000_000)), "200 MB"},
		{clip("añb", 3), "añb"},
		{clip("añbc", 3), "añ…"},
		{titleOf("\n  Fix it \nmore"), "Fix it"},
		{titleOf(""), "No commit message"},
		{joinNames([]string{"A", "B", "C", "D"}), "A, B and 2 more"},
		{initials("ana kovač"), "AK"},
		{signalbox.WithoutPassword("https://u:p@h/x"), "https://u:xxxxx@h/x"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestJobLamps(t *testing.T) {
	started := time.Unix(1, 0)
	for _, tt := range []struct {
		job  signalbox.Job
		want Lamp
	}{
		{signalbox.Job{State: signalbox.JobQueued}, lampQueued},
		{signalbox.Job{State: signalbox.JobOffered}, lampQueued},
		{signalbox.Job{State: signalbox.JobRunning}, lampRunning},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobPassed}, lampPassed},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest}, lampFailed},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost}, lampInfra},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonImagePull}, lampInfra},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentError}, lampInfra},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobStopped, Reason: signalbox.ReasonTimeout, StartedAt: started}, lampTimedOut},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobStopped, StartedAt: started}, lampStopped},
		{signalbox.Job{State: signalbox.JobFinished, Result: signalbox.JobStopped}, lampCanceled},
	} {
		if got := jobLamp(&tt.job, false); got != tt.want {
			t.Errorf("%+v looks like %v, want %v", tt.job, got, tt.want)
		}
		if tt.job.State == signalbox.JobFinished && tt.want != lampPassed && tt.want != lampFailed && tt.job.Reason != "" && jobWhy(&tt.job, false) == "" {
			t.Errorf("%v has no reason", tt.want)
		}
	}
}

func TestRuns(t *testing.T) {
	tests := []struct {
		name, in string
		begin    logline.Style
		want     []Run
		next     int
	}{
		{"plain", "a <b> & c", nil, []Run{{Text: "a <b> & c"}}, 0},
		{"colour", "\x1b[31mred\x1b[0m rest", nil, []Run{{"red", "term-fg31"}, {" rest", ""}}, 0},
		{"carried in", "still", logline.Style{"\x1b[1;31m"}, []Run{{"still", "term-fg31 term-fg1"}}, 1},
		{"carried out", "\x1b[32mgreen", nil, []Run{{"green", "term-fg32"}}, 1},
		{"true colour", "\x1b[38;2;255;0;0mx\x1b[m", nil, []Run{{"x", "term-fgx196"}}, 0},
		{"carriage return", "10%\r20%\r30%", nil, []Run{{"30%", ""}}, 0},
		{"line end of Windows", "x\r", nil, []Run{{"x", ""}}, 0},
		{"link", "\x1b]8;;javascript:alert(1)\x07text\x1b]8;;\x07", nil, []Run{{"text", ""}}, 0},
		{"image", "\x1b]1338;url=https://x.example/i.png\x07t", nil, []Run{{"t", ""}}, 0},
		{"cut off sequence", "a\x1b]0;title", nil, []Run{{"a", ""}}, 0},
		{"movement", "\x1b[2J\x1b[5Aa\x1b[99999999Cb", nil, []Run{{"ab", ""}}, 0},
		{"markup in colour", "\x1b[31m<i>&amp;</i>", nil, []Run{{"<i>&amp;</i>", "term-fg31"}}, 1},
		{"empty in colour", "", logline.Style{"\x1b[31m"}, []Run{{}}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, runs(tt.in, tt.begin)); diff != "" {
				t.Error(diff)
			}
			if _, next := logline.Clean(tt.in, tt.begin); len(next) != tt.next {
				t.Errorf("the next line begins in %q", next)
			}
		})
	}
	// However much colour a log holds, what is carried stays small.
	_, s := logline.Clean(strings.Repeat("\x1b[31m", 10_000), nil)
	if len(s) > 32 {
		t.Errorf("%d sequences are carried", len(s))
	}
}

func TestOnlyKnownClasses(t *testing.T) {
	got := parseSpans(`<span class="term-fg31 wf term-fgx9999">a</span><span class="page">b</span><b>c</b>`)
	if diff := cmp.Diff([]Run{{"a", "term-fg31"}, {"b", ""}, {"c", ""}}, got); diff != "" {
		t.Error(diff)
	}
}

// Many lamps that move at once would paint a large drawing again and again.
func TestManyRunningBlocksStandStill(t *testing.T) {
	for running, calm := range map[int]bool{lively: false, lively + 1: true} {
		var blocks []blockView
		for i := range 40 {
			b := blockView{Name: "b", Lamp: lampPassed}
			if i < running {
				b.Lamp = lampRunning
			}
			blocks = append(blocks, b)
		}
		if g := layout(blocks); g.Calm != calm {
			t.Errorf("%d running: calm is %v", running, g.Calm)
		}
	}
}

func TestLayout(t *testing.T) {
	block := func(name string, lamp Lamp, deps ...int) blockView {
		return blockView{Name: name, Lamp: lamp, Deps: deps}
	}
	blocks := []blockView{
		block("a", lampPassed), block("b", lampPassed, 0), block("c", lampFailed, 0), block("d", lampWaiting, 1, 2), block("e", lampSkipped, 0, 3),
		block("self", lampWaiting, 5), block("nowhere", lampWaiting, 99, -1),
	}
	g := layout(blocks)
	column := func(i int) int { return (g.Cards[i].X - graphMargin) / (cardWidth + columnGap) }
	var ranks []int
	for i := range g.Cards {
		ranks = append(ranks, column(i))
	}
	if diff := cmp.Diff([]int{0, 1, 1, 2, 3, 0, 0}, ranks); diff != "" {
		t.Errorf("columns: %s", diff)
	}
	for i, a := range g.Cards {
		if a.X < 0 || a.Y < 0 || a.X+cardWidth > g.Width || a.Y+a.H > g.Height {
			t.Errorf("card %d lies outside the drawing", i)
		}
		for k, b := range g.Cards[:i] {
			if a.X == b.X && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("cards %d and %d overlap", i, k)
			}
		}
	}
	if len(g.Edges) != 6 {
		t.Errorf("%d edges, want 6", len(g.Edges))
	}
	for _, e := range g.Edges {
		want := ""
		switch {
		case e.to == 4:
			want = "off"
		case blocks[e.from].Lamp == lampPassed:
			want = "lit"
		}
		if e.Class != want {
			t.Errorf("edge %d-%d is %q, want %q", e.from, e.to, e.Class, want)
		}
		if c := g.Cards[e.to]; e.EndX != c.X || e.EndY != c.Y+headLine {
			t.Errorf("edge %d-%d ends at %d,%d, the card is at %d,%d", e.from, e.to, e.EndX, e.EndY, c.X, c.Y)
		}
	}
	// A circle is refused before it gets here, but must not hang a page.
	if layout([]blockView{block("x", lampWaiting, 1), block("y", lampWaiting, 0)}) == nil {
		t.Error("a circle has no drawing")
	}
	if layout(make([]blockView, maxGraph+1)) != nil {
		t.Error("too many blocks are drawn")
	}
}

func TestEvents(t *testing.T) {
	s := newBusySite(t)
	follow := func(topics string) (next func() string) {
		resp, err := http.Get(s.url + "/ui/events?topics=" + topics)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		in := bufio.NewScanner(resp.Body)
		return func() string {
			for in.Scan() {
				if name, ok := strings.CutPrefix(in.Text(), "event: "); ok {
					in.Scan()
					return name + " " + strings.TrimPrefix(in.Text(), "data: ")
				}
			}
			return ""
		}
	}
	workflow := "workflow:" + s.workflow.ID
	own, other, all := follow(workflow), follow("workflow:another,queue"), follow("workflows,agents")
	for _, next := range []func() string{own, other, all} {
		if got := next(); got != "alive {}" {
			t.Errorf("the stream begins with %q", got)
		}
	}
	s.write(func(tx *store.Tx) error {
		p, err := tx.Pipeline(s.pipeline.ID)
		if err != nil {
			return err
		}
		return tx.UpdatePipeline(p, "engine", "test", "")
	})
	if got := own(); got != `changed {"topics":["`+workflow+`"]}` {
		t.Errorf("a change is told as %q", got)
	}
	if got := all(); got != `changed {"topics":["workflows"]}` {
		t.Errorf("a change of any workflow is told as %q", got)
	}
	s.store.Notify(store.KeyRefused, store.KeyQueue)
	if got := all(); got != `changed {"topics":["agents"]}` {
		t.Errorf("a refused registration is told as %q", got)
	}
	if got := other(); got != `changed {"topics":["queue"]}` { // and nothing of another workflow
		t.Errorf("the queue's change is told as %q", got)
	}

	// One answer, for browsers behind a proxy that holds streams up.
	if _, text := s.get("/ui/events?wait=1&topics=queue"); text != `{"topics":[]}`+"\n" {
		t.Errorf("when nothing happens the answer is %q", text)
	}
	for _, bad := range []string{"", "nonsense", "workflow:", "workflow:*", "log:x", "queue,what", strings.Repeat("x", 200), "job:" + strings.Repeat("x", 200)} {
		if status, _ := s.get("/ui/events?topics=" + bad); status != 400 {
			t.Errorf("following %.20q answers %d", bad, status)
		}
	}
	for _, bad := range []string{"0", "61", "x"} {
		if status, _ := s.get("/ui/events?topics=queue&wait=" + bad); status != 400 {
			t.Errorf("waiting for %q answers %d", bad, status)
		}
	}
}

// A page knows the moment that it was made of, and can ask whether anything has changed since.
func TestChangedSince(t *testing.T) {
	s := newBusySite(t)
	_, text := s.get("/workflows/" + s.workflow.ID)
	m := regexp.MustCompile(`data-topics="([^"]+)" data-moment="([^"]+)"`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the page does not say of which moment it is")
	}
	changed := func(topics, since string) string {
		status, text := s.get("/ui/changed?topics=" + url.QueryEscape(topics) + "&since=" + url.QueryEscape(since))
		return fmt.Sprint(status, " ", text)
	}
	own := strings.ReplaceAll(m[1], " ", ",")
	const yes, no = "200 {\"changed\":true}\n", "200 {\"changed\":false}\n"
	if got := changed(own, m[2]); got != no {
		t.Errorf("nothing has changed, and the answer is %s", got)
	}
	s.write(func(tx *store.Tx) error {
		p, err := tx.Pipeline(s.pipeline.ID)
		if err != nil {
			return err
		}
		return tx.UpdatePipeline(p, "engine", "test", "")
	})
	for _, c := range []struct{ topics, since, want string }{
		{own, m[2], yes},
		{"agents", m[2], no},
		{"agents", "", yes},
		{"agents", "of another server.1", yes},
	} {
		if got := changed(c.topics, c.since); got != c.want {
			t.Errorf("%s since %q: %s", c.topics, c.since, got)
		}
	}
	_, text = s.get("/agents")
	now := regexp.MustCompile(`data-moment="([^"]+)"`).FindStringSubmatch(text)[1]
	if got := changed("agents", now); got != no {
		t.Errorf("a page that was just made: %s", got)
	}
	s.store.Notify(store.KeyUser("u")) // another role of whoever looks
	if got := changed("agents", now); got != yes {
		t.Errorf("after a change of role: %s", got)
	}
	if got := changed("nonsense", m[2]); !strings.HasPrefix(got, "400 ") {
		t.Errorf("a topic that is none: %s", got)
	}
}

var token = regexp.MustCompile(`--([a-z0-9-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`)

// Contrast of the tokens, by the formula of WCAG 2: 4.5 for text, 3 for parts of the interface.
func TestContrast(t *testing.T) {
	css, err := staticFiles.ReadFile("static/css/10-tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := map[string][2][3]float64{}
	for _, m := range token.FindAllStringSubmatch(string(css), -1) {
		var pair [2][3]float64
		for theme := range pair {
			v, err := strconv.ParseUint(m[2+theme][1:], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			pair[theme] = [3]float64{float64(v >> 16), float64(v >> 8 & 255), float64(v & 255)}
		}
		colours[m[1]] = pair
	}
	if len(colours) < 60 {
		t.Fatalf("only %d colours found", len(colours))
	}
	check := func(text, background string, need float64) {
		a, ok := colours[text]
		b, ok2 := colours[background]
		if !ok || !ok2 {
			t.Errorf("%s or %s is not in the tokens", text, background)
			return
		}
		for theme, name := range []string{"light", "dark"} {
			if got := contrast(a[theme], b[theme]); got < need {
				t.Errorf("%s on %s has a contrast of %.2f in the %s theme, needs %.1f", text, background, got, name, need)
			}
		}
	}
	surfaces := []string{"canvas", "surface", "sunken", "hover", "press"}
	states := []string{"passed", "failed", "running", "queued", "waiting", "stopped", "infra"}
	for _, on := range surfaces {
		for _, text := range append([]string{"ink", "ink-2", "ink-3", "accent"}, states...) {
			check(text, on, 4.5)
		}
		check("line-strong", on, 3)
		for _, state := range states {
			check(state+"-lamp", on, 3)
		}
	}
	for _, state := range states {
		check(state, state+"-tint", 4.5)
		check(state+"-lamp", state+"-tint", 3)
	}
	for i := range 16 {
		check(fmt.Sprint("ansi-", i), "log-bg", 4.5)
	}
	for _, pair := range [][2]string{
		{"ink-on-solid", "solid"},
		{"log-no", "log-bg"},
		{"log-no", "log-head"},
		{"log-no", "failed-tint"},
		{"log-no", "accent-tint"},
		{"ink", "mark"},
		{"ink-3", "failed-tint"},
		{"ink-3", "accent-tint"},
		{"ink-2", "queued-tint"},
		{"ink", "queued-tint"},
		{"ansi-3", "accent-tint"},
		{"ansi-1", "failed-tint"},
	} {
		check(pair[0], pair[1], 4.5)
	}
	check("track", "surface", 3)
	check("track-lit", "surface", 3)
	for theme, background := range [][3]float64{colours["log-bg"][0], colours["log-bg"][1]} {
		if background != logBackground[theme] {
			t.Errorf("the palette was made for another background than --log-bg: %v", background)
		}
		for i := 16; i < 256; i++ {
			if got := contrast(readable(paletteColour(i), background), background); got < 4.5 {
				t.Errorf("colour %d has a contrast of %.2f", i, got)
			}
		}
	}
}
