package api

import (
	"net/http"
	"strconv"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// deploymentJSON describes one time that a target was asked. A promotion belongs to a pipeline here, and has no switch
// with an id of its own; clients that show one get the pipeline's.
func deploymentJSON(d *signalbox.Deployment) map[string]any {
	vars := []envVar{}
	for _, v := range d.Parameters {
		vars = append(vars, envVar{v.Name, v.Value})
	}
	return map[string]any{
		"id": d.ID, "target_id": d.TargetID, "target_name": d.TargetName, "prev_pipeline_id": d.PrevPipelineID, "pipeline_id": d.PipelineID,
		"triggered_by": d.TriggeredBy, "triggered_at": isoStamp(d.TriggeredAt), "state": string(d.State), "state_message": d.Message,
		"switch_id": d.PrevPipelineID, "env_vars": vars, "promotion": d.Promotion, "git_ref_type": refWord(d.RefType), "git_ref_label": d.RefLabel,
	}
}

// refWord is how clients call a kind of ref.
func refWord(refType string) string {
	if refType == "pull-request" {
		return "pr"
	}
	return refType
}

// deploymentPage is how many deployments one page has.
const deploymentPage = 10

// deploymentFilter reads what a history is narrowed by.
func deploymentFilter(tx *store.Tx, r *http.Request) (f store.DeploymentFilter, err error) {
	q := r.URL.Query()
	f = store.DeploymentFilter{
		RefType: q.Get("git_ref_type"), RefLabel: q.Get("git_ref_label"), TriggeredBy: q.Get("triggered_by"),
		Bookmarks: [3]string{q.Get("parameter1"), q.Get("parameter2"), q.Get("parameter3")}, Limit: deploymentPage + 1,
	}
	switch f.RefType {
	case "", "branch", "tag":
	case "pr":
		f.RefType = "pull-request"
	default:
		return f, signalbox.Errorf(signalbox.CodeInvalid, "git_ref_type %.40q is not known; use branch, tag or pr", f.RefType)
	}
	if signalbox.IsID(f.TriggeredBy) {
		if u, err := tx.User(f.TriggeredBy); err == nil {
			f.TriggeredBy = u.Name
		} else if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return f, err
		}
	}
	at, given := int64(0), q.Get("cursor_value")
	if given != "" {
		if at, err = strconv.ParseInt(given, 10, 64); err != nil || at < 0 {
			return f, signalbox.Errorf(signalbox.CodeInvalid, "cursor_value %.40q is not a number of microseconds", given)
		}
	}
	switch kind := q.Get("cursor_type"); {
	case kind == "" || kind == "FIRST":
	case kind != "AFTER" && kind != "BEFORE":
		return f, signalbox.Errorf(signalbox.CodeInvalid, "cursor_type %.40q is not known; use FIRST, AFTER or BEFORE", kind)
	case at == 0:
		return f, signalbox.Errorf(signalbox.CodeInvalid, "cursor_type %s needs a cursor_value", kind)
	case kind == "AFTER":
		f.After = at
	default:
		f.Before = at
	}
	return f, nil
}

// listDeployments answers with a page of a target's history, newest first. cursor_before continues with what is older, 0
// when there is nothing; cursor_after with what is newer, now or later.
func (a *API) listDeployments(w http.ResponseWriter, r *http.Request) error {
	out := []map[string]any{}
	var before, after int64
	if err := a.read(r, func(tx *store.Tx) error {
		d, err := findDeploymentTarget(tx, r)
		if err != nil {
			return err
		}
		f, err := deploymentFilter(tx, r)
		if err != nil {
			return err
		}
		f.TargetID = d.ID
		all, err := tx.Deployments(f)
		if err != nil {
			return err
		}
		more := len(all) > deploymentPage
		switch {
		case more && f.After > 0:
			all = all[1:] // the nearest ones count
		case more:
			all = all[:deploymentPage]
		}
		if len(all) > 0 {
			after = all[0].Order
			if more || f.After > 0 {
				before = all[len(all)-1].Order
			}
		}
		for _, one := range all {
			out = append(out, deploymentJSON(one))
		}
		return nil
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"deployments": out, "cursor_before": before, "cursor_after": after})
}
