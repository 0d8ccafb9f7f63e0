package dispatch

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// View is what a decision about a sync is made from.
type View struct {
	Agent   *signalbox.Agent
	Attempt *signalbox.Attempt // the agent's open attempt, nil when it is free
	Idle    time.Duration      // how long it has been waiting-for-jobs
	Forgot  time.Duration      // how long it has been waiting although it fetched a job, 0 when it has not
	Limits  Timing
}

// Deed is what the server does because of a sync, before it answers.
type Deed string

const (
	DeedNone      Deed = ""
	DeedWithdraw  Deed = "withdraw"  // the offer goes back to the queue
	DeedRetire    Deed = "retire"    // no job may be offered any more, if none was meanwhile
	DeedForgotten Deed = "forgotten" // the agent knows nothing of the job it fetched: end it
	DeedFetched   Deed = "fetched"   // it runs what we thought was only offered
	DeedRunning   Deed = "running"   // it runs what it fetched
	DeedFinish    Deed = "finish"    // end the attempt with Verdict.Result
	DeedIgnore    Deed = "late"      // a report about something that is not its job: kept as evidence
	DeedHold      Deed = "hold"      // wait for work, or for a reason to answer
	DeedHoldBusy  Deed = "hold busy" // wait for a reason to answer a running agent, if it allows holding
)

// Verdict is the answer to a sync and the deed that goes before it.
type Verdict struct {
	Deed     Deed
	Result   signalbox.JobResult
	Reason   signalbox.Reason
	Action   agentapi.Action
	JobID    string
	Attempt  string
	Lease    time.Duration // with run-job: what the type asks of agents that can
	Shutdown agentapi.ShutdownReason
}

// Decide applies the table of the agent protocol to one sync. It is a pure function of what is known at a time.
func Decide(v View, req agentapi.SyncRequest, now time.Time) (Verdict, error) {
	switch req.State {
	case agentapi.StateWaitingForJobs:
		return decideWaiting(v, now), nil
	case agentapi.StateStartingJob, agentapi.StateStoppingJob:
		return Verdict{Action: agentapi.ActionContinue}, nil
	case agentapi.StateRunningJob:
		return decideRunning(v, req, now), nil
	case agentapi.StateFinishedJob, agentapi.StateFailedToFetchJob, agentapi.StateFailedToConstructJob, agentapi.StateFailedToSendCallback:
		return decideFinished(v, req)
	}
	return Verdict{}, signalbox.Errorf(signalbox.CodeInvalid,
		"unknown state %.60q: an agent is waiting-for-jobs, starting-job, running-job, stopping-job or finished-job", req.State)
}

// leaving returns why a free agent must go, "" when it may stay.
func leaving(a *signalbox.Agent) agentapi.ShutdownReason {
	switch {
	case !a.DisabledAt.IsZero():
		return agentapi.ShutdownRequested
	case !a.InterruptedAt.IsZero():
		return agentapi.ShutdownInterrupted
	case !a.DrainAt.IsZero() && a.SingleJob:
		return agentapi.ShutdownJobFinished
	case !a.DrainAt.IsZero():
		return agentapi.ShutdownRequested
	}
	return ""
}

func decideWaiting(v View, now time.Time) Verdict {
	bye := leaving(v.Agent)
	switch {
	case v.Attempt == nil && bye != "":
		return Verdict{Action: agentapi.ActionShutdown, Shutdown: bye}
	case v.Attempt == nil && v.Agent.IdleTimeout > 0 && v.Idle >= v.Agent.IdleTimeout:
		return Verdict{Deed: DeedRetire, Action: agentapi.ActionShutdown, Shutdown: agentapi.ShutdownIdle}
	case v.Attempt == nil:
		return Verdict{Deed: DeedHold, Action: agentapi.ActionContinue}
	case v.Attempt.State == signalbox.AttemptOffered && bye != "":
		return Verdict{Deed: DeedWithdraw, Action: agentapi.ActionShutdown, Shutdown: bye}
	case v.Attempt.State == signalbox.AttemptOffered:
		return Verdict{Action: agentapi.ActionRunJob, JobID: v.Attempt.JobID, Attempt: v.Attempt.ID, Lease: v.Agent.Lease}
	case v.Forgot >= v.Limits.ForgetAfter:
		return Verdict{Deed: DeedForgotten, Reason: signalbox.ReasonAgentRestarted, Action: agentapi.ActionContinue}
	}
	// It fetched a job and says that it waits. That may be a late copy of an old request, so one word is not enough.
	return Verdict{Action: agentapi.ActionContinue}
}

