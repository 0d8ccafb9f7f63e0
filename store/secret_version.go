package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// outline is what may be read of a version without a key.
type outline struct {
	EnvVars []string `json:"env_vars,omitempty"`
	Files   []string `json:"files,omitempty"`
}

const versionColumns = `secret_id, version, outline, data_key, data`

func scanVersion(s scanner, v *signalbox.SecretVersion) error {
	var o outline
	if err := s.Scan(&v.SecretID, &v.Version, doc{&o}, &v.Key, &v.Data); err != nil {
		return err
	}
	v.EnvVars, v.Files = o.EnvVars, o.Files
	return nil
}

func (t *Tx) addSecretVersion(v *signalbox.SecretVersion) error {
	text, err := toJSON(outline{v.EnvVars, v.Files})
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO secret_version (`+versionColumns+`, created_at) VALUES (`+list(1, 6)+`)`, v.SecretID, v.Version, text, v.Key, v.Data, ms(t.Now))
	return err
}

// SecretVersion returns one content of a secret.
func (t *Tx) SecretVersion(secretID string, version int) (*signalbox.SecretVersion, error) {
	return one(t, "version of secret", secretID, scanVersion,
		`SELECT `+versionColumns+` FROM secret_version WHERE secret_id = $1 AND version = $2`, secretID, version)
}

// SecretVersions returns all contents that there are after one of them, in order; the zero version comes before all.
func (t *Tx) SecretVersions(after signalbox.SecretVersion, limit int) ([]*signalbox.SecretVersion, error) {
	return many(t, "secret version", scanVersion, `SELECT `+versionColumns+` FROM secret_version
		WHERE secret_id > $1 OR secret_id = $1 AND version > $2 ORDER BY secret_id, version LIMIT $3`, after.SecretID, after.Version, limit)
}

// ResealSecret replaces the sealed data key of a version, if it is still from.
func (t *Tx) ResealSecret(v *signalbox.SecretVersion, from []byte) error {
	n, err := t.exec(`UPDATE secret_version SET data_key = $1 WHERE secret_id = $2 AND version = $3 AND data_key = $4`, v.Key, v.SecretID, v.Version, from)
	if err != nil {
		return err
	}
	return changed(n, "version of secret", v.SecretID)
}

// RecordAttemptSecrets notes which versions an attempt was given, in order.
func (t *Tx) RecordAttemptSecrets(attemptID string, vs []*signalbox.SecretVersion) error {
	for i, v := range vs {
		if _, err := t.exec(`INSERT INTO attempt_secret (attempt_id, idx, secret_id, version) VALUES ($1, $2, $3, $4)`,
			attemptID, i, v.SecretID, v.Version); err != nil {
			return err
		}
	}
	return nil
}

// AttemptSecrets returns the versions that an attempt was given, in order.
func (t *Tx) AttemptSecrets(attemptID string) ([]*signalbox.SecretVersion, error) {
	return many(t, "secret of an attempt", scanVersion, `SELECT v.secret_id, v.version, v.outline, v.data_key, v.data
		FROM attempt_secret a JOIN secret_version v ON v.secret_id = a.secret_id AND v.version = a.version
		WHERE a.attempt_id = $1 ORDER BY a.idx`, attemptID)
}

// ForgetAttemptSecrets ends the hold that an attempt has on the versions it was given, and removes those that nothing
// else needs.
func (t *Tx) ForgetAttemptSecrets(attemptID string) error {
	ids, err := t.strings(`SELECT DISTINCT secret_id FROM attempt_secret WHERE attempt_id = $1`, attemptID)
	if err != nil || len(ids) == 0 {
		return err
	}
	if _, err := t.exec(`DELETE FROM attempt_secret WHERE attempt_id = $1`, attemptID); err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.PruneSecret(id); err != nil {
			return err
		}
	}
	return nil
}

// SecretKept is how long a deleted secret may be restored.
const SecretKept = time.Minute

// PruneSecret removes the contents of a secret that are neither current nor held by an attempt; of one that was deleted
// more than SecretKept ago, the current one too.
func (t *Tx) PruneSecret(id string) error {
	_, err := t.exec(`DELETE FROM secret_version WHERE secret_id = $1
		AND NOT EXISTS (SELECT 1 FROM attempt_secret a WHERE a.secret_id = secret_version.secret_id AND a.version = secret_version.version)
		AND NOT EXISTS (SELECT 1 FROM secret s WHERE s.id = secret_version.secret_id AND s.version = secret_version.version
			AND (s.deleted_at = 0 OR s.deleted_at > $2))`, id, ms(t.Now.Add(-SecretKept)))
	return err
}

// deletedWithContents finds the secrets that were deleted before a time and have contents that no attempt holds.
const deletedWithContents = `SELECT s.id FROM secret s WHERE s.deleted_at > 0 AND s.deleted_at <= $1
	AND EXISTS (SELECT 1 FROM secret_version v WHERE v.secret_id = s.id AND NOT EXISTS
		(SELECT 1 FROM attempt_secret a WHERE a.secret_id = v.secret_id AND a.version = v.version))`

// DeletedSecretsLeft tells whether PruneDeletedSecrets has anything to do.
func (t *Tx) DeletedSecretsLeft() (bool, error) {
	ids, err := t.strings(deletedWithContents+` LIMIT 1`, ms(t.Now.Add(-SecretKept)))
	return len(ids) > 0, err
}

// PruneDeletedSecrets does PruneSecret for the deleted secrets that have contents left.
func (t *Tx) PruneDeletedSecrets() error {
	ids, err := t.strings(deletedWithContents, ms(t.Now.Add(-SecretKept)))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := t.PruneSecret(id); err != nil {
			return err
		}
	}
	return nil
}

// AttemptsWithSecrets returns the ended attempts that still hold versions of secrets.
func (t *Tx) AttemptsWithSecrets(limit int) ([]string, error) {
	return t.strings(`SELECT DISTINCT a.id FROM attempt a JOIN attempt_secret s ON s.attempt_id = a.id WHERE a.state = 'ended' LIMIT $1`, limit)
}
