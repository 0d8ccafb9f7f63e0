package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// JobExplainCmd is `signalbox job explain`.
type JobExplainCmd struct {
	ID string `arg:"" help:"Job id."`
}

// Help is what --help says beside the flags.
func (*JobExplainCmd) Help() string {
	return `Says why a job waits: its place in line, which agents there are for it, which limit holds it and when it can be expected
to start. With --output json, "blocked" tells whether no agent can take it as things are.`
}

// explanation is the dispatcher's answer.
type explanation struct {
	JobID     string `json:"job_id"`
	State     string `json:"state"`
	Text      string `json:"text"`
	Blocked   bool   `json:"blocked"`
	Position  int    `json:"position"`
	Queued    int    `json:"queued"`
	AgentType string `json:"agent_type"`
	Agents    struct {
		Free     int `json:"free"`
		Busy     int `json:"busy"`
		Draining int `json:"draining"`
		Disabled int `json:"disabled"`
		Aside    int `json:"quarantined"`
		Suspect  int `json:"suspect"`
		Coming   int `json:"returning"`
	} `json:"agents"`
	Almost []struct {
		Agent   string `json:"agent"`
		Missing string `json:"missing"`
	} `json:"almost,omitempty"`
	Problems []struct {
		Agent   string `json:"agent"`
		Missing string `json:"missing"`
	} `json:"problems,omitempty"`
	HeldBy []struct {
		Of      string `json:"of"`
		Name    string `json:"name,omitempty"`
		Limit   int    `json:"limit"`
		Running int    `json:"running"`
	} `json:"held_by,omitempty"`
	Expected string `json:"expected_start"`
}

func explainJob(ctx context.Context, api *client, id string) (e explanation, err error) {
	err = api.call(ctx, http.MethodGet, "/api/v1alpha/jobs/"+url.PathEscape(id)+"/explain", nil, &e)
	return e, err
}

func (c *JobExplainCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	e, err := explainJob(ctx, api, c.ID)
	if err != nil {
		return err
	}
	return g.print(e, e.text())
}

func (e *explanation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", printable(e.Text))
	if e.State != "queued" {
		return b.String()
	}
	line := func(name, text string) { fmt.Fprintf(&b, "%-9s %s\n", name, printable(text)) }
	b.WriteString("\n")
	line("Position", fmt.Sprintf("%d of %d queued for %s", e.Position, e.Queued, e.AgentType))
	a := e.Agents
	agents := fmt.Sprintf("%d free, %d busy, %d draining, %d disabled, %d silent", a.Free, a.Busy, a.Draining, a.Disabled, a.Suspect)
	if a.Aside > 0 {
		agents += fmt.Sprintf(", %d in quarantine", a.Aside)
	}
	if a.Coming > 0 {
		agents += fmt.Sprintf(", %d to come back", a.Coming)
	}
	line("Agents", agents)
	for _, l := range e.HeldBy {
		line("Limit", fmt.Sprintf("%s: %d of %d run", strings.TrimSpace(strings.ReplaceAll(l.Of, "_", " ")+" "+l.Name), l.Running, l.Limit))
	}
	for _, m := range e.Problems {
		line("Problem", m.Agent+": "+m.Missing)
	}
	for _, m := range e.Almost {
		line("Not", m.Agent+": "+m.Missing)
	}
	if at, err := strconv.ParseInt(e.Expected, 10, 64); err == nil && at > 0 {
		line("Expected", time.Unix(at, 0).UTC().Format("2006-01-02 15:04 UTC"))
	}
	return b.String()
}
