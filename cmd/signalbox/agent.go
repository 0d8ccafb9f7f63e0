package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent"
)

// AgentCmd groups what runs on a machine that offers itself for jobs, and what is done to agents from elsewhere.
type AgentCmd struct {
	Start     AgentStartCmd     `cmd:"" help:"Run jobs for a server until told to stop."`
	Status    AgentStatusCmd    `cmd:"" help:"Show what the agents of this machine do."`
	Run       AgentRunCmd       `cmd:"" help:"Run one job file on this machine, without a server."`
	Install   AgentInstallCmd   `cmd:"" help:"Make a service of the agent on this machine."`
	Uninstall AgentUninstallCmd `cmd:"" help:"Remove the service of the agent."`

	List       AgentListCmd       `cmd:"" help:"List the agents of a server."`
	Show       AgentShowCmd       `cmd:"" help:"Show one agent of a server."`
	Drain      AgentDrainCmd      `cmd:"" help:"Let agents finish their jobs and leave."`
	Undrain    AgentUndrainCmd    `cmd:"" help:"Let agents that were drained stay, if they have not left yet."`
	Disable    AgentDisableCmd    `cmd:"" help:"Let agents stop their jobs and leave."`
	Enable     AgentEnableCmd     `cmd:"" help:"Let agents that were disabled stay, if they have not left yet."`
	Stop       AgentStopCmd       `cmd:"" help:"End the jobs of agents at once and let the agents leave."`
	Quarantine AgentQuarantineCmd `cmd:"" help:"Let agents stay without giving them jobs."`
	Release    AgentReleaseCmd    `cmd:"" help:"Give jobs again to agents that are in quarantine."`
	Delete     AgentDeleteCmd     `cmd:"" help:"Forget agents whose machines are gone."`
	Rejected   AgentRejectedCmd   `cmd:"" help:"Show which agents were not let in, and why."`
}

