package when

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Term is one part of a condition with the value it had, for people who ask why.
type Term struct {
	Op    string `json:"op,omitempty"`  // "and" or "or": how it is joined with the terms before it, from left to right
	Text  string `json:"text"`          // in normal form, cut when very long
	Value any    `json:"value"`         // a bool, or what a literal holds
	Why   string `json:"why,omitempty"` // in one sentence, when the text and the value do not say it
	Terms []Term `json:"terms,omitempty"`
}

// maxTermText bounds the text of a term, in characters.
const maxTermText = 1000

// maxRendered is how deep normal form puts parentheses where they only help the eye, and none are put into a condition
// that is deeper than maxHeight without them: what is rendered must stay within what Parse reads.
const (
	maxRendered = 30
	maxHeight   = maxDepth / 2
)

// Render writes a condition in normal form: single blanks, lower case, every comparison and every chain that is an
// operand in parentheses. Parse reads it back as a condition of the same value.
func Render(e Expr) string {
	p := newPrinter(e)
	p.expr(e, 0)
	return p.b.String()
}

// printer writes one expression.
type printer struct {
	b     strings.Builder
	limit int             // of parentheses that are not needed
	spans map[Expr][2]int // where each part stands; nil when nobody asks
}

func newPrinter(e Expr) *printer {
	if height(e) > maxHeight {
		return &printer{}
	}
	return &printer{limit: maxRendered}
}

// height counts the levels that Parse goes down for e, or a few more.
func height(e Expr) int {
	switch e := e.(type) {
	case *Group:
		return 2 + height(e.Inner)
	case *Logic:
		operands, _ := unchain(e)
		return 2 + highest(operands)
	case *Compare:
		return 1 + max(height(e.Left), height(e.Right))
	case *Call:
		return 2 + highest(e.Params)
	case *List:
		return 1 + highest(e.Items)
	case *Map:
		h := 0
		for _, en := range e.Entries {
			h = max(h, height(en.Value))
		}
		return 1 + h
	}
	return 1
}

func highest(list []Expr) int {
	h := 0
	for _, e := range list {
		h = max(h, height(e))
	}
	return h
}

func (p *printer) expr(e Expr, depth int) {
	start := p.b.Len()
	switch e := e.(type) {
	case *Group:
		p.expr(e.Inner, depth)
		return
	case *Logic:
		p.chain(e, depth)
	case *Compare:
		p.side(e.Left, depth)
		p.b.WriteString(" " + e.Op + " ")
		p.side(e.Right, depth)
	case *Call:
		p.b.WriteString(e.Name)
		p.list("(", e.Params, ")")
	case *Keyword:
		p.b.WriteString(e.Name)
	case *Literal:
		p.literal(e.Value)
	case *List:
		p.list("[", e.Items, "]")
	case *Map:
		p.b.WriteString("{")
		for i, en := range e.Entries {
			if i > 0 {
				p.b.WriteString(", ")
			}
			p.b.WriteString(en.Key + ": ")
			p.expr(en.Value, depth)
		}
		p.b.WriteString("}")
	}
	if p.spans != nil {
		p.spans[e] = [2]int{start, p.b.Len()}
	}
}

func (p *printer) list(open string, items []Expr, end string) {
	p.b.WriteString(open)
	for i, it := range items {
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.expr(it, 0)
	}
	p.b.WriteString(end)
}

// chain writes a and b or c as ((a) and (b)) or (c): the parentheses say what the language does anyway.
func (p *printer) chain(e *Logic, depth int) {
	operands, ops := unchain(e)
	shown := max(0, min(len(ops)-1, p.limit-depth))
	p.b.WriteString(strings.Repeat("(", shown))
	for i, o := range operands {
		if i > 0 {
			p.b.WriteString(" " + ops[i-1] + " ")
		}
		p.operand(o, depth+shown)
		if i > 0 && i <= shown {
			p.b.WriteString(")")
		}
	}
}

// operand writes one operand of a chain.
func (p *printer) operand(e Expr, depth int) {
	e = ungroup(e)
	_, chain := e.(*Logic)
	_, compare := e.(*Compare)
	if chain || compare && depth < p.limit {
		p.parens(e, depth)
		return
	}
	p.expr(e, depth)
}

// side writes one side of a comparison. On the right of a function may stand anything.
func (p *printer) side(e Expr, depth int) {
	e = ungroup(e)
	if _, chain := e.(*Logic); chain {
		p.parens(e, depth)
		return
	}
	p.expr(e, depth)
}

func (p *printer) parens(e Expr, depth int) {
	p.b.WriteString("(")
	p.expr(e, depth+1)
	p.b.WriteString(")")
}

func ungroup(e Expr) Expr {
	for {
		g, ok := e.(*Group)
		if !ok {
			return e
		}
		e = g.Inner
	}
}

func (p *printer) literal(v any) {
	switch v := v.(type) {
	case string:
		p.b.WriteString("'" + v + "'")
	case bool:
		p.b.WriteString(strconv.FormatBool(v))
	case int64:
		p.b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		p.b.WriteString(s)
	}
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n]) + "…"
}
