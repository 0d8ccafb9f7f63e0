package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/route"
)

const (
	maxWindow   = 2_000   // lines of one answer
	wholeLine   = 1 << 20 // bytes of one line that was asked for alone
	maxHits     = 10_000  // hits that one search tells
	maxSearches = 3       // at once, of one user
)

// logIndex is what a page knows of a log at first. Field names are those of the documented interface.
type logIndex struct {
	Rev       string             `json:"rev"`
	Attempt   int                `json:"attempt"`
	State     string             `json:"state"`
	Lines     int64              `json:"lines"`
	Bytes     int64              `json:"bytes"`
	Complete  bool               `json:"complete"`
	Open      bool               `json:"open,omitempty"`
	Started   int64              `json:"started,omitempty"`
	Commands  []*logline.Command `json:"commands"`
	Notes     []logNote          `json:"notes"`
	MoreNotes int                `json:"more_notes,omitempty"`
}

// logNote stands before a line: nothing was printed for some seconds, or something is missing.
type logNote struct {
	Before  int64  `json:"before"`
	Command int    `json:"command"`
	Silence int64  `json:"silence,omitempty"`
	Lost    string `json:"lost,omitempty"`
}

// logLine is one line: the time in Unix seconds and runs of text with their classes.
type logLine struct {
	At   int64 `json:"t,omitempty"`
	Runs []Run `json:"s"`
	Cut  int64 `json:"cut,omitempty"` // bytes that are not here
	Head bool  `json:"head,omitempty"`
}

type logWindow struct {
	Rev   string    `json:"rev"`
	From  int64     `json:"from"`
	Lines []logLine `json:"lines"`
	Index *logIndex `json:"index,omitempty"`
}

func indexOf(ix *logline.Index, a *signalbox.Attempt) *logIndex {
	x := &logIndex{
		Rev: ix.Tag(), Attempt: a.N, State: "running", Lines: ix.Lines, Bytes: ix.Text, Complete: ix.Closed, Open: ix.Open, Started: ix.Started,
		Commands: shownCommands(ix.Commands), Notes: notesOf(ix.Notes), MoreNotes: ix.MoreNotes,
	}
	if ix.Closed {
		x.State = "finished"
	}
	if x.Started == 0 && len(ix.Commands) > 0 {
		x.Started = ix.Commands[0].Started
	}
	return x
}

// shownCommands makes texts of commands safe to show.
func shownCommands(list []*logline.Command) []*logline.Command {
	out := make([]*logline.Command, 0, len(list))
	for _, c := range list {
		if text := string(visible([]byte(c.Directive))); text != c.Directive {
			x := *c
			x.Directive = text
			c = &x
		}
		out = append(out, c)
	}
	return out
}

func notesOf(list []logline.Note) []logNote {
	out := make([]logNote, 0, len(list))
	for _, n := range list {
		x := logNote{Before: n.Before, Command: n.Command, Silence: n.Silence}
		if n.Gap != nil {
			x.Lost = lost(n.Gap)
		}
		out = append(out, x)
	}
	return out
}

func logLineOf(l *logline.Line) logLine {
	x := logLine{At: l.At, Runs: runs(string(l.Raw), l.Style), Cut: l.Len - int64(len(l.Raw)), Head: l.Head}
	for i := range x.Runs {
		x.Runs[i].Text = string(visible([]byte(x.Runs[i].Text)))
	}
	return x
}

// logOf finds the attempt whose log is asked for.
func (w *Web) logOf(r *http.Request) (*signalbox.Attempt, error) {
	_, attempt, err := w.attemptOf(r)
	if err == nil && attempt == nil {
		err = signalbox.Errorf(signalbox.CodeNotFound, "There is no log yet: the job has not been given to an agent")
	}
	return attempt, err
}

// number reads a whole number of the address between two bounds; one that is not there is what stands in for it.
func number(q url.Values, name string, without, least, most int64) (int64, error) {
	text := q.Get(name)
	if text == "" {
		return without, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "%s is %.40q; it must be a whole number from %d to %d", name, text, least, most)
	}
	return n, nil
}

func flag(q url.Values, name string) (bool, error) {
	switch text := q.Get(name); text {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, signalbox.Errorf(signalbox.CodeInvalid, "%s is %.40q; it must be 0 or 1", name, text)
	}
}

