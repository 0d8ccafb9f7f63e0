package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// InitializationCmd is `signalbox initialization`.
type InitializationCmd struct {
	Show InitializationShowCmd `cmd:"" help:"Show where pipeline files are compiled, and the pre-flight checks."`
	Set  InitializationSetCmd  `cmd:"" help:"Change either."`
}

type initialization struct {
	MachineType string   `json:"machine_type"`
	OSImage     string   `json:"os_image"`
	Commands    []string `json:"commands"`
	Secrets     []string `json:"secrets"`
}

func initializationURL(project string) string {
	if project == "" {
		return "/api/v1alpha/initialization"
	}
	return "/api/v1alpha/projects/" + url.PathEscape(project) + "/initialization"
}

func (i *initialization) text(project string) string {
	where := "on the server, unless a project says otherwise"
	if project != "" {
		where = "where the organization says"
	}
	if i.MachineType != "" {
		where = i.MachineType
		if i.OSImage != "" {
			where += ":" + i.OSImage
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Compiled  %s\n", where)
	for _, c := range i.Commands {
		fmt.Fprintf(&b, "Check     %s\n", c)
	}
	if len(i.Secrets) > 0 {
		fmt.Fprintf(&b, "Secrets   %s\n", strings.Join(i.Secrets, ", "))
	}
	return b.String()
}

// InitializationShowCmd is `signalbox initialization show`.
type InitializationShowCmd struct {
	Project string `arg:"" optional:"" help:"Of this project; of the organization without one."`
}

func (c *InitializationShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var i initialization
	if err := api.call(ctx, http.MethodGet, initializationURL(c.Project), nil, &i); err != nil {
		return err
	}
	return g.print(i, i.text(c.Project))
}

// InitializationSetCmd is `signalbox initialization set`.
type InitializationSetCmd struct {
	Project  string   `arg:"" optional:"" help:"Of this project; of the organization without one."`
	Agent    string   `help:"Compile on agents of this type; \"none\" compiles on the server." placeholder:"TYPE[:IMAGE]" env:"SIGNALBOX_INIT_AGENT"`
	Check    []string `help:"Run this before every pipeline, in place of the present checks; may be repeated." sep:"none" env:"SIGNALBOX_CHECK" placeholder:"COMMAND"`
	NoChecks bool     `help:"Take all checks away." env:"SIGNALBOX_NO_CHECKS"`
	Secret   []string `help:"Give this secret to the checks; may be repeated." env:"SIGNALBOX_SECRET" placeholder:"NAME"`
}

// Help is what --help says beside the flags.
func (*InitializationSetCmd) Help() string {
	return `The server reads pipeline files itself, so nothing of this is needed. With an agent type, files with change_in, templates or
commands_file are compiled in a job there, whose log is kept like any other. Checks run in that job before every
pipeline: one that fails keeps the pipeline from beginning. Those of the organization run before those of a project.`
}

func (c *InitializationSetCmd) Run(ctx context.Context, g *Globals) error {
	switch {
	case c.Agent == "" && len(c.Check) == 0 && !c.NoChecks:
		return errors.New("nothing to change: give --agent, --check or --no-checks")
	case c.NoChecks && len(c.Check) > 0:
		return errors.New("--check and --no-checks say the opposite")
	case len(c.Secret) > 0 && len(c.Check) == 0:
		return errors.New("--secret is for checks: give them with --check, all that there should be")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	var i initialization
	if err := api.call(ctx, http.MethodGet, initializationURL(c.Project), nil, &i); err != nil {
		return err
	}
	switch c.Agent {
	case "":
	case "none":
		i.MachineType, i.OSImage = "", ""
	default:
		i.MachineType, i.OSImage, _ = strings.Cut(c.Agent, ":")
	}
	if c.NoChecks || len(c.Check) > 0 {
		i.Commands, i.Secrets = slices.Clone(c.Check), slices.Clone(c.Secret)
	}
	var out initialization
	if err := api.call(ctx, http.MethodPut, initializationURL(c.Project), i, &out); err != nil {
		return err
	}
	return g.print(out, out.text(c.Project))
}
