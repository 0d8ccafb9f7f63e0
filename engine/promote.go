package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
	"github.com/signalbox-ci/signalbox/store"
)

// PromoteRequest asks for a promotion by name.
type PromoteRequest struct {
	Name       string
	Parameters []signalbox.EnvVar
	Override   bool // although the pipeline has not passed
	Token      string
	By         string // a user's name
}

// maxPipelines is how many pipelines one workflow may have.
const maxPipelines = 1000

// Promote starts the pipeline that a promotion names, in the same workflow. A request that is refused is CodeInvalid; what
// a deployment target refuses is kept, in its history and in the pipeline's list of promotions. The same token gives the
// same answer.
func (e *Engine) Promote(tx *store.Tx, pipelineID string, r PromoteRequest, actor string) (*signalbox.Promotion, error) {
	p, err := e.promote(tx, pipelineID, r, false, actor)
	if err == nil && p.Error != "" {
		return nil, store.Keep(signalbox.Errorf(signalbox.CodeInvalid, "%s", p.Error))
	}
	return p, err
}

// promote is Promote for people and conditions. The promotion has an error when a deployment target refuses it.
func (e *Engine) promote(tx *store.Tx, pipelineID string, r PromoteRequest, auto bool, actor string) (*signalbox.Promotion, error) {
	p, err := tx.LockPipeline(pipelineID)
	if err != nil {
		return nil, err
	}
	promo := p.Plan.Promotion(r.Name)
	if promo == nil {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "pipeline %s has no promotion %.100q%s", p.ID, r.Name, promotionNames(p.Plan))
	}
	if r.Token == "" {
		r.Token = signalbox.NewID()
	}
	asked := &signalbox.Promotion{
		PipelineID: p.ID, Name: r.Name, Token: r.Token, Auto: auto, Override: r.Override, PromotedBy: r.By,
	}
	if !auto && p.Result != signalbox.ResultPassed && !r.Override {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "Triggering target when pipeline is not passed requires override confirmation.")
	}
	w, err := tx.Workflow(p.WorkflowID)
	if err != nil {
		return nil, err
	}
	var d *deployment
	if promo.Target != "" {
		if d, err = askByName(tx, p.ProjectID, promo.Target, auto, r.By, w); err != nil {
			return nil, err
		}
		if d.refusal != "" {
			asked.Parameters, asked.Error = keptParameters(promo.Parameters, r.Parameters), d.text()
			return keepPromotion(tx, asked, d, w, actor)
		}
	}
	if asked.Parameters, err = parameters(promo.Parameters, r.Parameters, auto); err != nil {
		return nil, err
	}
	others, err := tx.PipelinesOf(p.WorkflowID)
	if err != nil {
		return nil, err
	}
	if len(others) >= maxPipelines {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "The limit of %d pipelines in same workflow reached.", maxPipelines)
	}
	asked.CreatedPipelineID = signalbox.NewID()
	id := asked.CreatedPipelineID
	if asked, err = keepPromotion(tx, asked, d, w, actor); err != nil || asked.CreatedPipelineID != id {
		return asked, err
	}
	next := &signalbox.Pipeline{
		ID: id, WorkflowID: p.WorkflowID, ProjectID: p.ProjectID, File: promo.File,
		Origin: signalbox.Origin{
			PromotedFrom: p.ID, Promotion: promo.Name, PromotedBy: r.By, Parameters: asked.Parameters,
			Ancestors: append(slices.Clone(p.Origin.Ancestors), p.ArtefactID),
		},
	}
	if d != nil {
		next.Origin.TargetID = d.target.ID
	}
	_, err = announce(tx, next, w, actor)
	return asked, err
}

// keepPromotion stores a request with the answer of its deployment target, nil for none. It returns the request of before
// when its token was used before.
func keepPromotion(tx *store.Tx, asked *signalbox.Promotion, d *deployment, w *signalbox.Workflow, actor string) (*signalbox.Promotion, error) {
	kept, isNew, err := tx.CreatePromotion(asked, actor)
	if err != nil || !isNew || d == nil {
		return kept, err
	}
	return kept, d.record(tx, asked.PipelineID, kept, kept.Name, w)
}

func promotionNames(p *signalbox.Plan) string {
	if p == nil || len(p.Promotions) == 0 {
		return "; it has none"
	}
	var names []string
	for _, promo := range p.Promotions {
		names = append(names, fmt.Sprintf("%q", promo.Name))
	}
	return "; it has " + strings.Join(names, ", ")
}

