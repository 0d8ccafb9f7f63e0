package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// setRules gives the agent type of a world a lease, a rule of quarantine, and machines for one job, or not.
func (w *world) setRules(dice *rand.Rand) {
	w.rules.Lease = []time.Duration{0, 2 * time.Minute, 2 * time.Minute, 4 * time.Minute}[dice.IntN(4)]
	w.rules.Ephemeral = dice.IntN(2) == 0
	if dice.IntN(2) == 0 {
		w.rules.Quarantine.Failures = 1 + dice.IntN(3)
		w.rules.Quarantine.Of = w.rules.Quarantine.Failures + dice.IntN(3)
	}
	w.note("lease %s, ephemeral %v, quarantine after %s", w.rules.Lease, w.rules.Ephemeral, w.rules.Quarantine)
	w.act("set the rules", func(ctx context.Context, s *server) error {
		_, err := s.fleet.ChangeType(ctx, typeName, func(t *signalbox.AgentType) error {
			t.Lease, t.Ephemeral, t.Quarantine = w.rules.Lease, w.rules.Ephemeral, w.rules.Quarantine
			return nil
		}, "user:ann")
		return err
	})
}

// overlap notes that a try began while another one of its job ran on its agent; the lock is held.
func (w *world) overlap(j, other *work, begun time.Time) {
	w.tally["job that had run before"]++
	if other.over.IsZero() || other.over.After(begun) {
		w.doubles[other.id] = j.id
		w.tally["two tries at once"]++
	}
}

// onMachines are the ends that have a job run again by itself on a machine that serves for one; a silence only with a lease.
var onMachines = []signalbox.Reason{
	signalbox.ReasonAgentRestarted, signalbox.ReasonAgentDisconnected, signalbox.ReasonInterrupted, signalbox.ReasonStartFailed,
	signalbox.ReasonAgentError, signalbox.ReasonLeaseEnded,
}

func (w *world) mostRetries(j *signalbox.Job) int {
	switch {
	case j.Spec.Retry != nil:
		return j.Spec.Retry.Limit
	case w.rules.Ephemeral:
		return 1
	}
	return 0
}

// retries tells whether a job may be run again after an attempt.
func (w *world) retries(j *signalbox.Job, a *signalbox.Attempt) bool {
	if r := j.Spec.Retry; r != nil {
		return slices.Contains(r.On, a.Reason)
	}
	return w.rules.Ephemeral && (slices.Contains(onMachines, a.Reason) || a.Reason == signalbox.ReasonAgentLost && a.Lease > 0)
}

// checkLease checks that nothing of an attempt ran when the next one began, if it was given up because of its lease.
func (w *world) checkLease(j *signalbox.Job, a *signalbox.Attempt) {
	done := w.works[a.ID]
	if a.Reason == signalbox.ReasonLeaseEnded && done != nil && done.reason != a.Reason {
		w.wrong("attempt %d of job %s ended as %s, its agent ended it with %q", a.N, j.Name, a.Reason, done.reason)
	}
	byLease := a.Reason == signalbox.ReasonLeaseEnded || a.Reason == signalbox.ReasonAgentLost && a.Lease > 0
	if a.Lease > 0 && (a.Lease != w.rules.Lease || done != nil && done.attempt == "") {
		w.wrong("attempt %d of job %s has a lease of %s, the type %s, the agent %+v", a.N, j.Name, a.Lease, w.rules.Lease, done)
	}
	if !byLease || w.jumps > 0 {
		return
	}
	w.count("job run again or not after a lease")
	forced := w.tally["people: force an agent"]+w.tally["people without an answer"] > 0
	if done != nil && !forced && (done.over.IsZero() || done.over.After(a.EndedAt.Add(time.Millisecond))) {
		w.wrong("attempt %d of job %s was given up as %s at %s, and ran until %s", a.N, j.Name, a.Reason, a.EndedAt, done.over)
	}
	if next := w.doubles[a.ID]; next != "" && (j.Spec.Retry == nil || !forced) {
		w.wrong("attempt %d of job %s was given up as %s, and ran until %s, beside attempt %s", a.N, j.Name, a.Reason, done.over, next)
	}
}

// checkQuarantine holds the evidence against an agent against what became of the attempts that it names.
func (w *world) checkQuarantine(tx *store.Tx) error {
	agents, err := tx.Agents("")
	if err != nil {
		return err
	}
	for _, g := range agents {
		if g.Quarantine == nil || g.Quarantine.By != "engine" {
			continue
		}
		w.count("agent set aside or nearly")
		if n := len(g.Quarantine.Evidence); n < w.rules.Quarantine.Failures || n > w.rules.Quarantine.Of {
			w.wrong("agent %s is set aside for %d jobs, the rule is %s", g.Name, n, w.rules.Quarantine)
		}
		for _, e := range g.Quarantine.Evidence {
			if err := w.checkEvidence(tx, g, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) checkEvidence(tx *store.Tx, g *signalbox.Agent, e signalbox.Evidence) error {
	tries, err := tx.Attempts(e.JobID)
	if err != nil || e.Attempt > len(tries) {
		w.wrong("agent %s is set aside for attempt %d of job %s: %v", g.Name, e.Attempt, e.JobID, err)
		return err
	}
	a := tries[e.Attempt-1]
	bad := a.AgentName != g.Name || a.Result != signalbox.JobFailed || a.Reason != e.Reason || a.FetchedAt.IsZero()
	if done := w.works[a.ID]; done != nil && done.result == signalbox.JobPassed && a.Reason != signalbox.ReasonAgentRestarted {
		bad = true
	}
	if e.Elsewhere == nil {
		bad = bad || !slices.Contains([]signalbox.Reason{signalbox.ReasonStartFailed, signalbox.ReasonAgentError, signalbox.ReasonAgentRestarted}, e.Reason)
	} else {
		w.count("job that passed elsewhere speaks against an agent")
		others, err := tx.Attempts(e.Elsewhere.JobID)
		if err != nil {
			return err
		}
		bad = bad || e.Elsewhere.Agent == g.Name || !slices.ContainsFunc(others, func(o *signalbox.Attempt) bool {
			return o.Result == signalbox.JobPassed && o.AgentName == e.Elsewhere.Agent
		})
	}
	if bad {
		w.wrong("agent %s is set aside for %+v, which is %+v", g.Name, e, a)
	}
	return nil
}
