package agent

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// lease ends a job whose agent has not reached the server for a while, so that the server may count on its end. The time
// runs from when the last request was sent that got an answer, by a clock that nobody can set.
type lease struct {
	length time.Duration // from that request until the processes of the job are told to end; 0 is for ever
	until  time.Time
	timer  *time.Timer
	ended  bool // it ended the job
	over   bool // the job has its result
}

// renew counts from a request that was answered.
func (l *lease) renew(sent time.Time) {
	if l.timer != nil && !l.ended && !l.over {
		l.until = sent.Add(l.length)
		l.timer.Reset(time.Until(l.until))
	}
}

// keep begins a lease. The processes must be gone when it is over, so they are told to end before.
func (as *assignment) keep(d time.Duration, sent time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if d <= 0 {
		return
	}
	as.lease.length = d - min(as.agent.cfg.Timing.StopGrace+5*time.Second, d/2)
	as.lease.until = sent.Add(as.lease.length)
	as.lease.timer = time.AfterFunc(time.Until(as.lease.until), as.leaseEnded)
}

func (as *assignment) leaseEnded() {
	as.mu.Lock()
	ends := !as.stopped && !as.lease.over && !time.Now().Before(as.lease.until) // it may have been renewed just now
	as.lease.ended = as.lease.ended || ends
	as.mu.Unlock()
	if ends {
		as.agent.log.Warn("the job ends, because the server has not answered for as long as the agent type allows", "job", as.id, "after", as.lease.length)
		as.stop()
	}
}

// leaseOver looks at the clock before a command begins: when the process was stopped, or had no processor, the end of the command before
// may be seen earlier than that of the lease.
func (as *assignment) leaseOver() bool {
	as.mu.Lock()
	late := as.lease.timer != nil && !as.lease.over && !time.Now().Before(as.lease.until)
	as.mu.Unlock()
	if late {
		as.leaseEnded()
	}
	return late
}

// outcome is the result of the job as it is to be reported, and final: one that was stopped because of the lease has failed.
func (as *assignment) outcome(result signalbox.JobResult, reason signalbox.Reason) (signalbox.JobResult, signalbox.Reason) {
	as.mu.Lock()
	defer as.mu.Unlock()
	as.lease.over = true
	if as.lease.ended && result == signalbox.JobStopped {
		return signalbox.JobFailed, signalbox.ReasonLeaseEnded
	}
	return result, reason
}

// release ends the timer.
func (as *assignment) release() {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.lease.timer != nil {
		as.lease.timer.Stop()
	}
}
