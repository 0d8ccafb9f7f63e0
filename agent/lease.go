package agent

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// lease ends a job whose agent has not reached the server for a while, so that the server may count on its end. The time
// runs from when the last request was sent that got an answer.
type lease struct {
	whole  time.Duration // as the server was told
	length time.Duration // until the processes of the job are told to end; 0 is for ever
	from   instant
	timer  *time.Timer
	ended  bool // it ended the job
	over   bool // the job has its result
}

// leaseLook is how often the end of a lease is looked for: a timer does not notice that the machine was suspended.
const leaseLook = time.Second

// instant is a point in time by two clocks.
type instant struct {
	at      time.Time
	machine time.Duration // by a clock that goes on while the machine is suspended
}

func now() instant {
	at := time.Now()
	return instant{at, machineTime(at)}
}

// until is how much time passed, by the clock that has seen more of it.
func (i instant) until(later instant) time.Duration {
	return max(later.at.Sub(i.at), later.machine-i.machine)
}

// left is what is left of a lease.
func (l *lease) left() time.Duration { return l.length - l.from.until(now()) }

// renew counts from a request that was answered.
func (l *lease) renew(sent instant) {
	if !l.ended && !l.over {
		l.from = sent
	}
}

// keep begins a lease. The processes must be gone when it is over, so they are told to end before.
func (as *assignment) keep(d time.Duration, sent instant) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if d <= 0 {
		return
	}
	as.lease.whole, as.lease.from = d, sent
	as.lease.length = d - as.grace() - min(reapTime, d/4)
	as.lease.timer = time.AfterFunc(min(as.lease.left(), leaseLook), as.leaseEnded)
}

// reapTime is what the end of a job may take beside the grace period.
const reapTime = 5 * time.Second

// grace is what the processes of the job get between SIGTERM and SIGKILL, a quarter of a lease at most: also a job that is stopped
// just before the end of its lease is over by then.
func (as *assignment) grace() time.Duration {
	grace := as.agent.cfg.Timing.StopGrace
	if d := as.lease.whole; d > 0 {
		grace = min(grace, d/4)
	}
	return grace
}

func (as *assignment) leaseEnded() {
	as.mu.Lock()
	open := !as.stopped && !as.lease.over
	left := as.lease.left()
	ends := open && left <= 0
	as.lease.ended = as.lease.ended || ends
	if open && !ends {
		as.lease.timer.Reset(min(left, leaseLook))
	}
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
	late := as.lease.timer != nil && !as.lease.over && as.lease.left() <= 0
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
