package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/download"
)

// AgentTypeCmd is `signalbox agent-type`.
type AgentTypeCmd struct {
	Create     AgentTypeCreateCmd `cmd:"" help:"Make an agent type and show its registration token, once."`
	List       AgentTypeListCmd   `cmd:"" help:"List the agent types."`
	Show       AgentTypeShowCmd   `cmd:"" help:"Show an agent type's settings and tokens."`
	Usage      AgentTypeUsageCmd  `cmd:"" help:"Tell how busy the agents were and how long jobs waited for one."`
	Set        AgentTypeSetCmd    `cmd:"" help:"Change an agent type's settings."`
	Delete     AgentTypeDeleteCmd `cmd:"" help:"Delete an agent type that has no agents."`
	ResetToken AgentTypeResetCmd  `cmd:"" name:"reset-token" help:"Replace all registration tokens by a new one; agents that are registered go on."`
	Token      AgentTypeTokenCmd  `cmd:"" help:"Registration tokens one by one: for a network, for some time, for one agent."`
}

type agentType struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec   agentTypeSpec `json:"spec"`
	Status struct {
		TotalAgentCount   int    `json:"total_agent_count"`
		RegistrationToken string `json:"registration_token,omitempty"`
	} `json:"status"`
}

type agentTypeSpec struct {
	Names          *agentTypeNames `json:"agent_name_settings,omitempty"`
	LostAfter      *int64          `json:"lost_after,omitempty"`
	ProjectsAccess *string         `json:"projects_access,omitempty"`
	Projects       []string        `json:"projects,omitempty"`
	Forks          *bool           `json:"forks,omitempty"`
	MaxRunningJobs *int            `json:"max_running_jobs,omitempty"`
	Quarantine     *quarantineRule `json:"quarantine,omitempty"`
	Lease          *int64          `json:"lease,omitempty"`
	Ephemeral      *bool           `json:"ephemeral,omitempty"`
}

type agentTypeNames struct {
	Origin       string         `json:"assignment_origin"`
	ReleaseAfter int64          `json:"release_after"`
	AWS          *agentTypeRole `json:"aws"`
}

type agentTypeRole struct {
	Account string `json:"account_id"`
	Roles   string `json:"role_name_patterns"`
}

const agentTypes = "/api/v1alpha/self_hosted_agent_types"

// AgentTypeCreateCmd is `signalbox agent-type create`.
type AgentTypeCreateCmd struct {
	Name string `arg:"" help:"Name, beginning with s1-."`
	agentTypeFlags
}

func (c *AgentTypeCreateCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	ca, err := api.authority(ctx) // first, because the token is shown only once
	if err != nil {
		return err
	}
	var out agentType
	spec, err := c.spec(agentTypeSpec{})
	if err != nil {
		return err
	}
	in := map[string]any{"metadata": map[string]any{"name": c.Name}, "spec": spec}
	if err := api.call(ctx, http.MethodPost, agentTypes, in, &out); err != nil {
		return err
	}
	return g.printToken(api, ca, out, "Agent type "+out.Metadata.Name+" created.")
}

// printToken shows a registration token with the lines that use it.
func (g *Globals) printToken(api *client, ca []byte, t agentType, first string) error {
	i := download.Install{BaseURL: api.public, CA: ca, Token: t.Status.RegistrationToken}
	endpoint := strings.TrimPrefix(strings.TrimPrefix(api.public, "https://"), "http://")
	note := ""
	if ca != nil {
		sum := sha256.Sum256(ca)
		note = "The server's certificate comes from its own authority. The lines fetch that certificate into signalbox-ca.crt and go\n" +
			"on only if its SHA-256 is\n\n  " + hex.EncodeToString(sum[:]) + "\n\n"
	}
	text := fmt.Sprintf("%s Its registration token is shown only now:\n\n  %s\n\n%sTo make a machine an agent, run there in an empty folder\n\non Linux, macOS or FreeBSD:\n\n  %s\n\non Windows, in PowerShell:\n\n  %s\n",
		first, t.Status.RegistrationToken, note, i.Unix(), i.Windows())
	return g.print(map[string]any{
		"name": t.Metadata.Name, "registration_token": t.Status.RegistrationToken, "endpoint": endpoint,
		"install": map[string]string{"unix": i.Unix(), "windows": i.Windows()},
	}, text)
}

// authority returns the certificate of the server's own authority if it is what vouches for the server, nil when
// another one does, which machines can be expected to know.
func (c *client) authority(ctx context.Context) ([]byte, error) {
	if strings.HasPrefix(c.base, "http://") {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+download.CAPath, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the server's certificate authority: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("ask for the server's certificate authority: %w", err)
	}
	block, _ := pem.Decode(text)
	if res.StatusCode != http.StatusOK || block == nil || res.TLS == nil {
		return nil, nil
	}
	for _, chain := range res.TLS.VerifiedChains {
		if bytes.Equal(chain[len(chain)-1].Raw, block.Bytes) {
			return text, nil
		}
	}
	return nil, nil
}

// AgentTypeListCmd is `signalbox agent-type list`.
type AgentTypeListCmd struct{}

func (AgentTypeListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		AgentTypes []agentType `json:"agent_types"`
	}
	if err := api.call(ctx, http.MethodGet, agentTypes, nil, &out); err != nil {
		return err
	}
	rows := [][]string{}
	for _, t := range out.AgentTypes {
		rows = append(rows, []string{t.Metadata.Name, fmt.Sprint(t.Status.TotalAgentCount), t.Spec.projects(), t.Spec.names()})
	}
	return g.print(out.AgentTypes, table([]string{"NAME", "AGENTS", "PROJECTS", "NAMES FROM"}, rows))
}

// AgentTypeDeleteCmd is `signalbox agent-type delete`.
type AgentTypeDeleteCmd struct {
	Name  string `arg:"" help:"Name of the agent type."`
	Force bool   `help:"Also when agents are connected: they finish their jobs and leave." env:"SIGNALBOX_AGENT_TYPE_FORCE"`
}

func (c *AgentTypeDeleteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, agentTypes+"/"+url.PathEscape(c.Name)+map[bool]string{true: "?force=true"}[c.Force], nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"deleted": c.Name}, "Agent type "+c.Name+" deleted.\n")
}

// AgentTypeResetCmd is `signalbox agent-type reset-token`.
type AgentTypeResetCmd struct {
	Name       string  `arg:"" help:"Name of the agent type."`
	Overlap    seconds `help:"How long the old tokens go on beside the new one, as in 24h." default:"0" env:"SIGNALBOX_TOKEN_OVERLAP" placeholder:"DURATION"`
	Disconnect bool    `help:"Agents that are connected stop their jobs and leave." env:"SIGNALBOX_AGENT_TYPE_DISCONNECT"`
}

func (c *AgentTypeResetCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	ca, err := api.authority(ctx)
	if err != nil {
		return err
	}
	var out agentType
	if err := api.call(ctx, http.MethodPost, agentTypes+"/"+url.PathEscape(c.Name)+"/reset_token",
		map[string]any{"overlap": time.Duration(c.Overlap) / time.Second, "disconnect_running_agents": c.Disconnect}, &out); err != nil {
		return err
	}
	first := "The old tokens of " + out.Metadata.Name + " are void."
	if c.Overlap > 0 {
		first = "The old tokens of " + out.Metadata.Name + " are good for another " + c.Overlap.String() + "."
	}
	return g.printToken(api, ca, out, first)
}
