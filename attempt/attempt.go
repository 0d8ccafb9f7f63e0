// Package attempt decides what becomes of a job, of one try of it and of the agent that the try is on, at everything that
// can happen to them: an offer, its withdrawal, a report, a stop, a loss. It reads no database and no clock: the caller
// has read the rows in one transaction, and writes what changed in the same one. That is all there is to decide about
// whether a job runs once, so a test can visit every state that messages in any order can lead to.
package attempt

import (
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Rows are a job, one attempt of it and the agent that the attempt is on. Agent is nil where agents have no rows.
type Rows struct {
	Job     *signalbox.Job
	Attempt *signalbox.Attempt
	Agent   *signalbox.Agent
}

// Note is what the history of a row that changed says; the zero Note is that of a row that did not change.
type Note struct{ What, Detail string }

// Change tells which of the rows changed, and what they must have been until then for the change to hold.
type Change struct {
	Job, Attempt, Agent Note
	JobFrom             signalbox.JobState
	AttemptFrom         signalbox.AttemptState
	Final               bool // the job's result is final since this change
}

// Offer gives a queued job to a free agent as a new attempt with an id, and changes both rows accordingly.
func Offer(j *signalbox.Job, g *signalbox.Agent, id string) *signalbox.Attempt {
	a := &signalbox.Attempt{
		ID: id, JobID: j.ID, N: j.AttemptN + 1, AgentID: g.ID, AgentName: g.Name, State: signalbox.AttemptOffered,
	}
	j.State, j.AttemptID, j.AttemptN = signalbox.JobOffered, a.ID, a.N
	g.AttemptID, g.JobID = a.ID, j.ID
	return a
}

// Withdraw takes an offer back that nobody fetched: the job returns to its place in the queue and the agent is free. An
// attempt in any other state stays as it is.
func (r Rows) Withdraw(why string, now time.Time) (c Change) {
	if r.Attempt.State != signalbox.AttemptOffered {
		return c
	}
	r.end(&c, "", signalbox.ReasonWithdrawn, now)
	if r.Job.State == signalbox.JobOffered && r.Job.AttemptID == r.Attempt.ID {
		c.JobFrom, c.Job = signalbox.JobOffered, Note{"queued again", why}
		r.Job.State = signalbox.JobQueued
	}
	return c
}

// Fetch notes that the agent has read what to run; from here on the offer cannot be withdrawn. Reading twice changes
// nothing more. It returns CodeNotFound when the attempt is over.
func (r Rows) Fetch(now time.Time) (c Change, err error) {
	switch r.Attempt.State {
	case signalbox.AttemptEnded:
		return c, signalbox.Errorf(signalbox.CodeNotFound, "the offer of job %s was withdrawn", r.Job.ID)
	case signalbox.AttemptFetched, signalbox.AttemptRunning:
		return c, nil
	}
	c.AttemptFrom, c.Attempt = signalbox.AttemptOffered, Note{What: "fetched"}
	r.Attempt.State, r.Attempt.FetchedAt = signalbox.AttemptFetched, now
	c.JobFrom, c.Job = signalbox.JobOffered, Note{"started", r.Attempt.AgentName}
	r.Job.State, r.Job.StartedAt = signalbox.JobRunning, now
	return c, nil
}

// Run notes that the agent reports the job as running. It looks at the attempt only.
// lease is how long the agent says it goes on without its server, 0 is for ever.
func (r Rows) Run(lease time.Duration, now time.Time) (c Change) {
	if r.Attempt.State != signalbox.AttemptFetched {
		return c
	}
	c.AttemptFrom, c.Attempt = signalbox.AttemptFetched, Note{What: "running"}
	r.Attempt.State, r.Attempt.RunningAt, r.Attempt.Lease = signalbox.AttemptRunning, now, lease
	return c
}

// End is how an attempt ends: with what its agent reported, or with why there will be no report.
type End struct {
	Result signalbox.JobResult
	Reason signalbox.Reason
	Detail string
	Surely bool // nothing of it runs any more: its agent keeps a lease that is over, or its machine is known to be gone
}

// Finish ends an attempt. Its agent is free, and its job becomes final, unless it is already or is to be run again. An
// attempt that has ended keeps its end: what arrives later is evidence.
func (r Rows) Finish(e End, now time.Time) (c Change) {
	a, j := r.Attempt, r.Job
	if a.State == signalbox.AttemptEnded {
		if a.LateResult == "" && a.Result != e.Result {
			c.AttemptFrom, c.Attempt = signalbox.AttemptEnded, Note{"late report: " + string(e.Result), e.Detail}
			a.LateResult = e.Result
		}
		return c
	}
	if j.State == signalbox.JobFinished {
		// Whoever stopped the job knows why; an agent that stopped did as it was told, and any other end is evidence.
		if j.Result != e.Result {
			a.LateResult = e.Result
		} else if e.Result == signalbox.JobStopped {
			e.Reason = j.Reason
		}
		r.end(&c, j.Result, e.Reason, now)
		return c
	}
	if timeUp(j, e.Result, now) {
		e.Result, e.Reason = signalbox.JobStopped, signalbox.ReasonTimeout
	}
	r.end(&c, e.Result, e.Reason, now)
	if j.AttemptID != a.ID {
		return c
	}
	c.JobFrom = j.State
	if retries(j, r.Agent, e) {
		j.State, j.StartedAt = signalbox.JobQueued, time.Time{}
		j.Retries++
		c.Job = Note{"queued again: " + string(e.Reason), e.Detail}
		return c
	}
	j.State, j.Result, j.Reason, j.FailureReason, j.FinishedAt = signalbox.JobFinished, e.Result, e.Reason, e.Detail, now
	if j.StartedAt.IsZero() && c.JobFrom == signalbox.JobRunning {
		j.StartedAt = now
	}
	c.Job, c.Final = Note{string(e.Result), e.Detail}, true
	return c
}

// Stop makes a job finished and stopped, at once and for good. Attempt and Agent are those of its newest attempt, nil
// while it is queued. Nobody has fetched an offer, so that ends with the job; an attempt that runs stays open until its
// agent has cleaned up, and the agent is told at its next contact.
func (r Rows) Stop(reason signalbox.Reason, now time.Time) (c Change) {
	j := r.Job
	if j.State == signalbox.JobFinished {
		return c
	}
	c.JobFrom, c.Job, c.Final = j.State, Note{What: "stopped: " + string(reason)}, true
	j.State, j.Result, j.Reason, j.FinishedAt = signalbox.JobFinished, signalbox.JobStopped, reason, now
	if c.JobFrom == signalbox.JobQueued {
		return c
	}
	switch a := r.Attempt; a.State {
	case signalbox.AttemptOffered:
		r.end(&c, signalbox.JobStopped, reason, now)
	case signalbox.AttemptFetched, signalbox.AttemptRunning:
		c.AttemptFrom, c.Attempt = a.State, Note{"stop requested", string(reason)}
		a.StopRequestedAt = now
	}
	return c
}

// end ends the attempt and frees its agent. An agent that must leave after this job gets no other one.
func (r Rows) end(c *Change, result signalbox.JobResult, reason signalbox.Reason, now time.Time) {
	a, g := r.Attempt, r.Agent
	c.AttemptFrom, c.Attempt = a.State, Note{What: words(result, reason)}
	a.State, a.Result, a.Reason, a.EndedAt = signalbox.AttemptEnded, result, reason, now
	if g == nil || g.AttemptID != a.ID || !g.GoneAt.IsZero() {
		return
	}
	g.AttemptID, g.JobID = "", ""
	if c.AttemptFrom != signalbox.AttemptOffered && g.SingleJob && g.DrainAt.IsZero() {
		g.DrainAt = now
	}
	c.Agent = Note{"job ended", a.JobID}
}

func words(result signalbox.JobResult, reason signalbox.Reason) string {
	switch {
	case result == "":
		return string(reason)
	case reason == signalbox.ReasonNone:
		return string(result)
	}
	return string(result) + ": " + string(reason)
}

// retries tells whether a job that ended like this is run again by itself. What its file says wins; else jobs on machines
// that serve for one job get a second try, but after a silence only when nothing can run any more on the first.
func retries(j *signalbox.Job, g *signalbox.Agent, e End) bool {
	interrupted := e.Result == signalbox.JobStopped && e.Reason == signalbox.ReasonInterrupted
	if e.Result != signalbox.JobFailed && !interrupted || !e.Reason.Infrastructure() {
		return false
	}
	if r := j.Spec.Retry; r != nil {
		return j.Retries < r.Limit && slices.Contains(r.On, e.Reason)
	}
	if g == nil || !g.Ephemeral || j.DebugOf != "" || j.Retries > 0 {
		return false
	}
	switch e.Reason {
	case signalbox.ReasonAgentLost:
		return e.Surely
	case signalbox.ReasonAgentRestarted, signalbox.ReasonAgentDisconnected, signalbox.ReasonInterrupted, signalbox.ReasonStartFailed,
		signalbox.ReasonImagePull, signalbox.ReasonAgentError, signalbox.ReasonLeaseEnded:
		return true
	}
	return false
}

// timeUp tells whether a job that reports this result has used up its time rather than done what it had to do. The one
// command of a debug job waits for as long as its limit, so either may be noticed first; it means the same.
func timeUp(j *signalbox.Job, result signalbox.JobResult, now time.Time) bool {
	return j.DebugOf != "" && result == signalbox.JobPassed && j.TimeLimit > 0 && !j.StartedAt.IsZero() && now.Sub(j.StartedAt) >= j.TimeLimit
}
