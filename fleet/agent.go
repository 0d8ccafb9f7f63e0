package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/attempt"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// Action is what is done to agents.
type Action string

const (
	Drain   Action = "drain"   // finish the job, then leave
	Undrain Action = "undrain" // stay after all
	Disable Action = "disable" // stop the job through the agent, then leave; what the reference calls so
	Enable  Action = "enable"  // stay after all
	Stop    Action = "stop"    // end the job now, then leave
	Delete  Action = "delete"  // forget the agent; one with a job is refused
	Force   Action = "force"   // forget the agent, and end its job as failed
	Gone    Action = "gone"    // the same; its machine is known to be gone, so nothing of its job runs any more

	Quarantine Action = "quarantine" // it stays and gets no jobs
	Release    Action = "release"    // it gets jobs again, and what it failed so far does not count any more
)

// ParseAction reads an action's name.
func ParseAction(name string) (Action, error) {
	switch a := Action(name); a {
	case Drain, Undrain, Disable, Enable, Stop, Delete, Quarantine, Release:
		return a, nil
	}
	return "", signalbox.Errorf(signalbox.CodeInvalid, "action %.40q is not known; use drain, undrain, disable, enable, stop, quarantine, release or delete", name)
}

// Selection says which agents are meant: those named, or all of a type.
type Selection struct {
	Names     []string
	AgentType string
	OnlyIdle  bool // leave out those that have a job
}

// maxNames bounds one selection by name.
const maxNames = 1000

// chunk is how many agents one transaction changes.
const chunk = 200

// Outcome is what became of one agent. Why is "" when it was done.
type Outcome struct {
	Name string
	Why  string
}

// ChangeAgents does something to agents. An agent to which it cannot be done is told in its outcome and keeps nobody else from it.
func (f *Fleet) ChangeAgents(ctx context.Context, s Selection, action Action, actor string) ([]Outcome, error) {
	agents, missing, err := f.selected(ctx, s)
	if err != nil {
		return nil, err
	}
	outcomes := missing
	for part := range slices.Chunk(agents, chunk) {
		out, busy, err := f.change(ctx, part, s, action, actor)
		if err != nil {
			return outcomes, err
		}
		for id, attempt := range busy {
			if err := f.end(ctx, id, attempt, action, actor); err != nil {
				return outcomes, err
			}
		}
		outcomes = append(outcomes, out...)
	}
	slices.SortFunc(outcomes, func(a, b Outcome) int { return strings.Compare(a.Name, b.Name) })
	return outcomes, nil
}

// selected returns the agents that are meant and, of those named, the ones that are not there.
func (f *Fleet) selected(ctx context.Context, s Selection) (agents []*signalbox.Agent, missing []Outcome, err error) {
	switch {
	case (len(s.Names) > 0) == (s.AgentType != ""):
		return nil, nil, signalbox.Errorf(signalbox.CodeInvalid, "say which agents: either their names or one agent type")
	case len(s.Names) > maxNames:
		return nil, nil, signalbox.Errorf(signalbox.CodeInvalid, "%d names; at most %d can be given at once, or an agent type", len(s.Names), maxNames)
	}
	err = f.o.Store.Read(ctx, func(tx *store.Tx) error {
		missing = nil
		if s.AgentType != "" {
			t, err := tx.AgentType(s.AgentType)
			if err != nil {
				return err
			}
			agents, err = tx.Agents(t.ID)
			return err
		}
		if agents, err = tx.AgentsNamed(s.Names); err != nil {
			return err
		}
		found := map[string]bool{}
		for _, a := range agents {
			found[a.Name] = true
		}
		for _, n := range s.Names {
			if !found[n] {
				found[n] = true
				missing = append(missing, Outcome{Name: n, Why: fmt.Sprintf("there is no agent %.100s", n)})
			}
		}
		return nil
	})
	return agents, missing, err
}

