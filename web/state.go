package web

import (
	"fmt"
	"slices"

	"github.com/signalbox-ci/signalbox"
)

// Lamp is how a state looks: Class names the glyph and the hue ("is-CLASS"), Word says it.
type Lamp struct {
	Class, Word string
}

// lampClasses are the glyphs of states, in the order of attention: what failed, what runs, what waits, the rest.
var lampClasses = []string{
	"failed", "timedout", "infra", "running", "stopping", "preparing", "queued", "lobby", "waiting", "stopped", "canceled",
	"passed", "reused", "skipped", "idle", "busy", "draining", "lost", "gone",
}

var faviconColours = map[string]string{
	"failed": "#d12b33", "timedout": "#d12b33", "lost": "#d12b33", "infra": "#9036b8",
	"running": "#1769e0", "preparing": "#1769e0", "busy": "#1769e0",
	"queued": "#b26a00", "draining": "#b26a00", "passed": "#16834a", "idle": "#16834a",
	"stopped": "#56606d", "stopping": "#56606d", "lobby": "#56606d",
	"waiting": "#6b7480", "canceled": "#6b7480", "skipped": "#6b7480", "reused": "#6b7480", "gone": "#6b7480",
}

var (
	lampPassed    = Lamp{"passed", "Passed"}
	lampFailed    = Lamp{"failed", "Failed"}
	lampTimedOut  = Lamp{"timedout", "Timed out"}
	lampInfra     = Lamp{"infra", "Infrastructure failure"}
	lampRunning   = Lamp{"running", "Running"}
	lampQueued    = Lamp{"queued", "Waiting for an agent"}
	lampWaiting   = Lamp{"waiting", "Not started"}
	lampStopped   = Lamp{"stopped", "Stopped"}
	lampStopping  = Lamp{"stopping", "Stopping"}
	lampCanceled  = Lamp{"canceled", "Canceled"}
	lampSkipped   = Lamp{"skipped", "Skipped"}
	lampReused    = Lamp{"reused", "Passed earlier"}
	lampPreparing = Lamp{"preparing", "Preparing"}
	lampLobby     = Lamp{"lobby", "In the lobby"}
	lampIdle      = Lamp{"idle", "Idle"}
	lampBusy      = Lamp{"busy", "Busy"}
	lampDraining  = Lamp{"draining", "Draining"}
	lampLost      = Lamp{"lost", "Lost"}
	lampAside     = Lamp{"infra", "In quarantine"}
	lampSuspect   = Lamp{"waiting", "Suspect"}
	lampGone      = Lamp{"gone", "Gone"}
	lampCutOff    = Lamp{"stopped", "Cut off"}
	lampUnknown   = Lamp{"gone", "Unknown"}
)

// Lamps are all lamps that pages show.
func Lamps() []Lamp {
	return []Lamp{
		lampPassed, lampFailed, lampTimedOut, lampInfra, lampRunning, lampQueued, lampWaiting, lampStopped, lampStopping, lampCanceled, lampSkipped, lampReused,
		lampPreparing, lampLobby, lampIdle, lampBusy, lampDraining, lampLost, lampAside, lampSuspect, lampGone, lampCutOff, lampUnknown,
	}
}

// rank orders lamps by how much attention they ask for.
func (l Lamp) rank() int {
	for i, c := range lampClasses {
		if c == l.Class {
			return i
		}
	}
	return len(lampClasses)
}

// bad tells whether the lamp means that something went wrong.
func (l Lamp) bad() bool { return l == lampFailed || l == lampTimedOut || l == lampInfra }

func failedLamp(r signalbox.Reason) Lamp {
	switch {
	case r == signalbox.ReasonTimeout:
		return lampTimedOut
	case r.Infrastructure():
		return lampInfra
	}
	return lampFailed
}

