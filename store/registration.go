package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const registrationColumns = `id, agent_type_id, name, networks, one_time, created_by, created_at, expires_at, revoked_at, last_used_at, last_used_ip, last_used_by`

func scanRegistration(s scanner, r *signalbox.RegistrationToken) error {
	return s.Scan(&r.ID, &r.AgentTypeID, &r.Name, doc{&r.Networks}, &r.OneTime, &r.CreatedBy, at{&r.CreatedAt}, at{&r.ExpiresAt}, at{&r.RevokedAt},
		at{&r.LastUsedAt}, &r.LastUsedIP, &r.LastUsedBy)
}

// limited stands before the hash of a token that may not be used by everybody or more than once. A program that knows
// no limits looks for the bare hash and does not find it.
const limited = "limited:"

// CreateRegistrationToken stores a token by the hash of its text.
func (t *Tx) CreateRegistrationToken(r *signalbox.RegistrationToken, hash, actor string) error {
	if r.ID == "" {
		r.ID = signalbox.NewID()
	}
	r.CreatedAt, r.CreatedBy = t.Now, actor
	networks := ""
	if len(r.Networks) > 0 {
		var err error
		if networks, err = toJSON(r.Networks); err != nil {
			return err
		}
	}
	if r.OneTime || len(r.Networks) > 0 {
		hash = limited + hash
	}
	if _, err := t.exec(`INSERT INTO registration_token (token_hash, `+registrationColumns+`) VALUES (`+list(1, 13)+`)`, hash,
		r.ID, r.AgentTypeID, r.Name, networks, r.OneTime, r.CreatedBy, ms(r.CreatedAt), ms(r.ExpiresAt), 0, 0, "", ""); err != nil {
		return err
	}
	return t.Record("agent_type", r.AgentTypeID, actor, "token created", r.Name)
}

// RegistrationToken returns the token that has a hash, whatever has become of it.
func (t *Tx) RegistrationToken(hash string) (*signalbox.RegistrationToken, error) {
	return one(t, "registration token", "with that text", scanRegistration, `SELECT `+registrationColumns+` FROM registration_token WHERE token_hash IN ($1, $2)`, hash, limited+hash)
}

// RegistrationTokens returns tokens of a type in the order in which they were made, from the one after an id on: all, or
// those that were not revoked, have not expired and are not used up.
func (t *Tx) RegistrationTokens(agentTypeID, after string, all bool, limit int) ([]*signalbox.RegistrationToken, error) {
	return many(t, "registration token", scanRegistration, `SELECT `+registrationColumns+` FROM registration_token WHERE agent_type_id = $1 AND id > $2
		AND ($3 OR (revoked_at = 0 AND (expires_at = 0 OR expires_at > $4) AND NOT (one_time AND last_used_at > 0))) ORDER BY id LIMIT $5`,
		agentTypeID, after, all, ms(t.Now), limit)
}

// FindRegistrationTokens returns the tokens of a type that have not ended and have an id or a name.
func (t *Tx) FindRegistrationTokens(agentTypeID, idOrName string) ([]*signalbox.RegistrationToken, error) {
	return many(t, "registration token", scanRegistration, `SELECT `+registrationColumns+` FROM registration_token WHERE agent_type_id = $1 AND (id = $2 OR name = $2)
		AND revoked_at = 0 AND (expires_at = 0 OR expires_at > $3) ORDER BY id`, agentTypeID, idOrName, ms(t.Now))
}

// UseRegistrationToken notes a registration with a token and keeps the token from ending before the transaction does. Of two
// that use up the same token the second is CodeConflict; so is one that ended meanwhile. The use of a token for many is noted
// once a minute, so that registrations do not wait for one another.
func (t *Tx) UseRegistrationToken(r *signalbox.RegistrationToken, ip, agent string) error {
	before := int64(1)
	if !r.OneTime {
		before = ms(t.Now.Add(-time.Minute))
	}
	n, err := t.exec(`UPDATE registration_token SET last_used_at = $1, last_used_ip = $2, last_used_by = $3
		WHERE id = $4 AND last_used_at < $5 AND revoked_at = 0`, ms(t.Now), ip, agent, r.ID, before)
	if err != nil || n == 1 {
		return err
	}
	if r.OneTime {
		return changed(0, "registration token", r.Name)
	}
	_, err = one(t, "registration token", r.Name, scanRegistration, `SELECT `+registrationColumns+` FROM registration_token WHERE id = $1 AND revoked_at = 0`+t.forShare(), r.ID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return changed(0, "registration token", r.Name)
	}
	return err
}

