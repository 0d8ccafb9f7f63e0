package engine

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// State is everything a step looks at.
type State struct {
	Pipeline *signalbox.Pipeline
	Blocks   []*signalbox.Block // by index
	Jobs     []*signalbox.Job   // all of the pipeline, any order
	Ahead    int                // older pipelines of the same queue that are not done
}

// Changes is what follows from a State: new values for the pipeline and blocks, blocks whose jobs are to be created and
// jobs to be stopped.
type Changes struct {
	Pipeline *signalbox.Pipeline // nil when it stays as it is
	Why      string
	Blocks   []BlockChange
	Start    []*signalbox.Block
	Stop     []JobStop
}

// BlockChange is a block's new value, the state it must still have, and the reason for its history.
type BlockChange struct {
	Block *signalbox.Block
	From  signalbox.BlockState
	Why   string
}

// JobStop asks for the end of a job.
type JobStop struct {
	Job    *signalbox.Job
	Reason signalbox.Reason
}

// Step returns all changes that follow from s at a time, until nothing more follows. It reads no clock and changes
// nothing it was given.
func Step(s State, now time.Time) Changes {
	st := newStepper(s, now)
	for st.pass() {
	}
	return st.changes()
}

type stepper struct {
	now     time.Time
	ahead   int
	p       signalbox.Pipeline
	why     string
	blocks  []signalbox.Block
	was     []signalbox.BlockState
	blockBy []string // why each block changed, "" when it did not
	jobs    [][]*signalbox.Job
	start   []int
	stop    []JobStop
}

func newStepper(s State, now time.Time) *stepper {
	st := &stepper{now: now, ahead: s.Ahead, p: *s.Pipeline}
	at := map[string]int{}
	for i, b := range s.Blocks {
		st.blocks = append(st.blocks, *b)
		st.was = append(st.was, b.State)
		at[b.ID] = i
	}
	st.blockBy = make([]string, len(st.blocks))
	st.jobs = make([][]*signalbox.Job, len(st.blocks))
	for _, j := range s.Jobs {
		if i, ok := at[j.BlockID]; ok {
			st.jobs[i] = append(st.jobs[i], j)
		}
	}
	return st
}

func (st *stepper) changes() Changes {
	var c Changes
	if st.why != "" {
		c.Pipeline, c.Why = &st.p, st.why
	}
	for i, why := range st.blockBy {
		if why != "" {
			c.Blocks = append(c.Blocks, BlockChange{Block: &st.blocks[i], From: st.was[i], Why: why})
		}
	}
	for _, i := range st.start {
		c.Start = append(c.Start, &st.blocks[i])
	}
	c.Stop = st.stop
	return c
}

// pass makes one round and tells whether anything changed.
func (st *stepper) pass() bool {
	switch st.p.State {
	case signalbox.PipelineInitializing, signalbox.PipelinePending, signalbox.PipelineQueuing:
		return st.beforeRunning()
	case signalbox.PipelineRunning, signalbox.PipelineStopping:
		return st.running()
	}
	return false
}

func (st *stepper) beforeRunning() bool {
	if st.p.Terminate != "" {
		for i := range st.blocks {
			st.endBlock(i, signalbox.ResultCanceled, st.p.TerminateReason)
		}
		st.endPipeline(signalbox.ResultCanceled, st.p.TerminateReason)
		return true
	}
	switch {
	case st.p.State == signalbox.PipelinePending:
		st.p.State, st.p.QueuingAt, st.why = signalbox.PipelineQueuing, st.now, "queuing"
		return true
	case st.p.State == signalbox.PipelineQueuing && st.ahead == 0:
		st.p.State, st.p.RunningAt, st.why = signalbox.PipelineRunning, st.now, "running"
		return true
	}
	return false
}

func (st *stepper) running() bool {
	moved := false
	if st.p.Terminate == "stop" && st.p.State == signalbox.PipelineRunning {
		st.p.State, st.p.StoppingAt, st.why = signalbox.PipelineStopping, st.now, "stopping: "+string(st.p.TerminateReason)
		moved = true
	}
	for i := range st.blocks {
		moved = st.block(i) || moved
	}
	if done := st.allDone(); done {
		st.finish()
		return true
	}
	return moved
}

