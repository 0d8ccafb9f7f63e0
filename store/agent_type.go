package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const agentTypeColumns = `id, name, release_after_ms, lost_after_ms, name_origin, aws_account, aws_roles, projects_access, project_ids, forks, max_running_jobs, quarantine_failures, quarantine_of, lease_ms, ephemeral, created_at, updated_at, deleted_at`

func scanAgentType(s scanner, a *signalbox.AgentType) error {
	return s.Scan(&a.ID, &a.Name, span{&a.ReleaseAfter, time.Millisecond}, span{&a.LostAfter, time.Millisecond}, &a.Naming.Origin,
		&a.Naming.Account, doc{&a.Naming.Roles}, &a.Projects, doc{&a.ProjectIDs}, &a.Forks, &a.MaxRunningJobs,
		&a.Quarantine.Failures, &a.Quarantine.Of, span{&a.Lease, time.Millisecond}, &a.Ephemeral, at{&a.CreatedAt}, at{&a.UpdatedAt}, at{&a.DeletedAt})
}

// listText writes a list as JSON, an empty one as nothing.
func listText(list []string) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	return toJSON(list)
}

// CreateAgentType stores an agent type; a taken name is CodeConflict.
func (t *Tx) CreateAgentType(a *signalbox.AgentType, actor string) error {
	if a.ID == "" {
		a.ID = signalbox.NewID()
	}
	if a.Projects == "" {
		a.Projects = signalbox.ProjectsAll
	}
	a.CreatedAt, a.UpdatedAt = t.Now, t.Now
	t.Wake(AnyAgent)
	roles, err := listText(a.Naming.Roles)
	if err != nil {
		return err
	}
	projects, err := listText(a.ProjectIDs)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO agent_type (`+agentTypeColumns+`) VALUES (`+list(1, 18)+`)`, a.ID, a.Name, a.ReleaseAfter.Milliseconds(),
		a.LostAfter.Milliseconds(), a.Naming.Origin, a.Naming.Account, roles, a.Projects, projects, a.Forks, a.MaxRunningJobs,
		a.Quarantine.Failures, a.Quarantine.Of, a.Lease.Milliseconds(), a.Ephemeral, ms(a.CreatedAt), ms(a.UpdatedAt), 0)
	if isUnique(err) {
		return signalbox.Errorf(signalbox.CodeConflict, "agent type name must be unique in the organization: %q exists already", a.Name)
	}
	if err != nil {
		return err
	}
	return t.Record("agent_type", a.ID, actor, "created", a.Name)
}

// AgentType returns an agent type by name.
func (t *Tx) AgentType(name string) (*signalbox.AgentType, error) {
	return one(t, "agent type", name, scanAgentType, `SELECT `+agentTypeColumns+` FROM agent_type WHERE name = $1 AND deleted_at = 0`, name)
}

// AgentTypes returns all agent types, by name.
func (t *Tx) AgentTypes() ([]*signalbox.AgentType, error) {
	return many(t, "agent type", scanAgentType, `SELECT `+agentTypeColumns+` FROM agent_type WHERE deleted_at = 0 ORDER BY name`)
}

// AgentTypeByID returns an agent type that is not deleted.
func (t *Tx) AgentTypeByID(id string) (*signalbox.AgentType, error) {
	return one(t, "agent type", id, scanAgentType, `SELECT `+agentTypeColumns+` FROM agent_type WHERE id = $1 AND deleted_at = 0`, id)
}

// LockAgentType returns an agent type by name and holds it until the transaction ends.
func (t *Tx) LockAgentType(name string) (*signalbox.AgentType, error) {
	return one(t, "agent type", name, scanAgentType, `SELECT `+agentTypeColumns+` FROM agent_type WHERE name = $1 AND deleted_at = 0`+t.forUpdate(), name)
}

// UpdateAgentType writes an agent type's settings; detail says what changed.
func (t *Tx) UpdateAgentType(a *signalbox.AgentType, actor, detail string) error {
	a.UpdatedAt = t.Now
	if a.Projects == "" {
		a.Projects = signalbox.ProjectsAll
	}
	roles, err := listText(a.Naming.Roles)
	if err != nil {
		return err
	}
	projects, err := listText(a.ProjectIDs)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE agent_type SET release_after_ms = $1, lost_after_ms = $2, name_origin = $3, aws_account = $4, aws_roles = $5,
		projects_access = $6, project_ids = $7, forks = $8, max_running_jobs = $9, updated_at = $10, quarantine_failures = $11, quarantine_of = $12,
		lease_ms = $13, ephemeral = $14 WHERE id = $15 AND deleted_at = 0`, a.ReleaseAfter.Milliseconds(),
		a.LostAfter.Milliseconds(), a.Naming.Origin, a.Naming.Account, roles, a.Projects, projects, a.Forks, a.MaxRunningJobs, ms(a.UpdatedAt),
		a.Quarantine.Failures, a.Quarantine.Of, a.Lease.Milliseconds(), a.Ephemeral, a.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "agent type", a.Name); err != nil {
		return err
	}
	t.Wake(KeyRoom, AnyAgent)
	return t.Record("agent_type", a.ID, actor, "changed", detail)
}

// DeleteAgentType marks an agent type as deleted; its name is free again and its tokens are revoked.
func (t *Tx) DeleteAgentType(id, actor string) error {
	t.Wake(AnyAgent)
	n, err := t.exec(`UPDATE agent_type SET deleted_at = $1 WHERE id = $2 AND deleted_at = 0`, ms(t.Now), id)
	if err != nil {
		return err
	}
	if err := changed(n, "agent type", id); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE registration_token SET revoked_at = $1 WHERE agent_type_id = $2 AND revoked_at = 0`, ms(t.Now), id); err != nil {
		return err
	}
	return t.Record("agent_type", id, actor, "deleted", "")
}
