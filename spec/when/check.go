package when

import (
	"errors"
	"fmt"
	"regexp"
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
			c.bad(e, missingKeyword(e.Name),
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
	if call, ok := e.Left.(*Call); ok && (e.Op == "=~" || e.Op == "!~") {
		c.bad(e, "", "%s is true or false, which no pattern can match; write %s(…) = true or = false", short(call.Name), cut(call.Name, 40))
		return
	}
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
	if m, why := compilePattern(pattern); m == nil {
		c.bad(lit, "", "the pattern %s is not valid: %s", short(pattern), why)
		return
	}
	if alwaysMatches(pattern) {
		c.warn(lit.Offset, `the pattern %s matches every text that is not empty, because every part of it may be absent; `+
			`write '.*' if that is meant, or anchor it, such as '^v'`, short(pattern))
	}
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

func missingKeyword(name string) string { return "Missing value of keyword parameter '" + name + "'." }

func missingFunction(name string) string { return "Function with name '" + name + "' is not found." }

// checkCall says whether the function exists and takes as many parameters, nil when it does.
func checkCall(e *Call) *Finding {
	count, ok := functions[e.Name]
	if !ok {
		return &Finding{
			Offset: e.Offset, Code: missingFunction(e.Name),
			Message: "there is no function " + short(e.Name) + "; the only one is change_in",
		}
	}
	if n := len(e.Params); n < count[0] || n > count[1] {
		return &Finding{
			Offset: e.Offset, Code: fmt.Sprintf("Function '%s' accepts 1 or 2 parameter(s) and was provided with %d.", e.Name, n),
			Message: fmt.Sprintf("change_in takes a path or a list of paths and, if needed, options in braces; it was given %d parameters", n),
		}
	}
	return nil
}

func (c *checker) call(e *Call) {
	if f := checkCall(e); f != nil {
		c.found = append(c.found, *f)
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
