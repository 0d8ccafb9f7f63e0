package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

const taskHelp = `--at is a cron expression, "MINUTE HOUR DAY MONTH WEEKDAY [YEAR]", or @hourly, @daily, @weekly, @monthly, @yearly. A day must fit both
DAY and WEEKDAY. Examples: "0 3 * * *" every day at 3:00, "*/15 8-17 * * MON-FRI" every quarter of an hour at work, "0 6 L * *" on
the last day of each month, "0 9 * * MON#1" on the first Monday. Options and patterns of parameters are written in a file; see
docs/tasks.md.`

// TaskCreateCmd is `signalbox task create`.
type TaskCreateCmd struct {
	Task        string   `arg:"" optional:"" help:"PROJECT/NAME of the new task." name:"project/name"`
	At          string   `help:"When it runs: a cron expression." env:"SIGNALBOX_TASK_AT" placeholder:"CRON"`
	TimeZone    string   `help:"Zone that --at is in, such as Europe/Berlin; default: UTC." name:"time-zone" env:"SIGNALBOX_TASK_TIME_ZONE" placeholder:"ZONE"`
	ByHand      bool     `help:"Never start by itself, only with \"signalbox task run\"." name:"by-hand" env:"SIGNALBOX_TASK_BY_HAND"`
	Branch      string   `help:"Branch, or a full ref such as refs/tags/v1; default: the project's default branch." env:"SIGNALBOX_TASK_BRANCH" placeholder:"BRANCH"`
	File        string   `help:"Pipeline file; default: the project's." env:"SIGNALBOX_TASK_FILE" placeholder:"FILE"`
	Description string   `help:"What it is for." env:"SIGNALBOX_TASK_DESCRIPTION" placeholder:"TEXT"`
	Overlap     string   `help:"What happens when a run is due while the workflow of an earlier one runs: allow or skip." enum:"allow,skip," default:"" placeholder:"allow|skip" env:"SIGNALBOX_TASK_OVERLAP"`
	CatchUp     string   `help:"What happens to runs that were due while the server was away: one (the newest runs) or skip." name:"catch-up" enum:"one,skip," default:"" placeholder:"one|skip" env:"SIGNALBOX_TASK_CATCH_UP"`
	Param       []string `help:"A parameter, which becomes a variable: NAME=DEFAULT, or NAME for one that whoever runs it must give; may repeat." sep:"none" env:"SIGNALBOX_TASK_PARAM" placeholder:"NAME=DEFAULT"`
	Paused      bool     `help:"Make it, but start nothing yet." env:"SIGNALBOX_TASK_PAUSED"`
	FromFile    string   `help:"YAML file of kind Schedule that defines the task, instead of everything else." name:"from-file" env:"SIGNALBOX_TASK_FROM_FILE" placeholder:"FILE"`
}

// Help is what --help says beside the flags.
func (*TaskCreateCmd) Help() string { return taskHelp }

