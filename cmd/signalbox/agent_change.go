package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
)

// agentChoice says which agents a command is about.
type agentChoice struct {
	Names    []string `arg:"" optional:"" name:"name" help:"Names of agents."`
	Type     string   `help:"All agents of this type instead of names." env:"SIGNALBOX_AGENT_TYPE" placeholder:"NAME"`
	OnlyIdle bool     `help:"Leave out agents that have a job." name:"only-idle" env:"SIGNALBOX_ONLY_IDLE"`
	Yes      bool     `help:"Do not ask before all agents of a type are changed." env:"SIGNALBOX_YES"`
}

// Commands that do something to agents, each with the same choice of them.
type (
	AgentDrainCmd   struct{ agentChoice }
	AgentUndrainCmd struct{ agentChoice }
	AgentDisableCmd struct{ agentChoice }
	AgentEnableCmd  struct{ agentChoice }
	AgentStopCmd    struct{ agentChoice }

	AgentQuarantineCmd struct{ agentChoice }
	AgentReleaseCmd    struct{ agentChoice }

	AgentDeleteCmd struct {
		agentChoice
		Force    bool `help:"Also agents that have a job, which fails as if the agent was lost." env:"SIGNALBOX_FORCE"`
		HostGone bool `help:"The machines are gone, so that nothing of their jobs runs any more: like --force, and what may be run again is." name:"host-gone" env:"SIGNALBOX_HOST_GONE"`
	}
)

// Help is what --help says beside the flags.
func (*AgentDrainCmd) Help() string {
	return "A drained agent gets no further job. One without a job leaves at once, one with a job when the job is over."
}

// Help is what --help says beside the flags.
func (*AgentDisableCmd) Help() string {
	return "A disabled agent gets no further job. It is told to stop the one it has, reports it as stopped, and leaves."
}

// Help is what --help says beside the flags.
func (*AgentStopCmd) Help() string {
	return "The jobs count as stopped from now on, also when an agent does not answer. The agents get no further job and leave."
}

// Help is what --help says beside the flags.
func (*AgentDeleteCmd) Help() string {
	return "The server forgets the agents, and their names are free. That is for machines that are gone: an agent that lives is told that it is " +
		"unknown; ours ends at once, the official one after ten minutes. To send agents away, drain or disable them."
}

// Help is what --help says beside the flags.
func (*AgentQuarantineCmd) Help() string {
	return "An agent in quarantine finishes its job, stays connected and gets no other one. The server sets agents aside itself that fail jobs which pass " +
		"elsewhere, as the agent type says (agent-type set --quarantine); \"agent show\" has the evidence."
}

// Help is what --help says beside the flags.
func (*AgentReleaseCmd) Help() string {
	return "The agents get jobs again. What they failed so far no longer counts against them."
}

func (c *AgentQuarantineCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "quarantine", "in quarantine", nil)
}

func (c *AgentReleaseCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "release", "released", nil)
}

func (c *AgentDrainCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "drain", "draining", nil)
}

func (c *AgentUndrainCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "undrain", "stays", nil)
}

func (c *AgentDisableCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "disable", "disabled", nil)
}

func (c *AgentEnableCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "enable", "enabled", nil)
}

func (c *AgentStopCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "stop", "stopping", nil)
}

func (c *AgentDeleteCmd) Run(ctx context.Context, g *Globals) error {
	return c.run(ctx, g, "delete", "deleted", map[string]any{"force": c.Force, "host_gone": c.HostGone})
}

func (c *agentChoice) run(ctx context.Context, g *Globals, action, done string, more map[string]any) error {
	if (len(c.Names) > 0) == (c.Type != "") {
		return errors.New("say which agents: either their names, or --type for all of one type")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	if c.Type != "" && !c.Yes {
		if err := c.confirm(ctx, g, api, action); err != nil {
			return err
		}
	}
	var out struct {
		Agents []struct {
			Name  string `json:"name"`
			Done  bool   `json:"done"`
			Error string `json:"error,omitempty"`
		} `json:"agents"`
	}
	in := map[string]any{"action": action, "names": c.Names, "agent_type": c.Type, "only_idle": c.OnlyIdle}
	maps.Copy(in, more)
	if err := api.call(ctx, http.MethodPost, agents, in, &out); err != nil {
		return err
	}
	rows, failed := [][]string{}, 0
	for _, a := range out.Agents {
		result := done
		if !a.Done {
			failed++
			result = "not done: " + a.Error
		}
		rows = append(rows, []string{a.Name, result})
	}
	if err := g.print(out.Agents, table([]string{"NAME", "RESULT"}, rows)); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d of %d agents could not be changed", action, failed, len(rows))
	}
	return nil
}

// confirm asks at a terminal, and refuses elsewhere.
func (c *agentChoice) confirm(ctx context.Context, g *Globals, api *client, action string) error {
	all, err := api.agents(ctx, c.Type)
	if err != nil {
		return err
	}
	n := 0
	for _, a := range all {
		if !c.OnlyIdle || a.Status.JobID == "" {
			n++
		}
	}
	question := fmt.Sprintf("%s %d agents of %s", action, n, c.Type)
	if fi, err := os.Stdin.Stat(); err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return fmt.Errorf("this would %s: give --yes to do it without being asked", question)
	}
	fmt.Fprintf(g.err, "This will %s. Go on? [y/N] ", question)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // an end of input is no yes
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
