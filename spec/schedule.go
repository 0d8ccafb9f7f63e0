package spec

import (
	"fmt"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox"
)

// Schedule is a document that defines a task. What is nil was not in it.
type Schedule struct {
	ID, Name, Description string
	Project               string // a name
	Recurring             bool
	At, Ref, PipelineFile string // Ref is full
	Paused                *bool
	Parameters            []ScheduleParameter
	TimeZone              *string
	Overlap               *string
	CatchUp               *string
}

// ScheduleParameter is a parameter of a document; a pattern that was not in it is nil.
type ScheduleParameter struct {
	signalbox.TaskParameter
	Validate *bool
	Pattern  *string
}

// scheduleKeys are the keys of spec by version, with * behind those that must be there. The last three are ours.
var scheduleKeys = map[string]string{
	"v1.0": "project* branch* at* pipeline_file* paused",
	"v1.1": "project* recurring* branch at pipeline_file paused parameters time_zone overlap catch_up",
	"v1.2": "project* recurring* reference branch at pipeline_file paused parameters time_zone overlap catch_up",
}

// ParseSchedule reads a document of kind Schedule, of version v1.0, v1.1 or v1.2. Its error names the line.
func ParseSchedule(data []byte) (*Schedule, error) {
	src, problem := newSource(data)
	var root *yaml.Node
	if problem == nil {
		root, problem = src.read()
	}
	if problem != nil {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the document cannot be read: line %d: %s", problem.Line, problem.Message)
	}
	r := &scheduleReader{}
	s := r.schedule(root)
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

// scheduleReader keeps the first error.
type scheduleReader struct{ err error }

func (r *scheduleReader) fail(n *yaml.Node, format string, args ...any) {
	if r.err == nil {
		line := 1
		if n != nil {
			line = n.Line
		}
		r.err = signalbox.Errorf(signalbox.CodeInvalid, "line %d: %s", line, fmt.Sprintf(format, args...))
	}
}

// keys reads a map whose keys are known; those with * must be there.
func (r *scheduleReader) keys(n *yaml.Node, what, known string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	n = real(n)
	if n == nil || n.Kind != yaml.MappingNode {
		r.fail(n, "%s must be a map of %s", what, strings.ReplaceAll(known, "*", ""))
		return out
	}
	names := strings.Fields(strings.ReplaceAll(known, "*", ""))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case !slices.Contains(names, key.Value):
			r.fail(key, "unknown key %.60q in %s; it has %s", key.Value, what, strings.Join(names, ", "))
		case out[key.Value] != nil:
			r.fail(key, "%s stands in %s twice", key.Value, what)
		}
		out[key.Value] = real(n.Content[i+1])
	}
	for _, name := range strings.Fields(known) {
		if must, ok := strings.CutSuffix(name, "*"); ok && out[must] == nil {
			r.fail(n, "%s has no %s; add it", what, must)
		}
	}
	return out
}

// real follows an alias; one that leads to another alias does not exist.
func real(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (r *scheduleReader) text(m map[string]*yaml.Node, key string) string {
	n := m[key]
	switch {
	case n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return ""
	case n.Kind != yaml.ScalarNode:
		r.fail(n, "%s must be a text", key)
		return ""
	}
	return n.Value
}

func (r *scheduleReader) textOrNil(m map[string]*yaml.Node, key string) *string {
	if m[key] == nil {
		return nil
	}
	s := r.text(m, key)
	return &s
}

func (r *scheduleReader) flag(m map[string]*yaml.Node, key string) *bool {
	n := m[key]
	if n == nil {
		return nil
	}
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		r.fail(n, "%s must be true or false", key)
		return nil
	}
	is := n.Value == "true"
	return &is
}

func (r *scheduleReader) items(m map[string]*yaml.Node, key string) []*yaml.Node {
	n := m[key]
	switch {
	case n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil
	case n.Kind != yaml.SequenceNode:
		r.fail(n, "%s must be a list", key)
		return nil
	}
	return n.Content
}

func (r *scheduleReader) schedule(root *yaml.Node) *Schedule {
	top := r.keys(root, "the document", "apiVersion* kind* metadata* spec*")
	version := r.text(top, "apiVersion")
	if kind := r.text(top, "kind"); kind != "Schedule" {
		r.fail(top["kind"], "kind is %.60q; it must be Schedule", kind)
	}
	known, ok := scheduleKeys[version]
	if !ok {
		r.fail(top["apiVersion"], "apiVersion is %.60q; it must be v1.0, v1.1 or v1.2", version)
	}
	if r.err != nil {
		return nil
	}
	meta := r.keys(top["metadata"], "metadata", "name* id description")
	m := r.keys(top["spec"], "spec", known)
	s := &Schedule{
		ID: r.text(meta, "id"), Name: r.text(meta, "name"), Description: r.text(meta, "description"), Project: r.text(m, "project"),
		Recurring: true, At: r.text(m, "at"), Ref: signalbox.ParseRef(r.text(m, "branch")), PipelineFile: r.text(m, "pipeline_file"),
		Paused: r.flag(m, "paused"), TimeZone: r.textOrNil(m, "time_zone"), Overlap: r.textOrNil(m, "overlap"), CatchUp: r.textOrNil(m, "catch_up"),
	}
	if f := r.flag(m, "recurring"); f != nil {
		s.Recurring = *f
	}
	if ref := m["reference"]; ref != nil {
		if m["branch"] != nil {
			r.fail(ref, "spec has both branch and reference; keep one")
		}
		s.Ref = r.reference(ref)
	}
	for i, n := range r.items(m, "parameters") {
		s.Parameters = append(s.Parameters, r.parameter(n, fmt.Sprintf("parameter %d", i+1)))
	}
	return s
}

func (r *scheduleReader) reference(n *yaml.Node) string {
	m := r.keys(n, "reference", "type* name*")
	ref, err := signalbox.RefOf(r.text(m, "type"), r.text(m, "name"))
	if err != nil {
		r.fail(n, "%s", signalbox.ErrorMessage(err))
	}
	return ref
}

func (r *scheduleReader) parameter(n *yaml.Node, what string) ScheduleParameter {
	m := r.keys(n, what, "name* required* options default_value description regex_pattern validate_input_format")
	p := ScheduleParameter{Validate: r.flag(m, "validate_input_format"), Pattern: r.textOrNil(m, "regex_pattern")}
	p.Name, p.Description, p.Default = r.text(m, "name"), r.text(m, "description"), r.text(m, "default_value")
	if f := r.flag(m, "required"); f != nil {
		p.Required = *f
	}
	for _, o := range r.items(m, "options") {
		if o = real(o); o.Kind != yaml.ScalarNode {
			r.fail(o, "an option of %s must be a text", what)
		}
		p.Options = append(p.Options, o.Value)
	}
	return p
}