func jobLamp(j *signalbox.Job, stopping bool) Lamp {
	switch j.State {
	case signalbox.JobQueued, signalbox.JobOffered:
		return lampQueued
	case signalbox.JobRunning:
		if stopping {
			return lampStopping
		}
		return lampRunning
	}
	switch j.Result {
	case signalbox.JobPassed:
		if j.Copied {
			return lampReused
		}
		return lampPassed
	case signalbox.JobFailed:
		return failedLamp(j.Reason)
	}
	switch {
	case j.Reason == signalbox.ReasonTimeout:
		return lampTimedOut
	case j.StartedAt.IsZero():
		return lampCanceled
	}
	return lampStopped
}

func resultLamp(result signalbox.Result, reason signalbox.Reason) Lamp {
	switch result {
	case signalbox.ResultPassed:
		if reason == signalbox.ReasonSkipped {
			return lampSkipped
		}
		return lampPassed
	case signalbox.ResultFailed:
		return failedLamp(reason)
	case signalbox.ResultCanceled:
		return lampCanceled
	}
	if reason == signalbox.ReasonTimeout {
		return lampTimedOut
	}
	return lampStopped
}

func blockLamp(b *signalbox.Block) Lamp {
	switch b.State {
	case signalbox.BlockWaiting:
		return lampWaiting
	case signalbox.BlockRunning:
		return lampRunning
	case signalbox.BlockStopping:
		return lampStopping
	}
	return resultLamp(b.Result, b.Reason)
}

func pipelineLamp(p *signalbox.Pipeline) Lamp {
	switch p.State {
	case signalbox.PipelineInitializing, signalbox.PipelinePending:
		return lampPreparing
	case signalbox.PipelineQueuing:
		return lampLobby
	case signalbox.PipelineRunning:
		return lampRunning
	case signalbox.PipelineStopping:
		return lampStopping
	}
	return resultLamp(p.Result, p.Reason)
}

// workflowLamp is that of the pipeline that asks for most attention; a workflow has no state of its own.
func workflowLamp(pipelines []*signalbox.Pipeline) Lamp {
	pipelines = standing(pipelines)
	if len(pipelines) == 0 {
		return lampPreparing
	}
	best := pipelineLamp(pipelines[0])
	open := pipelines[0].State != signalbox.PipelineDone
	for _, p := range pipelines[1:] {
		l, o := pipelineLamp(p), p.State != signalbox.PipelineDone
		if o && !open || o == open && l.rank() < best.rank() {
			best, open = l, o
		}
	}
	return best
}

