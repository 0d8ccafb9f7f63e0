package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent"
)

// AgentCmd groups what runs on a machine that offers itself for jobs.
type AgentCmd struct {
	Start AgentStartCmd `cmd:"" help:"Run jobs for a server until told to stop."`
}

// AgentStartCmd is `signalbox agent start`, with the option names of the official agent.
type AgentStartCmd struct {
	Endpoint                   string   `help:"The server as HOST or HOST:PORT, without https://." required:"" env:"SEMAPHORE_AGENT_ENDPOINT" placeholder:"HOST[:PORT]"`
	Token                      string   `help:"Registration token of the agent type." required:"" env:"SEMAPHORE_AGENT_TOKEN" placeholder:"TOKEN"`
	NoHTTPS                    bool     `help:"Speak plain HTTP." name:"no-https" env:"SEMAPHORE_AGENT_NO_HTTPS"`
	Name                       string   `help:"Name of this agent, 8 to 80 characters; default: a random one." env:"SEMAPHORE_AGENT_NAME"`
	DisconnectAfterJob         bool     `help:"Leave after one job." name:"disconnect-after-job" env:"SEMAPHORE_AGENT_DISCONNECT_AFTER_JOB"`
	JobID                      string   `help:"Run only this job; needs --disconnect-after-job." name:"job-id" env:"SEMAPHORE_AGENT_JOB_ID"`
	DisconnectAfterIdleTimeout int      `help:"Leave after so many seconds without a job; 0 is never." name:"disconnect-after-idle-timeout" env:"SEMAPHORE_AGENT_DISCONNECT_AFTER_IDLE_TIMEOUT" default:"0"`
	InterruptionGracePeriod    int      `help:"Seconds that a running job may go on after SIGTERM." name:"interruption-grace-period" env:"SEMAPHORE_AGENT_INTERRUPTION_GRACE_PERIOD" default:"0"`
	EnvVars                    []string `help:"NAME=VALUE for every job; may repeat." name:"env-vars" env:"SEMAPHORE_AGENT_ENV_VARS" placeholder:"NAME=VALUE"`
	State                      string   `help:"Folder for what must survive a crash; default: signalbox-agent in the user's cache folder." env:"SIGNALBOX_AGENT_STATE" placeholder:"DIR"`
	JobWorkspace               string   `help:"Start each job in a fresh folder under this one instead of the home folder." name:"job-workspace" env:"SIGNALBOX_AGENT_JOB_WORKSPACE" placeholder:"DIR"`
}

// Help is what `signalbox agent start --help` says beside the flags.
func (*AgentStartCmd) Help() string {
	return "Registers with the server, waits for jobs, runs their commands in a login shell, and sends the log. " +
		"SIGTERM lets it leave: at once when it is idle, after the grace period when it runs a job. " +
		"Exit codes: 0 after it was told to go, 1 on any error."
}

func (c *AgentStartCmd) config(g *Globals) (agent.Config, error) {
	o := agent.Config{
		Endpoint: c.Endpoint, NoHTTPS: c.NoHTTPS, CAFile: g.CAFile, Token: c.Token, Name: c.Name, Version: version,
		DisconnectAfterJob: c.DisconnectAfterJob, JobID: c.JobID, Workspace: c.JobWorkspace, StateDir: c.State, Logger: g.logger(),
		DisconnectAfterIdleTimeout: time.Duration(c.DisconnectAfterIdleTimeout) * time.Second,
		InterruptionGracePeriod:    time.Duration(c.InterruptionGracePeriod) * time.Second,
	}
	if o.StateDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("find a folder for the agent's state (or name one with --state): %w", err)
		}
		o.StateDir = filepath.Join(cache, "signalbox-agent")
	}
	for _, v := range c.EnvVars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return o, fmt.Errorf("--env-vars %q must look like NAME=VALUE", v)
		}
		o.EnvVars = append(o.EnvVars, signalbox.EnvVar{Name: name, Value: value})
	}
	return o, nil
}
