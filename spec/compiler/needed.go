package compiler

import (
	"regexp"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox/spec"
)

var placeholder = regexp.MustCompile(`[$%]\{\{.*\}\}`)

// Needed tells whether compiling changes anything in a pipeline file: it has a commands_file, a change_in in a condition,
// or a template in the value of a key other than commands. What stands in a list is not looked at, as in clusters that
// this replaces. A file that cannot be read needs nothing.
func Needed(data []byte) bool {
	root, problem := spec.Document(data)
	if problem != nil || root == nil {
		return false
	}
	return needed(root, map[*yaml.Node]bool{})
}

func needed(n *yaml.Node, seen map[*yaml.Node]bool) bool {
	if seen[n] {
		return false
	}
	seen[n] = true
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode {
			if i%2 == 0 {
				if c.Value == "commands_file" {
					return true
				}
				continue
			}
			key := n.Content[i-1].Value
			if c.Kind == yaml.ScalarNode && (key == "when" && strings.Contains(c.Value, "change_in") || key != "commands" && placeholder.MatchString(c.Value)) {
				return true
			}
		}
		if needed(c, seen) {
			return true
		}
	}
	return n.Alias != nil && needed(n.Alias, seen)
}
