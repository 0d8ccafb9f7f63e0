package attempt

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// TestJudgeSaysWhatTheRuleSays holds decisions about random pasts of agents against the rule in other words: an attempt counts
// when it failed and the job passed elsewhere, or when the machinery failed and failed nowhere else; K of the last N set an
// agent aside if it would not be among more than half of its fleet.
func TestJudgeSaysWhatTheRuleSays(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	dice := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	results := []signalbox.JobResult{signalbox.JobPassed, signalbox.JobFailed, signalbox.JobFailed, signalbox.JobStopped}
	reasons := []signalbox.Reason{
		signalbox.ReasonTest, signalbox.ReasonStartFailed, signalbox.ReasonAgentError, signalbox.ReasonAgentRestarted, signalbox.ReasonAgentLost, signalbox.ReasonLeaseEnded,
	}
	set, kept := 0, 0
	for round := range 20_000 {
		rule := signalbox.QuarantineRule{Failures: dice.IntN(4)}
		rule.Of = rule.Failures + dice.IntN(4)
		f := Fleet{Connected: 1 + dice.IntN(6)}
		f.Quarantined = dice.IntN(f.Connected)
		var past []*signalbox.Attempt
		var counts []int
		for n := range dice.IntN(9) {
			a := &signalbox.Attempt{JobID: signalbox.NewID(), N: 1 + n, Result: results[dice.IntN(4)], Reason: reasons[dice.IntN(len(reasons))]}
			elsewhere := signalbox.JobResult("")
			if dice.IntN(3) == 0 {
				elsewhere = results[dice.IntN(2)]
				a.Elsewhere = &signalbox.Elsewhere{Result: elsewhere}
			}
			past = append(past, a)
			machinery := a.Reason == signalbox.ReasonStartFailed || a.Reason == signalbox.ReasonAgentError || a.Reason == signalbox.ReasonAgentRestarted
			if n < rule.Of && a.Result == signalbox.JobFailed && (elsewhere == signalbox.JobPassed || elsewhere == "" && machinery) {
				counts = append(counts, n)
			}
		}
		q := Judge(rule, past, f)
		if want := rule.Failures > 0 && len(counts) >= rule.Failures; (q != nil) != want {
			t.Fatalf("seed %d, round %d: %s, attempts %v count: %+v", seed, round, rule, counts, q)
		}
		if q == nil {
			continue
		}
		set++
		if tooMany := float64(f.Quarantined+1) > float64(f.Connected)/2; (q.Kept != "") != tooMany {
			t.Fatalf("seed %d, round %d: %d of %d are set aside: %+v", seed, round, f.Quarantined, f.Connected, q)
		} else if tooMany {
			kept++
		}
		if len(q.Evidence) != len(counts) {
			t.Fatalf("seed %d, round %d: attempts %v count: %+v", seed, round, counts, q)
		}
		for i, n := range counts {
			if e := q.Evidence[i]; e.JobID != past[n].JobID || e.Attempt != past[n].N || e.Reason != past[n].Reason || e.Elsewhere != past[n].Elsewhere {
				t.Fatalf("seed %d, round %d: %+v speaks for %+v", seed, round, e, past[n])
			}
		}
	}
	if set == 0 || kept == 0 || kept == set {
		t.Errorf("seed %d: %d set aside, %d of them kept: the test has seen one side only", seed, set-kept, kept)
	}
}
