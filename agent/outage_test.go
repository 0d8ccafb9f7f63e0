package agent

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"
)

// shortened is the usual timing with a minute for a second, so that a quarter of an hour passes in 15 s.
func shortened() Timing {
	var t Timing
	t.defaults()
	v := reflect.ValueOf(&t).Elem()
	for i := range v.NumField() {
		if d, ok := v.Field(i).Interface().(time.Duration); ok {
			v.Field(i).SetInt(int64(d / 60))
		}
	}
	t.StopGrace = 10 * time.Second // that of real processes
	return t
}

// The server is away for a quarter of an hour in shortened time, which is longer than every limit of the agent: the job
// goes on, and then all of its log and its result arrive.
func TestOutageOfFifteenMinutes(t *testing.T) {
	const outage = 15 * time.Second
	print := func(n int) (command, output string) {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, "line %d\n", i+1)
		}
		// Waits without a process for each line, which a busy machine would take long to start.
		return fmt.Sprintf("exec 9<> <(:); for ((i = 1; i <= %d; i++)); do echo line $i; read -rt 0.02 -u 9; done; true", n), b.String()
	}
	for name, c := range map[string]struct {
		lines int
		gone  func(h *hub)
		back  func(h *hub)
	}{
		"the job ends meanwhile":      {200, func(h *hub) { h.down = true }, func(h *hub) { h.down = false }},
		"the job outlives it":         {900, func(h *hub) { h.down = true }, func(h *hub) { h.down = false }},
		"errors instead of silence":   {400, errors503, func(h *hub) { clear(h.answers) }},
		"it takes questions, no more": {400, func(h *hub) { h.frozen = make(chan struct{}) }, func(h *hub) { close(h.frozen); h.frozen = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, output := print(c.lines)
			h := newHub(t, command)
			cfg := h.config()
			cfg.Timing = shortened()
			var back time.Time
			h.trigger, h.reached = "line 20", func() {
				c.gone(h)
				back = time.Now().Add(outage)
				time.AfterFunc(outage, func() { h.do(func() { c.back(h) }) })
			}
			reason, err := h.run(cfg)
			if reason != ExitRequested || err != nil {
				t.Errorf("%s, %v", reason, err)
			}
			if late := time.Since(back); late > 40*time.Second {
				t.Errorf("it took %v after the server was back", late)
			}
			h.check("passed", jobLog("passed", "$ "+command, output, "= 0"))
		})
	}
}

func errors503(h *hub) {
	for _, kind := range []string{"log", "sync", "refresh"} {
		h.answers[kind] = http.StatusServiceUnavailable
	}
}
