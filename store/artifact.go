package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

const (
	artifactColumns = `f.id, f.project_id, f.scope, f.scope_id, f.path, f.blob_id, b.sha256, b.size, f.job_id, f.attempt_id, f.created_at`
	artifactFrom    = ` FROM artifact f JOIN artifact_blob b ON b.id = f.blob_id `
)

func scanArtifact(s scanner, a *signalbox.Artifact) error {
	return s.Scan(&a.ID, &a.ProjectID, &a.Scope, &a.ScopeID, &a.Path, &a.BlobID, &a.SHA256, &a.Size, &a.JobID, &a.AttemptID, at{&a.CreatedAt})
}

// PutArtifact makes a the file at its path. Its content is the blob that has its hash already, or else becomes the blob
// BlobID; with BlobID "" and no such blob nothing happens and known is false. BlobID is the blob in use afterwards. A
// path that is taken is replaced, or with createOnly left alone, which is CodeConflict unless the same attempt has put
// the same content there: then it has only asked twice.
func (t *Tx) PutArtifact(a *signalbox.Artifact, createOnly bool, actor string) (known bool, err error) {
	blob, err := t.useBlob(a)
	if err != nil || blob == "" {
		return false, err
	}
	a.BlobID, a.CreatedAt = blob, t.Now
	id := signalbox.NewID()
	n, err := t.exec(`INSERT INTO artifact (id, project_id, scope, scope_id, path, blob_id, job_id, attempt_id, created_at)
		VALUES (`+list(1, 9)+`) ON CONFLICT (scope, scope_id, path) DO NOTHING`,
		id, a.ProjectID, a.Scope, a.ScopeID, a.Path, a.BlobID, a.JobID, a.AttemptID, ms(a.CreatedAt))
	if err != nil {
		return false, err
	}
	if n == 1 {
		a.ID = id
		return true, t.Record("artifact", a.ID, actor, "pushed", a.Path)
	}
	old, err := t.lockArtifact(a.Scope, a.ScopeID, a.Path)
	if err != nil {
		return false, err
	}
	a.ID = old.ID
	if old.BlobID == a.BlobID && old.AttemptID == a.AttemptID {
		a.CreatedAt = old.CreatedAt
		return true, nil
	}
	if createOnly {
		return false, signalbox.Errorf(signalbox.CodeConflict, "%s exists already", a.Path)
	}
	if _, err := t.exec(`UPDATE artifact SET blob_id = $1, job_id = $2, attempt_id = $3, created_at = $4 WHERE id = $5`,
		a.BlobID, a.JobID, a.AttemptID, ms(a.CreatedAt), a.ID); err != nil {
		return false, err
	}
	if old.BlobID != a.BlobID {
		if err := t.releaseBlob(old.BlobID); err != nil {
			return false, err
		}
	}
	return true, t.Record("artifact", a.ID, actor, "replaced", a.Path)
}

