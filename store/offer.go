package store

import "github.com/signalbox-ci/signalbox"

// Offering is one attempt and the two rows that it ties together, all with the values that they are to have.
type Offering struct {
	Attempt *signalbox.Attempt
	Job     *signalbox.Job
	Agent   *signalbox.Agent
}

// OfferJobs stores attempts of queued jobs on free agents, with as many statements as one takes. A job that is not
// queued any more, or an agent that is not free, is CodeConflict and nothing happens. The agents are not woken: whoever
// holds their requests made the offer.
func (t *Tx) OfferJobs(all []Offering, actor string) error {
	if len(all) == 0 {
		return nil
	}
	var attempts, jobs, agents, events rows
	for _, o := range all {
		a, j, g := o.Attempt, o.Job, o.Agent
		if a.ID == "" {
			a.ID = signalbox.NewID()
		}
		a.OfferedAt, g.ChangedAt = t.Now, t.Now
		attempts.add(a.ID, a.JobID, a.N, a.AgentID, a.AgentName, a.State, ms(a.OfferedAt))
		jobs.add(j.ID, a.ID, a.N)
		agents.add(g.ID, a.ID, j.ID)
		events.add("attempt", a.ID, "offered", a.AgentName)
		events.add("job", j.ID, "offered", g.Name)
		events.add("agent", g.ID, "job offered", j.ID)
		if j.DebugOf != "" {
			t.Wake(KeyJob(j.ID), KeyJob(j.DebugOf))
		} else {
			t.Wake(KeyJob(j.ID), KeyPipeline(j.PipelineID), KeyWorkflow(j.WorkflowID))
		}
	}
	if _, err := t.execRows(`INSERT INTO attempt (id, job_id, n, agent_id, agent_name, state, offered_at)
		SELECT column1, column2, column3, column4, column5, column6, column7 FROM `+t.rowsFrom(text, text, number, text, text, text, number)+` AS v`,
		attempts); err != nil {
		return err
	}
	n, err := t.execRows(`UPDATE job SET state = 'offered', attempt_id = v.column2, attempt_n = v.column3
		FROM `+t.rowsFrom(text, text, number)+` AS v WHERE job.id = v.column1 AND job.state = 'queued'`, jobs)
	if err != nil {
		return err
	}
	if int(n) != len(all) {
		return signalbox.Errorf(signalbox.CodeConflict, "one of %d jobs was changed by someone else while it was offered", len(all))
	}
	n, err = t.execRows(`UPDATE agent SET attempt_id = v.column2, job_id = v.column3, changed_at = $2
		FROM `+t.rowsFrom(text, text, text)+` AS v WHERE agent.id = v.column1 AND agent.attempt_id = '' AND agent.gone_at = 0`, agents, ms(t.Now))
	if err != nil {
		return err
	}
	if int(n) != len(all) {
		return signalbox.Errorf(signalbox.CodeConflict, "one of %d agents was changed by someone else while it was offered a job", len(all))
	}
	return t.recordAll(events, actor)
}

// recordAll appends a line to the history of each of several things: noun, id, reason and detail. No thing may be named
// twice.
func (t *Tx) recordAll(lines rows, actor string) error {
	_, err := t.execRows(`INSERT INTO event (noun, id, n, at, actor, reason, detail)
		SELECT v.column1, v.column2, (SELECT COALESCE(MAX(e.n), 0) + 1 FROM event e WHERE e.noun = v.column1 AND e.id = v.column2),
			CAST($2 AS BIGINT), CAST($3 AS TEXT), v.column3, v.column4 FROM `+t.rowsFrom(text, text, text, text)+` AS v`, lines, ms(t.Now), actor)
	return err
}
