package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const agents = "/api/v1alpha/agents"

// agentInfo is what the API says of an agent.
type agentInfo struct {
	Metadata struct {
		Name          string            `json:"name"`
		Type          string            `json:"type"`
		Hostname      string            `json:"hostname"`
		Version       string            `json:"version"`
		OS            string            `json:"os"`
		Arch          string            `json:"arch"`
		IP            string            `json:"ip_address"`
		PID           int               `json:"pid"`
		UserAgent     string            `json:"user_agent"`
		Labels        map[string]string `json:"labels"`
		ConnectedAt   int64             `json:"connected_at"`
		LastSeenAt    int64             `json:"last_seen_at"`
		DisabledAt    int64             `json:"disabled_at"`
		DrainedAt     int64             `json:"drained_at"`
		InterruptedAt int64             `json:"interrupted_at"`
		QuarantinedAt int64             `json:"quarantined_at"`
		Quarantine    *agentQuarantine  `json:"quarantine,omitempty"`
		Problems      []agentProblem    `json:"problems"`
		SingleJob     bool              `json:"single_job"`
		IdleTimeout   int64             `json:"idle_timeout"`
		GracePeriod   int64             `json:"interruption_grace_period"`
	} `json:"metadata"`
	Status struct {
		State     string `json:"state"`
		JobID     string `json:"job_id"`
		Connected bool   `json:"connected"`
		Suspect   bool   `json:"suspect"`
	} `json:"status"`
}

// agentProblem is what an agent has found wrong with its machine.
type agentProblem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// agentQuarantine is why an agent is set aside, or was to be.
type agentQuarantine struct {
	By       string `json:"by"`
	Why      string `json:"why"`
	Kept     string `json:"kept,omitempty"`
	Evidence []struct {
		JobID     string `json:"job_id"`
		Attempt   int    `json:"attempt"`
		Reason    string `json:"reason"`
		EndedAt   string `json:"ended_at"`
		Elsewhere *struct {
			Result string `json:"result"`
			JobID  string `json:"job_id"`
			Agent  string `json:"agent"`
		} `json:"elsewhere,omitempty"`
	} `json:"evidence,omitempty"`
}

// lines are the evidence for people.
func (q *agentQuarantine) lines() (out []string) {
	for _, e := range q.Evidence {
		s := "job " + e.JobID + " failed"
		if e.Reason != "" {
			s += " (" + inWords(e.Reason) + ")"
		}
		if w := e.Elsewhere; w != nil && w.Result == "passed" {
			s += " and passed on " + w.Agent
			if w.JobID != e.JobID {
				s += " as job " + w.JobID
			}
		}
		out = append(out, s)
	}
	return out
}

// state is one word for where an agent stands.
func (a agentInfo) state() string {
	m := a.Metadata
	word := "idle"
	if a.Status.JobID != "" {
		word = "busy"
	}
	if a.Status.Suspect {
		word += ", suspect"
	}
	switch {
	case !a.Status.Connected:
		return "left"
	case m.QuarantinedAt != 0 && m.DisabledAt+m.DrainedAt+m.InterruptedAt == 0:
		return word + ", in quarantine"
	case m.DisabledAt != 0:
		return word + ", disabled"
	case m.DrainedAt != 0:
		return word + ", draining"
	case m.InterruptedAt != 0:
		return word + ", leaving"
	}
	return word
}

// problems are the words for what is wrong, or the sentences.
func (a agentInfo) problems(details bool) string {
	var out []string
	for _, p := range a.Metadata.Problems {
		if details && p.Detail != "" {
			out = append(out, p.Detail)
		} else {
			out = append(out, p.Code)
		}
	}
	if details {
		return strings.Join(out, "; ")
	}
	return strings.Join(out, ",")
}

func (a agentInfo) labels() string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(a.Metadata.Labels)) {
		out = append(out, k+"="+a.Metadata.Labels[k])
	}
	return strings.Join(out, " ")
}

// AgentListCmd is `signalbox agent list`.
type AgentListCmd struct {
	Type string `help:"Only agents of this type." env:"SIGNALBOX_AGENT_TYPE" placeholder:"NAME"`
}

