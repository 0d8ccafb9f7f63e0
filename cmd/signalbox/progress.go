package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// progress prints a pipeline's changes, one line each.
type progress struct {
	out  io.Writer
	seen map[string]string

	// explain says why a job waits, "" when it only waits its turn; without it nothing is said.
	explain func(jobID string) string
	asked   int
}

func newProgress(out io.Writer) *progress { return &progress{out: out, seen: map[string]string{}} }

// news tells whether a thing has a state that was not printed yet.
func (p *progress) news(key, state string) bool {
	if p.seen[key] == state {
		return false
	}
	p.seen[key] = state
	return true
}

func (p *progress) line(mark, text string) {
	fmt.Fprintf(p.out, "%s  %s %s\n", time.Now().Format("15:04:05"), mark, printable(text))
}

func (p *progress) show(d *description) {
	if p.news("pipeline", d.Pipeline.State) && d.Pipeline.State == "queuing" {
		p.line("…", "waits for an older pipeline of this branch")
	}
	for _, b := range d.Blocks {
		if b.State == "running" && p.news("block "+b.Name, "running") {
			p.line("▸", b.Name)
		}
		for _, j := range b.Jobs {
			state := j.Status + " " + j.Result
			if !p.news("job "+j.ID, state) {
				continue
			}
			name := b.Name + " / " + j.Name
			switch {
			case j.Status == "QUEUED":
				p.line(" ", name+" waits for an agent")
				p.waits(j.ID, name)
			case j.Status == "RUNNING":
				p.line("·", name+" runs")
			case j.Result == "PASSED":
				p.line("✓", name+" passed"+took(j.StartedAt, j.FinishedAt))
			case j.Result == "FAILED":
				p.line("✗", name+" failed"+why(j.Reason)+took(j.StartedAt, j.FinishedAt))
			default:
				p.line("■", name+" stopped"+why(j.Reason))
			}
		}
		if b.State == "done" && b.Result == "canceled" && p.news("block "+b.Name, "canceled") {
			p.line("-", b.Name+" canceled"+why(b.Reason))
		}
	}
}

// maxExplained is how many waiting jobs are asked about.
const maxExplained = 20

// waits says what keeps a job from an agent beside its turn. A reason is given once.
func (p *progress) waits(id, name string) {
	if p.explain == nil || p.asked >= maxExplained {
		return
	}
	p.asked++
	if why := p.explain(id); why != "" && p.news("why "+why, "said") {
		p.line("!", name+": "+why)
	}
}

func took(from, to string) string {
	a, err := strconv.ParseInt(from, 10, 64)
	b, err2 := strconv.ParseInt(to, 10, 64)
	if err != nil || err2 != nil || a == 0 || b < a {
		return ""
	}
	return " in " + (time.Duration(b-a) * time.Second).String()
}

func why(reason string) string {
	if reason == "" || reason == "test" {
		return ""
	}
	return " (" + inWords(reason) + ")"
}

// reasonWords say what the machinery's reasons mean; the other reasons are words already.
var reasonWords = map[string]string{
	"agent_lost":         "the agent fell silent",
	"agent_restarted":    "the agent was started again and lost the job",
	"agent_disconnected": "the agent left with the job open",
	"interrupted":        "the agent's host was taken away",
	"start_failed":       "the agent could not start it",
	"image_pull":         "an image could not be pulled",
	"agent_error":        "the agent could not run it",
	"lease_ended":        "the agent could not reach the server",
}

func inWords(reason string) string {
	if words, ok := reasonWords[reason]; ok {
		return words + ", your code is not the cause"
	}
	return strings.ReplaceAll(reason, "_", " ")
}

// summary prints every job's result and that of the pipeline.
func (p *progress) summary(d *description) {
	fmt.Fprintln(p.out)
	rows := [][]string{}
	for _, b := range d.Blocks {
		if len(b.Jobs) == 0 {
			rows = append(rows, []string{b.Name, "-", b.Result, b.Reason})
		}
		for _, j := range b.Jobs {
			reason := j.Reason
			if reason == "test" {
				reason = ""
			}
			rows = append(rows, []string{b.Name, j.Name, strings.ToLower(j.Result), reason})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(p.out, table([]string{"BLOCK", "JOB", "RESULT", "REASON"}, rows))
	}
	for _, b := range d.Blocks {
		for _, j := range b.Jobs {
			if j.Failure != "" {
				fmt.Fprintf(p.out, "%s / %s: %s\n", printable(b.Name), printable(j.Name), printable(j.Failure))
			}
		}
	}
	if d.Pipeline.ErrorDescription != "" {
		for _, l := range strings.Split(d.Pipeline.ErrorDescription, "\n") {
			fmt.Fprintln(p.out, printable(l))
		}
	}
	reason := ""
	if d.Pipeline.Result != "passed" {
		reason = why(d.Pipeline.Reason)
	}
	fmt.Fprintf(p.out, "Pipeline %q %s%s\n", printable(d.Pipeline.Name), d.Pipeline.Result, reason)
}
