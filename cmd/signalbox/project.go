package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// ProjectCmd is `signalbox project`.
type ProjectCmd struct {
	Create ProjectCreateCmd `cmd:"" help:"Make a project of a git repository."`
	List   ProjectListCmd   `cmd:"" help:"List the projects."`
	Set    ProjectSetCmd    `cmd:"" help:"Change a project's settings."`
	Delete ProjectDeleteCmd `cmd:"" help:"Delete a project; its repository is not touched."`
}

// ProjectCreateCmd is `signalbox project create`.
type ProjectCreateCmd struct {
	Name         string `arg:"" help:"Name of the project."`
	Git          string `help:"URL of the repository, or its path on the server's machine." required:"" env:"SIGNALBOX_GIT" placeholder:"PATH-OR-URL"`
	PipelineFile string `help:"First pipeline, within the repository." name:"pipeline-file" default:".semaphore/semaphore.yml" env:"SIGNALBOX_PIPELINE_FILE" placeholder:"FILE"`
}

// Help is what --help says beside the flags.
func (*ProjectCreateCmd) Help() string {
	return "A push to a repository on the server's own machine starts a workflow: a hook is installed there, and one that is there is kept."
}

func (c *ProjectCreateCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	git, err := repositoryAddress(c.Git)
	if err != nil {
		return err
	}
	in := map[string]any{
		"metadata": map[string]any{"name": c.Name},
		"spec":     map[string]any{"repository": map[string]any{"url": git, "pipeline_file": c.PipelineFile}},
	}
	var out map[string]any
	if err := api.call(ctx, http.MethodPost, "/api/v1alpha/projects", in, &out); err != nil {
		return err
	}
	return g.print(out, fmt.Sprintf("Project %s created. Push to %s, or run: signalbox workflow start %s --follow\n", c.Name, git, c.Name))
}

// repositoryAddress makes a path of this machine one that the server understands, too.
func repositoryAddress(git string) (string, error) {
	if _, err := os.Stat(git); err == nil && !strings.Contains(git, "://") {
		return filepath.Abs(git)
	}
	return git, nil
}

// ProjectSetCmd is `signalbox project set`.
type ProjectSetCmd struct {
	Name   string `arg:"" help:"Name of the project."`
	Debug  string `help:"Jobs of which refs may be debugged: default_branch, non_default_branch, tag, pull_request, forked_pull_request, with commas between; none, or default." env:"SIGNALBOX_DEBUG_PERMISSIONS" placeholder:"KINDS"`
	Attach string `help:"The same for entering jobs that run." env:"SIGNALBOX_ATTACH_PERMISSIONS" placeholder:"KINDS"`

	Git           string `help:"Move the project to this repository: a URL, or a path on the server's machine." env:"SIGNALBOX_PROJECT_GIT" placeholder:"PATH-OR-URL"`
	DefaultBranch string `help:"Its default branch. A repository that it moves to has that which its HEAD names, when none is given." name:"default-branch" env:"SIGNALBOX_PROJECT_DEFAULT_BRANCH" placeholder:"BRANCH"`

	MaxRunningJobs *int `help:"How many of its jobs may hold agents at once; 0 is no limit." name:"max-running-jobs" env:"SIGNALBOX_PROJECT_MAX_RUNNING_JOBS" placeholder:"N"`
}

// Help is what --help says beside the flags.
func (*ProjectSetCmd) Help() string {
	return `By default whoever may start workflows may debug jobs of every branch, tag and pull request, but not of pull requests from
forks. Naming kinds for one of the two flags replaces that rule for both: what is not named is not allowed. "default" for
either brings the default rule back.

Moving a project starts nothing. Jobs that begin afterwards clone the new repository, those of workflows that run already too.`
}

func (c *ProjectSetCmd) Run(ctx context.Context, g *Globals) error {
	permissions := c.Debug != "" || c.Attach != ""
	if c.Git != "" || c.DefaultBranch != "" {
		if err := c.setRepository(ctx, g); err != nil || c.MaxRunningJobs == nil && !permissions {
			return err
		}
	}
	if c.MaxRunningJobs != nil {
		if err := c.setLimit(ctx, g); err != nil || !permissions {
			return err
		}
	}
	return c.setPermissions(ctx, g)
}