// change writes one chunk. busy has the attempts that are to be ended next, by agent.
func (f *Fleet) change(ctx context.Context, part []*signalbox.Agent, s Selection, action Action, actor string) (out []Outcome, busy map[string]string, err error) {
	err = f.o.Store.Write(ctx, func(tx *store.Tx) error {
		out, busy = nil, map[string]string{}
		locked, err := tx.LockAgents(ids(part))
		if err != nil {
			return err
		}
		there := map[string]bool{}
		for _, a := range locked {
			there[a.ID] = true
			if s.OnlyIdle && a.AttemptID != "" {
				continue
			}
			reason, why := apply(a, action, actor, tx.Now)
			out = append(out, Outcome{Name: a.Name, Why: why})
			if (action == Stop || action == Force || action == Gone) && why == "" && a.AttemptID != "" {
				busy[a.ID] = a.AttemptID
			}
			if reason == "" {
				continue
			}
			if err := tx.UpdateAgent(a, a.AttemptID, actor, reason, ""); err != nil {
				return err
			}
		}
		for _, a := range part {
			if !there[a.ID] {
				out = append(out, Outcome{Name: a.Name, Why: "it has left meanwhile"})
			}
		}
		return nil
	})
	return out, busy, err
}

// apply changes an agent's row as an action wants. reason goes into the history, "" when nothing changes; why says why it
// cannot be done.
func apply(a *signalbox.Agent, action Action, actor string, now time.Time) (reason, why string) {
	if a.State != signalbox.AgentRegistered && action != Delete && action != Force && action != Gone {
		return "", "it has left; its name is kept for a while, delete frees it"
	}
	switch action {
	case Drain, Stop:
		if !a.DrainAt.IsZero() {
			return "", ""
		}
		a.DrainAt = now
		return "drained", ""
	case Undrain:
		switch {
		case a.DrainAt.IsZero():
			return "", ""
		case a.SingleJob && a.AttemptID == "":
			return "", "it runs one job only and has had it"
		}
		a.DrainAt = time.Time{}
		return "undrained", ""
	case Disable:
		if !a.DisabledAt.IsZero() {
			return "", ""
		}
		a.DisabledAt = now
		return "disabled", ""
	case Enable:
		if a.DisabledAt.IsZero() {
			return "", ""
		}
		a.DisabledAt = time.Time{}
		return "enabled", ""
	case Quarantine:
		if !a.QuarantinedAt.IsZero() {
			return "", ""
		}
		a.QuarantinedAt = now
		a.Quarantine = &signalbox.Quarantine{By: actor, Why: "set aside by hand"}
		return "quarantined", ""
	case Release:
		if a.Quarantine == nil {
			return "", "it is not in quarantine"
		}
		a.QuarantinedAt, a.Quarantine, a.CountsSince = time.Time{}, nil, now
		return "released", ""
	case Delete:
		if a.AttemptID != "" {
			return "", "it has a job: stop the agent first, or force it"
		}
	case Force, Gone:
		if a.AttemptID != "" {
			if !a.DrainAt.IsZero() {
				return "", ""
			}
			a.DrainAt = now
			return "drained", ""
		}
	}
	a.State, a.GoneAt = signalbox.AgentDisconnected, now
	return "deleted", ""
}

// end takes a job from an agent that gets no other one.
func (f *Fleet) end(ctx context.Context, agentID, attemptID string, action Action, actor string) error {
	over := false
	err := f.o.Store.Write(ctx, func(tx *store.Tx) error {
		over = false
		ag, err := tx.Agent(agentID)
		if err != nil {
			return err
		}
		if ag.AttemptID == attemptID && action == Stop {
			return f.o.Engine.StopJob(tx, ag.JobID, actor, signalbox.ReasonUser)
		}
		if action == Stop || !ag.GoneAt.IsZero() {
			return nil
		}
		if ag.AttemptID == attemptID {
			a, err := tx.Attempt(attemptID)
			if err != nil {
				return err
			}
			why := "agent " + ag.Name + " was deleted while it ran this job"
			if action == Gone {
				why = "the machine of agent " + ag.Name + " is gone"
			}
			if a.State == signalbox.AttemptOffered {
				err = engine.Withdraw(tx, a.ID, why, actor)
			} else {
				over = true
				err = f.o.Engine.End(tx, a.ID, attempt.End{
					Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost, Detail: why, Surely: action == Gone,
				}, actor)
			}
			if err != nil {
				return err
			}
			if ag, err = tx.Agent(agentID); err != nil {
				return err
			}
		}
		ag.State, ag.GoneAt, ag.GoneReason = signalbox.AgentDisconnected, tx.Now, signalbox.ReasonAgentLost
		return tx.UpdateAgent(ag, "", actor, "deleted", "")
	})
	if err != nil || !over {
		return err
	}
	if err := f.o.Log.Close(ctx, attemptID); err != nil {
		// The log decides nothing: should this fail, the next start of the server closes it.
		f.o.Logger.Error("could not close a log", "attempt", attemptID, "error", err)
	}
	return nil
}
