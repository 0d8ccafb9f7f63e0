package agent

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// loop is the conversation with the server: one sync after the other, each saying what the agent does and getting one
// instruction. All fields belong to the goroutine of run; the job's goroutine speaks through messages.
type loop struct {
	agent     *Agent
	pushing   context.Context // of log pushers that outlive their job
	messages  chan progress
	interrupt <-chan struct{} // nil once it was taken note of

	state         agentapi.AgentState
	jobID         string
	attempt       string        // which try of the job, as the server calls it
	lease         time.Duration // after how long without an answer the job ends, 0 is never
	result        signalbox.JobResult
	reason        signalbox.Reason // why it failed when its commands are not the cause
	interruptedAt int64
	job           *assignment

	asked      instant // when the sync that was answered last was sent
	lastAnswer time.Time
	retry      backoff
}

// progress is what the job's goroutine tells.
type progress struct {
	state  agentapi.AgentState // running-job or finished-job
	result signalbox.JobResult
	reason signalbox.Reason
}

func (l *loop) run(ctx context.Context) (ExitReason, error) {
	t := l.agent.cfg.Timing
	l.retry = backoff{first: (t.SyncMin + t.SyncMax) / 2, limit: t.SyncRetryMax}
	l.lastAnswer = time.Now()
	defer l.endJob()
	defer l.agent.tracker.leaving()
	for {
		resp, dropped, err := l.sync(ctx)
		l.agent.tracker.synced(dropped, err)
		if ctx.Err() != nil {
			return ExitInterrupted, nil
		}
		if dropped { // there is something to say
			continue
		}
		var pause time.Duration
		switch {
		case gone(err):
			return ExitUnableToSync, &signalbox.Error{Code: signalbox.CodeForbidden, Message: "The server no longer knows this agent: it was removed, or its token was replaced.", Err: err}
		case err != nil:
			if l.job == nil && l.interruptedAt != 0 { // a service manager waits, and there is nothing to lose
				return ExitInterrupted, nil
			}
			if l.job == nil && time.Since(l.lastAnswer) >= t.UnableToSync {
				return ExitUnableToSync, &signalbox.Error{Code: signalbox.CodeUnavailable, Message: "The server has not answered for " + t.UnableToSync.String() + ".", Err: err}
			}
			pause = l.retry.next()
			l.agent.log.Warn("the server cannot be reached", "state", l.state, "retry", pause, "error", err)
		default:
			l.retry.reset()
			l.lastAnswer = time.Now()
			if l.job != nil {
				l.job.answered(l.asked)
			}
			if reason, leave := l.obey(ctx, resp); leave {
				return reason, nil
			}
			pause = t.pause(resp.NextSyncAfter)
		}
		l.wait(ctx, pause)
	}
}

// sync sends one report. When something happens meanwhile the request is dropped, because the server may be holding
// it; an answer that came all the same is used.
func (l *loop) sync(ctx context.Context) (resp agentapi.SyncResponse, dropped bool, err error) {
	l.agent.tracker.report(l.state, l.jobID, l.result)
	req := agentapi.SyncRequest{
		State: l.state, JobID: l.jobID, JobResult: string(l.result), JobReason: string(l.reason), InterruptedAt: l.interruptedAt, Attempt: l.attempt,
		Lease: int(l.lease / time.Second), Problems: l.agent.checker.problems(),
	}
	sent := now()
	ctx, drop := context.WithCancel(ctx)
	defer drop()
	type answer struct {
		resp agentapi.SyncResponse
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		resp, err := l.agent.client.sync(ctx, req)
		done <- answer{resp, err}
	}()
	changed := false
	for {
		select {
		case a := <-done:
			if a.err == nil {
				l.asked = sent
			}
			return a.resp, changed && a.err != nil, a.err
		case m := <-l.messages:
			l.note(m)
		case <-l.interrupt:
			l.noteInterrupt()
		}
		changed = true
		drop()
	}
}

// wait pauses between two syncs, until something happens.
func (l *loop) wait(ctx context.Context, d time.Duration) {
	l.agent.tracker.expect(d)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case m := <-l.messages:
		l.note(m)
	case <-l.interrupt:
		l.noteInterrupt()
	case <-ctx.Done():
	}
}

func (l *loop) note(m progress) {
	if m.state == agentapi.StateRunningJob && l.state != agentapi.StateStartingJob {
		return // being stopped already
	}
	l.state, l.result, l.reason = m.state, m.result, m.reason
}

