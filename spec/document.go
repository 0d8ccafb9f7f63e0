package spec

import (
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Document reads a pipeline file as the YAML it is, with the same limits and the same tolerance as Parse, and nothing
// checked beyond that. The problem says why it cannot be read; the node is nil for an empty file.
func Document(data []byte) (*yaml.Node, *Problem) {
	src, problem := newSource(data)
	if problem == nil {
		var n *yaml.Node
		if n, problem = src.read(); problem == nil {
			src.unmask(n, map[*yaml.Node]bool{})
			return n, nil
		}
	}
	problem.Path, problem.Severity = "#", SeverityError
	return nil, problem
}

// unmask puts back the backslashes that are meant, as textOf does for single texts.
func (s *source) unmask(n *yaml.Node, seen map[*yaml.Node]bool) {
	if n == nil || s.marker == 0 || seen[n] {
		return
	}
	seen[n] = true
	back := `\`
	if n.Style&yaml.DoubleQuotedStyle != 0 {
		back = ""
	}
	for _, text := range []*string{&n.Value, &n.HeadComment, &n.LineComment, &n.FootComment} {
		*text = strings.ReplaceAll(*text, string(s.marker), back)
	}
	for _, c := range n.Content {
		s.unmask(c, seen)
	}
}
