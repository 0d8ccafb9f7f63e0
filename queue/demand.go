package queue

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Demand is what one agent type has to do and who is there to do it.
type Demand struct {
	AgentType string
	Queued    int
	Offered   int
	Running   int
	Desired   int           // how many agents could work now, see Desired
	Oldest    time.Duration // how long the first of the queued jobs has waited, 0 when there is none
	Agents    AgentCount
	Left      int            // agents that have disconnected and whose names are kept
	Occupied  int            // agents of any kind that have a job
	Problems  map[string]int // agents that report a problem, by its word
}

// SeenSince returns since when an agent must have been heard of, or it is suspect. Nobody is before this
// server has listened for as long as that itself, so an outage of the server starts no machines.
func SeenSince(now, started time.Time) time.Time {
	since := now.Add(-signalbox.SuspectAfter)
	if since.Before(started) {
		return time.Time{}
	}
	return since
}

// Desired returns how many agents of a type could work at once: those of the jobs that hold one, and one for each queued
// job that limits let start. What is queued is bounded first by what each project may still run, then by the room that
// the organization and the agent type have.
func Desired(holding int, lines []LineView, room int) int {
	start := 0
	for _, l := range lines {
		start += min(l.Queued, l.Room)
	}
	return holding + min(start, room)
}

// ReadDemand reads the demand of one agent type.
func ReadDemand(tx *store.Tx, t *signalbox.AgentType, seenSince time.Time) (Demand, error) {
	all, err := readDemands(tx, []*signalbox.AgentType{t}, t.Name, seenSince)
	if err != nil {
		return Demand{}, err
	}
	return all[0], nil
}

// ReadDemands reads the demand of every agent type, with a number of statements that does not depend on how many there
// are. Jobs for types that do not exist come last, together and without a name.
func ReadDemands(tx *store.Tx, seenSince time.Time) ([]Demand, error) {
	types, err := tx.AgentTypes()
	if err != nil {
		return nil, err
	}
	return readDemands(tx, types, "", seenSince)
}

func readDemands(tx *store.Tx, types []*signalbox.AgentType, only string, seenSince time.Time) ([]Demand, error) {
	o, err := tx.Organization()
	if err != nil {
		return nil, err
	}
	jobs, err := tx.JobCounts()
	if err != nil {
		return nil, err
	}
	agents, err := tx.CountAgents(only, seenSince)
	if err != nil {
		return nil, err
	}
	problems, err := tx.Problems()
	if err != nil {
		return nil, err
	}
	out := demands(tx.Now, types, o.MaxRunningJobs, jobs, agents)
	for i := range out {
		out[i].Problems = problems[out[i].AgentType]
	}
	return out, nil
}

// demands puts the counts together by type, in the order of types and one more for all others.
func demands(now time.Time, types []*signalbox.AgentType, limit int, jobs []*store.JobCount, agents []*store.AgentCount) []Demand {
	out := make([]Demand, len(types)+1)
	at := make(map[string]int, len(types))
	for i, t := range types {
		out[i].AgentType, at[t.Name] = t.Name, i
	}
	place := func(name string) int {
		if i, ok := at[name]; ok {
			return i
		}
		return len(types)
	}
	holding, ofProject := 0, map[string]int{}
	for _, c := range jobs {
		holding += c.Offered + c.Running
		ofProject[c.ProjectID] += c.Offered + c.Running
	}
	lines := make([][]LineView, len(out))
	for _, c := range jobs {
		i := place(c.AgentType)
		d := &out[i]
		d.Queued, d.Offered, d.Running = d.Queued+c.Queued, d.Offered+c.Offered, d.Running+c.Running
		if c.Queued > 0 {
			d.Oldest = max(d.Oldest, now.Sub(c.Oldest))
		}
		lines[i] = append(lines[i], LineView{Line: Line{ProjectID: c.ProjectID, Room: roomOf(c.Limit, ofProject[c.ProjectID])}, Queued: c.Queued})
	}
	for i, t := range types {
		d := &out[i]
		d.Desired = Desired(d.Offered+d.Running, lines[i], min(roomOf(limit, holding), roomOf(t.MaxRunningJobs, d.Offered+d.Running)))
	}
	for _, c := range agents {
		out[place(c.AgentType)].count(c)
	}
	return out
}

// count adds agents that are alike. The order is the one in which a job's explanation looks at an agent.
func (d *Demand) count(c *store.AgentCount) {
	if c.Busy {
		d.Occupied += c.Agents
	}
	switch {
	case c.State == signalbox.AgentDisconnected:
		d.Left += c.Agents
	case c.Disabled:
		d.Agents.Disabled += c.Agents
	case c.Interrupted, c.Draining:
		d.Agents.Draining += c.Agents
	case c.Quarantined:
		d.Agents.Aside += c.Agents
	case c.Silent:
		d.Agents.Suspect += c.Agents
	case c.Busy:
		d.Agents.Busy += c.Agents
	default:
		d.Agents.Free += c.Agents
	}
}
