package redact

const (
	blockSize = 48
	factor    = 0x9e3779b97f4a7c15 | 1
)

// power is factor^(blockSize-1).
var power = func() uint64 {
	p := uint64(1)
	for range blockSize - 1 {
		p *= factor
	}
	return p
}()

// addBlocks remembers the blocks of a pattern; the last one overlaps the one before, so that no rest is left.
func (m *Matcher) addBlocks(p []byte) {
	if m.blocks == nil {
		m.blocks = map[uint64]struct{}{}
	}
	add := func(block []byte) {
		h := uint64(0)
		for _, c := range block {
			h = h*factor + uint64(c) + 1
		}
		m.blocks[h] = struct{}{}
	}
	for i := 0; i+blockSize <= len(p); i += blockSize {
		add(p[i : i+blockSize])
	}
	add(p[len(p)-blockSize:])
}

// window is the last bytes of a view, hashed.
type window struct {
	n     int // bytes since the beginning
	hash  uint64
	bytes [blockSize]byte
	at    [blockSize]int // where they are
}

// add takes the next byte and tells whether a block ends with it, and where it begins.
func (w *window) add(blocks map[uint64]struct{}, c byte, i int) (from int, ok bool) {
	k := w.n % blockSize
	if w.n >= blockSize {
		w.hash -= (uint64(w.bytes[k]) + 1) * power
	}
	w.hash = w.hash*factor + uint64(c) + 1
	w.bytes[k], w.at[k] = c, i
	w.n++
	if w.n < blockSize {
		return 0, false
	}
	_, ok = blocks[w.hash]
	return w.at[w.n%blockSize], ok
}

// begin returns where the last bytes are that may be the beginning of a block.
func (w *window) begin() (from int, ok bool) {
	switch {
	case w.n == 0:
		return 0, false
	case w.n < blockSize:
		return w.at[0], true
	}
	return w.at[(w.n+1)%blockSize], true
}
