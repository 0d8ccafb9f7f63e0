package engine

import (
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// State is everything a step looks at.
type State struct {
	Pipeline *signalbox.Pipeline
	Blocks   []*signalbox.Block // of the file, by index
	After    *signalbox.Block   // of after_pipeline, nil when there is none
	Init     *signalbox.Block   // of the initialization job, nil when there is none
	Jobs     []*signalbox.Job   // all of the pipeline, any order
	Queue    store.Queued
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
	queue   store.Queued
	plan    *signalbox.Plan
	p       signalbox.Pipeline
	why     string
	blocks  []signalbox.Block // those of the file, then those beside them
	files   int               // how many are of the file
	after   int               // index of after_pipeline's block; -1 without one
	init    int               // index of the initialization job's block; -1 without one
	was     []signalbox.BlockState
	blockBy []string // why each block changed, "" when it did not
	jobs    [][]*signalbox.Job
	start   []int
	stop    []JobStop
	ends    map[*signalbox.Job]bool // what is in stop
}

func newStepper(s State, now time.Time) *stepper {
	st := &stepper{now: now, queue: s.Queue, p: *s.Pipeline, plan: s.Pipeline.Plan, files: len(s.Blocks), after: -1, init: -1}
	if st.plan == nil {
		st.plan = &signalbox.Plan{}
	}
	at := map[string]int{}
	st.ends = map[*signalbox.Job]bool{}
	all := slices.Clone(s.Blocks)
	if s.After != nil {
		st.after = len(all)
		all = append(all, s.After)
	}
	if s.Init != nil {
		st.init = len(all)
		all = append(all, s.Init)
	}
	for i, b := range all {
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
	case signalbox.PipelineDone:
		return st.afterwards()
	}
	return false
}

func (st *stepper) beforeRunning() bool {
	if st.p.State != signalbox.PipelineInitializing && st.queue.Cancel != "" && st.p.Terminate == "" {
		st.terminate(signalbox.ReasonStrategy, "pipeline:"+st.queue.By)
	}
	if st.p.Terminate != "" {
		for i := range st.file() {
			st.endBlock(i, signalbox.ResultCanceled, st.p.TerminateReason)
		}
		st.endInitialization()
		st.endPipeline(signalbox.ResultCanceled, st.p.TerminateReason)
		return true
	}
	switch {
	case st.p.State == signalbox.PipelineInitializing:
		return st.initialization()
	case st.p.State == signalbox.PipelinePending:
		st.p.State, st.p.QueuingAt, st.why = signalbox.PipelineQueuing, st.now, "queuing"
		return true
	case st.p.State == signalbox.PipelineQueuing && (st.p.Queue.Parallel || st.queue.Ahead == 0 && st.queue.Running == 0):
		st.p.State, st.p.RunningAt, st.why = signalbox.PipelineRunning, st.now, "running"
		st.p.Deadline = st.now.Add(minutes(st.plan.TimeLimit, signalbox.DefaultPipelineTime))
		return true
	}
	return false
}

// file are the blocks of the file.
func (st *stepper) file() []signalbox.Block { return st.blocks[:st.files] }

func (st *stepper) terminate(reason signalbox.Reason, by string) {
	st.p.Terminate, st.p.TerminateReason, st.p.TerminatedBy = "stop", reason, by
}

func (st *stepper) running() bool {
	moved := false
	if st.p.State == signalbox.PipelineRunning && st.p.Terminate == "" {
		switch {
		case st.queue.Cancel == signalbox.StrategyStop:
			st.terminate(signalbox.ReasonStrategy, "pipeline:"+st.queue.By)
		case over(st.p.Deadline, st.now):
			st.terminate(signalbox.ReasonTimeout, Actor)
		}
	}
	if st.p.Terminate != "" && st.p.State == signalbox.PipelineRunning {
		st.p.State, st.p.StoppingAt, st.why = signalbox.PipelineStopping, st.now, "stopping: "+string(st.p.TerminateReason)
		moved = true
	}
	for i := range st.file() {
		moved = st.block(i) || moved
	}
	if done := st.allDone(); done {
		st.finish()
		return true
	}
	return moved
}

// afterwards moves the block of after_pipeline, which begins when everything else is done and decides nothing.
func (st *stepper) afterwards() bool {
	if st.after < 0 {
		return false
	}
	b := &st.blocks[st.after]
	switch b.State {
	case signalbox.BlockWaiting:
		st.begin(st.after)
		return true
	case signalbox.BlockRunning:
		if result, reason, ended := taskResult(st.jobs[st.after]); ended && !st.justStarted(st.after) {
			return st.endBlock(st.after, result, reason)
		}
	}
	return false
}

func over(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

func minutes(n int, otherwise time.Duration) time.Duration {
	if n == 0 {
		return otherwise
	}
	return time.Duration(n) * time.Minute
}

// begin starts a block; its jobs follow.
func (st *stepper) begin(i int) {
	b := &st.blocks[i]
	b.State, b.RunningAt, st.blockBy[i] = signalbox.BlockRunning, st.now, "running"
	if i < len(st.plan.Blocks) && st.plan.Blocks[i].TimeLimit > 0 {
		b.Deadline = st.now.Add(minutes(st.plan.Blocks[i].TimeLimit, 0))
	}
	st.start = append(st.start, i)
}

// failing tells whether a block of the file is done and has not passed.
func (st *stepper) failing() bool {
	for i := range st.file() {
		if b := &st.blocks[i]; b.State == signalbox.BlockDone && b.Result != signalbox.ResultPassed {
			return true
		}
	}
	return false
}

func (st *stepper) block(i int) bool {
	b := &st.blocks[i]
	stopping := st.p.State == signalbox.PipelineStopping
	switch b.State {
	case signalbox.BlockWaiting:
		switch {
		case stopping:
			return st.endBlock(i, signalbox.ResultCanceled, st.p.TerminateReason)
		case st.plan.FailFast != "" && st.failing():
			return st.endBlock(i, signalbox.ResultCanceled, signalbox.ReasonFastFailing)
		}
		return st.waiting(i)
	case signalbox.BlockRunning:
		if st.justStarted(i) {
			return false
		}
		if result, reason, ended := taskResult(st.jobs[i]); ended {
			return st.endBlock(i, result, reason)
		}
		switch {
		case stopping:
			return st.stopBlock(i, st.p.TerminateReason)
		case over(b.Deadline, st.now):
			return st.stopBlock(i, signalbox.ReasonTimeout)
		case st.plan.FailFast == signalbox.StrategyStop && st.failing():
			return st.stopBlock(i, signalbox.ReasonFastFailing)
		}
		return st.failFast(i)
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

func (st *stepper) stopBlock(i int, reason signalbox.Reason) bool {
	b := &st.blocks[i]
	b.State, b.TerminateReason, st.blockBy[i] = signalbox.BlockStopping, reason, "stopping: "+string(reason)
	for _, j := range st.jobs[i] {
		if j.State != signalbox.JobFinished {
			st.end(j, reason)
		}
	}
	return true
}

// failFast ends jobs of a block one of whose jobs has failed, if that is its strategy. What it leaves is looked at when
// the stopped jobs are final, in the next step.
func (st *stepper) failFast(i int) bool {
	if i >= len(st.plan.Blocks) {
		return false
	}
	strategy := st.plan.Blocks[i].FailFast
	failed := func(j *signalbox.Job) bool {
		return j.State == signalbox.JobFinished && j.Result == signalbox.JobFailed
	}
	if strategy == "" || !slices.ContainsFunc(st.jobs[i], failed) {
		return false
	}
	moved := false
	for _, j := range st.jobs[i] {
		waits := j.State == signalbox.JobQueued || j.State == signalbox.JobOffered
		if waits || strategy == signalbox.StrategyStop && j.State == signalbox.JobRunning {
			moved = st.end(j, signalbox.ReasonFastFailing) || moved
		}
	}
	return moved
}

// end ends a job, unless this step does so already.
func (st *stepper) end(j *signalbox.Job, reason signalbox.Reason) bool {
	if st.ends[j] {
		return false
	}
	st.ends[j] = true
	st.stop = append(st.stop, JobStop{Job: j, Reason: reason})
	return true
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
	for _, j := range st.jobs[i] {
		if j.State != signalbox.JobFinished && !st.ends[j] {
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
	switch {
	case !passed:
		return st.endBlock(i, signalbox.ResultCanceled, signalbox.ReasonFastFailing)
	case i < len(st.plan.Blocks) && st.plan.Blocks[i].Skip != "":
		return st.endBlock(i, signalbox.ResultPassed, signalbox.ReasonSkipped)
	}
	st.begin(i)
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
	for i := range st.file() {
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
	for i := range st.file() {
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

// taskResult is the outcome of a block's jobs once all are finished: stopped before failed before passed. Jobs that were
// ended because another one failed are not what stopped the block.
func taskResult(jobs []*signalbox.Job) (signalbox.Result, signalbox.Reason, bool) {
	var stopped, failed, test, timeout bool
	var infra signalbox.Reason
	failFast := 0
	for _, j := range jobs {
		if j.State != signalbox.JobFinished {
			return "", "", false
		}
		switch j.Result {
		case signalbox.JobStopped:
			timeout = timeout || j.Reason == signalbox.ReasonTimeout
			if j.Reason == signalbox.ReasonFastFailing {
				failFast++
			} else {
				stopped = true
			}
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
	case stopped && timeout:
		return signalbox.ResultStopped, signalbox.ReasonTimeout, true
	case stopped, failFast > 0 && !failed:
		return signalbox.ResultStopped, signalbox.ReasonNone, true
	case failed && test:
		return signalbox.ResultFailed, signalbox.ReasonTest, true
	case failed:
		return signalbox.ResultFailed, infra, true
	}
	return signalbox.ResultPassed, signalbox.ReasonNone, true
}
