package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// move is one thing that can happen to a pipeline between two commits.
type move struct {
	kind string // run, passed, failed, lost, stopped, stop, younger, time
	job  int
}

// moves lists everything that can happen next.
func moves(s State) (out []move) {
	for i, j := range s.Jobs {
		switch j.State {
		case signalbox.JobQueued:
			out = append(out, move{"run", i}, move{"stopped", i})
		case signalbox.JobRunning:
			out = append(out, move{"passed", i}, move{"failed", i}, move{"lost", i}, move{"stopped", i})
		}
	}
	if s.Pipeline.State == signalbox.PipelineDone {
		return out
	}
	if s.Pipeline.Terminate == "" {
		out = append(out, move{"stop", 0})
	}
	if s.Queue.Cancel == "" {
		out = append(out, move{"younger", 0})
	}
	return append(out, move{"time", 0})
}

// happen applies a move to a copy of s.
func happen(s State, m move, at *time.Time) State {
	next := s
	p := *s.Pipeline
	next.Pipeline = &p
	next.Jobs = append([]*signalbox.Job(nil), s.Jobs...)
	job := func(state signalbox.JobState, result signalbox.JobResult, reason signalbox.Reason) {
		j := *next.Jobs[m.job]
		j.State, j.Result, j.Reason = state, result, reason
		next.Jobs[m.job] = &j
	}
	switch m.kind {
	case "run":
		job(signalbox.JobRunning, "", "")
	case "passed":
		job(signalbox.JobFinished, signalbox.JobPassed, "")
	case "failed":
		job(signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonTest)
	case "lost":
		job(signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonAgentLost)
	case "stopped":
		job(signalbox.JobFinished, signalbox.JobStopped, signalbox.ReasonUser)
	case "stop":
		p.Terminate, p.TerminateReason = "stop", signalbox.ReasonUser
	case "younger":
		next.Queue.Cancel, next.Queue.By = signalbox.StrategyStop, "younger"
	case "time":
		*at = at.Add(2 * time.Hour)
	}
	return next
}

// check holds what must be true of every committed state: before is the one it came from.
func check(before, s State) string {
	stopped := s.Pipeline.Terminate != ""
	switch {
	case s.Pipeline.State == signalbox.PipelineDone && s.Pipeline.Result == "":
		return "done without a result"
	case s.Pipeline.State != signalbox.PipelineDone && s.Pipeline.Result != "":
		return "a result before the end"
	case stopped && s.Pipeline.Result == signalbox.ResultPassed:
		return "it was stopped and passed"
	case before.Pipeline.State == signalbox.PipelineDone && (s.Pipeline.State != signalbox.PipelineDone || s.Pipeline.Result != before.Pipeline.Result || s.Pipeline.Reason != before.Pipeline.Reason):
		return "it was done and changed"
	}
	open, failed := 0, false
	for i, b := range s.Blocks {
		if problem := checkBlock(s, b); problem != "" {
			return b.Name + ": " + problem
		}
		if b.State != signalbox.BlockDone {
			open++
		} else {
			failed = failed || b.Result != signalbox.ResultPassed
		}
		if was := before.Blocks[i]; was.State == signalbox.BlockDone && (b.State != was.State || b.Result != was.Result || b.Reason != was.Reason) {
			return b.Name + " was done and changed"
		}
	}
	if (open == 0) != (s.Pipeline.State == signalbox.PipelineDone) {
		return fmt.Sprintf("%d blocks are open", open)
	}
	if s.Pipeline.State == signalbox.PipelineDone && !stopped && failed == (s.Pipeline.Result == signalbox.ResultPassed) {
		return "its result is not that of its blocks"
	}
	if s.After != nil && (s.After.State == signalbox.BlockWaiting) == (s.Pipeline.State == signalbox.PipelineDone) {
		return "after_pipeline does not follow the end"
	}
	return ""
}

// checkBlock compares a block with its jobs and with the blocks it depends on.
func checkBlock(s State, b *signalbox.Block) string {
	open, jobs, bad := 0, 0, false
	for _, j := range s.Jobs {
		if j.BlockID != b.ID {
			continue
		}
		jobs++
		if j.State != signalbox.JobFinished {
			open++
		}
		bad = bad || j.State == signalbox.JobFinished && j.Result != signalbox.JobPassed
	}
	switch b.State {
	case signalbox.BlockWaiting:
		if jobs > 0 {
			return "it waits and has jobs"
		}
	case signalbox.BlockRunning, signalbox.BlockStopping:
		if open == 0 {
			return "it runs and has no open job"
		}
	case signalbox.BlockDone:
		switch {
		case open > 0:
			return "it is done and has open jobs"
		case b.Result == signalbox.ResultPassed && bad:
			return "it passed and has jobs that did not"
		case (b.Result == signalbox.ResultCanceled || b.Reason == signalbox.ReasonSkipped) != (jobs == 0):
			return "only what never ran has no jobs"
		}
	}
	if jobs > 0 || b.Reason == signalbox.ReasonSkipped {
		for _, d := range b.Dependencies {
			if dep := s.Blocks[d]; dep.State != signalbox.BlockDone || dep.Result != signalbox.ResultPassed {
				return "it ran before " + dep.Name + " passed"
			}
		}
	}
	return ""
}

