package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

var now = time.UnixMilli(1_700_000_000_000).UTC()

// picture writes a pipeline as "running | A done passed | B running(q r)" so that tests can be read.
func picture(s State) string {
	var b strings.Builder
	end := func(result signalbox.Result, reason signalbox.Reason) {
		if result != "" {
			b.WriteString(" " + string(result))
		}
		if reason != "" {
			b.WriteString("/" + string(reason))
		}
	}
	b.WriteString(string(s.Pipeline.State))
	end(s.Pipeline.Result, s.Pipeline.Reason)
	for _, bl := range s.Blocks {
		b.WriteString(" | " + bl.Name + " " + string(bl.State))
		end(bl.Result, bl.Reason)
	}
	if s.After != nil {
		b.WriteString(" | after " + string(s.After.State))
		end(s.After.Result, s.After.Reason)
	}
	if s.Init != nil {
		b.WriteString(" | init " + string(s.Init.State))
		end(s.Init.Result, s.Init.Reason)
	}
	return b.String()
}

// applied returns the state after a step, with fresh queued jobs for the blocks that start.
func applied(s State, c Changes, jobsPerBlock int) State {
	next := State{Pipeline: s.Pipeline, Queue: s.Queue, After: s.After}
	if c.Pipeline != nil {
		next.Pipeline = c.Pipeline
	}
	next.Blocks = append(next.Blocks, s.Blocks...)
	for _, ch := range c.Blocks {
		if ch.Block.Kind == signalbox.BlockAfter {
			next.After = ch.Block
			continue
		}
		next.Blocks[ch.Block.Index] = ch.Block
	}
	stopped := map[string]signalbox.Reason{}
	for _, st := range c.Stop {
		stopped[st.Job.ID] = st.Reason
	}
	for _, j := range s.Jobs {
		k := *j
		if r, ok := stopped[j.ID]; ok {
			k.State, k.Result, k.Reason = signalbox.JobFinished, signalbox.JobStopped, r
		}
		next.Jobs = append(next.Jobs, &k)
	}
	for _, b := range c.Start {
		for i := range jobsPerBlock {
			next.Jobs = append(next.Jobs, &signalbox.Job{ID: fmt.Sprintf("%s%d", b.ID, i), BlockID: b.ID, State: signalbox.JobQueued})
		}
	}
	return next
}

func (c Changes) empty() bool {
	return c.Pipeline == nil && c.Blocks == nil && c.Start == nil && c.Stop == nil
}

// settled takes steps until nothing follows any more, as the engine does within a transaction.
func settled(t interface{ Fatalf(string, ...any) }, s State, at time.Time, jobs int) State {
	for range 5 {
		c := Step(s, at)
		if c.empty() {
			return s
		}
		s = applied(s, c, jobs)
	}
	t.Fatalf("steps do not come to an end: %s", picture(s))
	return s
}

// newState makes a pipeline from "A; B: A; C: A B" (name: dependencies). Words in front of a "|" say what the file asks
// for: "stop" and "cancel" are fail_fast, "after" is after_pipeline, "skip-B" skips a block, "limit-B" gives it half an hour,
// "parallel" is a queue that does not wait.
func newState(graph string) State {
	plan := &signalbox.Plan{}
	s := State{Pipeline: &signalbox.Pipeline{ID: "p", State: signalbox.PipelinePending, Plan: plan}}
	words, blocks, ok := strings.Cut(graph, "|")
	if !ok {
		words, blocks = "", graph
	}
	skip, limit := map[string]bool{}, map[string]bool{}
	for _, w := range strings.Fields(words) {
		verb, name, _ := strings.Cut(w, "-")
		switch verb {
		case "stop", "cancel":
			plan.FailFast = signalbox.Strategy(verb)
		case "after":
			plan.After = []signalbox.PlanJob{{Name: "report"}}
			s.After = &signalbox.Block{ID: "after", Name: "after", Kind: signalbox.BlockAfter, Index: signalbox.AfterIndex, State: signalbox.BlockWaiting}
		case "skip":
			skip[name] = true
		case "limit":
			limit[name] = true
		case "parallel":
			s.Pipeline.Queue.Parallel = true
		default:
			panic(w)
		}
	}
	parts := strings.Split(blocks, ";")
	index := map[string]int{}
	for i, part := range parts {
		name, _, _ := strings.Cut(strings.TrimSpace(part), ":")
		index[name] = i
	}
	for i, part := range parts {
		name, deps, _ := strings.Cut(strings.TrimSpace(part), ":")
		b := &signalbox.Block{ID: name, Name: name, Index: i, State: signalbox.BlockWaiting}
		for _, d := range strings.Fields(deps) {
			b.Dependencies = append(b.Dependencies, index[d])
		}
		s.Blocks = append(s.Blocks, b)
		pb := signalbox.PlanBlock{Name: name, FailFast: plan.FailFast}
		if skip[name] {
			pb.Skip = "the test says so"
		}
		if limit[name] {
			pb.TimeLimit = 30
		}
		plan.Blocks = append(plan.Blocks, pb)
	}
	return s
}

