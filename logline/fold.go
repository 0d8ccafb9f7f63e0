package logline

import (
	"bytes"
	"strings"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

// Line is one line of a log. The head of a command is a line, too.
type Line struct {
	N       int64 // from 1, over the whole log
	Command int   // its place in the list of commands, from 1
	Head    bool
	At      int64  // Unix seconds of the event in which it began, 0 when not known
	Raw     []byte // what was printed, up to a bound, without the line end; good until the next line
	Len     int64  // all that was printed
	Style   Style  // in which it begins
	Open    bool   // it may still grow
	Silence int64  // seconds without output before it, 0 when they are not worth a word
}

// point is a place in a log at which a line begins, with all that is needed to go on from there.
type point struct {
	Line    int64 `json:"l"`           // the line that begins here
	Event   int64 `json:"e"`           // in this event
	Offset  int64 `json:"o,omitempty"` // at this byte of its output
	Command int   `json:"c"`           // commands that have begun before
	Style   Style `json:"s,omitempty"`
	Said    int64 `json:"t,omitempty"` // when something was printed last
	Text    int64 `json:"b"`           // bytes of plain text before
}

// taker is told what is in a log, in order.
type taker interface {
	place(p point)                 // a line begins here
	command(c *Command)            // and is the head of a command
	merged(l *Line)                // or the head of a command that there is no room for: it becomes a line of the last one
	line(l *Line)                  // a line of output ended, or (Open) is all there is so far
	finished(e agentapi.Event)     // the newest command ended
	ended(e agentapi.Event)        // the job ended
	gap(g joblog.Gap, after int64) // something is missing after a line
}

const (
	silence      = 10       // seconds without output that are worth a word
	styleBytes   = 16 << 10 // of a line that may set colours of the next
	maxDirective = 500      // bytes of the first line of a command's text that are kept
	maxCommands  = 5000     // commands that are told apart
)

// unnamed is what is shown in the place of a command where output came before the first one.
const unnamed = "Output before the first command"

// fold turns events into lines. Its memory does not grow with the log: it holds one line at most, up to a bound.
type fold struct {
	to      taker
	max     int // bytes of a line that are kept
	stopped bool

	at   point // of what comes next; Event and Offset are set where a line begins
	open bool
	l    Line
	own  []byte // what l.Raw is made of where a line came in pieces
	lost *joblog.Gap
	skip bool // what stands before the first event was seen already
	cut  int64
	buf  []byte
}

func newFold(to taker, from point, max int) *fold {
	f := &fold{to: to, max: max, at: from}
	f.skip, f.cut = from.Line > 0, from.Offset
	f.at.Line--
	if from.Line == 0 {
		f.at.Line = 0
	}
	return f
}

func (f *fold) batch(b joblog.Batch) {
	if b.Rest() && f.skip {
		return
	}
	f.skip = false
	if b.Gap != nil {
		f.lose(*b.Gap)
		return
	}
	f.flushGap()
	for i, raw := range b.Events {
		if f.stopped {
			return
		}
		var output []byte
		var e agentapi.Event
		e, output, f.buf = read(raw, f.buf)
		f.event(e, output, b.From+int64(i), b.Rest())
	}
}

func (f *fold) event(e agentapi.Event, output []byte, index int64, rest bool) {
	switch e.Event {
	case agentapi.EventCmdStarted:
		f.start(e.Directive, e.Timestamp, index, rest)
		f.at.Text += int64(len(e.Directive)) + 1
	case agentapi.EventCmdOutput:
		f.output(output, e.Timestamp, index, rest)
	case agentapi.EventCmdFinished:
		if f.at.Command > 0 {
			f.close()
			f.to.finished(e)
		}
	case agentapi.EventJobFinished:
		f.close()
		f.to.ended(e)
	}
}

// begin tells that a line begins at a byte of an event. Text that has no event of its own is no place to go on from.
func (f *fold) begin(index, offset int64, rest bool) {
	f.at.Line++
	f.at.Event, f.at.Offset = index, offset
	if !rest {
		f.to.place(f.at)
	}
}

func (f *fold) start(directive string, at, index int64, rest bool) {
	f.close()
	f.begin(index, 0, rest)
	f.at.Style, f.at.Said = nil, at
	first, more, _ := strings.Cut(strings.TrimSpace(directive), "\n")
	first = clip(strings.TrimRight(first, "\r"), maxDirective)
	if f.at.Command == maxCommands {
		raw := []byte("$ " + first)
		f.to.merged(&Line{N: f.at.Line, Command: f.at.Command, At: at, Raw: raw, Len: int64(len(raw))})
		return
	}
	f.at.Command++
	c := &Command{N: f.at.Command, Line: f.at.Line, Directive: first, Started: at, Running: true}
	if more != "" {
		c.More = strings.Count(more, "\n") + 1
	}
	f.to.command(c)
}

func (f *fold) output(text []byte, at, index int64, rest bool) {
	if len(text) == 0 {
		return
	}
	offset := f.cut
	f.cut = 0
	text = text[min(offset, int64(len(text))):]
	if f.at.Command == 0 {
		f.start(unnamed, at, index, rest)
	}
	quiet := int64(0)
	if f.at.Said != 0 && at != 0 && at-f.at.Said >= silence {
		quiet = at - f.at.Said
	} else if at > 0 {
		f.at.Said = at
	}
	for len(text) > 0 && !f.stopped {
		part, ended := text, false
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			part, ended = text[:i], true
		}
		if !f.open {
			f.begin(index, offset, rest)
			f.open = true
			f.l = Line{N: f.at.Line, Command: f.at.Command, At: at, Style: f.at.Style, Silence: quiet}
			f.own = f.own[:0]
			if quiet > 0 {
				quiet, f.at.Said = 0, at
			}
			if ended { // the usual case: a whole line, which need not be copied
				f.l.Raw, f.l.Len = part[:min(len(part), f.max)], int64(len(part))
				f.at.Style = advance(part[:min(len(part), styleBytes)], f.at.Style)
				f.open = false
				f.to.line(&f.l)
				f.l.Raw = nil
			}
		}
		if f.open {
			f.l.Len += int64(len(part))
			if room := max(f.max, styleBytes) - len(f.own); room > 0 {
				f.own = append(f.own, part[:min(len(part), room)]...)
			}
			if ended {
				f.close()
			}
		}
		n := len(part)
		if ended {
			n++
		}
		text = text[n:]
		offset += int64(n)
		f.at.Text += int64(n)
	}
	if quiet > 0 {
		f.at.Said = at // the line went on
	}
}

