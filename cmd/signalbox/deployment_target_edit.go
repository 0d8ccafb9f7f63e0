package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

const targetHelp = `--allow says who may deploy: anybody, auto (automatic promotions), role:ROLE, user:NAME, or nobody.
--from says from where: branches, tags, pull-requests, branch:NAME, tag:NAME, pull-request:NUMBER, or nowhere; a name between
slashes is a regular expression, found anywhere unless it has anchors: tag:/^v[0-9]/. Both may repeat; one that fits is enough.

Values are read from standard input and from files, never from arguments, which every user of this machine can see:

  printf %s "$TOKEN" | signalbox deployment-target set web/production --env TOKEN`

// deploymentTargetFlags are what create and set have in common.
type deploymentTargetFlags struct {
	Allow       []string `help:"Who may deploy: anybody, auto, role:ROLE, user:NAME or nobody; may repeat." sep:"none" env:"SIGNALBOX_TARGET_ALLOW" placeholder:"WHO"`
	From        []string `help:"From where: branches, tags, pull-requests, branch:NAME, tag:/REGEX/ or nowhere; may repeat." sep:"none" env:"SIGNALBOX_TARGET_FROM" placeholder:"REF"`
	Description string   `help:"What it is." env:"SIGNALBOX_TARGET_DESCRIPTION" placeholder:"TEXT"`
	URL         string   `help:"Where people look at what was deployed." name:"url" env:"SIGNALBOX_TARGET_URL" placeholder:"URL"`
	Bookmark    []string `help:"Promotion parameter that the history can be searched by; at most three." sep:"none" env:"SIGNALBOX_TARGET_BOOKMARK" placeholder:"NAME"`
	Env         string   `help:"Variable whose value is read from standard input." env:"SIGNALBOX_TARGET_ENV" placeholder:"NAME"`
	EnvFile     string   `help:"File with a line NAME=value for each variable; - is standard input." name:"env-file" env:"SIGNALBOX_TARGET_ENV_FILE" placeholder:"FILE"`
	File        []string `help:"A file: its path in the job's home folder, and where it lies here; may repeat." sep:"none" env:"SIGNALBOX_TARGET_FILE" placeholder:"PATH=LOCALFILE"`
}

// subjectOf reads what --allow says.
func subjectOf(who string) (targetSubject, error) {
	kind, name, named := strings.Cut(who, ":")
	switch {
	case !named && (who == "anybody" || who == "any"):
		return targetSubject{Type: "ANY"}, nil
	case !named && who == "auto":
		return targetSubject{Type: "AUTO"}, nil
	case kind == "role" && name != "", kind == "user" && name != "":
		return targetSubject{Type: strings.ToUpper(kind), ID: name}, nil
	}
	return targetSubject{}, signalbox.Errorf(signalbox.CodeInvalid, "--allow %.100q is not known; use anybody, auto, role:ROLE, user:NAME or nobody", who)
}

// objectOf reads what --from says.
func objectOf(ref string) (targetObject, error) {
	all := map[string]string{"branches": "BRANCH", "tags": "TAG", "pull-requests": "PR"}[ref]
	kind, pattern, _ := strings.Cut(ref, ":")
	word := map[string]string{"branch": "BRANCH", "tag": "TAG", "pull-request": "PR"}[kind]
	switch {
	case all != "":
		return targetObject{all, "ALL", ""}, nil
	case word == "" || pattern == "":
		return targetObject{}, signalbox.Errorf(signalbox.CodeInvalid,
			"--from %.100q is not known; use branches, tags, pull-requests, branch:NAME, tag:NAME, pull-request:NUMBER (a name between slashes is a regular expression) or nowhere", ref)
	case len(pattern) > 2 && strings.HasPrefix(pattern, "/") && strings.HasSuffix(pattern, "/"):
		return targetObject{word, "REGEX", pattern[1 : len(pattern)-1]}, nil
	}
	return targetObject{word, "EXACT", pattern}, nil
}

// body is what the flags say about a target, without its content.
func (c *deploymentTargetFlags) body() (map[string]any, error) {
	out := map[string]any{"unique_token": signalbox.NewID()} // a repeated request is the same one
	if len(c.Allow) > 0 {
		rules := []targetSubject{}
		for _, who := range c.Allow {
			if who == "nobody" && len(c.Allow) == 1 {
				continue
			}
			r, err := subjectOf(who)
			if err != nil {
				return nil, err
			}
			rules = append(rules, r)
		}
		out["subject_rules"] = rules
	}
	if len(c.From) > 0 {
		rules := []targetObject{}
		for _, ref := range c.From {
			if ref == "nowhere" && len(c.From) == 1 {
				continue
			}
			r, err := objectOf(ref)
			if err != nil {
				return nil, err
			}
			rules = append(rules, r)
		}
		out["object_rules"] = rules
	}
	if c.Description != "" {
		out["description"] = c.Description
	}
	if c.URL != "" {
		out["url"] = c.URL
	}
	if len(c.Bookmark) > 3 {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "at most three parameters can be bookmarked, not %d", len(c.Bookmark))
	}
	if len(c.Bookmark) > 0 {
		for i, name := range append(c.Bookmark, "", "", "")[:3] {
			out[fmt.Sprintf("bookmark_parameter%d", i+1)] = name
		}
	}
	return out, nil
}

// noValues refuses values among the arguments, without repeating them.
func noValues(env string, more []string) error {
	if len(more) > 0 || strings.Contains(env, "=") {
		return errors.New("values are not taken from arguments, because every user of this machine can see those and shells remember them; " +
			"give the value on standard input: printf %s \"$TOKEN\" | signalbox deployment-target set PROJECT/NAME --env TOKEN")
	}
	return nil
}

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
