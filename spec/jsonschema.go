package spec

import (
	"encoding/json"
	"slices"
)

// JSONSchema returns the table as a JSON Schema (draft 7, which editors know best), for completion and checks while
// writing. What takes more than one key to see, such as names that must differ, only Parse checks.
func JSONSchema() []byte {
	root := schemaOf(objects["pipeline"])
	definitions := schema{}
	for i := range table {
		if o := &table[i]; o.name != "pipeline" {
			definitions[o.name] = schemaOf(o)
		}
	}
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "Pipeline file"
	root["definitions"] = definitions
	root["patternProperties"] = schema{anchorHolders: schema{}}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // the table holds nothing that JSON cannot
	}
	return append(text, '\n')
}

// anchorHolders are keys of the top level that mean nothing, so that anchors can stand there.
const anchorHolders = `^(\.|x-)`

type schema map[string]any

func schemaOf(o *object) schema {
	properties := schema{}
	required := []string{}
	for i := range o.keys {
		k := &o.keys[i]
		properties[k.name] = schemaOfKey(o, k)
		if k.required || o.name == "pipeline" && k.name == "version" {
			required = append(required, k.name)
		}
	}
	s := schema{"type": "object", "description": o.doc, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	if len(o.oneOf) > 0 {
		s["oneOf"] = present(o.oneOf)
	}
	if len(o.anyOf) > 0 {
		s["anyOf"] = present(o.anyOf)
	}
	var rules []schema
	for _, a := range o.apart {
		if slices.Contains(o.oneOf, a[0]) && slices.Contains(o.oneOf, a[1]) {
			continue // said already
		}
		rules = append(rules, schema{"not": schema{"required": a}})
	}
	if len(rules) > 0 {
		s["allOf"] = rules
	}
	return s
}

// present lists the alternatives that one of these keys is there.
func present(names []string) []schema {
	out := make([]schema, len(names))
	for i, n := range names {
		out[i] = schema{"required": []string{n}}
	}
	return out
}

func schemaOfKey(o *object, k *key) schema {
	var forms []schema
	for _, n := range kindNames {
		if k.kind&n.kind != 0 {
			forms = append(forms, schemaOfKind(o, k, n.kind))
		}
	}
	s := schema{"anyOf": forms}
	if len(forms) == 1 {
		s = forms[0]
	}
	s["description"] = k.doc
	if k.later != "" {
		s["description"] = k.doc + " This version of Signalbox cannot run it yet: " + k.later + "."
	}
	return s
}

// schemaOfKind describes the values of one kind that a key takes.
func schemaOfKind(o *object, k *key, form kind) schema {
	switch form {
	case mapping:
		// Beside a reference draft 7 sees nothing else.
		return schema{"allOf": []schema{reference(k.object)}}
	case list:
		s := schema{"type": "array", "items": schema{"type": "string"}}
		if k.object != "" {
			s["items"] = reference(k.object)
		}
		if k.min > 0 {
			s["minItems"] = k.min
		}
		if k.max > 0 {
			s["maxItems"] = k.max
		}
		return s
	case integer:
		s := schema{"type": "integer", "minimum": k.min}
		if k.max > 0 {
			s["maximum"] = k.max
		}
		return s
	case boolean:
		return schema{"type": "boolean"}
	}
	s := schema{"type": "string"}
	switch {
	case o.name == "pipeline" && k.name == "version":
		s["enum"] = []string{"v1.0"}
	case len(k.enum) > 0:
		s["enum"] = k.enum
	case k.role == template:
		s["pattern"] = "^" + templates.String() + "$"
	case k.min > 0:
		s["minLength"] = k.min
	}
	return s
}

func reference(object string) schema { return schema{"$ref": "#/definitions/" + object} }