// keep tells browsers how long an answer about a log holds: for ever when the log is complete and the address says which
// revision of which attempt is meant. It returns true when the browser has it already.
func keep(rw http.ResponseWriter, r *http.Request, ix *logline.Index) bool {
	h := rw.Header()
	if !ix.Closed {
		h.Set("Cache-Control", "no-store")
		return false
	}
	tag := `"` + ix.AttemptID + "." + ix.Tag() + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	if q := r.URL.Query(); q.Get("rev") == ix.Tag() && q.Get("attempt") != "" {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == tag {
		rw.WriteHeader(http.StatusNotModified)
		return true
	}
	return false
}

func writeJSON(rw http.ResponseWriter, v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(b.Bytes())
	return nil
}

func (w *Web) getLogIndex(rw http.ResponseWriter, r *http.Request) error {
	a, err := w.logOf(r)
	if err != nil {
		return err
	}
	ix, err := w.o.Lines.Index(r.Context(), a.ID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		rw.Header().Set("Cache-Control", "no-store")
		return writeJSON(rw, indexOf(&logline.Index{}, a)) // nothing has arrived
	}
	if err != nil {
		return err
	}
	if keep(rw, r, ix) {
		return nil
	}
	return writeJSON(rw, indexOf(ix, a))
}

func (w *Web) getLogLines(rw http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	from, err := number(q, "from", 1, 1, 1<<52)
	if err != nil {
		return err
	}
	plain, err := flag(q, "plain")
	if err != nil {
		return err
	}
	most := int64(maxWindow)
	if plain {
		most = 1 << 31 // it is streamed
	}
	count, err := number(q, "count", 1000, 1, most)
	if err != nil {
		return err
	}
	if plain {
		return w.plainLines(rw, r, from, count)
	}
	return w.writeWindow(rw, r, false, func(*logline.Index) (int64, int64) { return from, count })
}

func (w *Web) getLogTail(rw http.ResponseWriter, r *http.Request) error {
	count, err := number(r.URL.Query(), "count", 200, 1, maxWindow)
	if err != nil {
		return err
	}
	return w.writeWindow(rw, r, true, func(ix *logline.Index) (int64, int64) { return max(1, ix.Lines-count+1), count })
}

// writeWindow answers with some lines.
func (w *Web) writeWindow(rw http.ResponseWriter, r *http.Request, withIndex bool, where func(*logline.Index) (from, count int64)) error {
	a, err := w.logOf(r)
	if err != nil {
		return err
	}
	var out logWindow
	done := false
	err = w.withIndex(r.Context(), a.ID, func(ix *logline.Index) error {
		if done = keep(rw, r, ix); done {
			return nil
		}
		from, count := where(ix)
		out = logWindow{Rev: ix.Tag(), From: from, Lines: []logLine{}}
		if withIndex {
			out.Index = indexOf(ix, a)
		}
		room := maxLine
		if count == 1 {
			room = wholeLine
		}
		return w.o.Lines.Window(r.Context(), ix, from, count, room, func(l *logline.Line) error {
			out.Lines = append(out.Lines, logLineOf(l))
			return nil
		})
	})
	if err != nil || done {
		return orNotFound(err, "log")
	}
	return writeJSON(rw, out)
}

// plainLines streams lines as text, for copying: complete, without numbers and colours.
func (w *Web) plainLines(rw http.ResponseWriter, r *http.Request, from, count int64) error {
	a, err := w.logOf(r)
	if err != nil {
		return err
	}
	out := &lateWriter{rw: rw}
	err = w.withIndex(r.Context(), a.ID, func(ix *logline.Index) error {
		if !out.begun {
			textHeaders(rw.Header())
		}
		return w.o.Lines.Window(r.Context(), ix, from, count, wholeLine, func(l *logline.Line) error {
			_, err := out.Write(append(visible([]byte(logline.Visible(l.Raw, screen))), '\n'))
			return err
		})
	})
	return out.end(orNotFound(err, "log"))
}

// searches counts the searches of each user that are going on.
type searches struct {
	mu sync.Mutex
	by map[string]int
}

func (s *searches) enter(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[user] >= maxSearches {
		return false
	}
	s.by[user]++
	return true
}

func (s *searches) leave(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[user]--; s.by[user] == 0 {
		delete(s.by, user)
	}
}

// getLogSearch streams what a search finds, a JSON object on each line: hits as they are found, {"progress":0.42}, and at the
// end {"done":true,"total":12}. It ends when whoever asks goes away.
func (w *Web) getLogSearch(rw http.ResponseWriter, r *http.Request) error {
	query, err := searchQuery(r.URL.Query())
	if err != nil {
		return err
	}
	a, err := w.logOf(r)
	if err != nil {
		return err
	}
	user := ""
	if u := route.ActorFrom(r.Context()).User; u != nil {
		user = u.ID
	}
	if !w.searches.enter(user) {
		return signalbox.Errorf(signalbox.CodeUnavailable, "%d searches of yours are going on; wait for one to end, or end it", maxSearches)
	}
	defer w.searches.leave(user)
	ix, err := w.o.Lines.Index(r.Context(), a.ID)
	if err != nil {
		return orNotFound(err, "log")
	}
	h := rw.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := &searchWriter{rw: rw, rc: http.NewResponseController(rw)}
	total, err := w.o.Lines.Search(r.Context(), ix, query, logline.Found{
		Hit:      func(x logline.Hit) error { return out.write(x, !out.begun) },
		Progress: func(part float64) error { return out.write(map[string]float64{"progress": part}, true) },
	})
	if err == nil {
		err = out.write(map[string]any{"done": true, "total": total, "rev": ix.Tag()}, true)
	}
	if err != nil && out.begun {
		return nil // an answer without its end is not complete
	}
	return err
}

type searchWriter struct {
	rw    http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

func (s *searchWriter) write(v any, now bool) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.begun = true
	if _, err := s.rw.Write(append(text, '\n')); err != nil || !now {
		return err
	}
	return s.rc.Flush()
}

func searchQuery(q url.Values) (logline.Query, error) {
	x := logline.Query{Text: q.Get("q"), Show: screen}
	var err error
	if x.Pattern, err = flag(q, "re"); err != nil {
		return x, err
	}
	if x.Case, err = flag(q, "case"); err != nil {
		return x, err
	}
	if x.From, err = number(q, "from", 1, 1, 1<<52); err != nil {
		return x, err
	}
	limit, err := number(q, "limit", 500, 1, maxHits)
	if err != nil {
		return x, err
	}
	x.Limit = int(limit)
	_, err = logline.NewMatcher(x)
	return x, err
}

// screen is what a terminal shows of a line, as pages show it.
func screen(line string) string {
	var b strings.Builder
	for _, r := range runs(line, nil) {
		b.WriteString(r.Text)
	}
	return string(visible([]byte(b.String())))
}
