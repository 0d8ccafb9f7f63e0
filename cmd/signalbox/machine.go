package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
)

// MachineCmd is `signalbox machine`.
type MachineCmd struct {
	List  MachineListCmd  `cmd:"" help:"List which agent types serve the machine types of hosted products."`
	Map   MachineMapCmd   `cmd:"" help:"Let an agent type serve a machine type."`
	Unmap MachineUnmapCmd `cmd:"" help:"Take a rule away."`
}

const machineRules = "/api/v1alpha/machine_rules"

type machineTable struct {
	Rules []machineRule `json:"rules"`
}

type machineRule struct {
	Machine   string `json:"machine"`
	Image     string `json:"os_image"`
	AgentType string `json:"agent_type"`
}

// MachineListCmd is `signalbox machine list`.
type MachineListCmd struct{}

func (c *MachineListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var t machineTable
	if err := api.call(ctx, http.MethodGet, machineRules, nil, &t); err != nil {
		return err
	}
	rows := [][]string{}
	for _, r := range t.Rules {
		rows = append(rows, []string{r.Machine, r.Image, r.AgentType})
	}
	if len(rows) == 0 {
		return g.print(t.Rules, "No rules. Pipeline files that name machine types such as e1-standard-2 need one: signalbox machine map 'e1-*' s1-linux\n")
	}
	return g.print(t.Rules, table([]string{"MACHINE", "OS IMAGE", "AGENT TYPE"}, rows))
}

// MachineMapCmd is `signalbox machine map`.
type MachineMapCmd struct {
	Machine   string `arg:"" help:"Machine type as in pipeline files, or a pattern with * and ?; * alone is the default for all others."`
	AgentType string `arg:"" help:"The agent type that serves it."`
	Image     string `help:"Only for this os_image, or pattern of one." default:"*" env:"SIGNALBOX_IMAGE"`
	First     bool   `help:"Try this rule before all others; otherwise it is tried last." env:"SIGNALBOX_FIRST"`
}

// Help is what --help says beside the flags.
func (*MachineMapCmd) Help() string {
	return "Rules are tried in their order, and the first that matches counts. A rule for the same machine and image is replaced in its place."
}

func (c *MachineMapCmd) Run(ctx context.Context, g *Globals) error {
	rule := machineRule{c.Machine, c.Image, c.AgentType}
	return changeMachines(ctx, g, func(rules []machineRule) ([]machineRule, error) {
		at := slices.IndexFunc(rules, func(r machineRule) bool { return r.Machine == c.Machine && r.Image == c.Image })
		switch {
		case at >= 0 && !c.First:
			rules[at] = rule
			return rules, nil
		case at >= 0:
			rules = slices.Delete(rules, at, at+1)
		}
		if c.First {
			return slices.Insert(rules, 0, rule), nil
		}
		return append(rules, rule), nil
	})
}

// MachineUnmapCmd is `signalbox machine unmap`.
type MachineUnmapCmd struct {
	Machine string `arg:"" help:"Machine type or pattern, as it was given."`
	Image   string `help:"Its os_image." default:"*" env:"SIGNALBOX_IMAGE"`
}

func (c *MachineUnmapCmd) Run(ctx context.Context, g *Globals) error {
	return changeMachines(ctx, g, func(rules []machineRule) ([]machineRule, error) {
		at := slices.IndexFunc(rules, func(r machineRule) bool { return r.Machine == c.Machine && r.Image == c.Image })
		if at < 0 {
			return nil, fmt.Errorf("there is no rule for the machine %q with the image %q; signalbox machine list shows all", c.Machine, c.Image)
		}
		return slices.Delete(rules, at, at+1), nil
	})
}

func changeMachines(ctx context.Context, g *Globals, change func([]machineRule) ([]machineRule, error)) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var t machineTable
	if err := api.call(ctx, http.MethodGet, machineRules, nil, &t); err != nil {
		return err
	}
	if t.Rules, err = change(t.Rules); err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodPut, machineRules, t, &t); err != nil {
		return err
	}
	text := ""
	for _, r := range t.Rules {
		text += fmt.Sprintf("%s with image %s is served by %s\n", r.Machine, r.Image, r.AgentType)
	}
	return g.print(t.Rules, text)
}
