package logline

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Style is the colours and attributes in force where a line begins, as the sequences that set them since the last reset.
type Style []string

const (
	maxStyle    = 32 // colour changes that are carried into the next line
	maxSequence = 64 // bytes of one that are carried
)

var (
	escape = byte(0x1b)
	c1     = []byte("\u009b")
)

// plain tells whether a line has nothing that a terminal would act on.
func plain(line []byte) bool {
	return bytes.IndexByte(line, escape) < 0 && bytes.IndexByte(line, '\r') < 0 && bytes.IndexByte(line, '\b') < 0 &&
		(bytes.IndexByte(line, 0xc2) < 0 || !bytes.Contains(line, c1))
}

// Clean removes from a line what it asks a terminal to do, except for colours, carriage returns, backspaces and movements
// within the line: links, images, titles and everything else go. It returns the style in which the next line begins, too.
func Clean(line string, s Style) (string, Style) {
	if strings.IndexByte(line, escape) < 0 && !strings.Contains(line, "\u009b") {
		return line, s
	}
	var out strings.Builder
	out.Grow(len(line))
	for line != "" {
		at := strings.IndexByte(line, escape)
		if c := strings.Index(line, "\u009b"); c >= 0 && (at < 0 || c < at) {
			at = c
		}
		if at < 0 {
			out.WriteString(line)
			break
		}
		out.WriteString(line[:at])
		seq := sequence(line[at:])
		line = line[at+len(seq):]
		seq, s = keep(seq, s)
		out.WriteString(seq)
	}
	return out.String(), s
}

// advance is the second result of Clean for bytes.
func advance(line []byte, s Style) Style {
	if bytes.IndexByte(line, escape) < 0 {
		return s
	}
	_, s = Clean(string(line), s)
	return s
}

// keep returns what is left of a sequence, and the style after it.
func keep(seq string, s Style) (string, Style) {
	if !strings.HasPrefix(seq, "\x1b[") || len(seq) < 3 || strings.ContainsAny(seq, "<=>?:") {
		return "", s
	}
	switch seq[len(seq)-1] {
	case 'm':
		seq = palette(seq)
		switch {
		case seq == "\x1b[m" || seq == "\x1b[0m":
			s = nil
		case len(s) < maxStyle && len(seq) <= maxSequence:
			s = append(s[:len(s):len(s)], seq)
		}
		return seq, s
	case 'K', 'C', 'D', 'G':
		if len(seq) <= 6 { // not far beyond any screen
			return seq, s
		}
	}
	return "", s
}

// sequence returns the control sequence that a text begins with: CSI, OSC and the other strings with their end (or cut off),
// two-character sequences.
func sequence(s string) string {
	i := 1
	csi := false
	switch {
	case strings.HasPrefix(s, "\u009b"):
		i, csi = 2, true
	case len(s) > 1 && s[1] == '[':
		i, csi = 2, true
	case len(s) > 1 && strings.IndexByte("]PX^_", s[1]) >= 0:
		for i = 2; i < len(s) && s[i] != 0x07 && s[i] != escape; i++ {
		}
		if i < len(s) && s[i] == 0x07 {
			return s[:i+1]
		}
		if strings.HasPrefix(s[i:], "\x1b\\") {
			return s[:i+2]
		}
		return s[:i]
	}
	last := byte('0')
	if csi {
		for ; i < len(s) && s[i] >= '0' && s[i] <= '?'; i++ {
		}
		last = '@'
	}
	for ; i < len(s) && s[i] >= ' ' && s[i] <= '/'; i++ {
	}
	if i < len(s) && s[i] >= last && s[i] <= '~' {
		i++
	}
	return s[:i]
}

// palette writes true colour as the nearest of the 256, which have classes.
func palette(seq string) string {
	if !strings.Contains(seq, "8;2;") {
		return seq
	}
	in := strings.Split(seq[2:len(seq)-1], ";")
	var out []string
	for i := 0; i < len(in); i++ {
		if (in[i] == "38" || in[i] == "48") && i+4 < len(in) && in[i+1] == "2" {
			var cube [3]int
			for c := range cube {
				v, _ := strconv.Atoi(in[i+2+c])
				cube[c] = nearestStep(v)
			}
			out = append(out, in[i], "5", strconv.Itoa(16+36*cube[0]+6*cube[1]+cube[2]))
			i += 4
			continue
		}
		out = append(out, in[i])
	}
	return "\x1b[" + strings.Join(out, ";") + "m"
}

// CubeSteps are the six levels of each colour in the cube of the 256 colours.
var CubeSteps = [6]int{0, 95, 135, 175, 215, 255}

func nearestStep(v int) int {
	best := 0
	for i, s := range CubeSteps {
		if abs(s-v) < abs(CubeSteps[best]-v) {
			best = i
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// Visible returns what a reader sees of a line: without colours, and what stands after the last carriage return where it covers
// the rest. Moves within the line are given to screen, which knows a terminal.
func Visible(line []byte, screen func(string) string) string {
	line = bytes.TrimRight(line, "\r")
	if plain(line) {
		return string(line)
	}
	text, _ := Clean(string(line), nil)
	if strings.ContainsAny(text, "\r\b") || !onlyColours(text) {
		return screen(text)
	}
	var out strings.Builder
	for text != "" {
		at := strings.IndexByte(text, escape)
		if at < 0 {
			break
		}
		out.WriteString(text[:at])
		text = text[at+len(sequence(text[at:])):]
	}
	out.WriteString(text)
	return out.String()
}

// onlyColours tells whether all sequences of a clean text set colours.
func onlyColours(text string) bool {
	for {
		at := strings.IndexByte(text, escape)
		if at < 0 {
			return true
		}
		seq := sequence(text[at:])
		if !strings.HasSuffix(seq, "m") {
			return false
		}
		text = text[at+len(seq):]
	}
}

// clip cuts a text to so many bytes, between two characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
