package store

import (
	"maps"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
)

const agentColumns = `a.id, a.agent_type_id, y.name, y.ephemeral, y.lease_ms, a.name, a.state, a.version, a.user_agent, a.os, a.arch, a.hostname, a.pid, a.ip, a.single_job, a.idle_timeout_s, a.grace_period_s, a.labels, a.token_id, a.attempt_id, a.job_id, a.disabled_at, a.drain_at, a.interrupted_at, a.gone_reason, a.quarantined_at, a.quarantine, a.counts_since, a.problems, a.problems_at, a.created_at, a.gone_at, a.changed_at`

const agentFrom = ` FROM agent a JOIN agent_type y ON y.id = a.agent_type_id `

func scanAgent(s scanner, a *signalbox.Agent) error {
	return s.Scan(&a.ID, &a.AgentTypeID, &a.AgentType, &a.Ephemeral, span{&a.Lease, time.Millisecond}, &a.Name, &a.State, &a.Version, &a.UserAgent, &a.OS, &a.Arch, &a.Hostname,
		&a.PID, &a.IP, &a.SingleJob, span{&a.IdleTimeout, time.Second}, span{&a.GracePeriod, time.Second}, doc{&a.Labels}, &a.TokenID, &a.AttemptID, &a.JobID,
		at{&a.DisabledAt}, at{&a.DrainAt}, at{&a.InterruptedAt}, &a.GoneReason, at{&a.QuarantinedAt}, doc{&a.Quarantine},
		at{&a.CountsSince}, doc{&a.Problems}, at{&a.ProblemsAt}, at{&a.CreatedAt}, at{&a.GoneAt}, at{&a.ChangedAt})
}

// CreateAgent stores an agent that has just registered, with the hash of its access token.
func (t *Tx) CreateAgent(a *signalbox.Agent, hash string) error {
	created, err := t.CreateAgents([]*signalbox.Agent{a}, []string{hash})
	if err == nil && !created[a.Name] {
		err = signalbox.Errorf(signalbox.CodeConflict, "an agent named %q is registered already", a.Name)
	}
	return err
}

// CreateAgents stores agents that have just registered, with the hashes of their access tokens, with as many statements as one
// takes. It returns the names of those that it stored: the others are in use.
func (t *Tx) CreateAgents(agents []*signalbox.Agent, hashes []string) (created map[string]bool, err error) {
	if len(agents) == 0 {
		return nil, nil
	}
	t.Wake(AnyAgent)
	var all, seen, events rows
	for i, a := range agents {
		if a.ID == "" {
			a.ID = signalbox.NewID()
		}
		a.CreatedAt, a.ChangedAt = t.Now, t.Now
		labels := ""
		if len(a.Labels) > 0 {
			if labels, err = toJSON(a.Labels); err != nil {
				return nil, err
			}
		}
		quarantine, problems, err := health(a)
		if err != nil {
			return nil, err
		}
		all.add(a.ID, a.AgentTypeID, a.Name, hashes[i], a.State, a.Version, a.UserAgent, a.OS, a.Arch, a.Hostname, a.PID, a.IP, a.SingleJob,
			int64(a.IdleTimeout/time.Second), int64(a.GracePeriod/time.Second), labels, a.TokenID, a.AttemptID, a.JobID,
			ms(a.QuarantinedAt), quarantine, ms(a.CountsSince), problems, ms(a.ProblemsAt), ms(a.CreatedAt), ms(a.ChangedAt))
	}
	from := t.rowsFrom(text, text, text, text, text, text, text, text, text, text, number, text, boolean, number, number, text, text, text, text,
		number, text, number, text, number, number, number)
	param, err := toJSON(all.all)
	if err != nil {
		return nil, err
	}
	names, err := t.strings(`INSERT INTO agent (id, agent_type_id, name, token_hash, state, version, user_agent, os, arch, hostname, pid, ip,
		single_job, idle_timeout_s, grace_period_s, labels, token_id, attempt_id, job_id, quarantined_at, quarantine, counts_since, problems, problems_at,
		created_at, changed_at) SELECT * FROM `+from+` AS v WHERE true ON CONFLICT (name) WHERE gone_at = 0 DO NOTHING RETURNING name`, param)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	created = make(map[string]bool, len(names))
	for _, name := range names {
		created[name] = true
	}
	for _, a := range agents {
		if created[a.Name] {
			seen.add(a.ID)
			events.add("agent", a.ID, "registered", a.Hostname, "agent:"+a.Name)
		}
	}
	if _, err := t.execRows(`INSERT INTO agent_seen (agent_id, seen_at, state) SELECT v.column1, CAST($2 AS BIGINT), '' FROM `+
		t.rowsFrom(text)+` AS v`, seen, ms(t.Now)); err != nil {
		return nil, err
	}
	_, err = t.execRows(`INSERT INTO event (noun, id, n, at, reason, detail, actor) SELECT v.column1, v.column2, 1, CAST($2 AS BIGINT), v.column3, v.column4, v.column5
		FROM `+t.rowsFrom(text, text, text, text, text)+` AS v`, events, ms(t.Now))
	return created, err
}

