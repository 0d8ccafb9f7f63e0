package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Starter starts what follows on other pipelines. by is a user's name, actor who it is written down as.
type Starter interface {
	Promote(ctx context.Context, pipelineID, name string, parameters []signalbox.EnvVar, override bool, by, actor string) (created string, err error)
	RerunPipeline(ctx context.Context, pipelineID, by, actor string) (created string, err error)
	RerunWorkflow(ctx context.Context, workflowID, by, actor string) (created string, err error)
	RerunJob(ctx context.Context, jobID, by, actor string) (workflow, created string, err error)
}

// promotionView is one promotion of a pipeline, and what became of it.
type promotionView struct {
	Name, File string
	How        string // when it happens by itself
	Target     string // the deployment target that lets it through
	Refused    string // why whoever looks may not promote, "" when they may
	There      *thereView
	Open       bool // the address asks for it
	Parameters []signalbox.Parameter
	Asked      []askedView // newest first
}

// thereView is what was deployed to a target last.
type thereView struct {
	SHA, Title, By, URL string
	Same                bool // it is the commit that would be deployed
	At                  *Moment
}

// ask opens the promotion that an address names, ?promote=NAME&param.X=VALUE, with its values filled in. Nothing is started by that, and
// a value that is not among a parameter's options is passed over.
func (v *pipelineView) ask(q url.Values) {
	for i := range v.Promotions {
		promo := &v.Promotions[i]
		if promo.Name != q.Get("promote") {
			continue
		}
		promo.Open = true
		promo.Parameters = slices.Clone(promo.Parameters)
		for k := range promo.Parameters {
			d := &promo.Parameters[k]
			if value := q.Get("param." + d.Name); value != "" && (len(d.Options) == 0 || slices.Contains(d.Options, value)) {
				d.Default = clip(value, 10_000)
			}
		}
	}
}

type askedView struct {
	By, URL, Problem string
	At               *Moment
}

const maxAsked = 10

func readPromotions(tx *store.Tx, p *signalbox.Pipeline) ([]promotionView, error) {
	if p.Plan == nil || len(p.Plan.Promotions) == 0 {
		return nil, nil
	}
	asked, err := tx.PromotionsOf(p.ID)
	if err != nil {
		return nil, err
	}
	var out []promotionView
	for _, promo := range p.Plan.Promotions {
		v := promotionView{Name: promo.Name, File: clip(promo.File, 120), Parameters: promo.Parameters, Target: promo.Target}
		if promo.Auto != nil {
			v.How = "automatic by auto_promote_on"
			if promo.Auto.When != "" {
				v.How = "automatic when " + clip(promo.Auto.When, 160)
			}
		}
		for _, a := range asked {
			if a.Name != promo.Name || len(v.Asked) == maxAsked {
				continue
			}
			one := askedView{By: clip(a.PromotedBy, 80), At: moment(a.CreatedAt, tx.Now), Problem: clip(a.Error, 300)}
			if a.CreatedPipelineID != "" {
				one.URL = workflowURL(p.WorkflowID, a.CreatedPipelineID)
			}
			v.Asked = append(v.Asked, one)
		}
		out = append(out, v)
	}
	return out, nil
}

func workflowURL(workflowID, pipelineID string) string {
	return "/workflows/" + url.PathEscape(workflowID) + "?pipeline_id=" + url.QueryEscape(pipelineID)
}

// parameterPrefix keeps the names of parameters apart from the form's own fields.
const parameterPrefix = "p."

func (w *Web) postPromote(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read: %w", err)
	}
	id, pipeline := r.PathValue("id"), r.PathValue("pipeline")
	var values []signalbox.EnvVar
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		values = nil
		p, err := tx.Pipeline(pipeline)
		if err != nil || p.WorkflowID != id || p.Plan == nil {
			return notFound("pipeline")
		}
		for _, promo := range p.Plan.Promotions {
			if promo.Name != r.PostForm.Get("name") {
				continue
			}
			for _, d := range promo.Parameters {
				// A field that was left empty was not filled in.
				if v := strings.ReplaceAll(r.PostForm.Get(parameterPrefix+d.Name), "\r\n", "\n"); v != "" {
					values = append(values, signalbox.EnvVar{Name: d.Name, Value: v})
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	created, err := w.o.Starter.Promote(r.Context(), pipeline, r.PostForm.Get("name"), values, r.PostForm.Get("override") == "true", who.User.Name, who.Name())
	if err != nil {
		return err
	}
	http.Redirect(rw, r, workflowURL(id, created), http.StatusSeeOther)
	return nil
}

func (w *Web) postPipelineRerun(rw http.ResponseWriter, r *http.Request) error {
	who := route.ActorFrom(r.Context())
	created, err := w.o.Starter.RerunPipeline(r.Context(), r.PathValue("pipeline"), who.User.Name, who.Name())
	if err != nil {
		return err
	}
	http.Redirect(rw, r, workflowURL(r.PathValue("id"), created), http.StatusSeeOther)
	return nil
}

func (w *Web) postWorkflowRerun(rw http.ResponseWriter, r *http.Request) error {
	who := route.ActorFrom(r.Context())
	created, err := w.o.Starter.RerunWorkflow(r.Context(), r.PathValue("id"), who.User.Name, who.Name())
	if err != nil {
		return err
	}
	http.Redirect(rw, r, "/workflows/"+url.PathEscape(created), http.StatusSeeOther)
	return nil
}

func (w *Web) postJobRerun(rw http.ResponseWriter, r *http.Request) error {
	who := route.ActorFrom(r.Context())
	workflow, created, err := w.o.Starter.RerunJob(r.Context(), r.PathValue("id"), who.User.Name, who.Name())
	if err != nil {
		return err
	}
	http.Redirect(rw, r, workflowURL(workflow, created), http.StatusSeeOther)
	return nil
}
