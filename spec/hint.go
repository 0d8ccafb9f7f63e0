package spec

import (
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// describe says what a value is.
func describe(v *value) string {
	switch typeName(v.node) {
	case "Object":
		return "a map"
	case "Array":
		return "a list"
	case "Integer", "Number":
		return "the number " + cut(v.text, 20)
	case "Boolean":
		return v.text + ", which is a boolean"
	case "Null":
		return "nothing"
	}
	return "the text " + quote(v.text)
}

// mismatch reports a value of the wrong form, with the likely remedy.
func (c *checker) mismatch(v *value, k *key, item bool) {
	if c.report.full(SeverityError) {
		return
	}
	want, what, subject := k.kind, k.what(), quote(k.name)
	if item {
		subject = "an item of " + subject
		want, what = k.item, "text"
		if k.object != "" {
			want, what = mapping, "a map"
		}
	}
	code := oneOfNone
	if want.String() != "" {
		code = "Type mismatch. Expected " + want.String() + " but got " + typeName(v.node) + "."
	}
	c.wrong(v, code, "%s must be %s, but this is %s%s", subject, what, describe(v), c.remedy(v, k, want, item))
}

func (c *checker) remedy(v *value, k *key, want kind, item bool) string {
	got := typeName(v.node)
	scalarInFile := v.at == mark{v.node.Line, v.node.Column}
	switch {
	case got == "Null" && item:
		return "; remove the empty item or write something behind it"
	case got == "Null" && want == text && k.required:
		return `; write "" for an empty text`
	case got == "Null" && want&list != 0:
		return "; write [] for an empty list, or remove the key"
	case got == "Null":
		return "; write a value or remove the key"
	case want&text != 0 && (got == "Integer" || got == "Number" || got == "Boolean"):
		return "; put it in quotes: " + single(v.text)
	case want == text && item && got == "Object":
		line := c.src.after(v.at)
		if v.node.Style&yaml.FlowStyle == 0 && scalarInFile && line != "" && len(v.node.Content) == 2 && len(line) < 400 {
			return `, because ": " in it makes it one; quote the whole line: - ` + single(strings.TrimRight(line, " \t"))
		}
		return `, because of a ": " in it; quote the whole text`
	case want&list != 0 && k.object != "" && got == "Object":
		return `; put "- " before its first key`
	case want&list != 0 && got == "String" && k.kind&list != 0 && k.object == "":
		return "; write it as a list: " + k.name + ": [" + single(cut(v.text, 60)) + "]"
	case want == mapping && got == "String" && k.object == "agent":
		return "; write agent: {machine: {type: " + cut(v.text, 60) + "}}"
	case want == mapping && got == "String" && k.object == "machine":
		return "; write machine: {type: " + cut(v.text, 60) + "}"
	case want == mapping && got == "String" && item && objects[k.object].key("name") != nil:
		return "; write - name: " + cut(v.text, 60)
	case want == mapping && got == "String" && k.object == "condition":
		return "; put the condition under when: " + k.name + ": {when: …}"
	case want == mapping && k.object == "condition" && got == "Boolean":
		return "; write " + k.name + ": {when: " + v.text + "}"
	case want == mapping && (got == "Array" || got == "String") && (k.object == "commands" || k.object == "epilogue"):
		return `; put the commands under "commands"`
	case want == mapping && got == "Array":
		return `; remove the "- " before its first key`
	case want == mapping && k.object == "limit":
		return "; write " + k.name + ": {minutes: 30}"
	case want&integer != 0 && got == "String":
		return "; remove the quotes if it is a number"
	case want == boolean && (v.text == "true" || v.text == "false"):
		return "; remove the quotes"
	}
	return ""
}

// unknown reports a key that the table does not have in this place.
func (c *checker) unknown(v *value, o *object, name string, at mark) {
	if c.report.full(SeverityError) {
		return
	}
	path := (&value{parent: v, step: name}).path()
	hint := ""
	if w := nearest(name, o.keyNames()); w != "" {
		hint = "did you mean " + quote(w) + "?"
	} else if where := c.belongs(o, name); where != "" {
		hint = "it belongs " + where
	} else if name == "<<" {
		hint = "remove the quotes to merge maps"
	} else if o.name == "pipeline" {
		hint = `to keep an anchor here, begin the key with "." or "x-"`
	}
	if hint != "" {
		hint = "; " + hint
	}
	allowed := o.keyNames()
	c.problem(SeverityError, at, path, "Schema does not allow additional properties.",
		"%s is not a key of %s%s (possible here: %s)", quote(name), o.place, hint, strings.Join(allowed, ", "))
}

// belongs says where a key may stand that is not possible in o: in what stands inside o, in what o stands in, or
// anywhere else.
func (c *checker) belongs(o *object, name string) string {
	var places []string
	for _, k := range o.keys {
		if k.object == "" || objects[k.object].key(name) == nil {
			continue
		}
		if k.kind&list != 0 {
			places = append(places, "inside an item of "+quote(k.name))
		} else {
			places = append(places, "inside "+quote(k.name))
		}
	}
	outward := "further out, "
	for i := len(c.around) - 1; i >= 0; i-- {
		if c.around[i].key(name) != nil {
			places = append(places, outward+"in "+strings.Replace(c.around[i].place, "a ", "the ", 1))
			outward = ""
		}
	}
	if len(places) == 0 || o.name == "pipeline" {
		for i := range table {
			if other := &table[i]; other != o && other.key(name) != nil && len(places) < 3 && !c.reaches(o, other) {
				places = append(places, "in "+other.place)
			}
		}
	}
	return joinOr(places)
}

// reaches tells whether other stands directly inside o.
func (c *checker) reaches(o, other *object) bool {
	for _, h := range holders(other.name) {
		if h.in == o {
			return true
		}
	}
	return false
}
