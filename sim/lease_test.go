package sim

import (
	"context"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// cut is a time in which nothing of what an agent sends arrives, or nothing of what it is answered.
type cut struct {
	from, until time.Time
	deaf        bool
}

// isCut tells what is cut off now.
func (a *agent) isCut() (mute, deaf bool) {
	for _, c := range a.cuts {
		if now := time.Now(); now.After(c.from) && now.Before(c.until) && !a.w.isCalm() {
			mute, deaf = mute || !c.deaf, deaf || c.deaf
		}
	}
	return mute, deaf
}

// keep ends a job at the end of its lease, and not a moment before.
func (a *agent) keep(ctx context.Context, j *work, ended chan struct{}) {
	for {
		a.w.mu.Lock()
		left := time.Until(j.until)
		if !j.ended && left <= 0 {
			a.end(j, signalbox.JobFailed, signalbox.ReasonLeaseEnded)
			close(ended)
			a.w.tally["lease ended"]++
		}
		over := j.ended
		a.w.mu.Unlock()
		if over || !sleep(ctx, left) {
			return
		}
	}
}

// outcome is what the commands of a job do, by its name. On a broken agent of ours they do not even begin.
func (a *agent) outcome(name string) (signalbox.JobResult, signalbox.Reason) {
	switch {
	case a.fails && a.ours && !a.mute:
		return signalbox.JobFailed, signalbox.ReasonAgentError
	case a.fails || strings.HasPrefix(name, "bad"):
		return signalbox.JobFailed, ""
	}
	return signalbox.JobPassed, ""
}
