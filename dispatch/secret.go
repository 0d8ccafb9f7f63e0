package dispatch

import (
	"context"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

// hand adds the secrets of a job to what its payload is made from. refused is why there must be no payload.
func (h *Hub) hand(tx *store.Tx, a *signalbox.Attempt, c *engine.JobContext) (used []string, refused string, err error) {
	if !c.Job.NeedsSecrets() {
		return nil, "", nil
	}
	if h.Secrets == nil {
		return nil, withoutSecrets(c.Job), nil
	}
	b, refused, err := h.Secrets.Hand(tx, a, c.Job, c.Project, c.Workflow)
	c.SecretVars, c.SecretFiles = b.OfJob(c.Job)
	c.SecretsOf = b.Of
	return b.Used, refused, err
}

// withoutSecrets is why a job cannot run on a server that has no means to open secrets.
func withoutSecrets(j *signalbox.Job) string {
	names := j.Spec.SecretNames()
	if j.TargetID != "" {
		names = append(names, signalbox.TargetSecretName(j.TargetID))
	}
	return secret.NotFound(names)
}

// refusal tells why a job must not be offered, "" when it may.
func (h *Hub) refusal(tx *store.Tx, j *signalbox.Job) (string, error) {
	if !j.NeedsSecrets() {
		return "", nil
	}
	if h.Secrets == nil {
		return withoutSecrets(j), nil
	}
	p, err := tx.Project(j.ProjectID)
	if err != nil {
		return "", err
	}
	w, err := tx.Workflow(j.WorkflowID)
	if err != nil {
		return "", err
	}
	return secret.Refusal(tx, p, w, j)
}

// refuse ends jobs that must not be offered. Each is looked at again in a transaction of its own, which takes its locks in
// the order that everybody takes them in.
func (h *Hub) refuse(ctx context.Context, jobIDs []string) {
	for _, id := range jobIDs {
		err := h.Store.Write(ctx, func(tx *store.Tx) error {
			j, err := tx.Job(id)
			if err != nil {
				return err
			}
			why, err := h.refusal(tx, j)
			if err != nil || why == "" {
				return err
			}
			return h.Engine.Refuse(tx, id, why, Actor)
		})
		h.report(ctx, "end a job that lacks a secret", err)
	}
	if len(jobIDs) > 0 {
		h.poke()
	}
}

// sweepSecrets lets go of the versions of secrets that ended attempts were given, once their logs are closed.
func (h *Hub) sweepSecrets(ctx context.Context) error {
	var ended []string
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		ended, err = tx.AttemptsWithSecrets(100)
		return err
	}); err != nil {
		return err
	}
	for _, id := range ended {
		if err := h.Log.Close(ctx, id); err != nil {
			return err
		}
		if err := h.Store.Write(ctx, func(tx *store.Tx) error { return tx.ForgetAttemptSecrets(id) }); err != nil {
			return err
		}
	}
	return h.pruneSecrets(ctx)
}

func (h *Hub) pruneSecrets(ctx context.Context) error {
	var left bool
	if err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		left, err = tx.DeletedSecretsLeft()
		return err
	}); err != nil || !left {
		return err
	}
	return h.Store.Write(ctx, (*store.Tx).PruneDeletedSecrets)
}
