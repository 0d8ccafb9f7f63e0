package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// BenchmarkJobOutput compares what printing costs in a job with what it costs on a plain terminal (script -qc), in
// interleaved pairs: at most 1.2 times with the server away, 1.5 times with the server on the same processors. The log
// is acknowledged within a second of the command's end, and the agent holds at most 60 MB.
func BenchmarkJobOutput(b *testing.B) {
	if _, err := exec.LookPath("script"); err != nil {
		b.Skip("script (util-linux) makes the plain terminal, and it is not installed")
	}
	for _, c := range []struct {
		name, text string
		bytes      int
	}{
		{"seq", "seq 1 2000000", 14888896},
		{"yes", "yes | head -c 100M", 100 << 20},
		{"line", "head -c 10M /dev/zero | tr '\\0' x; echo", 10<<20 + 1},
		{"colours", "seq 1 200000 | sed 's/.*/\x1b[3&m line & of many, \x1b[1mbold\x1b[0m/'", 0},
	} {
		b.Run(c.name+"/server-away", func(b *testing.B) { benchOutput(b, c.text, c.bytes, true) })
		b.Run(c.name+"/server-here", func(b *testing.B) { benchOutput(b, c.text, c.bytes, false) })
	}
}

const pairs = 7

func benchOutput(b *testing.B, text string, bytes int, away bool) {
	y := newYard(b)
	ag := startAgent(b, y, "output-agent")
	script, ready, goOn, times := filepath.Join(y.dir, "c.sh"), filepath.Join(y.dir, "ready"), filepath.Join(y.dir, "go"), filepath.Join(y.dir, "times")
	timed := "t0=$EPOCHREALTIME\n" + text + "\necho $t0 $EPOCHREALTIME >" + times + "\n"
	if err := os.WriteFile(script, []byte(timed), 0o600); err != nil {
		b.Fatal(err)
	}
	var plain, ours, ratio, behind []float64
	for b.Loop() {
		for range pairs {
			if out, err := exec.Command("script", "-qc", "bash "+script, "/dev/null").Output(); err != nil || len(out) < bytes {
				b.Fatal(err)
			}
			t0, t1 := readTimes(b, times)
			plain = append(plain, t1-t0)

			for _, f := range []string{ready, goOn, times} {
				_ = os.Remove(f)
			}
			id := y.queue("touch "+ready+"; while [ ! -e "+goOn+" ]; do sleep 0.01; done", ". "+script)
			y.until("the job runs", time.Minute, func() bool { _, err := os.Stat(ready); return err == nil })
			if away {
				y.proxy.sever()
			}
			if err := os.WriteFile(goOn, nil, 0o600); err != nil {
				b.Fatal(err)
			}
			y.until("the command has ended", 5*time.Minute, func() bool { i, err := os.Stat(times); return err == nil && i.Size() > 0 })
			y.proxy.heal()
			j := y.finish(id, 5*time.Minute)
			t0, t1b := readTimes(b, times)
			ours = append(ours, t1b-t0)
			ratio = append(ratio, (t1b-t0)/plain[len(plain)-1])
			if j.Result != signalbox.JobPassed {
				b.Fatalf("%s %s\n%.2000s", j.Result, j.Reason, y.text(id))
			}
			behind = append(behind, float64(j.FinishedAt.UnixMilli())/1000-t1b)
			if bytes > 0 {
				if got := y.text(id); strings.Count(got, "")-1 < bytes && len(got) < bytes {
					b.Fatalf("the log has %d bytes, %d were printed", len(got), bytes)
				}
			}
		}
	}
	b.ReportMetric(median(plain), "s-plain")
	b.ReportMetric(median(ours), "s-job")
	b.ReportMetric(median(ratio), "times-plain")
	if !away {
		b.ReportMetric(slices.Max(behind), "s-until-all-acknowledged")
	}
	b.ReportMetric(stateNumber(b, ag.Process.Pid, "VmHWM"), "MB-agent-peak")
	b.ReportMetric(0, "ns/op")
}

