package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox/agent"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// AgentRunCmd is `signalbox agent run`.
type AgentRunCmd struct {
	File         string `arg:"" help:"Job file in YAML; - is standard input."`
	JobWorkspace string `help:"Start the job in a fresh folder under this one instead of the home folder." name:"job-workspace" env:"SIGNALBOX_AGENT_JOB_WORKSPACE" placeholder:"DIR"`
}

// Help is what --help says beside the flags.
func (*AgentRunCmd) Help() string {
	return "Runs one job and prints its log; no server is needed. The keys are those that a server sends, with values of variables and contents of files in base64, as on the wire:\n\n" +
		"  job_name: Try it\n" +
		"  env_vars:\n" +
		"    - {name: GREETING, value: SGVsbG8=}       # printf Hello | base64\n" +
		"  files:\n" +
		"    - {path: .npmrc, content: Zm9v, mode: \"0600\"}\n" +
		"  commands:\n" +
		"    - directive: echo \"$GREETING\"\n\n" +
		"Further lists of commands are epilogue_always_commands, epilogue_on_pass_commands and epilogue_on_fail_commands. " +
		"\"file\" is another name of \"files\".\n\n" +
		"Exit codes: 0 passed, 1 it could not be run, 2 the file is wrong, 10 failed, 11 stopped."
}

// Run runs the job. A signal stops it.
func (c *AgentRunCmd) Run(ctx context.Context, g *Globals) error {
	payload, err := c.read(os.Stdin)
	if err != nil {
		return &exitCodeError{code: exitInvalid, err: err}
	}
	dir, err := os.MkdirTemp("", "signalbox-job-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := executor.AdoptOrphans(); err != nil {
		g.logger().Warn("a job's process that hides well may outlive it", "error", err)
	}
	o := agent.JobOptions{Shell: executor.ShellOptions{Dir: filepath.Join(dir, "job"), Logger: g.logger()}, Logger: g.logger()}
	if c.JobWorkspace != "" {
		ws, err := filepath.Abs(c.JobWorkspace)
		if err != nil {
			return err
		}
		o.Shell.Workspace = filepath.Join(ws, rand.Text())
	}
	logTo := g.out
	if g.Output == "json" {
		logTo = g.err
	}
	print := newLogPrinter(logTo)
	result, err := agent.RunJob(ctx, payload, o, func(e agentapi.Event) error { print.event(e); return nil })
	if err != nil {
		return err
	}
	if err := g.print(map[string]string{"job_name": payload.JobName, "result": string(result)}, fmt.Sprintf("The job %s.\n", result)); err != nil {
		return err
	}
	return resultError(string(result))
}

func (c *AgentRunCmd) read(stdin io.Reader) (*agentapi.JobPayload, error) {
	name, in := c.File, stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("the job file cannot be read: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("the job file cannot be read: %w", err)
	}
	p, err := parseJob(text)
	var at *positionError
	if errors.As(err, &at) {
		return nil, fmt.Errorf("%s:%d:%d: %s", name, at.line, at.col, at.text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// parseJob reads a job file: the payload of a job, in YAML.
func parseJob(text []byte) (*agentapi.JobPayload, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("it is not YAML: %w", err)
	}
	p := &agentapi.JobPayload{}
	if len(doc.Content) == 0 {
		return nil, &positionError{1, 1, "the job file is empty; it needs at least commands"}
	}
	root := doc.Content[0]
	if root.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if root.Content[i].Value == "file" { // as the official agent has it
				root.Content[i].Value = "files"
			}
		}
	}
	if err := fill(reflect.ValueOf(p).Elem(), root, "the job file"); err != nil {
		return nil, err
	}
	if p.JobID == "" {
		p.JobID = "local"
	}
	return p, nil
}

// base64Keys are the texts of a payload that travel in base64.
var base64Keys = map[string]bool{"value": true, "content": true}

// fill reads a node into a value by the names of the wire. It knows what a payload is made of.
func fill(v reflect.Value, n *yaml.Node, what string) error {
	wrong := func(want string) error {
		return &positionError{n.Line, n.Column, what + " must be " + want}
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), n, what)
	case reflect.String:
		if n.Kind != yaml.ScalarNode {
			return wrong("a text")
		}
		v.SetString(n.Value)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return wrong("a list")
		}
		for i, e := range n.Content {
			item := reflect.New(v.Type().Elem()).Elem()
			if err := fill(item, e, fmt.Sprintf("%s %d", what, i+1)); err != nil {
				return err
			}
			v.Set(reflect.Append(v, item))
		}
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return wrong("a map")
		}
		fields := map[string]reflect.Value{}
		var names []string
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			fields[name] = v.Field(i)
			names = append(names, name)
		}
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			f, ok := fields[k.Value]
			if !ok {
				return &positionError{k.Line, k.Column, fmt.Sprintf("unknown key %q in %s; it has %s", k.Value, what, strings.Join(names, ", "))}
			}
			if seen[k.Value] {
				return &positionError{k.Line, k.Column, k.Value + " stands here a second time"}
			}
			seen[k.Value] = true
			if err := fill(f, n.Content[i+1], k.Value); err != nil {
				return err
			}
			if base64Keys[k.Value] && f.Kind() == reflect.String {
				if _, err := base64.StdEncoding.DecodeString(f.String()); err != nil {
					e := n.Content[i+1]
					return &positionError{e.Line, e.Column, k.Value + " is not base64; make it with: printf %s TEXT | base64"}
				}
			}
		}
	}
	return nil
}
