package store

import (
	"github.com/signalbox-ci/signalbox"
)

const blockColumns = `id, pipeline_id, idx, name, dependencies, state, result, reason, error_description, terminate_reason, created_at, running_at, done_at`

func scanBlock(s scanner, b *signalbox.Block) error {
	return s.Scan(&b.ID, &b.PipelineID, &b.Index, &b.Name, doc{&b.Dependencies}, &b.State, &b.Result, &b.Reason,
		&b.ErrorDescription, &b.TerminateReason, at{&b.CreatedAt}, at{&b.RunningAt}, at{&b.DoneAt})
}

// CreateBlock stores a block.
func (t *Tx) CreateBlock(b *signalbox.Block) error {
	if b.ID == "" {
		b.ID = signalbox.NewID()
	}
	b.CreatedAt = t.Now
	deps, err := toJSON(b.Dependencies)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO block (`+blockColumns+`) VALUES (`+list(1, 13)+`)`, b.ID, b.PipelineID, b.Index, b.Name, deps,
		b.State, b.Result, b.Reason, b.ErrorDescription, b.TerminateReason, ms(b.CreatedAt), ms(b.RunningAt), ms(b.DoneAt))
	return err
}

// Block returns a block by id.
func (t *Tx) Block(id string) (*signalbox.Block, error) {
	return one(t, "block", id, scanBlock, `SELECT `+blockColumns+` FROM block WHERE id = $1`, id)
}

// Blocks returns the blocks of a pipeline in file order.
func (t *Tx) Blocks(pipelineID string) ([]*signalbox.Block, error) {
	return many(t, "block", scanBlock, `SELECT `+blockColumns+` FROM block WHERE pipeline_id = $1 ORDER BY idx`, pipelineID)
}

// UpdateBlock writes the fields that change while a block runs, if its state is still from. The caller holds the
// pipeline (LockPipeline).
func (t *Tx) UpdateBlock(b *signalbox.Block, from signalbox.BlockState, actor, reason, detail string) error {
	n, err := t.exec(`UPDATE block SET state = $1, result = $2, reason = $3, error_description = $4, terminate_reason = $5,
		running_at = $6, done_at = $7 WHERE id = $8 AND state = $9`, b.State, b.Result, b.Reason, b.ErrorDescription,
		b.TerminateReason, ms(b.RunningAt), ms(b.DoneAt), b.ID, from)
	if err != nil {
		return err
	}
	if err := changed(n, "block", b.ID); err != nil {
		return err
	}
	return t.Record("block", b.ID, actor, reason, detail)
}
