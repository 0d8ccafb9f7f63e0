package joblog

import (
	"bytes"
	"context"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// Command is one command of a job, or (with no Directive) what was printed outside of any.
type Command struct {
	Directive  string
	FirstEvent int64 // index of the event that began it
	StartedAt  int64 // Unix seconds, 0 when not known
	FinishedAt int64 // Unix seconds, 0 while it runs or when not known
	ExitCode   *int  // nil while it runs, and when its end never came
	Bytes      int64 // all it printed
	Lines      int64 // all lines it printed, the last one counted even when it is not complete
	FirstLine  int64 // number of the first line of Output, from 1
	Output     []byte
	Gaps       []Gap // what is missing within it, at most 100 of them

	open bool // the last line is not complete
}

// Fold turns events into commands, one batch after another, within a bound: output beyond Keep bytes is dropped
// line by line from the oldest commands on, and so are whole commands beyond MaxCommands. The zero value is ready.
type Fold struct {
	Keep        int // default 2 MiB
	MaxCommands int // default 2000

	Commands   []*Command
	Dropped    int   // commands that are no longer in Commands
	Next       int64 // index of the next event to add
	StartedAt  int64 // of the job, Unix seconds
	FinishedAt int64
	Result     string // passed, failed, stopped, "" while it runs
	Closed     bool   // set by View: no more events are expected

	kept    int
	trimmed int  // the first command that may still hold output to drop
	running bool // the last command is open for output
}

// View folds all of a log. Keep the result and Add what Follow hands out from Next on, to keep a page up to date.
func (l *Log) View(ctx context.Context, attemptID string) (*Fold, error) {
	f := &Fold{}
	next, closed, err := l.scan(ctx, attemptID, 0, func(b Batch) error { f.Add(b); return nil })
	if err != nil {
		return nil, err
	}
	f.Next, f.Closed = next, closed
	return f, nil
}

// Add takes the next batch of a log.
func (f *Fold) Add(b Batch) {
	if b.Gap != nil {
		c := f.current(b.From, 0)
		if len(c.Gaps) < 100 {
			c.Gaps = append(c.Gaps, *b.Gap)
		}
		f.print(c, []byte(b.Gap.Text()))
	}
	for i, raw := range b.Events {
		f.add(b.From+int64(i), parse(raw))
	}
	f.Next = b.Next()
}

func (f *Fold) add(index int64, e agentapi.Event) {
	switch e.Event {
	case agentapi.EventJobStarted:
		f.StartedAt = e.Timestamp
	case agentapi.EventCmdStarted:
		f.begin(&Command{Directive: e.Directive, FirstEvent: index, StartedAt: e.Timestamp})
	case agentapi.EventCmdOutput:
		f.print(f.current(index, e.Timestamp), outputOf(e))
	case agentapi.EventCmdFinished:
		c := f.finished(index, e.Directive)
		c.ExitCode, c.FinishedAt = e.ExitCode, e.Timestamp
		if e.FinishedAt != nil && *e.FinishedAt != 0 {
			c.FinishedAt = *e.FinishedAt
		}
		if e.StartedAt != nil && *e.StartedAt != 0 {
			c.StartedAt = *e.StartedAt
		}
		f.running = false
	case agentapi.EventJobFinished:
		f.FinishedAt, f.Result = e.Timestamp, e.Result
		f.running = false
	}
}

// current returns the command that prints now.
func (f *Fold) current(index, at int64) *Command {
	if n := len(f.Commands); n > 0 && (f.running || f.Commands[n-1].Directive == "") {
		return f.Commands[n-1]
	}
	return f.begin(&Command{FirstEvent: index, StartedAt: at})
}

// finished returns the command that an end belongs to. The end of one whose beginning is missing makes it known.
func (f *Fold) finished(index int64, directive string) *Command {
	if n := len(f.Commands); n > 0 && f.running && f.Commands[n-1].Directive == directive {
		return f.Commands[n-1]
	}
	return f.begin(&Command{Directive: directive, FirstEvent: index})
}

func (f *Fold) begin(c *Command) *Command {
	c.FirstLine = 1
	f.Commands = append(f.Commands, c)
	f.running = c.Directive != ""
	limit := f.MaxCommands
	if limit <= 0 {
		limit = 2000
	}
	for len(f.Commands) > limit {
		f.kept -= len(f.Commands[0].Output)
		f.Commands = f.Commands[1:]
		f.Dropped++
		f.trimmed = max(f.trimmed-1, 0)
	}
	return c
}

func (f *Fold) print(c *Command, text []byte) {
	if len(text) == 0 {
		return
	}
	c.Bytes += int64(len(text))
	if c.open {
		c.Lines-- // it goes on
	}
	c.Lines += int64(bytes.Count(text, []byte("\n")))
	if c.open = text[len(text)-1] != '\n'; c.open {
		c.Lines++
	}
	c.Output = append(c.Output, text...)
	f.kept += len(text)
	f.trim()
}

// trim drops the oldest output down to the bound.
func (f *Fold) trim() {
	keep := f.Keep
	if keep <= 0 {
		keep = 2 << 20
	}
	for f.kept > keep && f.trimmed < len(f.Commands) {
		c := f.Commands[f.trimmed]
		cut := min(f.kept-keep, len(c.Output))
		if end := bytes.IndexByte(c.Output[cut:], '\n'); cut < len(c.Output) && end >= 0 && end < 4096 {
			cut += end + 1
		}
		c.FirstLine += int64(bytes.Count(c.Output[:cut], []byte("\n")))
		c.Output = c.Output[cut:]
		f.kept -= cut
		if len(c.Output) > 0 {
			return
		}
		c.Output = nil
		if f.trimmed == len(f.Commands)-1 {
			return
		}
		f.trimmed++
	}
}
