package logline

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

const (
	blockLines = 1000      // lines of a block
	blockBytes = 256 << 10 // bytes of a block, give or take one line
	maxNotes   = 2000      // gaps and silences that have a place of their own
	format     = 1         // of a stored index
)

// Command is one command of a job and where its lines are.
type Command struct {
	N         int    `json:"n"`
	Line      int64  `json:"line"`            // its head
	First     int64  `json:"first,omitempty"` // first and last line of output, 0 when there is none
	Last      int64  `json:"last,omitempty"`
	Directive string `json:"directive"`
	More      int    `json:"more,omitempty"`   // further lines of the directive
	Merged    int    `json:"merged,omitempty"` // later commands whose lines are here, because there are too many
	Started   int64  `json:"start,omitempty"`
	Finished  int64  `json:"end,omitempty"`
	Exit      *int   `json:"exit,omitempty"`
	Running   bool   `json:"running,omitempty"`
	CutOff    bool   `json:"cut_off,omitempty"` // the job ended while it was running
}

// Failed tells whether the command ended with another exit code than 0.
func (c *Command) Failed() bool { return c.Exit != nil && *c.Exit != 0 }

// Note stands between two lines: something is missing, or nothing was printed for long.
type Note struct {
	Before  int64       `json:"before"`  // the line that follows
	Command int         `json:"command"` // which it belongs to
	Silence int64       `json:"silence,omitempty"`
	Gap     *joblog.Gap `json:"gap,omitempty"`
}

// Index says where the lines of a log are. It is a moment of the log and does not change.
type Index struct {
	AttemptID string
	Rev       int64 // of the log
	Next      int64 // index after the last event
	Closed    bool  // no more events are expected
	Lines     int64
	Text      int64 // bytes of plain text
	Open      bool  // the last line may still grow
	Commands  []*Command
	Notes     []Note
	MoreNotes int    // gaps and silences that have no place of their own
	Started   int64  // of the job, Unix seconds
	Ended     int64  // of the job
	Result    string // that the agent gave, "" while it runs

	points []point
}

// Tag names the revision. What has the same tag and is closed has the same lines.
func (ix *Index) Tag() string {
	return strconv.FormatInt(ix.Rev, 10) + "." + strconv.FormatInt(format, 10)
}

// CommandOf returns the command that a line belongs to, nil when there is none.
func (ix *Index) CommandOf(line int64) *Command {
	i, found := slices.BinarySearchFunc(ix.Commands, line, func(c *Command, n int64) int { return cmp.Compare(c.Line, n) })
	if !found {
		i--
	}
	if i < 0 {
		return nil
	}
	return ix.Commands[i]
}

// Failure is the command that made the job fail: a job stops at its first failing command, and only epilogues come after it.
func (ix *Index) Failure() *Command {
	for _, c := range ix.Commands {
		if c.Failed() {
			return c
		}
	}
	return nil
}

// pointOf returns the last place before or at a line from which reading can go on.
func (ix *Index) pointOf(line int64) point {
	i, found := slices.BinarySearchFunc(ix.points, line, func(p point, n int64) int { return cmp.Compare(p.Line, n) })
	if !found {
		i--
	}
	if i < 0 {
		return point{}
	}
	return ix.points[i]
}

// pointAt returns the last place before or at a byte of the plain text.
func (ix *Index) pointAt(text int64) point {
	i, found := slices.BinarySearchFunc(ix.points, text, func(p point, n int64) int { return cmp.Compare(p.Text, n) })
	for found && i > 0 && ix.points[i-1].Text == text {
		i--
	}
	if !found {
		i--
	}
	if i < 0 {
		return point{}
	}
	return ix.points[i]
}

// builder makes an index out of what a fold tells it.
type builder struct {
	ix     Index
	shared bool // the newest command is also in an Index that was handed out
	fold   *fold
	recent recent
	gaps   bool // there are some
	parts  int  // in which the log was read
}

func newBuilder(attemptID string, rev int64) *builder {
	b := &builder{ix: Index{AttemptID: attemptID, Rev: rev}}
	b.fold = newFold(b, point{}, maxRaw)
	return b
}

