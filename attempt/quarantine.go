package attempt

import (
	"fmt"

	"github.com/signalbox-ci/signalbox"
)

// machine tells whether an end like this speaks against the agent, whatever the job is.
func machine(r signalbox.Reason) bool {
	switch r {
	case signalbox.ReasonStartFailed, signalbox.ReasonAgentError, signalbox.ReasonAgentRestarted:
		return true
	}
	return false
}

// Compare returns what an attempt shows about another one of the same job on another agent, nil when that is nothing: it
// passed where the other failed, or the machinery failed under both, so that the job is as likely a cause as the agents.
func Compare(a, other *signalbox.Attempt) *signalbox.Elsewhere {
	if a.Result != signalbox.JobFailed || other.AgentName == a.AgentName || other.State != signalbox.AttemptEnded {
		return nil
	}
	shows := other.Result == signalbox.JobPassed || other.Result == signalbox.JobFailed && machine(other.Reason) && machine(a.Reason)
	if !shows || a.Elsewhere != nil && (a.Elsewhere.Result == signalbox.JobPassed || a.Elsewhere.Result == other.Result) {
		return nil // or nothing new
	}
	return &signalbox.Elsewhere{Result: other.Result, JobID: other.JobID, Agent: other.AgentName}
}

// blames tells whether an agent is the cause of what became of its attempt.
func blames(a *signalbox.Attempt) bool {
	if a.Result != signalbox.JobFailed {
		return false
	}
	if a.Elsewhere != nil {
		return a.Elsewhere.Result == signalbox.JobPassed
	}
	return machine(a.Reason)
}

// Fleet is how many agents of a type are connected, and how many of them are in quarantine.
type Fleet struct{ Connected, Quarantined int }

// room tells whether one more agent may be set aside: never more than half, because a cause that all agents share must
// not take them all.
func (f Fleet) room() bool { return 2*(f.Quarantined+1) <= f.Connected }

// Judge decides from the newest attempts of an agent, newest first, whether it is to be set aside; nil is no. With Kept
// set it was to be and is not.
func Judge(rule signalbox.QuarantineRule, ended []*signalbox.Attempt, f Fleet) *signalbox.Quarantine {
	if rule.Failures <= 0 {
		return nil
	}
	ended = ended[:min(len(ended), rule.Of)]
	q := signalbox.Quarantine{}
	for _, a := range ended {
		if blames(a) {
			q.Evidence = append(q.Evidence, signalbox.Evidence{JobID: a.JobID, Attempt: a.N, Reason: a.Reason, EndedAt: a.EndedAt, Elsewhere: a.Elsewhere})
		}
	}
	if len(q.Evidence) < rule.Failures {
		return nil
	}
	q.Why = fmt.Sprintf("%d of its last %d jobs failed because of the agent", len(q.Evidence), len(ended))
	if !f.room() {
		q.Kept = fmt.Sprintf("at most half of the agents of a type are set aside: %d of %d are", f.Quarantined, f.Connected)
	}
	return &q
}
