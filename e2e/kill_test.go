package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const kills = 20

// TestKilledServerLosesNothing kills the server without warning twenty times while five agents run jobs that print
// numbered lines, and end when they are told to, right before some of the kills. Every job passes, and every log holds every line once
// and in order.
func TestKilledServerLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	databasesAtOnce(t, killServer)
}

func killServer(t *testing.T, database string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments to kill at

	w := newWorld(t, database)
	w.startAgents("s1-kill", 5)
	const blocks = 3
	signs := filepath.Join(w.dir, "sign-")
	bare, _ := w.repository("numbers", numbersUntil(blocks, 5, signs))
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
	var r result
	killed := 0
	for block := 1; block <= blocks; block++ {
		w.until(fmt.Sprintf("all jobs of block %d run", block), func() bool {
			begun, _ := filepath.Glob(fmt.Sprintf("%s%d-*", signs, block))
			return len(begun) == 5
		})
		for killed < kills*block/blocks {
			select {
			case r = <-done:
				t.Fatalf("the pipeline ended after %d kills: exit code %d, %+v\n%s", killed, r.code, r.d.Pipeline, r.err)
			case <-time.After(time.Duration(200+random.IntN(900)) * time.Millisecond):
			}
			if killed++; killed == kills*block/blocks { // the jobs end at about the time of this one
				if err := os.WriteFile(fmt.Sprint(signs, block), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
			}
			w.server.kill()
			w.startServer()
		}
	}
	r = <-done
	if r.code != 0 || r.d.Pipeline.Result != "passed" {
		t.Fatalf("exit code %d, pipeline %+v\n%s", r.code, r.d, r.err)
	}
	n := 0
	for _, b := range r.d.Blocks {
		for _, j := range b.Jobs {
			n++
			if w.checkPrinted(j.Name, j.ID) == 0 {
				t.Errorf("%s printed nothing", j.Name)
			}
		}
	}
	if n != blocks*5 {
		t.Errorf("%d jobs, want %d", n, blocks*5)
	}
}

// numbersPipeline has blocks one after another, each with parallel jobs that print numbered lines for some seconds.
func numbersPipeline(blocks, jobs, lines int) string {
	return blocksOf(blocks, jobs, func(block, job int) string {
		return fmt.Sprintf("'exec 9<> <(:); for i in $(seq 1 %d); do echo \"line $i of %d.%d\"; %s; done'", lines, block, job, aMoment)
	})
}

// aMoment starts no process for every line.
const aMoment = "read -rt 0.025 -u 9 || true"

// numbersUntil has jobs that say that they have begun, print until there is a file for their block, and then say how many lines it was.
func numbersUntil(blocks, jobs int, signs string) string {
	return blocksOf(blocks, jobs, func(block, job int) string {
		return fmt.Sprintf("'exec 9<> <(:); i=0; touch %[1]s%[2]d-%[3]d; until [ -e %[1]s%[2]d ]; do echo \"line $((++i)) of %[2]d.%[3]d\"; %[4]s; done; echo \"printed $i\"'",
			signs, block, job, aMoment)
	})
}

// checkPrinted looks whether the log of a job of numbersUntil has every line, and returns how many.
func (w *world) checkPrinted(name, id string) (lines int) {
	w.Helper()
	log := w.run("job", "logs", id)
	if _, last, ok := strings.Cut(log, "\nprinted "); !ok {
		w.Errorf("the log of %s does not say how much it printed", name)
	} else if _, err := fmt.Sscan(last, &lines); err != nil {
		w.Errorf("%s printed: %v", name, err)
	}
	checkNumbers(w.T, name, log, lines)
	return lines
}

func blocksOf(blocks, jobs int, commands func(block, job int) string) string {
	var b strings.Builder
	b.WriteString("version: v1.0\nname: Numbers\nagent: {machine: {type: s1-kill}}\nblocks:\n")
	for i := range blocks {
		fmt.Fprintf(&b, "  - name: Block %d\n    task:\n      jobs:\n", i+1)
		for j := range jobs {
			fmt.Fprintf(&b, "        - name: job %d.%d\n          commands:\n            - %s\n", i+1, j+1, commands(i+1, j+1))
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
