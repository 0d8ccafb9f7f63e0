package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/logline"
)

const (
	pageLines    = 200   // lines that a page holds; scripts and links bring the others
	pageCommands = 1_000 // commands that a page lists
	tellingFrom  = 60    // last lines of the failing command that may be told first
	toldLine     = 400   // bytes of a line that is told first
	logRetries   = 3     // of reading a log that changes in its middle meanwhile
)

// Line is one line of output as pages show it.
type Line struct {
	N   int64 // counts over the whole log; the head of a command is a line too
	Hot bool  // the last line of the command that failed
	Cut int64 // bytes that are not shown
	raw string
	// style is the one in which it begins.
	style logline.Style
}

// Runs are the pieces of the line.
func (l Line) Runs() []Run { return runs(l.raw, l.style) }

// More says how much of the line is not shown.
func (l Line) More() string { return size(l.Cut) }

func (l Line) blank() bool {
	return strings.TrimSpace(logline.Visible([]byte(l.raw), screen)) == ""
}

// lineOf copies a line, up to what is shown of one.
func lineOf(l *logline.Line) Line {
	return Line{N: l.N, raw: string(l.Raw), style: l.Style, Cut: l.Len - int64(len(l.Raw))}
}

// logBody is the log on a page: its commands, and lines around one place.
type logBody struct {
	Commands []*commandView
	Before   int // commands that are not listed
	After    int
	Lines    int64
	Size     string
	Gutter   string
	Live     bool
	Base     string // address of the page
	RawURL   string
	// The same with the time of each line, compressed, and as the agent sent it.
	TimedURL, PackedURL, EventsURL string
	API                            string // address of the parts that scripts ask for
	Attempt                        int
	Older                          string // address of the lines before, "" when there are none
	Newer                          string
}

// commandView is one fold of the log.
type commandView struct {
	*logline.Command
	Rows []row
	from int64 // the lines that are shown
	to   int64
}

// row is a line, or what stands between two.
type row struct {
	Line     *Line
	Silence  int64
	Lost     string
	From, To int64 // lines that are not on the page
}

// Lamp is the state of the command.
func (c *commandView) Lamp() Lamp {
	switch {
	case c.Running:
		return lampRunning
	case c.CutOff:
		return lampCutOff
	case c.Exit != nil && *c.Exit != 0:
		return lampFailed
	case c.Exit == nil:
		return lampUnknown
	}
	return lampPassed
}

// Open tells whether the fold is open at first: what failed, what runs, what was cut off, and where the reader wants to be.
func (c *commandView) Open() bool { return c.Running || c.Failed() || c.CutOff || c.from > 0 }

// Took is how long the command ran.
func (c *commandView) Took() Took {
	switch {
	case c.Started == 0:
		return Took{Text: clock(-1)}
	case c.Running:
		return Took{Text: clock(0), Since: c.Started * 1000}
	case c.Finished < c.Started:
		return Took{Text: clock(-1)}
	}
	return Took{Text: clock(time.Duration(c.Finished-c.Started) * time.Second)}
}

// withIndex calls fn with the index of a log, again with a newer one when the log changed in its middle meanwhile.
func (w *Web) withIndex(ctx context.Context, attemptID string, fn func(*logline.Index) error) error {
	var err error
	for range logRetries {
		var ix *logline.Index
		if ix, err = w.o.Lines.Index(ctx, attemptID); err != nil {
			return err
		}
		if err = fn(ix); !errors.Is(err, joblog.ErrRewritten) {
			return err
		}
	}
	return &signalbox.Error{Code: signalbox.CodeUnavailable, Message: "The log changes while it is read; try again", Err: err}
}

// readLog puts the log of the attempt into the page: around the line focus, or where it is worth looking.
func (w *Web) readLog(ctx context.Context, b *jobBody, focus int64) error {
	err := w.withIndex(ctx, b.Attempt.ID, func(ix *logline.Index) error {
		if b.Attempt.State == signalbox.AttemptEnded && !ix.Closed {
			// The last words may still come, but nothing runs any more.
			ix = ended(ix)
		}
		b.Failure = nil
		if c := ix.Failure(); c != nil && b.Lamp == lampFailed {
			var err error
			if b.Failure, err = w.failureIn(ctx, ix, c); err != nil {
				return err
			}
		}
		var err error
		b.Log, err = w.logBody(ctx, b, ix, focus)
		return err
	})
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		b.Log, err = w.logBody(ctx, b, &logline.Index{}, 0)
	}
	return err
}

