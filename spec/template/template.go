package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"unicode/utf8"
)

// Expansion is a text with its expressions filled in.
type Expansion struct {
	Text     string
	Value    any      // when the whole text was one %{{ }}: string, int64, float64, bool, []any, map[string]any or nil
	IsValue  bool     // whether Value holds; Text is then its JSON, or the string itself
	Warnings []string // what was filled in, but probably not as meant
}

// Error says why a text cannot be filled in.
type Error struct {
	Offset  int // in bytes from the start of the text
	Message string
	Hint    string // "" when there is no good guess
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

const (
	maxOutput     = 1 << 20 // bytes of a result, and of everything on the way to it
	maxItems      = 2000    // values in a list or map, with all that is inside
	maxNesting    = 50      // of lists and maps
	maxExpression = 8 << 10
	maxCalls      = 100 // functions in one chain
)

// expressions are found by the very pattern that existing pipelines were written for: what contains a parenthesis or a
// closing brace is plain text.
var expressions = regexp.MustCompile(`([$%])\{\{([^(})]+)\}\}`)

// Has tells whether text contains an expression.
func Has(text string) bool { return expressions.MatchString(text) }

// Asked is a parameter that an expression asks for.
type Asked struct {
	Name     string
	Optional bool // the expression says what to take instead
}

// Parameters returns what the expressions of text ask for. An expression that is wrong asks for nothing.
func Parameters(text string) (out []Asked) {
	for _, m := range expressions.FindAllStringSubmatch(text, -1) {
		names, err := check(placeholders(m[2], func(string) string { return `""` }))
		if err != nil || len(m[2]) > maxExpression {
			continue
		}
		placeholders(m[2], func(name string) string {
			out = append(out, Asked{name, optional(names)})
			return `""`
		})
	}
	return out
}

// optional tells whether an expression with these functions does without its parameters.
func optional(functions map[string]bool) bool { return functions["default"] || functions["coalesce"] }

// Expand fills in the expressions of text. lookup knows the parameters; one that is not set is an error, unless the
// expression says with default or coalesce what to take instead. With legacy an unset or empty one stands for its own
// name, with a warning. The error is an *Error.
func Expand(text string, lookup func(name string) (value string, ok bool), legacy bool) (Expansion, error) {
	found := expressions.FindAllStringSubmatchIndex(text, -1)
	x := &expander{lookup: lookup, legacy: legacy}
	if len(found) == 0 {
		x.leftover(text)
		return Expansion{Text: text, Warnings: x.warnings}, nil
	}
	var b strings.Builder
	last := 0
	for _, at := range found {
		value, err := x.expression(text, at)
		if err != nil {
			return Expansion{}, err
		}
		if text[at[2]] == '%' && strings.TrimSpace(text[:at[0]]) == "" && strings.TrimSpace(text[at[1]:]) == "" {
			return Expansion{Text: spliced(value), Value: value, IsValue: true, Warnings: x.warnings}, nil
		}
		x.leftover(text[last:at[0]])
		b.WriteString(text[last:at[0]])
		b.WriteString(spliced(value))
		last = at[1]
		if b.Len() > maxOutput {
			return Expansion{}, &Error{Offset: at[0], Message: fmt.Sprintf("the text becomes larger than %d bytes", maxOutput)}
		}
	}
	x.leftover(text[last:])
	b.WriteString(text[last:])
	return Expansion{Text: strings.TrimSpace(b.String()), Warnings: x.warnings}, nil
}

type expander struct {
	lookup   func(string) (string, bool)
	legacy   bool
	warnings []string
}

func (x *expander) warn(format string, args ...any) {
	x.warnings = append(x.warnings, fmt.Sprintf(format, args...))
}

// leftover warns about what looks like an expression and is none.
func (x *expander) leftover(text string) {
	for _, open := range []string{"${{", "%{{"} {
		if i := strings.Index(text, open); i >= 0 {
			x.warn("%.60q stays as it is: an expression ends with }} and contains no parenthesis and no other closing brace", text[i:])
			return
		}
	}
}

// expression returns the value of one expression: a string for ${{ }}, anything that JSON knows for %{{ }}.
func (x *expander) expression(text string, at []int) (any, error) {
	source, expr := text[at[0]:at[1]], text[at[4]:at[5]]
	wrong := func(message, hint string) error {
		return &Error{Offset: at[0], Message: fmt.Sprintf("cannot fill in %s: %s", short(source), message), Hint: hint}
	}
	switch {
	case strings.Contains(expr, "{{"):
		return nil, wrong("nested expressions are not supported", "join functions with | instead")
	case len(expr) > maxExpression:
		return nil, wrong(fmt.Sprintf("it is longer than %d bytes", maxExpression), "")
	}
	names, err := check(placeholders(expr, func(string) string { return `""` }))
	if err != nil {
		return nil, wrong(err.Error(), "")
	}
	var unset error
	filled := placeholders(expr, func(name string) string {
		value, ok := x.lookup(name)
		switch {
		case x.legacy && value == "":
			x.warn("the parameter %s is not set, so its name was filled in for %s", name, short(source))
			value = name
		case !ok && !optional(names) && unset == nil:
			unset = wrong("the parameter "+name+" is not set", `set it, or write parameters.`+name+` | default "…"`)
		case len(value) > maxOutput && unset == nil:
			unset = wrong(fmt.Sprintf("the parameter %s is larger than %d bytes", name, maxOutput), "")
		}
		return strconv.Quote(value)
	})
	if unset != nil {
		return nil, unset
	}
	value, err := run(filled)
	if err != nil {
		return nil, wrong(plain(err), "")
	}
	if text[at[2]] == '$' {
		out := printed(value)
		if len(out) > maxOutput {
			return nil, wrong(fmt.Sprintf("the result is larger than %d bytes", maxOutput), "")
		}
		return out, nil
	}
	if value, err = viaJSON(value); err != nil {
		return nil, wrong(err.Error(), "")
	}
	return value, nil
}

var parameter = regexp.MustCompile(`^parameters\.[A-Za-z0-9_]+`)

// placeholders puts something in place of every parameters.NAME outside quotes.
func placeholders(expr string, fill func(name string) string) string {
	var b strings.Builder
	var before byte = ' '
	for i := 0; i < len(expr); {
		n := 1
		switch c := expr[i]; {
		case c == '"' || c == '\'' || c == '`':
			n = quoted(expr[i:])
		case c == 'p' && !word(before):
			if name := parameter.FindString(expr[i:]); name != "" {
				b.WriteString(fill(strings.TrimPrefix(name, "parameters.")))
				i, before = i+len(name), '"'
				continue
			}
		}
		b.WriteString(expr[i : i+n])
		before = expr[i+n-1]
		i += n
	}
	return b.String()
}

func word(c byte) bool {
	return c == '_' || c == '.' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quoted returns the length of the constant in quotes at the start of s.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] != '`':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}