func finishJob(s State, id string, result signalbox.JobResult, reason signalbox.Reason) {
	for _, j := range s.Jobs {
		if j.ID == id {
			j.State, j.Result, j.Reason = signalbox.JobFinished, result, reason
			return
		}
	}
	panic("no job " + id)
}

// play runs moves such as "pass A0", "run B0", "lose A0", "stop", "wait 61m" and returns the picture after each.
func play(t *testing.T, graph string, jobs int, moves ...string) []string {
	t.Helper()
	s := newState(graph)
	at := now
	var out []string
	step := func() {
		at = at.Add(time.Second)
		s = settled(t, s, at, jobs)
		out = append(out, picture(s))
	}
	step()
	for _, m := range moves {
		verb, id, _ := strings.Cut(m, " ")
		switch verb {
		case "pass":
			finishJob(s, id, signalbox.JobPassed, "")
		case "fail":
			finishJob(s, id, signalbox.JobFailed, signalbox.ReasonTest)
		case "lose":
			finishJob(s, id, signalbox.JobFailed, signalbox.ReasonAgentLost)
		case "end":
			finishJob(s, id, signalbox.JobStopped, signalbox.ReasonUser)
		case "late":
			finishJob(s, id, signalbox.JobStopped, signalbox.ReasonTimeout)
		case "run":
			for _, j := range s.Jobs {
				if j.ID == id {
					j.State = signalbox.JobRunning
				}
			}
		case "wait":
			d, err := time.ParseDuration(id)
			if err != nil {
				t.Fatal(err)
			}
			at = at.Add(d)
		case "younger":
			s.Queue.Cancel, s.Queue.By = signalbox.Strategy(id), "younger"
		case "stop":
			s.Pipeline.Terminate, s.Pipeline.TerminateReason = "stop", signalbox.ReasonUser
		default:
			t.Fatalf("unknown move %q", m)
		}
		step()
	}
	return out
}

