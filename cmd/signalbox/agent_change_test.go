package main

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestFleetCommands(t *testing.T) {
	s := newStation(t)
	s.expect(0, "Project demo created", "project", "create", "demo", "--git", s.repo)
	s.expect(0, `shown only now`, "agent-type", "create", "s1-fleet", "--projects", "demo", "--lost-after", "10m")
	s.expect(0, `projects +demo\n +forked code +no\n +names from +agent\n +release after +at once\n +lost after +10m0s`, "agent-type", "show", "s1-fleet")
	s.expect(0, `projects +all\n +forked code +yes\n +names from +AWS account 123456789012, roles ci-\*\n +release after +2m0s`, "agent-type", "set", "s1-fleet",
		"--projects", "all", "--forks", "yes", "--names-from", "aws", "--aws-account", "123456789012", "--aws-roles", "ci-*", "--release-after", "120")
	s.expect(0, `names from +agent\n +release after +2m0s`, "agent-type", "set", "s1-fleet", "--names-from", "agent")
	s.expect(1, "nothing to change", "agent-type", "set", "s1-fleet")
	s.expect(0, `quarantine +after 3 of 5 jobs\n +lease +none\n +ephemeral +no`, "agent-type", "show", "s1-fleet")
	s.expect(0, `quarantine +after 2 of 4 jobs\n +lease +5m0s\n +ephemeral +yes`, "agent-type", "set", "s1-fleet", "--quarantine", "2/4", "--lease", "5m", "--ephemeral", "yes")
	s.expect(0, `quarantine +never\n +lease +5m0s`, "agent-type", "set", "s1-fleet", "--quarantine", "never")
	s.expect(1, "3/5 for three of the last five", "agent-type", "set", "s1-fleet", "--quarantine", "three")
	s.expect(1, "makes no sense", "agent-type", "set", "s1-fleet", "--quarantine", "5/3")
	s.expect(1, "120 to", "agent-type", "set", "s1-fleet", "--lease", "1m")
	s.expect(1, "at least 60", "agent-type", "set", "s1-fleet", "--release-after", "1")
	s.expect(1, "no project", "agent-type", "set", "s1-fleet", "--projects", "nope")
	s.expect(2, "there is no agent type", "agent-type", "show", "s1-nope")

	s.expect(0, `Token office of s1-fleet created. Its registration token is shown only now:\n\n  [0-9a-f]{80}`, "agent-type", "token", "create", "s1-fleet", "office",
		"--network", "10.0.0.0/8", "--network", "192.0.2.7", "--expires-in", "720h")
	var once registrationToken
	s.ok(&once, "agent-type", "token", "create", "s1-fleet", "once", "--one-time")
	if len(once.Token) != 80 || !once.OneTime {
		t.Errorf("%+v", once)
	}
	s.expect(0, `NAME +STATE +ENDS +LIMITS.*office +live +\d{4}-.*10.0.0.0/8, 192.0.2.7/32 +never.*once +live +never +for one agent`, "agent-type", "token", "list", "s1-fleet")
	s.expect(0, `good for another 24h0m0s`, "agent-type", "token", "rotate", "s1-fleet", "office")
	s.expect(1, "give the id", "agent-type", "token", "revoke", "s1-fleet", "office")
	s.expect(0, "void", "agent-type", "token", "revoke", "s1-fleet", "once")
	s.expect(0, `good for another 1h0m0s`, "agent-type", "reset-token", "s1-fleet", "--overlap", "1h")
	s.expect(0, `once +revoked`, "agent-type", "token", "list", "s1-fleet", "--all")
	s.expect(1, "is not a network", "agent-type", "token", "create", "s1-fleet", "x", "--network", "here")

	s.expect(0, `NAME +TYPE +STATE`, "agent", "list", "--type", "s1-fleet")
	s.expect(2, "there is no agent nobody", "agent", "show", "nobody")
	s.expect(1, `nobody +not done: there is no agent nobody.*1 of 1 agents could not be changed`, "agent", "drain", "nobody")
	s.expect(1, "say which agents", "agent", "stop")
	s.expect(1, "say which agents", "agent", "stop", "x", "--type", "s1-fleet")
	s.expect(1, "disable 0 agents of s1-fleet.*(give --yes|nothing was changed)", "agent", "disable", "--type", "s1-fleet")
	for _, action := range []string{"drain", "undrain", "disable", "enable", "stop", "quarantine", "release", "delete"} {
		s.expect(0, "NAME +RESULT", "agent", action, "--type", "s1-fleet", "--yes")
	}
	s.expect(1, "not done: there is no agent", "agent", "delete", "vm-1", "--host-gone")
	s.expect(0, "LAST +TIMES +TYPE", "agent", "rejected")
	s.expect(0, "deleted", "agent-type", "delete", "s1-fleet", "--force")
}

func TestAgentWords(t *testing.T) {
	agent := func(change func(*agentInfo)) string {
		var a agentInfo
		a.Status.Connected = true
		change(&a)
		return a.state()
	}
	for want, change := range map[string]func(*agentInfo){
		"idle": func(*agentInfo) {}, "busy": func(a *agentInfo) { a.Status.JobID = "j" }, "left": func(a *agentInfo) { a.Status.Connected = false },
		"busy, draining": func(a *agentInfo) { a.Status.JobID, a.Metadata.DrainedAt = "j", 1 }, "idle, disabled": func(a *agentInfo) { a.Metadata.DisabledAt, a.Metadata.DrainedAt = 1, 1 },
		"busy, suspect":       func(a *agentInfo) { a.Status.JobID, a.Status.Suspect = "j", true },
		"idle, in quarantine": func(a *agentInfo) { a.Metadata.QuarantinedAt = 1 }, "idle, draining": func(a *agentInfo) { a.Metadata.QuarantinedAt, a.Metadata.DrainedAt = 1, 1 },
		"busy, leaving": func(a *agentInfo) { a.Status.JobID, a.Metadata.InterruptedAt = "j", 1 },
	} {
		if got := agent(change); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	got, err := labels([]string{"zone=eu-1", "gpu="})
	if err != nil || len(got) != 2 || got["zone"] != "eu-1" {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range [][]string{{"gpu"}, {"a=1", "a=2"}, {"a b=1"}, {"a=" + strings.Repeat("x", 101)}} {
		if got, err := labels(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		} else if signalbox.ErrorCode(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