// key is everything of a state that a step can see but times.
func key(s State, late bool) string {
	var b strings.Builder
	b.WriteString(picture(s))
	b.WriteString(s.Pipeline.Terminate + string(s.Queue.Cancel) + strconv.FormatBool(late))
	for _, j := range s.Jobs {
		b.WriteString(j.ID + string(j.State) + string(j.Result) + string(j.Reason))
	}
	for _, bl := range s.Blocks { // which of two ended first decides the result
		b.WriteString(strconv.FormatInt(bl.DoneAt.Unix(), 10))
	}
	return b.String()
}

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// advance settles a state after a move and holds the invariants. A crash at any point before the commit is the state
// before; one after it is a start, which must find nothing to do.
func advance(t fatal, s State, at time.Time, jobs int, m move) State {
	t.Helper()
	next := settled(t, s, at, jobs)
	if problem := check(s, next); problem != "" {
		t.Fatalf("after %v: %s\n%s\nbefore %s", m, problem, picture(next), picture(s))
	}
	if !Step(next, at).empty() {
		t.Fatalf("a start after a crash at %s changes something", picture(next))
	}
	return next
}

// TestEveryOrderOfEvents visits every state that small pipelines can reach.
func TestEveryOrderOfEvents(t *testing.T) {
	shapes := []string{
		"A", "A; B", "A; B: A", "A; B; C: A B", "A; B: A; C: B", "A; B: A; C: A",
		"after | A; B: A", "skip-B | A; B: A; C: B", "limit-A | A; B", "stop | A; B", "cancel | A; B", "stop after | A; B; C: A B", "cancel | A; B: A; C: A",
	}
	total := 0
	for _, shape := range shapes {
		for jobs := 1; jobs <= 2; jobs++ {
			if jobs == 2 && strings.Count(shape, ";") > 1 {
				continue // millions
			}
			n := visit(t, shape, jobs)
			total += n
			if testing.Verbose() {
				t.Logf("%-30s %d jobs a block: %d states", shape, jobs, n)
			}
		}
	}
	t.Logf("%d states", total)
	if total < 10_000 {
		t.Errorf("only %d states: the model has lost most of its moves", total)
	}
}

func visit(t *testing.T, shape string, jobs int) int {
	type node struct {
		s    State
		at   time.Time
		late bool
	}
	start := newState(shape)
	at := now
	first := node{advance(t, start, at, jobs, move{kind: "start"}), at, false}
	seen := map[string]bool{key(first.s, false): true}
	for todo := []node{first}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		all := moves(n.s)
		if len(all) == 0 && n.s.Pipeline.State != signalbox.PipelineDone {
			t.Fatalf("nothing can happen and it is not done: %s", picture(n.s))
		}
		for _, m := range all {
			if m.kind == "time" && n.late {
				continue
			}
			at := n.at.Add(time.Second)
			s := happen(n.s, m, &at)
			s = advance(t, s, at, jobs, m)
			next := node{s, at, n.late || m.kind == "time"}
			if k := key(relative(s, n.at), next.late); !seen[k] {
				seen[k] = true
				todo = append(todo, next)
			}
		}
	}
	return len(seen)
}

// relative replaces the times at which blocks ended by their order, so that states that differ in nothing else are one.
func relative(s State, _ time.Time) State {
	out := s
	out.Blocks = nil
	for _, b := range s.Blocks {
		c := *b
		rank := int64(0)
		for _, o := range s.Blocks {
			if o.State == signalbox.BlockDone && b.State == signalbox.BlockDone && o.DoneAt.Before(b.DoneAt) {
				rank++
			}
		}
		c.DoneAt = time.Unix(rank, 0)
		out.Blocks = append(out.Blocks, &c)
	}
	return out
}

// TestRandomSchedules plays random pipelines with random ends, stops and deadlines to their end.
// SIGNALBOX_SEED repeats one.
func TestRandomSchedules(t *testing.T) {
	n, seed := schedules, rand.Uint64()
	if v := os.Getenv("SIGNALBOX_SEED"); v != "" {
		parsed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n, seed = 1, parsed
	}
	t.Logf("%d schedules, from SIGNALBOX_SEED=%d on", n, seed)
	for i := range n {
		schedule(seeded{t, seed + uint64(i)}, rand.New(rand.NewPCG(seed+uint64(i), 1)))
	}
}

type seeded struct {
	*testing.T
	seed uint64
}

func (s seeded) Fatalf(format string, args ...any) {
	s.Helper()
	s.T.Fatalf("SIGNALBOX_SEED=%d: "+format, append([]any{s.seed}, args...)...)
}

func schedule(t seeded, r *rand.Rand) {
	n := 1 + r.IntN(6)
	var words, blocks []string
	switch r.IntN(4) {
	case 0:
		words = append(words, "stop")
	case 1:
		words = append(words, "cancel")
	}
	if r.IntN(3) == 0 {
		words = append(words, "after")
	}
	for i := range n {
		name := string(rune('A' + i))
		b := name + ":"
		for d := range i {
			if r.IntN(3) == 0 {
				b += " " + string(rune('A'+d))
			}
		}
		blocks = append(blocks, b)
		if r.IntN(6) == 0 {
			words = append(words, "skip-"+name)
		}
		if r.IntN(6) == 0 {
			words = append(words, "limit-"+name)
		}
	}
	jobs, at := 1+r.IntN(3), now
	s := advance(t, newState(strings.Join(words, " ")+"|"+strings.Join(blocks, ";")), at, jobs, move{kind: "start"})
	for range 500 {
		all := moves(s)
		if len(all) == 0 {
			break
		}
		m := all[r.IntN(len(all))]
		if (m.kind == "stop" || m.kind == "younger" || m.kind == "time" || m.kind == "stopped") && r.IntN(10) > 0 {
			continue
		}
		at = at.Add(time.Second)
		s = advance(t, happen(s, m, &at), at, jobs, m)
	}
	if s.Pipeline.State != signalbox.PipelineDone || s.After != nil && s.After.State != signalbox.BlockDone {
		t.Fatalf("no end: %s", picture(s))
	}
}
