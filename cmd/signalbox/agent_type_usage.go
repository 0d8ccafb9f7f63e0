package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/fleet"
)

// AgentTypeUsageCmd is `signalbox agent-type usage`.
type AgentTypeUsageCmd struct {
	Name  string `arg:"" help:"Name of the agent type."`
	Range string `help:"What time up to now: ${enum}." enum:"24h,7d" default:"24h" env:"SIGNALBOX_USAGE_RANGE"`
}

// Help is what --help says beside the flags.
func (*AgentTypeUsageCmd) Help() string {
	return `Tells how busy the agents of a type were, how long jobs waited for one, and how many agents would have kept none waiting:
the largest number of jobs that ran or waited at one moment. AGENTS, BUSY and WAITING are averages; --output json has finer
steps and all figures.`
}

// usage is what the server knows of it.
type usage struct {
	AgentType string `json:"agent_type"`
	Range     string `json:"range"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Step      int64  `json:"step"`
	Complete  bool   `json:"complete"`
	Jobs      struct {
		Ended    int `json:"ended"`
		Started  int `json:"started"`
		Projects int `json:"projects"`
		Wait     struct {
			P50 float64 `json:"p50"`
			P95 float64 `json:"p95"`
			Max float64 `json:"max"`
		} `json:"wait"`
	} `json:"jobs"`
	Agents struct {
		Hours     float64  `json:"hours"`
		BusyHours float64  `json:"busy_hours"`
		BusyShare *float64 `json:"busy_share"`
	} `json:"agents"`
	Peak struct {
		Needed int   `json:"needed"`
		At     int64 `json:"at"`
		Agents int   `json:"agents"`
	} `json:"peak"`
	Points []usagePoint `json:"points"`
}

type usagePoint struct {
	At      int64   `json:"at"`
	Agents  float64 `json:"agents"`
	Busy    float64 `json:"busy"`
	Waiting float64 `json:"waiting"`
	Needed  int     `json:"needed"`
}

func (c *AgentTypeUsageCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var u usage
	if err := api.call(ctx, http.MethodGet, agentTypes+"/"+url.PathEscape(c.Name)+"/usage?range="+url.QueryEscape(c.Range), nil, &u); err != nil {
		return err
	}
	return g.print(u, u.text())
}

// usageRows is how many lines a table has; finer steps are for programs.
const usageRows = 24

func (u *usage) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-7s %s\n", name, fmt.Sprintf(format, args...))
	}
	at := func(t int64) string { return time.Unix(t, 0).Format("Jan 2 15:04") }
	line("From", "%s%s", at(u.From), map[bool]string{false: ", because more jobs ended than are counted"}[u.Complete])
	if u.Agents.BusyShare == nil {
		line("Busy", "no agent was there")
	} else {
		line("Busy", "%.0f %% of %.1f hours of agents", *u.Agents.BusyShare*100, u.Agents.Hours)
	}
	line("Jobs", "%d ended, %d started, of %d projects", u.Jobs.Ended, u.Jobs.Started, u.Jobs.Projects)
	if u.Jobs.Started > 0 {
		line("Wait", "half started within %s, 95 %% within %s, all within %s", waited(u.Jobs.Wait.P50), waited(u.Jobs.Wait.P95), waited(u.Jobs.Wait.Max))
	}
	if u.Peak.Needed > 0 {
		line("Needed", "%d agents at the peak, %s; there were %d", u.Peak.Needed, at(u.Peak.At), u.Peak.Agents)
	}
	var points []fleet.UsagePoint
	for _, p := range u.Points {
		points = append(points, fleet.UsagePoint{At: time.Unix(p.At, 0), Agents: p.Agents, Busy: p.Busy, Waiting: p.Waiting, Needed: p.Needed})
	}
	rows := [][]string{}
	for _, p := range fleet.Coarse(points, usageRows) {
		rows = append(rows, []string{at(p.At.Unix()), fmt.Sprintf("%.1f", p.Agents), fmt.Sprintf("%.1f", p.Busy), fmt.Sprintf("%.1f", p.Waiting), fmt.Sprint(p.Needed)})
	}
	return b.String() + "\n" + table([]string{"FROM", "AGENTS", "BUSY", "WAITING", "MOST AT ONCE"}, rows)
}

// waited is a number of seconds in words of fitting size.
func waited(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
