package logline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

// pieces hands out the plain text of a log from a place on, as it was printed and with the time of each piece.
func (l *Lines) pieces(ctx context.Context, ix *Index, from point, fn func(text []byte, at int64) error) error {
	skip, cut := from.Line > 0, from.Offset
	var lost *joblog.Gap
	var buf []byte
	missing := func() error {
		if lost == nil {
			return nil
		}
		text := lost.Text()
		lost = nil
		return fn([]byte(text), 0)
	}
	_, err := l.log.Read(ctx, ix.AttemptID, from.Event, ix.Rev, func(b joblog.Batch) error {
		if b.Rest() && skip {
			return nil
		}
		skip = false
		if b.Gap != nil {
			if lost != nil && lost.To == b.Gap.From && lost.Why == b.Gap.Why {
				lost.To = b.Gap.To
				return nil
			}
			if err := missing(); err != nil {
				return err
			}
			g := *b.Gap
			lost = &g
			return nil
		}
		if err := missing(); err != nil {
			return err
		}
		for _, raw := range b.Events {
			var e agentapi.Event
			var text []byte
			e, text, buf = read(raw, buf)
			if e.Event == agentapi.EventCmdStarted {
				text = append([]byte(e.Directive), '\n')
			}
			text = text[min(cut, int64(len(text))):]
			cut = 0
			if len(text) > 0 {
				if err := fn(text, e.Timestamp); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return missing()
}

// Text writes the plain text of a log from a byte on.
func (l *Lines) Text(ctx context.Context, ix *Index, from int64, w io.Writer) error {
	p := ix.pointAt(from)
	skip := from - p.Text
	return l.pieces(ctx, ix, p, func(text []byte, _ int64) error {
		n := min(skip, int64(len(text)))
		skip -= n
		if text = text[n:]; len(text) == 0 {
			return nil
		}
		_, err := w.Write(text)
		return err
	})
}

const (
	stampLayout = "2006-01-02T15:04:05Z "
	noStamp     = "                     "
)

// Stamped writes the plain text of a log with the time of each line before it, in UTC.
func (l *Lines) Stamped(ctx context.Context, ix *Index, w io.Writer) error {
	begins := true
	var line []byte
	return l.pieces(ctx, ix, point{}, func(text []byte, at int64) error {
		line = line[:0]
		for len(text) > 0 {
			if begins && at > 0 {
				line = time.Unix(at, 0).UTC().AppendFormat(line, stampLayout)
			} else if begins {
				line = append(line, noStamp...)
			}
			i := bytes.IndexByte(text, '\n') + 1
			if begins = i > 0; !begins {
				i = len(text)
			}
			line, text = append(line, text[:i]...), text[i:]
		}
		_, err := w.Write(line)
		return err
	})
}

// Reader reads the plain text of a closed log, from any byte on.
type Reader struct {
	ctx  context.Context
	l    *Lines
	ix   *Index
	pos  int64
	pipe *io.PipeReader
	stop func()
}

// Reader returns a reader of the plain text. It must be closed.
func (l *Lines) Reader(ctx context.Context, ix *Index) *Reader {
	return &Reader{ctx: ctx, l: l, ix: ix}
}

func (r *Reader) Read(p []byte) (int, error) {
	if r.pipe == nil {
		if r.pos >= r.ix.Text {
			return 0, io.EOF
		}
		ctx, stop := context.WithCancel(r.ctx)
		in, out := io.Pipe()
		r.pipe, r.stop = in, stop
		go func(pos int64) { out.CloseWithError(r.l.Text(ctx, r.ix, pos, out)) }(r.pos)
	}
	n, err := r.pipe.Read(p)
	r.pos += int64(n)
	return n, err
}

// Seek goes to a byte; nothing is read before Read.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.ix.Text
	}
	if offset < 0 {
		return 0, errors.New("a place before the start of the log")
	}
	if offset != r.pos {
		_ = r.Close()
		r.pos = offset
	}
	return offset, nil
}

// Close ends what reads.
func (r *Reader) Close() error {
	if r.pipe != nil {
		r.stop()
		_ = r.pipe.Close()
		r.pipe = nil
	}
	return nil
}
