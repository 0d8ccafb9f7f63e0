package compiler

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/spec/change"
	"github.com/signalbox-ci/signalbox/spec/template"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// Options say what the file can draw on. A part that is nil is left as it is.
type Options struct {
	File     string                                    // the pipeline file, from the root of the repository
	ReadFile func(name string) ([]byte, error)         // reads a file of the repository, for commands_file
	Lookup   func(name string) (value string, ok bool) // knows the parameters, for templates
	Legacy   bool                                      // a parameter that is not set stands for its own name
	Changes  *change.Evaluator                         // for change_in
}

// Kinds of findings.
const (
	InvalidCondition = "ErrorInvalidWhenExpression"
	MissingBranch    = "ErrorChangeInMissingBranch"
	InvalidTemplate  = "ErrorInvalidTemplate"
	InvalidCommands  = "ErrorInvalidCommandsFile"
	InvalidYAML      = "ErrorInvalidYAML"
	Doubt            = "Warning" // does not keep the file from running
)

// Finding is one line of the log.
type Finding struct {
	Message  string   `json:"message"`
	Location Location `json:"location"`
	Type     string   `json:"type"`
}

// Location is where a finding is: a file, and the keys and indexes that lead to the place.
type Location struct {
	File string   `json:"file"`
	Path []string `json:"path"`
}

// maxFindings bounds the log of a file that is wrong everywhere.
const maxFindings = 200

// Compile returns the file with everything put in. It is nil when a finding is more than a doubt; an error is about the
// repository that could not be read.
func Compile(ctx context.Context, data []byte, o Options) (out []byte, findings []Finding, err error) {
	c := &compiler{options: o}
	root, problem := spec.Document(data)
	if problem != nil {
		c.find(InvalidYAML, nil, fmt.Sprintf("line %d, column %d: %s", problem.Line, problem.Column, problem.Message))
		return nil, c.findings, nil
	}
	if root == nil {
		return data, nil, nil
	}
	steps := []func(context.Context, *yaml.Node, []string) error{c.commands, c.templates, c.parse, c.conditions}
	for _, step := range steps {
		c.seen = map[*yaml.Node]bool{}
		if err := c.walk(ctx, root, nil, step); err != nil {
			return nil, c.findings, err
		}
		if c.failed {
			return nil, c.findings, nil
		}
	}
	out, err = yaml.Dump(root, yaml.WithIndent(2), yaml.WithLineWidth(-1), yaml.WithCompactSeqIndent(false))
	return out, c.findings, err
}

type compiler struct {
	options  Options
	findings []Finding
	failed   bool
	seen     map[*yaml.Node]bool
}

func (c *compiler) find(kind string, at []string, message string) {
	c.failed = c.failed || kind != Doubt
	if len(c.findings) < maxFindings {
		c.findings = append(c.findings, Finding{Message: message, Location: Location{c.options.File, append([]string{}, at...)}, Type: kind})
	}
}

// walk calls fn with every node once, with the way that leads to it first. What an alias names is visited where it
// stands.
func (c *compiler) walk(ctx context.Context, n *yaml.Node, at []string, fn func(context.Context, *yaml.Node, []string) error) error {
	if c.seen[n] || n.Kind == yaml.AliasNode {
		return nil
	}
	c.seen[n] = true
	if err := fn(ctx, n, at); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := c.walk(ctx, n.Content[i+1], append(at[:len(at):len(at)], n.Content[i].Value), fn); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if err := c.walk(ctx, item, append(at[:len(at):len(at)], strconv.Itoa(i)), fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// commands puts the lines of a commands_file in its place, verbatim and with the blank ones.
func (c *compiler) commands(_ context.Context, n *yaml.Node, at []string) error {
	if n.Kind != yaml.MappingNode || c.options.ReadFile == nil {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value != "commands_file" || value.Kind != yaml.ScalarNode {
			continue
		}
		where := append(at[:len(at):len(at)], key.Value)
		name := value.Value
		if !strings.HasPrefix(name, "/") {
			name = path.Join(path.Dir("/"+c.options.File), name)
		}
		name = strings.TrimPrefix(path.Clean(name), "/")
		text, err := c.options.ReadFile(name)
		lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
		switch {
		case err != nil:
			c.find(InvalidCommands, where, fmt.Sprintf("the commands_file %s cannot be read: %v", name, err))
			continue
		case strings.TrimSpace(string(text)) == "":
			c.find(InvalidCommands, where, "the commands_file at location "+name+" is empty")
			continue
		}
		key.Value = "commands"
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, l := range lines {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: l, Style: yaml.DoubleQuotedStyle})
		}
		n.Content[i+1] = list
	}
	return nil
}

