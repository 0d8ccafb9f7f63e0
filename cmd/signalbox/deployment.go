package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// deployment is what the API says of one time that a target was asked.
type deployment struct {
	ID        string `json:"id"`
	From      string `json:"prev_pipeline_id"`
	Pipeline  string `json:"pipeline_id"`
	Promotion string `json:"promotion"`
	By        string `json:"triggered_by"`
	At        string `json:"triggered_at"`
	RefType   string `json:"git_ref_type"`
	Ref       string `json:"git_ref_label"`
	State     string `json:"state"`
	Message   string `json:"state_message"`
	EnvVars   []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env_vars"`
}

// isoMinute shows a time of the API without what nobody reads.
func isoMinute(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// DeploymentTargetHistoryCmd is `signalbox deployment-target history`.
type DeploymentTargetHistoryCmd struct {
	Target   string   `arg:"" help:"PROJECT/NAME, or an id."`
	By       string   `help:"Only what this user asked for; auto-promotion is what conditions did." env:"SIGNALBOX_TARGET_BY" placeholder:"NAME"`
	RefType  string   `help:"Only branch, tag or pr." name:"ref-type" enum:",branch,tag,pr" default:"" env:"SIGNALBOX_TARGET_REF_TYPE" placeholder:"branch|tag|pr"`
	Ref      string   `help:"Only from the branch or tag of this name, or the pull request of this number." env:"SIGNALBOX_TARGET_REF" placeholder:"NAME"`
	Bookmark []string `help:"Only with this value of a bookmarked parameter; may repeat." sep:"none" env:"SIGNALBOX_TARGET_WITH" placeholder:"NAME=VALUE"`
	Limit    int      `help:"How many to list, the newest first." default:"20" env:"SIGNALBOX_TARGET_LIMIT" placeholder:"N"`
}

func (c *DeploymentTargetHistoryCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	d, err := api.findTarget(ctx, c.Target, false)
	if err != nil {
		return err
	}
	q := url.Values{"cursor_type": {"FIRST"}, "triggered_by": {c.By}, "git_ref_type": {c.RefType}, "git_ref_label": {c.Ref}}
	for _, b := range c.Bookmark {
		name, value, ok := strings.Cut(b, "=")
		i := slices.Index([]string{d.Bookmark1, d.Bookmark2, d.Bookmark3}, name)
		if !ok || name == "" || i < 0 {
			return signalbox.Errorf(signalbox.CodeInvalid, "--bookmark %.100q must be NAME=VALUE of a bookmarked parameter; the target has: %s", b, strings.Join(append(d.bookmarks(), "none")[:max(1, len(d.bookmarks()))], ", "))
		}
		q.Set(fmt.Sprintf("parameter%d", i+1), value)
	}
	all := []deployment{}
	for len(all) < c.Limit {
		var page struct {
			Deployments []deployment `json:"deployments"`
			Before      int64        `json:"cursor_before"`
		}
		if err := api.call(ctx, http.MethodGet, targets+"/"+d.ID+"/history?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		if all = append(all, page.Deployments...); page.Before == 0 {
			break
		}
		q.Set("cursor_type", "BEFORE")
		q.Set("cursor_value", fmt.Sprint(page.Before))
	}
	all = all[:min(len(all), max(0, c.Limit))]
	if len(all) == 0 {
		return g.print(all, "Nobody asked deployment target "+printable(d.Name)+" for anything like that.\n")
	}
	rows := [][]string{}
	for _, x := range all {
		var values []string
		for _, v := range x.EnvVars {
			values = append(values, v.Name+"="+v.Value)
		}
		what := x.Pipeline
		if x.Message != "" {
			what = x.Message
		}
		rows = append(rows, []string{isoMinute(x.At), strings.ToLower(x.State), x.By, x.RefType + " " + x.Ref, x.Promotion, strings.Join(values, " "), what})
	}
	return g.print(all, table([]string{"AT", "STATE", "BY", "FROM", "PROMOTION", "PARAMETERS", "PIPELINE"}, rows))
}
