package logline

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
)

// maxWaiting is how many closed logs may wait for their index; those of others are made when somebody looks.
const maxWaiting = 1024

// stored is an index as it lies in the database.
type stored struct {
	Lines     int64      `json:"lines"`
	Text      int64      `json:"text"`
	Commands  []*Command `json:"commands"`
	Notes     []Note     `json:"notes,omitempty"`
	MoreNotes int        `json:"more_notes,omitempty"`
	Started   int64      `json:"started,omitempty"`
	Ended     int64      `json:"ended,omitempty"`
	Result    string     `json:"result,omitempty"`
	Points    []point    `json:"points"`
}

// save stores the index of a closed log.
func (l *Lines) save(ctx context.Context, ix *Index) error {
	var data bytes.Buffer
	w, err := flate.NewWriter(&data, flate.BestSpeed)
	if err != nil {
		return err
	}
	x := stored{ix.Lines, ix.Text, ix.Commands, ix.Notes, ix.MoreNotes, ix.Started, ix.Ended, ix.Result, ix.points}
	if err := json.NewEncoder(w).Encode(x); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return l.store.WriteLog(ctx, func(t *store.LogTx) error {
		_, err := t.SetLogIndex(ix.AttemptID, store.LogIndex{Rev: ix.Rev, Next: ix.Next, Format: format, Data: data.Bytes()})
		return err
	})
}

// load returns the stored index of a closed log, nil when there is none that fits. One that cannot be read is as if it were
// not there.
func (l *Lines) load(ctx context.Context, attemptID string, info joblog.Info) (*Index, error) {
	if info.Bytes < l.storeFrom {
		return nil, nil
	}
	var row *store.LogIndex
	err := l.store.ReadLog(ctx, func(t *store.LogTx) (err error) {
		row, err = t.LogIndex(attemptID)
		return err
	})
	switch {
	case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read where the lines of the log are: %w", err)
	case row.Format != format || row.Rev != info.Rev || row.Next != info.NextEvent:
		return nil, nil
	}
	var x stored
	if err := json.NewDecoder(io.LimitReader(flate.NewReader(bytes.NewReader(row.Data)), maxEntrySize)).Decode(&x); err != nil {
		l.logger.Warn("where the lines of a log are cannot be read and is found out again", "attempt", attemptID, "error", err)
		return nil, nil
	}
	return &Index{
		AttemptID: attemptID, Rev: row.Rev, Next: row.Next, Closed: true, Lines: x.Lines, Text: x.Text, Commands: x.Commands, Notes: x.Notes,
		MoreNotes: x.MoreNotes, Started: x.Started, Ended: x.Ended, Result: x.Result, points: x.Points,
	}, nil
}

// Closed is told that a log was closed: its index is made soon, before anybody asks. It never waits.
func (l *Lines) Closed(attemptID string) {
	select {
	case l.closed <- attemptID:
	default: // it is made when somebody looks
	}
}

// Run makes the indexes of logs that were closed, one after another, until ctx ends.
func (l *Lines) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-l.closed:
			info, err := l.log.Info(ctx, id)
			if err == nil && info.Bytes >= l.storeFrom {
				_, err = l.Index(ctx, id)
			}
			if err != nil && ctx.Err() == nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
				l.logger.Warn("could not find the lines of a log", "attempt", id, "error", err)
			}
		}
	}
}
