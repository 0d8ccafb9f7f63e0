package agent

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// Containers says how this machine runs jobs in containers.
type Containers struct {
	Host               string     // address of the Docker engine; "" is the usual one of this machine
	Dir                string     // folder that remembers by which label a killed agent's containers are found; "" is none
	Files              []HostFile // of this machine, to be seen in the first container
	FailOnMissingFiles bool
}

// options makes an executor's options of a payload. What did not arrive whole is a sentence for the job's log.
func (c Containers) options(p *agentapi.JobPayload, shell executor.ShellOptions) (executor.DockerOptions, error) {
	o := executor.DockerOptions{
		Shell: shell, Host: c.Host, Job: p.JobID, FailOnMissingFiles: c.FailOnMissingFiles,
	}
	label, err := c.label()
	if err != nil {
		return o, fmt.Errorf("the label of this agent's containers cannot be kept: %w", err)
	}
	o.Agent = label
	for _, f := range c.Files {
		o.Files = append(o.Files, executor.Bind(f))
	}
	if p.Compose == nil {
		return o, nil
	}
	for _, command := range p.Compose.HostSetupCommands {
		o.HostCommands = append(o.HostCommands, command.Directive)
	}
	for _, in := range p.Compose.Containers {
		out := executor.Container{Name: in.Name, Image: in.Image, Command: in.Command, Entrypoint: in.Entrypoint, User: in.User}
		for _, v := range in.EnvVars {
			value, err := base64.StdEncoding.DecodeString(v.Value)
			if err != nil {
				return o, signalbox.Errorf(signalbox.CodeInvalid, "Cannot set %s in the container %q: its value did not arrive as base64 (%v).", v.Name, in.Name, err)
			}
			out.Env = append(out.Env, v.Name+"="+string(value))
		}
		o.Containers = append(o.Containers, out)
	}
	for _, in := range p.Compose.ImagePullCredentials {
		out := executor.Credential{Env: map[string]string{}}
		for _, v := range in.EnvVars {
			value, err := base64.StdEncoding.DecodeString(v.Value)
			if err != nil {
				return o, signalbox.Errorf(signalbox.CodeInvalid, "Cannot use an image pull secret: the value of its variable %s did not arrive as base64 (%v).", v.Name, err)
			}
			out.Env[v.Name] = string(value)
		}
		for _, f := range in.Files {
			content, err := base64.StdEncoding.DecodeString(f.Content)
			if err != nil {
				return o, signalbox.Errorf(signalbox.CodeInvalid, "Cannot use an image pull secret: its file %s did not arrive as base64 (%v).", f.Path, err)
			}
			out.Files = append(out.Files, executor.File{Path: f.Path, Mode: f.Mode, Content: content})
		}
		o.Credentials = append(o.Credentials, out)
	}
	return o, nil
}

// newExecutor runs the job in a shell of this machine or in containers, as the payload says.
func (c Containers) newExecutor(p *agentapi.JobPayload, shell executor.ShellOptions) (executor.Executor, error) {
	switch p.Executor {
	case "", "shell":
		return executor.NewShell(shell)
	case "dockercompose":
		o, err := c.options(p, shell)
		if err != nil {
			return nil, err
		}
		return executor.NewDocker(o)
	default:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "This agent does not know the executor %q; it knows \"shell\" and \"dockercompose\".", p.Executor)
	}
}

// labelFile, in an agent's folder, holds the label of its containers: the same after a crash, and another one for every
// other agent on any machine that uses the same engine. It is there once a job has run in containers.
const labelFile = "containers"

// knownLabel is "" when there is none yet.
func knownLabel(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, labelFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// label finds or makes the label. It is on disk before the first container is made.
func (c Containers) label() (string, error) {
	if c.Dir == "" {
		return strings.ToLower(rand.Text()), nil
	}
	label, err := knownLabel(c.Dir)
	if err != nil || label != "" {
		return label, err
	}
	label = strings.ToLower(rand.Text())
	return label, os.WriteFile(filepath.Join(c.Dir, labelFile), []byte(label+"\n"), 0o600)
}

// cleanContainers removes what jobs of an earlier process in the same folder left on the engine. It costs nothing when
// no job of this folder ever ran in containers.
func (a *Agent) cleanContainers(ctx context.Context) {
	a.containers = Containers{Host: a.cfg.DockerHost, Files: a.cfg.Files, FailOnMissingFiles: a.cfg.FailOnMissingFiles, Dir: a.dir}
	label, err := knownLabel(a.dir)
	if err != nil {
		a.log.Warn("the containers of earlier jobs cannot be found", "error", err)
	}
	if label == "" {
		return
	}
	if err := executor.CleanDocker(ctx, a.cfg.DockerHost, label); err != nil {
		a.log.Warn("the containers of earlier jobs cannot be removed", "error", err)
	}
}
