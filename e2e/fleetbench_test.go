package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/store/storetest"
)

// BenchmarkFleet measures what agents of the official kind cost a server that does nothing else, over TLS 1.3, both in processes
// of their own. With 10,000 agents the limits are: a sync is answered within 20 ms beyond the intended hold (p99), 300 MB resident,
// half a core; after a SIGKILL of the server all are back within 30 s of its next start, and none is answered with an error.
func BenchmarkFleet(b *testing.B) {
	perDatabase(b, func(b *testing.B, database func(testing.TB) string) {
		for _, n := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) { benchFleet(b, database(b), n) })
		}
	})
}

func benchFleet(b *testing.B, database string, agents int) {
	s := newServerProcess(b, database, true, 0)
	l := s.load(b, map[string]any{"agents": agents, "serve": true})
	reg := l.await("registered")
	b.ReportMetric(float64(agents)/reg.Seconds, "registrations/s")
	time.Sleep(15 * time.Second) // until their holds are spread
	for b.Loop() {
		const window = 20 * time.Second
		before := s.cpu(b)
		l.order("measure", nil)
		time.Sleep(window)
		used := s.cpu(b) - before
		r := l.report()
		if r.Refused+r.Cut > 0 {
			b.Errorf("%d syncs were refused, %d cut", r.Refused, r.Cut)
		}
		b.ReportMetric(float64(r.Syncs)/window.Seconds(), "syncs/s")
		b.ReportMetric(r.P50, "late-p50-ms")
		b.ReportMetric(r.P99, "late-p99-ms")
		b.ReportMetric(100*used.Seconds()/window.Seconds(), "%-of-a-core")
		b.ReportMetric(used.Seconds()*1000/float64(r.Syncs), "cpu-ms/sync")
		b.ReportMetric(stateNumber(b, s.cmd.Process.Pid, "VmRSS"), "MB")

		s.kill()
		time.Sleep(time.Second)
		l.order("measure", nil)
		begin := time.Now()
		s.start(b)
		for time.Since(begin) < 40*time.Second {
			time.Sleep(500 * time.Millisecond)
			if r = l.report(); r.Back == agents {
				break
			}
		}
		if r.Back != agents || r.Refused > 0 {
			b.Errorf("%d of %d agents are back after %v; %d were answered with an error", r.Back, agents, time.Since(begin), r.Refused)
		}
		b.ReportMetric(float64(r.BackAt-begin.UnixNano())/1e9, "s-until-all-are-back")
		b.ReportMetric(stateNumber(b, s.cmd.Process.Pid, "VmHWM"), "MB-peak-of-the-storm")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSaturation measures how many syncs of running agents a server answers when they come as fast as it can: at least 20,000 a
// second over plain HTTP, at most 0.1 CPU-ms each over TLS, with 1,000 and with 10,000 agents.
func BenchmarkSaturation(b *testing.B) {
	perDatabase(b, func(b *testing.B, database func(testing.TB) string) {
		for _, n := range []int{1000, 10000} {
			for _, tls := range []bool{false, true} {
				b.Run(fmt.Sprintf("agents=%d/tls=%v", n, tls), func(b *testing.B) { benchSaturation(b, database(b), n, tls) })
			}
		}
	})
}

func benchSaturation(b *testing.B, database string, agents int, tls bool) {
	s := newServerProcess(b, database, tls, agents)
	l := s.load(b, map[string]any{"agents": agents, "hold": true, "park": true})
	l.await("registered")
	l.order("serve", nil)
	l.await("parked")
	for b.Loop() {
		// Each agent's first sync is stored, and its next one reads that.
		for settled, tries := false, 0; !settled && tries < 20; tries++ {
			l.order("flood", map[string]any{"seconds": 5})
			settled = l.await("flooded").Syncs > 4*agents
		}
		before := s.cpu(b)
		l.order("flood", map[string]any{"seconds": 10})
		f := l.await("flooded")
		used := s.cpu(b) - before
		b.ReportMetric(float64(f.Syncs)/f.Seconds, "syncs/s")
		b.ReportMetric(used.Seconds()*1000/float64(f.Syncs), "cpu-ms/sync")
		b.ReportMetric(stateNumber(b, s.cmd.Process.Pid, "VmRSS"), "MB")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRegistrations measures how many agents register in a second over 32 kept connections: at least 2,000. Each is on the
// disk before it is answered.
func BenchmarkRegistrations(b *testing.B) {
	perDatabase(b, func(b *testing.B, database func(testing.TB) string) {
		for _, tls := range []bool{false, true} {
			b.Run(fmt.Sprintf("tls=%v", tls), func(b *testing.B) {
				for b.Loop() {
					const agents = 10000
					s := newServerProcess(b, database(b), tls, 0)
					before := s.cpu(b)
					r := s.load(b, map[string]any{"agents": agents, "kept": 32}).await("registered")
					b.ReportMetric(agents/r.Seconds, "registrations/s")
					b.ReportMetric((s.cpu(b)-before).Seconds()*1000/agents, "cpu-ms/registration")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

// BenchmarkStopOfficial measures from a stop request to the agent being told, with 1,000 agents of the official kind that run a job:
// at most 2 s. They may not be held while they run, so this is how often they ask.
func BenchmarkStopOfficial(b *testing.B) {
	perDatabase(b, func(b *testing.B, database func(testing.TB) string) {
		const agents, stops = 1000, 50
		s := newServerProcess(b, database(b), true, agents)
		l := s.load(b, map[string]any{"agents": agents, "hold": true})
		l.await("registered")
		l.order("serve", nil)
		var jobs []string
		for len(jobs) < agents {
			jobs = append(jobs, l.await("job").Job)
		}
		time.Sleep(12 * time.Second) // until the server has counted who runs
		var took []time.Duration
		for b.Loop() {
			for _, j := range jobs[:stops] {
				begin := time.Now()
				if out, err := exec.Command(program, "--data", s.data, "job", "stop", j).CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				took = append(took, time.Unix(0, l.await("stop").At).Sub(begin))
			}
			jobs = jobs[stops:]
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds(), "p50-s")
		b.ReportMetric(took[len(took)-1].Seconds(), "max-s")
		b.ReportMetric(0, "ns/op")
	})
}

// perDatabase runs a benchmark on both databases. It asks for one wherever it wants a new one.
func perDatabase(b *testing.B, bench func(b *testing.B, database func(testing.TB) string)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, func(testing.TB) string { return "" }) })
	b.Run("postgres", func(b *testing.B) { bench(b, storetest.PostgresURL) })
}
