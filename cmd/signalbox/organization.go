package main

import (
	"context"
	"fmt"
	"net/http"
)

// OrganizationCmd is `signalbox organization`.
type OrganizationCmd struct {
	Show OrganizationShowCmd `cmd:"" help:"Show the settings."`
	Set  OrganizationSetCmd  `cmd:"" help:"Change the settings."`
}

const organization = "/api/v1alpha/organization"

type organizationBody struct {
	MaxRunningJobs int `json:"max_running_jobs"`
}

func (o organizationBody) text() string { return "Running jobs  " + limitText(o.MaxRunningJobs) + "\n" }

func limitText(n int) string {
	if n == 0 {
		return "no limit"
	}
	return fmt.Sprintf("at most %d at once", n)
}

// OrganizationShowCmd is `signalbox organization show`.
type OrganizationShowCmd struct{}

func (OrganizationShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var o organizationBody
	if err := api.call(ctx, http.MethodGet, organization, nil, &o); err != nil {
		return err
	}
	return g.print(o, o.text())
}

// OrganizationSetCmd is `signalbox organization set`.
type OrganizationSetCmd struct {
	MaxRunningJobs int `help:"How many jobs may hold agents at once; 0 is no limit." name:"max-running-jobs" required:"" env:"SIGNALBOX_MAX_RUNNING_JOBS" placeholder:"N"`
}

func (c *OrganizationSetCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var o organizationBody
	if err := api.call(ctx, http.MethodPatch, organization, organizationBody{c.MaxRunningJobs}, &o); err != nil {
		return err
	}
	return g.print(o, o.text())
}
