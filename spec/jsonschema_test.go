package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v4"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema tells whether a problem is about what a schema can say, by the text that existing clients know.
func bySchema(p Problem) bool {
	if p.Severity != SeverityError {
		return false
	}
	for _, start := range []string{
		"Expected", "Required propert", "Schema does not allow", "Type mismatch", "Version: ", "Value is not allowed in enum",
	} {
		if strings.HasPrefix(p.Code, start) {
			return true
		}
	}
	return strings.HasPrefix(p.Code, "Parallelism value") || strings.HasPrefix(p.Code, "Matrix values for")
}

// Every file of the examples and mistakes is judged alike by the reader and by the schema.
func TestJSONSchemaAgreesOnFiles(t *testing.T) {
	s := compiledSchema(t)
	good, bad := 0, 0
	for _, dir := range []string{"examples", "examples/invalid", "mistakes"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if yaml.Unmarshal(data, &doc) != nil {
				continue // no YAML for programs that are stricter than we are
			}
			want := !slices.ContainsFunc(Parse(data, Options{}).Problems, bySchema)
			got := s.Validate(viaJSON(t, doc))
			if (got == nil) != want {
				t.Errorf("%s: the schema says %v, the reader says right: %v", file, got, want)
			}
			if want {
				good++
			} else {
				bad++
			}
			if dir == "examples" && !want {
				t.Errorf("%s is an example and must be right", file)
			}
		}
	}
	if good < 15 || bad < 15 {
		t.Errorf("%d right and %d wrong files are too few to tell", good, bad)
	}
}

// viaJSON makes of a document what a schema looks at.
func viaJSON(t *testing.T, doc any) any {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sample is a right value of an object: what it must have, and the first of what it must choose from.
func sample(o *object) map[string]any {
	m := map[string]any{}
	for i := range o.keys {
		k := &o.keys[i]
		if k.required || k.name == "version" || len(o.oneOf) > 0 && k.name == o.oneOf[0] || len(o.anyOf) > 0 && k.name == o.anyOf[0] {
			m[k.name] = sampleOf(k, 0)
		}
	}
	return m
}

// sampleOf is a right value of a key, in the n-th of the forms it takes.
func sampleOf(k *key, n int) any {
	switch form := forms(k)[n]; form {
	case mapping:
		return sample(objects[k.object])
	case list:
		if k.object != "" {
			return []any{sample(objects[k.object])}
		}
		return []any{"a"}
	case integer:
		return max(k.min, 1)
	case boolean:
		return true
	}
	switch {
	case k.name == "version":
		return "v1.0"
	case len(k.enum) > 0:
		return k.enum[0]
	case k.role == template:
		return "%{{ parameters.N }}"
	case k.role == condition:
		return "branch = 'main'"
	}
	return "text"
}

func forms(k *key) (out []kind) {
	for _, n := range kindNames {
		if k.kind&n.kind != 0 {
			out = append(out, n.kind)
		}
	}
	return out
}

// around returns a right document that holds inner as an object.
func around(name string, inner map[string]any) map[string]any {
	for name != "pipeline" {
		h := holders(name)[0]
		outer := sample(h.in)
		for _, other := range h.in.oneOf {
			if slices.Contains(h.in.oneOf, h.key.name) {
				delete(outer, other)
			}
		}
		for _, a := range h.in.apart {
			if a[0] == h.key.name {
				delete(outer, a[1])
			} else if a[1] == h.key.name {
				delete(outer, a[0])
			}
		}
		if h.key.kind&list != 0 {
			outer[h.key.name] = []any{inner}
		} else {
			outer[h.key.name] = inner
		}
		name, inner = h.in.name, outer
	}
	return inner
}

// TestJSONSchemaAgreesOnKeys tries every key of the table with every kind of value, present and absent, alone and beside
// every other key of its object.
func TestJSONSchemaAgreesOnKeys(t *testing.T) {
	s := compiledSchema(t)
	values := []any{
		nil, true, -1, 0, 1, 50, 51, 100, 101, 1.5, "", "text", "v2.0", "%{{ parameters.N }}", "x %{{ parameters.N }}",
		[]any{},
		[]any{"a"},
		[]any{1},
		[]any{map[string]any{}},
		map[string]any{},
		map[string]any{"x": 1},
	}
	tried := 0
	same := func(o *object, what string, inner map[string]any) {
		t.Helper()
		tried++
		doc := around(o.name, inner)
		text, err := json.Marshal(doc) // JSON is YAML
		if err != nil {
			t.Fatal(err)
		}
		problems := Parse(text, Options{}).Problems
		want := !slices.ContainsFunc(problems, bySchema)
		if got := s.Validate(viaJSON(t, doc)); (got == nil) != want {
			t.Errorf("%s, %s: the schema says %v, the reader %v", o.name, what, got, problems)
		}
	}
	for i := range table {
		o := &table[i]
		same(o, "a sample", sample(o))
		with := func(name string, v any) map[string]any {
			m := maps.Clone(sample(o))
			m[name] = v
			return m
		}
		same(o, "an unknown key", with("unknown", 1))
		same(o, "an anchor holder", with("x-unknown", 1))
		same(o, "another anchor holder", with(".unknown", 1))
		for j := range o.keys {
			k := &o.keys[j]
			for n := range forms(k) {
				same(o, k.name+" as it should be", with(k.name, sampleOf(k, n)))
			}
			for _, v := range values {
				same(o, fmt.Sprintf("%s: %v", k.name, v), with(k.name, v))
			}
			for l := range o.keys {
				m := with(k.name, sampleOf(k, 0))
				m[o.keys[l].name] = sampleOf(&o.keys[l], 0)
				same(o, k.name+" beside "+o.keys[l].name, m)
			}
			m := sample(o)
			delete(m, k.name)
			same(o, "without "+k.name, m)
			if k.kind&list != 0 && k.max > 0 && k.max < 1000 {
				many := slices.Repeat(sampleOf(k, slices.Index(forms(k), list)).([]any), k.max+1)
				same(o, "too many "+k.name, with(k.name, many))
			}
		}
	}
	if tried < 2000 {
		t.Errorf("only %d documents were tried", tried)
	}
}

func TestJSONSchemaDescribesEveryKey(t *testing.T) {
	var s struct {
		Definitions map[string]struct {
			Description string                     `json:"description"`
			Properties  map[string]json.RawMessage `json:"properties"`
		} `json:"definitions"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(JSONSchema(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Definitions) != len(table)-1 {
		t.Errorf("%d definitions for %d objects", len(s.Definitions), len(table))
	}
	for _, o := range table {
		properties := s.Definitions[o.name].Properties
		if o.name == "pipeline" {
			properties = s.Properties
		} else if s.Definitions[o.name].Description != o.doc {
			t.Errorf("%s is described as %q", o.name, s.Definitions[o.name].Description)
		}
		if len(properties) != len(o.keys) {
			t.Errorf("%s has %d keys, in the schema %d", o.name, len(o.keys), len(properties))
		}
		for _, k := range o.keys {
			var p struct {
				Description string `json:"description"`
			}
			if err := json.Unmarshal(properties[k.name], &p); err != nil || !strings.HasPrefix(p.Description, k.doc) ||
				k.later != "" && !strings.Contains(p.Description, k.later) {
				t.Errorf("%s.%s is described as %q, %v", o.name, k.name, p.Description, err)
			}
		}
	}
}
