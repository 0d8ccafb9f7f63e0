package spec

import (
	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// Options say what Parse cannot see in the text. The zero value is useful.
type Options struct {
	File string // the file's name in messages; "pipeline.yml" when empty
	Path string // where it lies in the repository, for files that it names; "" is File
}

// Build is what a pipeline file is compiled for: the values that its conditions and templates ask for, and the files of
// the repository that it names.
type Build struct {
	Branch, Tag, PullRequest string // one of them is not empty
	DefaultBranch            string
	Scheduled                bool // started by a task, not by a push
	Promotion                bool // by a promotion

	Parameters map[string]string
	// Variable answers a template that asks for a name that is no parameter; nil knows none.
	Variable func(name string) (string, bool)
	// LegacyTemplates puts the name of a parameter in the place of a value that is missing, instead of an error.
	LegacyTemplates bool

	// File reads a file of the repository by its path from the root; nil when there is no repository.
	File func(path string) ([]byte, error)
	// Call answers a function of a condition; nil when there is no repository to ask.
	Call func(c *when.Call, promotion bool) (value bool, why string, err error)
	// Target tells whether the project has a deployment target of that name; nil when nobody can know.
	Target func(name string) bool
}

// Result is what Parse or Compile found.
type Result struct {
	Plan     *signalbox.Plan // of Compile; nil when Problems.HasErrors
	Name     string          // what to call the pipeline: "Pipeline" when the file gives it no name
	Problems Problems        // warnings too, sorted by position
	Blocks   int             // as written
	Jobs     int             // as written in the blocks, before matrices and parallelism
}

// Parse checks a pipeline file by itself. Whatever data is, it returns everything that is wrong with it.
func Parse(data []byte, o Options) *Result { return read(data, o, nil) }

// Compile turns a pipeline file into the plan of one run, or says everything that stands in its way.
func Compile(data []byte, o Options, b Build) *Result { return read(data, o, &b) }

func read(data []byte, o Options, b *Build) *Result {
	if o.File == "" {
		o.File = "pipeline.yml"
	}
	if o.Path == "" {
		o.Path = o.File
	}
	c := &checker{file: o.Path, build: b, report: &report{file: o.File}, conditions: map[conditionKey][]when.Finding{}}
	res := &Result{Name: "Pipeline"}
	if root := c.parse(data); root != nil {
		if name := root.string("name"); name != "" {
			res.Name = name
		}
		res.Blocks = len(root.list("blocks"))
		for _, block := range root.list("blocks") {
			res.Jobs += len(block.get("task").list("jobs"))
		}
		if b != nil {
			res.Plan = c.compile(root)
		}
	}
	res.Problems = c.report.problems()
	if res.Problems.HasErrors() {
		res.Plan = nil
	}
	return res
}

// parse returns the checked top level, nil when the text cannot be read that far.
func (c *checker) parse(data []byte) *value {
	node := c.load(data)
	if node == nil {
		return nil
	}
	root := c.root(node)
	if root == nil {
		return nil
	}
	c.taskFiles(root)
	c.semantics(root)
	return root
}

// load reads the text as YAML and fills in its templates.
func (c *checker) load(data []byte) *yaml.Node {
	src, problem := newSource(data)
	var node *yaml.Node
	if problem == nil {
		c.src = src
		if node, problem = src.read(); problem == nil && node == nil {
			problem = &Problem{
				Line: 1, Column: 1, Code: "Required property 'version' missing or not string",
				Message: `the file is empty; a pipeline begins with "version: v1.0" and needs "agent" and "blocks"`,
			}
		}
	}
	if problem != nil {
		problem.Path, problem.Severity = "#", SeverityError
		c.report.add(*problem)
		return nil
	}
	if c.build != nil {
		c.expand(node)
	}
	return node
}
