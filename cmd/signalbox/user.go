package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// UserCmd is `signalbox user`.
type UserCmd struct {
	List    UserListCmd    `cmd:"" help:"List people."`
	Invite  UserInviteCmd  `cmd:"" help:"Make an account, and the link with which its owner chooses a password."`
	NewLink UserNewLinkCmd `cmd:"" name:"new-link" help:"Make a new link for somebody who has lost theirs, or their password."`
	SetRole UserSetRoleCmd `cmd:"" name:"set-role" help:"Give somebody another role."`
	Disable UserDisableCmd `cmd:"" help:"Sign somebody out everywhere and let them in no more."`
	Enable  UserEnableCmd  `cmd:"" help:"Let somebody in again."`
}

const users = "/api/v1alpha/users"

type userInfo struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Email       string `json:"email"`
	Role        string `json:"role"`
	State       string `json:"state"`
	Created     string `json:"create_time"`
	SignedIn    string `json:"sign_in_time"`
	Link        string `json:"link,omitempty"`
	LinkExpires string `json:"link_expire_time,omitempty"`
}

func (u userInfo) linkText() string {
	return fmt.Sprintf("Send this to %s. It is shown only now, counts once, and ends %s:\n\n  %s\n", u.Name, moment(u.LinkExpires), u.Link)
}

// UserListCmd is `signalbox user list`.
type UserListCmd struct{}

func (UserListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	all := []userInfo{}
	for after := ""; ; {
		var page struct {
			Users []userInfo `json:"users"`
			Next  string     `json:"next_after"`
		}
		if err := api.call(ctx, http.MethodGet, users+"?after="+url.QueryEscape(after), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Users...)
		if after = page.Next; after == "" {
			break
		}
	}
	rows := [][]string{}
	for _, u := range all {
		rows = append(rows, []string{u.Name, u.Email, u.Role, u.State, moment(u.SignedIn), moment(u.LinkExpires)})
	}
	return g.print(all, table([]string{"NAME", "E-MAIL", "ROLE", "STATE", "SIGNED IN", "LINK UNTIL"}, rows))
}

// UserInviteCmd is `signalbox user invite`.
type UserInviteCmd struct {
	Name  string `arg:"" help:"Name to sign in with."`
	Email string `help:"E-mail address. Nothing is sent to it." required:"" env:"SIGNALBOX_USER_EMAIL" placeholder:"ADDRESS"`
	Role  string `help:"What they may do: admin, member or viewer." enum:"admin,member,viewer" default:"member" env:"SIGNALBOX_USER_ROLE"`
}

// Help is what --help says beside the flags.
func (*UserInviteCmd) Help() string {
	return "Prints a link, once. Whoever opens it chooses the password of the account, so hand it to its owner alone. It counts once and for three days."
}

func (c *UserInviteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out userInfo
	if err := api.call(ctx, http.MethodPost, users, map[string]string{"name": c.Name, "email": c.Email, "role": c.Role}, &out); err != nil {
		return err
	}
	return g.print(out, out.Name+" is invited as "+out.Role+".\n"+out.linkText())
}

// UserNewLinkCmd is `signalbox user new-link`.
type UserNewLinkCmd struct {
	Which string `arg:"" name:"id-or-name" help:"Whose."`
}

// Help is what --help says beside the flags.
func (*UserNewLinkCmd) Help() string {
	return "The link before it ends. The present password goes on until the new link is used; then every session of the account ends."
}

func (c *UserNewLinkCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out userInfo
	if err := api.call(ctx, http.MethodPost, users+"/"+url.PathEscape(c.Which)+"/link", nil, &out); err != nil {
		return err
	}
	return g.print(out, out.linkText())
}

// UserSetRoleCmd is `signalbox user set-role`.
type UserSetRoleCmd struct {
	Which string `arg:"" name:"id-or-name" help:"Whose."`
	Role  string `arg:"" help:"admin, member or viewer." enum:"admin,member,viewer"`
}

func (c *UserSetRoleCmd) Run(ctx context.Context, g *Globals) error {
	return changeUser(ctx, g, c.Which, map[string]any{"role": c.Role})
}

// UserDisableCmd is `signalbox user disable`.
type UserDisableCmd struct {
	Which string `arg:"" name:"id-or-name" help:"Whom."`
}

func (c *UserDisableCmd) Run(ctx context.Context, g *Globals) error {
	return changeUser(ctx, g, c.Which, map[string]any{"disabled": true})
}

// UserEnableCmd is `signalbox user enable`.
type UserEnableCmd struct {
	Which string `arg:"" name:"id-or-name" help:"Whom."`
}

// Help is what --help says beside the flags.
func (*UserEnableCmd) Help() string {
	return "Password and API tokens are those they had. Who never chose a password needs a new link."
}

func (c *UserEnableCmd) Run(ctx context.Context, g *Globals) error {
	return changeUser(ctx, g, c.Which, map[string]any{"disabled": false})
}

func changeUser(ctx context.Context, g *Globals, which string, change map[string]any) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out userInfo
	if err := api.call(ctx, http.MethodPatch, users+"/"+url.PathEscape(which), change, &out); err != nil {
		return err
	}
	return g.print(out, fmt.Sprintf("%s is %s, %s.\n", out.Name, out.Role, out.State))
}
