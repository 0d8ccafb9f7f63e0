package engine

import (
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// deployment is a question to a deployment target, and its answer.
type deployment struct {
	id      string
	target  *signalbox.DeploymentTarget // nil when there is none
	refusal signalbox.TargetRefusal
}

// text is how a refusal is told and kept. Its id finds it in the history of the target.
func (d *deployment) text() string {
	return "Triggering promotion with deployment target failed: " + string(d.refusal) + " (error ID: " + d.id + ")"
}

// ask asks the target with an id, held until the transaction ends, whether it lets somebody through. name is what it must
// be called, "" is anything.
func ask(tx *store.Tx, targetID, name string, auto bool, by string, w *signalbox.Workflow) (*deployment, error) {
	d := &deployment{id: signalbox.NewID(), refusal: signalbox.RefusedNotFound}
	t, err := tx.LockDeploymentTarget(targetID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && name != "" && t.Name != name {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	who := signalbox.Promoter{Auto: auto}
	if !auto {
		if who.User, err = tx.UserByName(by); err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return nil, err
		}
	}
	d.target, d.refusal = t, t.Permit(who, w)
	return d, nil
}

// askByName is ask for the target that a project has under a name.
func askByName(tx *store.Tx, projectID, name string, auto bool, by string, w *signalbox.Workflow) (*deployment, error) {
	t, err := tx.FindDeploymentTarget(projectID, name)
	switch {
	case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
		return &deployment{id: signalbox.NewID(), refusal: signalbox.RefusedNotFound}, nil
	case err != nil:
		return nil, err
	}
	return ask(tx, t.ID, name, auto, by, w)
}

// record writes the answer into the history of the target. from is the pipeline whose promotion it was.
func (d *deployment) record(tx *store.Tx, from string, p *signalbox.Promotion, promotion string, w *signalbox.Workflow) error {
	if d.target == nil {
		return nil
	}
	row := &signalbox.Deployment{
		ID: d.id, TargetID: d.target.ID, TargetName: d.target.Name, WorkflowID: w.ID, PrevPipelineID: from, Promotion: promotion, PipelineID: p.CreatedPipelineID,
		TriggeredBy: p.PromotedBy, Auto: p.Auto, RefType: w.RefType, RefLabel: w.Label, Parameters: p.Parameters, State: signalbox.DeploymentStarted,
	}
	if d.refusal != "" {
		row.State, row.Message, row.PipelineID = signalbox.DeploymentFailed, d.text(), ""
	}
	for i, name := range d.target.Bookmarks {
		if n := slices.IndexFunc(p.Parameters, func(v signalbox.EnvVar) bool { return v.Name == name }); n >= 0 && name != "" {
			row.Bookmarks[i] = p.Parameters[n].Value
		}
	}
	return tx.CreateDeployment(row)
}

// maxRefusedValue bounds what is kept of a value that nobody has checked.
const maxRefusedValue = 1000

// keptParameters are the values of a refused promotion that its history shows: those of parameters that there are.
func keptParameters(defined []signalbox.Parameter, given []signalbox.EnvVar) (out []signalbox.EnvVar) {
	for _, d := range defined {
		for _, v := range given {
			if v.Name == d.Name {
				out = append(out, signalbox.EnvVar{Name: v.Name, Value: signalbox.CutText(v.Value, maxRefusedValue)})
			}
		}
	}
	return out
}

// MayUseTarget tells whether somebody may use what a deployment target hands to jobs of a workflow; the error says why not.
func MayUseTarget(tx *store.Tx, targetID string, by *signalbox.User, w *signalbox.Workflow) error {
	t, err := tx.DeploymentTarget(targetID)
	if err != nil {
		return err
	}
	if refusal := t.Permit(signalbox.Promoter{User: by}, w); refusal != "" {
		return signalbox.Errorf(signalbox.CodeForbidden, "this job gets the variables and files of the deployment target %s: %s", t.Name, refusal)
	}
	return nil
}
