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
	// maxPattern bounds, in bytes, what the second engine is asked to compile.
	maxPattern = 8 << 10
)

// matcher searches a text for a pattern.
type matcher func(subject string) (bool, error)

// compilePattern compiles p with the engine of linear time, and with a backtracking one what only that knows:
// look-around, back-references, possessive and atomic groups. It says why when neither can.
func compilePattern(p string) (m matcher, why string) {
	re, err := regexp.Compile(p)
	if err == nil {
		return func(subject string) (bool, error) { return re.MatchString(subject), nil }, ""
	}
	var s *syntax.Error
	errors.As(err, &s)
	if s.Code == syntax.ErrNestingDepth || s.Code == syntax.ErrInvalidUTF8 || len(p) > maxPattern {
		return nil, reason(s)
	}
	// Of the two dialects of this engine the one whose classes are those of the first: \d is 0 to 9 in both.
	second, err := regexp2.Compile(p, regexp2.RE2)
	if err != nil {
		return nil, reason(s)
	}
	second.MatchTimeout = maxMatchTime
	return func(subject string) (bool, error) {
		ok, err := second.MatchString(subject)
		if err != nil {
			return false, errors.New("matching it takes too many steps; write it without nested repetition")
		}
		return ok, nil
	}, ""
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
