package spec

import (
	"slices"

	yaml "go.yaml.in/yaml/v4"

	"github.com/signalbox-ci/signalbox"
	texttemplate "github.com/signalbox-ci/signalbox/spec/template"
)

// Parameters returns what the templates of a pipeline file ask for, in the order of the file. A file that cannot be read asks for
// nothing.
func Parameters(data []byte) []signalbox.Parameter {
	root, problem := Document(data)
	if problem != nil {
		return nil
	}
	var out []signalbox.Parameter
	texts(root, map[*yaml.Node]bool{}, func(n *yaml.Node) {
		if !mayBeTemplate(n) {
			return
		}
		for _, p := range texttemplate.Parameters(n.Value) {
			i := slices.IndexFunc(out, func(o signalbox.Parameter) bool { return o.Name == p.Name })
			if i < 0 {
				i = len(out)
				out = append(out, signalbox.Parameter{Name: p.Name, Optional: true})
			}
			out[i].Optional = out[i].Optional && p.Optional
		}
	})
	return out
}

// texts calls visit with every scalar that templates are filled in.
func texts(n *yaml.Node, seen map[*yaml.Node]bool, visit func(*yaml.Node)) {
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value != "commands" {
				texts(n.Content[i+1], seen, visit)
			}
		}
	case yaml.AliasNode:
		texts(n.Alias, seen, visit)
	case yaml.ScalarNode:
		visit(n)
	default:
		for _, k := range n.Content {
			texts(k, seen, visit)
		}
	}
}
