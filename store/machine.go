package store

import "github.com/signalbox-ci/signalbox"

const machineColumns = `id, position, machine, image, agent_type, created_at`

func scanMachine(s scanner, r *signalbox.MachineRule) error {
	return s.Scan(&r.ID, &r.Position, &r.Machine, &r.Image, &r.AgentType, at{&r.CreatedAt})
}

// MachineRules returns the rules in the order in which they are tried.
func (t *Tx) MachineRules() ([]*signalbox.MachineRule, error) {
	return many(t, "machine rule", scanMachine, `SELECT `+machineColumns+` FROM machine_map ORDER BY position, id`)
}

// SetMachineRules replaces all rules; their order becomes their position.
func (t *Tx) SetMachineRules(rules []*signalbox.MachineRule, actor string) error {
	if _, err := t.exec(`DELETE FROM machine_map`); err != nil {
		return err
	}
	for i, r := range rules {
		if r.ID == "" {
			r.ID, r.CreatedAt = signalbox.NewID(), t.Now
		}
		r.Position = i + 1
		if _, err := t.exec(`INSERT INTO machine_map (`+machineColumns+`) VALUES (`+list(1, 6)+`)`, r.ID, r.Position, r.Machine, r.Image,
			r.AgentType, ms(r.CreatedAt)); err != nil {
			return err
		}
	}
	return t.Record("organization", "machine_map", actor, "machine rules changed", "")
}
