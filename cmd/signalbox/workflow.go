package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// WorkflowCmd is `signalbox workflow`.
type WorkflowCmd struct {
	Start  WorkflowStartCmd  `cmd:"" help:"Start a workflow of a project."`
	List   WorkflowListCmd   `cmd:"" help:"List a project's workflows, newest first."`
	Follow WorkflowFollowCmd `cmd:"" help:"Show what happens in a workflow until the end; the exit code is the result."`
	Rerun  WorkflowRerunCmd  `cmd:"" help:"Run all of a workflow again, as a workflow of its own."`
	Stop   WorkflowStopCmd   `cmd:"" help:"Stop a workflow."`
}

const workflows = "/api/v1alpha/plumber-workflows"

// WorkflowStartCmd is `signalbox workflow start`.
type WorkflowStartCmd struct {
	Project string   `arg:"" help:"Name of the project."`
	Branch  string   `help:"Branch, or a full ref such as refs/tags/v1; default: the project's default branch." env:"SIGNALBOX_BRANCH" placeholder:"BRANCH"`
	File    string   `help:"Pipeline file; default: the project's." env:"SIGNALBOX_FILE" placeholder:"FILE"`
	Param   []string `help:"Value of a parameter for templates and jobs; may repeat." sep:"none" env:"SIGNALBOX_PARAM" placeholder:"NAME=VALUE"`
	Follow  bool     `help:"Show what happens until the end; the exit code is the result." env:"SIGNALBOX_FOLLOW"`
}

func (c *WorkflowStartCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	parameters, err := parametersOf(c.Param)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, p := range parameters {
		values[p.Name] = p.Value
	}
	in := map[string]any{"project_id": c.Project, "reference": c.Branch, "pipeline_file": c.File, "request_token": signalbox.NewID(), "parameters": values}
	var out struct {
		WorkflowID string `json:"workflow_id"`
		PipelineID string `json:"pipeline_id"`
	}
	if err := api.call(ctx, http.MethodPost, workflows, in, &out); err != nil {
		return err
	}
	page := api.base + "/workflows/" + out.WorkflowID
	if !c.Follow {
		return g.print(map[string]string{"workflow_id": out.WorkflowID, "pipeline_id": out.PipelineID, "page": page}, "Started: "+page+"\n")
	}
	if g.Output != "json" {
		fmt.Fprintf(g.out, "Started: %s\n", page)
	}
	return g.follow(ctx, api, out.PipelineID)
}

// WorkflowFollowCmd is `signalbox workflow follow`.
type WorkflowFollowCmd struct {
	ID string `arg:"" help:"Workflow id."`
}

func (c *WorkflowFollowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out struct {
		Workflow struct {
			Pipeline string `json:"initial_ppl_id"`
		} `json:"workflow"`
	}
	if err := api.call(ctx, http.MethodGet, workflows+"/"+url.PathEscape(c.ID), nil, &out); err != nil {
		return err
	}
	return g.follow(ctx, api, out.Workflow.Pipeline)
}

// follow shows a pipeline until it is done and returns its result as an exit code.
func (g *Globals) follow(ctx context.Context, api *client, pipelineID string) error {
	progress := g.out
	if g.Output == "json" {
		progress = io.Discard
	}
	p, err := follow(ctx, api, pipelineID, progress)
	if err != nil {
		return err
	}
	if g.Output == "json" {
		if err := g.print(p, ""); err != nil {
			return err
		}
	}
	return resultError(p.Pipeline.Result)
}

// resultError turns a result into the exit code that stands for it.
func resultError(result string) error {
	switch signalbox.Result(result) {
	case signalbox.ResultPassed:
		return nil
	case signalbox.ResultStopped, signalbox.ResultCanceled:
		return &exitCodeError{code: exitStopped}
	}
	return &exitCodeError{code: exitFailed}
}

// description is what the API says of a pipeline.
type description struct {
	Pipeline struct {
		ID               string `json:"ppl_id"`
		Name             string `json:"name"`
		State            string `json:"state"`
		Result           string `json:"result"`
		Reason           string `json:"result_reason"`
		ErrorDescription string `json:"error_description"`
	} `json:"pipeline"`
	Blocks  []descriptionBlock `json:"blocks"`
	Version string             `json:"version"`
}

type descriptionBlock struct {
	Name   string           `json:"name"`
	State  string           `json:"state"`
	Result string           `json:"result"`
	Reason string           `json:"result_reason"`
	Jobs   []descriptionJob `json:"jobs"`
}

type descriptionJob struct {
	Name       string `json:"name"`
	ID         string `json:"job_id"`
	Status     string `json:"status"`
	Result     string `json:"result"`
	Reason     string `json:"reason"`
	Failure    string `json:"failure_reason"`
	StartedAt  string `json:"started_at"`
	FinishedAt string `json:"finished_at"`
}

// follow prints what changes in a pipeline until it is done. The server answers as soon as something changes.
func follow(ctx context.Context, api *client, id string, out io.Writer) (*description, error) {
	t := newProgress(out)
	t.explain = func(jobID string) string {
		e, err := explainJob(ctx, api, jobID)
		if err != nil || !e.Blocked && len(e.HeldBy) == 0 {
			return "" // what follows is told anyway
		}
		return e.Text
	}
	version := "-"
	failures := 0
	for {
		var d description
		path := "/api/v1alpha/pipelines/" + url.PathEscape(id) + "?detailed=true&wait=30&version=" + url.QueryEscape(version)
		if err := api.call(ctx, http.MethodGet, path, nil, &d); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			// The server may be restarting; the pipeline goes on where it was.
			switch signalbox.ErrorCode(err) {
			case signalbox.CodeNotFound, signalbox.CodeUnauthorized, signalbox.CodeForbidden:
				return nil, err
			}
			if failures++; failures > 60 {
				return nil, err
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			continue
		}
		failures, version = 0, d.Version
		t.show(&d)
		if d.Pipeline.State == "done" {
			t.summary(&d)
			return &d, nil
		}
	}
}

// WorkflowListCmd is `signalbox workflow list`.
type WorkflowListCmd struct {
	Project string `arg:"" help:"Name of the project."`
}

func (c *WorkflowListCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out []struct {
		ID        string `json:"wf_id"`
		Pipeline  string `json:"initial_ppl_id"`
		Branch    string `json:"branch_name"`
		Commit    string `json:"commit_sha"`
		Trigger   string `json:"triggered_by"`
		Number    int    `json:"number"`
		CreatedAt struct {
			Seconds int64 `json:"seconds"`
		} `json:"created_at"`
	}
	if err := api.call(ctx, http.MethodGet, workflows+"?project_id="+url.QueryEscape(c.Project), nil, &out); err != nil {
		return err
	}
	rows := [][]string{}
	for _, w := range out {
		rows = append(rows, []string{w.ID, w.Branch + " #" + strconv.Itoa(w.Number), fmt.Sprintf("%.10s", w.Commit), w.Trigger, time.Unix(w.CreatedAt.Seconds, 0).UTC().Format(time.RFC3339)})
	}
	return g.print(out, table([]string{"WORKFLOW", "BRANCH", "COMMIT", "BY", "CREATED"}, rows))
}

// WorkflowStopCmd is `signalbox workflow stop`.
type WorkflowStopCmd struct {
	ID string `arg:"" help:"Workflow id."`
}

func (c *WorkflowStopCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var out string
	if err := api.call(ctx, http.MethodPost, workflows+"/"+url.PathEscape(c.ID)+"/terminate", nil, &out); err != nil {
		return err
	}
	return g.print(map[string]string{"message": out}, out+"\n")
}
