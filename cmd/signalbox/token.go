package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// TokenCmd is `signalbox token`.
type TokenCmd struct {
	Create TokenCreateCmd `cmd:"" help:"Make an API token and show it, once."`
	List   TokenListCmd   `cmd:"" help:"List your API tokens."`
	Revoke TokenRevokeCmd `cmd:"" help:"End an API token at once."`
}

const tokens = "/api/v1alpha/tokens"

type apiToken struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Token    string `json:"token,omitempty"`
	Created  string `json:"create_time"`
	Expires  string `json:"expire_time"`
	LastUsed string `json:"last_used_time"`
}

// TokenCreateCmd is `signalbox token create`.
type TokenCreateCmd struct {
	Name      string        `arg:"" help:"What the token is for."`
	ExpiresIn time.Duration `help:"How long it is valid, as in 720h; 0 is for ever." name:"expires-in" env:"SIGNALBOX_EXPIRES_IN" default:"0" placeholder:"DURATION"`
}

// Help is what --help says beside the flags.
func (*TokenCreateCmd) Help() string {
	return "The token may do what you may do. On the server's own machine it is the administrator's, unless --api-token says who you are."
}

func (c *TokenCreateCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out apiToken
	in := map[string]any{"name": c.Name, "expires_in": int64(c.ExpiresIn / time.Second)}
	if err := api.call(ctx, http.MethodPost, tokens, in, &out); err != nil {
		return err
	}
	return g.print(out, fmt.Sprintf("Token %s is shown only now:\n\n  %s\n\nUse it with --api-token or SIGNALBOX_API_TOKEN.\n", out.Name, out.Token))
}

// TokenListCmd is `signalbox token list`.
type TokenListCmd struct{}

func (TokenListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		Tokens []apiToken `json:"tokens"`
	}
	if err := api.call(ctx, http.MethodGet, tokens, nil, &out); err != nil {
		return err
	}
	rows := [][]string{}
	for _, t := range out.Tokens {
		rows = append(rows, []string{t.ID, t.Name, moment(t.Created), moment(t.Expires), moment(t.LastUsed)})
	}
	return g.print(out.Tokens, table([]string{"ID", "NAME", "CREATED", "EXPIRES", "LAST USED"}, rows))
}

// moment shows Unix seconds as a time, and nothing for none.
func moment(seconds string) string {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n == 0 {
		return "-"
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}

// TokenRevokeCmd is `signalbox token revoke`.
type TokenRevokeCmd struct {
	Which string `arg:"" name:"id-or-name" help:"Id or name of the token."`
}

func (c *TokenRevokeCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, tokens+"/"+url.PathEscape(c.Which), nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"revoked": c.Which}, "Token "+c.Which+" revoked.\n")
}
