package spec

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	maxBytes = 1 << 20 // of the file
	maxDepth = 100     // of lists and maps inside each other
)

// mark is a place in the file, both numbers from 1; column counts characters.
type mark struct{ line, column int }

// source is the text of a pipeline file, ready to be read as YAML.
type source struct {
	lines   []string // without line ends
	text    string   // with marker in place of backslashes
	marker  rune     // stands for the backslash of every escape YAML does not know; 0 when there are none
	escapes []escape // where those were, in order
}

type escape struct {
	at mark
	of rune // the character after the backslash
}

// newSource checks the bytes themselves. The problem is nil when the text may be read.
func newSource(data []byte) (*source, *Problem) {
	if len(data) > maxBytes {
		return nil, &Problem{Line: 1, Column: 1, Message: fmt.Sprintf(
			"the file has %d bytes, more than the 1048576 (1 MiB) a pipeline file may have; move long scripts into files of the repository",
			len(data))}
	}
	s := string(data)
	if at := invalidUTF8(s); at >= 0 {
		m := markOf(s, at)
		return nil, &Problem{Line: m.line, Column: m.column, Message: fmt.Sprintf(
			"the byte 0x%02x is not UTF-8; save the file in UTF-8", s[at])}
	}
	s = strings.TrimPrefix(s, "\ufeff")
	if at := strings.IndexFunc(s, unprintable); at >= 0 {
		m := markOf(s, at)
		r, _ := utf8.DecodeRuneInString(s[at:])
		return nil, &Problem{Line: m.line, Column: m.column, Message: fmt.Sprintf(
			"the control character %U may not stand in a YAML file; remove it", r)}
	}
	src := &source{lines: strings.Split(breaks.Replace(s), "\n"), text: s}
	src.maskEscapes()
	return src, nil
}

// breaks makes one of all the line ends that the YAML reader counts.
var breaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

// unprintable tells whether YAML forbids r.
func unprintable(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r' || r == 0x85:
		return false
	case r < 0x20 || r >= 0x7f && r < 0xa0:
		return true
	}
	return r == 0xfffe || r == 0xffff || r == 0xfeff
}

func markOf(s string, offset int) mark {
	before := breaks.Replace(s[:offset])
	start := strings.LastIndexByte(before, '\n') + 1
	return mark{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1}
}

// knownEscapes are the characters that may follow a backslash in double quotes.
const knownEscapes = "0abt\tnvfre \"/\\N_LPxuU\r\n\u0085\u2028\u2029"

// maskEscapes puts a character that the file does not contain in place of every backslash that would be an unknown
// escape if it stood in double quotes. Everywhere else a backslash means nothing to YAML, so the swap changes neither
// structure nor columns, and unmask can undo it once the reader has found out what is quoted and how.
func (s *source) maskEscapes() {
	var at []int
	var of []rune
	for i := 0; i < len(s.text); {
		j := strings.IndexByte(s.text[i:], '\\')
		if j < 0 {
			break
		}
		i += j
		end := i
		for end < len(s.text) && s.text[end] == '\\' {
			end++
		}
		r, _ := utf8.DecodeRuneInString(s.text[end:])
		if (end-i)%2 == 1 && end < len(s.text) && !strings.ContainsRune(knownEscapes, r) {
			at, of = append(at, end-1), append(of, r)
		}
		i = end
	}
	if len(at) == 0 {
		return
	}
	s.marker = freeRune(s.text)
	if s.marker == 0 {
		return
	}
	var b strings.Builder
	b.Grow(len(s.text) + 2*len(at))
	last, here := 0, mark{1, 1}
	for i, pos := range at {
		part := breaks.Replace(s.text[last:pos])
		if nl := strings.LastIndexByte(part, '\n'); nl >= 0 {
			here = mark{here.line + strings.Count(part, "\n"), 1}
			part = part[nl+1:]
		}
		here.column += utf8.RuneCountInString(part)
		s.escapes = append(s.escapes, escape{here, of[i]})
		here.column++ // the backslash
		b.WriteString(s.text[last:pos])
		b.WriteRune(s.marker)
		last = pos + 1
	}
	b.WriteString(s.text[last:])
	s.text = b.String()
}

// freeRune returns a private-use character that s does not contain, 0 when there is none.
func freeRune(s string) rune {
	used := map[rune]bool{}
	for _, r := range s {
		if r >= 0xe000 && r <= 0xf8ff {
			used[r] = true
		}
	}
	for r := rune(0xe000); r <= 0xf8ff; r++ {
		if !used[r] {
			return r
		}
	}
	return 0
}

// read returns the root of the file's only document, nil with no problem for an empty file.
func (s *source) read() (*yaml.Node, *Problem) {
	loader, err := yaml.NewLoader(strings.NewReader(s.text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		return nil, &Problem{Line: 1, Column: 1, Message: "the YAML reader cannot start: " + err.Error()}
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, s.rephrase(err)
	}
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		at := mark{second.Line, second.Column}
		if err != nil {
			p := s.rephrase(err)
			at = mark{p.Line, p.Column}
		}
		at = s.documentStart(at)
		return nil, &Problem{Line: at.line, Column: at.column, Message: "a second document starts here, but a pipeline file is one " +
			`document; remove the line "---" or put the rest into a file of its own`}
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

// documentStart returns the place of the last "---" at or before at.
func (s *source) documentStart(at mark) mark {
	for line := min(at.line, len(s.lines)); line > 1; line-- {
		if strings.HasPrefix(s.lines[line-1], "---") {
			return mark{line, 1}
		}
	}
	return at
}

// clamp moves m into the file.
func (s *source) clamp(m mark) mark {
	last := len(s.lines)
	if last > 1 && s.lines[last-1] == "" {
		last--
	}
	if m.line < 1 {
		return mark{1, 1}
	}
	if m.line > last {
		return mark{last, utf8.RuneCountInString(s.lines[last-1]) + 1}
	}
	return mark{m.line, max(1, min(m.column, utf8.RuneCountInString(s.lines[m.line-1])+1))}
}

// after returns the text of the file from m to the end of its line.
func (s *source) after(m mark) string {
	if m.line < 1 || m.line > len(s.lines) {
		return ""
	}
	l := s.lines[m.line-1]
	for range m.column - 1 {
		_, size := utf8.DecodeRuneInString(l)
		l = l[size:]
	}
	return l
}