// ExpireRegistrationToken lets a token end at a time, unless it ends before then. With t.Now or earlier it is revoked.
func (t *Tx) ExpireRegistrationToken(r *signalbox.RegistrationToken, end time.Time, actor string) error {
	column, reason, detail := "revoked_at", "token revoked", r.Name
	if end.After(t.Now) {
		column, reason, detail = "expires_at", "token will end", r.Name+" at "+end.UTC().Format(time.RFC3339)
	} else {
		end = t.Now
	}
	n, err := t.exec(`UPDATE registration_token SET `+column+` = $1 WHERE id = $2 AND revoked_at = 0 AND (`+column+` = 0 OR `+column+` > $1)`, ms(end), r.ID)
	if err != nil || n == 0 {
		return err
	}
	return t.Record("agent_type", r.AgentTypeID, actor, reason, detail)
}

// ExpireRegistrationTokens lets all tokens of a type but one end at a time, as ExpireRegistrationToken does.
func (t *Tx) ExpireRegistrationTokens(agentTypeID, except string, end time.Time, actor string) error {
	column, reason, detail := "revoked_at", "tokens revoked", ""
	if end.After(t.Now) {
		column, reason, detail = "expires_at", "tokens will end", end.UTC().Format(time.RFC3339)
	} else {
		end = t.Now
	}
	if _, err := t.exec(`UPDATE registration_token SET `+column+` = $1 WHERE agent_type_id = $2 AND revoked_at = 0 AND id <> $3
		AND (`+column+` = 0 OR `+column+` > $1)`, ms(end), agentTypeID, except); err != nil {
		return err
	}
	return t.Record("agent_type", agentTypeID, actor, reason, detail)
}

const refusedColumns = `r.agent_type_id, COALESCE(y.name, ''), r.reason, r.detail, r.name, r.ip, r.host, r.token, r.count, r.first_at, r.last_at`

// SaveRefused adds registrations that were turned away to those that are known. Of each type, and of no type, the newest
// signalbox.RefusedLimit stay.
func (t *Tx) SaveRefused(refused []*signalbox.RefusedRegistration) error {
	t.Wake(KeyRefused)
	types := map[string]bool{}
	for _, r := range refused {
		types[r.AgentTypeID] = true
		if _, err := t.exec(`INSERT INTO refused_registration (agent_type_id, reason, ip, name, detail, host, token, count, first_at, last_at)
			VALUES (`+list(1, 10)+`) ON CONFLICT (agent_type_id, reason, ip, name) DO UPDATE SET count = refused_registration.count + excluded.count,
			detail = excluded.detail, host = excluded.host, token = excluded.token, last_at = excluded.last_at`,
			r.AgentTypeID, r.Reason, r.IP, r.Name, r.Detail, r.Host, r.Token, r.Count, ms(r.FirstAt), ms(r.LastAt)); err != nil {
			return err
		}
	}
	for id := range types {
		if _, err := t.exec(`DELETE FROM refused_registration WHERE agent_type_id = $1 AND (reason, ip, name) NOT IN
			(SELECT reason, ip, name FROM refused_registration WHERE agent_type_id = $1 ORDER BY last_at DESC, ip, name, reason LIMIT $2)`,
			id, signalbox.RefusedLimit); err != nil {
			return err
		}
	}
	return nil
}

// Refused returns the registrations that were turned away, newest first: of one type, of none (""), or all ("*").
func (t *Tx) Refused(agentTypeID string, limit int) ([]*signalbox.RefusedRegistration, error) {
	return many(t, "refused registration", func(s scanner, r *signalbox.RefusedRegistration) error {
		return s.Scan(&r.AgentTypeID, &r.AgentType, &r.Reason, &r.Detail, &r.Name, &r.IP, &r.Host, &r.Token, &r.Count, at{&r.FirstAt}, at{&r.LastAt})
	}, `SELECT `+refusedColumns+` FROM refused_registration r LEFT JOIN agent_type y ON y.id = r.agent_type_id AND y.deleted_at = 0
		WHERE $1 = '*' OR r.agent_type_id = $1 ORDER BY r.last_at DESC, r.ip, r.name, r.reason LIMIT $2`, agentTypeID, limit)
}
