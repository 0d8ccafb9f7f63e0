package logline

import (
	"bytes"
	"context"
	"regexp"
	"regexp/syntax"
	"time"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

const (
	maxPattern  = 500                    // bytes of what is searched for
	lineHits    = 100                    // hits of one line that are told
	searchBytes = 64 << 10               // of a line that are searched
	tellEvery   = 100 * time.Millisecond // how far a search has come
)

// Query is what is searched for.
type Query struct {
	Text    string
	Pattern bool  // Text is a regular expression
	Case    bool  // large and small letters differ
	From    int64 // the first line
	Limit   int   // hits that are told; all are counted
	// Show returns what a reader sees of a line that is not plain, and of a text with characters beyond ASCII.
	Show func(string) string
}

// Hit is a place in the text of a line as a reader sees it, in UTF-16 units, because browsers count in those.
type Hit struct {
	Line int64 `json:"line"`
	Col  int   `json:"col"`
	Len  int   `json:"len"`
}

// Matcher finds a query in lines.
type Matcher struct {
	literal []byte // what every match contains, in small letters when fold is set; empty when nothing is known
	fold    bool
	re      *regexp.Regexp // nil when a match is the literal
	lower   []byte
}

// NewMatcher prepares a query. A pattern that cannot be understood is CodeInvalid.
func NewMatcher(q Query) (*Matcher, error) {
	switch {
	case q.Text == "":
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "q is empty: say what to search for")
	case len(q.Text) > maxPattern:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "q is %d bytes long; %d are possible", len(q.Text), maxPattern)
	case !utf8.ValidString(q.Text):
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "q is not UTF-8")
	}
	m := &Matcher{fold: !q.Case}
	if !q.Pattern && (q.Case || ascii([]byte(q.Text))) {
		m.literal = []byte(q.Text)
		if m.fold {
			m.literal = lowered(m.literal, nil)
		}
		return m, nil
	}
	text := q.Text
	if !q.Pattern {
		text = regexp.QuoteMeta(text)
	}
	if !q.Case {
		text = "(?i)" + text
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err == nil {
		m.re, err = regexp.Compile(text)
	}
	if err != nil {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the pattern cannot be understood: %v", err)
	}
	lit := required(tree.Simplify())
	m.literal, m.fold = lit.text, lit.fold
	return m, nil
}

// needle is a text that every match contains.
type needle struct {
	text []byte
	fold bool
}

// required returns the longest text that every match of a pattern must contain.
func required(re *syntax.Regexp) (best needle) {
	switch re.Op {
	case syntax.OpLiteral:
		text := []byte(string(re.Rune))
		fold := re.Flags&syntax.FoldCase != 0
		if fold {
			// Letters beyond ASCII have other small forms, and two of them have one that is a letter of ASCII.
			if !ascii(text) || bytes.ContainsAny(text, "kKsS") {
				return needle{}
			}
			text = lowered(text, nil)
		}
		return needle{text, fold}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if n := required(sub); len(n.text) > len(best.text) {
				best = n
			}
		}
	}
	return best
}

func ascii(s []byte) bool {
	for _, c := range s {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lowered(s, buf []byte) []byte {
	buf = append(buf[:0], s...)
	for i, c := range buf {
		if c-'A' < 26 {
			buf[i] = c + 32
		}
	}
	return buf
}

// Find calls fn for every match in a text, until fn says no.
func (m *Matcher) Find(text []byte, fn func(from, to int) bool) {
	in := text
	if m.fold && len(m.literal) > 0 {
		m.lower = lowered(text, m.lower)
		in = m.lower
	}
	if len(m.literal) > 0 && !bytes.Contains(in, m.literal) {
		return
	}
	if m.re == nil {
		for at := 0; ; {
			i := bytes.Index(in[at:], m.literal)
			if i < 0 || !fn(at+i, at+i+len(m.literal)) {
				return
			}
			at += i + len(m.literal)
		}
	}
	for _, loc := range m.re.FindAllIndex(text, -1) {
		if loc[0] == loc[1] {
			continue // a match of nothing cannot be shown
		}
		if !fn(loc[0], loc[1]) {
			return
		}
	}
}

// Found is told what a search finds. An error of one of them ends the search.
type Found struct {
	Hit      func(Hit) error
	Progress func(part float64) error
}

// Search goes through a log and returns how many matches there are.
func (l *Lines) Search(ctx context.Context, ix *Index, q Query, found Found) (total int64, err error) {
	m, err := NewMatcher(q)
	if err != nil {
		return 0, err
	}
	q.From = max(q.From, 1)
	s := &search{q: q, m: m, found: found, lines: max(ix.Lines, 1), told: time.Now()}
	err = l.scan(ctx, ix, ix.pointOf(q.From), s, &s.err, searchBytes)
	return s.total, err
}

type search struct {
	q     Query
	m     *Matcher
	found Found
	lines int64
	told  time.Time
	seen  int
	total int64
	sent  int
	fold  *fold
	err   error
}

func (s *search) with(f *fold) { s.fold = f }

func (s *search) line(l *Line) {
	if s.err != nil || l.N < s.q.From {
		return
	}
	text := l.Raw
	if !plain(text) {
		text = []byte(Visible(text, s.q.Show))
	}
	ascii := ascii(text)
	if !ascii {
		text = []byte(s.q.Show(string(text)))
	}
	n := 0
	s.m.Find(text, func(from, to int) bool {
		s.total++
		if n++; n > lineHits || s.sent >= s.q.Limit {
			return true
		}
		h := Hit{l.N, from, to - from}
		if !ascii {
			h.Col = units(text[:from])
			h.Len = units(text[from:to])
		}
		s.sent++
		s.err = s.found.Hit(h)
		return s.err == nil
	})
	if s.seen++; s.err == nil && s.seen%256 == 0 {
		if now := time.Now(); now.Sub(s.told) >= tellEvery {
			s.told = now
			s.err = s.found.Progress(min(float64(l.N)/float64(s.lines), 1))
		}
	}
	s.fold.stopped = s.err != nil
}

// units counts the UTF-16 units of a text.
func units(text []byte) (n int) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r >= 0x10000 {
			n++
		}
		n++
		text = text[size:]
	}
	return n
}

func (s *search) command(c *Command)      { s.line(&Line{N: c.Line, Raw: []byte(c.Directive)}) }
func (s *search) merged(l *Line)          { s.line(l) }
func (s *search) place(point)             {}
func (s *search) finished(agentapi.Event) {}
func (s *search) ended(agentapi.Event)    {}
func (s *search) gap(joblog.Gap, int64)   {}
