package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// AgentInstallCmd is `signalbox agent install`. The variables of the official installer are understood.
type AgentInstallCmd struct {
	Endpoint     string  `help:"The server as HOST or HOST:PORT. Required." env:"SEMAPHORE_ENDPOINT" placeholder:"HOST[:PORT]" group:"Connection"`
	TokenFile    string  `help:"File with the registration token; - is standard input. Otherwise it comes from SEMAPHORE_REGISTRATION_TOKEN." name:"token-file" env:"SIGNALBOX_AGENT_TOKEN_FILE" placeholder:"FILE" group:"Connection"`
	NoHTTPS      bool    `help:"Speak plain HTTP." name:"no-https" env:"SEMAPHORE_AGENT_NO_HTTPS" group:"Connection"`
	Name         string  `help:"Name of the agent; default: a random one at each start." env:"SEMAPHORE_AGENT_NAME" group:"Connection"`
	Spawn        int     `help:"Agents in the service, each with one job at a time." default:"1" env:"SIGNALBOX_AGENT_SPAWN" group:"Connection"`
	User         string  `help:"User that runs the agent and its jobs. Required but on Windows." env:"SEMAPHORE_AGENT_INSTALLATION_USER" group:"Service"`
	Service      string  `help:"What starts it: systemd, launchd or windows; default: that of this system." enum:"auto,systemd,launchd,windows" default:"auto" env:"SIGNALBOX_AGENT_SERVICE" group:"Service"`
	Start        bool    `help:"Start it now, not only at the next boot." default:"true" negatable:"" env:"SEMAPHORE_AGENT_START" group:"Service"`
	Restart      string  `help:"When systemd starts it again, as in its Restart=." default:"always" enum:"always,on-failure,on-abnormal,on-watchdog,no" env:"SEMAPHORE_AGENT_SYSTEMD_RESTART" group:"Service"`
	RestartSec   seconds `help:"Pause before it is started again." name:"restart-sec" default:"60" env:"SEMAPHORE_AGENT_SYSTEMD_RESTART_SEC" placeholder:"SECONDS" group:"Service"`
	AfterJob     bool    `help:"The agent leaves after one job and is started again." name:"disconnect-after-job" env:"SEMAPHORE_AGENT_DISCONNECT_AFTER_JOB" group:"Leaving"`
	IdleTimeout  seconds `help:"The agent leaves after so many seconds without a job; 0 is never." name:"disconnect-after-idle-timeout" default:"0" env:"SEMAPHORE_AGENT_DISCONNECT_AFTER_IDLE_TIMEOUT" placeholder:"SECONDS" group:"Leaving"`
	Grace        seconds `help:"Seconds that a running job may go on when the service is stopped." name:"interruption-grace-period" default:"0" env:"SEMAPHORE_AGENT_INTERRUPTION_GRACE_PERIOD" placeholder:"SECONDS" group:"Leaving"`
	ShutdownHook string  `help:"Script that the agent runs last." name:"shutdown-hook-path" env:"SEMAPHORE_AGENT_SHUTDOWN_HOOK" placeholder:"FILE" group:"Leaving"`
	DryRun       bool    `help:"Say what would be done, and do nothing." name:"dry-run" env:"SIGNALBOX_DRY_RUN" group:"Service"`
	Root         string  `help:"Write below this folder and run no commands." hidden:"" env:"SIGNALBOX_INSTALL_ROOT" placeholder:"DIR"`
}

// Help is what --help says beside the flags.
func (*AgentInstallCmd) Help() string {
	return "Makes a service of the agent: puts this program in its place, writes its configuration (readable by its user alone) and the service's file, enables " +
		"and starts it. Each step is printed before it is done, and doing it again is harmless. Take it back with `signalbox agent uninstall`.\n\n" +
		"  sudo signalbox agent install --endpoint ci.example.com --user ci --token-file - < token"
}

// AgentUninstallCmd is `signalbox agent uninstall`.
type AgentUninstallCmd struct {
	Service string `help:"What starts the agent: systemd, launchd or windows; default: that of this system." enum:"auto,systemd,launchd,windows" default:"auto" env:"SIGNALBOX_AGENT_SERVICE"`
	Purge   bool   `help:"Remove the state too: logs that were not delivered are lost." env:"SIGNALBOX_PURGE"`
	DryRun  bool   `help:"Say what would be done, and do nothing." name:"dry-run" env:"SIGNALBOX_DRY_RUN"`
	Root    string `help:"Remove below this folder and run no commands." hidden:"" env:"SIGNALBOX_INSTALL_ROOT" placeholder:"DIR"`
}

