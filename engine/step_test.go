package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

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
	return b.String()
}

// applied returns the state after a step, with fresh queued jobs for the blocks that start.
func applied(s State, c Changes, jobsPerBlock int) State {
	next := State{Pipeline: s.Pipeline, Ahead: s.Ahead}
	if c.Pipeline != nil {
		next.Pipeline = c.Pipeline
	}
	next.Blocks = append(next.Blocks, s.Blocks...)
	for _, ch := range c.Blocks {
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

// newState makes a pipeline from "A; B: A; C: A B" (name: dependencies).
func newState(graph string) State {
	s := State{Pipeline: &signalbox.Pipeline{ID: "p", State: signalbox.PipelinePending}}
	parts := strings.Split(graph, ";")
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

// play runs moves such as "pass A0", "fail B0", "lose A0", "stop", "ahead 1" and returns the picture after each.
func play(t *testing.T, graph string, jobs int, moves ...string) []string {
	t.Helper()
	s := newState(graph)
	at := now
	var out []string
	step := func() {
		at = at.Add(time.Second)
		s = applied(s, Step(s, at), jobs)
		if c := Step(s, at); c.Pipeline != nil || c.Blocks != nil || c.Start != nil || c.Stop != nil {
			t.Errorf("a second step at %s still changes something: %+v", picture(s), c)
		}
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
	s.Ahead = 1
	s = applied(s, Step(s, now), 1)
	if got := picture(s); got != "queuing | A waiting" {
		t.Fatalf("with one pipeline ahead: %s", got)
	}
	s.Ahead = 0
	s = applied(s, Step(s, now), 1)
	if got := picture(s); got != "running | A running" {
		t.Fatalf("with none ahead: %s", got)
	}
}

func TestStepStopBeforeRunning(t *testing.T) {
	s := newState("A; B: A")
	s.Ahead, s.Pipeline.Terminate, s.Pipeline.TerminateReason = 1, "stop", signalbox.ReasonUser
	s = applied(s, Step(s, now), 1)
	if got := picture(s); got != "done canceled/user | A done canceled/user | B done canceled/user" {
		t.Fatal(got)
	}
}

// TestStepAlwaysEnds plays random graphs with random ends and stops: every pipeline comes to an end, nothing that is
// done changes, and no block waits below a pipeline that is done.
func TestStepAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "blocks")
		s := State{Pipeline: &signalbox.Pipeline{ID: "p", State: signalbox.PipelinePending}}
		for i := range n {
			b := &signalbox.Block{ID: fmt.Sprintf("b%d-", i), Name: "b", Index: i, State: signalbox.BlockWaiting}
			for d := range i {
				if rapid.Bool().Draw(t, "depends") {
					b.Dependencies = append(b.Dependencies, d)
				}
			}
			s.Blocks = append(s.Blocks, b)
		}
		jobs := rapid.IntRange(1, 3).Draw(t, "jobs")
		at := now
		for range 200 {
			before := s
			at = at.Add(time.Second)
			s = applied(s, Step(s, at), jobs)
			for i, b := range before.Blocks {
				if b.State == signalbox.BlockDone && (s.Blocks[i].State != b.State || s.Blocks[i].Result != b.Result || s.Blocks[i].Reason != b.Reason) {
					t.Fatalf("block %d was done and changed: %s", i, picture(s))
				}
			}
			if s.Pipeline.State == signalbox.PipelineDone {
				for _, b := range s.Blocks {
					if b.State != signalbox.BlockDone {
						t.Fatalf("the pipeline is done and a block is not: %s", picture(s))
					}
				}
				return
			}
			var open []*signalbox.Job
			for _, j := range s.Jobs {
				if j.State != signalbox.JobFinished {
					open = append(open, j)
				}
			}
			if len(open) == 0 {
				t.Fatalf("nothing runs and the pipeline is not done: %s", picture(s))
			}
			if rapid.IntRange(0, 20).Draw(t, "stop") == 0 {
				s.Pipeline.Terminate, s.Pipeline.TerminateReason = "stop", signalbox.ReasonUser
				continue
			}
			j := open[rapid.IntRange(0, len(open)-1).Draw(t, "job")]
			r := rapid.SampledFrom([]signalbox.JobResult{signalbox.JobPassed, signalbox.JobPassed, signalbox.JobFailed, signalbox.JobStopped}).Draw(t, "result")
			finishJob(s, j.ID, r, signalbox.ReasonTest)
		}
		t.Fatalf("no end: %s", picture(s))
	})
}