// AgentStartCmd is `signalbox agent start`. Every option of the official agent is here, under its name.
type AgentStartCmd struct {
	ConfigFile  agentConfigFlag `help:"The options as a file: YAML, JSON or TOML by its extension." name:"config-file" env:"SIGNALBOX_AGENT_CONFIG_FILE" placeholder:"FILE" group:"Connection"`
	Endpoint    string          `help:"The server as HOST or HOST:PORT, without https://. Required." env:"SEMAPHORE_AGENT_ENDPOINT" placeholder:"HOST[:PORT]" group:"Connection"`
	Token       string          `help:"Registration token of the agent type. Required." env:"SEMAPHORE_AGENT_TOKEN" placeholder:"TOKEN" group:"Connection"`
	NoHTTPS     bool            `help:"Speak plain HTTP." name:"no-https" env:"SEMAPHORE_AGENT_NO_HTTPS" group:"Connection"`
	Name        string          `help:"Name of this agent, 8 to 80 characters or a URL; default: a random one." env:"SEMAPHORE_AGENT_NAME" placeholder:"NAME" group:"Connection"`
	NameFromEnv string          `help:"Environment variable that holds the name. Deprecated: use --name." name:"name-from-env" env:"SEMAPHORE_AGENT_NAME_FROM_ENV" placeholder:"VARIABLE" group:"Connection"`
	Spawn       int             `help:"Run so many agents in this process, each with one job at a time; their names end in -1, -2, ..." default:"1" env:"SIGNALBOX_AGENT_SPAWN" group:"Connection"`
	Label       []string        `help:"NAME=VALUE, what this agent says of itself; may repeat. Needs a server of ours." name:"label" env:"SIGNALBOX_AGENT_LABEL" placeholder:"NAME=VALUE" group:"Connection"`

	EnvVars                []string `help:"NAME=VALUE for every job; may repeat. A comma begins the next one, \\, is a comma." name:"env-vars" env:"SEMAPHORE_AGENT_ENV_VARS" placeholder:"NAME=VALUE" group:"Jobs"`
	UploadJobLogs          string   `help:"When the complete log becomes an artifact of the job: never, always or when-trimmed." name:"upload-job-logs" enum:"never,always,when-trimmed" default:"never" env:"SEMAPHORE_AGENT_UPLOAD_JOB_LOGS" group:"Jobs"`
	LogsCompressionSize    string   `help:"From this size on an uploaded log is compressed: 1MiB to 1GiB." name:"logs-compression-size" default:"100MiB" env:"SEMAPHORE_AGENT_LOGS_COMPRESSION_SIZE" placeholder:"SIZE" group:"Jobs"`
	JobWorkspace           string   `help:"Start each job in a fresh folder under this one instead of the home folder." name:"job-workspace" env:"SIGNALBOX_AGENT_JOB_WORKSPACE" placeholder:"DIR" group:"Jobs"`
	JobUser                string   `help:"Run jobs as this user, out of reach of the agent's token and state." name:"job-user" env:"SIGNALBOX_AGENT_JOB_USER" placeholder:"USER" group:"Jobs"`
	StopGrace              seconds  `help:"How long the processes of a stopped job get between SIGTERM and SIGKILL." name:"stop-grace" default:"10" env:"SIGNALBOX_AGENT_STOP_GRACE" placeholder:"SECONDS" group:"Jobs"`
	PreJobHookPath         string   `help:"Script that runs in the session of every job before its commands." name:"pre-job-hook-path" env:"SEMAPHORE_AGENT_PRE_JOB_HOOK_PATH" placeholder:"FILE" group:"Hooks"`
	SourcePreJobHook       bool     `help:"Read the pre-job hook into the job's shell, so that commands see what it exports." name:"source-pre-job-hook" env:"SEMAPHORE_AGENT_SOURCE_PRE_JOB_HOOK" group:"Hooks"`
	FailOnPreJobHookError  bool     `help:"A pre-job hook that fails also fails the job." name:"fail-on-pre-job-hook-error" env:"SEMAPHORE_AGENT_FAIL_ON_PRE_JOB_HOOK_ERROR" group:"Hooks"`
	PostJobHookPath        string   `help:"Script that runs in the session of every job after its epilogues." name:"post-job-hook-path" env:"SEMAPHORE_AGENT_POST_JOB_HOOK_PATH" placeholder:"FILE" group:"Hooks"`
	ShutdownHookPath       string   `help:"Script that the agent runs last, with SEMAPHORE_AGENT_SHUTDOWN_REASON in its environment." name:"shutdown-hook-path" env:"SEMAPHORE_AGENT_SHUTDOWN_HOOK_PATH" placeholder:"FILE" group:"Hooks"`
	DisconnectAfterJob     bool     `help:"Leave after one job." name:"disconnect-after-job" env:"SEMAPHORE_AGENT_DISCONNECT_AFTER_JOB" group:"Leaving"`
	Once                   bool     `help:"The same, shorter." env:"SIGNALBOX_AGENT_ONCE" group:"Leaving"`
	JobID                  string   `help:"Run only this job; needs --disconnect-after-job." name:"job-id" env:"SEMAPHORE_AGENT_JOB_ID" placeholder:"ID" group:"Leaving"`
	DisconnectAfterIdle    seconds  `help:"Leave after so many seconds without a job; 0 is never." name:"disconnect-after-idle-timeout" default:"0" env:"SEMAPHORE_AGENT_DISCONNECT_AFTER_IDLE_TIMEOUT" placeholder:"SECONDS" group:"Leaving"`
	InterruptionGrace      seconds  `help:"Seconds that a running job may go on after SIGTERM." name:"interruption-grace-period" default:"0" env:"SEMAPHORE_AGENT_INTERRUPTION_GRACE_PERIOD" placeholder:"SECONDS" group:"Leaving"`
	Files                  []string `help:"HOST:CONTAINER, a file of this machine and where the first container of every job finds it; may repeat." name:"files" env:"SEMAPHORE_AGENT_FILES" placeholder:"HOST:CONTAINER" group:"Containers"`
	FailOnMissingFiles     bool     `help:"A job fails when one of --files is not there; otherwise it goes without." name:"fail-on-missing-files" env:"SEMAPHORE_AGENT_FAIL_ON_MISSING_FILES" group:"Containers"`
	LowDisk                byteSize `help:"Report to the server when less room than this is free where jobs and logs are kept; 0 is never." name:"low-disk" default:"1GiB" env:"SIGNALBOX_AGENT_LOW_DISK" placeholder:"SIZE" group:"State"`
	DockerHost             string   `help:"Address of the Docker engine, as in DOCKER_HOST; default: the usual one of this machine." name:"docker-host" env:"SIGNALBOX_AGENT_DOCKER_HOST" placeholder:"URL" group:"Containers"`
	KubernetesExecutor     bool     `help:"Run jobs as Kubernetes pods. Not there yet: the agent refuses to start with it." name:"kubernetes-executor" env:"SEMAPHORE_AGENT_KUBERNETES_EXECUTOR" group:"Kubernetes"`
	KubernetesPodSpec      string   `help:"Accepted and not used without --kubernetes-executor, like the next ones." name:"kubernetes-pod-spec" env:"SEMAPHORE_AGENT_KUBERNETES_POD_SPEC" placeholder:"NAME" group:"Kubernetes"`
	KubernetesImages       []string `help:"Images that jobs may use, as regular expressions." name:"kubernetes-allowed-images" env:"SEMAPHORE_AGENT_KUBERNETES_ALLOWED_IMAGES" placeholder:"REGEX" group:"Kubernetes"`
	KubernetesLabels       []string `help:"Labels of the pods, KEY=VALUE." name:"kubernetes-labels" env:"SEMAPHORE_AGENT_KUBERNETES_LABELS" placeholder:"KEY=VALUE" group:"Kubernetes"`
	KubernetesStartTimeout seconds  `help:"Limit for the start of a pod." name:"kubernetes-pod-start-timeout" default:"300" env:"SEMAPHORE_AGENT_KUBERNETES_POD_START_TIMEOUT" placeholder:"SECONDS" group:"Kubernetes"`
	KubernetesDefaultImage string   `help:"Image of jobs that name none." name:"kubernetes-default-image" env:"SEMAPHORE_AGENT_KUBERNETES_DEFAULT_IMAGE" placeholder:"IMAGE" group:"Kubernetes"`

	LogFormat    string   `help:"text or json." name:"log-format" enum:"text,json" default:"text" env:"SIGNALBOX_AGENT_LOG_FORMAT" group:"Logging"`
	LogFile      string   `help:"Log to this file too. It is replaced at 10 MiB; three old ones stay." name:"log-file" env:"SEMAPHORE_AGENT_LOG_FILE_PATH" placeholder:"FILE" group:"Logging"`
	HealthListen string   `help:"Answer GET /healthz, /status and /metrics on this address, as in 127.0.0.1:9090." name:"health-listen" env:"SIGNALBOX_AGENT_HEALTH_LISTEN" placeholder:"ADDR" group:"Logging"`
	State        string   `help:"Folder for what must survive a crash; default: signalbox-agent in the user's cache folder." env:"SIGNALBOX_AGENT_STATE" placeholder:"DIR" group:"State"`
	SpoolQuota   byteSize `help:"How much the log of one job may take on disk until it is delivered, as in 1GB; 0 is no limit." name:"spool-quota" default:"0" env:"SIGNALBOX_AGENT_SPOOL_QUOTA" placeholder:"SIZE" group:"State"`
}

