package main

import (
	"context"
	"net/http"
	"time"
)

// GitHookCmd is what a repository's post-receive hook runs. It only wakes the server: what was pushed lies in the
// repository and its spool, and a server that is away finds it when it starts.
type GitHookCmd struct {
	Project string `help:"Project id." required:"" env:"SIGNALBOX_HOOK_PROJECT"`
	Token   string `help:"The hook's token." required:"" env:"SIGNALBOX_HOOK_TOKEN"`
}

func (c *GitHookCmd) Run(ctx context.Context, g *Globals) error {
	g.APIToken = c.Token
	api, err := g.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return api.call(ctx, http.MethodPost, "/api/v1/hooks/git/"+c.Project, nil, nil)
}
