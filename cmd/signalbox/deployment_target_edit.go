package main

import (
	"context"
	"net/http"
	"os"

	"github.com/signalbox-ci/signalbox"
)

// DeploymentTargetCreateCmd is `signalbox deployment-target create`.
type DeploymentTargetCreateCmd struct {
	Target string   `arg:"" help:"PROJECT/NAME of the new target." name:"project/name"`
	More   []string `arg:"" optional:"" hidden:"" name:"more" help:"Nothing; values are not arguments."`
	deploymentTargetFlags
}

// Help is what --help says beside the flags.
func (*DeploymentTargetCreateCmd) Help() string { return targetHelp }

func (c *DeploymentTargetCreateCmd) Run(ctx context.Context, g *Globals) error {
	if err := noValues(c.Env+c.Target, c.More); err != nil {
		return err
	}
	project, name, err := splitTarget(c.Target)
	if err != nil {
		return err
	}
	if len(c.Allow) == 0 || len(c.From) == 0 {
		return signalbox.Errorf(signalbox.CodeInvalid, "say who may deploy and from where, such as --allow role:admin --from branch:main, or --allow anybody --from branches")
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	body["name"], body["project_id"] = name, project
	vars, files, err := c.content()
	if err != nil {
		return err
	}
	if len(vars)+len(files) > 0 {
		body["env_vars"], body["files"] = vars, files
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	var d deploymentTarget
	if err := api.call(ctx, http.MethodPost, targets, body, &d); err != nil {
		return err
	}
	return g.print(d, "Deployment target "+printable(d.Name)+" created.\n"+d.text())
}

// content reads the values that the flags name.
func (c *deploymentTargetFlags) content() ([]secretVar, []secretFile, error) {
	return (&SecretSetCmd{Env: c.Env, EnvFile: c.EnvFile, File: c.File}).content(os.Stdin)
}

// DeploymentTargetSetCmd is `signalbox deployment-target set`.
type DeploymentTargetSetCmd struct {
	Target string   `arg:"" help:"PROJECT/NAME, or an id."`
	More   []string `arg:"" optional:"" hidden:"" name:"more" help:"Nothing; values are not arguments."`
	Name   string   `help:"New name; promotions in pipeline files must say it then." env:"SIGNALBOX_TARGET_NAME" placeholder:"NAME"`
	Unset  []string `help:"Variable or path to take away; may repeat." sep:"none" env:"SIGNALBOX_TARGET_UNSET" placeholder:"NAME"`
	deploymentTargetFlags
}

// Help is what --help says beside the flags.
func (*DeploymentTargetSetCmd) Help() string {
	return targetHelp + "\n\nWhat is not named stays as it is; --allow and --from replace the rules that there are."
}

func (c *DeploymentTargetSetCmd) Run(ctx context.Context, g *Globals) error {
	if err := noValues(c.Env+c.Target, c.More); err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if c.Name != "" {
		body["name"] = c.Name
	}
	vars, files, err := c.content()
	if err != nil {
		return err
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	content := len(vars)+len(files)+len(c.Unset) > 0
	d, err := api.findTarget(ctx, c.Target, content)
	if err != nil {
		return err
	}
	if content {
		now := secretInfo{}
		now.Data.EnvVars, now.Data.Files = d.EnvVars, d.Files
		if err := (&SecretSetCmd{Unset: c.Unset}).merge(&now, vars, files); err != nil {
			return err
		}
		body["env_vars"], body["files"] = append([]secretVar{}, now.Data.EnvVars...), append([]secretFile{}, now.Data.Files...)
	}
	if len(body) == 1 {
		return signalbox.Errorf(signalbox.CodeInvalid, "nothing to change; see: signalbox deployment-target set --help")
	}
	var out deploymentTarget
	if err := api.call(ctx, http.MethodPatch, targets+"/"+d.ID, body, &out); err != nil {
		return err
	}
	return g.print(out, "Deployment target "+printable(out.Name)+" changed.\n"+out.text())
}