// useBlob returns the blob with a's hash and keeps it from being removed; "" when there is none and a names none.
func (t *Tx) useBlob(a *signalbox.Artifact) (string, error) {
	if a.BlobID != "" {
		if _, err := t.exec(`INSERT INTO artifact_blob (id, sha256, size, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256) DO NOTHING`,
			a.BlobID, a.SHA256, a.Size, ms(t.Now)); err != nil {
			return "", err
		}
	}
	// The update locks the row, so that whoever removes unused blobs comes before or after.
	n, err := t.exec(`UPDATE artifact_blob SET unused_since = 0 WHERE sha256 = $1`, a.SHA256)
	if err != nil || n == 0 {
		return "", err
	}
	ids, err := t.strings(`SELECT id FROM artifact_blob WHERE sha256 = $1`, a.SHA256)
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// releaseBlob notes that a blob is not needed any more, if that is so.
func (t *Tx) releaseBlob(id string) error {
	// Locked first: of two transactions that take away the last two uses, the second one must see what the first did.
	if _, err := t.strings(`SELECT id FROM artifact_blob WHERE id = $1`+t.forUpdate(), id); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE artifact_blob SET unused_since = $1 WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM artifact WHERE blob_id = $2)`, ms(t.Now), id)
	return err
}

// Artifact returns the file at a path.
func (t *Tx) Artifact(scope signalbox.ArtifactScope, scopeID, path string) (*signalbox.Artifact, error) {
	return one(t, "artifact", path, scanArtifact, `SELECT `+artifactColumns+artifactFrom+`WHERE f.scope = $1 AND f.scope_id = $2 AND f.path = $3`, scope, scopeID, path)
}

// lockArtifact locks a file and then reads it, in two steps: while one statement waits for the lock, another server may
// have given the file a blob that is younger than what the statement can see.
func (t *Tx) lockArtifact(scope signalbox.ArtifactScope, scopeID, path string) (*signalbox.Artifact, error) {
	if _, err := t.strings(`SELECT id FROM artifact WHERE scope = $1 AND scope_id = $2 AND path = $3`+t.forUpdate(), scope, scopeID, path); err != nil {
		return nil, err
	}
	return t.Artifact(scope, scopeID, path)
}

// ArtifactsBelow returns up to limit files whose paths lie below a folder, in no order; "" is everything of the scope.
func (t *Tx) ArtifactsBelow(scope signalbox.ArtifactScope, scopeID, folder string, limit int) ([]*signalbox.Artifact, error) {
	if folder != "" {
		folder += "/"
	}
	// LIKE ignores case on SQLite, and comparing ignores bytes on PostgreSQL; this is exact on both.
	return many(t, "artifact", scanArtifact, `SELECT `+artifactColumns+artifactFrom+`WHERE f.scope = $1 AND f.scope_id = $2
		AND substr(f.path, 1, length($3)) = $3 LIMIT $4`, scope, scopeID, folder, limit)
}

// DeleteArtifact removes the file at a path; its content goes when nothing else has it and some time has passed. One
// that is not there is CodeNotFound.
func (t *Tx) DeleteArtifact(scope signalbox.ArtifactScope, scopeID, path, actor string) error {
	a, err := t.lockArtifact(scope, scopeID, path)
	if err != nil {
		return err
	}
	n, err := t.exec(`DELETE FROM artifact WHERE id = $1`, a.ID)
	if err != nil {
		return err
	}
	if err := changed(n, "artifact", path); err != nil {
		return err
	}
	if err := t.releaseBlob(a.BlobID); err != nil {
		return err
	}
	return t.Record("artifact", a.ID, actor, "deleted", a.Path)
}

// Blob names stored content.
type Blob struct {
	ID     string
	SHA256 string
	Size   int64 // set by BlobsAfter only, like Unused
	Unused bool  // nothing needs it, so it may go at any time
}

// BlobsAfter returns up to limit blobs whose ids come after one, in order.
func (t *Tx) BlobsAfter(id string, limit int) ([]*Blob, error) {
	return many(t, "blob", func(s scanner, b *Blob) error { return s.Scan(&b.ID, &b.SHA256, &b.Size, &b.Unused) },
		`SELECT id, sha256, size, unused_since > 0 FROM artifact_blob WHERE id > $1 ORDER BY id LIMIT $2`, id, limit)
}

// TakeUnusedBlobs forgets up to limit blobs that nothing has needed since before a time and returns them; their
// content may then be removed, because a blob that was forgotten is never used again.
func (t *Tx) TakeUnusedBlobs(before time.Time, limit int) ([]*Blob, error) {
	return many(t, "blob", func(s scanner, b *Blob) error { return s.Scan(&b.ID, &b.SHA256) },
		`DELETE FROM artifact_blob WHERE id IN (SELECT id FROM artifact_blob WHERE unused_since > 0 AND unused_since < $1
			AND NOT EXISTS (SELECT 1 FROM artifact WHERE blob_id = artifact_blob.id) ORDER BY unused_since LIMIT $2`+t.skipLocked()+`)
		RETURNING id, sha256`, ms(before), limit)
}

// KnownBlobs returns which of some blob ids there are.
func (t *Tx) KnownBlobs(ids []string) (map[string]bool, error) {
	known := map[string]bool{}
	for len(ids) > 0 {
		n := min(len(ids), 500)
		found, err := t.strings(`SELECT id FROM artifact_blob WHERE id IN (`+list(1, n)+`)`, anys(nil, ids[:n])...)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			known[id] = true
		}
		ids = ids[n:]
	}
	return known, nil
}