// standing returns the pipelines that no other one repeats: how those ended that were repeated is history.
func standing(pipelines []*signalbox.Pipeline) []*signalbox.Pipeline {
	repeated := map[string]bool{}
	for _, p := range pipelines {
		if p.Origin.RerunOf != p.ID {
			repeated[p.Origin.RerunOf] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(pipelines), func(p *signalbox.Pipeline) bool { return repeated[p.ID] })
}

// endReasons say why something ended, after "Stopped: " and the like.
var endReasons = map[signalbox.Reason]string{
	signalbox.ReasonMalformed:         "the pipeline file is not right",
	signalbox.ReasonStuck:             "it made no progress and was given up",
	signalbox.ReasonInternal:          "the server broke off. Your code is not the cause",
	signalbox.ReasonStrategy:          "a newer workflow of the branch replaced it",
	signalbox.ReasonFastFailing:       "another job failed and the pipeline asks to fail fast",
	signalbox.ReasonDeleted:           "it was deleted",
	signalbox.ReasonTimeout:           "it ran longer than its time limit",
	signalbox.ReasonAgentLost:         "the agent fell silent. Your code is not the cause",
	signalbox.ReasonAgentRestarted:    "the agent was started again and lost the job. Your code is not the cause",
	signalbox.ReasonAgentDisconnected: "the agent left with the job open. Your code is not the cause",
	signalbox.ReasonInterrupted:       "the agent's host was taken away. Your code is not the cause",
	signalbox.ReasonWithdrawn:         "no agent fetched it. Your code is not the cause",
	signalbox.ReasonStartFailed:       "the agent could not start it. Your code is not the cause",
	signalbox.ReasonImagePull:         "an image of its containers could not be pulled; the log says which. Your code is not the cause",
	signalbox.ReasonLeaseEnded:        "the agent had not reached the server for as long as its type allows. Your code is not the cause",
	signalbox.ReasonAgentError:        "the agent could not run it; the log says why. Your code is not the cause",
}

// jobWhy is the one sentence under a job that did not simply pass, "" when its lamp says it all.
func jobWhy(j *signalbox.Job, stopping bool) string {
	switch {
	case j.Copied:
		return "Taken over from an earlier run"
	case j.State == signalbox.JobQueued && j.AttemptN > 0:
		return fmt.Sprintf("Waits for an agent of %s again, after %s", clip(j.AgentType, 60), plural(j.AttemptN, "offer", "offers"))
	case j.State == signalbox.JobQueued:
		return "Waits for an agent of " + clip(j.AgentType, 60)
	case j.State == signalbox.JobOffered:
		return "Offered to an agent of " + clip(j.AgentType, 60) + ", which has not fetched it yet"
	case j.State == signalbox.JobRunning && stopping:
		return "The agent was asked to stop it"
	case j.State == signalbox.JobRunning || j.Result == signalbox.JobPassed:
		return ""
	case j.FailureReason != "":
		return clip(firstLine(j.FailureReason), 300)
	case j.Reason == signalbox.ReasonUser:
		return "Stopped by a person"
	}
	if why := endReasons[j.Reason]; why != "" {
		return jobLamp(j, false).Word + ": " + why
	}
	return ""
}

// blockWhy is the sentence at the foot of a block.
func blockWhy(b *signalbox.Block, needs []string) string {
	switch {
	case b.ErrorDescription != "":
		return clip(firstLine(b.ErrorDescription), 300)
	case b.State == signalbox.BlockWaiting && len(needs) > 0:
		return "Needs " + joinNames(needs)
	case b.State == signalbox.BlockWaiting:
		return "Waits for the pipeline"
	case b.State != signalbox.BlockDone:
		return ""
	case b.Result == signalbox.ResultPassed && b.Reason == signalbox.ReasonSkipped:
		return "Skipped: its condition did not hold"
	case b.Result == signalbox.ResultCanceled && b.Reason == signalbox.ReasonNone:
		return "Canceled: a block it needs did not pass"
	case b.Result == signalbox.ResultPassed || b.Reason == signalbox.ReasonTest:
		return ""
	case b.Reason == signalbox.ReasonUser:
		return blockLamp(b).Word + " by a person"
	}
	if why := endReasons[b.Reason]; why != "" {
		return blockLamp(b).Word + ": " + why
	}
	return ""
}

// pipelineWhy is the sentence beside a pipeline. ahead counts the pipelines before it in its queue.
func pipelineWhy(p *signalbox.Pipeline, ahead int) string {
	switch {
	case p.State == signalbox.PipelineQueuing && ahead > 0:
		return plural(ahead, "pipeline", "pipelines") + " of the same queue before it"
	case p.State == signalbox.PipelineQueuing:
		return "Waits for its turn in its queue"
	case p.State == signalbox.PipelineInitializing:
		return "The pipeline file is being read"
	case p.State == signalbox.PipelinePending:
		return "About to start"
	case p.State == signalbox.PipelineStopping:
		return "Waits for running jobs to stop"
	case p.State != signalbox.PipelineDone || p.Result == signalbox.ResultPassed:
		return ""
	case p.Reason == signalbox.ReasonUser && p.TerminatedBy != "":
		return pipelineLamp(p).Word + " by " + actorName(p.TerminatedBy)
	case p.Reason == signalbox.ReasonUser:
		return pipelineLamp(p).Word + " by a person"
	}
	if why := endReasons[p.Reason]; why != "" {
		return pipelineLamp(p).Word + ": " + why
	}
	return ""
}
