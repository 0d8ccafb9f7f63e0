package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

// BenchmarkStep measures a step of a pipeline of 100 blocks with 10 jobs each, half of which are done: at most 2 ms.
func BenchmarkStep(b *testing.B) {
	var names []string
	for i := range 100 {
		deps := ""
		if i > 0 {
			deps = fmt.Sprintf(" B%d", i/2)
		}
		names = append(names, fmt.Sprintf("B%d:%s", i+1, deps))
	}
	names[0] = "B1:"
	s := newState("after | " + strings.Join(names, ";"))
	s = settled(b, s, now, 10)
	for range 50 {
		for _, j := range s.Jobs {
			if j.State != signalbox.JobFinished && len(s.Jobs) < 500 {
				j.State, j.Result = signalbox.JobFinished, signalbox.JobPassed
			}
		}
		s = settled(b, s, now, 10)
	}
	for i := range 1000 - len(s.Jobs) {
		s.Jobs = append(s.Jobs, &signalbox.Job{ID: fmt.Sprint("x", i), BlockID: "B1", State: signalbox.JobFinished, Result: signalbox.JobPassed})
	}
	b.ReportMetric(float64(len(s.Jobs)), "jobs")
	for b.Loop() {
		Step(s, now)
	}
}