func readTimes(b *testing.B, path string) (from, to float64) {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &from, &to); err != nil {
		b.Fatalf("%q: %v", text, err)
	}
	return from, to
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func startAgent(b *testing.B, y *yard, name string, args ...string) *exec.Cmd {
	b.Helper()
	cmd := y.agentCommand(name, args...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	awaitLine(b, errs, "registered")
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	return cmd
}

// BenchmarkJobOverhead measures what a job costs beside its commands: trivial jobs one after the other on one agent with
// a queue that is never empty (at most 50 ms each), and the cost of one command (at most 1 ms).
func BenchmarkJobOverhead(b *testing.B) {
	y := newYard(b)
	startAgent(b, y, "overhead-agent")
	y.finish(y.queue("true"), time.Minute)
	b.Run("job", func(b *testing.B) {
		n, last := 0, ""
		begin := time.Now()
		for b.Loop() {
			for range 100 {
				n++
				last = y.queue("true")
			}
			for y.job(last).State != signalbox.JobFinished { // asking costs time that the jobs could use
				time.Sleep(20 * time.Millisecond)
			}
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds())/float64(n), "ms/job")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("login-shell", func(b *testing.B) { // what the shell of a job takes by itself, for comparison
		n := 0
		begin := time.Now()
		for b.Loop() {
			for range 50 {
				n++
				cmd := exec.Command("bash", "--login", "-c", "true")
				cmd.Env = append(os.Environ(), "HOME="+filepath.Join(y.dir, "home"))
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds())/float64(n), "ms/shell")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("command", func(b *testing.B) {
		var per []float64
		for b.Loop() {
			times := filepath.Join(y.dir, "times")
			list := []string{"echo $EPOCHREALTIME >" + times + ".0"}
			for range 500 {
				list = append(list, "true")
			}
			list = append(list, "echo $(<"+times+".0) $EPOCHREALTIME >"+times)
			y.finish(y.queue(list...), time.Minute)
			from, to := readTimes(b, times)
			per = append(per, (to-from)*1000/501)
		}
		b.ReportMetric(median(per), "ms/command")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkLineLatency measures from a line being printed to the server having acknowledged it: p50 at most 100 ms,
// the slowest at most 500 ms. The lines carry the time at which they were printed; the server's log says when they were
// stored.
func BenchmarkLineLatency(b *testing.B) {
	y := newYard(b)
	startAgent(b, y, "latency-agent")
	var took []float64
	for b.Loop() {
		id := y.queue("for i in $(seq 1 100); do echo at $EPOCHREALTIME; sleep 0.0$((RANDOM % 9 + 1)); done")
		seen := map[string]bool{}
		for done := false; !done; {
			time.Sleep(time.Millisecond)
			j := y.job(id)
			done = j.State == signalbox.JobFinished
			if j.AttemptID == "" {
				continue
			}
			now := float64(time.Now().UnixMicro()) / 1e6
			for line := range strings.Lines(y.text(id)) {
				line = strings.TrimSpace(line)
				if at, ok := strings.CutPrefix(line, "at "); ok && !seen[line] {
					seen[line] = true
					if t, err := strconv.ParseFloat(at, 64); err == nil {
						took = append(took, (now-t)*1000)
					}
				}
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "ms-p50")
	b.ReportMetric(took[len(took)-1], "ms-slowest")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkStop measures from the request to stop a job to the end of its last process: at most 1 s.
func BenchmarkStop(b *testing.B) {
	y := newYard(b)
	startAgent(b, y, "stop-agent")
	var took []float64
	for b.Loop() {
		pids := filepath.Join(y.dir, "pids")
		_ = os.Remove(pids)
		id := y.queue("sleep 1000 & setsid sleep 1001 & (nohup sleep 1002 & ) ; sleep 0.1; pgrep -x sleep >" + pids + "; sleep 1003")
		y.until("the processes run", time.Minute, func() bool { i, err := os.Stat(pids); return err == nil && i.Size() > 0 })
		text, err := os.ReadFile(pids)
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := y.server.StopJob(b.Context(), id, "bench"); err != nil {
			b.Fatal(err)
		}
		y.until("the processes have ended", time.Minute, func() bool {
			for _, pid := range strings.Fields(string(text)) {
				if _, err := os.Stat("/proc/" + pid); err == nil {
					return false
				}
			}
			return true
		})
		took = append(took, float64(time.Since(begin).Milliseconds()))
		y.finish(id, time.Minute)
	}
	b.ReportMetric(median(took), "ms-p50")
	b.ReportMetric(slices.Max(took), "ms-slowest")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLongLog measures the agent's memory while a job prints 1 GB: at most 60 MB, and no more at the end than after
// a tenth of it.
func BenchmarkLongLog(b *testing.B) {
	y := newYard(b)
	ag := startAgent(b, y, "long-log-agent")
	y.finish(y.queue("true"), time.Minute)
	for b.Loop() {
		var early, late []float64
		id := y.queue("yes 'a line of a long log' | head -c 1000M")
		for begin := time.Now(); y.job(id).State != signalbox.JobFinished; time.Sleep(200 * time.Millisecond) {
			if time.Since(begin) > 10*time.Minute {
				b.Fatal("the job does not end")
			}
			late = append(late, stateNumber(b, ag.Process.Pid, "VmRSS"))
		}
		if j := y.job(id); j.Result != signalbox.JobPassed {
			b.Fatalf("%s %s", j.Result, j.Reason)
		}
		early, late = late[:len(late)/10], late[len(late)/10:]
		b.ReportMetric(slices.Max(early), "MB-first-tenth")
		b.ReportMetric(slices.Max(late), "MB-rest")
	}
	b.ReportMetric(stateNumber(b, ag.Process.Pid, "VmHWM"), "MB-agent-peak")
	b.ReportMetric(0, "ns/op")
}
