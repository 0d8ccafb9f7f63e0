package when

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Finding is one thing Check has to say.
type Finding struct {
	Offset  int    // in bytes from the start of the text
	Warning bool   // the condition works, but probably not as meant
	Code    string // the text existing clients know, "" when there is none
	Message string // what is wrong and what to do
}

// Check parses text and says everything that is wrong or doubtful about it. In a promotion the keywords result and
// result_reason have values, elsewhere they do not.
func Check(text string, promotion bool) []Finding {
	e, err := Parse(text)
	if err != nil {
		var s *SyntaxError
		errors.As(err, &s)
		return []Finding{{Offset: s.Offset, Code: s.Code, Message: s.Error()}}
	}
	c := &checker{promotion: promotion}
	c.visit(e)
	return c.found
}

type checker struct {
	promotion bool
	found     []Finding
}

func (c *checker) bad(e Expr, code, format string, args ...any) {
	c.found = append(c.found, Finding{Offset: e.Pos(), Code: code, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(offset int, format string, args ...any) {
	c.found = append(c.found, Finding{Offset: offset, Warning: true, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) visit(e Expr) {
	// A chain leans to the left and may be thousands long, so it is walked in a loop.
	var rights []*Logic
	for {
		l, ok := e.(*Logic)
		if !ok {
			break
		}
		rights, e = append(rights, l), l.Left
	}
	switch e := e.(type) {
	case *Group:
		c.visit(e.Inner)
	case *Keyword:
		if !c.promotion && strings.HasPrefix(e.Name, "result") {
			c.bad(e, "Missing value of keyword parameter '"+e.Name+"'.",
				"%q has no value here, because it is known only when the pipeline is done; use it under auto_promote", e.Name)
		}
	case *Compare:
		c.visit(e.Left)
		c.compare(e)
		c.visit(e.Right)
	case *Call:
		c.call(e)
	}
	for i := len(rights) - 1; i >= 0; i-- {
		l := rights[i]
		if left, ok := l.Left.(*Logic); ok && left.Op == "or" && l.Op == "and" {
			c.warn(l.Offset, `"and" and "or" have the same rank and are read from left to right, so this "and" applies to `+
				`everything before it; add parentheses to show what is meant`)
		}
		c.visit(l.Right)
	}
}

func (c *checker) compare(e *Compare) {
	keyword, _ := e.Left.(*Keyword)
	lit, _ := e.Right.(*Literal)
	if lit == nil {
		return
	}
	pattern, ok := lit.Value.(string)
	if !ok || strings.Contains(pattern, "{{") { // a template is not known yet
		return
	}
	if e.Op == "=" || e.Op == "!=" {
		// None of these can be part of a branch or tag name.
		if keyword != nil && (keyword.Name == "branch" || keyword.Name == "tag") && strings.ContainsAny(pattern, `^*[\?`) {
			c.warn(lit.Offset, "%s looks like a pattern, but %q compares the whole text; use %q to match a pattern",
				short(pattern), e.Op, e.Op[:len(e.Op)-1]+map[string]string{"=": "=~", "!=": "~"}[e.Op])
		}
		return
	}
	if why := invalidPattern(pattern); why != "" {
		c.bad(lit, "", "the pattern %s is not valid: %s", short(pattern), why)
		return
	}
	if alwaysMatches(pattern) {
		c.warn(lit.Offset, `the pattern %s matches every text that is not empty, because every part of it may be absent; `+
			`write '.*' if that is meant, or anchor it, such as '^v'`, short(pattern))
	}
}

// invalidPattern says why p is no pattern for any regular expression engine in use, "" when it may be one. What only
// one family of engines knows, such as look-ahead, passes.
func invalidPattern(p string) string {
	_, err := syntax.Parse(p, syntax.Perl)
	var s *syntax.Error
	if !errors.As(err, &s) {
		return ""
	}
	switch s.Code {
	case syntax.ErrMissingBracket:
		return `a "]" is missing`
	case syntax.ErrMissingParen:
		return `a ")" is missing`
	case syntax.ErrUnexpectedParen:
		return `there is one ")" more than "("`
	case syntax.ErrTrailingBackslash:
		return "it ends with a backslash"
	case syntax.ErrMissingRepeatArgument:
		return s.Expr + " has nothing before it to repeat"
	case syntax.ErrInvalidCharRange:
		return "the range " + s.Expr + " runs backwards"
	}
	return ""
}

// alwaysMatches tells whether p matches texts that have nothing in common and is not one of the ways to write
// "not empty" on purpose.
func alwaysMatches(p string) bool {
	switch strings.Trim(p, "^$()") {
	case ".*", ".+", ".*?", ".":
		return false
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return false
	}
	for _, s := range []string{"\u2603", "q", "7-7"} {
		if !re.MatchString(s) {
			return false
		}
	}
	return true
}

func (c *checker) call(e *Call) {
	if e.Name != "change_in" {
		c.bad(e, "Function with name '"+e.Name+"' is not found.",
			"there is no function %s; the only one is change_in", short(e.Name))
		return
	}
	if n := len(e.Params); n < 1 || n > 2 {
		c.bad(e, fmt.Sprintf("Function 'change_in' accepts 1 or 2 parameter(s) and was provided with %d.", n),
			"change_in takes a path or a list of paths and, if needed, options in braces; it was given %d parameters", n)
		return
	}
	if !texts(e.Params[0]) {
		c.bad(e.Params[0], "", "the first parameter of change_in must be a path in single quotes or a list of such paths")
	}
	if len(e.Params) == 1 {
		return
	}
	m, ok := e.Params[1].(*Map)
	if !ok {
		c.bad(e.Params[1], "", "the second parameter of change_in must be options in braces, such as {default_branch: 'main'}")
		return
	}
	for _, o := range m.Entries {
		c.option(o)
	}
}

func (c *checker) option(o Entry) {
	lit, _ := o.Value.(*Literal)
	var value any
	if lit != nil {
		value = lit.Value
	}
	text, isText := value.(string)
	switch o.Key {
	case "on_tags":
		if _, ok := value.(bool); !ok {
			c.bad(o.Value, "", "the option on_tags of change_in must be true or false")
		}
	case "exclude":
		if !texts(o.Value) {
			c.bad(o.Value, "", "the option exclude of change_in must be a path in single quotes or a list of such paths")
		}
	case "default_branch", "default_range", "branch_range", "pipeline_file":
		if !isText {
			c.bad(o.Value, "", "the option %s of change_in must be a text in single quotes", o.Key)
		} else if o.Key == "pipeline_file" && text != "track" && text != "ignore" && !strings.Contains(text, "{{") {
			c.warn(lit.Offset, "the option pipeline_file of change_in is 'track' or 'ignore'; %s counts as 'track'", short(text))
		}
	default:
		c.warn(o.Offset, "change_in has no option %s and ignores it; there are on_tags, default_branch, default_range, "+
			"branch_range, pipeline_file and exclude", short(o.Key))
	}
}

// texts tells whether e is a text or a list of texts.
func texts(e Expr) bool {
	if l, ok := e.(*List); ok {
		for _, item := range l.Items {
			if _, isList := item.(*List); isList || !texts(item) {
				return false
			}
		}
		return true
	}
	lit, ok := e.(*Literal)
	if !ok {
		return false
	}
	_, ok = lit.Value.(string)
	return ok
}
