package engine

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// NoAgent says why no agent could be given a job of a workflow now, "" when there is a type of agent for it.
func (e *Engine) NoAgent(tx *store.Tx, projectID string, w *signalbox.Workflow, spec signalbox.JobSpec) (string, error) {
	name, problem, err := e.agentType(tx, spec)
	if err != nil || problem != "" {
		return problem, err
	}
	return e.permits(tx, projectID, w.ID)(name)
}

// permits says why jobs of a workflow may not run on an agent type, "" when they may.
type permits func(agentType string) (problem string, err error)

// permits reads everything once, however many jobs there are.
func (e *Engine) permits(tx *store.Tx, projectID, workflowID string) permits {
	var p *signalbox.Project
	var w *signalbox.Workflow
	known := map[string]string{}
	return func(name string) (string, error) {
		problem, ok := known[name]
		if ok || e.anyAgent {
			return problem, nil
		}
		t, err := tx.AgentType(name)
		if err != nil {
			return "", err
		}
		if p == nil {
			if p, err = tx.Project(projectID); err != nil {
				return "", err
			}
			if w, err = tx.Workflow(workflowID); err != nil {
				return "", err
			}
		}
		if err := t.Permits(p, w); err != nil {
			problem = signalbox.ErrorMessage(err)
		}
		known[name] = problem
		return problem, nil
	}
}
