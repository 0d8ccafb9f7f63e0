package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const kills = 20

// TestKilledServerLosesNothing kills the server without warning twenty times while five agents run jobs that print
// numbered lines. Every job passes, and every log holds every line once and in order.
func TestKilledServerLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	databases(t, killServer)
}

func killServer(t *testing.T, database string) {
	// Not beside other tests: the program is slow with the race detector, and ten agents would print for minutes.
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments to kill at

	w := newWorld(t, database)
	w.startAgents("s1-kill", 5)
	const lines, blocks = 400, 3
	bare, _ := w.repository("numbers", numbersPipeline(blocks, 5, lines))
	w.run("project", "create", "numbers", "--git", bare)

	type result struct {
		d    description
		err  string
		code int
	}
	done := make(chan result, 1)
	go func() {
		out, errs, code := w.try("--output", "json", "workflow", "start", "numbers", "--follow")
		var r result
		r.err, r.code = errs, code
		if err := json.Unmarshal([]byte(out), &r.d); err != nil {
			r.err += fmt.Sprintf("\n%v in %q", err, out)
		}
		done <- r
	}()
	w.until("a job runs", func() bool {
		for _, a := range w.agents {
			if strings.Contains(a.out.String(), "job assigned") {
				return true
			}
		}
		return false
	})
	var r result
	killed, ended := 0, false
	for killed < kills && !ended {
		select {
		case r = <-done:
			ended = true
		case <-time.After(time.Duration(200+random.IntN(900)) * time.Millisecond):
			w.server.kill()
			killed++
			w.startServer()
		}
	}
	if !ended {
		r = <-done
	}
	if r.code != 0 || r.d.Pipeline.Result != "passed" {
		t.Fatalf("exit code %d, pipeline %+v\n%s", r.code, r.d, r.err)
	}
	if killed < kills {
		t.Fatalf("the pipeline ended after %d kills; make its jobs longer", killed)
	}
	n := 0
	for _, b := range r.d.Blocks {
		for _, j := range b.Jobs {
			n++
			checkNumbers(t, j.Name, w.run("job", "logs", j.ID), lines)
		}
	}
	if n != blocks*5 {
		t.Errorf("%d jobs, want %d", n, blocks*5)
	}
}

// numbersPipeline has blocks one after another, each with parallel jobs that print numbered lines for some seconds.
func numbersPipeline(blocks, jobs, lines int) string {
	var b strings.Builder
	b.WriteString("version: v1.0\nname: Numbers\nagent: {machine: {type: s1-kill}}\nblocks:\n")
	for i := range blocks {
		fmt.Fprintf(&b, "  - name: Block %d\n    task:\n      jobs:\n", i+1)
		for j := range jobs {
			fmt.Fprintf(&b, "        - name: job %d.%d\n          commands:\n            - 'for i in $(seq 1 %d); do echo \"line $i of %d.%d\"; sleep 0.02; done'\n", i+1, j+1, lines, i+1, j+1)
		}
	}
	return b.String()
}

func checkNumbers(t *testing.T, job, log string, lines int) {
	t.Helper()
	which := strings.TrimPrefix(job, "job ")
	next := 1
	for _, l := range strings.Split(log, "\n") {
		var n int
		var of string
		if _, err := fmt.Sscanf(l, "line %d of %s", &n, &of); err != nil {
			continue
		}
		if n != next || of != which {
			t.Errorf("%s: after line %d came %q", job, next-1, l)
			return
		}
		next++
	}
	if next != lines+1 {
		t.Errorf("%s: the log ends after line %d of %d", job, next-1, lines)
	}
}
