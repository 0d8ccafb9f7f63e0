package web

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

// How much of a log a page holds. The plain text has everything.
const (
	headLines   = 200    // first lines of a command
	tailLines   = 400    // last lines of a command
	pageLines   = 12_000 // lines of a page; commands after that keep fewer
	lateTail    = 20     // last lines of a command beyond pageLines
	maxCommands = 1_000
	focusLines  = 150 // lines before and after the one that was asked for
	silence     = 10  // seconds without output that are worth a line
)

// Line is one line of output.
type Line struct {
	N       int64  // counts over the whole log; the head of a command is a line too
	Hot     bool   // the last line of the command that failed
	Silence int64  // seconds without output before it, when they are worth saying
	Lost    string // instead of a line: what is missing here
	raw     string
	style   style // in which it begins
}

// Runs are the pieces of the line. They are made when a line is shown, because most lines never are.
func (l Line) Runs() []Run { return runs(l.raw, l.style) }

func (l Line) blank() bool {
	text, _ := clean(l.raw, nil)
	return strings.TrimSpace(text) == ""
}

// Command is one fold of the log.
type Command struct {
	N         int64
	Directive string
	More      int // further lines of the directive
	Head      []Line
	Mid       []Line // around the line that was asked for
	Tail      []Line
	First     int64 // first and last line of output, 0 when there is none
	Last      int64
	Started   int64
	Finished  int64
	Exit      *int
	Running   bool
	Ended     bool // the job ended while the command was running
	style     style
	partial   string
	open      bool // the last line may still grow
	said      int64
	tail      int
}

// fold turns events into commands and lines, keeping only what a page can show. It is fed events in order and holds
// a bounded number of lines whatever comes.
type fold struct {
	Commands []*Command
	Hidden   int // commands beyond maxCommands
	Lines    int64
	Bytes    int64
	Next     int64 // index after the last event seen
	Finished bool
	Result   string
	focus    int64
	kept     int
	extra    *Command // takes what comes after maxCommands
	dirty    []Line   // lines made or changed since the last take
	changed  map[*Command]bool
	live     bool
}

func newFold(focus int64) *fold { return &fold{focus: focus, changed: map[*Command]bool{}} }

func (f *fold) batch(b joblog.Batch) {
	if b.Gap != nil {
		f.lose(b.Gap)
	}
	for _, raw := range b.Events {
		var e agentapi.Event
		// What cannot be read was stored as it came; the plain text has it.
		if json.Unmarshal(raw, &e) == nil {
			f.event(e)
		}
	}
	f.Next = b.Next()
}

func (f *fold) event(e agentapi.Event) {
	switch e.Event {
	case agentapi.EventCmdStarted:
		f.start(e.Directive, e.Timestamp)
	case agentapi.EventCmdOutput:
		text := e.Output
		if e.OutputB64 != "" {
			if raw, err := base64.StdEncoding.DecodeString(e.OutputB64); err == nil {
				text = string(raw)
			}
		}
		f.output(text, e.Timestamp)
	case agentapi.EventCmdFinished:
		c := f.current()
		if c == nil {
			return
		}
		c.close()
		c.Running, c.Exit, c.Finished = false, e.ExitCode, e.Timestamp
		if e.FinishedAt != nil {
			c.Finished = *e.FinishedAt
		}
		if e.StartedAt != nil {
			c.Started = *e.StartedAt
		}
		f.changed[c] = true
	case agentapi.EventJobFinished:
		f.Finished, f.Result = true, e.Result
		if c := f.current(); c != nil && c.Running {
			c.close()
			c.Running, c.Ended, c.Finished = false, true, e.Timestamp
			f.changed[c] = true
		}
	}
}

func (f *fold) current() *Command {
	if f.extra != nil {
		return f.extra
	}
	if len(f.Commands) == 0 {
		return nil
	}
	return f.Commands[len(f.Commands)-1]
}

