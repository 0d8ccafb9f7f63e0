package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// AgentTypeTokenCmd is `signalbox agent-type token`.
type AgentTypeTokenCmd struct {
	Create RegistrationCreateCmd `cmd:"" help:"Make one more registration token and show it, once."`
	List   RegistrationListCmd   `cmd:"" help:"List the registration tokens of a type."`
	Rotate RegistrationRotateCmd `cmd:"" help:"Make a token like another one, which goes on for a while."`
	Revoke RegistrationRevokeCmd `cmd:"" help:"End a token now; agents that registered with it go on."`
}

type registrationToken struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Token      string   `json:"registration_token,omitempty"`
	Networks   []string `json:"networks"`
	OneTime    bool     `json:"one_time"`
	State      string   `json:"state"`
	CreatedBy  string   `json:"created_by"`
	CreatedAt  int64    `json:"created_at"`
	ExpiresAt  int64    `json:"expires_at"`
	LastUsedAt int64    `json:"last_used_at"`
	LastUsedIP string   `json:"last_used_ip"`
	LastUsedBy string   `json:"last_used_by"`
}

func tokensOf(agentType string) string {
	return agentTypes + "/" + url.PathEscape(agentType) + "/tokens"
}

// instant writes Unix seconds for people.
func instant(n int64, never string) string {
	if n == 0 {
		return never
	}
	return time.Unix(n, 0).UTC().Format("2006-01-02 15:04:05Z")
}

// RegistrationCreateCmd is `signalbox agent-type token create`.
type RegistrationCreateCmd struct {
	Type      string   `arg:"" help:"Name of the agent type."`
	Name      string   `arg:"" help:"What the token is for."`
	ExpiresIn seconds  `help:"How long agents can register with it, as in 720h; 0 is for ever." name:"expires-in" env:"SIGNALBOX_EXPIRES_IN" default:"0" placeholder:"DURATION"`
	Network   []string `help:"From where it may be used: a network such as 10.0.0.0/8, or an address; may repeat. Without it, from everywhere." env:"SIGNALBOX_TOKEN_NETWORK" placeholder:"CIDR"`
	OneTime   bool     `help:"For one agent only." name:"one-time" env:"SIGNALBOX_TOKEN_ONE_TIME"`
}

func (c *RegistrationCreateCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	ca, err := api.authority(ctx) // first, because the token is shown only once
	if err != nil {
		return err
	}
	var out registrationToken
	in := map[string]any{"name": c.Name, "expires_in": time.Duration(c.ExpiresIn) / time.Second, "networks": c.Network, "one_time": c.OneTime}
	if err := api.call(ctx, http.MethodPost, tokensOf(c.Type), in, &out); err != nil {
		return err
	}
	return g.printRegistration(api, ca, c.Type, out, "Token "+out.Name+" of "+c.Type+" created.")
}

// printRegistration shows a token as printToken does, with the token's own fields in JSON.
func (g *Globals) printRegistration(api *client, ca []byte, typeName string, r registrationToken, first string) error {
	if g.Output == "json" {
		return g.print(r, "")
	}
	var t agentType
	t.Metadata.Name, t.Status.RegistrationToken = typeName, r.Token
	return g.printToken(api, ca, t, first)
}

// RegistrationListCmd is `signalbox agent-type token list`.
type RegistrationListCmd struct {
	Type string `arg:"" help:"Name of the agent type."`
	All  bool   `help:"Also those that have ended." env:"SIGNALBOX_TOKEN_ALL"`
}

func (c *RegistrationListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	all, rows := []registrationToken{}, [][]string{}
	for cursor := "-"; cursor != ""; {
		var page struct {
			Tokens []registrationToken `json:"registration_tokens"`
			Cursor string              `json:"cursor"`
		}
		q := url.Values{"all": {fmt.Sprint(c.All)}}
		if cursor != "-" {
			q.Set("cursor", cursor)
		}
		if err := api.call(ctx, http.MethodGet, tokensOf(c.Type)+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all, cursor = append(all, page.Tokens...), page.Cursor
	}
	for _, t := range all {
		limits := strings.Join(t.Networks, ", ")
		if t.OneTime {
			limits = strings.TrimPrefix(limits+", for one agent", ", ")
		}
		used := instant(t.LastUsedAt, "never")
		if t.LastUsedAt != 0 {
			used += " by " + t.LastUsedBy + " from " + t.LastUsedIP
		}
		rows = append(rows, []string{t.Name, t.State, instant(t.ExpiresAt, "never"), limits, used, t.ID})
	}
	return g.print(all, table([]string{"NAME", "STATE", "ENDS", "LIMITS", "LAST USED", "ID"}, rows))
}

// RegistrationRotateCmd is `signalbox agent-type token rotate`.
type RegistrationRotateCmd struct {
	Type    string  `arg:"" help:"Name of the agent type."`
	Token   string  `arg:"" help:"Name or id of the token."`
	Overlap seconds `help:"How long the old token goes on beside the new one." default:"24h" env:"SIGNALBOX_TOKEN_OVERLAP" placeholder:"DURATION"`
}

func (c *RegistrationRotateCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	ca, err := api.authority(ctx)
	if err != nil {
		return err
	}
	var out registrationToken
	path := tokensOf(c.Type) + "/" + url.PathEscape(c.Token) + "/rotate"
	if err := api.call(ctx, http.MethodPost, path, map[string]any{"overlap": time.Duration(c.Overlap) / time.Second}, &out); err != nil {
		return err
	}
	return g.printRegistration(api, ca, c.Type, out, "The old token "+out.Name+" of "+c.Type+" is good for another "+c.Overlap.String()+".")
}

// RegistrationRevokeCmd is `signalbox agent-type token revoke`.
type RegistrationRevokeCmd struct {
	Type  string `arg:"" help:"Name of the agent type."`
	Token string `arg:"" help:"Name or id of the token."`
}

func (c *RegistrationRevokeCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, tokensOf(c.Type)+"/"+url.PathEscape(c.Token), nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"revoked": c.Token}, "Token "+c.Token+" of "+c.Type+" is void.\n")
}
