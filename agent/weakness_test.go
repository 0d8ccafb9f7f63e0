package agent

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests below are about weaknesses that other systems have, by the numbers of the list in docs/invariants.md.

// A server that is away for longer than an idle agent would wait does not cost a job.
func TestWeakness04GivesUpWithAJob(t *testing.T) {
	t.Parallel()
	h := newHub(t, "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 1; done")
	c := h.config()
	c.Timing.UnableToSync, c.Timing.LogRefused, c.Timing.FlushAtExit = 200*time.Millisecond, time.Minute, time.Minute
	h.trigger, h.reached = "line 2", func() {
		h.down = true
		time.AfterFunc(2*time.Second, func() { h.do(func() { h.down = false }) })
	}
	reason, err := h.run(c)
	if reason != ExitRequested || err != nil || h.result != "passed" {
		t.Errorf("%s, %v, %q\n%s", reason, err, h.result, strings.Join(h.log, "\n"))
	}
	if log := strings.Join(h.log, "\n"); strings.Count(log, "line 1\\n") != 1 || strings.Count(log, "line 10\\n") != 1 {
		t.Errorf("the log is %s", log)
	}
}

// A log that is not taken for a while holds the result up for a while only, and arrives whole all the same.
func TestWeakness05LogIsCutAtTheFlushWindow(t *testing.T) {
	t.Parallel()
	h := newHub(t, "seq 1 300")
	h.answers["log"] = 503
	c := h.config()
	c.Timing.LogRefused, c.Timing.FlushAtExit = 200*time.Millisecond, time.Minute
	h.when["sync"] = func() {
		if h.result != "" {
			delete(h.answers, "log")
		}
	}
	h.when["disconnect"] = func() { delete(h.answers, "log") }
	h.when["log"] = func() {
		if h.result != "" {
			delete(h.answers, "log")
		}
	}
	if _, err := h.run(c); err != nil {
		t.Error(err)
	}
	var numbers strings.Builder
	for i := range 300 {
		numbers.WriteString(strconv.Itoa(i+1) + "\n")
	}
	h.check("passed", jobLog("passed", "$ seq 1 300", numbers.String(), "= 0"))
}

// Whoever leaves has delivered its log before it says good-bye: its tokens end with it.
func TestWeakness06LeavesBeforeTheLogIsDelivered(t *testing.T) {
	t.Parallel()
	h := newHub(t, "echo hello")
	h.answers["log"] = 503
	c := h.config()
	c.Timing.LogRefused, c.Timing.FlushAtExit = 100*time.Millisecond, time.Minute
	h.when["log"] = func() {
		if h.result != "" {
			time.AfterFunc(300*time.Millisecond, func() { h.do(func() { delete(h.answers, "log") }) })
		}
	}
	atGoodbye := -1
	h.when["disconnect"] = func() { atGoodbye = len(h.log) }
	if _, err := h.run(c); err != nil {
		t.Error(err)
	}
	want := jobLog("passed", "$ echo hello", "hello\n", "= 0")
	h.check("passed", want)
	if atGoodbye < 4 {
		t.Errorf("%d events were there when the agent left", atGoodbye)
	}
}

// The end of a job is told at once, although the server holds the request that says it runs.
func TestWeakness07WaitsForTheSyncInFlight(t *testing.T) {
	t.Parallel()
	h := newHub(t, "sleep 3")
	h.holds = true
	c := h.config()
	c.Timing.Hold, c.Timing.Request = time.Minute, time.Minute
	begin := time.Now()
	if reason, err := h.run(c); reason != ExitRequested || err != nil || h.result != "passed" {
		t.Errorf("%s, %v, %q\n%s", reason, err, h.result, strings.Join(h.log, "\n"))
	}
	if took := time.Since(begin); took > c.Timing.Hold {
		t.Errorf("it took %s", took)
	}
}
