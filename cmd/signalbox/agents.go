package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agent"
)

// tokenArgument takes the token out of the arguments of `agent start`. What is not a whole option stays for the parser
// to complain about.
func tokenArgument(args []string) (rest []string, token string, found bool) {
	if !isAgentStart(args) {
		return args, "", false
	}
	for i := 0; i < len(args); i++ {
		value, ok := strings.CutPrefix(args[i], "--token=")
		switch {
		case args[i] == "--":
			return append(rest, args[i:]...), token, found
		case ok:
			token, found = value, true
		case args[i] == "--token" && i+1 < len(args):
			i++
			token, found = args[i], true
		default:
			rest = append(rest, args[i])
		}
	}
	return rest, token, found
}

// crew is the agents of one process.
type crew struct {
	agents  []*agent.Agent
	manager *serviceManager
	health  string // address to answer on, "" is none
	log     *slog.Logger
}

func (c *crew) statuses() []agent.Status {
	out := make([]agent.Status, 0, len(c.agents))
	for _, a := range c.agents {
		out = append(out, a.Status())
	}
	return out
}

// wedged names the first agent that is stuck.
func (c *crew) wedged(now time.Time) string {
	for _, a := range c.agents {
		if a.Wedged(now) {
			return a.Status().Name
		}
	}
	return ""
}

// run runs all agents until each was sent away. A signal is passed on to all of them.
func (c *crew) run(ctx context.Context) error {
	stopHealth, err := c.serveHealth()
	if err != nil {
		return err
	}
	defer stopHealth()
	stop := make(chan struct{})
	var feeding, working sync.WaitGroup
	feeding.Go(func() { c.manager.feed(stop, c.wedged, c.log) })
	defer feeding.Wait()
	defer close(stop)

	keep := context.WithoutCancel(ctx)
	errs := make([]error, len(c.agents))
	for i, a := range c.agents {
		working.Go(func() {
			defer context.AfterFunc(ctx, a.Interrupt)()
			reason, err := a.Run(keep)
			if err != nil {
				errs[i] = fmt.Errorf("agent %s: %w", a.Status().Name, err)
				c.log.Error("agent ended", "name", a.Status().Name, "reason", reason, "error", err)
				return
			}
			c.log.Info("agent ended", "name", a.Status().Name, "reason", reason)
		})
	}
	working.Wait()
	if err := errors.Join(errs...); err != nil {
		return &exitCodeError{code: exitError, err: err}
	}
	return nil
}

// serveHealth answers on the health address.
func (c *crew) serveHealth() (stop func(), err error) {
	if c.health == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", c.health)
	if err != nil {
		return nil, fmt.Errorf("--health-listen: %w", err)
	}
	c.log.Info("health endpoint", "address", l.Addr().String())
	srv := &http.Server{Handler: agent.HealthHandler(c.statuses, time.Now), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	return func() { srv.Close(); <-done }, nil
}