// ended is an index in which nothing runs.
func ended(ix *logline.Index) *logline.Index {
	x := *ix
	n := len(x.Commands)
	if n > 0 && x.Commands[n-1].Running {
		x.Commands = slices.Clone(x.Commands)
		c := *x.Commands[n-1]
		c.Running, c.CutOff = false, true
		x.Commands[n-1] = &c
	}
	return &x
}

func (w *Web) logBody(ctx context.Context, b *jobBody, ix *logline.Index, focus int64) (*logBody, error) {
	n := strconv.Itoa(b.Attempt.N)
	q := "?attempt=" + n
	l := &logBody{
		Lines: ix.Lines, Size: size(ix.Text), Gutter: gutter(ix.Lines), Live: !ix.Closed && b.Attempt.State != signalbox.AttemptEnded,
		Base: b.BaseURL + q, RawURL: b.BaseURL + "/plain_logs.txt" + q, TimedURL: b.BaseURL + "/plain_logs.txt" + q + "&ts=1", PackedURL: b.BaseURL + "/plain_logs.txt.gz" + q, EventsURL: b.BaseURL + "/events.json" + q, API: "/ui/jobs/" + url.PathEscape(b.Job.ID) + "/log/", Attempt: b.Attempt.N,
	}
	if len(ix.Commands) == 0 {
		return l, nil
	}
	from, to, at := pageWindow(ix, focus)
	first := max(0, min(at.N-1-pageCommands/2, len(ix.Commands)-pageCommands))
	last := min(len(ix.Commands), first+pageCommands)
	l.Before, l.After = first, len(ix.Commands)-last
	for _, c := range ix.Commands[first:last] {
		x := &commandView{Command: c}
		if c.First > 0 && c.First <= to && c.Last >= from {
			x.from, x.to = max(c.First, from), min(c.Last, to)
		} else if c == at {
			x.from = c.Line
		}
		l.Commands = append(l.Commands, x)
	}
	if from > 1 {
		l.Older = pageOf(l.Base, max(from-pageLines/2, 1))
	}
	if to < ix.Lines {
		l.Newer = pageOf(l.Base, min(to+pageLines/2, ix.Lines))
	}
	var lines []Line
	if err := w.o.Lines.Window(ctx, ix, from, to-from+1, maxLine, func(x *logline.Line) error {
		if !x.Head {
			lines = append(lines, lineOf(x))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	failure := ix.Failure()
	for _, c := range l.Commands {
		c.Rows = rowsOf(c, &lines, ix.Notes)
		if c.Command == failure {
			c.markLast()
		}
	}
	return l, nil
}

func pageOf(base string, line int64) string {
	n := strconv.FormatInt(line, 10)
	return base + "&line=" + n + "#L" + n
}

// pageWindow decides which lines a page holds, and around which command: those around the line that was asked for, the end of
// the command that failed, or the end of the log.
func pageWindow(ix *logline.Index, focus int64) (from, to int64, at *logline.Command) {
	if focus > 0 {
		focus = min(focus, ix.Lines)
		from = max(1, min(focus-pageLines/2, ix.Lines-pageLines+1))
		return from, min(from+pageLines-1, ix.Lines), ix.CommandOf(focus)
	}
	at = ix.Failure()
	if at == nil || at.First == 0 {
		from = max(1, ix.Lines-pageLines+1)
		return from, ix.Lines, ix.Commands[len(ix.Commands)-1]
	}
	return max(1, at.Last-pageLines+1), at.Last, at
}

// rowsOf takes the lines of a command, and puts between them what is not there.
func rowsOf(c *commandView, lines *[]Line, notes []logline.Note) (rows []row) {
	if c.First > 0 && (c.to == 0 || c.from > c.First) {
		to := c.Last
		if c.to > 0 {
			to = c.from - 1
		}
		rows = append(rows, row{From: c.First, To: to})
	}
	between := func(before int64) {
		for len(notes) > 0 && notes[0].Before <= before {
			n := notes[0]
			notes = notes[1:]
			if n.Command != c.N {
				continue
			}
			if n.Gap != nil {
				rows = append(rows, row{Lost: lost(n.Gap)})
			} else {
				rows = append(rows, row{Silence: n.Silence})
			}
		}
	}
	if c.to > 0 {
		for len(notes) > 0 && notes[0].Before < c.from {
			notes = notes[1:]
		}
	}
	for len(*lines) > 0 && (*lines)[0].N <= c.to {
		l := (*lines)[0]
		*lines = (*lines)[1:]
		between(l.N)
		rows = append(rows, row{Line: &l})
	}
	switch {
	case c.to > 0 && c.to < c.Last:
		rows = append(rows, row{From: c.to + 1, To: c.Last})
	case c.to > 0 || c.First == 0:
		between(max(c.Last, c.Line) + 1)
	}
	return rows
}

// markLast marks the last line of a command.
func (c *commandView) markLast() {
	for _, r := range slices.Backward(c.Rows) {
		if r.Line != nil && !r.Line.blank() {
			r.Line.Hot = r.Line.N > c.Last-tellingFrom
			return
		}
	}
}

// lost says what is missing.
func lost(g *joblog.Gap) string {
	text := plural(int(g.To-g.From), "part", "parts") + " of the log "
	switch g.Why {
	case joblog.WhyQuota:
		return text + "could not be kept: the log had reached its limit"
	case joblog.WhyTooLarge:
		return text + "could not be kept: too large"
	case joblog.WhyWithheld:
		return text + "could not be kept: the log was closed, and which secrets to hide is not known any more"
	}
	return text + "did not arrive from the agent"
}

// failureIn reads what a failing command said last.
func (w *Web) failureIn(ctx context.Context, ix *logline.Index, c *logline.Command) (*failureView, error) {
	f := &failureView{Lamp: lampFailed, Command: clip(c.Directive, 120), Exit: *c.Exit, Line: c.Line}
	if c.First > 0 {
		from := max(c.First, c.Last-tellingFrom+1)
		var last []Line
		if err := w.o.Lines.Window(ctx, ix, from, c.Last-from+1, toldLine, func(l *logline.Line) error {
			last = append(last, lineOf(l))
			return nil
		}); err != nil {
			return nil, err
		}
		f.Lines = telling(last, 6)
	}
	if len(f.Lines) > 0 {
		f.Line = f.Lines[0].N
	}
	return f, nil
}

// alarming finds lines that are likely to say what went wrong: the words of it, or a red colour.
var alarming = regexp.MustCompile(`(?i)\b(?:error|err|fail|failed|failure|failures|fatal|panic|exception|traceback|expected|undefined|not found|denied)\b|\x1b\[[0-9;]*\b(?:31|91)m`)

// describe writes down what failed, with a link, for people who were not here.
func (f *failureView) describe(b *jobBody, server string) {
	if f == nil || b.Log == nil || f.Line == 0 {
		return
	}
	n := strconv.FormatInt(f.Line, 10)
	f.URL = b.Log.Base + "&line=" + n + "#L" + n
	var m strings.Builder
	fmt.Fprintf(&m, "**%s** failed: `%s` exited with %d\n\n", clip(b.Name, 80), strings.ReplaceAll(f.Command, "`", "'"), f.Exit)
	fence := "```"
	var text strings.Builder
	for _, l := range f.Lines {
		line := clip(screen(l.raw), 500)
		for strings.Contains(line, fence) {
			fence += "`"
		}
		fmt.Fprintf(&text, "%d  %s\n", l.N, line)
	}
	if text.Len() > 0 {
		m.WriteString(fence + "\n" + text.String() + fence + "\n\n")
	}
	fmt.Fprintf(&m, "%s on %s, branch or tag %s, commit %s\n%s%s\n", clip(b.Pipeline.Name, 80), b.Project.Name, clip(b.Workflow.Label, 80), b.SHA, server, f.URL)
	f.Markdown = m.String()
}

// telling returns up to n of the last lines of a command that tell most: those that alarm and the last, or simply the last
// ones.
func telling(lines []Line, n int) []Line {
	var said, alarms []Line
	for _, l := range lines {
		if l.blank() {
			continue
		}
		said = append(said, l)
		if alarming.MatchString(l.raw) {
			alarms = append(alarms, l)
		}
	}
	if len(said) == 0 {
		return nil
	}
	end := said[len(said)-1]
	if len(alarms) == 0 {
		return said[max(0, len(said)-n):]
	}
	alarms = alarms[:min(len(alarms), n-1)]
	if alarms[len(alarms)-1].N != end.N {
		alarms = append(alarms, end)
	}
	return alarms
}

// gutter names the class for the width of line numbers.
func gutter(lines int64) string {
	switch {
	case lines > 999_999:
		return "g7"
	case lines > 9999:
		return "g6"
	case lines > 999:
		return "g4"
	}
	return "g3"
}
