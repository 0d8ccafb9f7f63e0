package store

import "github.com/signalbox-ci/signalbox"

const promotionColumns = `id, pipeline_id, name, token, auto, override, promoted_by, parameters, created_pipeline_id, error, created_at`

func scanPromotion(s scanner, p *signalbox.Promotion) error {
	return s.Scan(&p.ID, &p.PipelineID, &p.Name, &p.Token, &p.Auto, &p.Override, &p.PromotedBy, doc{&p.Parameters}, &p.CreatedPipelineID,
		&p.Error, at{&p.CreatedAt})
}

// CreatePromotion stores a request. When its token was used before, it stores nothing and returns the request of then
// and false. The caller holds the pipeline.
func (t *Tx) CreatePromotion(p *signalbox.Promotion, actor string) (*signalbox.Promotion, bool, error) {
	old, err := one(t, "promotion", p.Token, scanPromotion,
		`SELECT `+promotionColumns+` FROM promotion WHERE pipeline_id = $1 AND token = $2`, p.PipelineID, p.Token)
	if err == nil {
		return old, false, nil
	}
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return nil, false, err
	}
	if p.ID == "" {
		p.ID = signalbox.NewID()
	}
	p.CreatedAt = t.Now
	parameters, err := toJSON(p.Parameters)
	if err != nil {
		return nil, false, err
	}
	if _, err := t.exec(`INSERT INTO promotion (`+promotionColumns+`) VALUES (`+list(1, 11)+`)`, p.ID, p.PipelineID, p.Name, p.Token,
		p.Auto, p.Override, p.PromotedBy, parameters, p.CreatedPipelineID, p.Error, ms(p.CreatedAt)); err != nil {
		return nil, false, err
	}
	what := "promoted: " + p.Name
	if p.Error != "" {
		what = "promotion refused: " + p.Name
	}
	return p, true, t.Record("pipeline", p.PipelineID, actor, what, p.Error)
}

// PromotionsOf returns what was asked of the promotions of a pipeline, newest first.
func (t *Tx) PromotionsOf(pipelineID string) ([]*signalbox.Promotion, error) {
	return many(t, "promotion", scanPromotion, `SELECT `+promotionColumns+` FROM promotion WHERE pipeline_id = $1 ORDER BY created_at DESC, id DESC`, pipelineID)
}
