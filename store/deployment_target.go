package store

import (
	"github.com/signalbox-ci/signalbox"
)

const targetColumns = `id, project_id, name, description, url, bookmarks, subjects, objects, cordoned, secret_id, version, created_by, updated_by, created_at, updated_at, deleted_at`

func scanDeploymentTarget(s scanner, d *signalbox.DeploymentTarget) error {
	return s.Scan(&d.ID, &d.ProjectID, &d.Name, &d.Description, &d.URL, doc{&d.Bookmarks}, doc{&d.Subjects}, doc{&d.Objects}, &d.Cordoned,
		&d.SecretID, &d.Version, &d.CreatedBy, &d.UpdatedBy, at{&d.CreatedAt}, at{&d.UpdatedAt}, at{&d.DeletedAt})
}

// rulesOf returns the lists of a target as they are stored.
func rulesOf(d *signalbox.DeploymentTarget) (bookmarks, subjects, objects string, err error) {
	for _, f := range []struct {
		to   *string
		from any
	}{{&bookmarks, d.Bookmarks}, {&subjects, d.Subjects}, {&objects, d.Objects}} {
		if *f.to, err = toJSON(f.from); err != nil {
			return "", "", "", err
		}
	}
	return bookmarks, subjects, objects, nil
}

func targetNameTaken(name string) error {
	return signalbox.Errorf(signalbox.CodeConflict, "the project has a deployment target named %q already; choose another name or change that one", name)
}

// CreateDeploymentTarget stores a target; a name that another one of the project has is CodeConflict. The caller gives the
// id, because the secret of the target is encrypted under it. token marks the request, see DeploymentTargetOf.
func (t *Tx) CreateDeploymentTarget(d *signalbox.DeploymentTarget, token, actor string) error {
	d.CreatedAt, d.UpdatedAt = t.Now, t.Now
	bookmarks, subjects, objects, err := rulesOf(d)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO deployment_target (`+targetColumns+`, create_token) VALUES (`+list(1, 17)+`)`, d.ID, d.ProjectID, d.Name, d.Description,
		d.URL, bookmarks, subjects, objects, d.Cordoned, d.SecretID, d.Version, d.CreatedBy, d.UpdatedBy, ms(d.CreatedAt), ms(d.UpdatedAt), 0, token)
	if isUnique(err) {
		return targetNameTaken(d.Name)
	}
	if err != nil {
		return err
	}
	t.Wake(KeyProject(d.ProjectID))
	return t.Record("deployment target", d.ID, actor, "created", d.Name)
}

// UpdateDeploymentTarget writes everything of a target that can be changed, if its version is still d.Version, and counts
// the version up. A name that another target of the project has is CodeConflict.
func (t *Tx) UpdateDeploymentTarget(d *signalbox.DeploymentTarget, actor, reason, detail string) error {
	bookmarks, subjects, objects, err := rulesOf(d)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE deployment_target SET name = $1, description = $2, url = $3, bookmarks = $4, subjects = $5, objects = $6, cordoned = $7,
		updated_by = $8, updated_at = $9, version = version + 1 WHERE id = $10 AND version = $11 AND deleted_at = 0`,
		d.Name, d.Description, d.URL, bookmarks, subjects, objects, d.Cordoned, d.UpdatedBy, ms(t.Now), d.ID, d.Version)
	if isUnique(err) {
		return targetNameTaken(d.Name)
	}
	if err != nil {
		return err
	}
	if err := changed(n, "deployment target", d.ID); err != nil {
		return err
	}
	d.Version, d.UpdatedAt = d.Version+1, t.Now
	t.Wake(KeyProject(d.ProjectID))
	return t.Record("deployment target", d.ID, actor, reason, detail)
}

// DeleteDeploymentTarget marks a target and its secret as deleted; its name is free again.
func (t *Tx) DeleteDeploymentTarget(d *signalbox.DeploymentTarget, token, actor string) error {
	n, err := t.exec(`UPDATE deployment_target SET deleted_at = $1, delete_token = $2, version = version + 1 WHERE id = $3 AND deleted_at = 0`, ms(t.Now), token, d.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "deployment target", d.ID); err != nil {
		return err
	}
	if d.SecretID != "" {
		if err := t.DeleteSecret(d.SecretID, actor); err != nil {
			return err
		}
	}
	t.Wake(KeyProject(d.ProjectID))
	return t.Record("deployment target", d.ID, actor, "deleted", d.Name)
}

// deleteTargetsOf marks all targets of a project as deleted.
func (t *Tx) deleteTargetsOf(projectID, actor string) error {
	all, err := t.DeploymentTargets(projectID)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := t.DeleteDeploymentTarget(d, "", actor); err != nil {
			return err
		}
	}
	return nil
}

// DeploymentTarget returns a target by id, deleted or not.
func (t *Tx) DeploymentTarget(id string) (*signalbox.DeploymentTarget, error) {
	return one(t, "deployment target", id, scanDeploymentTarget, `SELECT `+targetColumns+` FROM deployment_target WHERE id = $1`, id)
}

// LockDeploymentTarget returns a target, deleted or not, and holds it until the transaction ends.
func (t *Tx) LockDeploymentTarget(id string) (*signalbox.DeploymentTarget, error) {
	return one(t, "deployment target", id, scanDeploymentTarget, `SELECT `+targetColumns+` FROM deployment_target WHERE id = $1`+t.forUpdate(), id)
}

// FindDeploymentTarget returns a target of a project that is not deleted, by name.
func (t *Tx) FindDeploymentTarget(projectID, name string) (*signalbox.DeploymentTarget, error) {
	return one(t, "deployment target", name, scanDeploymentTarget, `SELECT `+targetColumns+` FROM deployment_target WHERE project_id = $1 AND name = $2
		AND deleted_at = 0`, projectID, name)
}

// DeploymentTargetOf returns the target that a request made, also when it was changed or deleted since.
func (t *Tx) DeploymentTargetOf(projectID, token string) (*signalbox.DeploymentTarget, error) {
	return one(t, "deployment target of request", token, scanDeploymentTarget, `SELECT `+targetColumns+` FROM deployment_target WHERE project_id = $1
		AND create_token = $2 AND create_token <> ''`, projectID, token)
}

// DeletedDeploymentTarget tells whether a request has deleted a target.
func (t *Tx) DeletedDeploymentTarget(id, token string) (bool, error) {
	ids, err := t.strings(`SELECT id FROM deployment_target WHERE id = $1 AND deleted_at > 0 AND delete_token = $2 AND delete_token <> ''`, id, token)
	return len(ids) > 0, err
}

// DeploymentTargets returns the targets of a project that are not deleted, by name.
func (t *Tx) DeploymentTargets(projectID string) ([]*signalbox.DeploymentTarget, error) {
	return many(t, "deployment target", scanDeploymentTarget, `SELECT `+targetColumns+` FROM deployment_target WHERE project_id = $1
		AND deleted_at = 0 ORDER BY name`, projectID)
}