func (c *ProjectSetCmd) setRepository(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	git, err := repositoryAddress(c.Git)
	if err != nil {
		return err
	}
	repository := map[string]any{}
	if git != "" {
		repository["url"] = git
	}
	if c.DefaultBranch != "" {
		repository["default_branch"] = c.DefaultBranch
	}
	var out map[string]any
	in := map[string]any{"spec": map[string]any{"repository": repository}}
	if err := api.call(ctx, http.MethodPatch, "/api/v1alpha/projects/"+url.PathEscape(c.Name), in, &out); err != nil {
		return err
	}
	if c.MaxRunningJobs != nil || c.Debug != "" || c.Attach != "" {
		return nil // the answer to what follows has the repository too
	}
	spec, _ := out["spec"].(map[string]any)
	is, _ := spec["repository"].(map[string]any)
	address, _ := is["url"].(string)
	branch, _ := is["default_branch"].(string)
	return g.print(out, fmt.Sprintf("Project %s\nRepository      %s\nDefault branch  %s\n", c.Name, printable(address), printable(branch)))
}

func (c *ProjectSetCmd) setLimit(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out map[string]any
	in := map[string]any{"spec": map[string]any{"max_running_jobs": *c.MaxRunningJobs}}
	if err := api.call(ctx, http.MethodPatch, "/api/v1alpha/projects/"+url.PathEscape(c.Name), in, &out); err != nil || c.Debug != "" || c.Attach != "" {
		return err // with permissions to set, the answer to those has the limit too
	}
	return g.print(out, "Project "+c.Name+"\nRunning jobs  "+limitText(*c.MaxRunningJobs)+"\n")
}

func (c *ProjectSetCmd) setPermissions(ctx context.Context, g *Globals) error {
	spec := map[string]any{}
	custom := true
	for key, flag := range map[string]string{"debug_permissions": c.Debug, "attach_permissions": c.Attach} {
		switch {
		case flag == "":
		case flag == "default":
			custom = false
		case flag == "none":
			spec[key] = []string{}
		default:
			spec[key] = strings.Split(strings.ReplaceAll(flag, " ", ""), ",")
		}
	}
	switch {
	case c.Debug == "" && c.Attach == "":
		return errors.New("nothing to change: give --git, --default-branch, --debug, --attach or --max-running-jobs")
	case !custom && len(spec) > 0:
		return errors.New("\"default\" holds for --debug and --attach together; name kinds for both, or \"default\" alone")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	path := "/api/v1alpha/projects/" + url.PathEscape(c.Name)
	spec["custom_permissions"] = custom
	// The list that was not named stays: with the switch in the body, one that is left out would become empty.
	var now struct {
		Spec struct {
			Debug  []string `json:"debug_permissions"`
			Attach []string `json:"attach_permissions"`
		} `json:"spec"`
	}
	if custom {
		if err := api.call(ctx, http.MethodGet, path, nil, &now); err != nil {
			return err
		}
		if c.Debug == "" {
			spec["debug_permissions"] = now.Spec.Debug
		}
		if c.Attach == "" {
			spec["attach_permissions"] = now.Spec.Attach
		}
	}
	var out map[string]any
	if err := api.call(ctx, http.MethodPatch, path, map[string]any{"spec": spec}, &out); err != nil {
		return err
	}
	if !custom {
		return g.print(out, "Project "+c.Name+": debugging and attaching by the default rule.\n")
	}
	say := func(key string) string {
		if l, _ := spec[key].([]string); len(l) > 0 {
			return strings.Join(l, ", ")
		}
		return "none"
	}
	return g.print(out, fmt.Sprintf("Project %s\nDebug   %s\nAttach  %s\n", c.Name, say("debug_permissions"), say("attach_permissions")))
}

// ProjectListCmd is `signalbox project list`.
type ProjectListCmd struct{}

func (ProjectListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out []struct {
		Metadata struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Repository struct {
				URL          string `json:"url"`
				PipelineFile string `json:"pipeline_file"`
			} `json:"repository"`
		} `json:"spec"`
	}
	if err := api.call(ctx, http.MethodGet, "/api/v1alpha/projects", nil, &out); err != nil {
		return err
	}
	rows := [][]string{}
	for _, p := range out {
		rows = append(rows, []string{p.Metadata.Name, p.Spec.Repository.URL, p.Spec.Repository.PipelineFile})
	}
	return g.print(out, table([]string{"NAME", "REPOSITORY", "PIPELINE"}, rows))
}

// ProjectDeleteCmd is `signalbox project delete`.
type ProjectDeleteCmd struct {
	Name string `arg:"" help:"Name of the project."`
}

func (c *ProjectDeleteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodDelete, "/api/v1alpha/projects/"+url.PathEscape(c.Name), nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"deleted": c.Name}, "Project "+c.Name+" deleted.\n")
}

// table lays out rows under a head.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range append([][]string{head}, rows...) {
		for i, cell := range r {
			r[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// printable keeps names from moving the terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}
