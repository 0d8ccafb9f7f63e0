package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// AdminSetupCmd is `signalbox admin setup`.
type AdminSetupCmd struct {
	Name         string `help:"Name to sign in with." required:"" env:"SIGNALBOX_ADMIN_NAME" placeholder:"NAME"`
	Email        string `help:"E-mail address." required:"" env:"SIGNALBOX_ADMIN_EMAIL" placeholder:"ADDRESS"`
	PasswordFile string `help:"File with the password, at least 12 characters; - is standard input." name:"password-file" required:"" env:"SIGNALBOX_ADMIN_PASSWORD_FILE" placeholder:"FILE"`
	Organization string `help:"Name of the organization." env:"SIGNALBOX_ORGANIZATION" placeholder:"NAME"`
	PublicURL    string `help:"How people and agents reach the server, as in https://ci.example.com; default: as each of them asks." name:"public-url" env:"SIGNALBOX_PUBLIC_URL" placeholder:"URL"`
}

// Help is what --help says beside the flags.
func (*AdminSetupCmd) Help() string {
	return `Does what the page /setup does, on the server's own machine and without its one-time code: makes the first administrator,
and prints an API token of theirs. A server that somebody can sign in to refuses it.`
}

func (c *AdminSetupCmd) Run(ctx context.Context, g *Globals) error {
	password, err := readPassword(c.PasswordFile)
	if err != nil {
		return err
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	in := map[string]string{"name": c.Name, "email": c.Email, "password": password, "organization": c.Organization, "public_url": c.PublicURL}
	var out struct {
		Name    string `json:"name"`
		Token   string `json:"token"`
		Warning string `json:"warning,omitempty"`
	}
	if err := api.call(ctx, http.MethodPost, "/api/v1alpha/setup", in, &out); err != nil {
		return err
	}
	text := fmt.Sprintf("%s can sign in at %s.\nAPI token, shown only now: %s\n", out.Name, api.public, out.Token)
	if out.Warning != "" {
		text += "Warning: " + out.Warning + "\n"
	}
	return g.print(out, text)
}

// readPassword reads a password from a file or, for "-", from standard input. A line end behind it does not belong to it.
func readPassword(file string) (string, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
