package api

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type machineRule struct {
	Machine   string `json:"machine"`
	Image     string `json:"os_image"`
	AgentType string `json:"agent_type"`
}

func (a *API) listMachines(w http.ResponseWriter, r *http.Request) error {
	out := []machineRule{}
	if err := a.read(r, func(tx *store.Tx) error {
		all, err := tx.MachineRules()
		for _, m := range all {
			out = append(out, machineRule{m.Machine, m.Image, m.AgentType})
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"rules": out})
}

// setMachines replaces all rules.
func (a *API) setMachines(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Rules []machineRule `json:"rules"`
	}
	if err := read(w, r, &b); err != nil {
		return err
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		var rules []*signalbox.MachineRule
		seen := map[machineRule]bool{}
		for _, m := range b.Rules {
			if m.Image == "" {
				m.Image = "*"
			}
			rule := &signalbox.MachineRule{Machine: m.Machine, Image: m.Image, AgentType: m.AgentType}
			if err := signalbox.ValidateMachineRule(rule); err != nil {
				return err
			}
			key := machineRule{Machine: m.Machine, Image: m.Image}
			if seen[key] {
				return signalbox.Errorf(signalbox.CodeInvalid, "there are two rules for the machine %.60q with the image %.60q", m.Machine, m.Image)
			}
			seen[key] = true
			if _, err := tx.AgentType(m.AgentType); signalbox.ErrorCode(err) == signalbox.CodeNotFound {
				return signalbox.Errorf(signalbox.CodeInvalid, "there is no agent type %.60q; make it first", m.AgentType)
			} else if err != nil {
				return err
			}
			rules = append(rules, rule)
		}
		return tx.SetMachineRules(rules, actor(r))
	}); err != nil {
		return err
	}
	return a.listMachines(w, r)
}