// templates fills in one text, unless it is a command.
func (c *compiler) templates(_ context.Context, n *yaml.Node, at []string) error {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || c.options.Lookup == nil || !strings.Contains(n.Value, "{{") {
		return nil
	}
	for _, step := range at {
		if step == "commands" {
			return nil
		}
	}
	x, err := template.Expand(n.Value, c.options.Lookup, c.options.Legacy)
	if err != nil {
		c.find(InvalidTemplate, at, err.Error())
		return nil //nolint:nilerr // it is a finding
	}
	for _, w := range x.Warnings {
		c.find(Doubt, at, w)
	}
	if text, ok := x.Value.(string); ok || !x.IsValue {
		if !ok {
			text = x.Text
		}
		setText(n, text)
		return nil
	}
	var fresh yaml.Node
	if err := fresh.Encode(x.Value); err != nil {
		return err
	}
	fresh.HeadComment, fresh.LineComment, fresh.FootComment, fresh.Anchor = n.HeadComment, n.LineComment, n.FootComment, n.Anchor
	*n = fresh
	return nil
}

func setText(n *yaml.Node, text string) {
	if text == n.Value {
		return
	}
	n.Value = text
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		n.Style = yaml.DoubleQuotedStyle
	}
}

// condition returns the text of a condition, nil when n is none.
func condition(n *yaml.Node, at []string) *yaml.Node {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && len(at) > 0 && at[len(at)-1] == "when" {
		return n
	}
	return nil
}

// parse reports all conditions that cannot be read, before any of them is evaluated.
func (c *compiler) parse(_ context.Context, n *yaml.Node, at []string) error {
	if condition(n, at) == nil || c.options.Changes == nil {
		return nil
	}
	for _, f := range when.Check(n.Value, at[0] == "promotions") {
		if !f.Warning {
			c.find(InvalidCondition, at, known(f.Code, f.Message))
			break
		}
	}
	return nil
}

// known returns the text existing clients know, without the beginning that they expect to be cut off.
func known(code, message string) string {
	if code == "" {
		return message
	}
	return strings.TrimPrefix(code, "Syntax error on line 1. - ")
}

// conditions replaces the calls in one condition by what they say. One without calls stays as it is written.
func (c *compiler) conditions(ctx context.Context, n *yaml.Node, at []string) error {
	if condition(n, at) == nil || c.options.Changes == nil || c.failed {
		return nil
	}
	e, err := when.Parse(n.Value)
	if err != nil {
		return nil //nolint:nilerr // parse has reported it
	}
	calls := false
	for _, need := range when.Needs(e) {
		_, call := need.(*when.Call)
		calls = calls || call
	}
	if !calls {
		return nil
	}
	before := len(c.options.Changes.Warnings())
	reduced, err := when.Reduce(e, when.Inputs{Call: c.options.Changes.Function(ctx, at[0] == "promotions")})
	var wrong *when.EvaluationError
	switch {
	case errors.As(err, &wrong) && wrong.Err == nil:
		kind := InvalidCondition
		if strings.HasPrefix(wrong.Code, "Unknown git reference") {
			kind = MissingBranch
		}
		c.find(kind, at, known(wrong.Code, wrong.Error()))
		return nil
	case err != nil:
		return err
	}
	for _, w := range c.options.Changes.Warnings()[before:] {
		c.find(Doubt, at, w.Message)
	}
	setText(n, when.Render(reduced))
	return nil
}
