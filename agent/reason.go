package agent

import (
	"errors"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
)

// reasonOf is the typed reason of an error that kept a job from running.
func reasonOf(err error) signalbox.Reason {
	var f *executor.Failure
	if errors.As(err, &f) && f.Reason != "" {
		return f.Reason
	}
	return signalbox.ReasonAgentError
}

// blame notes why the job fails when its commands are not the cause. The first cause counts.
func (j *Job) blame(r signalbox.Reason) {
	if j.reason == signalbox.ReasonNone {
		j.reason = r
	}
}
