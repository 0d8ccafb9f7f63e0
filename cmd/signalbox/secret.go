package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// SecretCmd is `signalbox secret`.
type SecretCmd struct {
	Set    SecretSetCmd    `cmd:"" help:"Make a secret, or change what it holds."`
	List   SecretListCmd   `cmd:"" help:"List the secrets."`
	Show   SecretShowCmd   `cmd:"" help:"Show what a secret is called and for; values are never shown."`
	Delete SecretDeleteCmd `cmd:"" help:"Delete a secret."`
}

// secretPath is where the secrets of a project are, or with "" those of the organization.
func secretPath(project, name string) string {
	path := "/api/v1beta/secrets"
	if project != "" {
		path = "/api/v1/projects/" + url.PathEscape(project) + "/secrets"
	}
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	return path
}

// secretInfo is what the server answers. Values are there for sending only.
type secretInfo struct {
	Metadata struct {
		ID          string `json:"id,omitempty"`
		Name        string `json:"name"`
		Description string `json:"description"`
		Created     string `json:"create_time,omitempty"`
		Updated     string `json:"update_time,omitempty"`
		Used        string `json:"checkout_at,omitempty"`
	} `json:"metadata"`
	Data struct {
		EnvVars []secretVar  `json:"env_vars"`
		Files   []secretFile `json:"files"`
	} `json:"data"`
	OrgConfig *secretRules `json:"org_config,omitempty"`
}

type secretVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type secretFile struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

type secretRules struct {
	ProjectsAccess string   `json:"projects_access,omitempty"`
	ProjectIDs     []string `json:"project_ids,omitempty"`
	DebugAccess    string   `json:"debug_access,omitempty"`
	AttachAccess   string   `json:"attach_access,omitempty"`
}

// SecretSetCmd is `signalbox secret set`.
type SecretSetCmd struct {
	Name        string   `arg:"" help:"Name of the secret."`
	More        []string `arg:"" optional:"" hidden:"" name:"more" help:"Nothing; values are not arguments."`
	Project     string   `help:"Project that it is for; without it, it is the organization's." env:"SIGNALBOX_PROJECT" placeholder:"NAME"`
	Env         string   `help:"Variable whose value is read from standard input." env:"SIGNALBOX_SECRET_ENV" placeholder:"NAME"`
	EnvFile     string   `help:"File with a line NAME=value for each variable; - is standard input." name:"env-file" env:"SIGNALBOX_SECRET_ENV_FILE" placeholder:"FILE"`
	File        []string `help:"A file: its path in the job's home folder, and where it lies here; may repeat." sep:"none" env:"SIGNALBOX_SECRET_FILE" placeholder:"PATH=LOCALFILE"`
	Unset       []string `help:"Variable or path to take away; may repeat." sep:"none" env:"SIGNALBOX_SECRET_UNSET" placeholder:"NAME"`
	Description string   `help:"What it is for." env:"SIGNALBOX_SECRET_DESCRIPTION" placeholder:"TEXT"`
	Projects    string   `help:"Which projects may use a secret of the organization: all, none, or their names with commas between." env:"SIGNALBOX_SECRET_PROJECTS" placeholder:"NAMES"`
	Debug       string   `help:"Whether jobs that have it may be debugged: yes or no." enum:",yes,no" default:"" env:"SIGNALBOX_SECRET_DEBUG" placeholder:"yes|no"`
	Attach      string   `help:"Whether jobs that have it may be attached to: yes or no." enum:",yes,no" default:"" env:"SIGNALBOX_SECRET_ATTACH" placeholder:"yes|no"`
}

// Help is what --help says beside the flags.
func (*SecretSetCmd) Help() string {
	return `Values are read from standard input and from files, never from arguments, which every user of this machine can see:

  printf %s "$TOKEN" | signalbox secret set deploy --env TOKEN
  signalbox secret set deploy --file .ssh/id=./id_deploy

What is not named stays as it is. One line feed at the end of standard input does not belong to the value.`
}

