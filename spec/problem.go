package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a Problem means for the file.
type Severity string

const (
	SeverityError       Severity = "error"       // the file is wrong
	SeverityWarning     Severity = "warning"     // the file works, but probably not as meant
	SeverityUnsupported Severity = "unsupported" // the file is right, but this version of Signalbox cannot run it
)

// Problem is one thing to say about a pipeline file.
type Problem struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1
	Column   int      `json:"column"` // from 1, in characters
	Path     string   `json:"path"`   // #/blocks/0/task
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`        // what is wrong, why, and what to do
	Code     string   `json:"code,omitempty"` // the text existing clients know, "" when there is none
}

// String returns "file:line:column: message", with the severity before the message of a warning.
func (p Problem) String() string {
	text := p.Message
	if p.Severity == SeverityWarning {
		text = "warning: " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
}

// Problems are sorted by position.
type Problems []Problem

// HasErrors tells whether the file cannot run: it has an error or uses something unsupported.
func (ps Problems) HasErrors() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity != SeverityWarning })
}

// Error returns every problem, one per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds the errors, and the warnings; whoever made more mistakes than this will run the check again anyway.
const maxProblems = 200

// report collects problems. The same sentence about the same place counts once, because an alias shows one mistake in
// many places of the file.
type report struct {
	file           string
	list           Problems
	seen           map[reportKey]bool
	errors, warned int
	more           [2]int // errors and warnings left out
}

type reportKey struct {
	line, column int
	message      string
}

// full tells whether problems of this severity are no longer kept, and if so counts one of them.
func (r *report) full(s Severity) bool {
	switch {
	case s == SeverityWarning && r.warned >= maxProblems:
		r.more[1]++
		return true
	case s != SeverityWarning && r.errors >= maxProblems:
		r.more[0]++
		return true
	}
	return false
}

func (r *report) add(p Problem) {
	k := reportKey{p.Line, p.Column, p.Message}
	if r.seen[k] || r.full(p.Severity) {
		return
	}
	if r.seen == nil {
		r.seen = map[reportKey]bool{}
	}
	r.seen[k] = true
	if p.Severity == SeverityWarning {
		r.warned++
	} else {
		r.errors++
	}
	p.File = r.file
	r.list = append(r.list, p)
}

// take adds problems of another file as they are.
func (r *report) take(ps Problems) {
	for _, p := range ps {
		if r.full(p.Severity) {
			continue
		}
		if p.Severity == SeverityWarning {
			r.warned++
		} else {
			r.errors++
		}
		r.list = append(r.list, p)
	}
}

// problems returns what was collected, sorted.
func (r *report) problems() Problems {
	slices.SortStableFunc(r.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	for i, what := range []string{"errors", "warnings"} {
		if r.more[i] == 0 {
			continue
		}
		last := r.list[len(r.list)-1]
		r.list = append(r.list, Problem{
			File: r.file, Line: last.Line, Column: last.Column, Path: "#",
			Severity: []Severity{SeverityError, SeverityWarning}[i],
			Message:  fmt.Sprintf("there are more %s than these %d; mend them and check again", what, maxProblems),
		})
	}
	return r.list
}
