package spec

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// maxConditionText bounds how much of a condition a plan repeats, in bytes.
const maxConditionText = 1000

// holds decides the condition under "when" of v. One that is absent does not hold.
func (c *compiler) holds(v *value) bool {
	w := v.get("when")
	if w == nil {
		return false
	}
	if w.kind == boolean {
		c.plan.Conditions = append(c.plan.Conditions, signalbox.Condition{Path: w.path(), Line: w.at.line, Text: w.text, Value: w.bool()})
		return w.bool()
	}
	out, ok := c.evaluate(w)
	if !ok {
		return false
	}
	why, err := json.Marshal(out.Term)
	if err != nil {
		why = nil
	}
	c.plan.Conditions = append(c.plan.Conditions, signalbox.Condition{
		Path: w.path(), Line: w.at.line, Text: cut(w.text, maxConditionText), Value: out.Value, Why: why,
	})
	return out.Value
}

// evaluate gives a condition its value; a problem is about w.
func (c *compiler) evaluate(w *value) (when.Outcome, bool) {
	e, err := when.Parse(w.text)
	if err != nil {
		return when.Outcome{}, false // said by the check
	}
	out, err := when.Evaluate(e, when.Inputs{
		Keywords: map[string]string{"branch": c.build.Branch, "tag": c.build.Tag, "pull_request": c.build.PullRequest},
		Call:     func(call *when.Call) (bool, string, error) { return c.call(call, false) },
	})
	if err != nil {
		c.undecided(w, err)
		return when.Outcome{}, false
	}
	return out, true
}

func (c *compiler) call(call *when.Call, promotion bool) (bool, string, error) {
	if c.build.Call == nil {
		return false, "", errors.New("there is no repository to ask")
	}
	return c.build.Call(call, promotion)
}

// undecided reports why a condition has no value.
func (c *compiler) undecided(w *value, err error) {
	at, code := w.at, ""
	var e *when.EvaluationError
	if errors.As(err, &e) {
		at, _ = c.inText(w, min(e.Offset, len(w.text)))
		if code = e.Code; code != "" {
			code = "Invalid 'when' condition on path '" + w.path() + "': " + code
		}
	}
	c.problem(SeverityError, at, w.path(), code, "%s", err.Error())
}

// skip says in a sentence why a block is not to run, "" when it is.
func (c *compiler) skip(b *value) string {
	place := func(v *value) string { return " (line " + strconv.Itoa(v.get("when").at.line) + ")" }
	switch run, skip := b.get("run"), b.get("skip"); {
	case skip != nil && c.holds(skip):
		return "its skip condition holds" + place(skip)
	case run != nil && !c.holds(run):
		return "its run condition does not hold" + place(run)
	}
	return c.filtered(b.list("filters"))
}

// filtered is the older form of skip: the first filter that matches decides, and without one the block runs.
func (c *compiler) filtered(filters []*value) string {
	label := c.build.Branch
	if label == "" {
		label = c.build.Tag
	}
	for _, f := range filters {
		matches := f.get("label") != nil && f.string("label") == label
		if p := f.get("label_pattern"); p != nil {
			matches = when.Matches(p.text, label)
		}
		if !matches {
			continue
		}
		if f.string("action") == "execute" {
			return ""
		}
		return "a filter skips it (line " + strconv.Itoa(f.at.line) + ")"
	}
	return ""
}

func (c *compiler) promotion(v *value) signalbox.PlanPromotion {
	p := signalbox.PlanPromotion{Name: v.string("name"), File: Resolve(c.file, v.string("pipeline_file")), Target: v.string("deployment_target"), Auto: c.autoRule(v)}
	if t := v.get("deployment_target"); t != nil && c.build.Target != nil && !c.build.Target(p.Target) {
		c.wrong(t, "Invalid parameter: '"+p.Target+"' deployment target not found",
			"the project has no deployment target named %s; make it with \"signalbox deployment-target create\", or name one that it has", quote(p.Target))
	}
	for _, it := range v.get("parameters").list("env_vars") {
		param := signalbox.Parameter{Name: it.string("name"), Description: it.string("description"), Default: it.string("default_value")}
		if r := it.get("required"); r != nil {
			param.Optional = !r.bool()
		}
		for _, o := range it.list("options") {
			param.Options = append(param.Options, o.text)
		}
		p.Parameters = append(p.Parameters, param)
	}
	return p
}

// autoRule keeps the condition of a promotion for the end of the pipeline. What the repository says about it is asked
// now.
func (c *compiler) autoRule(v *value) *signalbox.AutoRule {
	on := v.list("auto_promote_on")
	w := v.get("auto_promote").get("when")
	if w == nil && len(on) == 0 {
		return nil
	}
	r := &signalbox.AutoRule{}
	for _, it := range on {
		rule := signalbox.AutoOn{Result: signalbox.Result(it.string("result")), Reason: signalbox.Reason(it.string("result_reason"))}
		for _, l := range it.list("labels") {
			rule.Labels = append(rule.Labels, l.text)
		}
		for _, p := range slices.Concat(it.list("branch"), it.list("label_patterns")) {
			rule.Patterns = append(rule.Patterns, p.text)
		}
		r.On = append(r.On, rule)
	}
	if w == nil {
		return r
	}
	r.When, r.Path = w.text, w.path()
	e, err := when.Parse(w.text)
	if err != nil {
		return r
	}
	for _, n := range when.Needs(e) {
		call, ok := n.(*when.Call)
		if !ok {
			continue
		}
		value, why, err := c.call(call, true)
		if err != nil {
			var known *when.EvaluationError
			if !errors.As(err, &known) {
				err = &when.EvaluationError{Offset: call.Offset, Message: err.Error()}
			}
			c.undecided(w, err)
			return r
		}
		r.Calls = append(r.Calls, signalbox.CallResult{Value: value, Why: why})
	}
	return r
}
