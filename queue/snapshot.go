package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// ExplainJob answers why a job waits, from what is stored. started is when this server did, the zero time when that is no
// matter.
func ExplainJob(tx *store.Tx, j *signalbox.Job, started time.Time) (Explanation, error) {
	s := Snapshot{Now: tx.Now, Job: j, Server: started}
	if j.AttemptID != "" {
		at, err := tx.Attempt(j.AttemptID)
		if err != nil {
			return Explanation{}, err
		}
		s.Agent = at.AgentName
	}
	if j.State == signalbox.JobQueued {
		if err := s.readType(tx, j.AgentType); err != nil {
			return Explanation{}, err
		}
		u, err := s.readLines(tx, j.AgentType)
		if err != nil {
			return Explanation{}, err
		}
		p, err := tx.Project(j.ProjectID)
		if err != nil {
			return Explanation{}, err
		}
		s.limit(p, u)
		if s.Ahead, err = tx.AheadInLine(j); err != nil {
			return Explanation{}, err
		}
	}
	return Explain(s), nil
}

// Waiting is a queued job and why it waits.
type Waiting struct {
	Job *signalbox.Job
	Why Explanation
}

// ExplainWaiting answers for the first n jobs that wait for an agent type, of every project at most n, in the order in which they
// are expected to start. It reads what they share once.
func ExplainWaiting(tx *store.Tx, agentType string, n int, started time.Time) ([]Waiting, error) {
	waiting, err := tx.WaitingOf(agentType, n)
	if err != nil || len(waiting) == 0 {
		return nil, err
	}
	s := Snapshot{Now: tx.Now, Server: started}
	if err := s.readType(tx, agentType); err != nil {
		return nil, err
	}
	u, err := s.readLines(tx, agentType)
	if err != nil {
		return nil, err
	}
	projects := map[string]*signalbox.Project{}
	out := make([]Waiting, len(waiting))
	for i, w := range waiting {
		p := projects[w.Job.ProjectID]
		if p == nil {
			if p, err = tx.Project(w.Job.ProjectID); err != nil {
				return nil, err
			}
			projects[p.ID] = p
		}
		s.Job, s.Ahead = &w.Job, w.Ahead
		s.limit(p, u)
		out[i] = Waiting{&w.Job, Explain(s)}
	}
	slices.SortStableFunc(out, func(a, b Waiting) int { return cmp.Compare(a.Why.Position, b.Why.Position) })
	return out, nil
}

func (s *Snapshot) readType(tx *store.Tx, agentType string) (err error) {
	s.Type, err = tx.AgentType(agentType)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		all, err := tx.AgentTypes()
		for _, t := range all {
			s.Types = append(s.Types, t.Name)
		}
		return err
	}
	if err != nil {
		return err
	}
	agents, err := tx.Agents(s.Type.ID)
	if err != nil {
		return err
	}
	seen, err := tx.SeenOfType(s.Type.ID)
	if err != nil {
		return err
	}
	for _, a := range agents {
		s.Agents = append(s.Agents, AgentView{Agent: a, Seen: seen[a.ID]})
	}
	if len(agents) == 0 {
		s.Gone, err = tx.LastGone(s.Type.ID)
		return err
	}
	if s.Started, err = tx.StartedOf(agentType); err != nil {
		return err
	}
	s.RanFor, err = tx.RanFor(agentType, 50)
	return err
}

func (s *Snapshot) readLines(tx *store.Tx, agentType string) (u usage, err error) {
	lines, err := tx.Lines(agentType)
	if err != nil {
		return u, err
	}
	if u, err = readUsage(tx, agentType, lines); err != nil {
		return u, err
	}
	queued, err := tx.QueuedOf(agentType)
	if err != nil {
		return u, err
	}
	var ids []string
	for _, l := range lines {
		if l.Turn == 0 {
			ids = append(ids, l.ProjectID)
		}
	}
	heads, err := tx.HeadsOf(agentType, ids, 1)
	if err != nil {
		return u, err
	}
	head := map[string][]*store.QueuedJob{}
	for _, h := range heads {
		head[h.ProjectID] = []*store.QueuedJob{h}
	}
	for _, l := range lines {
		s.Lines = append(s.Lines, LineView{
			Line:   Line{ProjectID: l.ProjectID, Running: u.ofLine[l.ProjectID], Turn: l.Turn, Room: roomOf(l.Limit, u.ofProject[l.ProjectID]), Jobs: head[l.ProjectID]},
			Queued: queued[l.ProjectID],
		})
	}
	return u, nil
}

// limit sets the limits that hold for jobs of a project.
func (s *Snapshot) limit(p *signalbox.Project, u usage) {
	s.Project = p.Name
	s.Limits = []Limit{
		{"project", p.Name, p.MaxRunningJobs, u.ofProject[p.ID]},
		{"agent_type", s.Job.AgentType, u.limits.agentType, u.ofType},
		{"organization", "", u.limits.organization, u.organization},
	}
}
