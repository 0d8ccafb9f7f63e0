package executor

import (
	"bytes"
	"unicode/utf8"
)

// output turns the bytes that come out of the terminal back into what the commands wrote, and cuts them into chunks.
//
// A cooked terminal puts one \r before every \n. Exactly one \r before each \n is taken away again then, so a program that
// writes \r\n itself is still seen writing \r\n. A \r that is the last byte so far is held back, because only the next
// byte tells whose it is.
type output struct {
	emit   Emit
	cooked bool   // the terminal adds \r
	mark   []byte // when set: the bytes that end the output of the current command
	raw    []byte // bytes that may be the beginning of the mark
	cr     bool   // a \r is held back
	text   []byte // translated, not yet emitted; below MaxChunk between calls
	chunks int    // emitted so far
	err    error  // the first error of emit; later text is dropped
}

// write takes bytes from the terminal and reports whether the mark was among them. What follows the mark belongs to
// the next command and is kept.
func (o *output) write(b []byte) (marked bool) {
	if o.mark == nil && len(o.raw) == 0 {
		o.translate(b)
		return false
	}
	o.raw = append(o.raw, b...)
	return o.scan()
}

// await sets the mark. It may be called before or after the mark was written to the terminal, but not after it came out.
func (o *output) await(mark []byte) { o.mark = mark }

func (o *output) scan() (marked bool) {
	if i := bytes.Index(o.raw, o.mark); i >= 0 {
		o.translate(o.raw[:i])
		rest := o.raw[i+len(o.mark):]
		o.raw = append(o.raw[:0:0], rest...)
		o.mark = nil
		return true
	}
	keep := partial(o.raw, o.mark)
	o.translate(o.raw[:len(o.raw)-keep])
	o.raw = append(o.raw[:0], o.raw[len(o.raw)-keep:]...)
	return false
}

// partial is the length of the longest end of b that begins mark.
func partial(b, mark []byte) int {
	for n := min(len(mark)-1, len(b)); n > 0; n-- {
		if bytes.HasSuffix(b, mark[:n]) {
			return n
		}
	}
	return 0
}

// begin gives what came after the last mark, written by processes in the background, to the command that starts now.
func (o *output) begin(emit Emit) {
	o.emit, o.err, o.chunks = emit, nil, 0
	rest := o.raw
	o.raw = nil
	o.translate(rest)
}

func (o *output) translate(b []byte) {
	if !o.cooked {
		if o.cr && len(b) > 0 {
			o.text, o.cr = append(o.text, '\r'), false
		}
		for len(b) > 0 {
			n := min(len(b), MaxChunk)
			o.text, b = append(o.text, b[:n]...), b[n:]
			o.full()
		}
		return
	}
	for len(b) > 0 {
		if o.cr && b[0] != '\n' {
			o.text = append(o.text, '\r')
		}
		o.cr = false
		i := bytes.IndexByte(b, '\r')
		if i < 0 {
			i = len(b)
		}
		i = min(i, MaxChunk) // so that text stays bounded however much is written at once
		o.text = append(o.text, b[:i]...)
		b = b[i:]
		if len(b) > 0 && b[0] == '\r' {
			o.cr, b = true, b[1:]
		}
		o.full()
	}
}

// full emits while a whole chunk waits.
func (o *output) full() {
	for len(o.text) >= MaxChunk {
		n := cut(o.text, MaxChunk)
		if n == len(o.text) && o.endsOpen() {
			return
		}
		o.send(n)
	}
}

// flush emits everything that can be emitted without cutting a character or a line end.
func (o *output) flush() {
	n := cut(o.text, len(o.text))
	if n > 0 && n == len(o.text) && o.endsOpen() {
		n--
	}
	o.send(n)
}

// finish emits everything, because nothing more will come.
func (o *output) finish() {
	if o.cr {
		o.text, o.cr = append(o.text, '\r'), false
	}
	o.full()
	o.send(len(o.text))
}

// endsOpen tells whether text ends in a \r that a \n may still follow.
func (o *output) endsOpen() bool { return (o.cr || !o.cooked) && o.text[len(o.text)-1] == '\r' }

func (o *output) send(n int) {
	if n == 0 {
		return
	}
	o.chunks++
	if o.err == nil && o.emit != nil {
		o.err = o.emit(o.text[:n])
	}
	o.text = append(o.text[:0], o.text[n:]...)
}

// cut is the largest length up to n at which b may be cut: not before the end of a UTF-8 sequence and not between \r
// and \n. Bytes that are no UTF-8 may be cut anywhere.
func cut(b []byte, n int) int {
	for i := n - 1; i >= 0 && i >= n-3; i-- {
		if !utf8.RuneStart(b[i]) {
			continue
		}
		if !utf8.FullRune(b[i:n]) {
			n = i
		}
		break
	}
	if n > 0 && n < len(b) && b[n-1] == '\r' && b[n] == '\n' {
		n--
	}
	return n
}
