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
	Delete     AgentTypeDeleteCmd `cmd:"" help:"Delete an agent type that has no agents."`
	ResetToken AgentTypeResetCmd  `cmd:"" name:"reset-token" help:"Replace the registration token; agents that are registered go on."`
}

type agentType struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Status struct {
		TotalAgentCount   int    `json:"total_agent_count"`
		RegistrationToken string `json:"registration_token,omitempty"`
	} `json:"status"`
}

const agentTypes = "/api/v1alpha/self_hosted_agent_types"

// AgentTypeCreateCmd is `signalbox agent-type create`.
type AgentTypeCreateCmd struct {
	Name string `arg:"" help:"Name, beginning with s1-."`
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
	in := map[string]any{"metadata": map[string]any{"name": c.Name}}
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
		rows = append(rows, []string{t.Metadata.Name, fmt.Sprint(t.Status.TotalAgentCount)})
	}
	return g.print(out.AgentTypes, table([]string{"NAME", "AGENTS"}, rows))
}

// AgentTypeDeleteCmd is `signalbox agent-type delete`.
type AgentTypeDeleteCmd struct {
	Name string `arg:"" help:"Name of the agent type."`
}

func (c *AgentTypeDeleteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, agentTypes+"/"+url.PathEscape(c.Name), nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"deleted": c.Name}, "Agent type "+c.Name+" deleted.\n")
}

// AgentTypeResetCmd is `signalbox agent-type reset-token`.
type AgentTypeResetCmd struct {
	Name string `arg:"" help:"Name of the agent type."`
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
	if err := api.call(ctx, http.MethodPost, agentTypes+"/"+url.PathEscape(c.Name)+"/reset_token", nil, &out); err != nil {
		return err
	}
	return g.printToken(api, ca, out, "The old token of "+out.Metadata.Name+" is void.")
}

// AgentsCmd is `signalbox agents`.
type AgentsCmd struct{}

func (AgentsCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		Agents []struct {
			Metadata struct {
				Name     string `json:"name"`
				Type     string `json:"type"`
				Hostname string `json:"hostname"`
				Version  string `json:"version"`
			} `json:"metadata"`
			Status struct {
				State string `json:"state"`
				JobID string `json:"job_id"`
			} `json:"status"`
		} `json:"agents"`
	}
	if err := api.call(ctx, http.MethodGet, "/api/v1alpha/agents", nil, &out); err != nil {
		return err
	}
	rows := [][]string{}
	for _, a := range out.Agents {
		rows = append(rows, []string{a.Metadata.Name, a.Metadata.Type, a.Status.State, a.Status.JobID, a.Metadata.Hostname, a.Metadata.Version})
	}
	return g.print(out.Agents, table([]string{"NAME", "TYPE", "STATE", "JOB", "HOST", "VERSION"}, rows))
}
