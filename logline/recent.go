package logline

import "slices"

const (
	recentLines = 1000      // newest lines of a live log that are at hand
	recentBytes = 256 << 10 // of them
	maxRaw      = 16 << 10  // bytes of a line that are at hand
)

// recent is the newest lines of a log, for those who watch it grow.
type recent struct {
	off   bool // nobody can watch a log that has ended
	lines []Line
	bytes int
}

// add takes a line, or what a line has become.
func (r *recent) add(l *Line) {
	if r.off {
		return
	}
	line := *l
	line.Raw = slices.Clone(l.Raw)
	if n := len(r.lines); n > 0 && r.lines[n-1].N == l.N {
		r.bytes += len(line.Raw) - len(r.lines[n-1].Raw)
		r.lines[n-1] = line
	} else {
		r.bytes += len(line.Raw)
		r.lines = append(r.lines, line)
	}
	if len(r.lines) <= 2*recentLines && r.bytes <= 2*recentBytes {
		return
	}
	// Cut it back to half, so that this costs little for each line.
	drop := 0
	for len(r.lines)-drop > 1 && (len(r.lines)-drop > recentLines || r.bytes > recentBytes) {
		r.bytes -= len(r.lines[drop].Raw)
		drop++
	}
	r.lines = append(make([]Line, 0, 2*recentLines), r.lines[drop:]...)
}

// from returns the newest lines from one on, not more than fit, oldest first. They may not be changed.
func (r *recent) from(n int64, maxLines, maxBytes int) []Line {
	i := len(r.lines)
	for size := 0; i > 0 && r.lines[i-1].N >= n && len(r.lines)-i < maxLines; i-- {
		if size += len(r.lines[i-1].Raw); size > maxBytes && i < len(r.lines) {
			break
		}
	}
	return slices.Clone(r.lines[i:])
}
