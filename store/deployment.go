package store

import (
	"fmt"
	"slices"

	"github.com/signalbox-ci/signalbox"
)

const deploymentColumns = `id, target_id, target_name, workflow_id, prev_pipeline_id, promotion, pipeline_id, triggered_by, auto, ref_type, ref_label, parameters, bookmark1, bookmark2, bookmark3, state, message, ord, triggered_at`

func scanDeployment(s scanner, d *signalbox.Deployment) error {
	return s.Scan(&d.ID, &d.TargetID, &d.TargetName, &d.WorkflowID, &d.PrevPipelineID, &d.Promotion, &d.PipelineID, &d.TriggeredBy, &d.Auto, &d.RefType, &d.RefLabel,
		doc{&d.Parameters}, &d.Bookmarks[0], &d.Bookmarks[1], &d.Bookmarks[2], &d.State, &d.Message, &d.Order, at{&d.TriggeredAt})
}

// CreateDeployment stores what a target said. The caller holds the target, which makes the order unique.
func (t *Tx) CreateDeployment(d *signalbox.Deployment) error {
	parameters, err := toJSON(d.Parameters)
	if err != nil {
		return err
	}
	var last int64
	if err := t.q.QueryRowContext(t.ctx, `SELECT COALESCE(MAX(ord), 0) FROM deployment WHERE target_id = $1`, d.TargetID).Scan(&last); err != nil {
		return err
	}
	d.TriggeredAt, d.Order = t.Now, max(t.Now.UnixMicro(), last+1)
	_, err = t.exec(`INSERT INTO deployment (`+deploymentColumns+`) VALUES (`+list(1, 19)+`)`, d.ID, d.TargetID, d.TargetName, d.WorkflowID, d.PrevPipelineID, d.Promotion,
		d.PipelineID, d.TriggeredBy, d.Auto, d.RefType, d.RefLabel, parameters, d.Bookmarks[0], d.Bookmarks[1], d.Bookmarks[2], d.State, d.Message,
		d.Order, ms(d.TriggeredAt))
	return err
}

// DeploymentFilter narrows a history; empty fields do not. At most one of After and Before is set.
type DeploymentFilter struct {
	TargetID    string
	RefType     string
	RefLabel    string
	TriggeredBy string
	Bookmarks   [3]string
	After       int64 // newer than this order, the nearest ones
	Before      int64 // older than this order
	Limit       int   // default 10
}

// Deployments returns a part of a target's history, newest first.
func (t *Tx) Deployments(f DeploymentFilter) ([]*signalbox.Deployment, error) {
	if f.Limit <= 0 {
		f.Limit = 10
	}
	where, args := `target_id = $1`, []any{f.TargetID}
	narrow := func(column, value string) {
		if value != "" {
			args = append(args, value)
			where += fmt.Sprintf(` AND %s = $%d`, column, len(args))
		}
	}
	narrow("ref_type", f.RefType)
	narrow("ref_label", f.RefLabel)
	narrow("triggered_by", f.TriggeredBy)
	narrow("bookmark1", f.Bookmarks[0])
	narrow("bookmark2", f.Bookmarks[1])
	narrow("bookmark3", f.Bookmarks[2])
	order := "DESC"
	switch {
	case f.After > 0:
		args, order = append(args, f.After), "ASC"
		where += fmt.Sprintf(` AND ord > $%d`, len(args))
	case f.Before > 0:
		args = append(args, f.Before)
		where += fmt.Sprintf(` AND ord < $%d`, len(args))
	}
	args = append(args, f.Limit)
	out, err := many(t, "deployment", scanDeployment, `SELECT `+deploymentColumns+` FROM deployment WHERE `+where+
		fmt.Sprintf(` ORDER BY ord %s LIMIT $%d`, order, len(args)), args...)
	if order == "ASC" {
		slices.Reverse(out)
	}
	return out, err
}

// LastDeployments returns the newest deployment that was started of each target of a project that has one, by target id.
func (t *Tx) LastDeployments(projectID string) (map[string]*signalbox.Deployment, error) {
	all, err := many(t, "deployment", scanDeployment, `SELECT `+deploymentColumns+` FROM deployment WHERE state = 'STARTED'
		AND (target_id, ord) IN (SELECT x.id, (SELECT MAX(y.ord) FROM deployment y WHERE y.target_id = x.id AND y.state = 'STARTED')
			FROM deployment_target x WHERE x.project_id = $1 AND x.deleted_at = 0)`, projectID)
	out := map[string]*signalbox.Deployment{}
	for _, d := range all {
		out[d.TargetID] = d
	}
	return out, err
}
