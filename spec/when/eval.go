package when

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Inputs are what a condition may ask for.
type Inputs struct {
	// Keywords are the values of branch, tag, pull_request, result and result_reason. One that is absent is an error
	// when a condition uses it; one that is empty matches no pattern.
	Keywords map[string]string
	// Call answers a function: its value, and in one sentence why. With nil no function exists.
	Call func(c *Call) (value bool, why string, err error)
}

// Outcome is the value of a condition and how it came about.
type Outcome struct {
	Value bool
	Term  Term
}

// EvaluationError says why a condition has no value.
type EvaluationError struct {
	Offset  int    // in bytes from the start of the text
	Code    string // the text existing clients know, "" when there is none
	Message string // what is wrong
	Hint    string // what to do, "" when there is no good guess
	Err     error  // the cause, when there is one
}

func (e *EvaluationError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

func (e *EvaluationError) Unwrap() error { return e.Err }

// functions are those that exist, with the smallest and the largest number of parameters.
var functions = map[string][2]int{"change_in": {1, 2}}

// Evaluate returns the value of a condition. Everything it asks for is looked up, whether or not it can change the
// value, in the order of the text; an error is an *EvaluationError about the first thing that is missing.
func Evaluate(e Expr, in Inputs) (Outcome, error) {
	for _, n := range Needs(e) {
		if err := available(n, in); err != nil {
			return Outcome{}, err
		}
	}
	ev := &evaluator{in: in}
	p := newPrinter(e)
	p.spans = map[Expr][2]int{}
	p.expr(e, 0)
	ev.text, ev.spans = p.b.String(), p.spans
	t, err := ev.term(e)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Value: truth(t.Value), Term: t}, nil
}

// Needs lists the keywords and calls of a condition in the order of its text.
func Needs(e Expr) []Expr {
	var out []Expr
	walk(e, func(e Expr) {
		switch e.(type) {
		case *Keyword, *Call:
			out = append(out, e)
		}
	})
	return out
}

// walk calls fn with every node but the parameters of calls. A chain leans to the left and may be thousands long, so
// it is walked in a loop.
func walk(e Expr, fn func(Expr)) {
	var rights []*Logic
	for {
		l, ok := e.(*Logic)
		if !ok {
			break
		}
		rights, e = append(rights, l), l.Left
	}
	switch x := e.(type) {
	case *Group:
		walk(x.Inner, fn)
	case *Compare:
		walk(x.Left, fn)
		walk(x.Right, fn)
	}
	fn(e)
	for i := len(rights) - 1; i >= 0; i-- {
		fn(rights[i])
		walk(rights[i].Right, fn)
	}
}

func available(n Expr, in Inputs) error {
	switch n := n.(type) {
	case *Keyword:
		if _, ok := in.Keywords[n.Name]; !ok {
			e := &EvaluationError{Offset: n.Offset, Code: missingKeyword(n.Name), Message: fmt.Sprintf("%q has no value here", n.Name)}
			if strings.HasPrefix(n.Name, "result") {
				e.Hint = "it is known only when the pipeline is done, so use it under auto_promote"
			}
			return e
		}
	case *Call:
		if f := checkCall(n); f != nil {
			return &EvaluationError{Offset: f.Offset, Code: f.Code, Message: f.Message}
		}
		if in.Call == nil {
			return &EvaluationError{
				Offset: n.Offset, Code: missingFunction(n.Name),
				Message: "the function " + short(n.Name) + " cannot be asked here",
			}
		}
	}
	return nil
}

type evaluator struct {
	in    Inputs
	text  string          // the whole condition in normal form
	spans map[Expr][2]int // where each node stands in it
}

func (ev *evaluator) term(e Expr) (Term, error) {
	var value any
	t := Term{}
	if at, ok := ev.spans[e]; ok {
		t.Text = cut(ev.text[at[0]:at[1]], maxTermText)
	}
	switch e := e.(type) {
	case *Group:
		return ev.term(e.Inner)
	case *Logic:
		return ev.chain(e, t)
	case *Compare:
		return ev.compare(e, t)
	case *Call:
		v, why, err := ev.in.Call(e)
		if err != nil {
			var known *EvaluationError
			if !errors.As(err, &known) {
				err = &EvaluationError{Offset: e.Offset, Message: "cannot tell what " + short(e.Name) + " says: " + err.Error(), Err: err}
			}
			return Term{}, err
		}
		value, t.Why = v, why
	case *Keyword:
		value = ev.in.Keywords[e.Name]
	default:
		value = constant(e)
	}
	t.Value = value
	return t, nil
}

// chain evaluates operands joined by "and" and "or" from left to right, whatever the operators are.
func (ev *evaluator) chain(e *Logic, t Term) (Term, error) {
	operands, ops := unchain(e)
	value := false
	for i, o := range operands {
		part, err := ev.term(o)
		if err != nil {
			return Term{}, err
		}
		switch {
		case i == 0:
			value = truth(part.Value)
		case ops[i-1] == "and":
			value = truth(part.Value) && value
		default:
			value = truth(part.Value) || value
		}
		if i > 0 {
			part.Op = ops[i-1]
		}
		t.Terms = append(t.Terms, part)
	}
	t.Value = value
	return t, nil
}

