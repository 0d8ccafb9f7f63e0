package agent

import (
	"context"
	"crypto/rand"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
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
	result        signalbox.JobResult
	interruptedAt int64
	job           *assignment

	lastAnswer time.Time
	retry      backoff
}

// progress is what the job's goroutine tells.
type progress struct {
	state  agentapi.AgentState // running-job or finished-job
	result signalbox.JobResult
}

func (l *loop) run(ctx context.Context) (ExitReason, error) {
	t := l.agent.cfg.Timing
	l.retry = backoff{first: (t.SyncMin + t.SyncMax) / 2, limit: t.SyncRetryMax}
	l.lastAnswer = time.Now()
	defer l.endJob()
	for {
		resp, dropped, err := l.sync(ctx)
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
			if l.job == nil && time.Since(l.lastAnswer) >= t.UnableToSync {
				return ExitUnableToSync, &signalbox.Error{Code: signalbox.CodeUnavailable, Message: "The server has not answered for " + t.UnableToSync.String() + ".", Err: err}
			}
			pause = l.retry.next()
			l.agent.log.Warn("the server cannot be reached", "state", l.state, "retry", pause, "error", err)
		default:
			l.retry.reset()
			l.lastAnswer = time.Now()
			if l.job != nil {
				l.job.answered()
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
	req := agentapi.SyncRequest{State: l.state, JobID: l.jobID, JobResult: string(l.result), InterruptedAt: l.interruptedAt}
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
	l.state, l.result = m.state, m.result
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
			l.start(ctx, r.JobID)
		}
	case agentapi.ActionStopJob:
		if l.job != nil && (r.JobID == "" || r.JobID == l.jobID) && l.state != agentapi.StateFinishedJob {
			l.state = agentapi.StateStoppingJob
			l.job.stop()
		}
	case agentapi.ActionWaitForJobs:
		if l.state == agentapi.StateFinishedJob {
			l.endJob()
			l.state, l.jobID, l.result = agentapi.StateWaitingForJobs, "", ""
		}
	case agentapi.ActionShutdown:
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

func (l *loop) start(ctx context.Context, id string) {
	l.agent.log.Info("job assigned", "job", id)
	l.state, l.jobID, l.result = agentapi.StateStartingJob, id, ""
	ctx, cancel := context.WithCancel(ctx)
	as := &assignment{agent: l.agent, id: id, pushing: l.pushing, messages: l.messages, fetching: cancel, done: make(chan struct{}), left: make(chan struct{})}
	l.job = as
	go func() {
		defer close(as.done)
		defer cancel()
		result := as.run(ctx)
		l.agent.log.Info("job finished", "job", id, "result", result)
		l.messages <- progress{agentapi.StateFinishedJob, result}
	}()
}

// assignment is one job of this agent, from fetching its payload to the delivery of its log.
type assignment struct {
	agent    *Agent
	id       string
	pushing  context.Context
	messages chan<- progress
	fetching context.CancelFunc // ends the attempts to fetch the payload
	done     chan struct{}

	leaveOnce sync.Once
	left      chan struct{} // closed: the result will not be reported, so do not wait for the log

	mu       sync.Mutex
	stopped  bool
	job      *Job
	answerAt time.Time // last answer to a sync
}

// stop is remembered when the job has not begun yet.
func (as *assignment) stop() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.stopped = true
	if as.job != nil {
		as.job.Stop()
	} else {
		as.fetching()
	}
}

func (as *assignment) leave() { as.leaveOnce.Do(func() { close(as.left) }) }

func (as *assignment) answered() {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.answerAt = time.Now()
}

func (as *assignment) run(ctx context.Context) signalbox.JobResult {
	a := as.agent
	payload, err := as.fetch(ctx)
	if err != nil {
		if as.isStopped() {
			return signalbox.JobStopped
		}
		a.log.Error("the job cannot be fetched", "job", as.id, "error", err)
		return signalbox.JobFailed
	}
	name := rand.Text()
	sp, err := createSpool(a.spoolDir(), name, a.log)
	if err != nil {
		a.log.Error("the job cannot be run", "job", as.id, "error", err)
		return signalbox.JobFailed
	}
	p := &pusher{
		spool: sp, client: a.client, timing: a.cfg.Timing, log: a.log,
		meta: spoolMeta{JobID: as.id, URL: payload.Logger.URL, Token: payload.Logger.Token},
	}
	if err := sp.saveMeta(p.meta); err != nil {
		a.log.Warn("the state of a log spool cannot be saved", "error", err)
	}
	pushed := make(chan struct{})
	a.pushers.Go(func() { defer close(pushed); p.run(as.pushing) })

	opts := JobOptions{
		Shell:   executor.ShellOptions{Dir: filepath.Join(a.jobsDir(), name), Grace: a.cfg.Timing.StopGrace, Logger: a.log},
		EnvVars: a.cfg.EnvVars, Hooks: a.cfg.Hooks, NewExecutor: a.cfg.NewExecutor, Logger: a.log,
	}
	if a.cfg.Workspace != "" {
		opts.Shell.Workspace = filepath.Join(a.cfg.Workspace, name)
	}
	job := NewJob(payload, opts)
	as.mu.Lock()
	as.job = job
	if as.stopped {
		job.Stop()
	}
	as.mu.Unlock()
	as.messages <- progress{state: agentapi.StateRunningJob}
	// The context may be canceled by stop before the job began; from here on Stop is the way.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	result, err := job.Run(life, func(e agentapi.Event) error { return sp.append(as.pushing, e) })
	if err != nil {
		a.log.Error("the job was broken off", "job", as.id, "error", err)
	}
	sp.finish()
	as.awaitLog(p, pushed)
	return result
}

func (as *assignment) isStopped() bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	return as.stopped
}

// fetch gets the payload, trying again while that can help.
func (as *assignment) fetch(ctx context.Context) (*agentapi.JobPayload, error) {
	t := as.agent.cfg.Timing
	for try := 1; ; try++ {
		p, err := as.agent.client.job(ctx, as.id)
		if err == nil {
			return p, nil
		}
		// The job is not ours any more: it was stopped, or given to another agent.
		withdrawn := gone(err) || status(err) == http.StatusGone
		if withdrawn || try == t.GetJobAttempts || ctx.Err() != nil {
			return nil, err
		}
		as.agent.log.Warn("the job cannot be fetched, trying again", "job", as.id, "attempt", try, "error", err)
		if !sleep(ctx, t.GetJobPause) {
			return nil, ctx.Err()
		}
	}
}

// awaitLog returns when the log was delivered. A server that answers syncs and yet takes no log gets the result after a
// while, because an agent that is never free again helps nobody; the log is delivered when it can be.
func (as *assignment) awaitLog(p *pusher, pushed <-chan struct{}) {
	ended := time.Now()
	tick := time.NewTicker(min(time.Second, as.agent.cfg.Timing.LogRefused/4+1))
	defer tick.Stop()
	for {
		select {
		case <-pushed:
			return
		case <-as.left:
			return
		case <-tick.C:
			as.mu.Lock()
			answered := as.answerAt
			as.mu.Unlock()
			since := p.failingSince()
			if since.IsZero() {
				continue
			}
			if since.Before(ended) {
				since = ended
			}
			if time.Since(since) >= as.agent.cfg.Timing.LogRefused && answered.After(since) {
				as.agent.log.Warn("reporting the result before the log, which the server does not take", "job", as.id)
				return
			}
		}
	}
}