// close ends the line that is open.
func (f *fold) close() {
	if !f.open {
		return
	}
	f.open = false
	f.at.Style = advance(f.own[:min(len(f.own), styleBytes)], f.at.Style)
	f.show(false)
}

func (f *fold) show(open bool) {
	l := f.l
	l.Raw, l.Open = f.own[:min(len(f.own), f.max)], open
	f.to.line(&l)
}

// pause shows what is there of a line that may still grow, and a gap at the end.
func (f *fold) pause() {
	f.flushGap()
	if f.open && !f.stopped {
		f.show(true)
	}
}

// lose notes a gap. Two that touch are one, however the reading was cut into pieces.
func (f *fold) lose(g joblog.Gap) {
	if f.lost != nil && f.lost.To == g.From && f.lost.Why == g.Why {
		f.lost.To = g.To
		return
	}
	f.flushGap()
	f.lost = &g
}

func (f *fold) flushGap() {
	if f.lost == nil {
		return
	}
	g := *f.lost
	f.lost = nil
	f.close()
	if f.at.Command == 0 {
		f.begin(g.From, 0, true)
		f.at.Command = 1
		f.to.command(&Command{N: 1, Line: f.at.Line, Directive: unnamed, Running: true})
	}
	f.at.Text += int64(len(g.Text()))
	f.to.gap(g, f.at.Line)
}
