package joblog

import (
	"context"

	"github.com/signalbox-ci/signalbox/store"
)

// Open returns the attempts whose logs are not closed.
func (l *Log) Open(ctx context.Context) (ids []string, err error) {
	err = l.store.ReadLog(ctx, func(tx *store.LogTx) (err error) {
		ids, err = tx.OpenLogs()
		return err
	})
	return ids, err
}
