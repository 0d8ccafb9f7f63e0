package trigger

import (
	"fmt"
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

// linted adds warnings about what a plan names and the server does not have: agent types and secrets. They are made
// until the jobs start, or the jobs fail; so this is said early and ends nothing.
func (t *Trigger) linted(tx *store.Tx, c engine.Compiled, file, projectID string, w *signalbox.Workflow) (engine.Compiled, error) {
	if c.Plan == nil || c.Err != "" {
		return c, nil
	}
	project, err := tx.Project(projectID)
	if err != nil {
		return c, err
	}
	l := linter{seen: map[[2]string]int{}}
	for _, b := range c.Plan.Blocks {
		if b.Skip == "" {
			l.add(b.Jobs)
		}
	}
	l.add(c.Plan.After)
	plan := *c.Plan
	plan.Warnings = slices.Clone(plan.Warnings)
	for _, n := range l.needs {
		text := ""
		if n.secret == "" {
			text, err = t.o.Engine.NoAgent(tx, projectID, w, n.spec)
		} else if _, missing, findErr := secret.Find(tx, project, w, []string{n.secret}); len(missing) > 0 || findErr != nil {
			text, err = fmt.Sprintf("There is no secret %q for this project; a job that names it fails.", n.secret), findErr
		}
		if err != nil {
			return c, err
		}
		if text != "" {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%s: warning: job %q%s: %s", file, n.job, others(n.jobs-1), text))
		}
	}
	c.Plan = &plan
	return c, nil
}

func others(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// need is a secret, or a kind of agent, that jobs need.
type need struct {
	secret string
	spec   signalbox.JobSpec
	job    string // the first that needs it
	jobs   int
}

// linter collects what jobs need, each thing once, in the order of the file.
type linter struct {
	needs []need
	seen  map[[2]string]int
}

// maxNeeds bounds what is looked up for one file.
const maxNeeds = 200

func (l *linter) add(jobs []signalbox.PlanJob) {
	for _, j := range jobs {
		l.note([2]string{j.Spec.MachineType, "image " + j.Spec.OSImage}, need{spec: j.Spec, job: j.Name})
		named := map[string]bool{}
		for _, s := range j.Spec.SecretNames() {
			if !named[s] {
				named[s] = true
				l.note([2]string{s, "secret"}, need{secret: s, job: j.Name})
			}
		}
	}
}

func (l *linter) note(key [2]string, n need) {
	i, ok := l.seen[key]
	if !ok {
		if len(l.needs) == maxNeeds {
			return
		}
		i = len(l.needs)
		l.seen[key] = i
		l.needs = append(l.needs, n)
	}
	l.needs[i].jobs++
}