// Agent returns an agent by id, gone or not.
func (t *Tx) Agent(id string) (*signalbox.Agent, error) {
	return one(t, "agent", id, scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.id = $1`, id)
}

// LockAgent returns an agent and holds it until the transaction ends.
func (t *Tx) LockAgent(id string) (*signalbox.Agent, error) {
	lock := ""
	if t.dialect == postgresDialect {
		lock = " FOR UPDATE OF a"
	}
	return one(t, "agent", id, scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.id = $1`+lock, id)
}

// LockAgents returns those of some agents that are not gone, and holds them until the transaction ends.
func (t *Tx) LockAgents(ids []string) ([]*signalbox.Agent, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	lock := ""
	if t.dialect == postgresDialect {
		lock = " FOR UPDATE OF a"
	}
	in, args := oneOf(ids)
	return many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.gone_at = 0 AND a.id IN (`+in+`) ORDER BY a.id`+lock, args...)
}

// AgentsNamed returns the living agents that have one of some names.
func (t *Tx) AgentsNamed(names []string) ([]*signalbox.Agent, error) {
	if len(names) == 0 {
		return nil, nil
	}
	in, args := oneOf(names)
	return many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.gone_at = 0 AND a.name IN (`+in+`)`, args...)
}

// AgentByToken returns the agent that an access token belongs to, unless it is gone.
func (t *Tx) AgentByToken(hash string) (*signalbox.Agent, error) {
	return one(t, "agent", "with that token", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.token_hash = $1 AND a.gone_at = 0`, hash)
}

// AgentByName returns the living agent of a name.
func (t *Tx) AgentByName(name string) (*signalbox.Agent, error) {
	return one(t, "agent", name, scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.name = $1 AND a.gone_at = 0`, name)
}

// GoneAgentByToken returns the agent that an access token belonged to, once it is gone.
func (t *Tx) GoneAgentByToken(hash string) (*signalbox.Agent, error) {
	return one(t, "agent", "with that token", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.token_hash = $1 AND a.gone_at > 0`, hash)
}

// Agents returns the living agents, of one type or (with "") of all, by name.
func (t *Tx) Agents(agentTypeID string) ([]*signalbox.Agent, error) {
	return many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.gone_at = 0 AND ($1 = '' OR a.agent_type_id = $1) ORDER BY a.name`, agentTypeID)
}

const silentBefore = ` LEFT JOIN agent_seen s ON s.agent_id = a.id WHERE a.gone_at = 0
	AND (s.seen_at IS NULL OR s.seen_at < $1 OR s.seen_at > $2 OR a.state = 'disconnected')`

// future is a time that no clock can have said, unless it was wrong: whatever bears a later one is not waited for.
func (t *Tx) future() int64 { return ms(t.Now.Add(signalbox.ClockSlack)) }

// SilentAgents returns the living agents of which nothing that is stored was heard since a time, or only in the future, and those
// that have left, with the heartbeats that they have.
func (t *Tx) SilentAgents(since time.Time) ([]*signalbox.Agent, map[string]Seen, error) {
	agents, err := many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+silentBefore, ms(since), t.future())
	if err != nil || len(agents) == 0 {
		return nil, nil, err
	}
	rows, err := many(t, "heartbeat", func(s scanner, v *Seen) error { return s.Scan(&v.AgentID, at{&v.At}, &v.State) },
		`SELECT a.id, COALESCE(s.seen_at, 0), COALESCE(s.state, '') FROM agent a`+silentBefore, ms(since), t.future())
	if err != nil {
		return nil, nil, err
	}
	out := make(map[string]Seen, len(rows))
	for _, r := range rows {
		out[r.AgentID] = *r
	}
	return agents, out, nil
}

// AgentsChangedSince returns every agent whose row changed at or after a time, gone ones included.
func (t *Tx) AgentsChangedSince(since time.Time) ([]*signalbox.Agent, error) {
	return many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.changed_at >= $1`, ms(since))
}

// UpdateAgent writes the fields that change while an agent lives, if it still has the attempt fromAttempt ("" is
// free) and is not gone. An empty reason records no event.
func (t *Tx) UpdateAgent(a *signalbox.Agent, fromAttempt, actor, reason, detail string) error {
	a.ChangedAt = t.Now
	quarantine, _, err := health(a)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE agent SET state = $1, attempt_id = $2, job_id = $3, disabled_at = $4, drain_at = $5, interrupted_at = $6,
		gone_reason = $7, gone_at = $8, changed_at = $9, quarantined_at = $10, quarantine = $11, counts_since = $12
		WHERE id = $13 AND attempt_id = $14 AND gone_at = 0`,
		a.State, a.AttemptID, a.JobID, ms(a.DisabledAt), ms(a.DrainAt), ms(a.InterruptedAt), a.GoneReason, ms(a.GoneAt), ms(a.ChangedAt),
		ms(a.QuarantinedAt), quarantine, ms(a.CountsSince), a.ID, fromAttempt)
	if err != nil {
		return err
	}
	if err := changed(n, "agent", a.ID); err != nil {
		return err
	}
	t.Wake(KeyAgent(a.ID))
	if reason == "" {
		return nil
	}
	return t.Record("agent", a.ID, actor, reason, detail)
}