// parameters checks the values that were given and adds the defaults of the others. Whoever promotes automatically can
// be asked for nothing.
func parameters(defined []signalbox.Parameter, given []signalbox.EnvVar, auto bool) ([]signalbox.EnvVar, error) {
	values := map[string]string{}
	for _, v := range given {
		i := slices.IndexFunc(defined, func(d signalbox.Parameter) bool { return d.Name == v.Name })
		if i < 0 {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%.100s' is not defined in promotion's yml definition.", v.Name)
		}
		if d := defined[i]; len(d.Options) > 0 && !slices.Contains(d.Options, v.Value) && v.Value != d.Default {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Value '%.100s' of parameter '%s' is not one of predefined options.", v.Value, v.Name)
		}
		values[v.Name] = v.Value
	}
	var out []signalbox.EnvVar
	for _, d := range defined {
		v, ok := values[d.Name]
		switch {
		case ok:
		case d.Default != "":
			v = d.Default
		case d.Optional || auto:
			continue
		default:
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Missing value for required parameter '%s'.", d.Name)
		}
		out = append(out, signalbox.EnvVar{Name: d.Name, Value: v})
	}
	return out, nil
}

// autoPromote starts what the promotions of a pipeline that is done start by themselves.
func (e *Engine) autoPromote(tx *store.Tx, p *signalbox.Pipeline) error {
	if p.Plan == nil || !slices.ContainsFunc(p.Plan.Promotions, func(promo signalbox.PlanPromotion) bool { return promo.Auto != nil }) {
		return nil
	}
	w, err := tx.Workflow(p.WorkflowID)
	if err != nil {
		return err
	}
	for _, promo := range p.Plan.Promotions {
		yes, _, err := AutoPromotes(promo, w, p.Result, p.Reason)
		if err == nil && !yes {
			continue
		}
		if err == nil {
			_, err = e.promote(tx, p.ID, PromoteRequest{Name: promo.Name, Token: "auto:" + promo.Name, By: signalbox.AutoPromotion}, true, Actor)
		}
		if err == nil {
			continue
		}
		if code := signalbox.ErrorCode(err); code != signalbox.CodeInvalid && code != signalbox.CodeForbidden {
			return err
		}
		// Its pipeline is done all the same; the refusal stands beside it.
		if _, _, err := tx.CreatePromotion(&signalbox.Promotion{
			PipelineID: p.ID, Name: promo.Name, Token: "auto:" + promo.Name, Auto: true, PromotedBy: signalbox.AutoPromotion, Error: signalbox.ErrorMessage(err),
		}, Actor); err != nil {
			return err
		}
	}
	return nil
}

// AutoPromotes tells whether a promotion happens by itself after a pipeline with this end, and why.
func AutoPromotes(promo signalbox.PlanPromotion, w *signalbox.Workflow, result signalbox.Result, reason signalbox.Reason) (yes bool, why string, err error) {
	if promo.Auto == nil {
		return false, "it is started by hand only", nil
	}
	for _, on := range promo.Auto.On {
		if autoOn(on, w, result, reason.Compatible()) {
			return true, "a rule of auto_promote_on holds", nil
		}
	}
	if promo.Auto.When == "" {
		return false, "no rule of auto_promote_on holds", nil
	}
	out, err := evaluate(promo.Auto, w, result, reason.Compatible())
	if err != nil {
		return false, "", signalbox.Errorf(signalbox.CodeInvalid, "the condition of the promotion %q cannot be decided: %v", promo.Name, err)
	}
	text, err := json.Marshal(out.Term)
	return out.Value, string(text), err
}

func autoOn(on signalbox.AutoOn, w *signalbox.Workflow, result signalbox.Result, reason signalbox.Reason) bool {
	if on.Result != result || on.Reason != "" && on.Reason != reason {
		return false
	}
	if len(on.Labels) > 0 && !slices.Contains(on.Labels, w.Label) {
		return false
	}
	return len(on.Patterns) == 0 || slices.ContainsFunc(on.Patterns, func(p string) bool { return when.Matches(p, w.BranchName) })
}

func evaluate(rule *signalbox.AutoRule, w *signalbox.Workflow, result signalbox.Result, reason signalbox.Reason) (when.Outcome, error) {
	e, err := when.Parse(rule.When)
	if err != nil {
		return when.Outcome{}, err
	}
	n := 0
	return when.Evaluate(e, when.Inputs{
		Keywords: keywords(w, result, reason),
		Call: func(*when.Call) (bool, string, error) {
			if n >= len(rule.Calls) {
				return false, "", fmt.Errorf("its functions were not decided when the file was read")
			}
			c := rule.Calls[n]
			n++
			return c.Value, c.Why, nil
		},
	})
}

// keywords are the values that conditions ask for: of branch, tag and pull_request one at most is not empty.
func keywords(w *signalbox.Workflow, result signalbox.Result, reason signalbox.Reason) map[string]string {
	k := map[string]string{"branch": "", "tag": "", "pull_request": "", "result": string(result), "result_reason": string(reason)}
	switch w.RefType {
	case "tag":
		k["tag"] = w.Label
	case "pull-request":
		k["pull_request"] = w.Label
	default:
		k["branch"] = w.BranchName
	}
	return k
}
