package trigger

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

// Debug starts a debug session of a job for somebody, if the project's rules let them. limit 0 is engine.DebugTime.
func (t *Trigger) Debug(ctx context.Context, jobID string, by route.Actor, limit time.Duration) (j *signalbox.Job, err error) {
	if limit == 0 {
		limit = engine.DebugTime
	}
	err = t.o.Store.Write(ctx, func(tx *store.Tx) error {
		of, err := tx.Job(jobID)
		if err != nil {
			return err
		}
		if err := MayEnter(tx, of, by, auth.Debug); err != nil {
			return err
		}
		j, err = t.o.Engine.Debug(tx, of, limit, by.Name())
		return err
	})
	return j, err
}

// MayEnter tells whether somebody may debug or attach to a job; the error says why not.
func MayEnter(tx *store.Tx, j *signalbox.Job, by route.Actor, how auth.Access) error {
	p, err := tx.Project(j.ProjectID)
	if err != nil {
		return err
	}
	if !p.DeletedAt.IsZero() {
		return signalbox.Errorf(signalbox.CodeNotFound, "there is no job %s", j.ID)
	}
	w, err := tx.Workflow(j.WorkflowID)
	if err != nil {
		return err
	}
	role := signalbox.Role("")
	if by.User != nil {
		role = by.User.Role
	}
	if err := auth.MayEnter(how, role, p, signalbox.RefKindOf(p, w)); err != nil {
		return err
	}
	if j.TargetID != "" {
		if err := engine.MayUseTarget(tx, j.TargetID, by.User, w); err != nil {
			return err
		}
	}
	secrets, _, err := secret.Find(tx, p, w, j.Spec.SecretNames())
	if err != nil {
		return err
	}
	for _, s := range secrets {
		if how == auth.Debug && s.Access.NoDebug || how == auth.Attach && s.Access.NoAttach {
			return signalbox.Errorf(signalbox.CodeForbidden, secret.Blocked)
		}
	}
	return nil
}