// Help is what --help says beside the flags.
func (*AgentUninstallCmd) Help() string {
	return "Stops the service of the agent and removes what `signalbox agent install` wrote. The program stays, and so does the state without --purge."
}

func (c *AgentInstallCmd) Run(g *Globals) error {
	o, err := c.options(g)
	if err != nil {
		return err
	}
	if !c.DryRun && c.Root == "" {
		if err := mayInstall(o.user); err != nil {
			return err
		}
	}
	return carryOut(g.out, installPlan(o), c.DryRun, c.Root)
}

func (c *AgentUninstallCmd) Run(g *Globals) error {
	service, err := serviceKind(c.Service)
	if err != nil {
		return err
	}
	if !c.DryRun && c.Root == "" {
		if err := mayInstall(""); err != nil {
			return err
		}
	}
	return carryOut(g.out, uninstallPlan(service, c.Purge), c.DryRun, c.Root)
}

func serviceKind(asked string) (string, error) {
	if asked != "auto" {
		return asked, nil
	}
	switch runtime.GOOS {
	case "linux":
		return "systemd", nil
	case "darwin":
		return "launchd", nil
	case "windows":
		return "windows", nil
	}
	return "", fmt.Errorf("there is no service known for %s: write one that runs `signalbox agent start --config-file FILE`", runtime.GOOS)
}

func (c *AgentInstallCmd) options(g *Globals) (o installOptions, err error) {
	o = installOptions{
		user: c.User, endpoint: c.Endpoint, noHTTPS: c.NoHTTPS, name: c.Name, spawn: c.Spawn, start: c.Start, restart: c.Restart,
		restartAfter: time.Duration(c.RestartSec), afterJob: c.AfterJob, idle: time.Duration(c.IdleTimeout), grace: time.Duration(c.Grace), shutdownHook: c.ShutdownHook,
	}
	if o.service, err = serviceKind(c.Service); err != nil {
		return o, err
	}
	if o.endpoint == "" {
		if org := os.Getenv("SEMAPHORE_ORGANIZATION"); org != "" {
			return o, fmt.Errorf("SEMAPHORE_ORGANIZATION=%s names an organization of a hosted service; name this server with --endpoint or SEMAPHORE_ENDPOINT", org)
		}
		return o, errors.New("no endpoint was given: name the server with --endpoint HOST[:PORT] or SEMAPHORE_ENDPOINT")
	}
	if strings.ContainsAny(o.endpoint, "/?#@ ") {
		return o, fmt.Errorf("the endpoint %q is not HOST[:PORT]: leave out the scheme and the path", o.endpoint)
	}
	switch {
	case o.service == "windows" && o.user != "":
		return o, errors.New("--user: a Windows service starts as LocalSystem; choose another account, with its password, under Services afterwards")
	case o.service != "windows" && o.user == "":
		return o, errors.New("no user was given: name the one that runs the agent and its jobs with --user or SEMAPHORE_AGENT_INSTALLATION_USER")
	case strings.ContainsAny(o.user, " \t\n\"'%<>&:/"):
		return o, fmt.Errorf("--user %q is not the name of a user", o.user)
	case o.spawn < 1:
		return o, fmt.Errorf("--spawn is %d; it must be 1 or more", o.spawn)
	}
	if o.token, err = installToken(c.TokenFile, os.Stdin); err != nil {
		return o, err
	}
	if g.CAFile != "" {
		if o.ca, err = os.ReadFile(g.CAFile); err != nil {
			return o, fmt.Errorf("--ca-file: %w", err)
		}
	}
	if o.shutdownHook != "" {
		if o.shutdownHook, err = filepath.Abs(o.shutdownHook); err != nil {
			return o, err
		}
	}
	o.program, err = os.Executable()
	return o, err
}

func installToken(file string, stdin io.Reader) (string, error) {
	text := []byte(os.Getenv("SEMAPHORE_REGISTRATION_TOKEN"))
	var err error
	switch file {
	case "":
	case "-":
		text, err = io.ReadAll(io.LimitReader(stdin, 64<<10))
	default:
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", errors.New("no token was given: put the registration token of the agent type, and nothing else, into a file and name it with --token-file, " +
			"or set SEMAPHORE_REGISTRATION_TOKEN")
	}
	return token, nil
}
