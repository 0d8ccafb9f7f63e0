package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// JobCmd is `signalbox job`.
type JobCmd struct {
	Rerun JobRerunCmd `cmd:"" help:"Run one job again."`
	Logs  JobLogsCmd  `cmd:"" help:"Print a job's log."`
	Show  JobShowCmd  `cmd:"" help:"Show a job."`
	Stop  JobStopCmd  `cmd:"" help:"Stop a job."`

	Explain JobExplainCmd `cmd:"" help:"Say why a job waits."`

	Debug JobDebugCmd `cmd:"" help:"Keep the environment of a job open on an agent, to look around in it."`
}

// JobLogsCmd is `signalbox job logs`.
type JobLogsCmd struct {
	ID     string `arg:"" help:"Job id."`
	Follow bool   `help:"Print what comes until the job has ended." env:"SIGNALBOX_FOLLOW"`
}

func (c *JobLogsCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	path := "/api/v1alpha/logs/" + url.PathEscape(c.ID)
	if c.Follow {
		return followLog(ctx, api, path+"?follow=1", newLogPrinter(g.out))
	}
	if g.Output == "json" {
		var out any
		if err := api.call(ctx, http.MethodGet, path, nil, &out); err != nil {
			return err
		}
		return g.print(out, "")
	}
	body, err := api.open(ctx, http.MethodGet, path+"?format=text", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(terminalSafe(g.out), body)
	return err
}

type jobBody struct {
	Metadata struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		StartTime  string `json:"start_time"`
		FinishTime string `json:"finish_time"`
	} `json:"metadata"`
	Status struct {
		State         string `json:"state"`
		Result        string `json:"result"`
		Reason        string `json:"reason"`
		FailureReason string `json:"failure_reason"`
		Agent         *struct {
			Name string `json:"name"`
		} `json:"agent"`
	} `json:"status"`
}

// JobShowCmd is `signalbox job show`.
type JobShowCmd struct {
	ID string `arg:"" help:"Job id."`
}

func (c *JobShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var j jobBody
	if err := api.call(ctx, http.MethodGet, "/api/v1alpha/jobs/"+url.PathEscape(c.ID), nil, &j); err != nil {
		return err
	}
	agent := "none yet"
	if j.Status.Agent != nil {
		agent = j.Status.Agent.Name
	}
	text := fmt.Sprintf("Job     %s\nName    %s\nState   %s\nResult  %s\nAgent   %s\n", j.Metadata.ID, printable(j.Metadata.Name), j.Status.State, j.Status.Result, printable(agent))
	if j.Status.Reason != "" {
		text += "Reason  " + inWords(j.Status.Reason) + "\n"
	}
	if j.Status.FailureReason != "" {
		text += "        " + printable(j.Status.FailureReason) + "\n"
	}
	return g.print(j, text)
}

// JobStopCmd is `signalbox job stop`.
type JobStopCmd struct {
	ID string `arg:"" help:"Job id."`
}

func (c *JobStopCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodPost, "/api/v1alpha/jobs/"+url.PathEscape(c.ID)+"/stop", nil, nil); err != nil {
		return err
	}
	return g.print(map[string]string{"stopped": c.ID}, "Job "+c.ID+" stopped.\n")
}

// followLog prints a log stream, connecting again where it was cut, until the server says that the log has ended.
func followLog(ctx context.Context, api *client, path string, p *logPrinter) error {
	failures := 0
	for {
		ended, err := readStream(ctx, api, path, p)
		if ended || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if failures++; failures > 5 {
				return err
			}
			fmt.Fprintln(os.Stderr, "signalbox: the connection was lost; trying again")
		} else {
			failures = 0
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
