package redact

import "bytes"

// scan finds all spans of secrets in buf, merged and in order, and where the beginning of a secret lies that may go on
// behind buf; len(buf) when there is none.
func (m *Matcher) scan(buf []byte) (found []span, hold int) {
	found, hold = m.look(buf, false, nil)
	if bytes.IndexByte(buf, escape) >= 0 {
		var second int
		found, second = m.look(buf, true, found)
		hold = min(hold, second)
	}
	return merge(found), hold
}

const escape = 0x1b

// look is scan for one view of buf: with terminal sequences as text, or without them.
func (m *Matcher) look(buf []byte, strip bool, found []span) ([]span, int) {
	var at int32     // the node
	var places []int // where the bytes since the root are in buf
	var w window
	skipped := 0
	reset := func() { at, places, skipped, w = 0, places[:0], 0, window{} }
	for i := 0; i < len(buf); i++ {
		c := buf[i]
		skip := 0
		if c == '\n' || c == '\r' {
			skip = 1
		} else if strip && c == escape {
			skip = sequence(buf[i:])
		}
		if skip > 0 {
			i += skip - 1
			if at == 0 && w.n == 0 {
				continue
			}
			if skipped += skip; skipped > maxSkip || at != 0 && i-places[len(places)-int(m.tree.depth[at])] > m.maxHold {
				reset()
			}
			continue
		}
		skipped = 0
		if m.blocks != nil {
			if from, ok := w.add(m.blocks, c, i); ok {
				found = append(found, span{from, i + 1})
			}
		}
		if at = m.tree.next(at, c); at == 0 {
			places = places[:0]
			continue
		}
		places = append(places, i)
		if n := int(m.tree.ends[at]); n > 0 {
			found = append(found, span{places[len(places)-n], i + 1})
			if len(found) > 1024 {
				found = merge(found)
			}
		}
	}
	hold := len(buf)
	for at != 0 && m.tree.child[at] == 0 {
		at = m.tree.fail[at] // nothing goes on from here
	}
	if at != 0 {
		hold = places[len(places)-int(m.tree.depth[at])]
	}
	if from, ok := w.begin(); ok {
		hold = min(hold, from)
	}
	return found, hold
}

// sequence returns the length of the terminal sequence that begins with the escape in buf[0]. One that does not end in
// buf reaches to its end.
func sequence(buf []byte) int {
	if len(buf) < 2 {
		return len(buf)
	}
	in := func(i int, lo, hi byte) bool { return i < len(buf) && buf[i] >= lo && buf[i] <= hi }
	i := 2
	switch c := buf[1]; {
	case c == '[':
		for in(i, 0x30, 0x3f) {
			i++
		}
		for in(i, 0x20, 0x2f) {
			i++
		}
		if in(i, 0x40, 0x7e) {
			i++
		}
	case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_': // a string up to BEL or ESC \
		for ; i < len(buf); i++ {
			if buf[i] == 0x07 {
				return i + 1
			}
			if buf[i] == escape {
				if in(i+1, '\\', '\\') {
					return i + 2
				}
				return i
			}
		}
	case c >= 0x20 && c <= 0x2f:
		for in(i, 0x20, 0x2f) {
			i++
		}
		if in(i, 0x30, 0x7e) {
			i++
		}
	case c == escape:
		return 1
	}
	return min(i, len(buf))
}