func (c *TaskCreateCmd) Run(ctx context.Context, g *Globals) error {
	in, err := c.body()
	if err != nil {
		return err
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	var id string
	if err := api.call(ctx, http.MethodPost, tasks, in, &id); err != nil {
		return err
	}
	t, _, err := api.findTask(ctx, id)
	if err != nil {
		return err
	}
	return g.print(t, t.saved())
}

func (c *TaskCreateCmd) body() (map[string]any, error) {
	if c.FromFile != "" {
		return definition(c.FromFile, c.Task, c.At, c.TimeZone, c.Branch, c.File, c.Description, c.Overlap, c.CatchUp, strings.Join(c.Param, ""))
	}
	project, name, ok := strings.Cut(c.Task, "/")
	switch {
	case !ok || project == "" || name == "":
		return nil, errors.New("name the task as PROJECT/NAME, or define it with --from-file FILE")
	case c.At == "" && !c.ByHand:
		return nil, errors.New("when does it run? Give --at, such as --at \"0 3 * * *\", or --by-hand")
	case c.At != "" && c.ByHand:
		return nil, errors.New("--at and --by-hand exclude each other")
	}
	in := map[string]any{"project_id": project, "name": name, "recurring": !c.ByHand, "paused": c.Paused}
	put(in, map[string]string{
		"at": c.At, "time_zone": c.TimeZone, "branch": c.Branch, "pipeline_file": c.File, "description": c.Description, "overlap": c.Overlap,
		"catch_up": c.CatchUp,
	})
	in["parameters"] = parameters(nil, c.Param)
	return in, nil
}

// put adds what was given.
func put(to map[string]any, from map[string]string) {
	for key, v := range from {
		if v != "" {
			to[key] = v
		}
	}
}

// parameters changes the defaults of those that are there and adds the others.
func parameters(there []taskParameter, given []string) []taskParameter {
	t := &task{Parameters: append([]taskParameter{}, there...)}
	for _, g := range given {
		name, value, hasDefault := strings.Cut(g, "=")
		p := t.parameter(name)
		if p == nil {
			t.Parameters = append(t.Parameters, taskParameter{Name: name})
			p = &t.Parameters[len(t.Parameters)-1]
		}
		p.Default, p.Required = value, p.Required || !hasDefault
	}
	return t.Parameters
}

// TaskEditCmd is `signalbox task edit`.
type TaskEditCmd struct {
	Task        string   `arg:"" help:"PROJECT/NAME, or an id."`
	Name        string   `help:"New name." env:"SIGNALBOX_TASK_NAME" placeholder:"NAME"`
	At          string   `help:"When it runs: a cron expression." env:"SIGNALBOX_TASK_AT" placeholder:"CRON"`
	TimeZone    string   `help:"Zone that --at is in, such as Europe/Berlin or UTC." name:"time-zone" env:"SIGNALBOX_TASK_TIME_ZONE" placeholder:"ZONE"`
	ByHand      bool     `help:"Never start by itself again, until --at says when." name:"by-hand" env:"SIGNALBOX_TASK_BY_HAND"`
	Branch      string   `help:"Branch, or a full ref such as refs/tags/v1." env:"SIGNALBOX_TASK_BRANCH" placeholder:"BRANCH"`
	File        string   `help:"Pipeline file." env:"SIGNALBOX_TASK_FILE" placeholder:"FILE"`
	Description string   `help:"What it is for." env:"SIGNALBOX_TASK_DESCRIPTION" placeholder:"TEXT"`
	Overlap     string   `help:"What happens when a run is due while the workflow of an earlier one runs: allow or skip." enum:"allow,skip," default:"" placeholder:"allow|skip" env:"SIGNALBOX_TASK_OVERLAP"`
	CatchUp     string   `help:"What happens to runs that were due while the server was away: one (the newest runs) or skip." name:"catch-up" enum:"one,skip," default:"" placeholder:"one|skip" env:"SIGNALBOX_TASK_CATCH_UP"`
	Param       []string `help:"A new default of a parameter, or a new parameter: NAME=DEFAULT; may repeat." sep:"none" env:"SIGNALBOX_TASK_PARAM" placeholder:"NAME=DEFAULT"`
	FromFile    string   `help:"YAML file of kind Schedule that defines the task anew." name:"from-file" env:"SIGNALBOX_TASK_FROM_FILE" placeholder:"FILE"`
}

// Help is what --help says beside the flags.
func (*TaskEditCmd) Help() string { return "What is not named stays as it is.\n\n" + taskHelp }

func (c *TaskEditCmd) Run(ctx context.Context, g *Globals) error {
	in := map[string]any{}
	var err error
	if c.FromFile != "" {
		if in, err = definition(c.FromFile, c.Name, c.At, c.TimeZone, c.Branch, c.File, c.Description, c.Overlap, c.CatchUp, strings.Join(c.Param, "")); err != nil {
			return err
		}
	}
	put(in, map[string]string{
		"name": c.Name, "at": c.At, "time_zone": c.TimeZone, "branch": c.Branch, "pipeline_file": c.File, "description": c.Description,
		"overlap": c.Overlap, "catch_up": c.CatchUp,
	})
	switch {
	case c.ByHand && c.At != "":
		return errors.New("--at and --by-hand exclude each other")
	case c.ByHand:
		in["recurring"] = false
	case c.At != "":
		in["recurring"] = true
	}
	if len(in) == 0 && len(c.Param) == 0 {
		return errors.New("nothing to change: give --at, --branch or another flag, or --from-file")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	t, _, err := api.findTask(ctx, c.Task)
	if err != nil {
		return err
	}
	if len(c.Param) > 0 {
		in["parameters"] = parameters(t.Parameters, c.Param)
	}
	return g.patchTask(ctx, api, t, in)
}
