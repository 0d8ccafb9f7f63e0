package engine

import (
	"fmt"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Check compares a pipeline and its blocks with what their jobs say: nothing may follow from s that was not done, and what
// is done must be what follows from the jobs. It returns a sentence for each difference. Deadlines are left out, because
// whether one is over depends on the clock.
func Check(s State) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	c := Step(s, time.Time{})
	if c.Pipeline != nil {
		say("the pipeline is %s and should be %s (%s)", s.Pipeline.State, c.Pipeline.State, c.Why)
	}
	for _, b := range c.Blocks {
		say("block %s is %s and should be %s (%s)", b.Block.ID, b.From, b.Block.State, b.Why)
	}
	for _, j := range c.Stop {
		say("job %s is %s and should be stopped (%s)", j.Job.ID, j.Job.State, j.Reason)
	}
	st := newStepper(s, time.Time{})
	for i := range st.blocks {
		if text := st.contradiction(i); text != "" {
			say("block %s %s", st.blocks[i].ID, text)
		}
	}
	if text := st.resultContradiction(); text != "" {
		say("the pipeline %s", text)
	}
	return wrong
}

// contradiction says how a block differs from what its jobs make of it, "" when it does not.
func (st *stepper) contradiction(i int) string {
	b := &st.blocks[i]
	switch b.State {
	case signalbox.BlockWaiting:
		if n := len(st.jobs[i]); n > 0 {
			return fmt.Sprintf("waits and has %d jobs", n)
		}
		return ""
	case signalbox.BlockDone:
	default:
		return ""
	}
	if len(st.jobs[i]) == 0 {
		return ""
	}
	result, reason, ended := taskResult(st.jobs[i])
	stopped := false
	for _, j := range st.jobs[i] {
		stopped = stopped || j.Result == signalbox.JobStopped
	}
	switch {
	case !ended:
		return "is done and one of its jobs is not finished"
	case b.Result == signalbox.ResultStopped && stopped:
		return "" // whoever stopped the block decided, whatever else its jobs came to
	case b.Result != result || b.Reason != reason && result != signalbox.ResultStopped:
		return fmt.Sprintf("is %s and its jobs make it %s", why(b.Result, b.Reason), why(result, reason))
	}
	return ""
}

// resultContradiction compares the result of a pipeline that has run to its end with its blocks.
func (st *stepper) resultContradiction() string {
	if st.p.State != signalbox.PipelineDone {
		return ""
	}
	was := st.p
	if was.RunningAt.IsZero() {
		if was.Result == signalbox.ResultPassed {
			return "has passed and has never run"
		}
		return ""
	}
	if !st.allDone() {
		return "is done and one of its blocks is not"
	}
	st.p.State = signalbox.PipelineRunning
	if !was.StoppingAt.IsZero() {
		st.p.State = signalbox.PipelineStopping
	}
	st.finish()
	if st.p.Result != was.Result || st.p.Reason != was.Reason {
		return fmt.Sprintf("is %s and its blocks make it %s", why(was.Result, was.Reason), why(st.p.Result, st.p.Reason))
	}
	return ""
}
