package engine

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/attempt"
	"github.com/signalbox-ci/signalbox/store"
)

// maxRepeats is how many repeats of a pipeline or workflow are followed back for what became of the same job there.
const maxRepeats = 5

// compare notes what the end of an attempt shows about agents: about its own, and about those that the same job failed on
// before. Whoever has failed too much is set aside.
func (e *Engine) compare(tx *store.Tx, p *signalbox.Pipeline, r attempt.Rows) error {
	j, a := r.Job, r.Attempt
	if r.Agent == nil || j.DebugOf != "" || a.FetchedAt.IsZero() || a.Result != signalbox.JobPassed && a.Result != signalbox.JobFailed {
		return nil
	}
	tries, err := otherTries(tx, p, j)
	if err != nil {
		return err
	}
	others := map[string]bool{} // names of agents about which there is something new
	for _, t := range tries {
		if show := attempt.Compare(a, t); show != nil {
			a.Elsewhere = show
			if err := tx.SaveElsewhere(a.ID, show); err != nil {
				return err
			}
		}
		if show := attempt.Compare(t, a); show != nil {
			if err := tx.SaveElsewhere(t.ID, show); err != nil {
				return err
			}
			others[t.AgentName] = true
		}
	}
	if a.Result == signalbox.JobFailed || r.Agent.Quarantine != nil {
		if err := Judge(tx, r.Agent); err != nil {
			return err
		}
	}
	for name := range others {
		g, err := tx.AgentByName(name)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			continue
		}
		if err == nil {
			g, err = tx.LockAgent(g.ID)
		}
		if err == nil {
			err = Judge(tx, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Judge sets an agent aside whose newest jobs say that it should be. The caller holds its row.
func Judge(tx *store.Tx, g *signalbox.Agent) error {
	if !g.GoneAt.IsZero() || g.State != signalbox.AgentRegistered || !g.QuarantinedAt.IsZero() {
		return nil
	}
	typ, err := tx.AgentTypeByID(g.AgentTypeID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return nil // deleted; its agents leave
	}
	if err != nil || typ.Quarantine.Failures == 0 && g.Quarantine == nil {
		return err
	}
	ended, err := tx.EndedOn(g, typ.Quarantine.Of)
	if err != nil {
		return err
	}
	q := attempt.Judge(typ.Quarantine, ended, attempt.Fleet{})
	if q != nil {
		// Two of them at once must not both count on the same room.
		if _, err := tx.LockAgentTypeByID(typ.ID); err != nil {
			return err
		}
		var f attempt.Fleet
		if f.Connected, f.Quarantined, err = tx.Sick(typ.ID); err != nil {
			return err
		}
		q = attempt.Judge(typ.Quarantine, ended, f)
	}
	had := g.Quarantine
	if q == nil && had == nil {
		return nil
	}
	g.Quarantine = q
	switch {
	case q == nil:
		return tx.UpdateAgent(g, g.AttemptID, Actor, "does well again", "")
	case q.Kept == "":
		q.By, g.QuarantinedAt = Actor, tx.Now
		return tx.UpdateAgent(g, g.AttemptID, Actor, "quarantined", evidenceText(q))
	case had == nil:
		q.By = Actor
		return tx.UpdateAgent(g, g.AttemptID, Actor, "not quarantined", q.Kept+"; "+evidenceText(q))
	}
	q.By = had.By // it is known, and needs no other line in the history
	return tx.UpdateAgent(g, g.AttemptID, Actor, "", "")
}

// evidenceText is a quarantine for the history.
func evidenceText(q *signalbox.Quarantine) string {
	text := q.Why
	for _, e := range q.Evidence {
		text += "; " + e.String()
	}
	return text
}

// otherTries returns the attempts that were made of the same job: of the job itself, and of those that it stands for when its
// pipeline or workflow is a repeat. The code was the same, so only the agent makes the difference.
func otherTries(tx *store.Tx, p *signalbox.Pipeline, j *signalbox.Job) (out []*signalbox.Attempt, err error) {
	ids := []string{j.ID}
	if ids, err = earlier(tx, p, j, ids); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if id == j.ID && j.AttemptN < 2 {
			continue
		}
		tries, err := tx.Attempts(id)
		if err != nil {
			return nil, err
		}
		for _, t := range tries {
			if t.ID != j.AttemptID {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

// earlier adds the jobs that a job repeats.
func earlier(tx *store.Tx, p *signalbox.Pipeline, j *signalbox.Job, ids []string) ([]string, error) {
	w, err := tx.Workflow(p.WorkflowID)
	if err != nil || p.Origin.RerunOf == "" && w.RerunOf == "" {
		return ids, err
	}
	b, err := tx.Block(j.BlockID)
	if err != nil {
		return nil, err
	}
	for range maxRepeats {
		of := p.Origin.RerunOf
		if of == "" {
			if of, err = sameFile(tx, w.RerunOf, p); err != nil || of == "" {
				return ids, err
			}
		}
		if p, err = tx.Pipeline(of); err != nil {
			return nil, err
		}
		if p.WorkflowID != w.ID {
			if w, err = tx.Workflow(p.WorkflowID); err != nil {
				return nil, err
			}
		}
		same, err := tx.JobNamesakes(p.ID, j.Name)
		if err != nil {
			return nil, err
		}
		for _, s := range same {
			of, err := tx.Block(s.BlockID)
			if err != nil {
				return nil, err
			}
			if of.Name == b.Name && of.Kind == b.Kind {
				ids = append(ids, s.ID)
			}
		}
	}
	return ids, nil
}

// sameFile returns the newest pipeline of a workflow that was made of the same file, "" when there is none.
func sameFile(tx *store.Tx, workflowID string, p *signalbox.Pipeline) (string, error) {
	if workflowID == "" {
		return "", nil
	}
	all, err := tx.PipelinesOf(workflowID)
	found := ""
	for _, o := range all {
		if o.File == p.File && o.Origin.Promotion == p.Origin.Promotion {
			found = o.ID
		}
	}
	return found, err
}
