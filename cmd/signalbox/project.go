package main

import (
	"context"
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
	git := c.Git
	if _, err := os.Stat(git); err == nil && !strings.Contains(git, "://") {
		if git, err = filepath.Abs(git); err != nil {
			return err
		}
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
