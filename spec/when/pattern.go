package when

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

const (
	// maxMatchTime ends a match of the second engine, which may take exponential time.
	maxMatchTime = 250 * time.Millisecond
	maxPattern   = 8 << 10 // bytes of a pattern
	// maxWork bounds the steps of the first engine: the size of a pattern, with its repetitions written out, times that
	// of the text. Compiled patterns have that size too.
	maxWork   = 1 << 26
	maxWeight = 20_000
)

// matcher searches a text for a pattern.
type matcher func(subject string) (bool, error)

// compilePattern compiles p with the engine of linear time, and with a backtracking one what only that knows:
// look-around, back-references, possessive and atomic groups. It says why when neither can.
func compilePattern(p string) (m matcher, why string) {
	if len(p) > maxPattern {
		return nil, "it is too long"
	}
	tree, err := syntax.Parse(p, syntax.Perl)
	if err == nil {
		w := weight(tree)
		if w > maxWeight {
			return nil, "its repetitions multiply to something too large"
		}
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, err.Error()
		}
		return func(subject string) (bool, error) {
			if w*float64(len(subject)) > maxWork {
				return false, errTooManySteps
			}
			return re.MatchString(subject), nil
		}, ""
	}
	var s *syntax.Error
	errors.As(err, &s)
	if s.Code == syntax.ErrNestingDepth || s.Code == syntax.ErrInvalidUTF8 {
		return nil, reason(s)
	}
	// Of the two dialects of this engine the one whose classes are those of the first: \d is 0 to 9 in both.
	second, err := regexp2.Compile(p, regexp2.RE2)
	if err != nil {
		return nil, reason(s)
	}
	second.MatchTimeout = maxMatchTime // kept by a goroutine of the library, which ends a second after the last match
	return func(subject string) (bool, error) {
		ok, err := second.MatchString(subject)
		if err != nil {
			return false, errTooManySteps
		}
		return ok, nil
	}, ""
}

var errTooManySteps = errors.New("matching it takes too many steps; write it without nested repetition")

// weight estimates how large a pattern is once its repetitions are written out.
func weight(re *syntax.Regexp) float64 {
	w := 1 + float64(len(re.Rune))/8
	for _, sub := range re.Sub {
		w += weight(sub)
	}
	if re.Op == syntax.OpRepeat {
		w *= float64(max(re.Min, re.Max, 1))
	}
	return w
}

// reason puts into words why the first engine refused a pattern that the second refused too.
func reason(s *syntax.Error) string {
	switch s.Code {
	case syntax.ErrMissingBracket:
		return `a "]" is missing`
	case syntax.ErrMissingParen:
		return `a ")" is missing`
	case syntax.ErrUnexpectedParen:
		return `there is one ")" more than "("`
	case syntax.ErrTrailingBackslash:
		return "it ends with a backslash"
	case syntax.ErrMissingRepeatArgument:
		return s.Expr + " has nothing before it to repeat"
	case syntax.ErrInvalidCharRange:
		return "the range " + s.Expr + " runs backwards"
	case syntax.ErrInvalidPerlOp:
		if strings.HasPrefix(s.Expr, "(?R") || strings.HasPrefix(s.Expr, "(?0") || strings.HasPrefix(s.Expr, "(?1") || strings.HasPrefix(s.Expr, "(?&") {
			return "recursion such as " + s.Expr + " is not supported"
		}
		return s.Expr + " is not supported or not complete"
	case syntax.ErrInvalidEscape:
		return "the escape " + s.Expr + " has no meaning here"
	case syntax.ErrNestingDepth, syntax.ErrLarge:
		return "it is too large or nested too deeply"
	case syntax.ErrInvalidUTF8:
		return "it is not UTF-8"
	case syntax.ErrInvalidRepeatSize:
		return "the repetition " + s.Expr + " is too large or runs backwards"
	}
	return short(s.Expr) + " is not supported: " + s.Code.String()
}

// Matches tells whether a text that is not empty matches a pattern anywhere; a pattern that is not valid matches nothing.
func Matches(pattern, text string) bool {
	m, _ := compilePattern(pattern)
	if m == nil || text == "" {
		return false
	}
	ok, err := m(text)
	return err == nil && ok
}

// InvalidPattern says why a text is no pattern, "" when it is one.
func InvalidPattern(p string) string {
	m, why := compilePattern(p)
	if m != nil {
		return ""
	}
	return why
}