// snapshot returns the index as it is now.
func (b *builder) snapshot() *Index {
	ix := b.ix
	ix.Commands = slices.Clone(b.ix.Commands)
	ix.Notes, ix.points = slices.Clip(b.ix.Notes), slices.Clip(b.ix.points)
	ix.Text, ix.Open = b.fold.at.Text, b.fold.open
	ix.Lines = b.fold.at.Line
	b.shared = true
	return &ix
}

// last returns the newest command, for changing it.
func (b *builder) last() *Command {
	n := len(b.ix.Commands)
	if n == 0 {
		return nil
	}
	if b.shared {
		c := *b.ix.Commands[n-1]
		b.ix.Commands[n-1], b.shared = &c, false
	}
	return b.ix.Commands[n-1]
}

func (b *builder) place(p point) {
	if n := len(b.ix.points); n > 0 && p.Line-b.ix.points[n-1].Line < blockLines && p.Text-b.ix.points[n-1].Text < blockBytes {
		return
	}
	b.ix.points = append(b.ix.points, p)
}

func (b *builder) command(c *Command) {
	if old := b.last(); old != nil && old.Running {
		// Its end never arrived; the next command says that it is over.
		old.Running, old.Finished = false, c.Started
	}
	b.ix.Commands, b.shared = append(b.ix.Commands, c), false
	b.recent.add(&Line{N: c.Line, Command: c.N, Head: true, At: c.Started, Raw: []byte(c.Directive), Len: int64(len(c.Directive))})
}

func (b *builder) merged(l *Line) {
	b.last().Merged++
	b.line(l)
}

func (b *builder) line(l *Line) {
	if c := b.ix.Commands[len(b.ix.Commands)-1]; c.Last != l.N {
		c = b.last()
		if c.First == 0 {
			c.First = l.N
		}
		c.Last = l.N
		if l.Silence > 0 {
			b.note(Note{Before: l.N, Command: l.Command, Silence: l.Silence})
		}
	}
	b.recent.add(l)
}

func (b *builder) note(n Note) {
	if len(b.ix.Notes) >= maxNotes {
		b.ix.MoreNotes++
		return
	}
	b.ix.Notes = append(b.ix.Notes, n)
}

func (b *builder) gap(g joblog.Gap, after int64) {
	if k := len(b.ix.Notes); k > 0 && b.ix.Notes[k-1].Before == after+1 && b.ix.Notes[k-1].Gap != nil &&
		b.ix.Notes[k-1].Gap.To == g.From && b.ix.Notes[k-1].Gap.Why == g.Why {
		// It grew since the log was read last.
		notes := slices.Clone(b.ix.Notes)
		joined := *notes[k-1].Gap
		joined.To = g.To
		notes[k-1].Gap = &joined
		b.ix.Notes = notes
		return
	}
	b.note(Note{Before: after + 1, Command: len(b.ix.Commands), Gap: &g})
}

func (b *builder) finished(e agentapi.Event) {
	c := b.last()
	if c.Merged > 0 && c.Failed() {
		return // the first failure is worth more
	}
	c.Running, c.Exit, c.Finished = false, e.ExitCode, e.Timestamp
	if e.FinishedAt != nil && *e.FinishedAt != 0 {
		c.Finished = *e.FinishedAt
	}
	if e.StartedAt != nil && *e.StartedAt != 0 {
		c.Started = *e.StartedAt
	}
}

func (b *builder) ended(e agentapi.Event) {
	b.ix.Ended, b.ix.Result = e.Timestamp, e.Result
	if c := b.last(); c != nil && c.Running {
		c.Running, c.CutOff, c.Finished = false, true, e.Timestamp
	}
}

// close says that no more events come: what still runs was cut off, because the agent went without a word.
func (b *builder) close() {
	b.ix.Closed = true
	b.fold.close()
	if c := b.last(); c != nil && c.Running {
		c.Running, c.CutOff, c.Finished = false, true, b.fold.at.Said
	}
}