// SetAgentToken replaces the access token of an agent whose first answer was lost.
func (t *Tx) SetAgentToken(id, hash string) error {
	n, err := t.exec(`UPDATE agent SET token_hash = $1, changed_at = $2 WHERE id = $3 AND gone_at = 0`, hash, ms(t.Now), id)
	if err != nil {
		return err
	}
	t.Wake(KeyAgent(id))
	return changed(n, "agent", id)
}

// Seen is one heartbeat.
type Seen struct {
	AgentID string
	At      time.Time
	State   string // the last sync's state, "" before the first
}

// SaveSeen writes heartbeats; an older one never replaces a newer one, unless that one is of the future.
func (t *Tx) SaveSeen(seen []Seen) error {
	if len(seen) == 0 {
		return nil
	}
	newest := make(map[string]Seen, len(seen))
	for _, s := range seen {
		if s.At.After(newest[s.AgentID].At) {
			newest[s.AgentID] = s
		}
	}
	var all rows
	for _, id := range slices.Sorted(maps.Keys(newest)) { // two servers take the rows in the same order
		all.add(id, ms(newest[id].At), newest[id].State)
	}
	_, err := t.execRows(`INSERT INTO agent_seen (agent_id, seen_at, state) SELECT * FROM `+t.rowsFrom(text, number, text)+` AS v WHERE true
		ON CONFLICT (agent_id) DO UPDATE SET seen_at = excluded.seen_at, state = excluded.state
		WHERE agent_seen.seen_at < excluded.seen_at OR agent_seen.seen_at > $2`, all, t.future())
	return err
}

// LastSeen returns the newest stored heartbeat of every living agent.
func (t *Tx) LastSeen() (map[string]Seen, error) {
	rows, err := many(t, "heartbeat", func(s scanner, v *Seen) error { return s.Scan(&v.AgentID, at{&v.At}, &v.State) },
		`SELECT s.agent_id, s.seen_at, s.state FROM agent_seen s JOIN agent a ON a.id = s.agent_id WHERE a.gone_at = 0`)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Seen, len(rows))
	for _, r := range rows {
		out[r.AgentID] = *r
	}
	return out, nil
}

// SeenOf returns the stored heartbeat of one agent; the zero Seen when there is none.
func (t *Tx) SeenOf(agentID string) (Seen, error) {
	s, err := one(t, "heartbeat", agentID, func(s scanner, v *Seen) error { return s.Scan(&v.AgentID, at{&v.At}, &v.State) },
		`SELECT agent_id, seen_at, state FROM agent_seen WHERE agent_id = $1`, agentID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return Seen{}, nil
	}
	if err != nil {
		return Seen{}, err
	}
	return *s, nil
}

// AgentCounts returns how many living agents there are of each type, by its id.
func (t *Tx) AgentCounts() (map[string]int, error) {
	type row struct {
		id string
		n  int
	}
	rows, err := many(t, "agent count", func(s scanner, r *row) error { return s.Scan(&r.id, &r.n) },
		`SELECT agent_type_id, COUNT(*) FROM agent WHERE gone_at = 0 GROUP BY agent_type_id`)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(rows))
	for _, r := range rows {
		out[r.id] = r.n
	}
	return out, nil
}

// LastGone returns when the last agent of a type went, the zero time when none did.
func (t *Tx) LastGone(agentTypeID string) (gone time.Time, err error) {
	err = t.q.QueryRowContext(t.ctx, `SELECT COALESCE(MAX(gone_at), 0) FROM agent WHERE agent_type_id = $1 AND gone_at > 0`, agentTypeID).Scan(at{&gone})
	return gone, err
}

// SeenOfType returns the newest stored heartbeat of every living agent of a type.
func (t *Tx) SeenOfType(agentTypeID string) (map[string]time.Time, error) {
	rows, err := many(t, "heartbeat", func(s scanner, v *Seen) error { return s.Scan(&v.AgentID, at{&v.At}) },
		`SELECT s.agent_id, s.seen_at FROM agent a JOIN agent_seen s ON s.agent_id = a.id WHERE a.agent_type_id = $1 AND a.gone_at = 0`, agentTypeID)
	out := make(map[string]time.Time, len(rows))
	for _, r := range rows {
		out[r.AgentID] = r.At
	}
	return out, err
}