// unchain returns the operands of a chain and the operators between them.
func unchain(e *Logic) (operands []Expr, ops []string) {
	var chain []*Logic
	var first Expr = e
	for {
		l, ok := first.(*Logic)
		if !ok {
			break
		}
		chain, first = append(chain, l), l.Left
	}
	operands = append(operands, first)
	for i := len(chain) - 1; i >= 0; i-- {
		operands, ops = append(operands, chain[i].Right), append(ops, chain[i].Op)
	}
	return operands, ops
}

func (ev *evaluator) compare(e *Compare, t Term) (Term, error) {
	left, err := ev.term(e.Left)
	if err != nil {
		return Term{}, err
	}
	right, err := ev.term(e.Right)
	if err != nil {
		return Term{}, err
	}
	value, err := compareValues(e, left.Value, right.Value)
	if err != nil {
		return Term{}, err
	}
	t.Value = value
	var why []string
	for _, side := range []struct {
		e Expr
		t Term
	}{{e.Left, left}, {e.Right, right}} {
		switch x := side.e.(type) {
		case *Keyword:
			why = append(why, x.Name+" is "+shown(side.t.Value.(string)))
		case *Literal, *List, *Map:
		default:
			t.Terms = append(t.Terms, side.t)
		}
	}
	t.Why = strings.Join(why, " and ")
	return t, nil
}

func shown(s string) string {
	if s == "" {
		return "empty"
	}
	return "'" + cut(s, maxTermText) + "'"
}

func compareValues(e *Compare, left, right any) (bool, error) {
	switch e.Op {
	case "=":
		return reflect.DeepEqual(left, right), nil
	case "!=":
		return !reflect.DeepEqual(left, right), nil
	}
	subject, ok1 := left.(string)
	pattern, ok2 := right.(string)
	if !ok1 || !ok2 {
		return false, &EvaluationError{
			Offset: e.Offset, Message: fmt.Sprintf("%q matches a text with a pattern, but here is something else", e.Op),
			Hint: "compare with = or !=",
		}
	}
	m, why := compilePattern(pattern)
	if m == nil {
		return false, &EvaluationError{Offset: e.Right.Pos(), Message: "the pattern " + short(pattern) + " is not valid: " + why}
	}
	matched := false
	if subject != "" { // an empty value never matches, not even '.*'
		var err error
		if matched, err = m(subject); err != nil {
			return false, &EvaluationError{Offset: e.Right.Pos(), Message: "the pattern " + short(pattern) + " cannot be used: " + err.Error(), Err: err}
		}
	}
	return matched == (e.Op == "=~"), nil
}

// constant returns the value of a literal, list or map.
func constant(e Expr) any {
	switch e := e.(type) {
	case *Literal:
		return e.Value
	case *List:
		out := make([]any, len(e.Items))
		for i, it := range e.Items {
			out[i] = constant(it)
		}
		return out
	case *Map:
		out := make(map[string]any, len(e.Entries))
		for _, en := range e.Entries {
			out[en.Key] = constant(en.Value)
		}
		return out
	}
	return nil
}

// truth tells what a value means as an operand of "and" and "or", and as a whole condition.
func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v != "false"
	case int64:
		return v >= 0
	case float64:
		return v >= 0
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}

// Reduce puts in the values that are known already: calls where in.Call is given, keywords where they are. What
// follows from them alone becomes true or false; the rest stays for a later evaluation, which gives the same value.
func Reduce(e Expr, in Inputs) (Expr, error) {
	switch x := e.(type) {
	case *Group:
		inner, err := Reduce(x.Inner, in)
		return &Group{Inner: inner, Offset: x.Offset}, err
	case *Logic:
		operands, ops := unchain(x)
		var out Expr
		for i, o := range operands {
			part, err := Reduce(o, in)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				out = part
			} else {
				out = &Logic{Op: ops[i-1], Left: out, Right: part, Offset: o.Pos()}
			}
		}
		return out, nil
	case *Compare, *Call:
		return reduceTerm(e, in)
	}
	return e, nil
}

// reduceTerm evaluates a call, or a comparison all of whose parts are known, and leaves any other as it is: a comparison
// of a boolean with an expression cannot be written down.
func reduceTerm(e Expr, in Inputs) (Expr, error) {
	needs := Needs(e)
	for _, n := range needs {
		switch n := n.(type) {
		case *Keyword:
			if _, ok := in.Keywords[n.Name]; !ok {
				return e, nil
			}
		case *Call:
			if in.Call == nil {
				return e, nil
			}
		}
	}
	if len(needs) == 0 {
		return e, nil
	}
	out, err := Evaluate(e, in)
	if err != nil {
		return nil, err
	}
	return &Literal{Value: out.Value, Offset: e.Pos()}, nil
}
