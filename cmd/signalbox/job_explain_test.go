package main

import "testing"

func TestExplainAndLimits(t *testing.T) {
	s := newStation(t)
	s.expect(0, "", "project", "create", "demo", "--git", s.repo)
	s.expect(0, "no limit", "organization", "show")
	s.expect(0, "at most 200 at once", "organization", "set", "--max-running-jobs", "200")
	s.expect(1, `max_running_jobs is -1; it must be a number from 1 to 1000000, or 0 for no limit`, "organization", "set", "--max-running-jobs=-1")
	s.expect(0, "at most 200 at once", "organization", "show")
	s.expect(1, "give --git, --default-branch, --debug, --attach or --max-running-jobs", "project", "set", "demo")
	s.expect(0, `^Project demo\nRunning jobs  at most 20 at once\n$`, "project", "set", "demo", "--max-running-jobs", "20")
	s.expect(0, `Debug   tag`, "project", "set", "demo", "--debug", "tag", "--max-running-jobs", "0")
	s.expect(2, "there is no project nope", "project", "set", "nope", "--max-running-jobs", "1")
	s.agentType("s1-mac")
	s.expect(0, "at most 4 at once", "agent-type", "set", "s1-mac", "--max-running-jobs", "4")
	s.expect(2, "there is no agent type s1-nope", "agent-type", "set", "s1-nope", "--max-running-jobs", "4")
	s.expect(1, "Job id x is invalid", "job", "explain", "x")
	s.expect(2, "there is no job", "job", "explain", "01a21546-3e95-7000-bb24-f17c7f9914e4")
}
