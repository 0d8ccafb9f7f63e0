package spec

import (
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox/spec/when"
)

// What a file may hold once its aliases are followed.
const (
	maxValues = 200_000
	maxText   = 16 << 20 // bytes
)

// checker walks the file along the table.
type checker struct {
	src        *source
	build      *Build // nil when the file is checked by itself
	file       string
	report     *report
	values     int       // read so far
	text       int       // bytes of them
	used       bool      // the file has too many of either
	around     []*object // the objects that the current one stands in, outermost first
	conditions map[conditionKey][]when.Finding
	expanded   map[*yaml.Node]bool // whose values come from templates
}

type conditionKey struct {
	text      string
	promotion bool
}

func (c *checker) problem(s Severity, at mark, path, code, format string, args ...any) {
	if c.report.full(s) {
		return
	}
	at = c.src.clamp(at)
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	c.report.add(Problem{Line: at.line, Column: at.column, Path: path, Severity: s, Code: code, Message: message})
}

// wrong reports an error in v.
func (c *checker) wrong(v *value, code, format string, args ...any) {
	c.problem(SeverityError, v.at, v.path(), code, format, args...)
}

// spend counts one value; it returns false when there were too many.
func (c *checker) spend(n *yaml.Node) bool {
	c.values++
	if r := resolve(n); r != nil {
		c.text += len(r.Value)
	}
	if !c.used && (c.values > maxValues || c.text > maxText) {
		c.used = true
		c.problem(SeverityError, mark{n.Line, n.Column}, "#", "",
			"the file has more than %d values or %d MiB of text, counting those that aliases repeat; use fewer aliases or split the pipeline",
			maxValues, maxText>>20)
	}
	return !c.used
}

// root reads the top level. It returns nil when there is no map to go on with.
func (c *checker) root(n *yaml.Node) *value {
	v := c.value(n, nil, "", mark{})
	if v == nil {
		return nil
	}
	if v.kind != mapping {
		c.wrong(v, "Required property 'version' missing or not string",
			`a pipeline file is a map that begins with "version: v1.0", but this is %s`, describe(v))
		return nil
	}
	if !c.version(v) {
		return nil
	}
	c.object(v, objects["pipeline"], false)
	return v
}

// version looks at the version before anything else, because all other rules depend on it.
func (c *checker) version(root *value) bool {
	const missing = "Required property 'version' missing or not string"
	for _, p := range c.pairs(root) {
		if p.name != "version" {
			continue
		}
		v := c.value(p.value, root, "version", mark{p.key.Line, p.key.Column})
		switch {
		case v == nil:
		case v.kind != text:
			c.wrong(v, missing, `"version" must be the text v1.0, but this is %s; write "version: v1.0"`, describe(v))
		case v.text != "v1.0":
			c.wrong(v, "Version: '"+v.text+"' is not supported!",
				`the version %s is not known, and nothing else was checked because all other rules depend on it; write "version: v1.0"`, quote(v.text))
			return false
		}
		return true
	}
	c.problem(SeverityError, root.at, "#", missing, `"version" is missing; write "version: v1.0" as the first line`)
	return true
}

// value makes a value of a node; nil when the file is used up or the node is nothing we read.
func (c *checker) value(n *yaml.Node, parent *value, step string, keyAt mark) *value {
	r := resolve(n)
	v := &value{node: r, at: mark{n.Line, n.Column}, keyAt: keyAt, parent: parent, step: step}
	if keyAt.line == 0 {
		v.keyAt = v.at
	}
	if !c.spend(n) {
		return nil
	}
	if r == nil {
		c.wrong(v, "", "this alias leads nowhere")
		return nil
	}
	name := typeName(r)
	if name == "" {
		c.wrong(v, "", "the YAML tag %s has no meaning in a pipeline file; remove it", quote(r.Tag))
		return nil
	}
	v.kind = kindOf(name)
	if r.Kind == yaml.ScalarNode {
		v.text = c.textOf(r, v)
	}
	return v
}

// object checks the keys of a map and reads them into v.
func (c *checker) object(v *value, o *object, later bool) {
	for _, p := range c.pairs(v) {
		at := mark{p.key.Line, p.key.Column}
		k := o.key(p.name)
		if k == nil {
			if o.name != "pipeline" || !strings.HasPrefix(p.name, ".") && !strings.HasPrefix(p.name, "x-") {
				c.unknown(v, o, p.name, at)
			}
			continue
		}
		f := c.value(p.value, v, p.name, at)
		if f == nil {
			continue
		}
		v.fields = append(v.fields, f)
		if k.name == "version" && o.name == "pipeline" {
			continue
		}
		c.around = append(c.around, o)
		c.field(f, k, later)
		c.around = c.around[:len(c.around)-1]
	}
	c.together(v, o)
}

