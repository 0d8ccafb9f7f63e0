package main

import (
	"context"
	"fmt"

	"github.com/signalbox-ci/signalbox/agent"
)

// Run lets a first SIGTERM or interrupt be the server's to decide on, and leaves the second one to the system.
func (c *AgentStartCmd) Run(ctx context.Context, g *Globals) error {
	o, err := c.config(g)
	if err != nil {
		return err
	}
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, a.Interrupt)()
	reason, err := a.Run(context.WithoutCancel(ctx))
	if err != nil {
		return &exitCodeError{code: exitError, err: fmt.Errorf("agent: %w", err)}
	}
	g.logger().Info("agent ended", "reason", reason)
	return nil
}
