package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox/spec/change"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// maxExpanded bounds a number that a template gave where a written one has a lower bound.
const maxExpanded = 1000

func (c *checker) number(v *value, k *key) {
	n, most := v.int(), k.max
	if c.expanded[v.node] && most > 0 {
		most = maxExpanded
	}
	if n < k.min {
		c.wrong(v, c.rangeCode(k, fmt.Sprintf("Expected the value to be >= %d", k.min)),
			"%s must be %s, but this is %s", quote(k.name), atLeast(k), cut(v.text, 20))
	} else if most > 0 && n > most {
		c.wrong(v, c.rangeCode(k, fmt.Sprintf("Expected the value to be <= %d", most)),
			"%s must be a whole number from %s, but this is %s", quote(k.name), span(k.min, most), cut(v.text, 20))
	}
}

const oneOfNone = "Expected exactly one of the schemata to match, but none of them did."

func (c *checker) rangeCode(k *key, code string) string {
	if k.kind != integer {
		return oneOfNone
	}
	return code
}

func atLeast(k *key) string {
	if k.max == 0 {
		return "at least " + itoa(k.min)
	}
	return k.what()
}

// templates are filled in from parameters before a pipeline starts.
var templates = regexp.MustCompile(`[$%]\{\{[^(})]+\}\}`)

// isTemplate tells whether s is one template and nothing else.
func isTemplate(s string) bool { return s != "" && templates.FindString(s) == s }

func (c *checker) textual(v *value, k *key) {
	if strings.ContainsRune(v.text, 0) {
		c.wrong(v, "", "the text contains the character U+0000, which no command or variable can hold; remove it")
	}
	if len(k.enum) > 0 && !slices.Contains(k.enum, v.text) {
		hint := ""
		if w := nearest(v.text, k.enum); w != "" {
			hint = "; did you mean " + quote(w) + "?"
		}
		c.wrong(v, "Value is not allowed in enum.", "%s must be %s, but this is %s%s", quote(k.name), k.what(), quote(v.text), hint)
	}
	if k.min > 0 && v.text == "" && k.role != template {
		c.wrong(v, "Expected value to have a minimum length of 1 but was 0.", "%s is empty; write %s or remove the key", quote(k.name), k.what())
		return
	}
	if k.role == condition {
		c.condition(v)
	}
}

// condition checks the text of a condition.
func (c *checker) condition(v *value) {
	top := v
	for top.parent != nil && top.parent.parent != nil {
		top = top.parent
	}
	k := conditionKey{v.text, top.step == "promotions"}
	found, ok := c.conditions[k]
	if !ok {
		found = append(when.Check(k.text, k.promotion), paths(k.text)...)
		c.conditions[k] = found
	}
	for _, f := range found {
		severity, code := SeverityError, f.Code
		if f.Warning {
			severity = SeverityWarning
		}
		if c.report.full(severity) {
			continue
		}
		if code != "" {
			code = "Invalid 'when' condition on path '" + v.path() + "': " + code
		}
		at, exact := c.inText(v, f.Offset)
		where := ""
		if !exact {
			where = fmt.Sprintf("at character %d of the condition: ", utf8.RuneCountInString(v.text[:f.Offset])+1)
		}
		c.problem(severity, at, v.path(), code, "%s%s", where, f.Message)
	}
}

// paths checks the paths and globs of every change_in in a condition that can be read otherwise.
func paths(text string) (found []when.Finding) {
	if !strings.Contains(text, "change_in") || strings.Contains(text, "{{") { // a template is not known yet
		return nil
	}
	e, err := when.Parse(text)
	if err != nil {
		return nil
	}
	for _, n := range when.Needs(e) {
		call, ok := n.(*when.Call)
		if !ok {
			continue
		}
		for _, p := range change.InvalidPatterns(call) {
			found = append(found, when.Finding{Offset: p.Offset, Message: p.Error()})
		}
	}
	return found
}

// inText returns the place in the file of a byte of v's text. Where escapes or line folding make that a guess, it
// returns the start of the text and false.
func (c *checker) inText(v *value, offset int) (mark, bool) {
	start := mark{v.node.Line, v.node.Column}
	if v.node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		start.column++
	}
	if !strings.HasPrefix(c.src.after(start), v.text) || v.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return v.at, false
	}
	start.column += utf8.RuneCountInString(v.text[:offset])
	return start, true
}
