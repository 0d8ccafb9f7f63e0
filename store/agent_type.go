package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const agentTypeColumns = `id, name, release_after_ms, lost_after_ms, created_at, updated_at, deleted_at`

func scanAgentType(s scanner, a *signalbox.AgentType) error {
	return s.Scan(&a.ID, &a.Name, span{&a.ReleaseAfter, time.Millisecond}, span{&a.LostAfter, time.Millisecond}, at{&a.CreatedAt}, at{&a.UpdatedAt}, at{&a.DeletedAt})
}

// CreateAgentType stores an agent type; a taken name is CodeConflict.
func (t *Tx) CreateAgentType(a *signalbox.AgentType, actor string) error {
	if a.ID == "" {
		a.ID = signalbox.NewID()
	}
	a.CreatedAt, a.UpdatedAt = t.Now, t.Now
	_, err := t.exec(`INSERT INTO agent_type (id, name, release_after_ms, lost_after_ms, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.ID, a.Name, a.ReleaseAfter.Milliseconds(), a.LostAfter.Milliseconds(), ms(a.CreatedAt), ms(a.UpdatedAt))
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

// UpdateAgentType writes an agent type's settings.
func (t *Tx) UpdateAgentType(a *signalbox.AgentType, actor string) error {
	a.UpdatedAt = t.Now
	n, err := t.exec(`UPDATE agent_type SET release_after_ms = $1, lost_after_ms = $2, updated_at = $3 WHERE id = $4 AND deleted_at = 0`,
		a.ReleaseAfter.Milliseconds(), a.LostAfter.Milliseconds(), ms(a.UpdatedAt), a.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "agent type", a.Name); err != nil {
		return err
	}
	return t.Record("agent_type", a.ID, actor, "changed", "")
}

// DeleteAgentType marks an agent type as deleted; its name is free again and its tokens are revoked.
func (t *Tx) DeleteAgentType(id, actor string) error {
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

// CreateRegistrationToken stores a token by the hash of its text.
func (t *Tx) CreateRegistrationToken(r *signalbox.RegistrationToken, hash, actor string) error {
	if r.ID == "" {
		r.ID = signalbox.NewID()
	}
	r.CreatedAt = t.Now
	if _, err := t.exec(`INSERT INTO registration_token (id, agent_type_id, name, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		r.ID, r.AgentTypeID, r.Name, hash, ms(r.CreatedAt), ms(r.ExpiresAt)); err != nil {
		return err
	}
	return t.Record("agent_type", r.AgentTypeID, actor, "token created", r.Name)
}

// RevokeRegistrationTokens ends all tokens of a type but one.
func (t *Tx) RevokeRegistrationTokens(agentTypeID, except, actor string) error {
	if _, err := t.exec(`UPDATE registration_token SET revoked_at = $1 WHERE agent_type_id = $2 AND revoked_at = 0 AND id <> $3`,
		ms(t.Now), agentTypeID, except); err != nil {
		return err
	}
	return t.Record("agent_type", agentTypeID, actor, "tokens revoked", "")
}

// AgentTypeByToken returns the type that a living registration token belongs to.
func (t *Tx) AgentTypeByToken(hash string) (*signalbox.AgentType, error) {
	return one(t, "agent type", "with that token", scanAgentType, `SELECT a.id, a.name, a.release_after_ms, a.lost_after_ms, a.created_at, a.updated_at, a.deleted_at
		FROM registration_token r JOIN agent_type a ON a.id = r.agent_type_id
		WHERE r.token_hash = $1 AND r.revoked_at = 0 AND (r.expires_at = 0 OR r.expires_at > $2) AND a.deleted_at = 0`, hash, ms(t.Now))
}