func (f *fold) start(directive string, at int64) {
	if c := f.current(); c != nil {
		c.close()
		if c.Running {
			// A cmd_finished that never arrived; the next command says that it is over.
			c.Running, c.Finished = false, at
			f.changed[c] = true
		}
	}
	f.Lines++
	first := firstLine(directive)
	c := &Command{
		N: f.Lines, Directive: clip(first, 500), More: strings.Count(strings.TrimSpace(directive), "\n"), Started: at, said: at, Running: true, tail: tailLines,
	}
	if f.kept > pageLines {
		c.tail = lateTail
	}
	if len(f.Commands) >= maxCommands {
		f.Hidden++
		f.extra = c
		return
	}
	f.Commands = append(f.Commands, c)
	f.changed[c] = true
}

func (f *fold) output(text string, at int64) {
	if f.current() == nil {
		f.start("Output before the first command", at)
	}
	c := f.current()
	f.Bytes += int64(len(text))
	quiet := at - c.said
	if c.said == 0 || at == 0 {
		quiet = 0
	}
	if at > 0 {
		c.said = at
	}
	for text != "" {
		part, rest, ended := strings.Cut(text, "\n")
		text = rest
		if !c.open {
			f.Lines++
			if c.First == 0 {
				c.First = f.Lines
			}
			c.Last = f.Lines
			c.partial, c.open = "", true
			l := Line{N: f.Lines}
			if quiet >= silence {
				l.Silence = quiet
			}
			quiet = 0
			f.keep(c, l)
		}
		// A line is shown up to maxLine; what is longer only has to be counted, roughly, for its note.
		if room := 2*maxLine - len(c.partial); room > 0 {
			c.partial += part[:min(len(part), room)]
		}
		f.set(c)
		if ended {
			c.close()
		}
	}
}

// keep appends a line to the part of the command that has room for it.
func (f *fold) keep(c *Command, l Line) {
	if f.extra != nil {
		return
	}
	switch {
	case c.Tail == nil && len(c.Head) < headLines && c.tail > lateTail:
		c.Head = append(c.Head, l)
		f.kept++
		return
	case f.focus > 0 && l.N >= f.focus-focusLines && l.N <= f.focus+focusLines:
		// It is in the tail as well for now; Gaps removes the double.
		c.Mid = append(c.Mid, l)
	}
	// The tail is a slice that moves: cut it back only now and then.
	if len(c.Tail) >= 2*c.tail {
		c.Tail = append(make([]Line, 0, 2*c.tail), c.Tail[len(c.Tail)-c.tail:]...)
	} else {
		f.kept++
	}
	c.Tail = append(c.Tail, l)
}

// set writes the text of the last line, which may have grown.
func (f *fold) set(c *Command) {
	for _, part := range [][]Line{c.Head, c.Mid, c.Tail} {
		if n := len(part); n > 0 && part[n-1].N == c.Last {
			part[n-1].raw, part[n-1].style = c.partial, c.style
			if f.live {
				f.touch(part[n-1])
			}
		}
	}
}

// maxDirty is how many lines one push to an open page may carry.
const maxDirty = 1000

func (f *fold) touch(l Line) {
	if n := len(f.dirty); n > 0 && l.N > 0 && f.dirty[n-1].N == l.N {
		f.dirty[n-1] = l
		return
	}
	f.dirty = append(f.dirty, l)
	if len(f.dirty) > 2*maxDirty {
		f.dirty = append([]Line{}, f.dirty[len(f.dirty)-maxDirty:]...)
	}
}

// lose notes a gap in the log.
func (f *fold) lose(g *joblog.Gap) {
	c := f.current()
	if c == nil {
		f.start("Output before the first command", 0)
		c = f.current()
	}
	c.close()
	l := Line{Lost: plural(int(g.To-g.From), "part", "parts") + " of the log " + lost(g.Why)}
	if f.extra == nil {
		c.Tail = append(c.Tail, l)
		if f.live {
			f.touch(l)
		}
	}
}

func lost(why string) string {
	switch why {
	case joblog.WhyQuota:
		return "could not be kept: the log had reached its limit"
	case joblog.WhyTooLarge:
		return "could not be kept: too large"
	}
	return "did not arrive from the agent"
}

// close ends the last line.
func (c *Command) close() {
	if c.open {
		_, c.style = clean(c.partial, c.style)
	}
	c.open, c.partial = false, ""
}

