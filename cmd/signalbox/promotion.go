package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/signalbox-ci/signalbox"
)

const pipelines = "/api/v1alpha/pipelines"

// PipelinePromoteCmd is `signalbox pipeline promote`.
type PipelinePromoteCmd struct {
	Pipeline string   `arg:"" help:"Pipeline id."`
	Name     string   `arg:"" help:"Name of the promotion."`
	Param    []string `help:"Value of a parameter; may repeat." sep:"none" placeholder:"NAME=VALUE" env:"SIGNALBOX_PARAM"`
	Override bool     `help:"Although the pipeline has not passed." env:"SIGNALBOX_OVERRIDE"`
}

func (c *PipelinePromoteCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	parameters, err := parametersOf(c.Param)
	if err != nil {
		return err
	}
	in := map[string]any{}
	for _, p := range parameters {
		in[p.Name] = p.Value
	}
	token := signalbox.NewID() // a repeated request is the same one
	in["pipeline_id"], in["name"], in["override"], in["request_token"] = c.Pipeline, c.Name, c.Override, token
	var message string
	if err := api.call(ctx, http.MethodPost, "/api/v1alpha/promotions", in, &message); err != nil {
		return err
	}
	var all []promotion
	if err := api.call(ctx, http.MethodGet, "/api/v1alpha/promotions?pipeline_id="+url.QueryEscape(c.Pipeline)+"&name="+url.QueryEscape(c.Name), nil, &all); err != nil {
		return err
	}
	id := ""
	if len(all) > 0 {
		id = all[0].Pipeline
	}
	return g.print(map[string]string{"pipeline_id": id}, "Promoted: pipeline "+id+"\n")
}

type promotion struct {
	Name      string `json:"name"`
	By        string `json:"triggered_by"`
	Override  bool   `json:"override"`
	Status    string `json:"status"`
	Pipeline  string `json:"scheduled_pipeline_id"`
	Error     string `json:"error_response"`
	Target    string `json:"deployment_target,omitempty"`
	Triggered struct {
		Seconds int64 `json:"seconds"`
	} `json:"triggered_at"`
}

// PipelinePromotionsCmd is `signalbox pipeline promotions`.
type PipelinePromotionsCmd struct {
	Pipeline string `arg:"" help:"Pipeline id."`
}

func (c *PipelinePromotionsCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var all []promotion
	if err := api.call(ctx, http.MethodGet, "/api/v1alpha/promotions?pipeline_id="+url.QueryEscape(c.Pipeline), nil, &all); err != nil {
		return err
	}
	rows := [][]string{}
	for _, p := range all {
		what := p.Pipeline
		if p.Error != "" {
			what = p.Error
		}
		target := p.Target
		if target == "" {
			target = "-"
		}
		rows = append(rows, []string{p.Name, target, p.Status, p.By, time.Unix(p.Triggered.Seconds, 0).UTC().Format(time.RFC3339), what})
	}
	if len(rows) == 0 {
		return g.print(all, "Nothing was promoted from this pipeline.\n")
	}
	return g.print(all, table([]string{"NAME", "TARGET", "STATUS", "BY", "AT", "PIPELINE"}, rows))
}

// PipelineRerunCmd is `signalbox pipeline rerun`.
type PipelineRerunCmd struct {
	Pipeline string `arg:"" help:"Pipeline id."`
	Follow   bool   `help:"Show what happens until the end; the exit code is the result." env:"SIGNALBOX_FOLLOW"`
}

func (c *PipelineRerunCmd) Run(ctx context.Context, g *Globals) error {
	return g.rerun(ctx, pipelines+"/"+url.PathEscape(c.Pipeline)+"/partial_rebuild", c.Follow)
}

// rerun asks for a repeat and tells which pipeline it is.
func (g *Globals) rerun(ctx context.Context, path string, follow bool) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		ID string `json:"pipeline_id"`
	}
	if err := api.call(ctx, http.MethodPost, path, map[string]string{"request_token": signalbox.NewID()}, &out); err != nil {
		return err
	}
	if follow {
		return g.follow(ctx, api, out.ID)
	}
	return g.print(map[string]string{"pipeline_id": out.ID}, "Started: pipeline "+out.ID+"\n")
}

// JobRerunCmd is `signalbox job rerun`.
type JobRerunCmd struct {
	ID     string `arg:"" help:"Job id."`
	Follow bool   `help:"Show what happens until the end; the exit code is the result." env:"SIGNALBOX_FOLLOW"`
}

// Help is what --help says beside the flags.
func (*JobRerunCmd) Help() string {
	return "The job runs again in a new pipeline of its workflow, which takes over everything else as it ended."
}

func (c *JobRerunCmd) Run(ctx context.Context, g *Globals) error {
	return g.rerun(ctx, "/api/v1alpha/jobs/"+url.PathEscape(c.ID)+"/rerun", c.Follow)
}

// WorkflowRerunCmd is `signalbox workflow rerun`.
type WorkflowRerunCmd struct {
	ID     string `arg:"" help:"Workflow id."`
	Follow bool   `help:"Show what happens until the end; the exit code is the result." env:"SIGNALBOX_FOLLOW"`
}

func (c *WorkflowRerunCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		Workflow string `json:"wf_id"`
		Pipeline string `json:"ppl_id"`
	}
	in := map[string]string{"request_token": signalbox.NewID()}
	if err := api.call(ctx, http.MethodPost, workflows+"/"+url.PathEscape(c.ID)+"/reschedule", in, &out); err != nil {
		return err
	}
	page := api.base + "/workflows/" + out.Workflow
	if !c.Follow {
		return g.print(map[string]string{"workflow_id": out.Workflow, "pipeline_id": out.Pipeline, "page": page}, "Started: "+page+"\n")
	}
	if g.Output != "json" {
		fmt.Fprintf(g.out, "Started: %s\n", page)
	}
	return g.follow(ctx, api, out.Pipeline)
}
