package store

import "github.com/signalbox-ci/signalbox"

// Pulses returns how all living agents stand, by name.
func (t *Tx) Pulses() ([]*signalbox.Pulse, error) {
	return many(t, "agent", func(s scanner, p *signalbox.Pulse) error {
		return s.Scan(&p.ID, &p.AgentType, &p.Connected, &p.Working, &p.Leaving, &p.Aside, at{&p.CreatedAt}, at{&p.SeenAt})
	}, `SELECT a.id, y.name, `+flag(`a.state = 'registered'`)+`, `+flag(`a.attempt_id <> ''`)+`, `+flag(`a.drain_at > 0 OR a.disabled_at > 0`)+`, `+
		flag(`a.quarantined_at > 0`)+`, a.created_at, COALESCE(s.seen_at, 0)`+agentFrom+`LEFT JOIN agent_seen s ON s.agent_id = a.id WHERE a.gone_at = 0 ORDER BY a.name`)
}

// AgentsByID returns those of some agents that are not gone, by id.
func (t *Tx) AgentsByID(ids []string) (map[string]*signalbox.Agent, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, args := oneOf(ids)
	agents, err := many(t, "agent", scanAgent, `SELECT `+agentColumns+agentFrom+`WHERE a.gone_at = 0 AND a.id IN (`+in+`)`, args...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*signalbox.Agent, len(agents))
	for _, a := range agents {
		out[a.ID] = a
	}
	return out, nil
}