// Parts returns the lines that are shown, in runs without a hole. Before each but the first, From and To tell which
// lines are not shown.
func (c *Command) Parts() []Part {
	var parts []Part
	last := c.First - 1
	tail := c.Tail[max(0, len(c.Tail)-c.tail):]
	for i, lines := range [][]Line{c.Head, c.Mid, tail} {
		for i == 1 && len(lines) > 0 && len(tail) > 0 && lines[len(lines)-1].N >= tail[0].N && tail[0].N > 0 {
			lines = lines[:len(lines)-1]
		}
		if len(lines) == 0 {
			continue
		}
		p := Part{Lines: lines}
		if n := lines[0].N; n > last+1 {
			p.From, p.To = last+1, n-1
		}
		if n := lines[len(lines)-1].N; n > 0 {
			last = n
		}
		parts = append(parts, p)
	}
	return parts
}

// Part is some lines after a hole.
type Part struct {
	From, To int64 // the hole, 0 when there is none
	Lines    []Line
}

// Lamp is the state of the command.
func (c *Command) Lamp() Lamp {
	switch {
	case c.Running:
		return lampRunning
	case c.Ended:
		return Lamp{"stopped", "Cut off"}
	case c.Exit != nil && *c.Exit != 0:
		return lampFailed
	case c.Exit == nil:
		return Lamp{"gone", "Unknown"}
	}
	return lampPassed
}

// Failed tells whether the command ended with another exit code than 0.
func (c *Command) Failed() bool { return c.Exit != nil && *c.Exit != 0 }

// Open tells whether the fold is open at first: what failed, what runs, what was cut off.
func (c *Command) Open() bool { return c.Running || c.Failed() || c.Ended }

// Took is how long the command ran.
func (c *Command) Took() Took {
	if c.Started == 0 {
		return Took{Text: clock(-1)}
	}
	if c.Running {
		return Took{Text: clock(0), Since: c.Started * 1000}
	}
	if c.Finished < c.Started {
		return Took{Text: clock(-1)}
	}
	return Took{Text: clock(time.Duration(c.Finished-c.Started) * time.Second)}
}

// firstFailure is the command that made the job fail: a job stops at its first failing command, and only epilogues come
// after it.
func (f *fold) firstFailure() *Command {
	for _, c := range f.Commands {
		if c.Failed() {
			return c
		}
	}
	return nil
}

// alarming finds lines that are likely to say what went wrong: the words of it, or a red colour.
var alarming = regexp.MustCompile(`(?i)\b(?:error|err|fail|failed|failure|failures|fatal|panic|exception|traceback|expected|undefined|not found|denied)\b|\x1b\[[0-9;]*\b(?:31|91)m`)

// telling returns up to n lines near the end of a command that tell most, and marks the last one: those that alarm
// and the last, or simply the last ones.
func (c *Command) telling(n int) []Line {
	all := c.Tail
	if len(all) == 0 {
		all = c.Head
	}
	all = all[max(0, len(all)-60):]
	var said, alarms []Line
	last := -1
	for i, l := range all {
		if l.Lost != "" || l.blank() {
			continue
		}
		last = i
		said = append(said, l)
		if alarming.MatchString(l.raw) {
			alarms = append(alarms, l)
		}
	}
	if last < 0 {
		return nil
	}
	end := all[last]
	all[last].Hot = true
	if len(alarms) == 0 {
		return said[max(0, len(said)-n):]
	}
	alarms = alarms[:min(len(alarms), n-1)]
	if alarms[len(alarms)-1].N != end.N {
		alarms = append(alarms, end)
	}
	return alarms
}

// infraSentence says what happened to the machinery.
func infraSentence(j *signalbox.Job, agent string) string {
	why := endReasons[j.Reason]
	if j.FailureReason != "" {
		why = strings.TrimSuffix(clip(firstLine(j.FailureReason), 300), ".") + ". Your code is not the cause"
	}
	if agent != "" {
		why += ". It ran on " + clip(agent, 80)
	}
	return strings.ToUpper(why[:min(1, len(why))]) + why[min(1, len(why)):] + "."
}
