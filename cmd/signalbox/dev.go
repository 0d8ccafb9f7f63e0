package main

import (
	"context"

	"github.com/signalbox-ci/signalbox/storybook"
)

// DevCmd is `signalbox dev`.
type DevCmd struct {
	Storybook StorybookCmd `cmd:"" help:"Show every page of the web application in all states, with made-up data."`
}

// StorybookCmd is `signalbox dev storybook`.
type StorybookCmd struct {
	Listen string `help:"Address to answer on. Nobody has to sign in, so keep it to this machine." default:"127.0.0.1:6006" env:"SIGNALBOX_STORYBOOK_LISTEN" placeholder:"ADDR"`
}

// Help is what --help says beside the flags.
func (*StorybookCmd) Help() string {
	return "Makes a few servers' worth of data in a temporary folder and lists all views and their states at /storybook: empty, normal, full of " +
		"hostile text, broken. Each opens the real page at its real address, seen by whoever it is for. Nothing can be started or changed. " +
		"Ctrl-C ends it and removes the folder."
}

func (c *StorybookCmd) Run(ctx context.Context, g *Globals) error {
	return storybook.Serve(ctx, c.Listen, storybook.Options{}, g.out)
}
