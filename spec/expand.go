package spec

import (
	"fmt"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	texttemplate "github.com/signalbox-ci/signalbox/spec/template"
)

// expand fills in the templates of every text but commands.
func (c *checker) expand(n *yaml.Node) {
	e := &expander{c: c, done: map[*yaml.Node]bool{}}
	e.node(n, "#")
}

type expander struct {
	c    *checker
	done map[*yaml.Node]bool // aliases lead to the same node again
}

func (e *expander) node(n *yaml.Node, path string) {
	if n == nil || e.done[n] {
		return
	}
	e.done[n] = true
	switch n.Kind {
	case yaml.DocumentNode:
		for _, k := range n.Content {
			e.node(k, path)
		}
	case yaml.SequenceNode:
		for i, k := range n.Content {
			e.node(k, path+"/"+itoa(i))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i].Value; key != "commands" {
				e.node(n.Content[i+1], path+"/"+key)
			}
		}
	case yaml.AliasNode:
		e.node(n.Alias, path)
	case yaml.ScalarNode:
		e.scalar(n, path)
	}
}

// mayBeTemplate tells whether a scalar is a text in which an expression may stand.
func mayBeTemplate(n *yaml.Node) bool {
	return strings.Contains(n.Value, "{{") && (n.Tag == "!!str" || n.Tag == "!")
}

func (e *expander) scalar(n *yaml.Node, path string) {
	if !mayBeTemplate(n) {
		return
	}
	text := n.Value
	if m := e.c.src.marker; m != 0 {
		text = strings.ReplaceAll(text, string(m), `\`)
	}
	b := e.c.build
	x, err := texttemplate.Expand(text, func(name string) (string, bool) {
		if v, ok := b.Parameters[name]; ok {
			return v, true
		}
		if b.Variable == nil {
			return "", false
		}
		return b.Variable(name)
	}, b.LegacyTemplates)
	at := mark{n.Line, n.Column}
	if err != nil {
		e.c.problem(SeverityError, at, path, "", "%s", err.Error())
		e.c.mark(n) // said once is enough
		return
	}
	for _, w := range x.Warnings {
		e.c.problem(SeverityWarning, at, path, "", "%s", w)
	}
	if x.Text == text && !x.IsValue {
		return
	}
	e.c.mark(n)
	if x.IsValue {
		e.replace(n, x.Value)
	} else {
		e.replace(n, x.Text)
	}
}

// replace puts a value in the place of a node.
func (e *expander) replace(n *yaml.Node, v any) {
	n.Style, n.Content = yaml.DoubleQuotedStyle, nil
	n.Kind = yaml.ScalarNode
	switch v := v.(type) {
	case string:
		n.Tag, n.Value = "!!str", v
	case bool:
		n.Tag, n.Value, n.Style = "!!bool", strconv.FormatBool(v), 0
	case int64:
		n.Tag, n.Value, n.Style = "!!int", strconv.FormatInt(v, 10), 0
	case float64:
		n.Tag, n.Value, n.Style = "!!float", strconv.FormatFloat(v, 'g', -1, 64), 0
		if i := int64(v); float64(i) == v {
			n.Tag, n.Value = "!!int", strconv.FormatInt(i, 10)
		}
	case nil:
		n.Tag, n.Value, n.Style = "!!null", "null", 0
	case []any:
		n.Kind, n.Tag, n.Value, n.Style = yaml.SequenceNode, "!!seq", "", yaml.FlowStyle
		for _, it := range v {
			k := &yaml.Node{Line: n.Line, Column: n.Column}
			e.replace(k, it)
			n.Content = append(n.Content, k)
		}
	case map[string]any:
		n.Kind, n.Tag, n.Value, n.Style = yaml.MappingNode, "!!map", "", yaml.FlowStyle
		for name, it := range v {
			k := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: n.Line, Column: n.Column}
			val := &yaml.Node{Line: n.Line, Column: n.Column}
			e.replace(val, it)
			n.Content = append(n.Content, k, val)
		}
	default:
		n.Tag, n.Value = "!!str", fmt.Sprint(v)
	}
}

// mark notes that the value of a node comes from a template, or should.
func (c *checker) mark(n *yaml.Node) {
	if c.expanded == nil {
		c.expanded = map[*yaml.Node]bool{}
	}
	c.expanded[n] = true
}
