// Package redact takes secrets out of a stream of text, in the forms that programs print them in, wherever the stream is
// cut into pieces. What may be the beginning of a secret is held back, and nothing else; all other text comes out byte for
// byte. It is pure: the state between two pieces is a small value that whoever calls it keeps.
package redact

import (
	"bytes"
	"slices"
)

// Mark stands in the place of a secret.
const Mark = "***"

const (
	// MinLength is the length in bytes of the shortest value that is looked for. Shorter ones are part of too much else.
	MinLength = 6
	// maxPatterns bounds the bytes of patterns in the automaton; the values for which there is no place are found in blocks.
	maxPatterns = 256 << 10
	// maxSkip bounds the line ends and terminal sequences at one place within a match.
	maxSkip = 4096
)

// Matcher finds a set of values. It never changes and may be used by many goroutines.
type Matcher struct {
	tree    tree
	blocks  map[uint64]struct{} // hashes of blocks of values that are too large for the tree; nil without any
	maxHold int
}

// New returns a matcher of values. It is nil, which finds nothing, when there is nothing to find.
func New(values []string) *Matcher {
	values = slices.Clone(values)
	slices.SortFunc(values, func(a, b string) int { return len(a) - len(b) })
	m := &Matcher{}
	b := newBuilder()
	room, found := maxPatterns, false
	for _, v := range values {
		small := true
		if room < 30*len(v) { // about what all forms of a value come to
			small = false
		}
		for _, p := range forms(v, small) {
			found = true
			if !small && len(p) >= blockSize {
				m.addBlocks(p)
				continue
			}
			room -= len(p)
			b.add(p)
			m.maxHold = max(m.maxHold, len(p))
		}
	}
	if !found {
		return nil
	}
	m.tree = b.build()
	m.maxHold = 2*m.maxHold + 64<<10
	return m
}

// Size is about how many bytes of memory the matcher takes.
func (m *Matcher) Size() int {
	if m == nil {
		return 0
	}
	return 21*len(m.tree.label) + 32*len(m.blocks)
}

// State is where a stream stands between two pieces. The zero value is its beginning.
type State struct {
	Tail    []byte // the end of the stream that may be the beginning of a secret
	Done    int    // so many bytes of Tail have come out already
	Covered int    // so many of those are within a secret whose mark has come out
}

// Held tells whether there is text that has not come out.
func (s State) Held() bool { return s.Done < len(s.Tail) }

// Next takes the next piece of a stream and returns what can come out now.
func (m *Matcher) Next(s State, text []byte) (out []byte, next State) {
	buf := text
	if len(s.Tail) > 0 {
		buf = slices.Concat(s.Tail, text)
	}
	found, hold := m.scan(buf)
	return emit(buf, found, s, hold, hold)
}

// Flush returns the text that is held back. The stream may go on: what has come out still counts as the beginning of a
// secret, of which then only the rest is replaced.
func (m *Matcher) Flush(s State) (out []byte, next State) {
	found, hold := m.scan(s.Tail)
	return emit(s.Tail, found, s, hold, len(s.Tail))
}

// Join returns the text that is held back, given what the stream goes on with and what has long come out.
func (m *Matcher) Join(s State, following []byte) []byte {
	found, _ := m.scan(slices.Concat(s.Tail, following))
	out, _ := emit(s.Tail, found, s, len(s.Tail), len(s.Tail))
	return out
}

// Bridge returns the state at the end of a stream that was begun in its middle, now that what came before is known: s is
// the state before the middle, middle is what has come out since, and end is the state that its beginning alone gave.
func (m *Matcher) Bridge(s State, middle []byte, end State) State {
	held := len(end.Tail) - end.Done
	buf := slices.Concat(s.Tail, middle, end.Tail[end.Done:])
	found, hold := m.scan(buf)
	for _, f := range found {
		if f.to > len(buf)-held {
			hold = min(hold, f.from)
		}
	}
	if len(buf)-hold <= len(end.Tail) {
		return end
	}
	return State{Tail: bytes.Clone(buf[hold:]), Done: len(buf) - hold - held}
}

// Text returns a text that is a stream of its own.
func (m *Matcher) Text(text []byte) []byte {
	found, _ := m.scan(text)
	out, _ := emit(text, found, State{}, len(text), len(text))
	return out
}

// span is buf[from:to].
type span struct{ from, to int }

// emit returns buf up to an index, without what has come out before and with a mark for each span. The next tail begins
// at hold, which is not behind upto. Spans may reach beyond buf.
func emit(buf []byte, found []span, s State, hold, upto int) (out []byte, next State) {
	pos := s.Done
	if len(found) == 0 && s.Covered == 0 && pos <= hold && hold == upto {
		return buf[pos:upto], State{Tail: bytes.Clone(buf[hold:])}
	}
	if s.Covered > 0 {
		found = merge(append([]span{{0, s.Covered}}, found...))
	}
	for _, f := range found {
		if f.from >= upto {
			break
		}
		if f.to > pos {
			out = append(out, buf[min(pos, f.from):f.from]...)
			if s.Covered == 0 || f.from > 0 {
				out = append(out, Mark...)
			}
			pos = min(f.to, len(buf))
		}
		if f.from <= hold && f.to > hold {
			next.Covered = min(f.to, len(buf)) - hold
		}
	}
	if pos < upto {
		out = append(out, buf[pos:upto]...)
		pos = upto
	}
	if hold < len(buf) {
		next.Tail, next.Done = bytes.Clone(buf[hold:]), max(0, pos-hold)
	}
	return out, next
}

// merge joins spans that overlap or touch.
func merge(found []span) []span {
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	out := found[:0]
	for _, f := range found {
		if n := len(out); n > 0 && f.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, f.to)
			continue
		}
		out = append(out, f)
	}
	return out
}
