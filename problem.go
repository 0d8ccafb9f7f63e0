package signalbox

import (
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Problem is what an agent says is wrong with its machine. Code is a word for programs, Detail a sentence.
type Problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Codes that agents of ours report; others are kept as they come.
const (
	ProblemDiskLow   = "disk_low"   // little room where jobs or logs are kept
	ProblemClockOff  = "clock_off"  // the clock is not that of the server
	ProblemSpoolFull = "spool_full" // logs wait for delivery and have reached their quota
	ProblemEngine    = "no_engine"  // the container engine that was set does not answer
)

// SuspectAfter is after how much silence an agent is suspect: longer than its syncs are held, and than a heartbeat takes
// to be stored.
const SuspectAfter = time.Minute

const (
	maxProblems      = 8
	maxProblemDetail = 200
)

var problemCode = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// CleanProblems makes what an agent sent fit to be stored and shown. Nothing is refused, because a report that is odd
// must not keep an agent from its work: what makes no sense is left out, what is too long is cut.
func CleanProblems(in []Problem) (out []Problem) {
	seen := map[string]bool{}
	for _, p := range in {
		if len(out) == maxProblems {
			break
		}
		if !problemCode.MatchString(p.Code) || seen[p.Code] {
			continue
		}
		seen[p.Code] = true
		detail := strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(p.Detail, "\uFFFD"))
		if r := []rune(detail); len(r) > maxProblemDetail {
			detail = string(r[:maxProblemDetail-1]) + "…"
		}
		out = append(out, Problem{p.Code, strings.TrimSpace(detail)})
	}
	return out
}

// SameProblems tells whether two lists name the same problems, whatever their details say.
func SameProblems(a, b []Problem) bool {
	if len(a) != len(b) {
		return false
	}
	have := map[string]bool{}
	for _, p := range a {
		have[p.Code] = true
	}
	for _, p := range b {
		if !have[p.Code] {
			return false
		}
	}
	return true
}

// ProblemText is a list of problems in one line.
func ProblemText(ps []Problem) string {
	var out []string
	for _, p := range ps {
		if p.Detail == "" {
			out = append(out, p.Code)
			continue
		}
		out = append(out, p.Detail)
	}
	return strings.Join(out, "; ")
}
