package attempt

import (
	"testing"

	"github.com/signalbox-ci/signalbox"
)

const (
	passed, failed = signalbox.JobPassed, signalbox.JobFailed
	tests          = signalbox.ReasonTest
	broken         = signalbox.ReasonStartFailed
)

func ended(agent string, result signalbox.JobResult, reason signalbox.Reason) *signalbox.Attempt {
	return &signalbox.Attempt{JobID: "j-" + agent, AgentName: agent, State: signalbox.AttemptEnded, Result: result, Reason: reason}
}

func seen(a *signalbox.Attempt, result signalbox.JobResult) *signalbox.Attempt {
	a.Elsewhere = &signalbox.Elsewhere{Result: result}
	return a
}

func TestCompare(t *testing.T) {
	open := ended("b", passed, "")
	open.State = signalbox.AttemptRunning
	for _, c := range []struct {
		name     string
		a, other *signalbox.Attempt
		want     signalbox.JobResult
	}{
		{"it passed elsewhere", ended("a", failed, tests), ended("b", passed, ""), passed},
		{"it failed there too", ended("a", failed, tests), ended("b", failed, tests), ""},
		{"it passed on the same agent", ended("a", failed, tests), ended("a", passed, ""), ""},
		{"nothing failed", ended("a", passed, ""), ended("b", passed, ""), ""},
		{"the other runs", ended("a", failed, tests), open, ""},
		{"the machinery failed under both", ended("a", failed, broken), ended("b", failed, signalbox.ReasonAgentError), failed},
		{"the machinery failed here, the tests there", ended("a", failed, broken), ended("b", failed, tests), ""},
		{"a pass says more than a failure", seen(ended("a", failed, broken), failed), ended("b", passed, ""), passed},
		{"a failure says less than a pass", seen(ended("a", failed, broken), passed), ended("b", failed, broken), ""},
		{"it is known", seen(ended("a", failed, tests), passed), ended("b", passed, ""), ""},
	} {
		got := Compare(c.a, c.other)
		if (got == nil) != (c.want == "") || got != nil && (got.Result != c.want || got.Agent != "b" || got.JobID != "j-b") {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	ok, own, others, shared := ended("a", passed, ""), ended("a", failed, tests), seen(ended("a", failed, tests), passed), seen(ended("a", failed, broken), failed)
	rule := signalbox.QuarantineRule{Failures: 3, Of: 5}
	big := Fleet{Connected: 10}
	list := func(as ...*signalbox.Attempt) []*signalbox.Attempt { return as }
	for _, c := range []struct {
		name     string
		rule     signalbox.QuarantineRule
		ended    []*signalbox.Attempt
		f        Fleet
		evidence int // 0 is well
		kept     bool
	}{
		{"no jobs", rule, nil, big, 0, false},
		{"failing tests are not the agent's", rule, list(own, own, own, own, own), big, 0, false},
		{"two are too few", rule, list(others, others, ok, ok, ok), big, 0, false},
		{"three of five", rule, list(ok, others, others, ok, others), big, 3, false},
		{"three in a row are enough", rule, list(others, others, others), big, 3, false},
		{"what is older than the last five is over", rule, list(others, ok, ok, others, ok, others), big, 0, false},
		{"the machinery needs no witness", rule, list(ended("a", failed, broken), ended("a", failed, signalbox.ReasonAgentRestarted), ended("a", failed, signalbox.ReasonAgentError)), big, 3, false},
		{"an image or a lost agent does", rule, list(ended("a", failed, signalbox.ReasonImagePull), ended("a", failed, signalbox.ReasonAgentLost), ended("a", failed, signalbox.ReasonImagePull)), big, 0, false},
		{"a job that breaks all agents is the cause", rule, list(shared, shared, shared), big, 0, false},
		{"the rule is off", signalbox.QuarantineRule{}, list(others, others, others), big, 0, false},
		{"one of one", signalbox.QuarantineRule{Failures: 1, Of: 1}, list(others, ok), big, 1, false},
		{"the only agent", rule, list(others, others, others), Fleet{Connected: 1}, 3, true},
		{"one of two", rule, list(others, others, others), Fleet{Connected: 2}, 3, false},
		{"one of three is aside, a second would be more than half", rule, list(others, others, others), Fleet{3, 1}, 3, true},
		{"half of four", rule, list(others, others, others), Fleet{4, 1}, 3, false},
	} {
		q := Judge(c.rule, c.ended, c.f)
		n, kept := 0, false
		if q != nil {
			n, kept = len(q.Evidence), q.Kept != ""
		}
		if n != c.evidence || kept != c.kept {
			t.Errorf("%s: %d times, kept %v; want %d, %v", c.name, n, kept, c.evidence, c.kept)
		}
	}
}
