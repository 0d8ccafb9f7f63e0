package store

import (
	"github.com/signalbox-ci/signalbox"
)

const blockColumns = `id, pipeline_id, kind, idx, name, dependencies, state, result, reason, error_description, terminate_reason, deadline_at, created_at, running_at, done_at`

func scanBlock(s scanner, b *signalbox.Block) error {
	return s.Scan(&b.ID, &b.PipelineID, &b.Kind, &b.Index, &b.Name, doc{&b.Dependencies}, &b.State, &b.Result, &b.Reason,
		&b.ErrorDescription, &b.TerminateReason, at{&b.Deadline}, at{&b.CreatedAt}, at{&b.RunningAt}, at{&b.DoneAt})
}

// CreateBlock stores a block.
func (t *Tx) CreateBlock(b *signalbox.Block) error {
	if b.ID == "" {
		b.ID = signalbox.NewID()
	}
	if b.Kind == "" {
		b.Kind = signalbox.BlockOfFile
	}
	b.CreatedAt = t.Now
	deps, err := toJSON(b.Dependencies)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO block (`+blockColumns+`) VALUES (`+list(1, 15)+`)`, b.ID, b.PipelineID, b.Kind, b.Index, b.Name, deps,
		b.State, b.Result, b.Reason, b.ErrorDescription, b.TerminateReason, ms(b.Deadline), ms(b.CreatedAt), ms(b.RunningAt), ms(b.DoneAt))
	return err
}

// Block returns a block by id.
func (t *Tx) Block(id string) (*signalbox.Block, error) {
	return one(t, "block", id, scanBlock, `SELECT `+blockColumns+` FROM block WHERE id = $1`, id)
}

// Blocks returns the blocks of a pipeline's file in its order.
func (t *Tx) Blocks(pipelineID string) ([]*signalbox.Block, error) {
	return many(t, "block", scanBlock, `SELECT `+blockColumns+` FROM block WHERE pipeline_id = $1 AND kind = 'block' ORDER BY idx`, pipelineID)
}

// BlockBeside returns the block of a kind that stands beside those of the file, nil when the pipeline has none.
func (t *Tx) BlockBeside(pipelineID string, kind signalbox.BlockKind) (*signalbox.Block, error) {
	b, err := one(t, "block", string(kind), scanBlock, `SELECT `+blockColumns+` FROM block WHERE pipeline_id = $1 AND kind = $2`, pipelineID, kind)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return nil, nil
	}
	return b, err
}

// UpdateBlock writes the fields that change while a block runs, if its state is still from. The caller holds the
// pipeline (LockPipeline).
func (t *Tx) UpdateBlock(b *signalbox.Block, from signalbox.BlockState, actor, reason, detail string) error {
	n, err := t.exec(`UPDATE block SET state = $1, result = $2, reason = $3, error_description = $4, terminate_reason = $5,
		running_at = $6, done_at = $7, deadline_at = $8 WHERE id = $9 AND state = $10`, b.State, b.Result, b.Reason, b.ErrorDescription,
		b.TerminateReason, ms(b.RunningAt), ms(b.DoneAt), ms(b.Deadline), b.ID, from)
	if err != nil {
		return err
	}
	if err := changed(n, "block", b.ID); err != nil {
		return err
	}
	return t.Record("block", b.ID, actor, reason, detail)
}