func (c *SecretSetCmd) Run(ctx context.Context, g *Globals) error {
	vars, files, err := c.content(os.Stdin)
	if err != nil {
		return err
	}
	if c.Project != "" && c.Projects+c.Debug+c.Attach != "" {
		return errors.New("--projects, --debug and --attach are for secrets of the organization; a secret of a project may be used for everything there")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	var now secretInfo
	err = api.call(ctx, http.MethodGet, secretPath(c.Project, c.Name), nil, &now)
	fresh := signalbox.ErrorCode(err) == signalbox.CodeNotFound
	if err != nil && (!fresh || !strings.Contains(strings.ToLower(err.Error()), "secret")) {
		return err // that the project is not there is another thing
	}
	body := map[string]any{"metadata": map[string]any{"name": c.Name}}
	if c.Description != "" {
		body["metadata"] = map[string]any{"name": c.Name, "description": c.Description}
	}
	rules, err := c.rules(ctx, api)
	if err != nil {
		return err
	}
	if rules != nil {
		body["org_config"] = rules
	}
	if len(vars)+len(files)+len(c.Unset) > 0 || fresh {
		if err := c.merge(&now, vars, files); err != nil {
			return err
		}
		body["data"] = now.Data
	}
	method, path, what := http.MethodPatch, secretPath(c.Project, c.Name), "changed"
	if fresh {
		method, path, what = http.MethodPost, secretPath(c.Project, ""), "created"
	}
	var out secretInfo
	if err := api.call(ctx, method, path, body, &out); err != nil {
		return err
	}
	return g.print(out, "Secret "+out.Metadata.Name+" "+what+".\n"+out.text())
}

// merge puts what was given over what there is. What there is has empty values, which means that they stay.
func (c *SecretSetCmd) merge(now *secretInfo, vars []secretVar, files []secretFile) error {
	d := &now.Data
	for _, name := range c.Unset {
		n := len(d.EnvVars) + len(d.Files)
		d.EnvVars = slices.DeleteFunc(d.EnvVars, func(v secretVar) bool { return v.Name == name })
		d.Files = slices.DeleteFunc(d.Files, func(f secretFile) bool { return f.Path == name })
		if n == len(d.EnvVars)+len(d.Files) {
			return signalbox.Errorf(signalbox.CodeNotFound, "the secret has no variable or file %.100s to take away", name)
		}
	}
	for _, v := range vars {
		d.EnvVars = append(slices.DeleteFunc(d.EnvVars, func(o secretVar) bool { return o.Name == v.Name }), v)
	}
	for _, f := range files {
		d.Files = append(slices.DeleteFunc(d.Files, func(o secretFile) bool { return o.Path == f.Path }), f)
	}
	return nil
}

// content reads the values. No error quotes one.
func (c *SecretSetCmd) content(in io.Reader) (vars []secretVar, files []secretFile, err error) {
	if strings.Contains(c.Env+c.Name, "=") || len(c.More) > 0 {
		// without what was given, which may be a value
		return nil, nil, errors.New("values are not taken from arguments, because every user of this machine can see those and shells remember them; " +
			"give the value on standard input: printf %s \"$TOKEN\" | signalbox secret set NAME --env TOKEN")
	}
	if c.Env != "" && c.EnvFile == "-" {
		return nil, nil, errors.New("--env and --env-file - both read standard input; use one of them")
	}
	if c.Env != "" {
		value, err := readBounded(in, "standard input")
		if err != nil {
			return nil, nil, err
		}
		if value = strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r"); value == "" {
			return nil, nil, fmt.Errorf("standard input is empty; it must be the value of %s", printable(c.Env))
		}
		vars = append(vars, secretVar{c.Env, value})
	}
	if c.EnvFile != "" {
		text, err := c.envFile(in)
		if err != nil {
			return nil, nil, err
		}
		more, err := parseEnvFile(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.EnvFile, err)
		}
		vars = append(vars, more...)
	}
	for _, f := range c.File {
		path, local, ok := strings.Cut(f, "=")
		if !ok || path == "" || local == "" {
			return nil, nil, fmt.Errorf("--file %.100q must be PATH=LOCALFILE: where the job finds it, and where it lies here", f)
		}
		text, err := readLocal(local)
		if err != nil {
			return nil, nil, err
		}
		if text == "" {
			return nil, nil, fmt.Errorf("the file %s is empty", local)
		}
		files = append(files, secretFile{path, base64.StdEncoding.EncodeToString([]byte(text))})
	}
	return vars, files, nil
}

func (c *SecretSetCmd) envFile(in io.Reader) (string, error) {
	if c.EnvFile == "-" {
		return readBounded(in, "standard input")
	}
	return readLocal(c.EnvFile)
}

func readLocal(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readBounded(f, name)
}

func readBounded(r io.Reader, what string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, signalbox.MaxSecretSize+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	if len(b) > signalbox.MaxSecretSize {
		return "", fmt.Errorf("%s is larger than the %d MiB that a secret may hold", what, signalbox.MaxSecretSize>>20)
	}
	return string(b), nil
}

// parseEnvFile reads lines of NAME=value. Quotes belong to the value.
func parseEnvFile(text string) (vars []secretVar, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if t := strings.TrimSpace(line); t == "" || t[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))
		if !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
			return nil, fmt.Errorf("line %d is not NAME=value", n)
		}
		if value == "" {
			return nil, fmt.Errorf("line %d gives %s no value", n, printable(name))
		}
		vars = append(vars, secretVar{name, value})
	}
	return vars, nil
}

