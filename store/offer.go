package store

import (
	"strings"

	"github.com/signalbox-ci/signalbox"
)

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
	var attempts, jobs, agents, events values
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
	if _, err := t.exec(`INSERT INTO attempt (id, job_id, n, agent_id, agent_name, state, offered_at) VALUES `+attempts.text(0), attempts.args...); err != nil {
		return err
	}
	n, err := t.exec(`UPDATE job SET state = 'offered', attempt_id = v.column2, attempt_n = CAST(v.column3 AS INTEGER)
		FROM (VALUES `+jobs.text(0, 2)+`) AS v WHERE job.id = v.column1 AND job.state = 'queued'`, jobs.args...)
	if err != nil {
		return err
	}
	if int(n) != len(all) {
		return signalbox.Errorf(signalbox.CodeConflict, "one of %d jobs was changed by someone else while it was offered", len(all))
	}
	n, err = t.exec(`UPDATE agent SET attempt_id = v.column2, job_id = v.column3, changed_at = $1
		FROM (VALUES `+agents.text(1)+`) AS v WHERE agent.id = v.column1 AND agent.attempt_id = '' AND agent.gone_at = 0`,
		append([]any{ms(t.Now)}, agents.args...)...)
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
func (t *Tx) recordAll(lines values, actor string) error {
	_, err := t.exec(`INSERT INTO event (noun, id, n, at, actor, reason, detail)
		SELECT v.column1, v.column2, (SELECT COALESCE(MAX(e.n), 0) + 1 FROM event e WHERE e.noun = v.column1 AND e.id = v.column2),
			CAST($1 AS BIGINT), CAST($2 AS TEXT), v.column3, v.column4 FROM (VALUES `+lines.text(2)+`) AS v`,
		append([]any{ms(t.Now), actor}, lines.args...)...)
	return err
}

// values are rows of one shape for a VALUES list.
type values struct {
	width int
	args  []any
}

func (v *values) add(row ...any) {
	v.width = len(row)
	v.args = append(v.args, row...)
}

// text returns the list with placeholders that begin after some that are used already. PostgreSQL takes placeholders
// in a VALUES list of a FROM clause for text; columns that are numbers have to be named.
func (v *values) text(after int, numbers ...int) string {
	var b strings.Builder
	for i := 0; i < len(v.args); i += v.width {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for c := range v.width {
			if c > 0 {
				b.WriteString(", ")
			}
			p := list(after+i+c+1, 1)
			for _, number := range numbers {
				if c == number {
					p = "CAST(" + p + " AS BIGINT)"
				}
			}
			b.WriteString(p)
		}
		b.WriteByte(')')
	}
	return b.String()
}
