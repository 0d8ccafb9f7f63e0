package spec

import (
	"errors"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// yamlMessages says in our words what the YAML reader complains about. The first row whose text occurs counts.
var yamlMessages = []struct{ library, ours string }{
	{"mapping values are not allowed", `": " starts a map here, where there can be none; quote the whole text if the colon belongs to it, or mend the indentation`},
	{"did not find expected '-' indicator", `this line stands at the indentation of a list but does not begin with "- "; mend its indentation, or quote the whole text if a quote ends too early`},
	{"did not find expected key", "this line does not fit into the map above it; mend its indentation, or a quote that ends too early"},
	{"did not find expected ',' or ']'", `"," or "]" is missing in the list that begins with "["`},
	{"did not find expected ',' or '}'", `"," or "}" is missing in the map that begins with "{"`},
	{"did not find expected node content", "a value is missing here"},
	{"did not find expected alphabetic or numeric character", `"*" and "&" at the start of a value belong to YAML itself (aliases and anchors); quote the text if that is not meant`},
	{"did not find expected whitespace or line break", `a blank is missing, or the text must be quoted because it begins with "!"`},
	{"did not find expected hexadecimal number", `after \x, \u and \U in double quotes there must be 2, 4 or 8 hexadecimal digits; use single quotes if the backslash is meant as it is`},
	{"invalid Unicode character escape", `this escape is no character; use single quotes if the backslash is meant as it is`},
	{"found unknown escape character", `this escape is not known in double quotes; use single quotes if the backslash is meant as it is`},
	{"found unexpected end of stream", "the closing quote is missing"},
	{"found unexpected document indicator", "the closing quote is missing before the end of the document"},
	{"could not find expected ':'", `a ":" is missing after this key, or the line is not indented far enough`},
	{"block sequence entries are not allowed", `"- " starts a list here, where there can be none; put it on a line of its own`},
	{"mapping keys are not allowed", `"? " starts a map here, where there can be none; quote the text`},
	{"max depth", "lists and maps stand inside each other more than 100 levels deep; a pipeline needs fewer than 20"},
	{"did not find expected <document start>", "this line fits to nothing above it; mend its indentation, or a quote or bracket that ends too early"},
	{"did not find expected comment or line break", "only a comment may follow here"},
	{"while scanning a block scalar", "this block of text is not written as YAML wants it; put the text on the lines below, indented by blanks"},
	{"found a tab", "a tab stands where only blanks may; use blanks for indentation"},
	{"found a leading blank line", "an empty line before this text is indented further than the text itself; remove the blanks"},
}

// rephrase turns an error of the YAML reader into a problem that shows the line.
func (s *source) rephrase(err error) *Problem {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return &Problem{Line: 1, Column: 1, Message: "the file is not YAML: " + err.Error()}
	}
	at := mark{le.Mark.Line, le.Mark.Column}
	// What is missing at the end is explained best where it began.
	open := le.ContextMark.Line > 0 && (strings.Contains(le.Message, "unexpected end of stream") || strings.Contains(le.Message, "',' or") ||
		strings.Contains(le.Message, "unexpected document indicator") || strings.Contains(le.Message, "could not find expected ':'"))
	if open {
		at = mark{le.ContextMark.Line, le.ContextMark.Column}
	}
	at = s.clamp(at)
	return &Problem{Line: at.line, Column: at.column, Message: s.explain(le, at) + s.quoteLine(at.line)}
}

func (s *source) explain(le *yaml.LoadError, at mark) string {
	if tab, ok := s.tabIndent(at); ok {
		return "line " + itoa(tab) + " is indented with a tab, which YAML does not allow; use blanks"
	}
	if name, ok := strings.CutPrefix(le.Message, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return "the alias *" + name + " refers to no anchor above it; write &" + name +
			` before the value it stands for, or quote the text if "*" belongs to it`
	}
	if strings.Contains(le.Message, "cannot start any token") {
		if rest := s.after(at); rest != "" {
			return "a text cannot begin with " + quote(rest[:1]) + " in YAML; put it in single quotes"
		}
	}
	for _, m := range yamlMessages {
		if strings.Contains(le.Message, m.library) || strings.Contains(le.ContextMsg, m.library) {
			return m.ours + s.quoted(m.library, at)
		}
	}
	return "the file is not YAML: " + le.Message
}

// quoted shows how the list item on the line of at looks in quotes, where that is the likely remedy.
func (s *source) quoted(library string, at mark) string {
	item, ok := strings.CutPrefix(strings.TrimSpace(s.lines[at.line-1]), "- ")
	colon := library == "mapping values are not allowed"
	early := library == "did not find expected '-' indicator" && strings.HasPrefix(item, `"`)
	if !ok || !colon && !early || len(item) > 200 {
		return ""
	}
	return " (- " + single(item) + ")"
}

// tabIndent looks for a tab in the indentation of the line of at, and of the line before it, where the reader may have
// stumbled without noticing.
func (s *source) tabIndent(at mark) (int, bool) {
	for _, n := range []int{at.line, at.line - 1} {
		if n < 1 {
			continue
		}
		line := s.lines[n-1]
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t-"))]
		if strings.Contains(indent, "\t") && !strings.HasPrefix(line[len(indent):], "#") && len(indent) < len(line) {
			return n, true
		}
	}
	return 0, false
}

func (s *source) quoteLine(n int) string {
	line := strings.TrimSpace(s.lines[n-1])
	if line == "" {
		return ""
	}
	return ": " + cut(line, 80)
}
