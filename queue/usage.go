package queue

import (
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// usage is how many jobs hold agents, as limits and fairness count them.
type usage struct {
	limits       limits
	organization int
	ofType       int
	ofProject    map[string]int // on agents of every type
	ofLine       map[string]int // on agents of one type
}

// limits of how many jobs may hold agents at once, 0 is none.
type limits struct {
	organization, agentType int
}

// readUsage counts what holds agents of a type, and of all types where a limit spans them.
func readUsage(tx *store.Tx, agentType string, lines []*store.Line) (u usage, err error) {
	o, err := tx.Organization()
	if err != nil {
		return u, err
	}
	u.limits.organization = o.MaxRunningJobs
	typ, err := tx.AgentType(agentType)
	if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return u, err
	}
	if err == nil {
		u.limits.agentType = typ.MaxRunningJobs
	}
	only := agentType
	if o.MaxRunningJobs > 0 || slices.ContainsFunc(lines, func(l *store.Line) bool { return l.Limit > 0 }) {
		only = ""
	}
	active, err := tx.ActiveJobs(only)
	if err != nil {
		return u, err
	}
	u.ofProject, u.ofLine = map[string]int{}, map[string]int{}
	for _, a := range active {
		u.organization += a.Jobs
		u.ofProject[a.ProjectID] += a.Jobs
		if a.AgentType == agentType {
			u.ofType += a.Jobs
			u.ofLine[a.ProjectID] += a.Jobs
		}
	}
	return u, nil
}

// room is how many more jobs may start by the limits that all projects share.
func (u *usage) room() int {
	return min(roomOf(u.limits.organization, u.organization), roomOf(u.limits.agentType, u.ofType))
}

// Read reads what deciding about up to n free agents takes. held tells that a limit keeps jobs from starting.
func Read(tx *store.Tx, agentType string, n int) (q View, held bool, err error) {
	lines, err := tx.Lines(agentType)
	if err != nil || len(lines) == 0 {
		return q, false, err
	}
	u, err := readUsage(tx, agentType, lines)
	if err != nil {
		return q, false, err
	}
	if q.Room = u.room(); q.Room == 0 {
		return q, true, nil
	}
	for _, l := range lines {
		line := Line{ProjectID: l.ProjectID, Running: u.ofLine[l.ProjectID], Turn: l.Turn, Room: roomOf(l.Limit, u.ofProject[l.ProjectID])}
		if line.Room == 0 {
			held = true
			continue
		}
		q.Lines = append(q.Lines, line)
	}
	// Of n jobs none comes from a line behind the first n.
	slices.SortFunc(q.Lines, func(a, b Line) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	q.Lines = q.Lines[:min(len(q.Lines), max(n, minLines))]
	at := make(map[string]int, len(q.Lines))
	ids := make([]string, len(q.Lines))
	for i, l := range q.Lines {
		ids[i], at[l.ProjectID] = l.ProjectID, i
	}
	heads, err := tx.HeadsOf(agentType, ids, n)
	if err != nil {
		return q, held, err
	}
	for _, j := range heads {
		l := &q.Lines[at[j.ProjectID]]
		l.Jobs = append(l.Jobs, j)
	}
	q.Turn, err = tx.LastTurn(agentType)
	return q, held, err
}

// minLines are looked at even for one agent, because lines that never had a turn are told apart by their first jobs.
const minLines = 16

// HasRoom tells whether the limits let a queued job start.
func HasRoom(tx *store.Tx, j *signalbox.Job) (bool, error) {
	p, err := tx.Project(j.ProjectID)
	if err != nil {
		return false, err
	}
	u, err := readUsage(tx, j.AgentType, []*store.Line{{ProjectID: p.ID, Limit: p.MaxRunningJobs}})
	return err == nil && u.room() > 0 && roomOf(p.MaxRunningJobs, u.ofProject[p.ID]) > 0, err
}