func decideRunning(v View, req agentapi.SyncRequest, now time.Time) Verdict {
	stop := Verdict{Action: agentapi.ActionStopJob, JobID: req.JobID}
	if !v.speaksOf(req.JobID, req.Attempt) {
		return stop // the job is over for us, or belongs to somebody else by now
	}
	a := v.Agent
	switch {
	case !v.Attempt.StopRequestedAt.IsZero(), !a.DisabledAt.IsZero():
		return stop
	case !a.InterruptedAt.IsZero() && now.Sub(a.InterruptedAt) >= a.GracePeriod:
		return stop
	case v.Attempt.State == signalbox.AttemptOffered:
		return Verdict{Deed: DeedFetched, Action: agentapi.ActionContinue}
	case v.Attempt.State == signalbox.AttemptFetched:
		return Verdict{Deed: DeedRunning, Action: agentapi.ActionContinue}
	}
	return Verdict{Deed: DeedHoldBusy, Action: agentapi.ActionContinue}
}

// speaksOf tells whether a report about a job is about the agent's open attempt. Agents that do not say which try they
// mean get no job twice.
func (v View) speaksOf(jobID, attemptID string) bool {
	return v.Attempt != nil && v.Attempt.JobID == jobID && (attemptID == "" || attemptID == v.Attempt.ID)
}

func decideFinished(v View, req agentapi.SyncRequest) (Verdict, error) {
	result := signalbox.JobResult(req.JobResult)
	jobID := req.JobID
	if req.State != agentapi.StateFinishedJob {
		result = signalbox.JobFailed
		if v.Attempt != nil {
			jobID = v.Attempt.JobID
		}
	}
	switch result {
	case signalbox.JobPassed, signalbox.JobFailed, signalbox.JobStopped:
	case "":
		result = signalbox.JobFailed // agents from before 2022 reported the result elsewhere
	default:
		return Verdict{}, signalbox.Errorf(signalbox.CodeInvalid, "unknown job_result %.60q: a job has passed, failed or stopped", req.JobResult)
	}
	out := Verdict{Deed: DeedIgnore, Result: result, Action: agentapi.ActionWaitForJobs, JobID: ""}
	if v.speaksOf(jobID, req.Attempt) {
		out.Deed = DeedFinish
		out.Reason = finishReason(v, req, result)
	}
	a := v.Agent
	switch {
	case out.Deed == DeedIgnore && v.Attempt != nil:
		// It has an offer that it will hear of when it waits.
	case !a.DisabledAt.IsZero():
		out.Action, out.Shutdown = agentapi.ActionShutdown, agentapi.ShutdownRequested
	case a.SingleJob:
		out.Action, out.Shutdown = agentapi.ActionShutdown, agentapi.ShutdownJobFinished
	case !a.InterruptedAt.IsZero():
		out.Action, out.Shutdown = agentapi.ActionShutdown, agentapi.ShutdownInterrupted
	case !a.DrainAt.IsZero():
		out.Action, out.Shutdown = agentapi.ActionShutdown, agentapi.ShutdownRequested
	}
	return out, nil
}

// reportable are the reasons that an agent may give for a failure itself; any other word of it is ignored.
func reportable(r signalbox.Reason) bool {
	switch r {
	case signalbox.ReasonImagePull, signalbox.ReasonAgentError, signalbox.ReasonAgentRestarted, signalbox.ReasonStartFailed, signalbox.ReasonLeaseEnded:
		return true
	}
	return false
}

// finishReason tells a failing command from machinery that failed.
func finishReason(v View, req agentapi.SyncRequest, result signalbox.JobResult) signalbox.Reason {
	switch said := signalbox.Reason(req.JobReason); {
	case result == signalbox.JobPassed:
		return signalbox.ReasonNone
	case result == signalbox.JobFailed && reportable(said):
		return said
	case result == signalbox.JobFailed && (v.Attempt.State == signalbox.AttemptOffered || req.State != agentapi.StateFinishedJob):
		return signalbox.ReasonStartFailed // nobody ever read the payload
	case result == signalbox.JobFailed:
		return signalbox.ReasonTest
	case !v.Attempt.StopRequestedAt.IsZero():
		return signalbox.ReasonUser
	case !v.Agent.InterruptedAt.IsZero():
		return signalbox.ReasonInterrupted
	case !v.Agent.DisabledAt.IsZero():
		return signalbox.ReasonUser
	}
	return signalbox.ReasonNone // the job stopped itself
}
