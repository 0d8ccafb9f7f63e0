package spec

import (
	"math"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// value is a node of the file that the table knows, with aliases, merge keys and repeated keys already resolved.
type value struct {
	node   *yaml.Node // never an alias
	kind   kind       // 0 for null and for numbers that are not whole
	at     mark
	keyAt  mark // of the key in a map; equal to at for items
	parent *value
	step   string // the key or the index that leads here
	fields []*value
	items  []*value
	text   string // of a scalar
}

// path returns the place in the file as #/blocks/0/task.
func (v *value) path() string {
	var steps []string
	for ; v.parent != nil; v = v.parent {
		steps = append(steps, strings.NewReplacer("~", "~0", "/", "~1").Replace(v.step))
	}
	slices.Reverse(steps)
	return strings.TrimSuffix("#/"+strings.Join(steps, "/"), "/")
}

// get returns the value of a key, nil when there is none or v is nil.
func (v *value) get(name string) *value {
	if v == nil {
		return nil
	}
	for _, f := range v.fields {
		if f.step == name {
			return f
		}
	}
	return nil
}

// list returns the items of a key.
func (v *value) list(name string) []*value {
	if l := v.get(name); l != nil {
		return l.items
	}
	return nil
}

// string returns the text of a key, "" when there is none.
func (v *value) string(name string) string {
	if t := v.get(name); t != nil && t.kind == text {
		return t.text
	}
	return ""
}

// int returns a whole number, capped where it does not fit.
func (v *value) int() int {
	n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
	if err != nil && strings.HasPrefix(v.text, "-") {
		return math.MinInt32
	}
	if err != nil || n > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(max(n, math.MinInt32))
}

// typeName names the form of a node as the compatible messages do, "" for a YAML tag of somebody's own.
func typeName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		if n.Tag == "!!map" {
			return "Object"
		}
	case yaml.SequenceNode:
		if n.Tag == "!!seq" {
			return "Array"
		}
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!str", "!!timestamp", "!!merge", "!":
			return "String"
		case "!!int":
			return "Integer"
		case "!!float":
			return "Number"
		case "!!bool":
			return "Boolean"
		case "!!null":
			return "Null"
		}
	}
	return ""
}

var kindNames = []struct {
	kind kind
	name string
}{{text, "String"}, {integer, "Integer"}, {boolean, "Boolean"}, {list, "Array"}, {mapping, "Object"}}

func kindOf(typeName string) kind {
	for _, k := range kindNames {
		if k.name == typeName {
			return k.kind
		}
	}
	return 0
}

func (k kind) String() string {
	for _, n := range kindNames {
		if n.kind == k {
			return n.name
		}
	}
	return ""
}

// pair is one key of a map with its value.
type pair struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// pairs returns what a map holds: of keys given twice the first, and what merge keys bring in after that.
func (c *checker) pairs(v *value) []pair {
	p := &pairer{c: c, v: v, seen: map[string]mark{}, open: map[*yaml.Node]bool{}}
	p.collect(v.node)
	return p.out
}

type pairer struct {
	c    *checker
	v    *value
	seen map[string]mark
	open map[*yaml.Node]bool // maps being merged, because an alias may lead back to one of them
	out  []pair
}

func (p *pairer) collect(n *yaml.Node) {
	p.open[n] = true
	defer delete(p.open, n)
	var merges []*yaml.Node
	own := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && p.c.spend(n); i += 2 {
		key, val := resolve(n.Content[i]), n.Content[i+1]
		at := mark{n.Content[i].Line, n.Content[i].Column}
		if key == nil || key.Kind != yaml.ScalarNode {
			p.c.problem(SeverityError, at, p.v.path(), "", "a key must be a plain text; if a text was meant, put it in quotes")
			continue
		}
		if key.Tag == "!!merge" {
			merges = append(merges, val)
			continue
		}
		name := p.c.textOf(key, p.v)
		if first, ok := p.seen[name]; ok {
			if own[name] {
				p.c.problem(SeverityWarning, at, p.v.path()+"/"+name, "",
					"%s is given twice; the first one, on line %d, counts, so remove this one or put both together", quote(name), first.line)
			}
			own[name] = true
			continue
		}
		p.seen[name] = at
		own[name] = true
		p.out = append(p.out, pair{name, n.Content[i], val})
	}
	for _, m := range merges {
		p.merge(m)
	}
}

func (p *pairer) merge(n *yaml.Node) {
	at := mark{n.Line, n.Column}
	r := resolve(n)
	switch {
	case !p.c.spend(n):
	case r != nil && r.Kind == yaml.MappingNode && p.open[r], r != nil && r.Kind == yaml.SequenceNode && p.open[r]:
		p.c.problem(SeverityError, at, p.v.path()+"/<<", "", `"<<" merges a map into itself; remove one of the two`)
	case r != nil && r.Kind == yaml.MappingNode:
		p.collect(r)
	case r != nil && r.Kind == yaml.SequenceNode:
		p.open[r] = true
		for _, item := range r.Content {
			p.merge(item)
		}
		delete(p.open, r)
	default:
		p.c.problem(SeverityError, at, p.v.path()+"/<<", "", `"<<" merges maps into this one, so its value must be an alias of a map, such as *defaults, or a list of such aliases`)
	}
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for range 10 {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// textOf returns the text of a scalar as the file means it. A backslash before a character that YAML gives no meaning
// to is dropped in double quotes, which is what people's files rely on, and said so.
func (c *checker) textOf(n *yaml.Node, at *value) string {
	m := c.src.marker
	if m == 0 || !strings.ContainsRune(n.Value, m) {
		return n.Value
	}
	if n.Style&yaml.DoubleQuotedStyle == 0 {
		return strings.ReplaceAll(n.Value, string(m), `\`)
	}
	dropped := strings.ReplaceAll(n.Value, string(m), "")
	i, _ := slices.BinarySearchFunc(c.src.escapes, mark{n.Line, n.Column}, func(e escape, start mark) int {
		if e.at.line != start.line {
			return e.at.line - start.line
		}
		return e.at.column - start.column
	})
	for k := range strings.Count(n.Value, string(m)) {
		if i+k >= len(c.src.escapes) || c.report.full(SeverityWarning) {
			break
		}
		e := c.src.escapes[i+k]
		c.problem(SeverityWarning, e.at, at.path(), "", `the escape \%c does not exist in double quotes, so the backslash is dropped; `+
			`write \\%c or use single quotes if it is meant`, e.of, e.of)
	}
	return dropped
}

func (v *value) bool() bool { return strings.EqualFold(v.text, "true") }
