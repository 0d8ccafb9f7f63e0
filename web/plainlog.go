package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/logline"
)

// textHeaders keep a browser from running anything: the text is whatever the job printed.
func textHeaders(h http.Header) {
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
}

// getPlainLog answers with the log as text: in pieces when it is complete and a range is asked for, with the time of each line
// (?ts=1), or compressed (.gz).
func (w *Web) getPlainLog(rw http.ResponseWriter, r *http.Request) error {
	stamps, err := flag(r.URL.Query(), "ts")
	if err != nil {
		return err
	}
	a, err := w.logOf(r)
	if err != nil {
		return err
	}
	out := &lateWriter{rw: rw}
	err = w.withIndex(r.Context(), a.ID, func(ix *logline.Index) error {
		if out.begun {
			return io.ErrUnexpectedEOF // half of another revision was sent
		}
		h := rw.Header()
		textHeaders(h)
		name := "job-" + a.JobID + "-" + strconv.Itoa(a.N) + ".txt"
		zip := strings.HasSuffix(r.URL.Path, ".gz")
		if zip {
			name += ".gz"
			h.Set("Content-Type", "application/gzip")
		}
		h.Set("Content-Disposition", `inline; filename="`+name+`"`)
		if ix.Closed && !stamps && !zip {
			h.Set("ETag", `"`+ix.AttemptID+"."+ix.Tag()+`"`)
			h.Set("Cache-Control", "private, no-cache")
			text := w.o.Lines.Reader(r.Context(), ix)
			defer func() { _ = text.Close() }()
			out.begun = true
			http.ServeContent(rw, r, "", time.Time{}, text)
			return nil
		}
		return writePlain(out, zip, func(to io.Writer) error {
			if stamps {
				return w.o.Lines.Stamped(r.Context(), ix, to)
			}
			return w.o.Lines.Text(r.Context(), ix, 0, to)
		})
	})
	return out.end(orNotFound(err, "log"))
}

func writePlain(out io.Writer, zip bool, write func(io.Writer) error) error {
	if !zip {
		return write(out)
	}
	z := gzip.NewWriter(out)
	if err := write(z); err != nil {
		return err
	}
	return z.Close()
}

// lateWriter knows whether anything was written, and so whether an error can still become an answer.
type lateWriter struct {
	rw    http.ResponseWriter
	begun bool
}

func (l *lateWriter) Write(p []byte) (int, error) {
	l.begun = true
	return l.rw.Write(p)
}

// end turns an error into an answer. Half a log must not look like a whole one: then the connection is broken.
func (l *lateWriter) end(err error) error {
	if err == nil {
		return nil
	}
	if l.begun {
		panic(http.ErrAbortHandler)
	}
	h := l.rw.Header()
	for _, name := range []string{"Content-Disposition", "ETag", "Content-Security-Policy"} {
		h.Del(name)
	}
	h.Set("Content-Security-Policy", contentPolicy)
	return err
}
