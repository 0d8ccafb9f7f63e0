package signalbox

import (
	"fmt"
	"time"
)

// QuarantineRule says when an agent is set aside: when so many of its last jobs failed because of the agent. The zero
// value sets nobody aside.
type QuarantineRule struct {
	Failures int
	Of       int
}

// DefaultQuarantine is the rule of agent types that say nothing else.
var DefaultQuarantine = QuarantineRule{Failures: 3, Of: 5}

// MaxQuarantineJobs bounds how many jobs of an agent are looked at.
const MaxQuarantineJobs = 50

func (q QuarantineRule) validate() error {
	if q == (QuarantineRule{}) {
		return nil
	}
	if q.Failures < 1 || q.Of < q.Failures || q.Of > MaxQuarantineJobs {
		return Errorf(CodeInvalid, "quarantine after %d of %d jobs makes no sense: the first number is 1 or more, the second not smaller and at most %d; 0 of 0 is never",
			q.Failures, q.Of, MaxQuarantineJobs)
	}
	return nil
}

func (q QuarantineRule) String() string {
	if q.Failures == 0 {
		return "never"
	}
	return fmt.Sprintf("%d of %d jobs", q.Failures, q.Of)
}

// Quarantine is why an agent is set aside, or was to be and is not.
type Quarantine struct {
	By       string     `json:"by"`             // who decided
	Why      string     `json:"why"`            // one sentence
	Kept     string     `json:"kept,omitempty"` // why it gets jobs all the same; "" when it does not
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Evidence is a job that failed because of its agent.
type Evidence struct {
	JobID     string     `json:"job_id"`
	Attempt   int        `json:"attempt"`
	Reason    Reason     `json:"reason"`
	EndedAt   time.Time  `json:"ended_at"`
	Elsewhere *Elsewhere `json:"elsewhere,omitempty"` // nil when the reason says it all
}

// Elsewhere is what became of the same job on another agent: another attempt of it, or the job of the same name in the
// same file when its pipeline or workflow was repeated, so the code is the same.
type Elsewhere struct {
	Result JobResult `json:"result"`
	JobID  string    `json:"job_id"`
	Agent  string    `json:"agent"`
}

func (e Evidence) String() string {
	s := "job " + e.JobID + " failed"
	if e.Reason != ReasonNone {
		s += " (" + string(e.Reason) + ")"
	}
	if e.Elsewhere != nil && e.Elsewhere.Result == JobPassed {
		s += " and passed on " + e.Elsewhere.Agent
		if e.Elsewhere.JobID != e.JobID {
			s += " as job " + e.Elsewhere.JobID
		}
	}
	return s
}