// Help is what `signalbox agent start --help` says beside the flags.
func (*AgentStartCmd) Help() string {
	return "Registers with the server, waits for jobs, runs their commands in a login shell, and sends the log. " +
		"SIGTERM lets it leave: at once when it is idle, after the grace period when it runs a job. " +
		"Options come from flags, environment variables and a file, strongest first; the file of the official agent works as it is. " +
		"SEMAPHORE_AGENT_LOG_LEVEL is understood beside --log-level. A token given as a flag is hidden from the process list at once.\n\n" +
		"Exit codes: 0 after it was told to go, 1 on any error."
}

// config is the agent's configuration; warnings are for its log.
func (c *AgentStartCmd) config(g *Globals, env func(string) string) (cfg agent.Config, warnings []string, err error) {
	if c.KubernetesExecutor {
		return cfg, nil, errors.New("--kubernetes-executor (kubernetes-executor in the configuration file) is not built yet: " +
			"take it out, or keep the official agent on that cluster; this server works with both")
	}
	if c.Endpoint == "" {
		return cfg, nil, errors.New("no endpoint was given: name the server with --endpoint HOST[:PORT], SEMAPHORE_AGENT_ENDPOINT or endpoint in the configuration file")
	}
	if c.Token == "" {
		return cfg, nil, errors.New("no token was given: take the registration token that was shown when the agent type was made, " +
			"and give it with SEMAPHORE_AGENT_TOKEN, token in the configuration file or --token")
	}
	if c.Spawn < 1 || c.Spawn > agent.MaxAgents {
		return cfg, nil, fmt.Errorf("--spawn is %d; it must be 1 to %d", c.Spawn, agent.MaxAgents)
	}
	cfg = agent.Config{
		Endpoint: c.Endpoint, NoHTTPS: c.NoHTTPS, CAFile: g.CAFile, Token: c.Token, Name: c.Name, Version: version,
		DisconnectAfterJob: c.DisconnectAfterJob || c.Once, JobID: c.JobID, Workspace: c.JobWorkspace, StateDir: c.State,
		DisconnectAfterIdleTimeout: time.Duration(c.DisconnectAfterIdle), InterruptionGracePeriod: time.Duration(c.InterruptionGrace),
		FailOnMissingFiles: c.FailOnMissingFiles, UploadJobLogs: agent.UploadLogs(c.UploadJobLogs), JobUser: c.JobUser,
		SpoolQuota: int64(c.SpoolQuota), LowDisk: lowDisk(c.LowDisk), DockerHost: c.DockerHost, ShutdownHook: c.ShutdownHookPath,
		Hooks:  agent.Hooks{PreJob: c.PreJobHookPath, SourcePreJob: c.SourcePreJobHook, FailOnPreJob: c.FailOnPreJobHookError, PostJob: c.PostJobHookPath},
		Timing: agent.Timing{StopGrace: time.Duration(c.StopGrace)},
	}
	if cfg.Program, err = os.Executable(); err != nil {
		return cfg, nil, fmt.Errorf("find this program: %w", err)
	}
	if cfg.StateDir == "" {
		if cfg.StateDir, err = defaultStateDir(); err != nil {
			return cfg, nil, err
		}
	}
	if c.NameFromEnv != "" {
		warnings = append(warnings, "name-from-env is deprecated: use name")
		if cfg.Name == "" {
			if cfg.Name = env(c.NameFromEnv); cfg.Name == "" {
				return cfg, nil, fmt.Errorf("--name-from-env says that the name is in the variable %s, which is not set: set it, or use --name", c.NameFromEnv)
			}
		}
	}
	if cfg.Labels, err = labels(c.Label); err != nil {
		return cfg, nil, err
	}
	if cfg.EnvVars, err = envVars(c.EnvVars); err != nil {
		return cfg, nil, err
	}
	if cfg.Files, err = hostFiles(c.Files); err != nil {
		return cfg, nil, err
	}
	var size byteSize
	if err := size.UnmarshalText([]byte(c.LogsCompressionSize)); err != nil || size < 1<<20 || size > 1<<30 {
		// As the official agent: an odd size is no reason to run no jobs.
		warnings = append(warnings, fmt.Sprintf("logs-compression-size is %q; it must be 1MiB to 1GiB, so the default of 100MiB is used", c.LogsCompressionSize))
		size = 100 << 20
	}
	cfg.LogsCompressionSize = int64(size)
	return cfg, warnings, nil
}

