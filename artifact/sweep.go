package artifact

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox/store"
)

// strayInterval is how often content is looked for that a crash left behind between its writing and its metadata.
const strayInterval = 24 * time.Hour

func name(sha256, id string) string { return sha256 + "-" + id }

// removeUnused removes content that nothing has needed for a while; whoever was still reading it has had that time.
// It is forgotten first: after a crash in between it is a stray.
func (a *Artifacts) removeUnused(ctx context.Context) error {
	for {
		var gone []*store.Blob
		if err := a.Store.Write(ctx, func(tx *store.Tx) (err error) {
			gone, err = tx.TakeUnusedBlobs(tx.Now.Add(-a.Grace), 100)
			return err
		}); err != nil {
			return err
		}
		for _, b := range gone {
			if err := a.Blobs.Remove(ctx, name(b.SHA256, b.ID)); err != nil {
				return err
			}
		}
		if len(gone) < 100 {
			return nil
		}
	}
}

// removeStrays removes content without metadata: of uploads that a crash cut off. Young content may still get its
// metadata.
func (a *Artifacts) removeStrays(ctx context.Context) error {
	return a.Blobs.Walk(ctx, a.Now().Add(-a.Grace), func(names []string) error {
		ids := make([]string, len(names))
		for i, n := range names {
			ids[i] = n[len(n)-36:]
		}
		var known map[string]bool
		if err := a.Store.Read(ctx, func(tx *store.Tx) (err error) { known, err = tx.KnownBlobs(ids); return err }); err != nil {
			return err
		}
		for i, n := range names {
			if known[ids[i]] {
				continue
			}
			if err := a.Blobs.Remove(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
}
