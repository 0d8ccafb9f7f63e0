package when

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError says why a text is no condition.
type SyntaxError struct {
	Offset  int    // in bytes from the start of the text
	Code    string // the text existing clients know
	Message string // what is wrong
	Hint    string // what to do, "" when there is no good guess
}

func (e *SyntaxError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// maxDepth bounds parentheses, nested lists and chained function comparisons.
const maxDepth = 200

// Parse reads one condition. The error is a *SyntaxError.
func Parse(text string) (Expr, error) {
	tokens, lexErr := lex(text)
	if lexErr != nil {
		return nil, lexErr
	}
	p := &parser{text: text, tokens: tokens}
	e := p.expression()
	if p.err == nil && p.peek().kind != kindEnd {
		p.fail()
	}
	if p.err != nil {
		return nil, p.err
	}
	return e, nil
}

type parser struct {
	text   string
	tokens []token
	at     int
	depth  int
	err    *SyntaxError
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != kindEnd {
		p.at++
	}
	return t
}

// punct takes the next token when it is s.
func (p *parser) punct(s string) bool {
	if t := p.peek(); t.kind == kindPunct && t.text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if p.err == nil && !p.punct(s) {
		p.fail()
	}
}

// nest counts one level down; it fails when the condition is nested too deeply.
func (p *parser) nest() bool {
	p.depth++
	if p.depth > maxDepth && p.err == nil {
		p.err = &SyntaxError{
			Offset:  p.peek().offset,
			Message: "the condition is nested more than " + strconv.Itoa(maxDepth) + " levels deep",
			Hint:    "write it flatter",
		}
	}
	return p.err == nil
}

func (p *parser) expression() Expr {
	defer func(d int) { p.depth = d }(p.depth)
	if !p.nest() {
		return nil
	}
	left := p.term()
	for p.err == nil && p.peek().kind == kindBool {
		op := p.take()
		left = &Logic{Op: strings.ToLower(op.text), Left: left, Right: p.term(), Offset: op.offset}
	}
	return left
}

func (p *parser) term() Expr {
	defer func(d int) { p.depth = d }(p.depth)
	if !p.nest() {
		return nil
	}
	t := p.peek()
	switch {
	case p.punct("("):
		inner := p.expression()
		p.want(")")
		return &Group{Inner: inner, Offset: t.offset}
	case t.kind == kindKeyword:
		left := p.keyword()
		op := p.operator()
		if p.err == nil && p.peek().kind != kindString {
			p.fail()
		}
		return p.compare(left, op)
	case t.kind == kindString:
		left := p.basic()
		if p.peek().kind != kindOperator {
			return left
		}
		op := p.take()
		if p.peek().kind == kindKeyword {
			return &Compare{Op: op.text, Left: left, Right: p.keyword(), Offset: op.offset}
		}
		if p.peek().kind != kindString {
			p.fail()
		}
		return p.compare(left, op)
	case t.kind == kindIdentifier:
		call := p.call()
		if p.err != nil || p.peek().kind != kindOperator {
			return call
		}
		op := p.take()
		return &Compare{Op: op.text, Left: call, Right: p.term(), Offset: op.offset}
	}
	return p.basic()
}

// compare reads the text on the right of op.
func (p *parser) compare(left Expr, op token) Expr {
	return &Compare{Op: op.text, Left: left, Right: p.basic(), Offset: op.offset}
}

func (p *parser) operator() token {
	if p.peek().kind != kindOperator {
		p.fail()
	}
	return p.take()
}

func (p *parser) keyword() Expr {
	t := p.take()
	return &Keyword{Name: strings.ToLower(t.text), Offset: t.offset}
}

func (p *parser) call() Expr {
	t := p.take()
	c := &Call{Name: t.text, Offset: t.offset}
	p.want("(")
	if p.err == nil && !p.punct(")") {
		c.Params = p.params()
		p.want(")")
	}
	return c
}

func (p *parser) params() []Expr {
	out := []Expr{p.basic()}
	for p.err == nil && p.punct(",") {
		out = append(out, p.basic())
	}
	return out
}

func (p *parser) basic() Expr {
	defer func(d int) { p.depth = d }(p.depth)
	if !p.nest() {
		return nil
	}
	t := p.peek()
	switch {
	case t.kind == kindString:
		return &Literal{Value: p.take().text, Offset: t.offset}
	case t.kind == kindBoolean:
		return &Literal{Value: strings.EqualFold(p.take().text, "true"), Offset: t.offset}
	case t.kind == kindInteger:
		// A number that does not fit is capped: only its sign ever counts.
		n, _ := strconv.ParseInt(p.take().text, 10, 64)
		return &Literal{Value: n, Offset: t.offset}
	case t.kind == kindFloat:
		f, _ := strconv.ParseFloat(p.take().text, 64)
		f = max(-math.MaxFloat64, min(math.MaxFloat64, f))
		return &Literal{Value: f, Offset: t.offset}
	case p.punct("["):
		l := &List{Offset: t.offset}
		if !p.punct("]") {
			l.Items = p.params()
			p.want("]")
		}
		return l
	case p.punct("{"):
		return p.mapping(t.offset)
	}
	p.fail()
	return nil
}

func (p *parser) mapping(offset int) Expr {
	m := &Map{Offset: offset}
	if p.punct("}") {
		return m
	}
	for p.err == nil {
		k := p.peek()
		if k.kind != kindMapKey {
			p.fail()
			return m
		}
		p.take()
		m.Entries = append(m.Entries, Entry{Key: k.text, Value: p.basic(), Offset: k.offset})
		if p.err != nil || !p.punct(",") {
			break
		}
	}
	p.want("}")
	return m
}

// fail records that the next token cannot stand where it does. Only the first failure counts.
func (p *parser) fail() {
	if p.err != nil {
		return
	}
	t := p.peek()
	e := &SyntaxError{Offset: t.offset, Hint: p.hint(t)}
	line := "Syntax error on line " + lineOf(p.text, t.offset) + " - "
	switch {
	case t.kind == kindEnd:
		e.Code = line + "Invalid or incomplete expression at the end of the line."
		e.Message = "the condition ends too early"
	case t.kind == kindOperator || t.kind == kindBool || t.kind == kindKeyword:
		e.Code = line + "Invalid expression on the left of '" + t.text + "' operator."
		e.Message = "the condition makes no sense before " + short(t.text)
	default:
		shown := t.text
		e.Code = line + "Invalid expression on the left of '" + shown + "'."
		e.Message = "the condition makes no sense before " + short(shown)
	}
	p.err = e
}

// hint guesses what the writer meant from the token that does not fit and the one before it.
func (p *parser) hint(t token) string {
	var before token
	if p.at > 0 {
		before = p.tokens[p.at-1]
	}
	open, closed := 0, 0
	for _, x := range p.tokens[:p.at] {
		switch {
		case x.kind == kindPunct && x.text == "(":
			open++
		case x.kind == kindPunct && x.text == ")":
			closed++
		}
	}
	switch {
	case t.kind == kindEnd && p.at == 0:
		return "write something like branch = 'main'"
	case t.kind == kindOperator && t.text == "=" && before.kind == kindOperator && before.text == "=":
		return `compare with a single "="`
	case t.kind == kindPunct && t.text == ")" && p.unclosed() != "":
		return `a "` + p.unclosed() + `" is missing`
	case t.kind == kindPunct && t.text == ")" && closed >= open:
		return `there is one ")" more than "("`
	case before.kind == kindBool:
		return "a comparison must follow \"" + before.text + "\""
	case before.kind == kindOperator && (t.kind == kindIdentifier || t.kind == kindEnd || t.kind == kindBoolean ||
		t.kind == kindInteger || t.kind == kindFloat || t.kind == kindKeyword):
		return "the right side must be a text in single quotes, such as 'main'"
	case before.kind == kindKeyword:
		return "compare it: " + before.text + " = 'main' or " + before.text + " =~ '^v'"
	case before.kind == kindIdentifier && strings.EqualFold(before.text, "not"):
		return `there is no "not"; use "!=" or "!~"`
	case before.kind == kindIdentifier && t.kind == kindBool, before.kind == kindIdentifier && t.kind == kindOperator,
		before.kind == kindIdentifier && t.kind == kindEnd:
		if k := wordKind(strings.ToLower(before.text)); k != kindIdentifier {
			return "write " + strings.ToLower(before.text) + " in lower case"
		}
		return before.text + " is no keyword; there are branch, tag, pull_request, result and result_reason"
	case t.kind == kindEnd && open > closed:
		return `a ")" is missing`
	case t.kind == kindEnd && p.unclosed() != "":
		return `a "` + p.unclosed() + `" is missing`
	case t.kind == kindIdentifier && wordKind(strings.ToLower(t.text)) != kindIdentifier:
		return "write " + strings.ToLower(t.text) + " in lower case"
	case before.kind == kindString || before.kind == kindBoolean || before.text == ")":
		return `join two conditions with "and" or "or"`
	}
	return ""
}

// unclosed returns the bracket that closes the innermost open list or map, "" when all are closed.
func (p *parser) unclosed() string {
	var stack []string
	for _, t := range p.tokens[:p.at] {
		if t.kind != kindPunct {
			continue
		}
		switch t.text {
		case "[":
			stack = append(stack, "]")
		case "{":
			stack = append(stack, "}")
		case "]", "}":
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
		}
	}
	if len(stack) == 0 {
		return ""
	}
	return stack[len(stack)-1]
}

// lineOf returns the line of offset with the full stop that follows it in messages: "1.".
func lineOf(text string, offset int) string {
	return strconv.Itoa(1+strings.Count(text[:offset], "\n")) + "."
}

// short quotes s for a message, cut after 40 characters.
func short(s string) string {
	if utf8.RuneCountInString(s) > 40 {
		s = string([]rune(s)[:40]) + "…"
	}
	return strconv.Quote(s)
}