func (st *stepper) block(i int) bool {
	b := &st.blocks[i]
	stopping := st.p.State == signalbox.PipelineStopping
	switch b.State {
	case signalbox.BlockWaiting:
		if stopping {
			return st.endBlock(i, signalbox.ResultCanceled, st.p.TerminateReason)
		}
		return st.waiting(i)
	case signalbox.BlockRunning:
		if result, reason, ended := taskResult(st.jobs[i]); ended && !st.justStarted(i) {
			return st.endBlock(i, result, reason)
		}
		if stopping {
			b.State, b.TerminateReason, st.blockBy[i] = signalbox.BlockStopping, st.p.TerminateReason, "stopping: "+string(st.p.TerminateReason)
			for _, j := range st.jobs[i] {
				if j.State != signalbox.JobFinished {
					st.stop = append(st.stop, JobStop{Job: j, Reason: st.p.TerminateReason})
				}
			}
			return true
		}
	case signalbox.BlockStopping:
		if result, reason, ended := taskResult(st.jobs[i]); ended {
			if result == signalbox.ResultStopped {
				reason = b.TerminateReason
			}
			return st.endBlock(i, result, reason)
		}
		// Jobs that this step is about to stop are final in the same transaction.
		if len(st.stop) > 0 && st.willAllEnd(i) {
			return st.endBlock(i, signalbox.ResultStopped, b.TerminateReason)
		}
	}
	return false
}

func (st *stepper) justStarted(i int) bool {
	for _, k := range st.start {
		if k == i {
			return true
		}
	}
	return false
}

func (st *stepper) willAllEnd(i int) bool {
	stopped := map[*signalbox.Job]bool{}
	for _, s := range st.stop {
		stopped[s.Job] = true
	}
	for _, j := range st.jobs[i] {
		if j.State != signalbox.JobFinished && !stopped[j] {
			return false
		}
	}
	return true
}

func (st *stepper) waiting(i int) bool {
	b := &st.blocks[i]
	passed := true
	for _, d := range b.Dependencies {
		dep := &st.blocks[d]
		if dep.State != signalbox.BlockDone {
			return false
		}
		passed = passed && dep.Result == signalbox.ResultPassed
	}
	if !passed {
		return st.endBlock(i, signalbox.ResultCanceled, signalbox.ReasonFastFailing)
	}
	b.State, b.RunningAt, st.blockBy[i] = signalbox.BlockRunning, st.now, "running"
	st.start = append(st.start, i)
	return true
}

// endBlock ends a block that is not done yet.
func (st *stepper) endBlock(i int, result signalbox.Result, reason signalbox.Reason) bool {
	b := &st.blocks[i]
	if b.State == signalbox.BlockDone {
		return false
	}
	b.State, b.Result, b.Reason, b.DoneAt = signalbox.BlockDone, result, reason, st.now
	st.blockBy[i] = why(result, reason)
	return true
}

func (st *stepper) endPipeline(result signalbox.Result, reason signalbox.Reason) {
	st.p.State, st.p.Result, st.p.Reason, st.p.DoneAt = signalbox.PipelineDone, result, reason, st.now
	st.why = why(result, reason)
}

func why(result signalbox.Result, reason signalbox.Reason) string {
	if reason == signalbox.ReasonNone {
		return string(result)
	}
	return string(result) + ": " + string(reason)
}

func (st *stepper) allDone() bool {
	for i := range st.blocks {
		if st.blocks[i].State != signalbox.BlockDone {
			return false
		}
	}
	return true
}

// finish gives the pipeline the result of the block that first ended without passing.
func (st *stepper) finish() {
	if st.p.State == signalbox.PipelineStopping {
		st.endPipeline(signalbox.ResultStopped, st.p.TerminateReason)
		return
	}
	var first *signalbox.Block
	for i := range st.blocks {
		b := &st.blocks[i]
		if b.Result != signalbox.ResultPassed && (first == nil || endedBefore(b, first)) {
			first = b
		}
	}
	if first == nil {
		st.endPipeline(signalbox.ResultPassed, signalbox.ReasonNone)
		return
	}
	st.endPipeline(first.Result, first.Reason)
}

// endedBefore orders blocks by their end. A block that was canceled in the same step as the one that caused it has
// the same time and counts as later.
func endedBefore(a, b *signalbox.Block) bool {
	if !a.DoneAt.Equal(b.DoneAt) {
		return a.DoneAt.Before(b.DoneAt)
	}
	if ac, bc := a.Result == signalbox.ResultCanceled, b.Result == signalbox.ResultCanceled; ac != bc {
		return bc
	}
	return a.Index < b.Index
}

// taskResult is the outcome of a block's jobs once all are finished: stopped before failed before passed.
func taskResult(jobs []*signalbox.Job) (signalbox.Result, signalbox.Reason, bool) {
	var stopped, failed, test bool
	var infra signalbox.Reason
	for _, j := range jobs {
		if j.State != signalbox.JobFinished {
			return "", "", false
		}
		switch j.Result {
		case signalbox.JobStopped:
			stopped = true
		case signalbox.JobFailed:
			failed = true
			if !j.Reason.Infrastructure() {
				test = true
			} else if infra == "" {
				infra = j.Reason
			}
		}
	}
	switch {
	case stopped:
		return signalbox.ResultStopped, signalbox.ReasonNone, true
	case failed && test:
		return signalbox.ResultFailed, signalbox.ReasonTest, true
	case failed:
		return signalbox.ResultFailed, infra, true
	}
	return signalbox.ResultPassed, signalbox.ReasonNone, true
}
