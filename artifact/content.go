package artifact

import (
	"context"
	"io"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Content returns the content of a file that a job pushed. A file that is not there, or has more than limit bytes, or was
// pushed by another job, is CodeNotFound: whoever reads it here relies on who made it.
func (a *Artifacts) Content(ctx context.Context, scope signalbox.ArtifactScope, scopeID, path, jobID string, limit int64) ([]byte, error) {
	var f *signalbox.Artifact
	if err := a.Store.Read(ctx, func(tx *store.Tx) (err error) {
		f, err = tx.Artifact(scope, scopeID, path)
		return err
	}); err != nil {
		return nil, err
	}
	switch {
	case f.JobID != jobID:
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "the artifact %s was pushed by the job %s, not by %s", path, f.JobID, jobID)
	case f.Size > limit:
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "the artifact %s has %d bytes; at most %d are read", path, f.Size, limit)
	}
	content, err := a.Blobs.Open(ctx, name(f.SHA256, f.BlobID))
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.LimitReader(content, limit))
}
