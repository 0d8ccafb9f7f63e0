package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

var (
	lampRuns  = Lamp{"runs", "Runs"}
	lampLeft  = Lamp{"skipped", "Skipped"}
	lampAfter = Lamp{"after", "Runs when the pipeline is done"}
)

// DrawPlan draws what a pipeline would run and what not, as a picture that needs nothing else: an SVG for light and dark.
func DrawPlan(w io.Writer, p *signalbox.Plan) error {
	blocks := planBlocks(p)
	g := layout(blocks)
	if g == nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the pipeline has %d blocks, too many for a picture that can be read; ask for text or JSON", len(p.Blocks))
	}
	t, err := template.ParseFS(templateFiles, "templates/plan.html")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "plan", g); err != nil {
		return fmt.Errorf("draw the plan: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

func planBlocks(p *signalbox.Plan) []blockView {
	var out []blockView
	last := map[int]bool{}
	for i, b := range p.Blocks {
		last[i] = true
		for _, d := range b.Dependencies {
			delete(last, d)
		}
		v := blockView{Name: b.Name, Lamp: lampRuns, Deps: b.Dependencies, Jobs: planJobs(b.Jobs)}
		if b.Skip != "" {
			v.Lamp, v.Why, v.Jobs = lampLeft, "Skipped: "+b.Skip, nil
		}
		out = append(out, v)
	}
	if len(p.After) > 0 {
		v := blockView{Name: "after_pipeline", Lamp: lampAfter, Jobs: planJobs(p.After)}
		for i := range p.Blocks {
			if last[i] {
				v.Deps = append(v.Deps, i)
			}
		}
		out = append(out, v)
	}
	return out
}

func planJobs(jobs []signalbox.PlanJob) []jobView {
	var out []jobView
	for _, j := range jobs {
		out = append(out, jobView{Name: j.Name, Lamp: lampRuns})
	}
	return out
}

// PlanText tells the same in lines of text.
func PlanText(p *signalbox.Plan) string {
	var b strings.Builder
	name := p.Name
	if name == "" {
		name = "Pipeline"
	}
	limit := "1 hour"
	if p.TimeLimit > 0 {
		limit = minutesText(p.TimeLimit)
	}
	fmt.Fprintf(&b, "%s: %s, at most %s\n", name, plural(len(p.Blocks), "block", "blocks"), limit)
	queue := "one after another with the others of this branch and file"
	switch {
	case p.Queue.Name != "" && p.Queue.Organization:
		queue = fmt.Sprintf("queue %q of the organization", p.Queue.Name)
	case p.Queue.Name != "":
		queue = fmt.Sprintf("queue %q of the project", p.Queue.Name)
	}
	if p.Queue.Parallel {
		queue += ", without waiting"
	}
	fmt.Fprintf(&b, "queue: %s\n", queue)
	for _, s := range []struct {
		what  string
		is    signalbox.Strategy
		means map[signalbox.Strategy]string
	}{
		{"auto_cancel", p.AutoCancel, map[signalbox.Strategy]string{"stop": "stops older pipelines of the queue", "cancel": "cancels older pipelines of the queue that still wait"}},
		{"fail_fast", p.FailFast, map[signalbox.Strategy]string{"stop": "a failure stops what runs and cancels what waits", "cancel": "a failure cancels what waits"}},
	} {
		if s.is != "" {
			fmt.Fprintf(&b, "%s: %s\n", s.what, s.means[s.is])
		}
	}
	for _, block := range p.Blocks {
		var deps []string
		for _, d := range block.Dependencies {
			deps = append(deps, fmt.Sprintf("%q", p.Blocks[d].Name))
		}
		after := ""
		if len(deps) > 0 {
			after = " after " + strings.Join(deps, ", ")
		}
		if block.Skip != "" {
			fmt.Fprintf(&b, "\n- %q%s is skipped: %s\n", block.Name, after, block.Skip)
			continue
		}
		fmt.Fprintf(&b, "\n+ %q%s runs %s\n", block.Name, after, plural(len(block.Jobs), "job", "jobs"))
		jobLines(&b, block.Jobs)
	}
	if len(p.After) > 0 {
		fmt.Fprintf(&b, "\n+ after_pipeline runs %s when all is done\n", plural(len(p.After), "job", "jobs"))
		jobLines(&b, p.After)
	}
	for _, promo := range p.Promotions {
		how := "by hand"
		if promo.Auto != nil {
			how = "by itself when " + promo.Auto.When
			if promo.Auto.When == "" {
				how = "by itself, by its rules of auto_promote_on"
			}
		}
		fmt.Fprintf(&b, "\n> promotion %q starts %s %s\n", promo.Name, promo.File, how)
	}
	conditionLines(&b, p.Conditions)
	return b.String()
}

func jobLines(b *strings.Builder, jobs []signalbox.PlanJob) {
	for _, j := range jobs {
		var vars []string
		for _, v := range j.Spec.EnvVars {
			vars = append(vars, v.Name+"="+v.Value)
		}
		fmt.Fprintf(b, "    %s  [%s, priority %d]", j.Name, j.Spec.MachineType, j.Priority)
		if len(vars) > 0 {
			fmt.Fprintf(b, " %s", strings.Join(vars, " "))
		}
		b.WriteString("\n")
	}
}

func minutesText(n int) string {
	if n%60 == 0 {
		return plural(n/60, "hour", "hours")
	}
	return plural(n, "minute", "minutes")
}
