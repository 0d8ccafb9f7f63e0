package queue

import (
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
		if err := s.readType(tx); err != nil {
			return Explanation{}, err
		}
		if err := s.readLines(tx); err != nil {
			return Explanation{}, err
		}
	}
	return Explain(s), nil
}

func (s *Snapshot) readType(tx *store.Tx) (err error) {
	s.Type, err = tx.AgentType(s.Job.AgentType)
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
	if s.Started, err = tx.StartedOf(s.Job.AgentType); err != nil {
		return err
	}
	s.RanFor, err = tx.RanFor(s.Job.AgentType, 50)
	return err
}

func (s *Snapshot) readLines(tx *store.Tx) error {
	j := s.Job
	p, err := tx.Project(j.ProjectID)
	if err != nil {
		return err
	}
	lines, err := tx.Lines(j.AgentType)
	if err != nil {
		return err
	}
	u, err := readUsage(tx, j.AgentType, lines)
	if err != nil {
		return err
	}
	queued, err := tx.QueuedOf(j.AgentType)
	if err != nil {
		return err
	}
	var ids []string
	for _, l := range lines {
		if l.Turn == 0 {
			ids = append(ids, l.ProjectID)
		}
	}
	heads, err := tx.HeadsOf(j.AgentType, ids, 1)
	if err != nil {
		return err
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
	if s.Ahead, err = tx.AheadInLine(j); err != nil {
		return err
	}
	s.Project = p.Name
	s.Limits = []Limit{
		{"project", p.Name, p.MaxRunningJobs, u.ofProject[p.ID]},
		{"agent_type", j.AgentType, u.limits.agentType, u.ofType},
		{"organization", "", u.limits.organization, u.organization},
	}
	return nil
}
