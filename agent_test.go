package signalbox

import (
	"strings"
	"testing"
	"time"
)

func TestSuspect(t *testing.T) {
	now := time.Unix(10_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name                   string
		state                  AgentState
		created, seen, started time.Time
		want                   bool
	}{
		{"just heard", AgentRegistered, ago(time.Hour), ago(59 * time.Second), ago(time.Hour), false},
		{"a minute is not too long", AgentRegistered, ago(time.Hour), ago(time.Minute), ago(time.Hour), false},
		{"silent", AgentRegistered, ago(time.Hour), ago(61 * time.Second), ago(time.Hour), true},
		{"new, and not heard yet", AgentRegistered, ago(time.Second), time.Time{}, ago(time.Hour), false},
		{"never heard", AgentRegistered, ago(time.Hour), time.Time{}, time.Time{}, true},
		{"the server has just started", AgentRegistered, ago(time.Hour), ago(30 * time.Minute), ago(time.Second), false},
		{"it has left", AgentDisconnected, ago(time.Hour), ago(time.Hour), time.Time{}, false},
	} {
		a := &Agent{State: c.state, CreatedAt: c.created}
		if got := a.Suspect(c.seen, c.started, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestCleanProblems(t *testing.T) {
	var many []Problem
	for i := range 20 {
		many = append(many, Problem{Code: "a" + strings.Repeat("b", i)})
	}
	if got := CleanProblems(many); len(got) != 8 {
		t.Errorf("%d problems are kept", len(got))
	}
	got := CleanProblems([]Problem{{"", "x"}, {"Upper", "x"}, {"a b", "x"}, {strings.Repeat("a", 41), "x"}, {"ok", "a\x00b\u202ec\xff"}, {"ok", "again"}})
	if len(got) != 1 || got[0] != (Problem{"ok", "a b c\uFFFD"}) {
		t.Errorf("%+v", got)
	}
	if got := CleanProblems([]Problem{{"long", strings.Repeat("ä", 300)}}); len([]rune(got[0].Detail)) != 200 {
		t.Errorf("%d characters", len([]rune(got[0].Detail)))
	}
	if !SameProblems(many[:2], []Problem{many[1], many[0]}) || SameProblems(many[:2], many[:1]) || SameProblems(many[:2], many[1:3]) {
		t.Error("what is the same")
	}
}

func TestQuarantineRules(t *testing.T) {
	for rule, ok := range map[QuarantineRule]bool{{}: true, {3, 5}: true, {1, 1}: true, {50, 50}: true, {0, 5}: false, {5, 3}: false, {-1, 3}: false, {1, 51}: false, {3, 0}: false} {
		if err := (&AgentType{Name: "s1-x", Quarantine: rule}).Validate(); (err == nil) != ok {
			t.Errorf("%+v: %v", rule, err)
		}
	}
}