// lowDisk is how little room is reported, less than nothing when it never is.
func lowDisk(n byteSize) int64 {
	if n == 0 {
		return -1
	}
	return int64(n)
}

func defaultStateDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the agent's state (or name one with --state): %w", err)
	}
	return filepath.Join(cache, "signalbox-agent"), nil
}

// agents makes the agents of one process.
func (c *AgentStartCmd) agents(cfg agent.Config) ([]*agent.Agent, error) {
	if c.Spawn > 1 && cfg.JobID != "" {
		return nil, errors.New("--job-id is for one agent, and --spawn asks for more: give one of them")
	}
	var out []*agent.Agent
	for i := range c.Spawn {
		one := cfg
		if c.Spawn > 1 && one.Name != "" {
			one.Name = fmt.Sprintf("%s-%d", cfg.Name, i+1)
		}
		a, err := agent.New(one)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func labels(list []string) (map[string]string, error) {
	var out map[string]string
	for _, v := range list {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fmt.Errorf("label: %q must look like NAME=VALUE", v)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("label: %q is given twice", name)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	if err := signalbox.ValidateLabels(out); err != nil {
		return nil, fmt.Errorf("label: %w", err)
	}
	return out, nil
}

func envVars(list []string) ([]signalbox.EnvVar, error) {
	var out []signalbox.EnvVar
	for _, v := range list {
		name, value, ok := cutEntry(v, "=")
		if !ok {
			return nil, fmt.Errorf("env-vars: %q must look like NAME=VALUE; in a list, a comma begins the next variable", v)
		}
		out = append(out, signalbox.EnvVar{Name: name, Value: value})
	}
	return out, nil
}

func hostFiles(list []string) ([]agent.HostFile, error) {
	var out []agent.HostFile
	for _, v := range list {
		host, container, ok := cutEntry(v, ":")
		if !ok || container == "" || !filepath.IsAbs(container) && container[0] != '/' {
			return nil, fmt.Errorf("files: %q must look like HOST:CONTAINER, as in /etc/ci/npmrc:/opt/npmrc", v)
		}
		if _, _, more := cutEntry(container, ":"); more {
			return nil, fmt.Errorf("files: %q has more than one colon; it must look like HOST:CONTAINER", v)
		}
		out = append(out, agent.HostFile{Host: host, Container: container})
	}
	return out, nil
}

// Run lets a first SIGTERM or interrupt be the server's to decide on.
func (c *AgentStartCmd) Run(ctx context.Context, g *Globals) error {
	cfg, warnings, err := c.config(g, os.Getenv)
	if err != nil {
		return err
	}
	log, closeLog, err := c.logger(g)
	if err != nil {
		return err
	}
	defer closeLog()
	for _, w := range warnings {
		log.Warn(w)
	}
	cfg.Logger = log
	crew := &crew{manager: findServiceManager(), health: c.HealthListen, log: log}
	cfg.Observe = func(agent.Status) { crew.manager.tell(crew.statuses()) }
	if crew.agents, err = c.agents(cfg); err != nil {
		return err
	}
	return asService(ctx, crew.run)
}
