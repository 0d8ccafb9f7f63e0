package engine

import (
	"cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// initialization moves the block of the initialization job. Where the job has passed or says itself what is wrong with
// the file, the pipeline stays as it is until somebody has read what the job left.
func (st *stepper) initialization() bool {
	if st.init < 0 || st.blocks[st.init].State == signalbox.BlockDone {
		return false
	}
	result, reason, ended := taskResult(st.jobs[st.init])
	if !ended {
		return false
	}
	st.endBlock(st.init, result, reason)
	if result == signalbox.ResultPassed || reason == signalbox.ReasonTest {
		return true
	}
	if result == signalbox.ResultStopped {
		reason = cmp.Or(reason, signalbox.ReasonUser)
	}
	for _, j := range st.jobs[st.init] {
		st.p.ErrorDescription = j.FailureReason
	}
	st.endPipeline(result, reason)
	return true
}

// endInitialization ends the initialization job of a pipeline that is not wanted any more.
func (st *stepper) endInitialization() {
	if st.init < 0 {
		return
	}
	for _, j := range st.jobs[st.init] {
		if j.State != signalbox.JobFinished {
			st.end(j, st.p.TerminateReason)
		}
	}
	st.endBlock(st.init, signalbox.ResultStopped, st.p.TerminateReason)
}

// startInitialization queues the job that compiles a pipeline's file. Asking twice makes one.
func (e *Engine) startInitialization(tx *store.Tx, p *signalbox.Pipeline, job *signalbox.PlanJob) error {
	b, err := tx.BlockBeside(p.ID, signalbox.BlockInit)
	if err != nil || b != nil {
		return err
	}
	b = &signalbox.Block{PipelineID: p.ID, Kind: signalbox.BlockInit, Index: signalbox.InitIndex, State: signalbox.BlockRunning, RunningAt: tx.Now}
	if err := tx.CreateBlock(b); err != nil {
		return err
	}
	if err := tx.Record("pipeline", p.ID, Actor, "initialization job started", ""); err != nil {
		return err
	}
	_, err = e.startJob(tx, newJob(p, b, 0, job), e.permits(tx, p.ProjectID, p.WorkflowID))
	return err
}

// Initialized returns the initialization job of a pipeline and its block, nil where there is none.
func Initialized(tx *store.Tx, pipelineID string) (*signalbox.Block, *signalbox.Job, error) {
	b, err := tx.BlockBeside(pipelineID, signalbox.BlockInit)
	if err != nil || b == nil {
		return nil, nil, err
	}
	jobs, err := blockJobs(tx, pipelineID, b.ID)
	if err != nil || len(jobs) == 0 {
		return b, nil, err
	}
	return b, jobs[0], nil
}
