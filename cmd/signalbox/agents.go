package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

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

// runAgents runs all agents of this process until each was sent away. A signal is passed on to all of them.
func runAgents(ctx context.Context, agents []*agent.Agent, health string, log *slog.Logger) error {
	keep := context.WithoutCancel(ctx)
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	for _, a := range agents {
		group.Go(func() {
			defer context.AfterFunc(ctx, a.Interrupt)()
			reason, err := a.Run(keep)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("agent: %w", err))
				return
			}
			log.Info("agent ended", "reason", reason)
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return &exitCodeError{code: exitError, err: err}
	}
	return nil
}
