package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/agent"
)

// AgentStatusCmd is `signalbox agent status`.
type AgentStatusCmd struct {
	State string `help:"State folder of the agents; default: that of this user and that of the installed service." env:"SIGNALBOX_AGENT_STATE" placeholder:"DIR"`
}

// Help is what --help says beside the flags.
func (*AgentStatusCmd) Help() string {
	return "Shows each agent that has used the state folder: its name and server, what it does, its job, its last sync, and what waits on disk for delivery. " +
		"It reads files and asks neither the agent nor the server, so it works when both are in trouble. Run it as the agent's user or as root.\n\n" +
		"Exit codes: 0 shown, 2 no agent has used the folder."
}

func (c *AgentStatusCmd) Run(g *Globals) error {
	dirs := []string{c.State}
	if c.State == "" {
		own, err := defaultStateDir()
		if err != nil {
			return err
		}
		dirs = []string{own, installedState()}
	}
	all := []agent.Status{}
	for _, dir := range dirs {
		found, err := agent.ReadStatus(dir)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return &exitCodeError{code: exitInvalid, err: fmt.Errorf("no agent has used %s; name another state folder with --state", strings.Join(dirs, " or "))}
	}
	return g.print(all, statusText(all, time.Now()))
}

func statusText(all []agent.Status, now time.Time) string {
	var b strings.Builder
	ago := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() + " ago" }
	for i, s := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		if s.Problem != "" {
			fmt.Fprintf(&b, "%s: %s\n", filepath.Base(s.Dir), s.Problem)
			continue
		}
		state := s.State
		if !s.Running {
			state = "not running"
			if s.State == agent.StatusEnded {
				state += ", ended in an orderly way " + ago(s.UpdatedAt)
			} else {
				state += ", vanished while it was " + s.State
			}
		}
		fmt.Fprintf(&b, "%s at %s: %s\n", printable(s.Name), printable(s.Server), state)
		fmt.Fprintf(&b, "  process  %d, version %s, started %s\n", s.PID, printable(s.Version), ago(s.StartedAt))
		switch {
		case s.Job != nil && s.Running:
			fmt.Fprintf(&b, "  job      %s since %s\n", printable(s.Job.ID), now.Sub(s.Job.Since).Round(time.Second))
		case s.Job != nil:
			fmt.Fprintf(&b, "  job      was running %s\n", printable(s.Job.ID))
		default:
			b.WriteString("  job      none\n")
		}
		switch {
		case s.Sync == nil:
			b.WriteString("  sync     none yet\n")
		case s.Sync.Error != "":
			fmt.Fprintf(&b, "  sync     failed %s: %s\n", ago(s.Sync.At), printable(s.Sync.Error))
		default:
			fmt.Fprintf(&b, "  sync     answered %s\n", ago(s.Sync.At))
		}
		fmt.Fprintf(&b, "  spool    %d bytes in %d logs wait for delivery\n", s.Spool.Bytes, s.Spool.Logs)
		fmt.Fprintf(&b, "  so far   %d passed, %d failed, %d stopped; %d pushes failed\n", s.Jobs.Passed, s.Jobs.Failed, s.Jobs.Stopped, s.PushesFailed)
		fmt.Fprintf(&b, "  state    %s\n", s.Dir)
	}
	return b.String()
}

// installedState is where an agent that was installed as a service of this system keeps its state.
func installedState() string {
	if service, err := serviceKind("auto"); err == nil {
		return servicePlaces[service].state
	}
	return servicePlaces["systemd"].state
}