func (c AgentListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	all, err := api.agents(ctx, c.Type)
	if err != nil {
		return err
	}
	rows := [][]string{}
	for _, a := range all {
		rows = append(rows, []string{
			a.Metadata.Name, a.Metadata.Type, a.state(), a.Status.JobID, a.Metadata.Hostname, a.Metadata.Version, instant(a.Metadata.LastSeenAt, "never"), a.labels(), a.problems(false),
		})
	}
	return g.print(all, table([]string{"NAME", "TYPE", "STATE", "JOB", "HOST", "VERSION", "LAST SEEN", "LABELS", "PROBLEMS"}, rows))
}

// agents reads all pages of a type's agents.
func (c *client) agents(ctx context.Context, agentType string) ([]agentInfo, error) {
	all := []agentInfo{}
	for cursor, first := "", true; first || cursor != ""; first = false {
		var page struct {
			Agents []agentInfo `json:"agents"`
			Cursor string      `json:"cursor"`
		}
		q := url.Values{}
		if agentType != "" {
			q.Set("agent_type", agentType)
		}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if err := c.call(ctx, http.MethodGet, agents+"?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all, cursor = append(all, page.Agents...), page.Cursor
	}
	return all, nil
}

// AgentShowCmd is `signalbox agent show`.
type AgentShowCmd struct {
	Name string `arg:"" help:"Name of the agent."`
}

func (c *AgentShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var a agentInfo
	if err := api.call(ctx, http.MethodGet, agents+"/"+url.PathEscape(c.Name), nil, &a); err != nil {
		return err
	}
	m := a.Metadata
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-13s  %s\n", name, printable(value))
		}
	}
	fmt.Fprintf(&b, "%s: %s\n", printable(m.Name), a.state())
	line("type", m.Type)
	line("job", a.Status.JobID)
	line("host", m.Hostname)
	line("address", m.IP)
	line("system", strings.Trim(m.OS+", "+m.Arch, ", "))
	line("version", m.Version)
	line("process", fmt.Sprint(m.PID))
	line("labels", a.labels())
	line("connected", instant(m.ConnectedAt, ""))
	line("last seen", instant(m.LastSeenAt, "never"))
	line("problems", a.problems(true))
	line("draining", instant(m.DrainedAt, ""))
	line("disabled", instant(m.DisabledAt, ""))
	line("interrupted", instant(m.InterruptedAt, ""))
	line("quarantine", instant(m.QuarantinedAt, ""))
	if q := m.Quarantine; q != nil {
		line("because", q.Why+" (by "+q.By+")")
		line("kept", q.Kept)
		for _, l := range q.lines() {
			line("", l)
		}
	}
	if m.SingleJob {
		line("leaves", "after one job")
	}
	if m.IdleTimeout > 0 {
		line("leaves", "after "+(time.Duration(m.IdleTimeout)*time.Second).String()+" without a job")
	}
	if m.GracePeriod > 0 {
		line("grace period", (time.Duration(m.GracePeriod) * time.Second).String())
	}
	return g.print(a, b.String())
}

// AgentRejectedCmd is `signalbox agent rejected`.
type AgentRejectedCmd struct {
	Type string `help:"Only those that had a token of this type." env:"SIGNALBOX_AGENT_TYPE" placeholder:"NAME"`
}

// Help is what --help says beside the flags.
func (*AgentRejectedCmd) Help() string {
	return "The newest 100 of each type are kept, and the newest 100 whose token nobody knows. The same reason, address and name count as one."
}

func (c *AgentRejectedCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		Rejected []struct {
			Type   string `json:"agent_type"`
			Reason string `json:"reason"`
			Detail string `json:"detail"`
			Name   string `json:"name"`
			IP     string `json:"ip_address"`
			Host   string `json:"hostname"`
			Token  string `json:"token_hash_prefix"`
			Count  int    `json:"count"`
			First  int64  `json:"first_at"`
			Last   int64  `json:"last_at"`
		} `json:"rejected_registrations"`
	}
	path := "/api/v1alpha/rejected_registrations"
	if c.Type != "" {
		path += "?" + url.Values{"agent_type": {c.Type}}.Encode()
	}
	if err := api.call(ctx, http.MethodGet, path, nil, &out); err != nil {
		return err
	}
	rows := [][]string{}
	for _, r := range out.Rejected {
		rows = append(rows, []string{instant(r.Last, ""), fmt.Sprint(r.Count), r.Type, r.Name, r.IP, r.Reason, r.Detail})
	}
	return g.print(out.Rejected, table([]string{"LAST", "TIMES", "TYPE", "NAME", "ADDRESS", "REASON", "WHAT IT WAS TOLD"}, rows))
}
