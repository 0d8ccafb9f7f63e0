package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// DeploymentTargetCmd is `signalbox deployment-target`.
type DeploymentTargetCmd struct {
	List     DeploymentTargetListCmd     `cmd:"" help:"List a project's deployment targets."`
	Show     DeploymentTargetShowCmd     `cmd:"" help:"Show who may deploy to a target, and from where; values are never shown."`
	Create   DeploymentTargetCreateCmd   `cmd:"" help:"Make a deployment target."`
	Set      DeploymentTargetSetCmd      `cmd:"" help:"Change a deployment target, or what it hands to jobs."`
	Delete   DeploymentTargetDeleteCmd   `cmd:"" help:"Delete a deployment target and what it hands to jobs."`
	Cordon   DeploymentTargetCordonCmd   `cmd:"" help:"Let nobody deploy to a target for now."`
	Uncordon DeploymentTargetUncordonCmd `cmd:"" help:"Let those who may deploy to a cordoned target again."`
	History  DeploymentTargetHistoryCmd  `cmd:"" help:"List who deployed to a target, or was refused."`
}

const targets = "/api/v1alpha/deployment_targets"

// deploymentTarget is what the API says of a target. Values are there for sending only.
type deploymentTarget struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	URL         string          `json:"url"`
	ProjectID   string          `json:"project_id"`
	State       string          `json:"state"`
	Active      bool            `json:"active"`
	CreatedBy   string          `json:"created_by"`
	CreatedAt   string          `json:"created_at"`
	UpdatedBy   string          `json:"updated_by"`
	UpdatedAt   string          `json:"updated_at"`
	Subjects    []targetSubject `json:"subject_rules"`
	Objects     []targetObject  `json:"object_rules"`
	Bookmark1   string          `json:"bookmark_parameter1"`
	Bookmark2   string          `json:"bookmark_parameter2"`
	Bookmark3   string          `json:"bookmark_parameter3"`
	EnvVars     []secretVar     `json:"env_vars,omitempty"`
	Files       []secretFile    `json:"files,omitempty"`
	Last        *deployment     `json:"last_deployment"`
}

type targetSubject struct {
	Type  string `json:"type"`
	ID    string `json:"subject_id"`
	Login string `json:"git_login,omitempty"`
}

type targetObject struct {
	Type    string `json:"type"`
	Mode    string `json:"match_mode"`
	Pattern string `json:"pattern"`
}

// splitTarget reads PROJECT/NAME.
func splitTarget(which string) (project, name string, err error) {
	project, name, ok := strings.Cut(which, "/")
	if !ok || project == "" || name == "" || strings.Contains(name, "/") {
		return "", "", signalbox.Errorf(signalbox.CodeInvalid, "%.100q is no deployment target: write PROJECT/NAME, as \"signalbox deployment-target list PROJECT\" shows them", which)
	}
	return project, name, nil
}