// rules returns what the flags say about use, nil when they say nothing.
func (c *SecretSetCmd) rules(ctx context.Context, api *client) (*secretRules, error) {
	if c.Projects+c.Debug+c.Attach == "" {
		return nil, nil
	}
	word := map[string]string{"yes": "YES", "no": "NO"}
	r := &secretRules{}
	if c.Debug != "" {
		r.DebugAccess = "JOB_DEBUG_" + word[c.Debug]
	}
	if c.Attach != "" {
		r.AttachAccess = "JOB_ATTACH_" + word[c.Attach]
	}
	switch c.Projects {
	case "":
	case "all", "none":
		r.ProjectsAccess = strings.ToUpper(c.Projects)
	default:
		r.ProjectsAccess = "ALLOWED"
		for name := range strings.SplitSeq(c.Projects, ",") {
			var p struct {
				Metadata struct {
					ID string `json:"id"`
				} `json:"metadata"`
			}
			if err := api.call(ctx, http.MethodGet, "/api/v1alpha/projects/"+url.PathEscape(strings.TrimSpace(name)), nil, &p); err != nil {
				return nil, err
			}
			r.ProjectIDs = append(r.ProjectIDs, p.Metadata.ID)
		}
	}
	return r, nil
}

// text shows a secret to a person.
func (s *secretInfo) text() string {
	var vars, files []string
	for _, v := range s.Data.EnvVars {
		vars = append(vars, v.Name)
	}
	for _, f := range s.Data.Files {
		files = append(files, f.Path)
	}
	rows := [][]string{{"Description", s.Metadata.Description}, {"Variables", strings.Join(vars, ", ")}, {"Files", strings.Join(files, ", ")}}
	if r := s.OrgConfig; r != nil {
		use := strings.ToLower(r.ProjectsAccess)
		if len(r.ProjectIDs) > 0 && r.ProjectsAccess == "ALLOWED" {
			use = strings.Join(r.ProjectIDs, ", ")
		}
		rows = append(rows, []string{"Projects", use}, []string{"Debug", strings.ToLower(strings.TrimPrefix(r.DebugAccess, "JOB_DEBUG_"))},
			[]string{"Attach", strings.ToLower(strings.TrimPrefix(r.AttachAccess, "JOB_ATTACH_"))})
	}
	var b strings.Builder
	for _, r := range rows {
		if r[1] == "" {
			r[1] = "-"
		}
		fmt.Fprintf(&b, "%-12s %s\n", r[0], printable(r[1]))
	}
	return b.String()
}

// SecretListCmd is `signalbox secret list`.
type SecretListCmd struct {
	Project string `help:"Project whose secrets to list; without it, those of the organization." env:"SIGNALBOX_PROJECT" placeholder:"NAME"`
}

func (c *SecretListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	all := []secretInfo{}
	for token := ""; ; {
		var page struct {
			Secrets []secretInfo `json:"secrets"`
			Next    string       `json:"next_page_token"`
		}
		if err := api.call(ctx, http.MethodGet, secretPath(c.Project, "")+"?page_token="+url.QueryEscape(token), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Secrets...)
		if token = page.Next; token == "" {
			break
		}
	}
	rows := [][]string{}
	for _, s := range all {
		rows = append(rows, []string{
			s.Metadata.Name, fmt.Sprint(len(s.Data.EnvVars)), fmt.Sprint(len(s.Data.Files)), moment(s.Metadata.Updated), moment(s.Metadata.Used), s.Metadata.Description,
		})
	}
	return g.print(all, table([]string{"NAME", "VARIABLES", "FILES", "CHANGED", "USED", "DESCRIPTION"}, rows))
}

// SecretShowCmd is `signalbox secret show`.
type SecretShowCmd struct {
	Name    string `arg:"" help:"Name of the secret."`
	Project string `help:"Project that it belongs to." env:"SIGNALBOX_PROJECT" placeholder:"NAME"`
}

func (c *SecretShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var s secretInfo
	if err := api.call(ctx, http.MethodGet, secretPath(c.Project, c.Name), nil, &s); err != nil {
		return err
	}
	return g.print(s, fmt.Sprintf("%-12s %s\n%s%-12s %s\n%-12s %s\n", "Secret", printable(s.Metadata.Name), s.text(), "Changed", moment(s.Metadata.Updated), "Used", moment(s.Metadata.Used)))
}

// SecretDeleteCmd is `signalbox secret delete`.
type SecretDeleteCmd struct {
	Name    string `arg:"" help:"Name of the secret."`
	Project string `help:"Project that it belongs to." env:"SIGNALBOX_PROJECT" placeholder:"NAME"`
}

func (c *SecretDeleteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, secretPath(c.Project, c.Name), nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"deleted": c.Name}, "Secret "+printable(c.Name)+" deleted.\n")
}