func (l *loop) noteInterrupt() {
	l.interrupt = nil
	l.interruptedAt = time.Now().Unix()
	l.agent.log.Info("interrupted")
}

// obey does what the server says and tells whether to leave.
func (l *loop) obey(ctx context.Context, r agentapi.SyncResponse) (ExitReason, bool) {
	switch r.Action {
	case agentapi.ActionRunJob:
		if l.state == agentapi.StateWaitingForJobs && r.JobID != "" {
			l.start(ctx, r.JobID, r.Attempt, time.Duration(r.Lease)*time.Second)
		}
	case agentapi.ActionStopJob:
		if l.job != nil && (r.JobID == "" || r.JobID == l.jobID) && l.state != agentapi.StateFinishedJob {
			l.state = agentapi.StateStoppingJob
			l.job.stop()
		}
	case agentapi.ActionWaitForJobs:
		if l.state == agentapi.StateFinishedJob {
			l.agent.forgetJob()
			l.endJob()
			l.state, l.jobID, l.attempt, l.result, l.reason, l.lease = agentapi.StateWaitingForJobs, "", "", "", "", 0
		}
	case agentapi.ActionShutdown:
		if l.state == agentapi.StateFinishedJob {
			l.agent.forgetJob()
		}
		return exitReasons[r.ShutdownReason], true
	}
	return "", false
}

var exitReasons = map[agentapi.ShutdownReason]ExitReason{
	agentapi.ShutdownIdle:        ExitIdle,
	agentapi.ShutdownJobFinished: ExitJobFinished,
	agentapi.ShutdownRequested:   ExitRequested,
	agentapi.ShutdownInterrupted: ExitInterrupted,
}

// endJob stops the job, if there is one, and waits until its processes are gone.
func (l *loop) endJob() {
	if l.job == nil {
		return
	}
	l.job.stop()
	l.job.leave() // nobody is left to report to
	for done := l.job.done; done != nil; {
		select {
		case <-done:
			done = nil
		case <-l.messages:
		}
	}
	l.job = nil
}

func (l *loop) start(ctx context.Context, id, attempt string, lease time.Duration) {
	l.agent.log.Info("job assigned", "job", id)
	l.state, l.jobID, l.attempt, l.result, l.reason, l.lease = agentapi.StateStartingJob, id, attempt, "", "", max(lease, 0)
	if err := l.agent.saveJob(lastJob{JobID: id, Attempt: attempt, Phase: phaseAssigned, Lease: l.lease}); err != nil {
		l.agent.log.Warn(err.Error())
	}
	ctx, cancel := context.WithCancel(ctx)
	as := l.assign(id, attempt, cancel)
	as.keep(l.lease, l.asked)
	go func() {
		defer close(as.done)
		defer cancel()
		result, reason := as.run(ctx)
		l.agent.log.Info("job finished", "job", id, "result", result, "reason", reason)
		l.messages <- progress{agentapi.StateFinishedJob, result, reason}
	}()
}

func (l *loop) assign(id, attempt string, cancel context.CancelFunc) *assignment {
	l.job = &assignment{agent: l.agent, id: id, attempt: attempt, pushing: l.pushing, messages: l.messages, fetching: cancel, done: make(chan struct{}), left: make(chan struct{})}
	return l.job
}

// takeUp goes on with what an earlier process left: the job that it had, and logs that it could not deliver.
func (l *loop) takeUp(ctx context.Context, j *lastJob) {
	a := l.agent
	switch {
	case j == nil:
		a.deliverLeftovers(l.pushing, "")
	case j.Phase == phaseAssigned: // nothing of it has run
		a.deliverLeftovers(l.pushing, "")
		l.asked = now()
		l.start(ctx, j.JobID, j.Attempt, j.Lease)
	default:
		a.log.Info("reporting what became of the job of an earlier process", "job", j.JobID, "result", j.Result, "reason", j.Reason)
		a.deliverLeftovers(l.pushing, j.Spool)
		l.state, l.jobID, l.attempt = agentapi.StateStoppingJob, j.JobID, j.Attempt
		as := l.assign(j.JobID, j.Attempt, func() {})
		go func() {
			defer close(as.done)
			if p := a.openLog(l.pushing, *j); p != nil {
				as.deliver(p)
			}
			l.messages <- progress{agentapi.StateFinishedJob, j.Result, j.Reason}
		}()
	}
}
