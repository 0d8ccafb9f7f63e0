package spec

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// Options say what Parse cannot see in the text. The zero value is useful.
type Options struct {
	File string // the file's name in messages; "pipeline.yml" when empty
}

// Result is what Parse found.
type Result struct {
	Plan     *signalbox.Plan // nil when Problems.HasErrors
	Name     string          // what to call the pipeline: "Pipeline" when the file gives it no name
	Problems Problems        // warnings too, sorted by position
}

// Parse reads a pipeline file. Whatever data is, it returns: the plan, or everything that stands in its way.
func Parse(data []byte, o Options) *Result {
	if o.File == "" {
		o.File = "pipeline.yml"
	}
	rep := &report{file: o.File}
	res := &Result{Name: "Pipeline"}
	if root := parse(data, rep); root != nil {
		if name := root.string("name"); name != "" {
			res.Name = name
		}
		res.Plan = compile(root, rep)
	}
	res.Problems = rep.problems()
	if res.Problems.HasErrors() {
		res.Plan = nil
	}
	return res
}

// parse returns the checked top level, nil when the text cannot be read that far.
func parse(data []byte, rep *report) *value {
	src, problem := newSource(data)
	if problem == nil {
		node, p := src.read()
		if problem = p; problem == nil && node == nil {
			problem = &Problem{
				Line: 1, Column: 1, Code: "Required property 'version' missing or not string",
				Message: `the file is empty; a pipeline begins with "version: v1.0" and needs "agent" and "blocks"`,
			}
		}
		if problem == nil {
			c := &checker{src: src, report: rep, conditions: map[conditionKey][]when.Finding{}}
			root := c.root(node)
			if root == nil {
				return nil
			}
			c.semantics(root)
			return root
		}
	}
	problem.Path, problem.Severity = "#", SeverityError
	rep.add(*problem)
	return nil
}
