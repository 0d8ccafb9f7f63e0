package store

import (
	"github.com/signalbox-ci/signalbox"
)

const projectColumns = `id, name, git_url, git_dir, default_branch, pipeline_file, created_at, deleted_at, custom_permissions, debug_permissions, attach_permissions, initialization, max_running_jobs`

func scanProject(s scanner, p *signalbox.Project) error {
	return s.Scan(&p.ID, &p.Name, &p.GitURL, &p.GitDir, &p.DefaultBranch, &p.PipelineFile, at{&p.CreatedAt}, at{&p.DeletedAt},
		&p.CustomPermissions, doc{&p.DebugPermissions}, doc{&p.AttachPermissions}, doc{&p.Initialization}, &p.MaxRunningJobs)
}

// CreateProject stores a project; a taken name is CodeConflict.
func (t *Tx) CreateProject(p *signalbox.Project, actor string) error {
	if p.ID == "" {
		p.ID = signalbox.NewID()
	}
	p.CreatedAt = t.Now
	debug, attach, err := permissions(p)
	if err != nil {
		return err
	}
	initialization, err := initializationText(p.Initialization)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO project (`+projectColumns+`) VALUES (`+list(1, 13)+`)`, p.ID, p.Name, p.GitURL, p.GitDir, p.DefaultBranch,
		p.PipelineFile, ms(p.CreatedAt), 0, p.CustomPermissions, debug, attach, initialization, p.MaxRunningJobs)
	if isUnique(err) {
		return signalbox.Errorf(signalbox.CodeConflict, "project name %q is already taken", p.Name)
	}
	if err != nil {
		return err
	}
	t.Wake(KeyProject(p.ID))
	return t.Record("project", p.ID, actor, "created", signalbox.WithoutPassword(p.GitURL))
}

func permissions(p *signalbox.Project) (debug, attach string, err error) {
	list := func(kinds []signalbox.RefKind) (string, error) {
		if len(kinds) == 0 {
			return "", nil
		}
		return toJSON(kinds)
	}
	if debug, err = list(p.DebugPermissions); err == nil {
		attach, err = list(p.AttachPermissions)
	}
	return debug, attach, err
}

// UpdateProject writes a project's name, repository and settings; a taken name is CodeConflict. detail says what changed.
func (t *Tx) UpdateProject(p *signalbox.Project, actor, detail string) error {
	debug, attach, err := permissions(p)
	if err != nil {
		return err
	}
	initialization, err := initializationText(p.Initialization)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE project SET name = $1, pipeline_file = $2, custom_permissions = $3, debug_permissions = $4, attach_permissions = $5,
		initialization = $6, max_running_jobs = $7, git_url = $8, git_dir = $9, default_branch = $10 WHERE id = $11 AND deleted_at = 0`,
		p.Name, p.PipelineFile, p.CustomPermissions, debug, attach, initialization, p.MaxRunningJobs, p.GitURL, p.GitDir, p.DefaultBranch, p.ID)
	if isUnique(err) {
		return signalbox.Errorf(signalbox.CodeConflict, "project name %q is already taken", p.Name)
	}
	if err != nil {
		return err
	}
	if err := changed(n, "project", p.ID); err != nil {
		return err
	}
	t.Wake(KeyProject(p.ID), KeyRoom)
	return t.Record("project", p.ID, actor, "changed", detail)
}

// Project returns a project by id.
func (t *Tx) Project(id string) (*signalbox.Project, error) {
	return one(t, "project", id, scanProject, `SELECT `+projectColumns+` FROM project WHERE id = $1`, id)
}

// FindProject returns a project that is not deleted by id or name.
func (t *Tx) FindProject(idOrName string) (*signalbox.Project, error) {
	column := "name"
	if signalbox.IsID(idOrName) {
		column = "id"
	}
	return one(t, "project", idOrName, scanProject, `SELECT `+projectColumns+` FROM project WHERE `+column+` = $1 AND deleted_at = 0`, idOrName)
}

// Projects returns all projects that are not deleted, by name.
func (t *Tx) Projects() ([]*signalbox.Project, error) {
	return many(t, "project", scanProject, `SELECT `+projectColumns+` FROM project WHERE deleted_at = 0 ORDER BY name`)
}

// DeleteProject marks a project, its tasks and its deployment targets as deleted; their names are free again.
func (t *Tx) DeleteProject(id, actor string) error {
	n, err := t.exec(`UPDATE project SET deleted_at = $1 WHERE id = $2 AND deleted_at = 0`, ms(t.Now), id)
	if err != nil {
		return err
	}
	if err := changed(n, "project", id); err != nil {
		return err
	}
	if err := t.deleteTasksOf(id, actor); err != nil {
		return err
	}
	if err := t.deleteTargetsOf(id, actor); err != nil {
		return err
	}
	t.Wake(KeyProject(id))
	return t.Record("project", id, actor, "deleted", "")
}

// GitRefs returns what the server last saw in a project's repository: ref to commit.
func (t *Tx) GitRefs(projectID string) (map[string]string, error) {
	rows, err := many(t, "ref", func(s scanner, r *signalbox.GitRef) error { return s.Scan(&r.Ref, &r.SHA) },
		`SELECT ref, sha FROM git_ref WHERE project_id = $1`, projectID)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(rows))
	for _, r := range rows {
		out[r.Ref] = r.SHA
	}
	return out, nil
}

// SetGitRef remembers the commit of a ref; an empty sha forgets it.
func (t *Tx) SetGitRef(projectID, ref, sha string) error {
	if sha == "" {
		_, err := t.exec(`DELETE FROM git_ref WHERE project_id = $1 AND ref = $2`, projectID, ref)
		return err
	}
	_, err := t.exec(`INSERT INTO git_ref (project_id, ref, sha, seen_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project_id, ref) DO UPDATE SET sha = excluded.sha, seen_at = excluded.seen_at`, projectID, ref, sha, ms(t.Now))
	return err
}

// ReplaceGitRefs remembers these refs and forgets all others of a project.
func (t *Tx) ReplaceGitRefs(projectID string, refs map[string]string) error {
	if _, err := t.exec(`DELETE FROM git_ref WHERE project_id = $1`, projectID); err != nil {
		return err
	}
	for ref, sha := range refs {
		if err := t.SetGitRef(projectID, ref, sha); err != nil {
			return err
		}
	}
	return nil
}

// AcceptDelivery remembers that a push notice was handled. It returns false when it was handled before.
func (t *Tx) AcceptDelivery(projectID, id string) (bool, error) {
	n, err := t.exec(`INSERT INTO delivery (project_id, id, received_at) VALUES ($1, $2, $3) ON CONFLICT (project_id, id) DO NOTHING`,
		projectID, id, ms(t.Now))
	return n == 1, err
}

// LockProject holds a project until the transaction ends; the queues of its pipelines are decided under it.
func (t *Tx) LockProject(id string) error {
	_, err := t.exec(`UPDATE project SET name = name WHERE id = $1`, id)
	return err
}
