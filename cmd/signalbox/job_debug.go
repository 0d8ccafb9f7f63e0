package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// JobDebugCmd is `signalbox job debug`.
type JobDebugCmd struct {
	ID       string        `arg:"" help:"Id of the job to debug."`
	Duration time.Duration `help:"How long the session lasts at most, such as 90m or 3h." default:"1h" env:"SIGNALBOX_DEBUG_DURATION" placeholder:"TIME"`
	Detach   bool          `help:"Return as soon as the session is open, and leave it open." env:"SIGNALBOX_DEBUG_DETACH"`
}

// Help is what --help says beside the flags.
func (*JobDebugCmd) Help() string {
	return `Starts a new job with the environment, files and agent type of another one and no commands, says on which agent and host
it runs and what to type there, and waits until the session ends. Ctrl-C ends it.

Exit codes: 0 the session was ended by you, by somebody else or by its time limit; 2 no such job; 3 not allowed;
10 the session failed, for example because its agent was lost.`
}

// debugJob is what the API says of a debug job.
type debugJob struct {
	jobBody
	Debug struct {
		JobID     string `json:"job_id"`
		Duration  int    `json:"duration"`
		StartedBy string `json:"started_by"`
		Host      string `json:"host"`
		EndsAt    string `json:"ends_at"`
	} `json:"debug"`
	Waiting *struct {
		Position int    `json:"position"`
		Text     string `json:"text"`
	} `json:"waiting"`
	Version string `json:"version"`
}

func (c *JobDebugCmd) Run(ctx context.Context, g *Globals) error {
	if c.Duration < time.Second || c.Duration%time.Second != 0 {
		return fmt.Errorf("--duration %s: a session lasts whole seconds, at least one", c.Duration)
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	var j debugJob
	in := map[string]string{"job_id": c.ID, "duration": strconv.FormatInt(int64(c.Duration/time.Second), 10)}
	if err := api.call(ctx, http.MethodPost, "/api/v1alpha/jobs/"+url.PathEscape(c.ID)+"/debug", in, &j); err != nil {
		return err
	}
	page := api.base + "/jobs/" + j.Metadata.ID
	g.say("Debug session %s for job %s\n%s\n", j.Metadata.ID, c.ID, page)
	err = c.follow(ctx, g, api, &j, page)
	if ctx.Err() == nil {
		return err
	}
	g.say("Stopping the session ...\n")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := api.call(last, http.MethodPost, "/api/v1alpha/jobs/"+url.PathEscape(j.Metadata.ID)+"/stop", nil, nil); err != nil {
		return fmt.Errorf("the session goes on until its time limit, because it could not be stopped; try: signalbox job stop %s: %w", j.Metadata.ID, err)
	}
	g.say("The session was stopped.\n")
	return nil
}

// say prints a line for people, nothing where the output is for programs.
func (g *Globals) say(format string, args ...any) {
	if g.Output != "json" {
		fmt.Fprintf(g.out, format, args...)
	}
}

// follow shows what becomes of a session until it has ended.
func (c *JobDebugCmd) follow(ctx context.Context, g *Globals, api *client, j *debugJob, page string) error {
	said, open, failures := "", false, 0
	for {
		switch j.Status.State {
		case "RUNNING":
			if !open {
				open = true
				if err := g.print(c.opened(j, page)); err != nil || c.Detach {
					return err
				}
			}
		case "FINISHED":
			return c.ended(g, j, open, page)
		default:
			if j.Waiting != nil && j.Waiting.Text != said {
				said = j.Waiting.Text
				g.say("Waiting: %s\n", printable(said))
			}
		}
		// The server answers as soon as something changes.
		var next debugJob
		err := api.call(ctx, http.MethodGet, "/api/v1alpha/jobs/"+url.PathEscape(j.Metadata.ID)+"?wait=30&version="+url.QueryEscape(j.Version), nil, &next)
		if err == nil {
			failures, *j = 0, next
			continue
		}
		switch signalbox.ErrorCode(err) {
		case signalbox.CodeNotFound, signalbox.CodeUnauthorized, signalbox.CodeForbidden:
			return err
		}
		if failures++; failures > 60 || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		select { // the server may be restarting; the session goes on
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// opened is what there is to know of an open session.
func (c *JobDebugCmd) opened(j *debugJob, page string) (v any, text string) {
	agent := ""
	if j.Status.Agent != nil {
		agent = j.Status.Agent.Name
	}
	ends := ""
	if n, err := strconv.ParseInt(j.Debug.EndsAt, 10, 64); err == nil {
		ends = time.Unix(n, 0).Local().Format("2006-01-02 15:04:05 MST")
	}
	logs := "signalbox job logs " + j.Metadata.ID
	v = map[string]string{
		"id": j.Metadata.ID, "job_id": c.ID, "agent": agent, "host": j.Debug.Host, "ends_at": j.Debug.EndsAt, "page": page, "logs": logs,
	}
	text = fmt.Sprintf(`
The session is open.

Agent   %s
Host    %s
Ends    %s

Log in on that host as the user of the agent, then:
  source /tmp/.env-%s-*
and look at ~/commands for what the job would have run. The exact names are in the log:
  %s
`, printable(agent), printable(j.Debug.Host), ends, j.Metadata.ID, logs)
	if !c.Detach {
		text += "\nCtrl-C ends the session.\n"
	}
	return v, text
}

// ended says how a session ended.
func (c *JobDebugCmd) ended(g *Globals, j *debugJob, open bool, page string) error {
	if g.Output == "json" && !open {
		if err := g.print(map[string]string{"id": j.Metadata.ID, "job_id": c.ID, "result": j.Status.Result, "reason": j.Status.Reason, "page": page}, ""); err != nil {
			return err
		}
	}
	switch {
	case j.Status.Result == "FAILED":
		g.say("The session failed%s\n", why(j.Status.Reason))
		if j.Status.FailureReason != "" {
			g.say("%s\n", printable(j.Status.FailureReason))
		}
		return &exitCodeError{code: exitFailed}
	case j.Status.Reason == "timeout":
		g.say("The session is over: its time has run out.\n")
	default:
		g.say("The session was stopped.\n")
	}
	return nil
}