// findTarget returns the target that is named by its id or as PROJECT/NAME, with the fingerprints of its content on request.
func (c *client) findTarget(ctx context.Context, which string, secrets bool) (*deploymentTarget, error) {
	id := which
	if !signalbox.IsID(id) {
		project, name, err := splitTarget(which)
		if err != nil {
			return nil, err
		}
		var all []deploymentTarget
		if err := c.call(ctx, http.MethodGet, targets+"?project_id="+url.QueryEscape(project), nil, &all); err != nil {
			return nil, err
		}
		var names []string
		for _, d := range all {
			if names = append(names, d.Name); d.Name == name {
				id = d.ID
			}
		}
		if id == which {
			has := "it has none; make one with \"signalbox deployment-target create\""
			if len(names) > 0 {
				has = "it has " + strings.Join(names, ", ")
			}
			return nil, signalbox.Errorf(signalbox.CodeNotFound, "project %s has no deployment target %q: %s", printable(project), name, has)
		}
	}
	path := targets + "/" + url.PathEscape(id)
	if secrets {
		path += "?include_secrets=true"
	}
	var d deploymentTarget
	if err := c.call(ctx, http.MethodGet, path, nil, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// state says whether a target is open, and who deploys from where, each in a few words.
func (d *deploymentTarget) state() string {
	if !d.Active {
		return "cordoned"
	}
	return strings.ToLower(d.State)
}

func (d *deploymentTarget) who() string {
	var out []string
	for _, r := range d.Subjects {
		switch r.Type {
		case "ANY":
			out = append(out, "anybody")
		case "AUTO":
			out = append(out, "auto")
		default:
			name := r.Login
			if name == "" {
				name = r.ID
			}
			out = append(out, strings.ToLower(r.Type)+":"+name)
		}
	}
	if len(out) == 0 {
		return "nobody"
	}
	return strings.Join(out, " ")
}

func (d *deploymentTarget) from() string {
	words := map[string][2]string{"BRANCH": {"branch", "branches"}, "TAG": {"tag", "tags"}, "PR": {"pull-request", "pull-requests"}}
	var out []string
	for _, r := range d.Objects {
		switch w := words[r.Type]; r.Mode {
		case "ALL":
			out = append(out, w[1])
		case "REGEX":
			out = append(out, w[0]+":/"+r.Pattern+"/")
		default:
			out = append(out, w[0]+":"+r.Pattern)
		}
	}
	if len(out) == 0 {
		return "nowhere"
	}
	return strings.Join(out, " ")
}

func (d *deploymentTarget) bookmarks() (out []string) {
	for _, b := range []string{d.Bookmark1, d.Bookmark2, d.Bookmark3} {
		if b != "" {
			out = append(out, b)
		}
	}
	return out
}

// DeploymentTargetListCmd is `signalbox deployment-target list`.
type DeploymentTargetListCmd struct {
	Project string `arg:"" help:"Name of the project."`
}

func (c *DeploymentTargetListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	all := []deploymentTarget{}
	if err := api.call(ctx, http.MethodGet, targets+"?project_id="+url.QueryEscape(c.Project), nil, &all); err != nil {
		return err
	}
	if len(all) == 0 {
		return g.print(all, "Project "+printable(c.Project)+" has no deployment target; make one with \"signalbox deployment-target create\".\n")
	}
	rows := [][]string{}
	for _, d := range all {
		last := "-"
		if d.Last != nil {
			last = isoMinute(d.Last.At) + " by " + d.Last.By
		}
		rows = append(rows, []string{d.Name, d.state(), d.who(), d.from(), last})
	}
	return g.print(all, table([]string{"NAME", "STATE", "WHO", "FROM", "LAST DEPLOYMENT"}, rows))
}

// DeploymentTargetShowCmd is `signalbox deployment-target show`.
type DeploymentTargetShowCmd struct {
	Target string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *DeploymentTargetShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	d, err := api.findTarget(ctx, c.Target, true)
	if signalbox.ErrorCode(err) == signalbox.CodeForbidden { // names are for those who may change them
		d, err = api.findTarget(ctx, c.Target, false)
	}
	if err != nil {
		return err
	}
	d.hide()
	return g.print(d, d.text())
}

// hide takes the fingerprints away: they are for sending back only.
func (d *deploymentTarget) hide() {
	for i := range d.EnvVars {
		d.EnvVars[i].Value = ""
	}
	for i := range d.Files {
		d.Files[i].Content = ""
	}
}

func (d *deploymentTarget) text() string {
	var vars, files []string
	for _, v := range d.EnvVars {
		vars = append(vars, v.Name)
	}
	for _, f := range d.Files {
		files = append(files, f.Path)
	}
	rows := [][]string{
		{"Id", d.ID},
		{"State", d.state()},
		{"Who", d.who()},
		{"From", d.from()},
		{"Description", d.Description},
		{"URL", d.URL},
		{"Bookmarks", strings.Join(d.bookmarks(), ", ")},
		{"Variables", strings.Join(vars, ", ")},
		{"Files", strings.Join(files, ", ")},
		{"Changed", isoMinute(d.UpdatedAt) + " by " + d.UpdatedBy},
	}
	if d.Last != nil {
		rows = append(rows, []string{"Deployed", isoMinute(d.Last.At) + " by " + d.Last.By + ", pipeline " + d.Last.Pipeline})
	}
	for _, r := range rows {
		if r[1] == "" {
			r[1] = "-"
		}
	}
	return table([]string{"Target", d.Name}, rows)
}

// DeploymentTargetDeleteCmd is `signalbox deployment-target delete`.
type DeploymentTargetDeleteCmd struct {
	Target string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *DeploymentTargetDeleteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	d, err := api.findTarget(ctx, c.Target, false)
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, targets+"/"+d.ID+"?unique_token="+signalbox.NewID(), nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"deleted": d.ID}, "Deployment target "+printable(d.Name)+" deleted.\n")
}

// DeploymentTargetCordonCmd is `signalbox deployment-target cordon`.
type DeploymentTargetCordonCmd struct {
	Target string `arg:"" help:"PROJECT/NAME, or an id."`
}

// Help is what --help says beside the flags.
func (*DeploymentTargetCordonCmd) Help() string {
	return "Promotions to it are refused until it is uncordoned. What was promoted before goes on."
}

func (c *DeploymentTargetCordonCmd) Run(ctx context.Context, g *Globals) error {
	return g.cordonTarget(ctx, c.Target, "/deactivate", "is cordoned: nobody may deploy to it")
}

// DeploymentTargetUncordonCmd is `signalbox deployment-target uncordon`.
type DeploymentTargetUncordonCmd struct {
	Target string `arg:"" help:"PROJECT/NAME, or an id."`
}

func (c *DeploymentTargetUncordonCmd) Run(ctx context.Context, g *Globals) error {
	return g.cordonTarget(ctx, c.Target, "/activate", "is open again for those who may deploy to it")
}

func (g *Globals) cordonTarget(ctx context.Context, which, path, what string) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	d, err := api.findTarget(ctx, which, false)
	if err != nil {
		return err
	}
	var out struct {
		ID       string `json:"target_id"`
		Cordoned bool   `json:"cordoned"`
	}
	if err := api.call(ctx, http.MethodPatch, targets+"/"+d.ID+path, nil, &out); err != nil {
		return err
	}
	return g.print(out, "Deployment target "+printable(d.Name)+" "+what+".\n")
}
