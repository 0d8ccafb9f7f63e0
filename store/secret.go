package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const secretColumns = `id, project_id, target_id, name, description, version, projects_access, project_ids, no_debug, no_attach, created_at, updated_at, used_at, deleted_at`

func scanSecret(s scanner, x *signalbox.Secret) error {
	return s.Scan(&x.ID, &x.ProjectID, &x.TargetID, &x.Name, &x.Description, &x.Version, &x.Access.Projects, doc{&x.Access.ProjectIDs},
		&x.Access.NoDebug, &x.Access.NoAttach, at{&x.CreatedAt}, at{&x.UpdatedAt}, at{&x.UsedAt}, at{&x.DeletedAt})
}

func projectIDs(s *signalbox.Secret) (string, error) {
	if len(s.Access.ProjectIDs) == 0 {
		return "", nil
	}
	return toJSON(s.Access.ProjectIDs)
}

func nameTaken() error {
	return signalbox.Errorf(signalbox.CodeConflict, "name has already been taken")
}

// CreateSecret stores a secret with its first content; a taken name is CodeConflict. The caller gives the id, because the
// content is encrypted under it.
func (t *Tx) CreateSecret(s *signalbox.Secret, v *signalbox.SecretVersion, actor string) error {
	s.CreatedAt, s.UpdatedAt, s.Version = t.Now, t.Now, v.Version
	ids, err := projectIDs(s)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO secret (`+secretColumns+`) VALUES (`+list(1, 14)+`)`, s.ID, s.ProjectID, s.TargetID, s.Name, s.Description, s.Version,
		s.Access.Projects, ids, s.Access.NoDebug, s.Access.NoAttach, ms(s.CreatedAt), ms(s.UpdatedAt), 0, 0)
	if isUnique(err) {
		return nameTaken()
	}
	if err != nil {
		return err
	}
	if err := t.addSecretVersion(v); err != nil {
		return err
	}
	return t.Record("secret", s.ID, actor, "created", s.Name)
}

// UpdateSecret writes a secret's settings, and its next content unless v is nil. s.Version is the version that the caller
// has seen; another one is CodeConflict. A deleted secret is there again. detail says what changed, without values.
func (t *Tx) UpdateSecret(s *signalbox.Secret, v *signalbox.SecretVersion, actor, detail string) error {
	seen := s.Version
	if v != nil {
		s.Version = v.Version
	}
	s.UpdatedAt = t.Now
	ids, err := projectIDs(s)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE secret SET name = $1, description = $2, version = $3, projects_access = $4, project_ids = $5, no_debug = $6,
		no_attach = $7, updated_at = $8, deleted_at = 0, deleted_by = '' WHERE id = $9 AND version = $10`, s.Name, s.Description, s.Version,
		s.Access.Projects, ids, s.Access.NoDebug, s.Access.NoAttach, ms(s.UpdatedAt), s.ID, seen)
	if isUnique(err) {
		return nameTaken()
	}
	if err != nil {
		return err
	}
	if err := changed(n, "secret", s.Name); err != nil {
		return err
	}
	reason := "changed"
	if !s.DeletedAt.IsZero() {
		s.DeletedAt, reason = time.Time{}, "restored"
	}
	if v != nil {
		if err := t.addSecretVersion(v); err != nil {
			return err
		}
		if err := t.PruneSecret(s.ID); err != nil {
			return err
		}
	}
	return t.Record("secret", s.ID, actor, reason, detail)
}

// DeleteSecret marks a secret as deleted; its name is free again.
func (t *Tx) DeleteSecret(id, actor string) error {
	n, err := t.exec(`UPDATE secret SET deleted_at = $1, deleted_by = $2 WHERE id = $3 AND deleted_at = 0`, ms(t.Now), actor, id)
	if err != nil {
		return err
	}
	if err := changed(n, "secret", id); err != nil {
		return err
	}
	return t.Record("secret", id, actor, "deleted", "")
}

// FindSecret returns a secret that is not deleted by id or name, within a project or, with "", the organization. It does not
// find those of deployment targets.
func (t *Tx) FindSecret(projectID, idOrName string) (*signalbox.Secret, error) {
	column := "name"
	if signalbox.IsID(idOrName) {
		column = "id"
	}
	return one(t, "secret", idOrName, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE project_id = $1 AND `+column+` = $2
		AND target_id = '' AND deleted_at = 0`, projectID, idOrName)
}

// Secret returns a secret by id, deleted or not.
func (t *Tx) Secret(id string) (*signalbox.Secret, error) {
	return one(t, "secret", id, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE id = $1`, id)
}

// HoldSecret returns a secret, deleted or not, that nobody changes until the transaction ends. Many may hold it at once.
func (t *Tx) HoldSecret(id string) (*signalbox.Secret, error) {
	return one(t, "secret", id, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE id = $1`+t.forShare(), id)
}

// LockSecret returns a secret, deleted or not, and holds it alone until the transaction ends.
func (t *Tx) LockSecret(id string) (*signalbox.Secret, error) {
	return one(t, "secret", id, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE id = $1`+t.forUpdate(), id)
}

// DeletedSecret returns the secret of a name that an actor deleted last, if that was not before since.
func (t *Tx) DeletedSecret(projectID, name, actor string, since time.Time) (*signalbox.Secret, error) {
	return one(t, "deleted secret", name, scanSecret, `SELECT `+secretColumns+` FROM secret WHERE project_id = $1 AND name = $2 AND target_id = ''
		AND deleted_by = $3 AND deleted_at >= $4 AND deleted_at > 0 ORDER BY deleted_at DESC LIMIT 1`, projectID, name, actor, ms(since))
}

// Secrets returns the secrets of a project or, with "", the organization, without those of deployment targets: by name, or
// oldest first.
func (t *Tx) Secrets(projectID string, byTime bool, limit, offset int) ([]*signalbox.Secret, error) {
	order := "name"
	if byTime {
		order = "created_at, id"
	}
	return many(t, "secret", scanSecret, `SELECT `+secretColumns+` FROM secret WHERE project_id = $1 AND target_id = '' AND deleted_at = 0
		ORDER BY `+order+` LIMIT $2 OFFSET $3`, projectID, limit, offset)
}

// SecretUsed notes that a secret was handed out, at most once a minute, so that jobs do not wait for one another's rows.
func (t *Tx) SecretUsed(id string) error {
	_, err := t.exec(`UPDATE secret SET used_at = $1 WHERE id = $2 AND used_at < $3`, ms(t.Now), id, ms(t.Now.Add(-time.Minute)))
	return err
}
