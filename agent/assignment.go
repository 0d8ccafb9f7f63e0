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

// assignment is one job of this agent, from fetching its payload to the delivery of its log.
type assignment struct {
	agent    *Agent
	id       string
	attempt  string // as the server calls this try of it; "" when it does not say
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
	lease    lease
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

// answered takes note of an answer to a sync that was sent at a time.
func (as *assignment) answered(sent instant) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.answerAt = time.Now()
	as.lease.renew(sent)
}

func (as *assignment) run(ctx context.Context) (signalbox.JobResult, signalbox.Reason) {
	defer as.release()
	a := as.agent
	payload, err := as.fetch(ctx)
	if err != nil {
		if as.isStopped() {
			return as.outcome(signalbox.JobStopped, "")
		}
		a.log.Error("the job cannot be fetched", "job", as.id, "error", err)
		return signalbox.JobFailed, signalbox.ReasonStartFailed
	}
	name := rand.Text()
	p, err := as.openSpool(name, payload)
	if err != nil {
		a.log.Error("the job cannot be run", "job", as.id, "error", err)
		return signalbox.JobFailed, signalbox.ReasonAgentError
	}
	begun := as.begin(p, name)

	o := as.options(name)
	o.Ready, o.Over = begun.wait, as.leaseOver
	o.Finished = func(result signalbox.JobResult, reason signalbox.Reason) {
		result, reason = as.outcome(result, reason)
		if begun.wait() == nil {
			if err := a.saveJob(lastJob{JobID: as.id, Attempt: as.attempt, Phase: phaseFinished, Spool: name, Result: result, Reason: reason}); err != nil {
				a.log.Error("a crash before the report would make this job a failed one", "error", err)
			}
		}
		p.spool.finish()
	}
	job := NewJob(payload, o)
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
	result, err := job.Run(life, spoolRecorder{p.spool, as.pushing})
	if err != nil {
		a.log.Error("the job was broken off", "job", as.id, "error", err)
	}
	as.awaitLog(p, begun.pushed)
	return as.outcome(result, job.Reason())
}

// openSpool makes the log of the job.
func (as *assignment) openSpool(name string, payload *agentapi.JobPayload) (*pusher, error) {
	a := as.agent
	sp, err := createSpool(a.spoolDir(), name, a.cfg.SpoolQuota, a.log)
	if err != nil {
		return nil, err
	}
	p := &pusher{
		spool: sp, client: a.client, timing: a.cfg.Timing, log: a.log,
		meta: spoolMeta{JobID: as.id, URL: payload.Logger.URL, Token: payload.Logger.Token, Upload: a.newUpload(payload)},
	}
	sp.keep = p.meta.Upload != nil
	return p, nil
}

// begun is the state of a job that is about to run, on its way to the disk.
type begun struct {
	noted  chan struct{} // closed when err is valid
	err    error
	pushed chan struct{} // closed when the log was delivered, or cannot be
}

// wait returns when it is durable that some of the job may have run.
func (b *begun) wait() error {
	<-b.noted
	return b.err
}

// begin notes that from now on some of the job may have run, and then delivers its log. The disk and the start of a
// shell take about as long, so this goes on beside the latter.
func (as *assignment) begin(p *pusher, name string) *begun {
	b := &begun{noted: make(chan struct{}), pushed: make(chan struct{})}
	as.agent.pushers.Go(func() {
		defer close(b.pushed)
		b.err = p.spool.saveMeta(p.meta)
		if b.err == nil {
			b.err = as.agent.saveJob(lastJob{JobID: as.id, Attempt: as.attempt, Phase: phaseStarted, Spool: name})
		}
		close(b.noted)
		p.run(as.pushing)
	})
	return b
}

func (as *assignment) options(name string) JobOptions {
	a := as.agent
	o := JobOptions{
		Shell:   executor.ShellOptions{Dir: filepath.Join(a.jobsDir(), name), Grace: as.grace(), User: a.jobUser, Logger: a.log, Tools: a.cfg.tools()},
		EnvVars: a.cfg.EnvVars, Hooks: a.cfg.Hooks, NewExecutor: a.cfg.NewExecutor, Logger: a.log,
		Containers: a.containers,
	}
	if a.cfg.Workspace != "" {
		o.Shell.Workspace = filepath.Join(a.cfg.Workspace, name)
	}
	return o
}

// push starts the delivery of a log.
func (as *assignment) push(p *pusher) (pushed <-chan struct{}) {
	done := make(chan struct{})
	as.agent.pushers.Go(func() { defer close(done); p.run(as.pushing) })
	return done
}

// deliver delivers a log that is complete.
func (as *assignment) deliver(p *pusher) { as.awaitLog(p, as.push(p)) }

// spoolRecorder writes the log of a job into its spool.
type spoolRecorder struct {
	spool *spool
	ctx   context.Context
}

func (r spoolRecorder) Event(e agentapi.Event) error        { return r.spool.Event(r.ctx, e) }
func (r spoolRecorder) Output(at time.Time, b []byte) error { return r.spool.Output(r.ctx, at, b) }

func (as *assignment) isStopped() bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	return as.stopped
}

// fetch gets the payload, trying again while that can help. A server that is away is waited for: it has the job, and
// gives it to another agent if it wants to.
func (as *assignment) fetch(ctx context.Context) (*agentapi.JobPayload, error) {
	t := as.agent.cfg.Timing
	for try, refused := 1, 0; ; try++ {
		p, err := as.agent.client.job(ctx, as.id, as.attempt)
		if err == nil {
			return p, nil
		}
		// The job is not ours any more: it was stopped, or given to another agent.
		withdrawn := gone(err) || status(err) == http.StatusGone
		if status(err) != 0 {
			refused++
		}
		if withdrawn || refused == t.GetJobAttempts || ctx.Err() != nil {
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