func TestStep(t *testing.T) {
	for _, c := range []struct {
		name, graph string
		jobs        int
		moves       []string
		want        string // the last picture
	}{
		{"starts", "A; B: A", 1, nil, "running | A running | B waiting"},
		{"sequence", "A; B: A", 1, []string{"pass A0"}, "running | A done passed | B running"},
		{"passes", "A; B: A", 1, []string{"pass A0", "pass B0"}, "done passed | A done passed | B done passed"},
		{"waits for every job", "A", 2, []string{"pass A0"}, "running | A running"},
		{
			"failure cancels dependents and lets the others run", "Lint; Test; Package: Lint Test; Docs: Test; Publish: Package", 1,
			[]string{"fail Lint0"},
			"running | Lint done failed/test | Test running | Package waiting | Docs waiting | Publish waiting",
		},
		{
			"result is that of the first block to fail", "Lint; Test; Package: Lint Test; Docs: Test; Publish: Package", 1,
			[]string{"fail Lint0", "pass Test0", "pass Docs0"},
			"done failed/test | Lint done failed/test | Test done passed | Package done canceled/fast_failing | Docs done passed | Publish done canceled/fast_failing",
		},
		{
			"the block that failed counts, not one above it that it canceled", "Late: Early; Early", 1,
			[]string{"fail Early0"},
			"done failed/test | Late done canceled/fast_failing | Early done failed/test",
		},
		{"infrastructure is not a test", "A; B: A", 1, []string{"lose A0"}, "done failed/agent_lost | A done failed/agent_lost | B done canceled/fast_failing"},
		{"a failing test outweighs a lost agent", "A", 2, []string{"lose A0", "fail A1"}, "done failed/test | A done failed/test"},
		{"a stopped job stops its block", "A; B: A", 2, []string{"fail A0", "end A1"}, "done stopped | A done stopped | B done canceled/fast_failing"},
		{"stop while running", "A; B: A", 2, []string{"pass A0", "stop"}, "done stopped/user | A done stopped/user | B done canceled/user"},
		{"a skipped block counts as passed", "skip-B | A; B: A; C: B", 1, []string{"pass A0"}, "running | A done passed | B done passed/skipped | C running"},
		{"a skipped block below a failure is canceled", "skip-B | A; B: A", 1, []string{"fail A0"}, "done failed/test | A done failed/test | B done canceled/fast_failing"},
		{"without fail_fast the others go on", "A; B; C: B", 1, []string{"fail A0"}, "running | A done failed/test | B running | C waiting"},
		{"fail_fast cancel ends what waits", "cancel | A; B; C: B", 1, []string{"run B0", "fail A0"}, "running | A done failed/test | B running | C done canceled/fast_failing"},
		{"fail_fast stop ends what runs too", "stop | A; B; C: B", 1, []string{"run B0", "fail A0"}, "done failed/test | A done failed/test | B done stopped/fast_failing | C done canceled/fast_failing"},
		{"fail_fast cancel inside a task ends queued jobs only", "cancel | A", 3, []string{"run A1", "run A0", "fail A0"}, "running | A running"},
		{"and the task has failed, not stopped", "cancel | A", 3, []string{"run A1", "run A0", "fail A0", "pass A1"}, "done failed/test | A done failed/test"},
		{"fail_fast stop inside a task ends all jobs", "stop | A", 3, []string{"run A1", "run A0", "fail A0"}, "done failed/test | A done failed/test"},
		{"a stopped sibling is no failure for fail_fast", "stop | A", 2, []string{"run A1", "end A0"}, "running | A running"},
		{"a time limit of a block", "limit-A | A; B: A", 1, []string{"run A0", "wait 30m"}, "done stopped/timeout | A done stopped/timeout | B done canceled/fast_failing"},
		{"not before its time", "limit-A | A; B: A", 1, []string{"run A0", "wait 29m"}, "running | A running | B waiting"},
		{"the time limit of the pipeline", "A; B: A", 1, []string{"run A0", "wait 60m"}, "done stopped/timeout | A done stopped/timeout | B done canceled/timeout"},
		{"a job over its limit", "A; B: A", 2, []string{"pass A0", "late A1"}, "done stopped/timeout | A done stopped/timeout | B done canceled/fast_failing"},
		{"a younger pipeline cancels what waits only", "A", 1, []string{"younger cancel"}, "running | A running"},
		{"a younger pipeline stops what runs", "A; B: A", 1, []string{"younger stop"}, "done stopped/strategy | A done stopped/strategy | B done canceled/strategy"},
		{"after_pipeline waits", "after | A", 1, nil, "running | A running | after waiting"},
		{"after_pipeline runs when all is done and changes nothing", "after | A", 1, []string{"pass A0", "fail after0"}, "done passed | A done passed | after done failed/test"},
		{"after_pipeline runs after a failure", "after | A", 1, []string{"fail A0"}, "done failed/test | A done failed/test | after running"},
		{"after_pipeline runs after a stop", "after | A", 1, []string{"stop", "pass after0"}, "done stopped/user | A done stopped/user | after done passed"},
		{"stop keeps what had ended", "A; B; C: B", 1, []string{"pass A0", "stop"}, "done stopped/user | A done passed | B done stopped/user | C done canceled/user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := play(t, c.graph, c.jobs, c.moves...)
			if last := got[len(got)-1]; last != c.want {
				t.Errorf("got  %s\nwant %s\nall:\n%s", last, c.want, strings.Join(got, "\n"))
			}
		})
	}
}

func TestStepWaitsForItsQueue(t *testing.T) {
	s := newState("A")
	s.Queue.Ahead = 1
	s = applied(s, Step(s, now), 1)
	if got := picture(s); got != "queuing | A waiting" {
		t.Fatalf("with one pipeline ahead: %s", got)
	}
	s.Queue.Ahead, s.Queue.Running = 0, 1
	if s = applied(s, Step(s, now), 1); picture(s) != "queuing | A waiting" {
		t.Fatalf("beside one that runs: %s", picture(s))
	}
	s.Queue.Running = 0
	s = applied(s, Step(s, now), 1)
	if got := picture(s); got != "running | A running" {
		t.Fatalf("with none ahead: %s", got)
	}
	s = newState("parallel | A")
	s.Queue.Ahead, s.Queue.Running = 1, 1
	if s = applied(s, Step(s, now), 1); picture(s) != "running | A running" {
		t.Fatalf("a queue that does not wait: %s", picture(s))
	}
	for _, strategy := range []signalbox.Strategy{signalbox.StrategyCancel, signalbox.StrategyStop} {
		s = newState("A")
		s.Queue.Ahead, s.Queue.Cancel, s.Queue.By = 1, strategy, "younger"
		if s = applied(s, Step(s, now), 1); picture(s) != "done canceled/strategy | A done canceled/strategy" || s.Pipeline.TerminatedBy != "pipeline:younger" {
			t.Fatalf("a younger one cancels: %s by %s", picture(s), s.Pipeline.TerminatedBy)
		}
	}
}

func TestStepStopBeforeRunning(t *testing.T) {
	s := newState("A; B: A")
	s.Queue.Ahead, s.Pipeline.Terminate, s.Pipeline.TerminateReason = 1, "stop", signalbox.ReasonUser
	s = applied(s, Step(s, now), 1)
	if got := picture(s); got != "done canceled/user | A done canceled/user | B done canceled/user" {
		t.Fatal(got)
	}
}
