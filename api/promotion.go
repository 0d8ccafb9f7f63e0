package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

func promotion(p *signalbox.Promotion) map[string]any {
	status := "passed"
	if p.Error != "" {
		status = "failed"
	}
	return map[string]any{
		"name": p.Name, "triggered_at": seconds(p.CreatedAt), "triggered_by": p.PromotedBy, "override": p.Override, "status": status,
		"scheduled_at": seconds(p.CreatedAt), "scheduled_pipeline_id": p.CreatedPipelineID, "error_response": p.Error,
	}
}

func (a *API) listPromotions(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	out := []map[string]any{}
	pg, more := pageOf(r), false
	if err := a.read(r, func(tx *store.Tx) error {
		from, err := tx.Pipeline(q.Get("pipeline_id"))
		if err != nil {
			return err
		}
		all, err := tx.PromotionsOf(q.Get("pipeline_id"))
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(p *signalbox.Promotion) bool {
			return p.Name == "" || q.Get("name") != "" && q.Get("name") != p.Name // a repeat is no promotion
		})
		first, end := min(pg.offset, len(all)), min(pg.offset+pg.limit, len(all))
		more = end < len(all)
		for _, p := range all[first:end] {
			b := promotion(p)
			if promo := from.Plan.Promotion(p.Name); promo != nil && promo.Target != "" {
				b["deployment_target"] = promo.Target
			}
			out = append(out, b)
		}
		return nil
	}); err != nil {
		return err
	}
	a.link(w, r, pg, more)
	return write(w, out)
}

// promote takes every key that it does not know as a parameter of the promotion.
func (a *API) promote(w http.ResponseWriter, r *http.Request) error {
	body := map[string]any{}
	if err := readForm(w, r, &body); err != nil {
		return err
	}
	text := func(key string) (string, error) {
		v := body[key]
		delete(body, key)
		return plainText(key, v)
	}
	ask := engine.PromoteRequest{By: route.ActorFrom(r.Context()).User.Name}
	var pipeline, override string
	for key, to := range map[string]*string{"pipeline_id": &pipeline, "name": &ask.Name, "override": &override, "request_token": &ask.Token} {
		v, err := text(key)
		if err != nil {
			return err
		}
		*to = v
	}
	ask.Override = override == "true"
	for _, key := range slices.Sorted(maps.Keys(body)) {
		v, err := text(key)
		if err != nil {
			return err
		}
		ask.Parameters = append(ask.Parameters, signalbox.EnvVar{Name: key, Value: v})
	}
	if pipeline == "" || ask.Name == "" {
		return signalbox.Errorf(signalbox.CodeInvalid, "name the pipeline and its promotion: pipeline_id and name")
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		_, err := a.Engine.Promote(tx, pipeline, ask, actor(r))
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound { // clients take a missing promotion for a refused one
			return signalbox.Errorf(signalbox.CodeInvalid, "%s", signalbox.ErrorMessage(err))
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, "Promotion successfully triggered.")
}

// rerunPipeline repeats what did not pass.
func (a *API) rerunPipeline(w http.ResponseWriter, r *http.Request) error {
	token, err := requestToken(w, r)
	if err != nil {
		return err
	}
	var p *signalbox.Pipeline
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		p, err = a.Engine.Rerun(tx, r.PathValue("pipeline"), token, route.ActorFrom(r.Context()).User.Name, actor(r))
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]string{"message": "", "pipeline_id": p.ID})
}

// rerunJob repeats one job.
func (a *API) rerunJob(w http.ResponseWriter, r *http.Request) error {
	token, err := requestToken(w, r)
	if err != nil {
		return err
	}
	var p *signalbox.Pipeline
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		p, err = a.Engine.RerunJob(tx, r.PathValue("job"), token, route.ActorFrom(r.Context()).User.Name, actor(r))
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]string{"message": "", "pipeline_id": p.ID})
}

// rerunWorkflow repeats all of it, as a workflow of its own.
func (a *API) rerunWorkflow(w http.ResponseWriter, r *http.Request) error {
	token, err := requestToken(w, r)
	if err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	wf, p, err := a.Trigger.Rerun(r.Context(), r.PathValue("workflow"), token, who.User.Name, who.Name())
	if err != nil {
		return err
	}
	return write(w, map[string]string{"wf_id": wf.ID, "ppl_id": p.ID})
}

func requestToken(w http.ResponseWriter, r *http.Request) (string, error) {
	var b struct {
		Token string `json:"request_token"`
	}
	if err := readForm(w, r, &b); err != nil {
		return "", err
	}
	if b.Token == "" {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Missing required post parameter request_token.")
	}
	return b.Token, nil
}

// explainPipeline answers with the plan: what runs, what does not, and why.
func (a *API) explainPipeline(w http.ResponseWriter, r *http.Request) error {
	var p *signalbox.Pipeline
	if err := a.read(r, func(tx *store.Tx) (err error) { p, err = tx.Pipeline(r.PathValue("pipeline")); return err }); err != nil {
		return err
	}
	plan := json.RawMessage("null")
	if p.Plan != nil {
		b, err := json.Marshal(p.Plan)
		if err != nil {
			return err
		}
		plan = b
	}
	return write(w, map[string]any{"pipeline_id": p.ID, "error_description": p.ErrorDescription, "plan": plan})
}