// field checks the value of a key.
func (c *checker) field(v *value, k *key, later bool) {
	if v.kind&k.kind == 0 || v.kind == 0 {
		c.mismatch(v, k, false)
		return
	}
	switch v.kind {
	case mapping:
		c.object(v, objects[k.object], later || k.later != "")
	case list:
		c.items(v, k, later || k.later != "")
	case integer:
		c.number(v, k)
	case text:
		c.textual(v, k)
	}
	// An empty list asks for nothing, so there is nothing to refuse.
	if k.later != "" && !later && (v.kind != list || len(v.node.Content) > 0) {
		c.problem(SeverityUnsupported, v.keyAt, v.path(), "",
			"%s belongs to an older product and cannot be run; %s", quote(k.name), k.later)
	}
}

func (c *checker) items(v *value, k *key, later bool) {
	if n := len(v.node.Content); n < k.min {
		c.wrong(v, fmt.Sprintf("Expected a minimum of %d items but got %d.", k.min, n),
			"%s is empty; it needs at least one item", quote(k.name))
	} else if k.max > 0 && n > k.max && k.kind&integer == 0 {
		c.wrong(v, fmt.Sprintf("Expected a maximum of %d items but got %d.", k.max, n),
			"%s has %d items; %d are allowed", quote(k.name), n, k.max)
	}
	item := k.item
	if k.object != "" {
		item = mapping
	}
	for i, n := range v.node.Content {
		it := c.value(n, v, itoa(i), mark{})
		if it == nil {
			if c.used {
				return
			}
			continue
		}
		v.items = append(v.items, it)
		switch {
		case it.kind != item:
			c.mismatch(it, k, true)
		case item == mapping:
			c.object(it, objects[k.object], later)
		default:
			c.textual(it, &key{name: k.name, kind: text, role: k.role})
		}
	}
}

// together checks which keys must, and must not, stand side by side.
func (c *checker) together(v *value, o *object) {
	var missing []string
	for _, k := range o.keys {
		if k.required && v.get(k.name) == nil && !c.used && !c.given(v, k.name) {
			missing = append(missing, k.name)
		}
	}
	if len(missing) > 0 {
		code := "Required property " + missing[0] + " was not present."
		if len(missing) > 1 {
			code = "Required properties " + strings.Join(missing, ", ") + " were not present."
		}
		c.problem(SeverityError, v.at, v.path(), code, "%s needs %s%s", o.place, joinAnd(missing), c.example(o, missing[0]))
	}
	c.alternatives(v, o)
	for _, a := range o.apart {
		if v.get(a[0]) != nil && v.get(a[1]) != nil {
			if slices.Contains(o.oneOf, a[0]) && slices.Contains(o.oneOf, a[1]) {
				continue
			}
			second := v.get(a[1])
			if first := v.get(a[0]); first.keyAt.line > second.keyAt.line || first.keyAt.line == second.keyAt.line && first.keyAt.column > second.keyAt.column {
				second = first
			}
			c.problem(SeverityError, second.keyAt, v.path(), "Expected schema not to match but it did.",
				"%s cannot have both %q and %q; remove one of them", o.place, a[0], a[1])
		}
	}
}

func (c *checker) alternatives(v *value, o *object) {
	var there []string
	for _, name := range append(append([]string{}, o.oneOf...), o.anyOf...) {
		if c.given(v, name) {
			there = append(there, name)
		}
	}
	switch {
	case len(o.oneOf)+len(o.anyOf) == 0 || c.used:
	case len(there) == 0:
		code, rule := oneOfNone, "exactly one of "
		if len(o.anyOf) > 0 {
			code, rule = "Expected any of the schemata to match but none did.", "at least one of "
		}
		all := append(append([]string{}, o.oneOf...), o.anyOf...)
		if o.name == "task" {
			code, rule, all = "Required property jobs was not present.", "", []string{"jobs"}
		}
		c.problem(SeverityError, v.at, v.path(), code, "%s needs %s%s", o.place, rule, quoteAll(all))
	case len(o.oneOf) > 0 && len(there) > 1:
		var at []string
		for i, name := range o.oneOf {
			if c.given(v, name) {
				at = append(at, itoa(i))
			}
		}
		c.problem(SeverityError, v.at, v.path(), "Expected exactly one of the schemata to match, but the schemata at the following indexes did: "+
			strings.Join(at, ", ")+".", "%s can have only one of %s; remove the others", o.place, quoteAll(there))
	}
}

// given tells whether the file has the key, even if its value could not be read.
func (c *checker) given(v *value, name string) bool {
	if v.get(name) != nil {
		return true
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if k := resolve(v.node.Content[i]); k != nil && k.Value == name {
			return true
		}
	}
	return false
}

// example shows how a missing key may look.
func (c *checker) example(o *object, name string) string {
	switch o.name + "." + name {
	case "pipeline.agent":
		return `; for example "agent: {machine: {type: s1-linux}}"`
	case "agent.machine":
		return `; for example "machine: {type: s1-linux}"`
	case "env_var.value":
		return `; write value: "" for an empty one`
	case "condition.when":
		return `; for example when: "branch = 'main'"`
	}
	return ""
}

func joinAnd(names []string) string {
	out := make([]string, len(names))
	for i, s := range names {
		out[i] = `"` + s + `"`
	}
	if len(out) == 1 {
		return out[0]
	}
	return strings.Join(out[:len(out)-1], ", ") + " and " + out[len(out)-1]
}