// check allows a single chain of known functions and constants, and returns the functions.
func check(expr string) (map[string]bool, error) {
	t := parse.New("expression")
	t.Mode = parse.SkipFuncCheck
	t, err := t.Parse("{{"+expr+"}}", "", "", map[string]*parse.Tree{})
	if err != nil {
		return nil, errors.New(plain(err))
	}
	if t.Root == nil || len(t.Root.Nodes) != 1 {
		return nil, errors.New("it is empty")
	}
	action, ok := t.Root.Nodes[0].(*parse.ActionNode)
	if !ok || len(action.Pipe.Decl) > 0 {
		return nil, errors.New("only values and functions joined by | are possible")
	}
	if len(action.Pipe.Cmds) > maxCalls {
		return nil, fmt.Errorf("it has more than %d functions", maxCalls)
	}
	names := map[string]bool{}
	for _, cmd := range action.Pipe.Cmds {
		for i, arg := range cmd.Args {
			switch n := arg.(type) {
			case *parse.IdentifierNode:
				if !allowed(n.Ident) {
					return nil, unknown(n.Ident)
				}
				if i > 0 {
					return nil, fmt.Errorf("the function %s stands where a value is expected", n.Ident)
				}
				names[n.Ident] = true
			case *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
			default:
				return nil, fmt.Errorf("%s means nothing here; a parameter is written parameters.NAME", short(arg.String()))
			}
		}
	}
	return names, nil
}

func unknown(name string) error {
	if name == "parameters" {
		return errors.New("a parameter is written parameters.NAME, with letters, digits and _")
	}
	return fmt.Errorf("there is no function %s", short(name))
}

// run evaluates an expression that check has seen.
func run(expr string) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it failed: %v", r)
		}
	}()
	t := texttemplate.New("expression").Funcs(functions).Funcs(texttemplate.FuncMap{
		"signalboxResult": func(v any) string { value = v; return "" },
	})
	if _, err := t.Parse("{{" + expr + " | signalboxResult}}"); err != nil {
		return nil, err
	}
	return value, t.Execute(io.Discard, nil)
}

// printed writes a value as ${{ }} shows it.
func printed(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// viaJSON turns a value into what JSON makes of it.
func viaJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, errors.New("the result has no form in JSON: " + err.Error())
	}
	if len(text) > maxOutput {
		return nil, fmt.Errorf("the result is larger than %d bytes", maxOutput)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return numbers(out), nil
}

// numbers makes whole numbers int64 and others float64.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// spliced returns a value as a part of a text: a string as it is, anything else as JSON.
func spliced(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, _ := json.Marshal(v) // it has come from JSON
	return string(text)
}

var position = regexp.MustCompile(`(?s)^template: expression:\d+(:\d+)?: (executing "expression" at <.*?>: )?`)

// plain removes from an error of the template engine what speaks of its own files.
func plain(err error) string {
	return strings.TrimSpace(strings.ReplaceAll(position.ReplaceAllString(err.Error(), ""), " | signalboxResult", ""))
}

// short quotes s for a message, cut after 60 characters.
func short(s string) string {
	if utf8.RuneCountInString(s) > 60 {
		s = string([]rune(s)[:60]) + "…"
	}
	return strconv.Quote(s)
}
